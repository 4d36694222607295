//! Namespaces: [`namespaces(7)`](https://man7.org/linux/man-pages/man7/namespaces.7.html), as `CLONE_NEW*` bits.

pub(crate) const MOUNT: u64 = libc::CLONE_NEWNS as u64;
pub(crate) const PID: u64 = libc::CLONE_NEWPID as u64;
pub(crate) const IPC: u64 = libc::CLONE_NEWIPC as u64;
pub(crate) const UTS: u64 = libc::CLONE_NEWUTS as u64;
pub(crate) const NETWORK: u64 = libc::CLONE_NEWNET as u64;
pub(crate) const USER: u64 = libc::CLONE_NEWUSER as u64;
pub(crate) const CGROUP: u64 = libc::CLONE_NEWCGROUP as u64;
