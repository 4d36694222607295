//! What this room says about bundles.

use std::path::PathBuf;

use crate::error::{self, ErrorKind};

#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("read {}: {why}", file.display())]
    Json { file: PathBuf, why: String },
    #[error("use the bundle: {property} is missing")]
    Missing { property: &'static str },
    #[error("use the bundle: {property} is {value:?}: {why}")]
    Bad { property: String, value: String, why: String },
    #[error("use the bundle: it asks for {what}, which plywood does not have")]
    Unsupported { what: String },
    #[error("use the id {id:?}: it is made of letters, digits and \"_+-.\"")]
    Id { id: String },
    #[error("create container {id:?}: one of this id exists")]
    Exists { id: String },
    #[error("find container {id:?}: it does not exist")]
    NoSuchContainer { id: String },
    #[error("{verb} container {id:?}: it is {status}")]
    State { verb: &'static str, id: String, status: &'static str },
    // The words that containerd looks for.
    #[error("send a signal to container {id:?}: container not running")]
    NotRunning { id: String },
    #[error("mount on {destination:?}: unknown option {option:?}")]
    MountOption { destination: String, option: String },
    #[error("run the {stage} hook {path:?}: {why}")]
    Hook { stage: &'static str, path: String, why: String },
    #[error("use the bundle: process.terminal is set, and there is no socket for its console")]
    NoConsole,
}

impl error::Fault for Fault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unsupported { .. } => ErrorKind::Unsupported,
            Self::Exists { .. } => ErrorKind::AlreadyExists,
            Self::NoSuchContainer { .. } => ErrorKind::NotFound,
            Self::State { .. } | Self::NotRunning { .. } => ErrorKind::InUse,
            Self::Hook { .. } => ErrorKind::Failed,
            _ => ErrorKind::InvalidArgument,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoConsole => Some("give --console-socket, or set process.terminal to false".to_owned()),
            _ => None,
        }
    }
}
