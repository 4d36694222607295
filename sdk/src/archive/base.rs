//! The tree that another one began as a copy of, and what has not changed since.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::error::{Attempt as _, Result};
use crate::sys::fs::{self, FileKind, Metadata, READ, Time, Xattr};

use super::whiteout::{XattrKind, is_overlay_state};

/// The tree of the layers below.
pub(super) struct Base {
    pub(super) root: OwnedFd,
    /// Nothing in the copy that was changed before is different; `None` if nobody has noted when the copy was complete.
    complete: Option<Time>,
    /// The copy is a snapshot: the same inodes in another volume.
    is_snapshot: bool,
}

impl Base {
    /// The tree at `path`, of which the one in `copy` began as a copy.
    pub(super) fn new(path: &Path, copy: &OwnedFd, xattrs: XattrKind) -> Result<Self> {
        let root = fs::open_directory(path).attempt(|| format!("open {path:?}"))?;
        let complete = xattrs.copied(copy).attempt(|| format!("read when the copy of {path:?} was made"))?;
        let [old, new] = [&root, copy].map(|root| fs::stat(root).map(|metadata| metadata.identity));
        let attempt = || format!("stat {path:?}");
        let (old, new) = (old.attempt(attempt)?, new.attempt(attempt)?);
        Ok(Self { root, complete, is_snapshot: old.0 != new.0 && old.1 == new.1 })
    }

    /// Whether `name` is the same in a directory of this tree and in one of the copy.
    ///
    /// Directories are not compared by their time, which says little (as in Docker), nor by what is in them. Files of equal
    /// attributes are compared by content if they may have been written to.
    pub(super) fn is_same(&self, below: &OwnedFd, directory: &OwnedFd, name: &OsStr) -> io::Result<bool> {
        let old = match fs::stat_at(below, name.as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            old => old?,
        };
        let new = fs::stat_at(directory, name.as_bytes())?;
        let facts = |of: &Metadata| (of.kind, of.mode, of.uid, of.gid, of.device);
        if facts(&old) != facts(&new) {
            return Ok(false);
        }
        if new.kind != FileKind::Directory && (old.size, old.modified) != (new.size, new.modified) {
            return Ok(false);
        }
        // Nobody can set the time of the last change.
        let is_shared = self.is_snapshot && old.identity.1 == new.identity.1 && old.changed == new.changed;
        if is_shared || self.complete.is_some_and(|complete| new.changed < complete) {
            return Ok(true);
        }
        if carried(below, name)? != carried(directory, name)? {
            return Ok(false);
        }
        match new.kind {
            FileKind::Symlink => {
                Ok(fs::read_link_at(below, name.as_bytes())? == fs::read_link_at(directory, name.as_bytes())?)
            }
            FileKind::Regular if self.is_snapshot || self.complete.is_some() => {
                has_same_content(below, directory, name)
            }
            _ => Ok(true),
        }
    }
}

fn carried(directory: &OwnedFd, name: &OsStr) -> io::Result<Vec<Xattr>> {
    let mut xattrs = fs::list_xattrs_at(directory, name)?;
    xattrs.retain(|(name, _)| !is_overlay_state(name));
    Ok(xattrs)
}

fn has_same_content(below: &OwnedFd, directory: &OwnedFd, name: &OsStr) -> io::Result<bool> {
    let [mut old, mut new] = [fs::open_readable_at(below, name, READ)?, fs::open_readable_at(directory, name, READ)?]
        .map(|file| io::BufReader::with_capacity(64 << 10, File::from(file)));
    loop {
        let (one, other) = (old.fill_buf()?, new.fill_buf()?);
        let length = one.len().min(other.len());
        if length == 0 {
            return Ok(one.len() == other.len());
        }
        if one[..length] != other[..length] {
            return Ok(false);
        }
        old.consume(length);
        new.consume(length);
    }
}
