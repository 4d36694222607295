//! Namespaces: [`namespaces(7)`](https://man7.org/linux/man-pages/man7/namespaces.7.html), as `CLONE_NEW*` bits.

#![allow(unsafe_code)]

use std::fs::read_link;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

pub(crate) const MOUNT: u64 = libc::CLONE_NEWNS as u64;
pub(crate) const PID: u64 = libc::CLONE_NEWPID as u64;
pub(crate) const IPC: u64 = libc::CLONE_NEWIPC as u64;
pub(crate) const UTS: u64 = libc::CLONE_NEWUTS as u64;
pub(crate) const NETWORK: u64 = libc::CLONE_NEWNET as u64;
pub(crate) const USER: u64 = libc::CLONE_NEWUSER as u64;
pub(crate) const CGROUP: u64 = libc::CLONE_NEWCGROUP as u64;

/// `NS_GET_USERNS`: [`ioctl_nsfs(2)`](https://man7.org/linux/man-pages/man2/ioctl_nsfs.2.html).
const GET_OWNER: libc::c_ulong = 0xb701;

/// Their names in `/proc/<pid>/ns`.
const NAMES: [(&str, u64); 7] =
    [("mnt", MOUNT), ("pid", PID), ("ipc", IPC), ("uts", UTS), ("net", NETWORK), ("user", USER), ("cgroup", CGROUP)];

/// The namespaces in which a process is and this one is not.
pub(crate) fn foreign(pid: u32) -> io::Result<u64> {
    let mut foreign = 0;
    for (name, bit) in NAMES {
        if read_link(format!("/proc/{pid}/ns/{name}"))? != read_link(format!("/proc/self/ns/{name}"))? {
            foreign |= bit;
        }
    }
    Ok(foreign)
}

/// The user namespace to which another namespace belongs.
pub(crate) fn owner(namespace: &OwnedFd) -> io::Result<OwnedFd> {
    // SAFETY: the call takes no argument, and its result is a new descriptor.
    let owner = unsafe { libc::ioctl(namespace.as_raw_fd(), GET_OWNER as _) };
    if owner < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just opened, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(owner) })
}
