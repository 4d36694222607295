//! What a writable layer has changed, as `docker diff` tells it.
//!
//! Docker compares the container's whole file system with that of its image and init layer
//! (`pkg/archive/changes.go`). Only what lies in the upper directory can differ, so only that is walked here. A file
//! that overlay has merely copied up is no change: kind, mode, owner, device, capabilities and, but for directories, size
//! and modification time decide. A directory with a change in it counts as changed.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use super::store::LayerStore;
use super::view::{Node, NodeKind, View};
use super::writable::WritableLayer;
use crate::archive::{Meaning, XattrKind};
use crate::error::{Attempt as _, Result};
use crate::sys::fs::{self, DIRECTORY, FileKind, Metadata, Time};
use crate::sys::within::{ENTER, within};

/// A path of a container that is not as its image has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Change {
    path: PathBuf,
    kind: ChangeKind,
}

/// What has happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeKind {
    /// The image has nothing there.
    Added,
    /// Its content, kind, mode, owner or capabilities are others, or something below it has changed.
    Changed,
    /// The image has it, the container has not. What was below a directory is not told separately.
    Deleted,
}

impl Change {
    /// The absolute path in the container.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What has happened to it.
    pub fn kind(&self) -> ChangeKind {
        self.kind
    }
}

/// `C /etc`, as `docker diff` prints it.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.path.display())
    }
}

/// Docker's letter: `A`, `C` or `D`.
impl fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Added => "A",
            Self::Changed => "C",
            Self::Deleted => "D",
        })
    }
}

/// The attribute that makes a program more powerful.
const CAPABILITY: &[u8] = b"security.capability";

impl LayerStore {
    /// What `layer` has changed, sorted by path.
    ///
    /// The layer may be in use; what changes meanwhile is told or not.
    pub(crate) fn changes(&self, layer: &WritableLayer) -> Result<Vec<Change>> {
        within(|| self.changes_here(layer)).attempt(|| ENTER)?
    }

    pub(super) fn changes_here(&self, layer: &WritableLayer) -> Result<Vec<Change>> {
        let root = fs::open_directory(&layer.upper).attempt(|| format!("open {:?}", layer.upper))?;
        let below = View::new(layer.below.clone(), self.xattrs());
        let mut comparison = Comparison {
            upper: &layer.upper,
            root,
            old: below.root()?,
            below,
            xattrs: self.xattrs(),
            is_whole: layer.base().is_some(),
            found: BTreeMap::new(),
        };
        comparison.run()?;
        let change = |(path, kind): (Vec<u8>, ChangeKind)| Change { path: OsString::from_vec(path).into(), kind };
        Ok(comparison.found.into_iter().map(change).collect())
    }
}

struct Comparison<'a> {
    upper: &'a Path,
    root: OwnedFd,
    below: View,
    /// The root directory of the layers below.
    old: Option<Node>,
    xattrs: XattrKind,
    /// What the upper one lacks is deleted.
    is_whole: bool,
    /// By absolute path.
    found: BTreeMap<Vec<u8>, ChangeKind>,
}

impl Comparison<'_> {
    fn run(&mut self) -> Result<()> {
        // Directories to be compared, with what the layers below have at their path, if that is a directory too.
        let mut pending = vec![(Vec::new(), self.old.take())];
        while let Some((path, old)) = pending.pop() {
            let Some(directory) = self.open(&path)? else { continue };
            let names = fs::read_directory(&directory).attempt(|| self.say("list", &path))?;
            if let Some(old) = &old
                && (self.is_whole
                    || self.xattrs.is_opaque(&directory).attempt(|| self.say("read the attributes of", &path))?)
            {
                let missing = |node: &Node| names.iter().all(|entry| entry.name != node.os_name());
                for node in self.below.read_dir(old)?.iter().filter(|node| missing(node)) {
                    self.note(&join(&path, node.os_name()), ChangeKind::Deleted);
                }
            }
            for entry in names {
                match self.xattrs.meaning(entry.name.as_bytes()) {
                    Meaning::Itself => {}
                    Meaning::Hides(hidden) => {
                        let old = old.as_ref().map(|old| self.below.child(old, hidden)).transpose()?.flatten();
                        old.iter()
                            .for_each(|_| self.note(&join(&path, OsStr::from_bytes(hidden)), ChangeKind::Deleted));
                        continue;
                    }
                    Meaning::Opaque | Meaning::Ignored | Meaning::Malformed => continue,
                }
                let new = match fs::stat_at(&directory, entry.name.as_bytes()) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    new => new.attempt(|| self.say("stat", &path))?,
                };
                let old = match &old {
                    Some(old) => self.below.child(old, entry.name.as_bytes())?,
                    None => None,
                };
                let path = join(&path, &entry.name);
                if new.is_whiteout() {
                    // Of something that an image below has hidden already, nothing is left to delete.
                    old.iter().for_each(|_| self.note(&path, ChangeKind::Deleted));
                    continue;
                }
                match &old {
                    None => self.note(&path, ChangeKind::Added),
                    Some(old) if differs(old, &new, &directory, &entry.name)? => self.note(&path, ChangeKind::Changed),
                    Some(_) => {}
                }
                if new.kind == FileKind::Directory {
                    pending.push((path, old.filter(|old| old.kind == NodeKind::Dir)));
                }
            }
        }
        Ok(())
    }

    /// Opens a directory of the upper one; `None` if it is gone.
    fn open(&self, path: &[u8]) -> Result<Option<OwnedFd>> {
        let relative = path.strip_prefix(b"/").unwrap_or(b".");
        let opened = fs::open_readable_beneath(&self.root, relative, DIRECTORY);
        match opened {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            opened => opened.attempt(|| self.say("open", path)).map(Some),
        }
    }

    /// Notes a change, and that of the directories above; the root is never told.
    fn note(&mut self, path: &[u8], kind: ChangeKind) {
        self.found.insert(path.to_vec(), kind);
        let mut path = path;
        while let Some(slash) = path.iter().rposition(|byte| *byte == b'/').filter(|at| *at > 0) {
            path = &path[..slash];
            if self.found.contains_key(path) {
                break;
            }
            self.found.insert(path.to_vec(), ChangeKind::Changed);
        }
    }

    fn say(&self, verb: &str, path: &[u8]) -> String {
        format!("{verb} {:?}", self.upper.join(OsStr::from_bytes(path.strip_prefix(b"/").unwrap_or(path))))
    }
}

/// Docker's `statDifferent`, and the capabilities.
fn differs(old: &Node, new: &Metadata, directory: &OwnedFd, name: &OsStr) -> Result<bool> {
    let kind = match old.kind {
        NodeKind::File => FileKind::Regular,
        NodeKind::Dir => FileKind::Directory,
        NodeKind::Symlink(_) => FileKind::Symlink,
        NodeKind::CharDevice => FileKind::CharDevice,
        NodeKind::BlockDevice => FileKind::BlockDevice,
        NodeKind::Fifo => FileKind::Fifo,
        NodeKind::Socket => FileKind::Socket,
    };
    if (kind, old.mode, old.uid, old.gid, old.rdev) != (new.kind, new.mode, new.uid, new.gid, new.device) {
        return Ok(true);
    }
    if kind != FileKind::Directory && (old.size != new.size || !is_same_time(old.modified, new.modified)) {
        return Ok(true);
    }
    let new = fs::get_xattr_at(directory, name, CAPABILITY).attempt(|| format!("read the attributes of {name:?}"))?;
    Ok(old.xattrs()?.into_iter().find(|(key, _)| key == CAPABILITY).map(|(_, value)| value) != new)
}

/// Archives often keep whole seconds only, so a time without a fraction equals any of that second.
fn is_same_time(a: Time, b: Time) -> bool {
    a.seconds == b.seconds && (a.nanoseconds == b.nanoseconds || a.nanoseconds == 0 || b.nanoseconds == 0)
}

fn join(directory: &[u8], name: &OsStr) -> Vec<u8> {
    [directory, b"/", name.as_bytes()].concat()
}
