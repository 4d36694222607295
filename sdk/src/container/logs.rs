//! Reading what a container has written.

use std::sync::Arc;
use std::time::Duration;

use super::handle::Handle;
use super::store::Files;
use crate::error::Result;
use crate::logs::json_file::LogConfig;
use crate::logs::read::{Ending, LogLine, LogOptions, Reader};
use crate::spec::byte_size::ByteSize;
use crate::spec::time::Timestamp;

/// Which lines of a container's log to read; made by [`Container::logs`](super::Container::logs). Default: all there are.
#[derive(Debug, Clone)]
#[must_use = "nothing is read until `read` is called"]
pub struct Logs {
    handle: Arc<Handle>,
    options: LogOptions,
}

/// The lines of a log, oldest first.
///
/// A log that cannot be read any further ends; the reason is told by [`error`](Self::error).
#[derive(Debug)]
pub struct Lines {
    reader: Reader,
    error: Option<crate::Error>,
    /// Keeps the container's directory from being given up while it is read.
    _handle: Arc<Handle>,
}

impl Logs {
    pub(crate) fn new(handle: Arc<Handle>) -> Self {
        Self { handle, options: LogOptions::default() }
    }

    /// Reads the last lines only.
    #[doc(alias = "--tail")]
    pub fn tail(mut self, lines: usize) -> Self {
        self.options.tail = Some(lines);
        self
    }

    /// Reads what was written at or after this time.
    #[doc(alias = "--since")]
    pub fn since(mut self, time: Timestamp) -> Self {
        self.options.since = Some(time);
        self
    }

    /// Reads what was written during the last such time.
    pub fn last(self, duration: Duration) -> Self {
        let time = Timestamp::now().before(duration);
        self.since(time)
    }

    /// Reads what was written at or before this time.
    #[doc(alias = "--until")]
    pub fn until(mut self, time: Timestamp) -> Self {
        self.options.until = Some(time);
        self
    }

    /// Waits for further lines until the container has ended.
    #[doc(alias = "--follow")]
    pub fn follow(mut self) -> Self {
        self.options.follow = true;
        self
    }

    /// Reads standard output only.
    pub fn stdout(mut self) -> Self {
        (self.options.stdout, self.options.stderr) = (true, false);
        self
    }

    /// Reads standard error only.
    pub fn stderr(mut self) -> Self {
        (self.options.stdout, self.options.stderr) = (false, true);
        self
    }

    /// Opens the log.
    ///
    /// What was written to an inherited stream or a pipe is not in it.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if the container was removed.
    pub fn read(&self) -> Result<Lines> {
        let files = self.handle.files()?;
        let mut options = self.options.clone();
        let run = files.record.and_then(|record| record.run).filter(|_| options.follow);
        let ending = match run.as_ref().map(super::record::Run::open).transpose()?.flatten() {
            Some(ended) => {
                let handle = Arc::clone(&self.handle);
                // A container that is removed at this moment has nothing more to say either.
                let completed = Box::new(move || drop(handle.wait(None)));
                Some(Ending { ended, completed })
            }
            None => {
                options.follow = false;
                if run.is_some() {
                    // Its process has just ended, and its last words may still be on their way into the log.
                    drop(self.handle.wait(None));
                }
                None
            }
        };
        let path = self.handle.store().root().container_log(self.handle.id());
        let reader = Reader::open(&path, options, ending)?;
        Ok(Lines { reader, error: None, _handle: Arc::clone(&self.handle) })
    }
}

impl Lines {
    /// Why the log ended early, if it did.
    pub fn error(&self) -> Option<&crate::Error> {
        self.error.as_ref()
    }

    /// The reader, for who waits in another way.
    #[cfg(feature = "tokio")]
    pub(crate) fn reader(&mut self) -> &mut Reader {
        &mut self.reader
    }

    /// What the caller sees of what was read.
    pub(crate) fn line(&mut self, read: Result<LogLine>) -> Option<LogLine> {
        read.map_err(|error| {
            tracing::warn!("a log ends early: {error}");
            self.error = Some(error);
        })
        .ok()
    }
}

impl Iterator for Lines {
    type Item = LogLine;

    fn next(&mut self) -> Option<LogLine> {
        let read = self.reader.next()?;
        self.line(read)
    }
}

/// How large a container's log becomes, as its files say.
pub(super) fn log_config(files: &Files) -> LogConfig {
    let mut config = LogConfig::default();
    for (name, value) in files.host.log_config.config.iter().flatten() {
        match name.as_str() {
            "max-size" => config.max_size = ByteSize::parse(value).ok().map(ByteSize::as_u64),
            "max-file" => config.max_file = value.parse().unwrap_or(config.max_file),
            _ => {}
        }
    }
    config
}
