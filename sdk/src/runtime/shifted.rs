//! A container of root's in a user namespace.
//!
//! The files of the store belong to the ids of the host, and stay so: layers, volumes and binds are shown to the user
//! namespace by mounts that map its ids to theirs ([`mount_setattr(2)`], `MOUNT_ATTR_IDMAP`), the writable layer
//! included. So what root in the container writes is root's on disk, as Docker expects it, and only the processes have
//! other ids.
//!
//! That takes capabilities over the host's file systems, which nobody in the namespace has: a first child mounts, in a
//! mount namespace of its own, and a second one, in the user namespace, attaches what it finds open.
//!
//! ```text
//! first child    mounts (mapped layers, overlay, sources of binds) ── setns(user) ── fork
//! second child     └─ namespaces of the container ── attach ── …
//! ```
//!
//! [`mount_setattr(2)`]: https://man7.org/linux/man-pages/man2/mount_setattr.2.html

use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use super::bundle::{Bundle, BundleSource, CapabilitySets, Rootfs};
use super::mounts;
use super::plan::{become_root, close_from, fork_into};
use super::script::Script;
use super::security;
use super::serve::{self, Beside};
use crate::error::{Attempt, Result};
use crate::sys::cgroup::Group;
use crate::sys::mount::{AT_RECURSIVE, ATTR_IDMAP, MOVE_MOUNT_F_EMPTY_PATH};
use crate::sys::plan::{Plan, Register};
use crate::sys::userns::{Namespace, Range};
use crate::sys::{capability, namespace};

/// What can be done where the ids of a file system cannot be mapped.
const HINT: &str = "its file system, or one that is mounted below, cannot map ids: ext4, xfs and btrfs can, and tmpfs since \
                    Linux 6.3";

/// Number of the descriptor of the first source, beyond those of layers.
const FIRST_SOURCE: u32 = 320;

/// What the first child has opened.
pub(super) struct Shifted {
    /// The root file system.
    pub root: Register,
    /// Of each mount, the descriptor of its source, if it has one.
    pub sources: Vec<Option<u32>>,
    /// The descriptor of the user namespace.
    user_namespace: u32,
}

impl Shifted {
    /// What the first child does. All descriptors of the host program are closed before anything is mounted.
    pub(super) fn new(
        script: &mut Script,
        bundle: &Bundle,
        namespace: &Namespace,
        first_free: u32,
        group: Option<&Group>,
    ) -> Result<Self> {
        let user_namespace = keep(script, namespace, first_free);
        let served = match bundle.rootfs.is_served() {
            true => {
                let beside = Beside { shifted: Some(namespace), leaves_mounts: true, ..Beside::of(bundle) };
                Some(serve::mount_beside(script, bundle, group, beside)?)
            }
            false => None,
        };
        mounts::isolate(script)?;
        mounts::allow_many_files(script);
        // Before the layers are covered: a bind may show them, and no mount is mapped twice.
        let mut sources = Vec::new();
        for (mount, number) in bundle.mounts.iter().zip(FIRST_SOURCE..) {
            let BundleSource::Bind(path) = &mount.source else {
                sources.push(None);
                continue;
            };
            let source = mounts::source(script, path, mount, bundle)?;
            // What a device node is for, its owner has no part in.
            if source.is_device {
                script.set_attributes(source.mount, source.attributes, AT_RECURSIVE);
            } else {
                script.step(format!("map the ids of {path:?}, which is to be mounted at {:?}", mount.target)).hint =
                    Some(HINT);
                map_ids(script, source.mount, source.attributes, AT_RECURSIVE, user_namespace);
            }
            script.plan.call(libc::SYS_dup3, &[source.mount.into(), number.into(), libc::O_CLOEXEC.into()]);
            script.close(source.mount);
            sources.push(Some(number));
        }
        let root = match served {
            Some(root) => root,
            None => {
                map_layers(script, &bundle.rootfs, user_namespace)?;
                act_as(script, namespace)?;
                mounts::root(script, &bundle.rootfs, false)?
            }
        };
        Ok(Self { root, sources, user_namespace })
    }

    /// Goes on in a second child, in the user namespace and these others.
    pub(super) fn join(self, script: &mut Script, namespaces: u64) -> Self {
        script.step("join the user namespace of the container");
        script.plan.call(libc::SYS_setns, &[self.user_namespace.into(), namespace::USER.into()]);
        fork_into(script, namespaces);
        become_root(script);
        script.step("begin a session");
        script.plan.call(libc::SYS_setsid, &[]);
        self
    }
}

/// Moves what is needed of the host program in front of everything else, and closes the rest; the number of the user
/// namespace.
fn keep(script: &mut Script, namespace: &Namespace, first_free: u32) -> u32 {
    script.step("keep the user namespace at hand");
    // Beyond both numbers first, so that neither takes the place of the other.
    let beyond = [namespace.fd.as_raw_fd().into(), libc::F_DUPFD_CLOEXEC.into(), (first_free + 2).into()];
    let namespace = script.get(libc::SYS_fcntl, &beyond);
    keep_parent(script, first_free + 1);
    script.plan.call(libc::SYS_dup3, &[namespace.into(), first_free.into(), libc::O_CLOEXEC.into()]);
    script.plan.release(namespace);
    close_from(script, first_free + 2);
    first_free
}

/// Gives what tells whether the parent lives this number.
pub(super) fn keep_parent(script: &mut Script, number: u32) {
    let program = script.plan.register();
    // A supervisor that starts the container again is no parent to be waited for.
    let beyond = [Plan::PARENT.into(), libc::F_DUPFD_CLOEXEC.into(), (number + 1).into()];
    let has_parent = script.attempt(libc::SYS_fcntl, &beyond, &[libc::EBADF]);
    script.plan.keep(has_parent, program);
    let moved = script.plan.call(libc::SYS_dup3, &[program.into(), number.into(), libc::O_CLOEXEC.into()]);
    script.plan.keep(moved, Plan::PARENT);
    script.plan.on_failure_go_on_here(has_parent);
    script.plan.release(program);
}

/// Shows the files of a mount with the ids of the user namespace behind a descriptor.
fn map_ids(script: &mut Script, mount: Register, attributes: u64, flags: u32, user_namespace: u32) {
    script.change_mount(mount, [attributes | ATTR_IDMAP, 0], 0, user_namespace.into(), flags);
}

/// Shows the files of the layers with the ids of the user namespace, wherever they are mounted from here on.
fn map_layers(script: &mut Script, rootfs: &Rootfs, user_namespace: u32) -> Result<()> {
    let layers = match rootfs {
        Rootfs::Overlay { lowers, upper, work, .. } | Rootfs::Served { lowers, upper, work, .. } => {
            common(lowers.iter().chain([upper, work]))?
        }
        Rootfs::Directory(path) => common(std::iter::once(path))?,
    };
    script.step(format!("map the ids of the layers in {layers:?}")).hint = Some(HINT);
    let path = script.path(&layers)?;
    let mapped = script.copy_tree(libc::AT_FDCWD, path, 0);
    map_ids(script, mapped, 0, 0, user_namespace);
    let empty = script.empty;
    let over = [mapped.into(), empty.into(), libc::AT_FDCWD.into(), path.into(), MOVE_MOUNT_F_EMPTY_PATH.into()];
    script.plan.call(libc::SYS_move_mount, &over);
    script.close(mapped);
    Ok(())
}

/// Works on files as root of the container does, and with all capabilities: what overlayfs does by itself, such as making
/// its work directory, it does as the one who has mounted it.
fn act_as(script: &mut Script, namespace: &Namespace) -> Result<()> {
    script.step("work on files as root of the container");
    let outside = |ranges: &[Range]| ranges.first().map_or(0, |range| range.outside);
    script.plan.call(libc::SYS_setfsgid, &[outside(&namespace.map.gids).into()]);
    script.plan.call(libc::SYS_setfsuid, &[outside(&namespace.map.uids).into()]);
    let own = capability::effective().attempt(|| "read the capabilities of this process")?;
    security::set_capabilities(script, CapabilitySets::effective(own), own);
    Ok(())
}

/// The directory that all of these paths lie in.
pub(super) fn common<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Result<PathBuf> {
    let mut common: Option<PathBuf> = None;
    for path in paths {
        let path = std::path::absolute(path).attempt(|| format!("use path {path:?}"))?;
        let parent = path.parent().unwrap_or(Path::new("/"));
        common = Some(match common {
            None => parent.to_owned(),
            Some(known) => {
                known.ancestors().find(|known| parent.starts_with(known)).map(Path::to_owned).unwrap_or_default()
            }
        });
    }
    Ok(common.unwrap_or_default())
}
