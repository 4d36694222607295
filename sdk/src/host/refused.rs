//! Why a program of the host cannot become part of an image.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::{ErrorKind, Fault};

#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("take programs from the host: no program is named")]
    None,
    #[error("take program {program:?} from the host: a program is given by its name or its absolute path")]
    Name { program: String },
    #[error("take program {program:?} from the host: no such program on the PATH ({searched})")]
    NotFound { program: String, searched: String },
    #[error("take program {program:?} from the host: {path:?} is a script run by {interpreter:?}")]
    Script { program: String, path: PathBuf, interpreter: String },
    #[error("take program {program:?} from the host: {path:?} is neither an ELF program nor a script")]
    NotElf { program: String, path: PathBuf },
    #[error(
        "take program {program:?} from the host: {path:?} is for {architecture}, and this host is {}",
        std::env::consts::ARCH
    )]
    Architecture { program: String, path: PathBuf, architecture: String },
    #[error("take program {program:?} from the host: {library:?}, needed by {needed_by:?}, was not found")]
    Missing { program: String, library: OsString, needed_by: PathBuf },
    #[error("take program {program:?} from the host: {path:?} has too many symbolic links")]
    Links { program: String, path: PathBuf },
    #[error("take program {program:?} from the host: {path:?} is not a regular file")]
    Kind { program: String, path: PathBuf },
}

impl Fault for Refused {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } | Self::Missing { .. } => ErrorKind::NotFound,
            Self::Architecture { .. } => ErrorKind::Unsupported,
            _ => ErrorKind::InvalidArgument,
        }
    }

    fn path(&self) -> Option<&Path> {
        match self {
            Self::Script { path, .. } | Self::NotElf { path, .. } | Self::Architecture { path, .. } => Some(path),
            Self::Links { path, .. } | Self::Kind { path, .. } => Some(path),
            Self::Missing { needed_by, .. } => Some(needed_by),
            Self::None | Self::Name { .. } | Self::NotFound { .. } => None,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Script { path, interpreter, .. } => {
                Some(format!("take {interpreter:?} from the host, and COPY the script {path:?}"))
            }
            Self::Missing { library, .. } => {
                Some(format!("install the package that has {library:?}; LD_LIBRARY_PATH is not searched"))
            }
            _ => None,
        }
    }
}
