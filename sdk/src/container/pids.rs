//! Whose processes a container sees and signals.

use std::fs::File;
use std::sync::Arc;

use super::handle::{Handle, HandleFault};
use super::network::CONTAINER;
use super::store::Files;
use crate::error::{Attempt, ErrorKind, Fault, Result};
use crate::runtime::Bundle;
use crate::spec::id::ContainerId;
use crate::sys::{helper, namespace};

#[derive(Debug, thiserror::Error)]
enum PidFault {
    #[error("share the processes of {0}: it has those of the host")]
    OfHost(String),
    #[error(
        "share the processes of {0}: one of the two is in a user namespace, and the kernel lets none join another's"
    )]
    Users(String),
}

impl Fault for PidFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::OfHost(_) => ErrorKind::InvalidArgument,
            Self::Users(_) => ErrorKind::Unsupported,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::OfHost(_) => "choose NamespaceMode::Host (--pid host) for this one, too".to_owned(),
            Self::Users(_) => "as root, make both with UserNamespace::Host (--userns host)".to_owned(),
        })
    }
}

/// What is attempted of the other container.
const SHARE: &str = "share the processes of";

impl Handle {
    /// Chooses among whose processes the container's are.
    pub(super) fn join_pids(&self, files: &Files, bundle: &mut Bundle) -> Result<()> {
        let Some(id) = files.host.pid_mode.strip_prefix(CONTAINER) else { return Ok(()) };
        let other = self.store().handle(&ContainerId::parse(id)?)?;
        let first = other.first_process(SHARE)?;
        let found = namespace::foreign(first.pid()).and_then(|foreign| {
            let pids = helper::high(File::open(format!("/proc/{}/ns/pid", first.pid()))?.into())?;
            Ok((foreign, pids))
        });
        if !first.is_alive() {
            return Err(HandleFault::NotRunningTo { verb: SHARE, title: other.title() }.into());
        }
        let (foreign, pids) = found.attempt(|| format!("{SHARE} {}", other.title()))?;
        if foreign & namespace::PID == 0 {
            return Err(PidFault::OfHost(other.title()).into());
        }
        if foreign & namespace::USER != 0 || bundle.user_namespace.is_some() {
            return Err(PidFault::Users(other.title()).into());
        }
        bundle.pids = Some(Arc::new(pids));
        Ok(())
    }
}
