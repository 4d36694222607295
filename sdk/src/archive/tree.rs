//! The directory that a layer is extracted into.
//!
//! Nothing is resolved by a path from the host's root: parents are opened below the layer's directory with links staying
//! inside, and everything is made by name in its parent. Directories keep mode 0700 and our owner until the end, so that
//! nothing is inherited from them and all can be entered; [`Tree::finish`] gives them what their entries say.

mod attributes;
mod parents;
mod replace;
mod whole;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::rc::Rc;

use crate::error::{Attempt as _, Result};
use crate::sys::fs::{self, FileKind, Time, Xattr};

use super::entry::{Entry, Kind};
use super::fault::{ArchiveFault, text};
use super::path::{join, split};
use super::saved::Saved;
use super::{ApplyOptions, Form, Ownership};

use parents::{Parent, Parents};
use whole::Own;

/// The tree being built.
pub(super) struct Tree<'a> {
    options: &'a ApplyOptions,
    root: Rc<Parent>,
    parents: Parents,
    /// What directories shall look like in the end, by canonical path.
    directories: BTreeMap<Vec<u8>, DirectoryState>,
    creation: Creation,
    /// What of the tree is this layer's; `None` if everything is.
    own: Option<Own>,
    /// Docker's `size`, as long as nothing is replaced.
    size: u64,
    /// Entries of the same name replaced each other; the contents that are gone.
    saved: Option<Saved>,
}

/// What a directory's entry says.
struct DirectoryState {
    mode: u32,
    uid: u32,
    gid: u32,
    modified: Time,
    xattrs: Vec<Xattr>,
}

/// What new files get by themselves, so that only the difference is set.
struct Creation {
    uid: u32,
    gid: u32,
    /// The umask is 0, and no directory hands anything down: a mode asked for is the mode that comes out.
    has_exact_modes: bool,
}

/// Whether a tree was changed after the fact.
pub(super) struct Finished {
    pub(super) size: u64,
    pub(super) saved: Option<Saved>,
}

impl<'a> Tree<'a> {
    /// The tree below `diff`. To be called in a thread of its own: it takes a umask of its own if it can.
    pub(super) fn new(diff: &Path, options: &'a ApplyOptions) -> Result<Self> {
        let directory = fs::open_directory(diff).attempt(|| format!("open {diff:?}"))?;
        let own = (options.form == Form::Whole).then(Own::default);
        let has_exact_modes = fs::own_umask().is_ok() && own.is_none();
        let (uid, gid) = fs::creation_owner();
        let metadata = fs::stat(&directory).attempt(|| format!("stat {diff:?}"))?;
        // A set-gid directory, or a file system mounted with `bsdgroups`, would hand its group down.
        if metadata.mode & 0o7000 != 0 {
            fs::set_mode(&directory, metadata.mode & 0o777).attempt(|| format!("set the mode of {diff:?}"))?;
        }
        if metadata.gid != gid && options.ownership.keeps_owners() {
            fs::set_owner(&directory, uid, gid).attempt(|| format!("set the owner of {diff:?}"))?;
        }
        let root = Rc::new(Parent { directory, path: Vec::new() });
        Ok(Self {
            options,
            parents: Parents::new(Rc::clone(&root), has_exact_modes),
            root,
            directories: BTreeMap::new(),
            creation: Creation { uid, gid, has_exact_modes },
            own,
            size: 0,
            saved: None,
        })
    }

    /// Makes a directory, or gives an existing one its new attributes.
    pub(super) fn directory(&mut self, path: &[u8], entry: &mut Entry) -> Result<()> {
        let state = DirectoryState {
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            modified: entry.modified,
            xattrs: std::mem::take(&mut entry.xattrs),
        };
        if path.is_empty() {
            self.directories.insert(Vec::new(), state);
            return Ok(());
        }
        let (directory, name) = split(path);
        let parent = self.parent(directory, entry)?;
        match fs::make_directory_at(&parent.directory, name, 0o700) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.directory_over(&parent, name, entry)?;
            }
            Err(error) => return Err(refused(entry, error)),
        }
        self.note(&parent, name);
        self.directories.insert(join(&parent.path, name), state);
        Ok(())
    }

    /// Creates a regular file for its content.
    pub(super) fn file(&mut self, path: &[u8], entry: &Entry) -> Result<OwnedFd> {
        let (parent, name) = self.place(path, entry)?;
        let mode = entry.mode & 0o777;
        let file = self.create(&parent, name, entry, |directory| fs::create_at(directory, name, mode))?;
        self.size += entry.sparse.as_ref().map_or(entry.size, |sparse| sparse.real_size);
        Ok(file)
    }

    /// Gives a regular file its attributes, once its content is written.
    pub(super) fn finish_file(&self, file: &OwnedFd, entry: &Entry) -> Result<()> {
        let say = || format!("set the attributes of {:?}", text(&entry.name));
        // A change of owner clears set-uid and capabilities: owner, mode, attributes, in this order.
        if self.changes_owner(entry.uid, entry.gid) {
            fs::set_owner(file, entry.uid, entry.gid).attempt(say)?;
        }
        if entry.mode & 0o7000 != 0 || !self.creation.has_exact_modes {
            fs::set_mode(file, entry.mode).attempt(say)?;
        }
        for (name, value) in &entry.xattrs {
            self.set_xattr(&entry.name, name, || fs::set_xattr(file, name.as_slice(), value))?;
        }
        fs::set_times(file, entry.modified).attempt(say)
    }

    pub(super) fn symlink(&mut self, path: &[u8], entry: &Entry) -> Result<()> {
        if entry.link.is_empty() || entry.link.len() > self.options.limits.path {
            return Err(ArchiveFault::entry(&entry.name, "its target is empty or too long"));
        }
        let (parent, name) = self.place(path, entry)?;
        self.create(&parent, name, entry, |directory| fs::make_symlink_at(entry.link.as_slice(), directory, name))?;
        self.size += entry.link.len() as u64;
        let say = || format!("set the attributes of {:?}", text(&entry.name));
        if self.changes_owner(entry.uid, entry.gid) {
            fs::set_owner_at(&parent.directory, name, entry.uid, entry.gid).attempt(say)?;
        }
        self.set_xattrs_at(&parent, name, entry)?;
        fs::set_times_at(&parent.directory, name, entry.modified).attempt(say)
    }

    /// Makes a hard link to an earlier entry of this layer; `target` is a clean path. Its attributes are the target's.
    pub(super) fn hard_link(&mut self, path: &[u8], target: &[u8], entry: &Entry) -> Result<()> {
        let (target_directory, target_name) = split(target);
        // A link through a symbolic link could only be an attempt to reach something else.
        let source = self.parents.open_plain(target_directory, entry)?;
        let found = match fs::stat_at(&source.directory, target_name) {
            Ok(found) if found.kind != FileKind::Directory && !target_name.is_empty() => found,
            Ok(_) => return Err(ArchiveFault::entry(&entry.name, "a hard link to a directory")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let why = format!("a hard link to {:?}, which is not in this layer", text(target));
                return Err(ArchiveFault::entry(&entry.name, why));
            }
            Err(error) => return Err(refused(entry, error)),
        };
        let (parent, name) = self.place(path, entry)?;
        if parent.path == source.path && name == target_name {
            // A link to itself changes nothing.
            return Ok(());
        }
        if fs::stat_at(&parent.directory, name).is_ok_and(|existing| existing.identity == found.identity) {
            return Ok(());
        }
        self.create(&parent, name, entry, |directory| fs::make_link_at(&source.directory, target_name, directory, name))
    }

    /// Makes a device node or a named pipe.
    pub(super) fn node(&mut self, path: &[u8], entry: &Entry) -> Result<()> {
        let kind = match entry.kind {
            Kind::CharDevice => FileKind::CharDevice,
            Kind::BlockDevice => FileKind::BlockDevice,
            _ => FileKind::Fifo,
        };
        let is_whiteout = kind == FileKind::CharDevice && entry.device == (0, 0);
        if kind != FileKind::Fifo && !is_whiteout && self.options.ownership != Ownership::Keep {
            return Err(ArchiveFault::NeedsRoot { entry: text(&entry.name), what: "device nodes" }.into());
        }
        let (parent, name) = self.place(path, entry)?;
        let mode = entry.mode & 0o777;
        if is_whiteout && self.own.is_some() {
            // With overlay that is no file: it hides the name, and what this layer had there before is replaced.
            return self.clear(&parent, name, entry);
        }
        self.create(&parent, name, entry, |directory| fs::make_node_at(directory, name, kind, mode, entry.device))?;
        let say = || format!("set the attributes of {:?}", text(&entry.name));
        if self.changes_owner(entry.uid, entry.gid) {
            fs::set_owner_at(&parent.directory, name, entry.uid, entry.gid).attempt(say)?;
        }
        if entry.mode & 0o7000 != 0 || !self.creation.has_exact_modes {
            // The node was made by us a moment ago and nobody else writes here: it is no link.
            fs::set_mode_at(&parent.directory, name, entry.mode).attempt(say)?;
        }
        self.set_xattrs_at(&parent, name, entry)?;
        fs::set_times_at(&parent.directory, name, entry.modified).attempt(say)
    }

    /// Hides `name` of the layers below, unless this layer has a file of that name itself; a directory of this layer
    /// then no longer merges with theirs.
    pub(super) fn whiteout(&mut self, directory: &[u8], name: &[u8], entry: &Entry) -> Result<()> {
        let parent = self.parent(directory, entry)?;
        if self.own.is_some() {
            return self.hide(&parent, name, entry);
        }
        match fs::make_whiteout_at(&parent.directory, name) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let existing = fs::stat_at(&parent.directory, name).map_err(|error| refused(entry, error))?;
                if existing.kind == FileKind::Directory {
                    self.set_opaque(&parent, name, entry)?;
                }
                return Ok(());
            }
            Err(error) => return Err(refused(entry, error)),
        }
        if self.changes_owner(entry.uid, entry.gid) {
            fs::set_owner_at(&parent.directory, name, entry.uid, entry.gid).map_err(|error| refused(entry, error))?;
        }
        Ok(())
    }

    /// Hides what the layers below have in this directory.
    pub(super) fn opaque(&mut self, directory: &[u8], entry: &Entry) -> Result<()> {
        let parent = self.parent(directory, entry)?;
        if self.own.is_some() {
            // overlayfs merges the roots of layers whatever their attributes say.
            return if parent.path.is_empty() { Ok(()) } else { self.hide_all(&parent, entry) };
        }
        self.options.xattrs.set_opaque(&parent.directory).map_err(|error| refused(entry, error))
    }

    /// Free bytes where the tree is.
    pub(super) fn free_space(&self) -> Result<u64> {
        fs::free_space(&self.root.directory).attempt(|| "ask for the free space of the store")
    }

    /// Parent and name of an entry that is not the root.
    fn place<'p>(&mut self, path: &'p [u8], entry: &Entry) -> Result<(Rc<Parent>, &'p [u8])> {
        let (directory, name) = split(path);
        if name.is_empty() {
            return Err(ArchiveFault::entry(&entry.name, "the root can only be a directory"));
        }
        Ok((self.parent(directory, entry)?, name))
    }

    /// Makes a file; an earlier entry of the same name gives way.
    fn create<T>(
        &mut self,
        parent: &Parent,
        name: &[u8],
        entry: &Entry,
        make: impl Fn(&OwnedFd) -> io::Result<T>,
    ) -> Result<T> {
        let made = match make(&parent.directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                match self.is_below(&join(&parent.path, name)) {
                    true => self.give_way(parent, name, entry)?,
                    false => self.remove(parent, name, entry)?,
                }
                make(&parent.directory)
            }
            made => made,
        };
        let made = made.map_err(|error| refused(entry, error))?;
        self.note(parent, name);
        Ok(made)
    }

    fn set_opaque(&self, parent: &Parent, name: &[u8], entry: &Entry) -> Result<()> {
        let name = std::ffi::OsStr::from_bytes(name);
        fs::set_xattr_at(&parent.directory, name, self.options.xattrs.opaque(), b"y")
            .map_err(|error| refused(entry, error))
    }
}

/// An operation that the file system refused, on behalf of an entry.
fn refused(entry: &Entry, error: io::Error) -> crate::error::Error {
    crate::error::Error::os(format_args!("extract {:?}", text(&entry.name)), error)
}
