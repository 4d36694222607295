//! The shared memory and message queues of another container, to be joined.
//!
//! System V objects and message queues are the namespace's. `/dev/shm` is a mount that lies in the other one's mount
//! namespace alone: the child goes there, takes a copy of the mount, and comes back.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use super::script::Script;
use crate::error::Result;
use crate::sys::helper;
use crate::sys::mount::{AT_EMPTY_PATH, RESOLVE_NO_SYMLINKS, open_how};
use crate::sys::namespace;
use crate::sys::plan::Register;

/// The number of the copy of the mount, once the descriptors of this program are closed.
pub(super) const MOUNT: u32 = helper::FREE;

/// The namespaces of another container that hold it.
#[derive(Debug)]
pub(crate) struct SharedMemory {
    ipc: OwnedFd,
    mounts: OwnedFd,
}

impl SharedMemory {
    /// That of a process; its number must still be its own afterwards.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        let open = |name| helper::high(File::open(format!("/proc/{pid}/ns/{name}"))?.into());
        Ok(Self { ipc: open("ipc")?, mounts: open("mnt")? })
    }

    /// Joins the namespace; the register is a copy of the mount at `/dev/shm`, attached nowhere.
    pub(super) fn join(&self, script: &mut Script) -> Result<Register> {
        script.step("join the shared memory of another container").hint =
            Some("that one must have a /dev/shm, and no user namespace of its own");
        let (mounts, slash) = (script.text("/proc/self/ns/mnt")?, script.text("/")?);
        let flags = libc::O_RDONLY | libc::O_CLOEXEC;
        let mounts = script.get(libc::SYS_openat, &[libc::AT_FDCWD.into(), mounts.into(), flags.into()]);
        let directory = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
        let root = script.get(libc::SYS_openat, &[libc::AT_FDCWD.into(), slash.into(), directory.into()]);
        script.plan.call(libc::SYS_setns, &[self.ipc.as_raw_fd().into(), namespace::IPC.into()]);
        script.plan.call(libc::SYS_setns, &[self.mounts.as_raw_fd().into(), namespace::MOUNT.into()]);
        let there = script.get(libc::SYS_openat, &[libc::AT_FDCWD.into(), slash.into(), directory.into()]);
        let found = script.open_in(there, "dev/shm", open_how(directory, 0, RESOLVE_NO_SYMLINKS))?;
        let empty = script.empty;
        let copy = script.copy_tree(found, empty, AT_EMPTY_PATH);
        [there, found].into_iter().for_each(|fd| script.close(fd));
        script.plan.call(libc::SYS_setns, &[mounts.into(), namespace::MOUNT.into()]);
        // The root of this program need not be that of its mounts.
        let here = script.text(".")?;
        script.plan.call(libc::SYS_fchdir, &[root.into()]);
        script.plan.call(libc::SYS_chroot, &[here.into()]);
        [mounts, root].into_iter().for_each(|fd| script.close(fd));
        // Beyond the numbers that others are going to have.
        let beyond = [copy.into(), libc::F_DUPFD_CLOEXEC.into(), (MOUNT + 1).into()];
        let kept = script.get(libc::SYS_fcntl, &beyond);
        script.close(copy);
        Ok(kept)
    }
}
