//! Whose shared memory and message queues a container has.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::handle::{Handle, HandleFault};
use super::network::CONTAINER;
use super::store::Files;
use crate::error::{Attempt, Error, ErrorKind, Fault, Result};
use crate::runtime::{Bundle, SharedMemory};
use crate::spec::id::ContainerId;
use crate::sys::namespace;

/// Whose System V IPC objects, POSIX message queues and `/dev/shm` a container has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IpcMode {
    /// Its own, for nobody else. The default.
    #[default]
    Private,
    /// Its own, and those of the containers that are given it.
    Shareable,
    /// Its own, without `/dev/shm`.
    None,
    /// That of the host, or rather of the program that starts it.
    Host,
}

impl fmt::Display for IpcMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Private => "private",
            Self::Shareable => "shareable",
            Self::None => "none",
            Self::Host => "host",
        })
    }
}

impl FromStr for IpcMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "private" => Ok(Self::Private),
            "shareable" => Ok(Self::Shareable),
            "none" => Ok(Self::None),
            "host" => Ok(Self::Host),
            _ => Err(Error::new(
                ErrorKind::InvalidArgument,
                format_args!("unknown IPC namespace {text:?} (there are private, shareable, none and host)"),
            )),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum IpcFault {
    #[error("share the shared memory of {title}: {}", lack(mode).0)]
    Closed { title: String, mode: String },
    #[error(
        "share the shared memory of {0}: one of the two is in a user namespace, and the kernel lets none join another's"
    )]
    Users(String),
}

impl Fault for IpcFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Closed { .. } => ErrorKind::PermissionDenied,
            Self::Users(_) => ErrorKind::Unsupported,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Closed { mode, .. } => lack(mode).1.to_owned(),
            Self::Users(_) => "as root, make both with UserNamespace::Host (--userns host)".to_owned(),
        })
    }
}

/// Why a container of this mode has nothing of its own to share, and what to do.
fn lack(mode: &str) -> (&'static str, &'static str) {
    match mode {
        "host" => ("it has that of the host", "choose IpcMode::Host (--ipc host) for this one, too"),
        other if other.starts_with(CONTAINER) => ("it has that of another one", "share that of the other one"),
        "none" => ("it has none", "make that one with IpcMode::Shareable (--ipc shareable)"),
        _ => ("it keeps it to itself", "make that one with IpcMode::Shareable (--ipc shareable)"),
    }
}

/// What is attempted of the other container.
const SHARE: &str = "share the shared memory of";

impl Handle {
    /// Chooses what the container's processes have in common with those of others.
    pub(super) fn join_ipc(&self, files: &Files, bundle: &mut Bundle) -> Result<()> {
        let mode = files.host.ipc_mode.as_str();
        let Some(id) = mode.strip_prefix(CONTAINER) else { return Ok(()) };
        let other = self.store().handle(&ContainerId::parse(id)?)?;
        let mode = other.files()?.host.ipc_mode;
        if mode != IpcMode::Shareable.to_string() {
            return Err(IpcFault::Closed { title: other.title(), mode }.into());
        }
        let first = other.first_process(SHARE)?;
        let shared = namespace::foreign(first.pid()).and_then(|foreign| {
            let is_ours = foreign & namespace::USER == 0;
            is_ours.then(|| SharedMemory::of(first.pid())).transpose()
        });
        if !first.is_alive() {
            return Err(HandleFault::NotRunningTo { verb: SHARE, title: other.title() }.into());
        }
        let shared = shared.attempt(|| format!("{SHARE} {}", other.title()))?;
        let shared = shared.filter(|_| bundle.user_namespace.is_none());
        bundle.shared_memory = Some(Arc::new(shared.ok_or_else(|| IpcFault::Users(other.title()))?));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn modes_read_as_docker_writes_them() {
        for mode in [IpcMode::Private, IpcMode::Shareable, IpcMode::None, IpcMode::Host] {
            assert_eq!(mode.to_string().parse::<IpcMode>().unwrap(), mode);
        }
        assert_eq!("sysv".parse::<IpcMode>().unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
}
