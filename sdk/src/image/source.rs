//! Where the bytes of an archive come from, and how the caller watches them arrive.

use std::cell::Cell;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An archive to import or load: a path or any reader.
///
/// A path is read in place. A reader is read once, to its end; where the format asks for random access (an archive of
/// images), it is first copied to an unnamed file in the data root.
pub struct Source<'a>(pub(crate) Kind<'a>);

pub(crate) enum Kind<'a> {
    Path(PathBuf),
    Reader(Box<dyn Read + Send + 'a>),
}

impl<'a> Source<'a> {
    /// Reads the archive from `reader`.
    pub fn reader(reader: impl Read + Send + 'a) -> Self {
        Self(Kind::Reader(Box::new(reader)))
    }

    /// Reads the archive at `path`: a file, or a directory that holds an OCI layout.
    pub fn path(path: impl Into<PathBuf>) -> Self {
        Self(Kind::Path(path.into()))
    }

    /// What messages and the history of an imported image call it.
    pub(crate) fn name(&self) -> String {
        match &self.0 {
            Kind::Path(path) => path.display().to_string(),
            Kind::Reader(_) => "-".to_owned(),
        }
    }
}

impl fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Path(path) => f.debug_tuple("Source").field(path).finish(),
            Kind::Reader(_) => f.write_str("Source(reader)"),
        }
    }
}

impl From<&str> for Source<'_> {
    fn from(path: &str) -> Self {
        Self::path(path)
    }
}

impl From<String> for Source<'_> {
    fn from(path: String) -> Self {
        Self::path(path)
    }
}

impl From<&Path> for Source<'_> {
    fn from(path: &Path) -> Self {
        Self::path(path)
    }
}

impl From<&PathBuf> for Source<'_> {
    fn from(path: &PathBuf) -> Self {
        Self::path(path)
    }
}

impl From<PathBuf> for Source<'_> {
    fn from(path: PathBuf) -> Self {
        Self::path(path)
    }
}

impl From<File> for Source<'_> {
    fn from(file: File) -> Self {
        Self::reader(file)
    }
}

/// How far an import or a load has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    read: u64,
    total: Option<u64>,
}

impl Progress {
    /// Bytes of the source read so far, as they are stored there (compressed or not).
    pub fn read(&self) -> u64 {
        self.read
    }

    /// Bytes there are to read; absent while that is not known, as for a reader.
    pub fn total(&self) -> Option<u64> {
        self.total
    }
}

/// The caller's progress function, shared by the clones of an options value.
#[derive(Clone, Default)]
pub(crate) struct Listener(Option<Callback>);

type Callback = Arc<dyn Fn(&Progress) + Send + Sync>;

impl Listener {
    pub(crate) fn new(listener: impl Fn(&Progress) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listener)))
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Listener(set)" } else { "Listener(none)" })
    }
}

/// Counts the bytes of one operation and tells the listener.
pub(crate) struct Meter {
    listener: Listener,
    read: Cell<u64>,
    told: Cell<u64>,
    total: Cell<Option<u64>>,
}

/// Readers ask for as little as 512 bytes; the listener hears of it every 256 KiB.
const STEP: u64 = 256 * 1024;

impl Meter {
    pub(crate) fn new(listener: &Listener, total: Option<u64>) -> Self {
        Self { listener: listener.clone(), read: Cell::new(0), told: Cell::new(0), total: Cell::new(total) }
    }

    /// Starts over: what was copied is now to be read, and its size is known.
    pub(crate) fn restart(&self, total: u64) {
        self.read.set(0);
        self.told.set(0);
        self.total.set(Some(total));
    }

    pub(crate) fn add(&self, bytes: u64) {
        self.read.set(self.read.get() + bytes);
        if self.read.get() - self.told.get() >= STEP {
            self.tell();
        }
    }

    /// Reports the last bytes.
    pub(crate) fn finish(&self) {
        if self.read.get() != self.told.get() {
            self.tell();
        }
    }

    fn tell(&self) {
        self.told.set(self.read.get());
        if let Some(listener) = &self.listener.0 {
            listener(&Progress { read: self.read.get(), total: self.total.get() });
        }
    }
}

/// A reader that is counted.
pub(crate) struct Metered<'m, R> {
    inner: R,
    meter: &'m Meter,
}

impl<'m, R: Read> Metered<'m, R> {
    pub(crate) fn new(inner: R, meter: &'m Meter) -> Self {
        Self { inner, meter }
    }
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.meter.add(count as u64);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn a_listener_hears_of_every_step_and_of_the_end() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let listener = {
            let heard = Arc::clone(&heard);
            Listener::new(move |progress| heard.lock().unwrap().push((progress.read(), progress.total())))
        };
        let meter = Meter::new(&listener, Some(3 * STEP + 5));
        let bytes = vec![0u8; 3 * STEP as usize + 5];
        io::copy(&mut Metered::new(&bytes[..], &meter), &mut io::sink()).unwrap();
        meter.finish();
        let heard = heard.lock().unwrap();
        assert!(heard.len() >= 3, "{heard:?}");
        assert_eq!(heard.last(), Some(&(3 * STEP + 5, Some(3 * STEP + 5))));
    }

    #[test]
    fn paths_and_readers_are_sources() {
        assert_eq!(Source::from("a.tar").name(), "a.tar");
        assert_eq!(Source::from(Path::new("/b.tar")).name(), "/b.tar");
        assert_eq!(Source::reader(&b"x"[..]).name(), "-");
    }
}
