//! Writes into a layer in the making, as a process on top of the layers below would.
//!
//! Where a path leads is decided by the merged view of those layers and the new one, so that links of the image stay in
//! the image. What is written goes through descriptors of the new layer's directory, in which no link is followed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use crate::error::{Attempt as _, ErrorKind, Fault, Result};
use crate::layer::view::{Node, NodeKind, View};
use crate::sys::fs::{self, FileKind, Time};
use crate::sys::userns;

use super::context::MAX_LINKS;
use super::mode::Mode;
use super::tree::{Entry, Tree};

/// Writes into one layer.
#[derive(Debug)]
pub(super) struct Writer {
    /// The layers below with the new one over them.
    view: View,
    upper: OwnedFd,
    /// Whether this process may give files away.
    keeps_owners: bool,
    /// Directories that are in the layer, with the time each is to have; `None` for the newest of the files copied.
    directories: BTreeMap<PathBuf, Option<Time>>,
    /// Directories that no layer below has.
    fresh: BTreeSet<PathBuf>,
    newest: Time,
    /// The directory last written to.
    current: Option<(PathBuf, OwnedFd)>,
}

/// Whose the files become, and their modes.
#[derive(Debug, Clone, Default)]
pub(super) struct Attributes {
    /// `None`: as in the source.
    pub owner: Option<(u32, u32)>,
    pub mode: Option<Mode>,
}

#[derive(Debug, thiserror::Error)]
enum WriteFault {
    #[error("write {path:?} in the image: {at:?} is not a directory")]
    NotDirectory { path: PathBuf, at: PathBuf },
    #[error("write {path:?} in the image: a directory is there, which a file cannot replace")]
    IsDirectory { path: PathBuf },
    #[error("write {path:?} in the image: too many symbolic links")]
    Loop { path: PathBuf },
    #[error("write {path:?} in the image: a device needs root")]
    Device { path: PathBuf },
}

impl Fault for WriteFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Device { .. } => ErrorKind::PermissionDenied,
            _ => ErrorKind::InvalidArgument,
        }
    }
}

impl Writer {
    /// Writes into `upper`, over the layers below that `view` shows together with it.
    pub(super) fn new(view: View, below: &View, upper: &Path, keeps_owners: bool) -> Result<Self> {
        let attempt = || format!("open layer directory {upper:?}");
        let directory = fs::open_directory(upper).attempt(attempt)?;
        let mut writer = Self {
            view,
            upper: directory,
            keeps_owners,
            directories: BTreeMap::new(),
            fresh: BTreeSet::new(),
            newest: Time::default(),
            current: None,
        };
        match below.root()? {
            Some(root) => {
                let directory = writer.upper.try_clone().attempt(attempt)?;
                writer.make_like(&directory, &root)?;
                writer.directories.insert(PathBuf::new(), Some(root.modified));
            }
            None => {
                fs::set_mode(&writer.upper, 0o755).attempt(attempt)?;
                writer.directories.insert(PathBuf::new(), None);
                writer.fresh.insert(PathBuf::new());
            }
        }
        Ok(writer)
    }

    /// The directory that a path leads to, made with its parents where it is missing, for `owner`.
    pub(super) fn directory(&mut self, path: &Path, owner: Option<(u32, u32)>) -> Result<PathBuf> {
        let mut ahead: VecDeque<OsString> = parts(path).collect();
        let mut here = PathBuf::new();
        let mut links = 0;
        while let Some(name) = ahead.pop_front() {
            if name == ".." {
                here.pop();
                continue;
            }
            let next = here.join(&name);
            match self.existing(&here, &name)?.map(|node| node.kind) {
                Some(NodeKind::Dir) => here = next,
                Some(NodeKind::Symlink(target)) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(WriteFault::Loop { path: path.to_owned() }.into());
                    }
                    if target.is_absolute() {
                        here = PathBuf::new();
                    }
                    for part in parts(&target).collect::<Vec<_>>().into_iter().rev() {
                        ahead.push_front(part);
                    }
                }
                Some(_) => return Err(WriteFault::NotDirectory { path: path.to_owned(), at: next }.into()),
                None => {
                    self.make_directory(&here, &name)?;
                    let (_, directory) = self.enter(&next)?;
                    let attempt = || format!("make directory {next:?} in the image");
                    if let (Some((uid, gid)), true) = (owner, self.keeps_owners) {
                        fs::set_owner(&directory, uid, gid).attempt(attempt)?;
                    }
                    fs::set_mode(&directory, 0o755).attempt(attempt)?;
                    here = next;
                }
            }
        }
        Ok(here)
    }

    /// The directory and name to which writing to `path` leads, links followed, also one to nothing.
    ///
    /// `None` instead of a name if a directory is there.
    pub(super) fn place(&mut self, path: &Path, owner: Option<(u32, u32)>) -> Result<(PathBuf, Option<OsString>)> {
        let mut path = path.to_owned();
        for _ in 0..=MAX_LINKS {
            let Some(name) = path.file_name().map(OsStr::to_owned) else { return Ok((PathBuf::new(), None)) };
            let parent = self.directory(path.parent().unwrap_or(Path::new("")), owner)?;
            match self.existing(&parent, &name)?.map(|node| node.kind) {
                Some(NodeKind::Dir) => return Ok((parent.join(name), None)),
                Some(NodeKind::Symlink(target)) => path = Path::new("/").join(parent).join(target),
                _ => return Ok((parent, Some(name))),
            }
            if path.components().any(|part| part == Component::ParentDir) || path.file_name().is_none() {
                // Only a walk knows what is meant; it ends in a directory or makes one.
                let directory = path.parent().map(Path::to_owned).unwrap_or_default();
                match path.file_name().map(OsStr::to_owned) {
                    Some(name) => path = Path::new("/").join(self.directory(&directory, owner)?).join(name),
                    None => return Ok((self.directory(&path, owner)?, None)),
                }
            }
        }
        Err(WriteFault::Loop { path }.into())
    }

    /// Copies a directory itself, not what it holds; gives where it is. One that is there takes its attributes.
    pub(super) fn put_directory(
        &mut self,
        tree: &dyn Tree,
        entry: &Entry,
        parent: &Path,
        name: &OsStr,
        attributes: &Attributes,
    ) -> Result<PathBuf> {
        let path = parent.join(name);
        match self.existing(parent, name)?.map(|node| node.kind) {
            None => self.make_directory(parent, name)?,
            Some(NodeKind::Dir) => {}
            // A link to a directory stays: on merged-usr systems `lib/` of a source means `usr/lib/`.
            Some(NodeKind::Symlink(_)) => return self.directory(&path, attributes.owner),
            Some(_) => return Err(WriteFault::NotDirectory { path: path.clone(), at: path }.into()),
        }
        let (_, directory) = self.enter(&path)?;
        self.set_attributes(tree, entry, &directory, &path, attributes)?;
        self.directories.insert(path.clone(), Some(entry.metadata.modified));
        self.newest = self.newest.max(entry.metadata.modified);
        Ok(path)
    }

    /// Copies a file, link or device.
    pub(super) fn put(
        &mut self,
        tree: &dyn Tree,
        entry: &Entry,
        parent: &Path,
        name: &OsStr,
        attributes: &Attributes,
    ) -> Result<()> {
        let path = parent.join(name);
        let directory = self.clear(parent, name)?;
        let attempt = || format!("write {path:?} in the image");
        let raw = name.as_bytes();
        let metadata = &entry.metadata;
        match metadata.kind {
            FileKind::Regular => {
                let from = tree.open(entry)?;
                let to = fs::create_at(&directory, raw, 0o600).attempt(attempt)?;
                // Not the size it had when it was found: it may have grown since.
                let size = fs::stat(&from).attempt(attempt)?.size;
                fs::copy_file(&from, &to, size).attempt(attempt)?;
                self.set_attributes(tree, entry, &to, &path, attributes)?;
                fs::set_times(&to, metadata.modified).attempt(attempt)?;
            }
            FileKind::Symlink => {
                let text = entry.link.as_deref().unwrap_or_default();
                fs::make_symlink_at(text, &directory, raw).attempt(attempt)?;
                self.give(&directory, name, &path, entry, attributes)?;
                fs::set_times_at(&directory, raw, metadata.modified).attempt(attempt)?;
            }
            // A socket is nothing without the process that made it; Docker leaves it out too.
            FileKind::Socket => return Ok(()),
            FileKind::CharDevice | FileKind::BlockDevice if !userns::makes_devices() => {
                return Err(WriteFault::Device { path }.into());
            }
            kind => {
                fs::make_node_at(&directory, raw, kind, 0o600, metadata.device).attempt(attempt)?;
                self.give(&directory, name, &path, entry, attributes)?;
                let mode = mode_of(entry, attributes);
                fs::set_mode_at(&directory, raw, mode).attempt(attempt)?;
                fs::set_times_at(&directory, raw, metadata.modified).attempt(attempt)?;
            }
        }
        self.newest = self.newest.max(metadata.modified);
        Ok(())
    }

    /// Writes a file with this content; its time is the epoch's beginning, so that it is the same every time.
    pub(super) fn put_text(&mut self, text: &str, parent: &Path, name: &OsStr, attributes: &Attributes) -> Result<()> {
        use std::io::Write as _;
        let path = parent.join(name);
        let directory = self.clear(parent, name)?;
        let attempt = || format!("write {path:?} in the image");
        let file = fs::create_at(&directory, name.as_bytes(), 0o600).attempt(attempt)?;
        let mut file = std::fs::File::from(file);
        file.write_all(text.as_bytes()).attempt(attempt)?;
        if let (Some((uid, gid)), true) = (attributes.owner, self.keeps_owners) {
            fs::set_owner(&file, uid, gid).attempt(attempt)?;
        }
        let mode = attributes.mode.as_ref().map_or(0o644, |mode| mode.apply(0o644, false));
        fs::set_mode(&file, mode).attempt(attempt)?;
        fs::set_times(&file, Time::default()).attempt(attempt)
    }

    /// What is at a name of a directory.
    pub(super) fn existing(&self, parent: &Path, name: &OsStr) -> Result<Option<Node>> {
        self.view.lookup_os(&parent.join(name))
    }

    /// Sets the times of the directories; nothing may be written after that.
    pub(super) fn finish(self) -> Result<()> {
        for (path, time) in &self.directories {
            let attempt = || format!("set the times of {path:?} in the image");
            let directory = self.open(path).attempt(attempt)?;
            fs::set_times(directory, time.unwrap_or(self.newest)).attempt(attempt)?;
        }
        Ok(())
    }

    fn open(&self, path: &Path) -> std::io::Result<OwnedFd> {
        if path.as_os_str().is_empty() {
            return self.upper.try_clone();
        }
        fs::open_beneath(&self.upper, path, fs::DIRECTORY)
    }

    /// Opens the directory to write to and frees the name there.
    fn clear(&mut self, parent: &Path, name: &OsStr) -> Result<OwnedFd> {
        let path = parent.join(name);
        let is_fresh = self.fresh.contains(parent);
        let (_, directory) = self.enter(parent)?;
        let attempt = || format!("write {path:?} in the image");
        if !is_fresh && self.existing(parent, name)?.is_some_and(|node| node.kind == NodeKind::Dir) {
            return Err(WriteFault::IsDirectory { path }.into());
        }
        match fs::unlink_at(&directory, name.as_bytes()) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            Err(error) if error.raw_os_error() == Some(libc::EISDIR) => {
                return Err(WriteFault::IsDirectory { path }.into());
            }
            unlinked => unlinked.attempt(attempt)?,
        }
        Ok(directory)
    }

    fn make_directory(&mut self, parent: &Path, name: &OsStr) -> Result<()> {
        let path = parent.join(name);
        let (_, directory) = self.enter(parent)?;
        fs::make_directory_at(&directory, name.as_bytes(), 0o700)
            .attempt(|| format!("make directory {path:?} in the image"))?;
        self.directories.insert(path.clone(), None);
        self.fresh.insert(path);
        Ok(())
    }

    /// Opens a directory of the view in the layer, made there with its parents as they are below.
    fn enter(&mut self, path: &Path) -> Result<(PathBuf, OwnedFd)> {
        let attempt = || format!("open directory {path:?} of the layer");
        if let Some((current, directory)) = &self.current
            && current == path
        {
            return Ok((path.to_owned(), directory.try_clone().attempt(attempt)?));
        }
        let mut here = PathBuf::new();
        let mut directory = self.upper.try_clone().attempt(attempt)?;
        for name in path.components() {
            here.push(name);
            let raw = name.as_os_str().as_bytes();
            directory = match fs::open_at(&directory, raw, fs::DIRECTORY) {
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                    let below = self.view.lookup_os(&here)?.filter(|node| node.kind == NodeKind::Dir);
                    let Some(below) = below else {
                        return Err(WriteFault::NotDirectory { path: path.to_owned(), at: here }.into());
                    };
                    fs::make_directory_at(&directory, raw, 0o700).attempt(attempt)?;
                    let made = fs::open_at(&directory, raw, fs::DIRECTORY).attempt(attempt)?;
                    self.make_like(&made, &below)?;
                    self.directories.insert(here.clone(), Some(below.modified));
                    made
                }
                opened => {
                    let opened = opened.attempt(attempt)?;
                    if !self.directories.contains_key(&here) {
                        // It was there before: what is written into it does not count.
                        let before = fs::stat(&opened).attempt(attempt)?.modified;
                        self.directories.insert(here.clone(), Some(before));
                    }
                    opened
                }
            };
        }
        self.current = Some((here.clone(), directory.try_clone().attempt(attempt)?));
        Ok((here, directory))
    }

    /// Gives a directory of the layer the attributes of the one below it.
    fn make_like(&self, directory: &OwnedFd, below: &Node) -> Result<()> {
        let attempt = || format!("set the attributes of {:?} in the image", below.path);
        if self.keeps_owners {
            fs::set_owner(directory, below.uid, below.gid).attempt(attempt)?;
            for (name, value) in below.xattrs()? {
                fs::set_xattr(directory, name.as_slice(), &value).attempt(attempt)?;
            }
        }
        fs::set_mode(directory, below.mode).attempt(attempt)
    }

    fn set_attributes(
        &self,
        tree: &dyn Tree,
        entry: &Entry,
        file: &OwnedFd,
        path: &Path,
        attributes: &Attributes,
    ) -> Result<()> {
        let attempt = || format!("set the attributes of {path:?} in the image");
        if self.keeps_owners {
            let (uid, gid) = attributes.owner.unwrap_or((entry.metadata.uid, entry.metadata.gid));
            fs::set_owner(file, uid, gid).attempt(attempt)?;
            // After the owner, whose change clears capabilities.
            for (name, value) in tree.xattrs(entry)? {
                fs::set_xattr(file, name.as_slice(), &value).attempt(attempt)?;
            }
        }
        fs::set_mode(file, mode_of(entry, attributes)).attempt(attempt)
    }

    fn give(
        &self,
        directory: &OwnedFd,
        name: &OsStr,
        path: &Path,
        entry: &Entry,
        attributes: &Attributes,
    ) -> Result<()> {
        if !self.keeps_owners {
            return Ok(());
        }
        let (uid, gid) = attributes.owner.unwrap_or((entry.metadata.uid, entry.metadata.gid));
        let given = fs::set_owner_at(directory, name.as_bytes(), uid, gid);
        given.attempt(|| format!("set the owner of {path:?} in the image"))
    }
}

fn mode_of(entry: &Entry, attributes: &Attributes) -> u32 {
    match &attributes.mode {
        Some(mode) => mode.apply(entry.metadata.mode, entry.is_directory()),
        None => entry.metadata.mode,
    }
}

fn parts(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
