//! What this kernel and these privileges allow.

use std::fs;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use super::capability;

mod fuse;
mod host;
mod overlay;

pub(crate) use host::{
    CgroupVersion, cgroups, file_system, kernel_release, lacking_capabilities, resolves_inside, seccomp_actions,
    setting, surroundings,
};

pub(crate) use fuse::{fuse_overlayfs, fuse_overlayfs_obstacle};
pub(crate) use overlay::overlay_obstacle;

const CAP_SYS_ADMIN: u32 = 21;

/// How containers are started and which extended attributes overlayfs uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Privilege {
    /// Root of the initial user namespace: `trusted.*` attributes, device nodes, any owner.
    Root,
    /// Everybody else: each container gets a user namespace with a single id; `user.*` attributes.
    User,
}

/// Which of the two this process is; asked once.
pub(crate) fn privilege() -> Privilege {
    static PRIVILEGE: OnceLock<Privilege> = OnceLock::new();
    *PRIVILEGE.get_or_init(|| {
        let admin = capability::effective().is_ok_and(|set| set.has(CAP_SYS_ADMIN));
        let root = rustix::process::geteuid().is_root();
        // In a user namespace of somebody else root has CAP_SYS_ADMIN too, but neither mknod nor trusted.* attributes.
        let initial = fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| is_initial(&map));
        match admin && root && initial {
            true => Privilege::Root,
            false => Privilege::User,
        }
    })
}

/// Whether a `uid_map` maps every id to itself.
fn is_initial(map: &str) -> bool {
    map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

/// Whether overlayfs takes one `lowerdir+` per layer (Linux 6.7).
///
/// By version and not by trial: where a distribution has it earlier, mount(2) serves as well.
pub(crate) fn overlay_takes_single_lowers() -> bool {
    match SINGLE_LOWERS.load(Ordering::Relaxed) {
        UNKNOWN => {
            let release = parse_release(&kernel_release());
            let takes = release.is_some_and(|it| it >= (6, 7));
            SINGLE_LOWERS.store(takes.into(), Ordering::Relaxed);
            takes
        }
        known => known == 1,
    }
}

static SINGLE_LOWERS: AtomicU8 = AtomicU8::new(UNKNOWN);
const UNKNOWN: u8 = 2;

/// Lets tests take the other path.
#[cfg(test)]
pub(crate) fn force_single_lowers(takes: bool) {
    SINGLE_LOWERS.store(takes.into(), Ordering::Relaxed);
}

/// Whether this kernel certainly lacks overlay. A process that may not ask is told by its first mount.
pub(crate) fn overlay_is_missing() -> bool {
    use rustix::mount::{FsOpenFlags, fsopen};
    #[cfg(test)]
    if OVERLAY_IS_MISSING.get() {
        return true;
    }
    // It loads the module if there is one. An ordinary user gets EPERM.
    matches!(fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC), Err(rustix::io::Errno::NODEV))
}

#[cfg(test)]
thread_local! {
    static OVERLAY_IS_MISSING: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Lets a test have a kernel without overlay, in its thread.
#[cfg(test)]
pub(crate) fn force_missing_overlay(is_missing: bool) {
    OVERLAY_IS_MISSING.set(is_missing);
}

/// Major and minor number of `6.18.44-fc`.
pub(crate) fn parse_release(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_compare_by_number() {
        for (text, parsed) in [
            ("6.18.44-fc-v657", Some((6, 18))),
            ("6.1.0-18-amd64", Some((6, 1))),
            ("5.15-rc1", Some((5, 15))),
            ("six", None),
        ] {
            assert_eq!(parse_release(text), parsed);
        }
    }

    #[test]
    fn only_the_full_map_is_the_initial_user_namespace() {
        assert!(is_initial("         0          0 4294967295\n"));
        assert!(!is_initial("         0       1000          1\n"));
    }
}
