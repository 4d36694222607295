//! The error of every fallible call.
//!
//! A message is one lower-case clause: what was attempted, on what, why. The chain of causes is told by
//! [`source`](std::error::Error::source) and, in full, by `{:?}`, so that `fn main() -> plywood::Result<()>` prints
//! something a person can act on. A module keeps its messages in a private enum that implements [`Fault`].

use std::error::Error as StdError;
use std::path::{Path, PathBuf};
use std::{fmt, io};

/// What can go wrong, as far as a caller can act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The image, container, volume, file or command does not exist.
    NotFound,
    /// The name or reference is taken.
    AlreadyExists,
    /// Something else uses the object; the message names the users.
    InUse,
    /// A value given by the caller, a definition or an image is malformed.
    InvalidArgument,
    /// The process lacks a privilege or a file refuses access.
    PermissionDenied,
    /// This kernel, file system or build of plywood cannot do it.
    Unsupported,
    /// A registry refused the credentials.
    Unauthorized,
    /// A service or device did not answer, or no space is left.
    Unavailable,
    /// The time allowed has passed.
    Timeout,
    /// The caller cancelled the operation.
    Cancelled,
    /// A program in a container failed.
    Failed,
    /// Data in the store or in an archive contradicts itself.
    Corrupt,
    /// A limit on the input was exceeded.
    LimitExceeded,
    /// Another refusal of the operating system.
    Os,
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What was attempted, on what, why it failed and what can be done.
///
/// `{}` prints one clause; `{:?}` adds the causes and the hint.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    path: Option<PathBuf>,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
    /// 126 or 127, where a shell would give it, or that of a container that ended too early.
    exit_code: Option<u8>,
    /// What failed while cleaning up after this error.
    clean_up: Vec<Error>,
}

/// One message of a module: the private enum behind an [`Error`].
pub(crate) trait Fault: StdError + Send + Sync + 'static {
    /// The kind a caller sees.
    fn kind(&self) -> ErrorKind;
    /// The file concerned, where there is one.
    fn path(&self) -> Option<&Path> {
        None
    }
    /// What the user can do.
    fn hint(&self) -> Option<String> {
        None
    }
    /// The exit code a shell would give for it.
    fn exit_code(&self) -> Option<u8> {
        None
    }
}

impl<F: Fault> From<F> for Error {
    fn from(fault: F) -> Self {
        Self(Box::new(Inner {
            kind: fault.kind(),
            message: fault.to_string(),
            path: fault.path().map(Path::to_owned),
            hint: fault.hint(),
            source: None,
            exit_code: fault.exit_code(),
            clean_up: Vec::new(),
        }))
    }
}

impl Error {
    /// An error with a message and nothing else.
    pub(crate) fn new(kind: ErrorKind, message: impl fmt::Display) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.to_string(),
            path: None,
            hint: None,
            source: None,
            exit_code: None,
            clean_up: Vec::new(),
        }))
    }

    /// An error of the operating system: `attempt` says what was tried, on what.
    pub(crate) fn os(attempt: impl fmt::Display, error: io::Error) -> Self {
        // An error of ours that travelled through `io::Error` (a reader, a writer) keeps its kind and its words.
        let error = match error.downcast::<Error>() {
            Ok(inner) => return Self::new(inner.kind(), attempt).with_source(inner),
            Err(error) => error,
        };
        let told = Self::new(kind_of(&error), format_args!("{attempt}: {}", os_text(&error)));
        match error.raw_os_error() {
            Some(libc::EMFILE) => told.with_hint("raise the limit of open files of this program (`ulimit -n`)"),
            _ => told,
        }
    }

    /// The same error, with its cause.
    pub(crate) fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same error, about this file.
    pub(crate) fn with_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.0.path = Some(path.into());
        self
    }

    /// The same error, with what the user can do.
    pub(crate) fn with_hint(mut self, hint: impl fmt::Display) -> Self {
        self.0.hint = Some(hint.to_string());
        self
    }

    /// The same error, with one more that happened while cleaning up after it.
    pub(crate) fn with_clean_up(mut self, failure: Error) -> Self {
        self.0.clean_up.push(failure);
        self
    }

    /// What a caller can act on.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The file concerned, where there is one.
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// The exit code a shell would give: 127 for a command that was not found, 126 for one that cannot be executed. Of a
    /// container that ended before it was ready, its own.
    pub fn exit_code(&self) -> Option<u8> {
        self.0.exit_code
    }

    /// What the user can do about it, where that is known; a cause may be the one that knows.
    pub fn hint(&self) -> Option<&str> {
        let of_cause = || self.0.source.as_ref()?.downcast_ref::<Self>()?.hint();
        self.0.hint.as_deref().or_else(of_cause)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, "\n  cause: {error}")?;
            cause = error.source();
        }
        if let Some(hint) = self.hint() {
            write!(f, "\n  hint: {hint}")?;
        }
        for failure in &self.0.clean_up {
            write!(f, "\n  while cleaning up: {failure}")?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        io::Error::other(error)
    }
}

/// Adds what was attempted to the result of a system call.
pub(crate) trait Attempt<T> {
    /// `attempt` is called on failure only; it reads like `read "/etc/passwd"`.
    fn attempt<D: fmt::Display>(self, attempt: impl FnOnce() -> D) -> Result<T>;
}

impl<T> Attempt<T> for io::Result<T> {
    fn attempt<D: fmt::Display>(self, attempt: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|error| Error::os(attempt(), error))
    }
}

impl<T> Attempt<T> for Result<T, rustix::io::Errno> {
    fn attempt<D: fmt::Display>(self, attempt: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|errno| Error::os(attempt(), errno.into()))
    }
}

/// The text of an error of the operating system as a lower-case clause, without its number.
fn os_text(error: &io::Error) -> String {
    let mut text = error.to_string();
    if let Some(cut) = text.find(" (os error ") {
        text.truncate(cut);
    }
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        // "No such file" becomes "no such file"; "RPC failed" stays.
        (Some(first), Some(second)) if !second.is_uppercase() => {
            first.to_lowercase().chain(text.chars().skip(1)).collect()
        }
        _ => text,
    }
}

fn kind_of(error: &io::Error) -> ErrorKind {
    use io::ErrorKind as Io;
    match error.kind() {
        Io::NotFound => ErrorKind::NotFound,
        Io::AlreadyExists => ErrorKind::AlreadyExists,
        Io::PermissionDenied | Io::ReadOnlyFilesystem => ErrorKind::PermissionDenied,
        Io::StorageFull | Io::QuotaExceeded => ErrorKind::Unavailable,
        Io::TimedOut => ErrorKind::Timeout,
        Io::Unsupported => ErrorKind::Unsupported,
        Io::InvalidData | Io::UnexpectedEof => ErrorKind::Corrupt,
        Io::ResourceBusy => ErrorKind::InUse,
        _ => ErrorKind::Os,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_errors_read_as_clauses_without_numbers() {
        let error = Error::os("read \"/x\"", io::Error::from_raw_os_error(libc::ENOENT));
        assert_eq!(error.to_string(), "read \"/x\": no such file or directory");
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn debug_tells_causes_and_hint() {
        let cause = Error::new(ErrorKind::Corrupt, "the size is not a number");
        let error = Error::new(ErrorKind::Corrupt, "open layer").with_source(cause).with_hint("run fsck");
        assert_eq!(format!("{error:?}"), "open layer\n  cause: the size is not a number\n  hint: run fsck");
    }

    #[test]
    fn the_hint_of_a_cause_is_told_unless_there_is_a_nearer_one() {
        let cause = || Error::new(ErrorKind::LimitExceeded, "too many entries").with_hint("raise the limit");
        let error = Error::new(ErrorKind::LimitExceeded, "import \"x\"").with_source(cause());
        assert_eq!(format!("{error:?}"), "import \"x\"\n  cause: too many entries\n  hint: raise the limit");
        assert_eq!(error.with_source(cause()).with_hint("nearer").hint(), Some("nearer"));
    }

    #[test]
    fn our_error_keeps_its_kind_through_io() {
        let inner: io::Error = Error::new(ErrorKind::LimitExceeded, "too many entries").into();
        let error = Error::os("import tar", inner);
        assert_eq!(error.kind(), ErrorKind::LimitExceeded);
        assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("too many entries"));
    }
}
