//! Reads a container's log: the last lines, a span of time, what is still to come.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify;

use super::json_file::rotated;
use super::{Entry, Stream};
use crate::error::{Attempt, Result};
use crate::spec::Timestamp;

/// Lines beyond this length are handed out in parts; longer lines of the file are skipped as damaged.
const LONGEST_LINE: usize = 1024 * 1024;

/// How much of the file is read at a time.
const CHUNK: usize = 64 * 1024;

/// Which lines of a log are wanted. By default all that are there, of both streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogOptions {
    /// Only so many, from the end.
    pub tail: Option<usize>,
    /// Nothing before this time.
    pub since: Option<Timestamp>,
    /// Nothing after this time.
    pub until: Option<Timestamp>,
    /// Waits for more at the end of the file.
    pub follow: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { tail: None, since: None, until: None, follow: false, stdout: true, stderr: true }
    }
}

/// One line of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Where the process wrote it.
    pub stream: Stream,
    /// When it was read from the process.
    pub time: Timestamp,
    /// The text without its line feed.
    pub text: String,
}

/// The text alone, as the process wrote it.
impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Reads a log line by line, oldest first; the files that were rotated away come before the current one.
pub(crate) struct Reader {
    options: LogOptions,
    path: PathBuf,
    source: Source,
    /// Older files still to be read, the next one last.
    older: Vec<PathBuf>,
    /// Lines that are read and not handed out yet.
    ready: VecDeque<LogLine>,
    /// Pieces of lines that are not complete, per stream.
    pieces: [Option<LogLine>; 2],
    follow: Option<Follow>,
    done: bool,
}

/// What a follower sleeps on.
pub(crate) struct Follow {
    /// Readable once the log may have grown.
    pub watch: OwnedFd,
    /// Without it the log never ends.
    pub ending: Option<Ending>,
}

/// Tells a follower that nothing will be written any more.
pub(crate) struct Ending {
    /// Readable once the container has ended: its pidfd.
    pub ended: OwnedFd,
    /// Returns once the log is complete.
    pub completed: Box<dyn FnOnce() + Send>,
}

impl Reader {
    /// Opens the log of this path; one that does not exist is empty.
    ///
    /// A follower without `ending` waits forever; with it, iteration ends when the container has ended and every line
    /// is handed out.
    pub(crate) fn open(path: &Path, options: LogOptions, ending: Option<Ending>) -> Result<Self> {
        // The watch comes first: what is written between the reading and the watching would be missed.
        let follow = match options.follow {
            true => Some(Follow { watch: watch(path).attempt(|| format!("watch log {path:?}"))?, ending }),
            false => None,
        };
        let mut older = Vec::new();
        for number in 1.. {
            let plain = rotated(path, number);
            let mut packed = plain.clone().into_os_string();
            packed.push(".gz");
            match (plain.exists(), Path::new(&packed).exists()) {
                (true, _) => older.push(plain),
                (false, true) => older.push(packed.into()),
                (false, false) => break,
            }
        }
        let source = Source::new(path)?;
        let mut reader = Self {
            options,
            path: path.to_owned(),
            source,
            older,
            ready: VecDeque::new(),
            pieces: [None, None],
            follow,
            done: false,
        };
        reader.read_older()?;
        if let Some(tail) = reader.options.tail {
            reader.read_to_end(Some(tail))?;
            reader.keep_last(tail);
        }
        Ok(reader)
    }

    /// Forgets all but the last `tail` lines, of which one that is not complete is one.
    fn keep_last(&mut self, tail: usize) {
        let excess = (self.ready.len() + self.pieces.iter().flatten().count()).saturating_sub(tail);
        let complete = excess.min(self.ready.len());
        self.ready.drain(..complete);
        for _ in complete..excess {
            let pieces = self.pieces.iter_mut().filter(|piece| piece.is_some());
            if let Some(earliest) = pieces.min_by_key(|piece| piece.as_ref().map(|line| line.time)) {
                *earliest = None;
            }
        }
    }

    /// The next line that is there; more may have come when it is asked again.
    pub(crate) fn next_available(&mut self) -> Result<Option<LogLine>> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Ok(Some(line));
            }
            let more =
                self.read_some()? || self.source.renew(&self.path).attempt(|| format!("open log {:?}", self.path))?;
            if !more {
                return Ok(None);
            }
        }
    }

    /// Reads the files that were rotated away. A limit keeps only what is wanted of them.
    fn read_older(&mut self) -> Result<()> {
        while let Some(path) = self.older.pop() {
            let current = std::mem::replace(&mut self.source, Source::new(&path)?);
            self.read_to_end(self.options.tail)?;
            self.source = current;
        }
        Ok(())
    }

    /// Reads what the current source has, keeping the last `tail` lines.
    fn read_to_end(&mut self, tail: Option<usize>) -> Result<()> {
        while self.read_some()? {
            if let Some(tail) = tail {
                let excess = self.ready.len().saturating_sub(tail);
                self.ready.drain(..excess);
            }
        }
        if let Some(tail) = tail {
            let excess = self.ready.len().saturating_sub(tail);
            self.ready.drain(..excess);
        }
        Ok(())
    }

    /// Reads the next chunk of the source; false at its end.
    fn read_some(&mut self) -> Result<bool> {
        let more = self.source.fill().attempt(|| format!("read log {:?}", self.path))?;
        while let Some(line) = self.source.next_line() {
            // Half a line that a crash left is no reason to withhold the rest.
            if let Ok(entry) = serde_json::from_slice::<Entry<'_>>(&line) {
                self.take(&entry);
            }
        }
        Ok(more)
    }

    fn take(&mut self, entry: &Entry<'_>) {
        let wanted = match entry.stream {
            Stream::Stdout => self.options.stdout,
            Stream::Stderr => self.options.stderr,
        };
        if !wanted || self.options.since.is_some_and(|since| entry.time < since) {
            return;
        }
        if self.options.until.is_some_and(|until| entry.time > until) {
            // Times in the file rise: what follows is later still.
            self.finish();
            return;
        }
        let slot = &mut self.pieces[entry.stream as usize];
        let line = slot.get_or_insert_with(|| LogLine { stream: entry.stream, time: entry.time, text: String::new() });
        let (text, whole) = match entry.log.strip_suffix('\n') {
            Some(text) => (text, true),
            None => (entry.log.as_ref(), false),
        };
        line.text.push_str(text);
        if whole || line.text.len() >= LONGEST_LINE {
            self.ready.extend(slot.take());
        }
    }

    /// The next line that is there, without waiting for one.
    pub(crate) fn available(&mut self) -> Option<Result<LogLine>> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(Ok(line));
            }
            if self.done {
                return None;
            }
            match self.read_more() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    self.done = true;
                    return Some(Err(error));
                }
            }
        }
    }

    /// Reads on, in the file that has replaced the current one if need be; false if there is nothing new.
    fn read_more(&mut self) -> Result<bool> {
        Ok(self.read_some()? || self.done || {
            self.source.renew(&self.path).attempt(|| format!("open log {:?}", self.path))?
        })
    }

    /// What to sleep on while nothing is available. Without it nothing will follow.
    #[cfg(feature = "tokio")]
    pub(crate) fn take_follow(&mut self) -> Option<Follow> {
        self.follow.take()
    }

    /// Nothing will follow: what is there of incomplete lines comes last.
    pub(crate) fn finish(&mut self) {
        if !std::mem::replace(&mut self.done, true) {
            let mut lines: Vec<_> = std::mem::take(&mut self.pieces).into_iter().flatten().collect();
            lines.sort_by_key(|line| line.time);
            self.ready.extend(lines);
        }
    }

    /// Sleeps until the log may have grown, or is complete.
    fn wait(&mut self) -> Result<()> {
        let Some(follow) = &self.follow else {
            self.finish();
            return Ok(());
        };
        let has_ended = follow.wait().attempt(|| format!("wait for log {:?}", self.path))?;
        if has_ended && let Some(Follow { ending: Some(ending), .. }) = self.follow.take() {
            (ending.completed)();
        }
        Ok(())
    }
}

impl Follow {
    /// Sleeps until the log may have grown; true once the container has ended.
    fn wait(&self) -> io::Result<bool> {
        let mut fds = vec![PollFd::new(&self.watch, PollFlags::IN)];
        fds.extend(self.ending.as_ref().map(|ending| PollFd::new(&ending.ended, PollFlags::IN)));
        match poll(&mut fds, None) {
            Err(rustix::io::Errno::INTR) => return Ok(false),
            polled => polled?,
        };
        let has_ended = fds.get(1).is_some_and(|fd| !fd.revents().is_empty());
        drain(&self.watch);
        Ok(has_ended)
    }
}

impl Iterator for Reader {
    type Item = Result<LogLine>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(line) = self.available() {
                return Some(line);
            }
            if self.done {
                return None;
            }
            if let Err(error) = self.wait() {
                self.done = true;
                return Some(Err(error));
            }
        }
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("path", &self.path).field("options", &self.options).finish_non_exhaustive()
    }
}

/// One file, cut into lines.
struct Source {
    input: Input,
    /// What was read and not handed out, from `start`.
    buffer: Vec<u8>,
    start: usize,
    /// How far there is no line feed after `start`.
    searched: usize,
    /// Within a line that is too long to be one of ours.
    skipping: bool,
}

enum Input {
    Missing,
    Plain(File),
    Packed(Box<MultiGzDecoder<File>>),
}

impl Source {
    fn new(path: &Path) -> Result<Self> {
        let input = match File::open(path) {
            Ok(file) if path.extension().is_some_and(|it| it == "gz") => {
                Input::Packed(Box::new(MultiGzDecoder::new(file)))
            }
            Ok(file) => Input::Plain(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Input::Missing,
            Err(error) => return Err(error).attempt(|| format!("open log {path:?}")),
        };
        Ok(Self { input, buffer: Vec::new(), start: 0, searched: 0, skipping: false })
    }

    /// Reads the next chunk; false at the end.
    fn fill(&mut self) -> io::Result<bool> {
        self.buffer.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        let length = self.buffer.len();
        let reader: &mut dyn Read = match &mut self.input {
            Input::Missing => return Ok(false),
            Input::Plain(file) => file,
            Input::Packed(decoder) => decoder,
        };
        reader.take(CHUNK as u64).read_to_end(&mut self.buffer)?;
        Ok(self.buffer.len() > length)
    }

    fn next_line(&mut self) -> Option<Vec<u8>> {
        loop {
            let Some(at) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') else {
                self.searched = self.buffer.len();
                if self.searched - self.start > LONGEST_LINE {
                    self.start = self.searched;
                    self.skipping = true;
                }
                return None;
            };
            let end = self.searched + at;
            let line = self.buffer[self.start..end].to_vec();
            (self.start, self.searched) = (end + 1, end + 1);
            if !std::mem::take(&mut self.skipping) {
                return Some(line);
            }
        }
    }

    /// At the end of the file: goes on with the one that replaced it, if it was rotated away or truncated.
    fn renew(&mut self, path: &Path) -> io::Result<bool> {
        let new = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            opened => opened?,
        };
        let found = new.metadata()?;
        if let Input::Plain(file) = &mut self.input {
            let old = file.metadata()?;
            if (old.dev(), old.ino()) == (found.dev(), found.ino()) {
                let truncated = found.size() < file.stream_position()?;
                if truncated {
                    file.seek(SeekFrom::Start(0))?;
                    self.forget();
                }
                return Ok(truncated);
            }
        }
        self.input = Input::Plain(new);
        self.forget();
        Ok(true)
    }

    fn forget(&mut self) {
        self.buffer.clear();
        (self.start, self.searched, self.skipping) = (0, 0, false);
    }
}

/// A descriptor that becomes readable when something happens to the files beside the log.
fn watch(path: &Path) -> io::Result<OwnedFd> {
    let directory = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    let events = inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_TO;
    inotify::add_watch(&watch, directory, events)?;
    Ok(watch)
}

/// Empties the watch; what it says does not matter, only that it woke us.
pub(crate) fn drain(watch: &OwnedFd) {
    let mut events = [0; 4096];
    while rustix::io::read(watch, &mut events).is_ok_and(|read| read > 0) {}
}

#[cfg(test)]
mod tests;
