//! Extraction over the files of the layers below, which the directory holds too.
//!
//! The result is what overlayfs would show: an entry takes the place of what is below, directories merge, a whiteout
//! removes. What the layer itself has put there stays, in whatever order its entries come.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::rc::Rc;

use crate::archive::entry::Entry;
use crate::archive::path::{join, split};
use crate::error::Result;
use crate::sys::fs::{self, DIRECTORY, FileKind};

use super::{Parent, Tree, refused};

/// What this layer has put into the tree: canonical paths, and those of the directories above.
#[derive(Debug, Default)]
pub(super) struct Own(HashSet<Vec<u8>>);

impl Own {
    pub(super) fn note(&mut self, path: Vec<u8>) {
        let mut above = split(&path).0.to_vec();
        self.0.insert(path);
        while !above.is_empty() && self.0.insert(above.clone()) {
            above = split(&above).0.to_vec();
        }
    }

    pub(super) fn has(&self, path: &[u8]) -> bool {
        self.0.contains(path)
    }
}

impl Tree<'_> {
    /// Whether what is at a path belongs to the layers below.
    pub(super) fn is_below(&self, path: &[u8]) -> bool {
        self.own.as_ref().is_some_and(|own| !own.has(path))
    }

    pub(super) fn note(&mut self, parent: &Parent, name: &[u8]) {
        if let Some(own) = &mut self.own {
            own.note(join(&parent.path, name));
        }
    }

    /// Opens the directory of an entry. Where the layers below have something else on the way, it gives way: a link of
    /// theirs is not followed.
    pub(super) fn parent(&mut self, path: &[u8], entry: &Entry) -> Result<Rc<Parent>> {
        if self.own.is_some() && !self.parents.knows(path) {
            self.clear_way(path).map_err(|error| refused(entry, error))?;
        }
        self.parents.open(path, entry)
    }

    fn clear_way(&mut self, path: &[u8]) -> io::Result<()> {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| end);
        let mut directory = self.root.directory.try_clone()?;
        for end in ends.chain([path.len()]).filter(|end| *end > 0) {
            let prefix = &path[..end];
            let name = split(prefix).1;
            match fs::stat_at(&directory, name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Ok(found) if found.kind == FileKind::Directory => {
                    directory = fs::open_at(&directory, name, fs::PATH_ONLY)?;
                }
                Ok(_) if self.is_below(prefix) => {
                    self.parents.forget();
                    return fs::unlink_at(&directory, name);
                }
                Ok(_) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Removes what the layers below have at a name.
    pub(super) fn give_way(&mut self, parent: &Parent, name: &[u8], entry: &Entry) -> Result<()> {
        self.parents.forget();
        fs::remove_tree(&parent.directory, OsStr::from_bytes(name)).map_err(|error| refused(entry, error))
    }

    /// Removes whatever is at a name.
    pub(super) fn clear(&mut self, parent: &Parent, name: &[u8], entry: &Entry) -> Result<()> {
        match fs::stat_at(&parent.directory, name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(refused(entry, error)),
            Ok(_) if self.is_below(&join(&parent.path, name)) => self.give_way(parent, name, entry),
            Ok(_) => self.remove(parent, name, entry),
        }
    }

    /// Removes what the layers below have at a name and below it.
    pub(super) fn hide(&mut self, parent: &Parent, name: &[u8], entry: &Entry) -> Result<()> {
        let path = join(&parent.path, name);
        if self.is_below(&path) {
            return self.give_way(parent, name, entry);
        }
        match fs::stat_at(&parent.directory, name) {
            Ok(found) if found.kind == FileKind::Directory => {
                let directory =
                    fs::open_at(&parent.directory, name, DIRECTORY).map_err(|error| refused(entry, error))?;
                self.hide_all(&Parent { directory, path }, entry)
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(refused(entry, error)),
            _ => Ok(()),
        }
    }

    /// Removes what the layers below have in a directory.
    pub(super) fn hide_all(&mut self, parent: &Parent, entry: &Entry) -> Result<()> {
        let directory = fs::open_at(&parent.directory, ".", DIRECTORY).map_err(|error| refused(entry, error))?;
        for found in fs::read_directory(&directory).map_err(|error| refused(entry, error))? {
            self.hide(parent, found.name.as_bytes(), entry)?;
        }
        Ok(())
    }
}
