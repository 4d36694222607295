//! One container process, fully resolved: what the OCI calls a runtime.
//!
//! A [`Bundle`] says everything; [`start`] turns it into a list of system calls ([`sys::plan`](crate::sys)), starts a
//! child that shares the memory of this process and walks the list, and returns once the child has become the
//! container's program. [`exec`] does the same inside the namespaces of a running one. One thread starts all children
//! and lives as long as the program, since they are killed when it ends; another drains their output and records how
//! they end. Nothing polls.

mod bundle;
pub(crate) mod cgroup;
mod cgroup_mounts;
mod check;
mod execute;
mod fault;
mod keep;
pub(crate) mod limits;
mod masks;
mod mounts;
pub mod oci;
mod outside;
mod plan;
mod process;
mod replay;
mod rootfs;
mod script;
mod seccomp;
mod security;
mod serve;
mod shared_memory;
mod shifted;
mod spawn;
pub(crate) mod stats;
mod stdio;
mod supervisor;
mod target;
mod terminal;
mod tools;
mod users;

pub(crate) use bundle::{
    Bundle, BundleMount, BundleSource, DEFAULT_PATH, Isolation, Limit, NetworkMode, ProcessSpec, ResolvedUser, Rootfs,
};
pub(crate) use check::Check;
pub(crate) use keep::{Idle, Keeper, Removal, Restart, kept_status};
pub(crate) use process::Process;
pub(crate) use rootfs::{MountedRoot, mount as mount_root, try_namespaces};
pub(crate) use seccomp::SeccompProfile;
pub(crate) use shared_memory::SharedMemory;
pub(crate) use spawn::{HeldHook, Hook, Hooks, enter, exec, exec_with, start, start_with};
pub(crate) use stdio::{Input, Output, Sink, Stdio};
pub(crate) use target::Target;
pub(crate) use tools::{CONTAINER, Tool, Tools};

use crate::spec::ExitStatus;

/// Called once on the supervisor thread when the process has ended and its output is delivered, before
/// [`Process::wait`] returns.
pub(crate) type OnExit = Box<dyn FnOnce(&ExitStatus) + Send>;

#[cfg(test)]
mod tests;
