//! Open parent directories.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::rc::Rc;

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::archive::entry::Entry;
use crate::archive::fault::{ArchiveFault, text};
use crate::archive::path::{join, split};
use crate::error::{Attempt as _, Error, Result};
use crate::sys::fs;

use super::refused;

/// Directories kept open. Archives list directory by directory, so that a few are enough.
const CACHED: usize = 16;
const FLAGS: OFlags = OFlags::PATH.union(OFlags::DIRECTORY);

/// An open directory of the tree.
pub(super) struct Parent {
    /// Names the directory (`O_PATH`).
    pub(super) directory: OwnedFd,
    /// Its canonical path: no links in it.
    pub(super) path: Vec<u8>,
}

/// A bounded cache of open directories, by the path that entries spell.
pub(super) struct Parents {
    root: Rc<Parent>,
    /// Most recently used first.
    cache: VecDeque<(Vec<u8>, Rc<Parent>)>,
    /// The umask is 0.
    has_exact_modes: bool,
}

impl Parents {
    pub(super) fn new(root: Rc<Parent>, has_exact_modes: bool) -> Self {
        Self { root, cache: VecDeque::with_capacity(CACHED + 1), has_exact_modes }
    }

    /// Opens a directory, following links inside the layer; missing ones are made.
    pub(super) fn open(&mut self, path: &[u8], entry: &Entry) -> Result<Rc<Parent>> {
        if let Some(parent) = self.cached(path) {
            return Ok(parent);
        }
        let opened = match self.open_existing(path) {
            Ok(parent) => parent,
            Err(error) if is(&error, Errno::NOENT) => self.make(path, entry)?,
            Err(error) => return Err(explain(entry, path, error)),
        };
        Ok(self.keep(path, opened))
    }

    /// Opens an existing directory whose path has no links.
    pub(super) fn open_plain(&mut self, path: &[u8], entry: &Entry) -> Result<Rc<Parent>> {
        self.open_known(path).map_err(|error| explain(entry, path, error))
    }

    /// Opens a directory of the tree by its canonical path.
    pub(super) fn open_known(&mut self, path: &[u8]) -> io::Result<Rc<Parent>> {
        match self.cached(path) {
            Some(parent) if parent.path == path => Ok(parent),
            _ => self.open_without_links(path).map(|parent| self.keep(path, parent)),
        }
    }

    /// Forgets everything: a directory or a link was replaced, so that paths may lead elsewhere now.
    pub(super) fn forget(&mut self) {
        self.cache.clear();
    }

    /// Whether a directory was opened before.
    pub(super) fn knows(&self, path: &[u8]) -> bool {
        path.is_empty() || self.cache.iter().any(|(known, _)| known == path)
    }

    fn cached(&mut self, path: &[u8]) -> Option<Rc<Parent>> {
        if path.is_empty() {
            return Some(Rc::clone(&self.root));
        }
        let at = self.cache.iter().position(|(known, _)| known == path)?;
        if at > 0 {
            let hit = self.cache.remove(at)?;
            self.cache.push_front(hit);
        }
        self.cache.front().map(|(_, parent)| Rc::clone(parent))
    }

    fn keep(&mut self, path: &[u8], parent: Parent) -> Rc<Parent> {
        let parent = Rc::new(parent);
        self.cache.push_front((path.to_vec(), Rc::clone(&parent)));
        self.cache.truncate(CACHED);
        parent
    }

    fn open_existing(&mut self, path: &[u8]) -> io::Result<Parent> {
        match self.open_without_links(path) {
            Err(error) if is(&error, Errno::LOOP) => {}
            result => return result,
        }
        let directory = fs::open_in_root(&self.root.directory, path, FLAGS)?;
        let path = self.canonical(&directory)?;
        Ok(Parent { directory, path })
    }

    fn open_without_links(&mut self, path: &[u8]) -> io::Result<Parent> {
        if path.is_empty() {
            let directory = self.root.directory.try_clone()?;
            return Ok(Parent { directory, path: Vec::new() });
        }
        let (above, name) = split(path);
        // Mostly the directory above was just used.
        let directory = match self.cached(above) {
            Some(cached) if cached.path == above => fs::open_beneath(&cached.directory, name, FLAGS)?,
            _ => fs::open_beneath(&self.root.directory, path, FLAGS)?,
        };
        Ok(Parent { directory, path: path.to_vec() })
    }

    /// Where a directory that was reached through links really is.
    fn canonical(&self, directory: &OwnedFd) -> io::Result<Vec<u8>> {
        let root = fs::path_of(&self.root.directory)?;
        let path = fs::path_of(directory)?;
        let inside = path.strip_prefix(&root).map_err(|_| io::Error::from(Errno::XDEV))?;
        Ok(inside.as_os_str().as_bytes().to_vec())
    }

    /// Makes a directory and those above it that are missing.
    fn make(&mut self, path: &[u8], entry: &Entry) -> Result<Parent> {
        let mut end = path.len();
        let mut parent = loop {
            end = path[..end].iter().rposition(|byte| *byte == b'/').unwrap_or(0);
            if end == 0 {
                let directory = self.root.directory.try_clone().attempt(|| "open the layer's directory")?;
                break Parent { directory, path: Vec::new() };
            }
            match self.open_existing(&path[..end]) {
                Ok(parent) => break parent,
                Err(error) if is(&error, Errno::NOENT) => {}
                Err(error) => return Err(explain(entry, &path[..end], error)),
            }
        };
        let missing = path[end..].split(|byte| *byte == b'/').filter(|name| !name.is_empty());
        for name in missing {
            match fs::make_directory_at(&parent.directory, name, 0o755) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let why = format!("its directory {:?} is a link that leads nowhere", text(path));
                    return Err(ArchiveFault::entry(&entry.name, why));
                }
                result => result.map_err(|error| refused(entry, error))?,
            }
            if !self.has_exact_modes {
                fs::set_mode_at(&parent.directory, name, 0o755).map_err(|error| refused(entry, error))?;
            }
            let directory = fs::open_beneath(&parent.directory, name, FLAGS).map_err(|error| refused(entry, error))?;
            parent = Parent { directory, path: join(&parent.path, name) };
        }
        Ok(parent)
    }
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

fn explain(entry: &Entry, path: &[u8], error: io::Error) -> Error {
    let why = match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOTDIR) => "is not a directory",
        Some(Errno::LOOP) => "leads through symbolic links",
        Some(Errno::NOENT) => "is not in this layer",
        Some(Errno::XDEV) => "leads out of the layer",
        _ => return refused(entry, error),
    };
    ArchiveFault::entry(&entry.name, format!("{:?} {why}", text(path)))
}
