//! Entries of the same name: the last one stays.
//!
//! What goes is noted, for tar-split must still be able to rebuild the archive: see [`Saved`].

use std::collections::HashSet;
use std::ffi::OsStr;
use std::ops::Bound;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;

use crate::archive::entry::Entry;
use crate::archive::path::join;
use crate::archive::saved::Saved;
use crate::error::{Attempt as _, Result};
use crate::sys::fs::{self, DIRECTORY, FileKind};

use super::{Parent, Tree, refused};

impl Tree<'_> {
    /// A directory entry whose name is taken: an existing directory stays with its content, anything else gives way.
    pub(super) fn directory_over(&mut self, parent: &Parent, name: &[u8], entry: &Entry) -> Result<()> {
        let is_below = self.is_below(&join(&parent.path, name));
        if !is_below {
            self.saved.get_or_insert_default();
        }
        let existing = fs::stat_at(&parent.directory, name).map_err(|error| refused(entry, error))?;
        if existing.kind == FileKind::Directory {
            return Ok(());
        }
        if is_below {
            self.give_way(parent, name, entry)?;
            return fs::make_directory_at(&parent.directory, name, 0o700).map_err(|error| refused(entry, error));
        }
        self.remove(parent, name, entry)?;
        fs::make_directory_at(&parent.directory, name, 0o700).map_err(|error| refused(entry, error))?;
        if existing.is_whiteout() && self.own.is_none() {
            // It hid the directory of the layers below, and must go on doing so.
            self.set_opaque(parent, name, entry)?;
        }
        Ok(())
    }

    /// Removes an earlier entry, directories with all that is in them.
    pub(super) fn remove(&mut self, parent: &Parent, name: &[u8], entry: &Entry) -> Result<()> {
        let existing = fs::stat_at(&parent.directory, name).map_err(|error| refused(entry, error))?;
        let path = join(&parent.path, name);
        match existing.kind {
            FileKind::Directory => {
                self.walk(&path, |saved, directory, _, name| saved.keep(directory, name))?;
                self.forget_directories(&path);
                self.parents.forget();
                fs::remove_tree(&parent.directory, OsStr::from_bytes(name)).map_err(|error| refused(entry, error))
            }
            FileKind::Regular => {
                let saved = self.saved.get_or_insert_default();
                saved.keep(&parent.directory, name)?;
                fs::unlink_at(&parent.directory, name).map_err(|error| refused(entry, error))
            }
            _ => {
                self.saved.get_or_insert_default();
                self.parents.forget();
                fs::unlink_at(&parent.directory, name).map_err(|error| refused(entry, error))
            }
        }
    }

    /// Docker's `size` of the layer's files, counted afterwards.
    pub(super) fn occupied(&mut self) -> Result<u64> {
        let own = self.own.take();
        let mut size = 0;
        let mut seen = HashSet::new();
        self.walk(b"", |_, directory, path, name| {
            if own.as_ref().is_some_and(|own| !own.has(&join(path, name))) {
                return Ok(());
            }
            let metadata = fs::stat_at(directory, name).attempt(|| "stat a file of the layer")?;
            let counts = matches!(metadata.kind, FileKind::Regular | FileKind::Symlink);
            if counts && (metadata.links == 1 || seen.insert(metadata.identity)) {
                size += metadata.size;
            }
            Ok(())
        })?;
        self.own = own;
        Ok(size)
    }

    /// The entries below a removed directory mean nothing any more.
    fn forget_directories(&mut self, path: &[u8]) {
        let below = join(path, b"");
        // `/` is followed by `0`: every path below starts with the prefix and sorts before that.
        let mut end = below.clone();
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        let range = (Bound::Included(below), Bound::Excluded(end));
        let gone: Vec<Vec<u8>> = self.directories.range(range).map(|(path, _)| path.clone()).collect();
        for path in gone {
            self.directories.remove(&path);
        }
        self.directories.remove(path);
    }

    /// Calls `visit` for everything below a directory that is not one, with the directory it is in, open and by its path.
    fn walk(
        &mut self,
        path: &[u8],
        mut visit: impl FnMut(&mut Saved, &OwnedFd, &[u8], &[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut pending = vec![path.to_vec()];
        while let Some(path) = pending.pop() {
            let say = || format!("list {:?} of the layer", String::from_utf8_lossy(&path));
            let directory = self.parents.open_known(&path).attempt(say)?;
            let directory = fs::open_at(&directory.directory, ".", DIRECTORY).attempt(say)?;
            for found in fs::read_directory(&directory).attempt(say)? {
                let name = found.name.as_bytes();
                if found.kind == FileKind::Directory {
                    pending.push(join(&path, name));
                } else {
                    visit(self.saved.get_or_insert_default(), &directory, &path, name)?;
                }
            }
        }
        Ok(())
    }
}
