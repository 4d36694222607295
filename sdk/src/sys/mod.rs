//! The kernel: one function per use of a call. Speaks `io::Result` and paths; knows nothing of Docker.

pub(crate) mod background;
pub(crate) mod btrfs;
pub(crate) mod capability;
pub(crate) mod cgroup;
mod child;
pub(crate) mod clone;
pub(crate) mod fs;
pub(crate) mod helper;
pub(crate) mod inside;
pub(crate) mod keeper;
mod layout;
pub(crate) mod listening;
pub(crate) mod meeting;
pub(crate) mod mount;
pub(crate) mod namespace;
mod netlink;
pub(crate) mod network;
pub(crate) mod plan;
pub(crate) mod probe;
pub(crate) mod proc;
#[cfg(feature = "tokio")]
pub(crate) mod reactor;
pub(crate) mod reaper;
pub(crate) mod seccomp;
#[cfg(unoptimised)]
pub(crate) mod sha256;
pub(crate) mod shared;
pub(crate) mod signal;
pub(crate) mod tty;
pub(crate) mod userns;
pub(crate) mod visible;
pub(crate) mod wait;
pub(crate) mod waiting;
pub(crate) mod within;
