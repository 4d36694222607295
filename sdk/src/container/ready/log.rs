//! Lines of a log as a condition.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::{Kind, Ready, Stream};
use crate::container::handle::Handle;
use crate::error::Result;
use crate::image::Layers;
use crate::logs::read::{LogOptions, Reader};

/// Lines of the log as a condition; made by [`Ready::log`].
#[must_use = "a condition does nothing until a definition has it"]
pub struct LogReady<D = Layers> {
    wanted: Wanted,
    of: PhantomData<fn() -> D>,
}

/// Which lines, and how many.
#[derive(Clone)]
pub(super) struct Wanted {
    words: String,
    accepts: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    count: usize,
    stream: Option<Stream>,
}

impl<D> LogReady<D> {
    pub(super) fn new(words: String, accepts: Arc<dyn Fn(&str) -> bool + Send + Sync>) -> Self {
        Self { wanted: Wanted { words, accepts, count: 1, stream: None }, of: PhantomData }
    }

    /// Takes this many such lines. Default: 1.
    pub fn count(mut self, lines: usize) -> Self {
        self.wanted.count = lines;
        self
    }

    /// Counts lines of standard output only.
    pub fn stdout(mut self) -> Self {
        self.wanted.stream = Some(Stream::Stdout);
        self
    }

    /// Counts lines of standard error only.
    pub fn stderr(mut self) -> Self {
        self.wanted.stream = Some(Stream::Stderr);
        self
    }

    /// As [`Ready::timeout`].
    pub fn timeout(self, timeout: Duration) -> Ready<D> {
        Ready::from(self).timeout(timeout)
    }
}

impl<D> From<LogReady<D>> for Ready<D> {
    fn from(log: LogReady<D>) -> Self {
        Self::new(Kind::Log(log.wanted))
    }
}

impl<D> fmt::Debug for LogReady<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogReady({})", self.wanted)
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            1 => f.write_str("a log line")?,
            count => write!(f, "{count} log lines")?,
        }
        let of = self.stream.map_or("", |stream| if stream == Stream::Stdout { " of stdout" } else { " of stderr" });
        write!(f, "{of} with {}", self.words)
    }
}

/// Looks at what is new in the log.
pub(super) struct Watcher {
    wanted: Wanted,
    reader: Reader,
    found: usize,
    last: Option<String>,
}

impl Watcher {
    pub(super) fn new(handle: &Handle, wanted: Wanted) -> Result<Self> {
        let mut options = LogOptions::default();
        match wanted.stream {
            Some(Stream::Stdout) => options.stderr = false,
            Some(Stream::Stderr) => options.stdout = false,
            None => {}
        }
        options.since = handle.files()?.record.and_then(|record| record.run).map(|run| run.started_at);
        let reader = Reader::open(&handle.store().root().container_log(handle.id()), options, None)?;
        Ok(Self { wanted, reader, found: 0, last: None })
    }

    pub(super) fn look(&mut self) -> Result<(), String> {
        while let Some(line) = self.reader.next_available().map_err(|error| error.to_string())? {
            self.found += usize::from((self.wanted.accepts)(&line.text));
            if self.found >= self.wanted.count {
                return Ok(());
            }
            self.last = Some(line.text);
        }
        Err(match (&self.last, self.found) {
            (None, _) => "it has written nothing".to_owned(),
            (Some(last), 0) => format!("its last line is {last:?}"),
            (Some(last), found) => format!("there were {found}, and its last line is {last:?}"),
        })
    }
}
