//! The root file system of a container that has no process: mounted, with all that belongs below it, for the host
//! program to use by descriptors.
//!
//! A child mounts it in a mount namespace of its own, for an ordinary user in a user namespace, as [`start`](super::start)
//! does. It hands over two descriptors and ends: one of the root directory, and one of the namespace, which keeps the
//! mounts in place until it is closed. So there is no process to look after, and nothing of the host's changes.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::bundle::{Bundle, Rootfs};
use super::plan::{FIRST_FREE, Stream, beyond_standard, close_from, hand_over_streams};
use super::script::Script;
use super::serve::Beside;
use super::users::Users;
use super::{mounts, serve, terminal};
use crate::error::{Attempt, Result};
use crate::sys::clone::{self, Companion, Gate, Options};
use crate::sys::visible::Visibility;
use crate::sys::{namespace, tty, wait};

/// A root file system, until it is dropped.
#[derive(Debug)]
pub(crate) struct MountedRoot {
    directory: OwnedFd,
    _namespace: OwnedFd,
    /// Ends last.
    _served_by: Option<Companion>,
}

impl MountedRoot {
    /// The root directory, as `O_PATH`.
    pub(crate) fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

/// Mounts what `bundle` says without the defaults (`/proc`, `/sys`, `/dev`). Its process does not matter.
///
/// The layers must not be mounted elsewhere meanwhile.
///
/// # Errors
/// They name the step and its object. Nothing is left behind but directories that were made to be mounted on.
pub(crate) fn mount(bundle: &Bundle) -> Result<MountedRoot> {
    let users = Users::get();
    let (socket, theirs) = tty::channel().attempt(|| "create a socket for a root directory")?;
    let streams = [Stream::Fd(beyond_standard(theirs)?), Stream::Null, Stream::Null];
    let mut script = Script::new();
    hand_over_streams(&mut script, &streams, users, namespace::MOUNT, None)?;
    close_from(&mut script, FIRST_FREE);
    script.step("open the mount namespace");
    let name = script.text("/proc/self/ns/mnt")?;
    let flags = libc::O_RDONLY | libc::O_CLOEXEC;
    let namespace = script.get(libc::SYS_openat, &[libc::AT_FDCWD.into(), name.into(), flags.into()]);
    mounts::isolate(&mut script)?;
    let root = match (&bundle.rootfs, users) {
        (Rootfs::Served { .. }, _) => {
            let user =
                if matches!(users, Users::One) { (bundle.process.user.uid, bundle.process.user.gid) } else { (0, 0) };
            let beside = Beside { user, ends_with_program: true, leaves_mounts: true, shifted: None };
            serve::mount(&mut script, &bundle.rootfs, &beside)?
        }
        _ => mounts::root(&mut script, &bundle.rootfs, users.are_mapped())?,
    };
    mounts::cover(&mut script, root)?;
    for mount in &bundle.mounts {
        mounts::mount(&mut script, root, mount, bundle, None)?;
    }
    mounts::enter(&mut script, root, bundle.read_only_rootfs)?;
    script.step("open the root of the container");
    let (slash, flags) = (script.text("/")?, libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC);
    let entered = script.get(libc::SYS_openat, &[libc::AT_FDCWD.into(), slash.into(), flags.into()]);
    for descriptor in [entered, namespace] {
        terminal::send(&mut script, "hand the root to the host program", descriptor);
    }
    let (mut blob, steps) = script.seal()?;
    let (namespaces, forks, visibility) = match users {
        Users::One => (namespace::MOUNT | namespace::USER, false, Visibility::Kept),
        Users::Many(_) => (0, true, Visibility::Hidden),
        _ => (namespace::MOUNT, false, Visibility::Hidden),
    };
    let options = Options { namespaces, forks, visibility, cgroup: None, gate: Gate::Closed };
    let prepare = |pid, _: BorrowedFd<'_>| match users {
        Users::One => clone::map_single(pid, 0, 0),
        _ => Ok(()),
    };
    let child = clone::spawn(&mut blob, options, prepare, |_, _| Ok(()));
    let child = child.map_err(|failure| steps.error(&blob, failure))?;
    let attempt = || "receive the root of a container";
    wait::reap(child.pidfd).attempt(attempt)?;
    let directory = tty::receive(&socket).attempt(attempt)?;
    let namespace = tty::receive(&socket).attempt(attempt)?;
    Ok(MountedRoot { directory, _namespace: namespace, _served_by: child.companion })
}

/// Creates the namespaces of a container, in a child that ends at once.
///
/// # Errors
/// They say why it cannot be done.
pub(crate) fn try_namespaces() -> Result<()> {
    let user_namespace = Users::get().are_mapped();
    let mut script = Script::new();
    script.plan.gate();
    script.step("create a cgroup namespace");
    script.plan.call(libc::SYS_unshare, &[namespace::CGROUP.into()]);
    let (mut blob, steps) = script.seal()?;
    let all = namespace::MOUNT | namespace::PID | namespace::IPC | namespace::UTS | namespace::NETWORK;
    let (namespaces, visibility) = match user_namespace {
        true => (all | namespace::USER, Visibility::Kept),
        false => (all, Visibility::Hidden),
    };
    let options = Options { namespaces, forks: false, visibility, cgroup: None, gate: Gate::Closed };
    let prepare = |pid, _: BorrowedFd<'_>| match user_namespace {
        true => clone::map_single(pid, 0, 0),
        false => Ok(()),
    };
    let child = clone::spawn(&mut blob, options, prepare, |_, _| Ok(()));
    let child = child.map_err(|failure| steps.error(&blob, failure))?;
    wait::reap(child.pidfd).attempt(|| "wait for a child").map(drop)
}
