//! What can be wrong with an archive or a layer's directory.

use crate::error::{Error, ErrorKind, Fault};

/// A malformed, incomplete, oversized or unsupported archive.
#[derive(Debug, thiserror::Error)]
pub(super) enum ArchiveFault {
    #[error("read archive: {0}")]
    Malformed(String),
    #[error("read archive: it ends before its end marker (the file is incomplete)")]
    Truncated,
    #[error("extract {entry:?}: {why}")]
    Entry { entry: String, why: String },
    #[error("extract {entry:?}: {what} need root")]
    NeedsRoot { entry: String, what: &'static str },
    #[error("extract {entry:?}: {why}")]
    NoId { entry: String, why: String },
    #[error("read archive: more than {limit} {what}")]
    Limit { what: &'static str, limit: u64 },
    #[error("extract {entry:?}: more than {limit} bytes in its {what}")]
    EntryLimit { entry: String, what: &'static str, limit: u64 },
    #[error("extract layer: fewer than {0} bytes are left on the file system of the store")]
    NoSpace(u64),
    #[error("archive {path:?}: {why}")]
    Layer { path: String, why: String },
    #[error("read tar-split: {0}")]
    TarSplit(String),
    #[error("rebuild the archive of a layer: {name:?} {why}")]
    Reassemble { name: String, why: &'static str },
    #[error("read compressed data: {0}")]
    Compressed(String),
    #[error("read compressed data: {format} is not supported")]
    Compression { format: &'static str, hint: &'static str },
    #[error("read archive: a thread of the import ended early")]
    Stopped,
}

impl ArchiveFault {
    pub(super) fn malformed(why: impl Into<String>) -> Error {
        Self::Malformed(why.into()).into()
    }

    pub(super) fn entry(name: &[u8], why: impl Into<String>) -> Error {
        Self::Entry { entry: text(name), why: why.into() }.into()
    }

    pub(super) fn layer(path: &[u8], why: impl Into<String>) -> Error {
        Self::Layer { path: text(path), why: why.into() }.into()
    }
}

/// A name for a message.
pub(super) fn text(name: &[u8]) -> String {
    /// Enough to find the entry; a message is no place for 4096 bytes.
    const MOST: usize = 300;
    let shown = String::from_utf8_lossy(&name[..name.len().min(MOST)]).into_owned();
    if name.len() > MOST { format!("{shown}…") } else { shown }
}

impl Fault for ArchiveFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Malformed(_) | Self::Truncated | Self::Entry { .. } => ErrorKind::Corrupt,
            Self::TarSplit(_) | Self::Reassemble { .. } | Self::Compressed(_) => ErrorKind::Corrupt,
            Self::NeedsRoot { .. } | Self::NoId { .. } => ErrorKind::PermissionDenied,
            Self::Limit { .. } | Self::EntryLimit { .. } => ErrorKind::LimitExceeded,
            Self::NoSpace(_) => ErrorKind::Unavailable,
            Self::Layer { .. } | Self::Compression { .. } => ErrorKind::Unsupported,
            Self::Stopped => ErrorKind::Os,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NeedsRoot { .. } => Some("run as root, or use an image without device nodes".into()),
            Self::NoId { .. } => Some("run as root, or add a longer range to /etc/subuid and /etc/subgid".into()),
            Self::Limit { .. } | Self::EntryLimit { .. } => Some("raise it with image::Limits".into()),
            Self::Compression { hint, .. } => Some((*hint).into()),
            _ => None,
        }
    }
}
