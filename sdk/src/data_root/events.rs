//! What has happened on this data root: lines, told by every program that uses it, followed by any.
//!
//! ```text
//! image/plywood/events/
//! ├── current     appended to; one write for each line, so that lines of several programs never mix
//! └── previous    what was current before it grew large; what was there before is forgotten
//! ```
//!
//! Nobody holds a lock to tell something. Who finds `current` large locks it and renames it; a line that is written to
//! it just then is still read, since a follower reads the file it has left once more. Followers sleep in inotify(7).
//!
//! It is a help for those who watch, and not part of the store's truth: nothing is synced, and telling may fail.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use super::{DataRoot, own_dir};
use crate::error::{Attempt as _, Error, Result};

/// When a file has grown enough, in bytes: some thousand lines.
const LARGE: u64 = 1 << 20;

/// How much is read at a time, in bytes.
const BLOCK: usize = 64 << 10;

impl DataRoot {
    /// Adds a line.
    pub(crate) fn tell(&self, line: &str) -> Result<()> {
        let directory = directory(self.path());
        append(&directory, line).attempt(|| format!("write to {directory:?}"))
    }

    /// Begins to read lines: with `history` those that are kept, and then those that are told from now on.
    pub(crate) fn told(&self, history: bool) -> Result<Told> {
        let directory = directory(self.path());
        let attempt = || format!("watch {directory:?}");
        let told = Told::open(directory.clone(), history).attempt(attempt);
        told.map_err(|error| match error.kind() {
            crate::error::ErrorKind::LimitExceeded => error.with_hint("raise fs.inotify.max_user_instances"),
            _ => error,
        })
    }
}

/// The file that lines are appended to.
pub(crate) fn current(root: &DataRoot) -> PathBuf {
    directory(root.path()).join("current")
}

fn directory(root: &Path) -> PathBuf {
    own_dir(root).join("events")
}

fn append(directory: &Path, line: &str) -> io::Result<()> {
    let current = directory.join("current");
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&current)?;
    file.write_all(format!("{line}\n").as_bytes())?;
    if file.metadata()?.len() >= LARGE && file.try_lock().is_ok() && is_at(&file, &current) {
        std::fs::rename(&current, directory.join("previous"))?;
    }
    Ok(())
}

/// Whether the file at a path is this one.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(own), Ok(there)) = (file.metadata(), path.metadata()) else { return false };
    (own.dev(), own.ino()) == (there.dev(), there.ino())
}

/// The lines, as they are told.
#[derive(Debug)]
pub(crate) struct Told {
    directory: PathBuf,
    watch: OwnedFd,
    /// The file before the last, which may still get a line, and the last.
    files: [Option<Source>; 2],
    ready: std::collections::VecDeque<String>,
}

/// A file that is read as it grows.
#[derive(Debug)]
struct Source {
    file: File,
    /// Of a line that is not complete yet.
    rest: Vec<u8>,
}

impl Told {
    fn open(directory: PathBuf, history: bool) -> io::Result<Self> {
        let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        // Before the files are opened: what happens in between wakes us for nothing.
        inotify::add_watch(&watch, &directory, WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO)?;
        let mut told = Self { directory, watch, files: [None, None], ready: Default::default() };
        let current = told.source("current")?;
        // It may have been renamed in between.
        let is_other = |source: &Source| current.as_ref().is_none_or(|current| !same(&current.file, &source.file));
        let previous = told.source("previous")?.filter(is_other);
        told.files = [previous, current];
        if !history {
            for source in told.files.iter_mut().flatten() {
                io::Seek::seek(&mut source.file, io::SeekFrom::End(0))?;
            }
        }
        Ok(told)
    }

    fn source(&self, name: &str) -> io::Result<Option<Source>> {
        match File::open(self.directory.join(name)) {
            Ok(file) => Ok(Some(Source { file, rest: Vec::new() })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The next line that is there.
    pub(crate) fn next_line(&mut self) -> Result<Option<String>> {
        if self.ready.is_empty() {
            self.read().attempt(|| format!("read {:?}", self.directory))?;
        }
        Ok(self.ready.pop_front())
    }

    fn read(&mut self) -> io::Result<()> {
        self.advance()?;
        // Both, oldest first: a file may have come and been moved aside since we last looked.
        for name in ["previous", "current"] {
            if let Some(new) = self.source(name)?.filter(|new| !self.knows(new)) {
                // What the last one got at last comes before the first of the new one.
                self.advance()?;
                let [_, last] = std::mem::take(&mut self.files);
                self.files = [last, Some(new)];
                self.advance()?;
            }
        }
        Ok(())
    }

    fn knows(&self, source: &Source) -> bool {
        self.files.iter().flatten().any(|known| same(&known.file, &source.file))
    }

    /// Reads all that is new in both files.
    fn advance(&mut self) -> io::Result<()> {
        for source in self.files.iter_mut().flatten() {
            source.advance(&mut self.ready)?;
        }
        Ok(())
    }

    /// Waits until something may have been told; false once the time has come.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> Result<bool> {
        let attempt = || format!("watch {:?}", self.directory);
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut [PollFd::new(&self.watch, PollFlags::IN)], left.as_ref()) {
                Ok(0) => return Ok(false),
                Ok(_) => break,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(Error::os(attempt(), error.into())),
            }
        }
        self.drain();
        Ok(true)
    }

    /// Readable once something may have been told.
    #[cfg(feature = "tokio")]
    pub(crate) fn watch(&self) -> &OwnedFd {
        &self.watch
    }

    /// Empties the watch. What has changed does not matter: the files tell.
    pub(crate) fn drain(&self) {
        let mut events = [0; 4096];
        while rustix::io::read(&self.watch, &mut events).is_ok_and(|read| read > 0) {}
    }
}

impl Source {
    fn advance(&mut self, lines: &mut std::collections::VecDeque<String>) -> io::Result<()> {
        let mut block = vec![0; BLOCK];
        loop {
            let read = match self.file.read(&mut block) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.rest.extend_from_slice(&block[..read]);
            while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                lines.push_back(String::from_utf8_lossy(&line[..end]).into_owned());
            }
        }
    }
}

fn same(a: &File, b: &File) -> bool {
    let (Ok(a), Ok(b)) = (a.metadata(), b.metadata()) else { return false };
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn lines(told: &mut Told) -> Vec<String> {
        std::iter::from_fn(|| told.next_line().unwrap()).collect()
    }

    #[test]
    fn lines_are_read_whole_across_files_and_by_late_comers() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let mut early = Told::open(path.to_owned(), false).unwrap();
        assert_eq!(lines(&mut early), Vec::<String>::new());
        append(path, "one").unwrap();
        assert!(early.wait(None).unwrap());
        assert_eq!(lines(&mut early), ["one"]);
        // A line as long as a file may be moves it aside.
        let long = "x".repeat(LARGE as usize);
        append(path, &long).unwrap();
        assert!(path.join("previous").exists() && !path.join("current").exists());
        append(path, "two").unwrap();
        let mut late = Told::open(path.to_owned(), true).unwrap();
        assert_eq!(lines(&mut late), ["one", &long, "two"]);
        assert_eq!(lines(&mut early), [&long, "two"]);
        // Somebody had it open while it was moved.
        let mut slow = OpenOptions::new().append(true).open(path.join("previous")).unwrap();
        slow.write_all(b"sl").unwrap();
        assert_eq!(lines(&mut early), Vec::<String>::new());
        slow.write_all(b"ow\n").unwrap();
        append(path, "three").unwrap();
        assert_eq!(lines(&mut early), ["slow", "three"]);
        assert!(!early.wait(Some(Instant::now())).unwrap() || !early.wait(Some(Instant::now())).unwrap());
    }

    #[test]
    fn many_writers_lose_no_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let mut told = Told::open(path.to_owned(), false).unwrap();
        // Together they fill more than one file.
        let filler = "x".repeat(8 << 10);
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let filler = &filler;
                scope.spawn(move || (0..50).for_each(|n| append(path, &format!("{writer}-{n} {filler}")).unwrap()));
            }
            let mut found = Vec::new();
            while found.len() < 200 {
                found.extend(lines(&mut told));
                let patience = Some(Instant::now() + std::time::Duration::from_secs(30));
                assert!(found.len() >= 200 || told.wait(patience).unwrap(), "{} lines", found.len());
            }
            found.sort();
            found.dedup();
            assert_eq!(found.len(), 200);
            assert!(found.iter().all(|line| line.ends_with(filler.as_str())));
        });
    }
}
