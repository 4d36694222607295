//! What the host says about itself in files, for a report.

use std::fmt;
use std::fs;
use std::path::Path;

use crate::sys::capability::{self, CapabilitySet};

/// Capabilities that root uses, by number; losing one of them loses something.
const NEEDED: [(u32, &str); 15] = [
    (0, "CHOWN"),
    (1, "DAC_OVERRIDE"),
    (3, "FOWNER"),
    (4, "FSETID"),
    (5, "KILL"),
    (6, "SETGID"),
    (7, "SETUID"),
    (8, "SETPCAP"),
    (10, "NET_BIND_SERVICE"),
    (12, "NET_ADMIN"),
    (18, "SYS_CHROOT"),
    (21, "SYS_ADMIN"),
    (24, "SYS_RESOURCE"),
    (27, "MKNOD"),
    (31, "SETFCAP"),
];

/// Those that this root lacks.
pub(crate) fn lacking_capabilities() -> Vec<&'static str> {
    capability::effective().map_or_else(|_| Vec::new(), lacking)
}

fn lacking(has: CapabilitySet) -> Vec<&'static str> {
    NEEDED.iter().filter(|(number, _)| !has.has(*number)).map(|(_, name)| *name).collect()
}

/// The kernel's release, such as `6.18.44`.
pub(crate) fn kernel_release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// Whether [`openat2(2)`](https://man7.org/linux/man-pages/man2/openat2.2.html) works.
pub(crate) fn resolves_inside() -> bool {
    let open =
        || crate::sys::fs::open_in_root(crate::sys::fs::open_directory("/".as_ref())?, ".", rustix::fs::OFlags::PATH);
    open().is_ok()
}

/// A number below `/proc/sys`; `None` if this kernel has no such setting.
pub(crate) fn setting(name: &str) -> Option<u64> {
    fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?.trim().parse().ok()
}

/// What filters on system calls can do; `None` without them.
pub(crate) fn seccomp_actions() -> Option<String> {
    fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").ok()
}

/// Which hierarchies are mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CgroupVersion {
    None,
    V1,
    Hybrid,
    V2,
}

impl fmt::Display for CgroupVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::V1 => "version 1",
            Self::Hybrid => "version 1 with controllers, version 2 without",
            Self::V2 => "version 2",
        })
    }
}

/// Which versions of cgroups are mounted.
pub(crate) fn cgroups() -> CgroupVersion {
    cgroup_version(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
}

/// Reads `/proc/self/mountinfo`.
fn cgroup_version(mountinfo: &str) -> CgroupVersion {
    let kinds = mountinfo.lines().filter_map(|line| line.split_once(" - ")?.1.split_ascii_whitespace().next());
    let (mut v1, mut v2) = (false, false);
    for kind in kinds {
        v1 |= kind == "cgroup";
        v2 |= kind == "cgroup2";
    }
    match (v1, v2) {
        (false, false) => CgroupVersion::None,
        (true, false) => CgroupVersion::V1,
        (true, true) => CgroupVersion::Hybrid,
        (false, true) => CgroupVersion::V2,
    }
}

/// The container or subsystem this program runs in, in words.
pub(crate) fn surroundings() -> Option<String> {
    let exists = |path: &str| Path::new(path).exists();
    let release = kernel_release().to_ascii_lowercase();
    let variable = std::env::var("container").unwrap_or_default();
    match () {
        () if exists("/.dockerenv") => Some("inside a Docker container".to_owned()),
        () if exists("/run/.containerenv") => Some("inside a podman container".to_owned()),
        () if !variable.is_empty() => Some(format!("inside a container ({variable})")),
        () if release.contains("microsoft") => Some("inside the Windows Subsystem for Linux".to_owned()),
        () => None,
    }
}

/// The name of the file system that holds a path, by its magic number.
pub(crate) fn file_system(path: &Path) -> String {
    let Ok(stat) = rustix::fs::statfs(path) else { return "an unknown file system".to_owned() };
    // The width and sign of the field depend on the architecture.
    #[allow(clippy::cast_sign_loss, clippy::unnecessary_cast)]
    let magic = stat.f_type as u64;
    let name = match magic {
        0xef53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683e => "btrfs",
        0x0102_1994 => "tmpfs",
        0x794c_7630 => "overlay",
        0x2fc1_2fc1 => "zfs",
        0xf2f5_2010 => "f2fs",
        0x6969 => "nfs",
        0x6573_5546 => "fuse",
        _ => return format!("a file system of type {magic:#x}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroups_are_told_by_their_mounts() {
        let v1 = "33 25 0:28 / /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw,memory\n";
        let v2 = "30 25 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n";
        let other = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw\n";
        for (text, version) in [
            (other.to_owned(), CgroupVersion::None),
            (format!("{other}{v1}"), CgroupVersion::V1),
            (format!("{v1}{v2}"), CgroupVersion::Hybrid),
            (format!("{v2}{other}"), CgroupVersion::V2),
        ] {
            assert_eq!(cgroup_version(&text), version);
        }
    }

    #[test]
    fn what_root_lacks_is_named() {
        assert!(lacking(CapabilitySet::ALL).is_empty());
        assert!(lacking(CapabilitySet::CONTAINER).contains(&"SYS_ADMIN"));
    }
}
