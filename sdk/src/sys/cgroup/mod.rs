//! Cgroups: [`cgroups(7)`](https://man7.org/linux/man-pages/man7/cgroups.7.html), one interface over both versions.
//!
//! A host has one hierarchy of version 2 with all controllers (*unified*), hierarchies of version 1 with one or a few
//! controllers each (*legacy*), or both (*hybrid*): whatever is mounted, wherever. A [`Group`] is one cgroup of one
//! container in as many of them as it needs:
//!
//! ```text
//! <hierarchy>/plywood/<name>      as root
//! <delegated>/plywood/<name>      as an ordinary user, version 2 only: below a cgroup that is the user's
//! ```
//!
//! `plywood` is made with the first group and removed with the last. Nothing else is ever written to, but
//! `cgroup.subtree_control` above it, where the kernel wants to hear which controllers are handed down.
//!
//! | file | holds |
//! |---|---|
//! | `hierarchy.rs` | which hierarchies there are, from mountinfo and what statfs says of each |
//! | `group.rs` | making, finding, joining and removing a group |
//! | `freeze.rs` | freezing, thawing, killing |
//! | `adopt.rs` | moving the processes of a container that has run without a group into one |
//! | `device.rs` | which devices may be opened |
//! | `path.rs` | groups at a path that somebody else has chosen |

mod adopt;
pub(crate) mod device;
mod freeze;
mod group;
mod hierarchy;
mod path;

pub(crate) use adopt::{Usage, usage};
pub(crate) use group::{Group, Refused, write};
pub(crate) use hierarchy::{Kind, Version, kind, own};
pub(crate) use path::{Made, remove_directories};

/// The cgroup that holds those of all containers.
const PARENT: &str = "plywood";

/// How long the kernel may take to freeze, to thaw or to empty a group; long only if a process hangs in a device.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);
