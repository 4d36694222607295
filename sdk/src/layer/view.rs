//! The merged file system of a stack of layers, read without mounting it.
//!
//! Follows overlayfs: the topmost layer that has a name decides; a whiteout, a file or an opaque directory hides what is
//! below. Every file is opened beneath its layer's directory, so that links in an image lead nowhere else; symbolic
//! links are followed by name through the whole stack, as the container would.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::archive::{Meaning, XattrKind, is_overlay_state};
use crate::error::{Attempt as _, ErrorKind, Fault, Result};
use crate::sys::fs::{self, FileKind, Metadata, Time, Xattr};

/// As many as Linux follows (`MAXSYMLINKS`).
const MOST_LINKS: u32 = 40;

/// The merged file system of a stack of layers.
#[derive(Debug, Clone)]
pub(crate) struct View {
    stack: Arc<Stack>,
}

#[derive(Debug)]
struct Stack {
    /// Top first.
    layers: Vec<LayerRoot>,
    xattrs: XattrKind,
}

#[derive(Debug)]
struct LayerRoot {
    path: PathBuf,
    directory: OnceLock<OwnedFd>,
}

/// A file of the merged file system.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Canonical absolute path in the root; of names that are not UTF-8 a readable form, see [`Node::os_path`].
    pub path: String,
    pub kind: NodeKind,
    /// Permission bits, at most 0o7777.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    /// Major and minor number of a device.
    pub rdev: (u32, u32),
    pub modified: Time,
    /// Number of hard links, and what tells them apart.
    pub links: u64,
    pub identity: (u64, u64),
    /// Without the leading slash; empty for the root.
    raw_path: Vec<u8>,
    stack: Arc<Stack>,
    /// The layers that contribute, top first; one for anything but a directory.
    layers: Vec<usize>,
}

/// What a [`Node`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NodeKind {
    File,
    Dir,
    Symlink(PathBuf),
    CharDevice,
    BlockDevice,
    Fifo,
    Socket,
}

#[derive(Debug, thiserror::Error)]
enum ViewFault {
    #[error("resolve {0:?} in the image: too many symbolic links")]
    Loop(String),
    #[error("read {0:?} in the image: not a regular file")]
    NotRegular(String),
    #[error("list {0:?} in the image: not a directory")]
    NotDirectory(String),
    #[error("read {path:?} in the image: larger than {max} bytes")]
    TooLarge { path: String, max: usize },
    #[error("read {0:?} in the image: the file system does not say what kind of file it is")]
    UnknownKind(String),
}

impl Fault for ViewFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Loop(_) | Self::NotRegular(_) | Self::NotDirectory(_) => ErrorKind::InvalidArgument,
            Self::TooLarge { .. } => ErrorKind::LimitExceeded,
            Self::UnknownKind(_) => ErrorKind::Unsupported,
        }
    }
}

impl View {
    /// The stack of these directories, top first; none of them is opened yet.
    pub(crate) fn new(diff_dirs: Vec<PathBuf>, xattrs: XattrKind) -> Self {
        let layers = diff_dirs.into_iter().map(|path| LayerRoot { path, directory: OnceLock::new() }).collect();
        Self { stack: Arc::new(Stack { layers, xattrs }) }
    }

    /// The root directory; of an empty stack, `None`.
    pub(crate) fn root(&self) -> Result<Option<Node>> {
        let mut layers = Vec::new();
        let mut metadata = None;
        for index in 0..self.stack.layers.len() {
            let root = self.stack.root(index)?;
            metadata.get_or_insert(fs::stat(root).attempt(|| self.stack.say("stat", index, b""))?);
            // All of them: overlayfs merges the roots whatever their attributes say, and so does Docker.
            layers.push(index);
        }
        metadata.map(|metadata| Node::new(&self.stack, Vec::new(), &metadata, layers)).transpose()
    }

    /// What a process in the container would find at `path`: links are followed, `..` stays inside.
    ///
    /// `None` if there is nothing, or if the path leads through something that is not a directory.
    pub(crate) fn resolve(&self, path: &str) -> Result<Option<Node>> {
        self.walk(path.as_bytes(), Last::Followed)
    }

    /// As [`resolve`](Self::resolve), but a link in the last component is returned itself.
    pub(crate) fn lookup(&self, path: &str) -> Result<Option<Node>> {
        self.walk(path.as_bytes(), Last::Itself)
    }

    /// As [`lookup`](Self::lookup), for a name that may not be UTF-8.
    pub(crate) fn lookup_os(&self, path: &Path) -> Result<Option<Node>> {
        self.walk(path.as_os_str().as_bytes(), Last::Itself)
    }

    /// Where a directory made at `path` would come to lie: links are followed even if they lead to nothing, and what is
    /// missing is taken by its name.
    ///
    /// `None` if the path leads through something that is not a directory, or has a part that is not UTF-8.
    pub(crate) fn destination(&self, path: &str) -> Result<Option<String>> {
        let (trail, pending) = self.follow(path.as_bytes(), Last::Followed)?;
        let Some(above) = trail.last() else { return Ok(None) };
        if !pending.is_empty() && above.kind != NodeKind::Dir {
            return Ok(None);
        }
        let mut parts: Vec<Vec<u8>> = components(&above.raw_path).map(<[u8]>::to_vec).collect();
        for name in pending.into_iter().rev() {
            match name.as_slice() {
                b".." => drop(parts.pop()),
                _ => parts.push(name),
            }
        }
        Ok(String::from_utf8(parts.join(&b'/')).ok().map(|path| format!("/{path}")))
    }

    /// The files in a directory, sorted by name.
    pub(crate) fn read_dir(&self, node: &Node) -> Result<Vec<Node>> {
        if node.kind != NodeKind::Dir {
            return Err(ViewFault::NotDirectory(node.path.clone()).into());
        }
        let mut children: HashMap<OsString, Child> = HashMap::new();
        for &index in &node.layers {
            let root = self.stack.root(index)?;
            let path = if node.raw_path.is_empty() { b".".as_slice() } else { &node.raw_path };
            let say = || self.stack.say("list", index, &node.raw_path);
            let directory = fs::open_readable_beneath(root, path, fs::DIRECTORY).attempt(say)?;
            for mut entry in fs::read_directory(&directory).attempt(say)? {
                let is_hiding = match self.stack.xattrs.meaning(entry.name.as_bytes()) {
                    Meaning::Itself => false,
                    Meaning::Hides(hidden) => {
                        entry.name = OsStr::from_bytes(hidden).to_owned();
                        true
                    }
                    Meaning::Opaque | Meaning::Ignored | Meaning::Malformed => continue,
                };
                let known = children.get_mut(&entry.name);
                if known.as_ref().is_some_and(|child| child.is_closed) {
                    continue;
                }
                let Some(child) = known else {
                    let child = match is_hiding {
                        true => Child::HIDDEN,
                        false => self.top_child(node, index, &directory, &entry.name)?,
                    };
                    children.insert(entry.name, child);
                    continue;
                };
                if entry.kind == FileKind::Directory && !is_hiding {
                    child.layers.push(index);
                    child.is_closed = self.child_is_opaque(node, index, &directory, &entry.name)?;
                } else {
                    child.is_closed = true;
                }
            }
        }
        let mut nodes = Vec::with_capacity(children.len());
        for (name, child) in children {
            if let Some(metadata) = child.metadata {
                let path = join(&node.raw_path, name.as_bytes());
                nodes.push(Node::new(&self.stack, path, &metadata, child.layers)?);
            }
        }
        nodes.sort_unstable_by(|a, b| a.raw_path.cmp(&b.raw_path));
        Ok(nodes)
    }

    /// The content of a regular file, links followed; `None` if there is nothing at `path`.
    ///
    /// # Errors
    /// [`LimitExceeded`](ErrorKind::LimitExceeded) if it is larger than `max` bytes,
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) if it is not a regular file.
    pub(crate) fn read_capped(&self, path: &str, max: usize) -> Result<Option<Vec<u8>>> {
        let Some(node) = self.resolve(path)? else { return Ok(None) };
        let file = node.open()?;
        let mut content = Vec::new();
        let cap = u64::try_from(max).unwrap_or(u64::MAX);
        file.take(cap.saturating_add(1))
            .read_to_end(&mut content)
            .attempt(|| format!("read {:?} in the image", node.path))?;
        if content.len() > max {
            return Err(ViewFault::TooLarge { path: node.path, max }.into());
        }
        Ok(Some(content))
    }

    fn walk(&self, path: &[u8], last: Last) -> Result<Option<Node>> {
        let (mut trail, pending) = self.follow(path, last)?;
        Ok(if pending.is_empty() { trail.pop() } else { None })
    }

    /// Goes as far as `path` leads: the nodes passed, root first, and the names that are left, last one first.
    fn follow(&self, path: &[u8], last: Last) -> Result<(Vec<Node>, Vec<Vec<u8>>)> {
        let mut trail: Vec<Node> = self.root()?.into_iter().collect();
        let mut pending: Vec<Vec<u8>> = components(path).rev().map(<[u8]>::to_vec).collect();
        let mut links = 0;
        while let (Some(current), Some(name)) = (trail.last(), pending.last()) {
            if current.kind != NodeKind::Dir {
                break;
            }
            if name == b".." {
                pending.pop();
                if trail.len() > 1 {
                    trail.pop();
                }
                continue;
            }
            let Some(node) = self.child(current, name)? else { break };
            pending.pop();
            match &node.kind {
                NodeKind::Symlink(target) if !pending.is_empty() || last == Last::Followed => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(ViewFault::Loop(String::from_utf8_lossy(path).into_owned()).into());
                    }
                    if target.is_absolute() {
                        trail.truncate(1);
                    }
                    pending.extend(components(target.as_os_str().as_bytes()).rev().map(<[u8]>::to_vec));
                }
                _ => trail.push(node),
            }
        }
        Ok((trail, pending))
    }

    /// One step down from a directory: what the name is itself.
    pub(crate) fn child(&self, parent: &Node, name: &[u8]) -> Result<Option<Node>> {
        if self.stack.xattrs.meaning(name) != Meaning::Itself {
            return Ok(None);
        }
        let path = join(&parent.raw_path, name);
        let mut found: Option<(Metadata, Vec<usize>)> = None;
        for &index in &parent.layers {
            let root = self.stack.root(index)?;
            let say = || self.stack.say("open", index, &path);
            if self.stack.xattrs.is_hidden(root, &path).attempt(say)? {
                break;
            }
            let file = match fs::open_beneath(root, path.as_slice(), fs::PATH_ONLY) {
                Ok(file) => file,
                Err(error) if is_absent(&error) => continue,
                Err(error) => return Err(error).attempt(say),
            };
            let metadata = fs::stat(&file).attempt(say)?;
            let is_directory = metadata.kind == FileKind::Directory;
            match &mut found {
                None if metadata.is_whiteout() => return Ok(None),
                None => found = Some((metadata, vec![index])),
                Some((_, layers)) if is_directory => layers.push(index),
                Some(_) => break,
            }
            if !is_directory || self.stack.is_opaque(&file, index, &path)? {
                break;
            }
        }
        found.map(|(metadata, layers)| Node::new(&self.stack, path, &metadata, layers)).transpose()
    }

    fn top_child(&self, parent: &Node, index: usize, directory: &OwnedFd, name: &OsStr) -> Result<Child> {
        let say = || self.stack.say("stat", index, &join(&parent.raw_path, name.as_bytes()));
        let metadata = fs::stat_at(directory, name.as_bytes()).attempt(say)?;
        if metadata.is_whiteout() {
            return Ok(Child::HIDDEN);
        }
        let is_closed = metadata.kind != FileKind::Directory || self.child_is_opaque(parent, index, directory, name)?;
        Ok(Child { metadata: Some(metadata), layers: vec![index], is_closed })
    }

    fn child_is_opaque(&self, parent: &Node, index: usize, directory: &OwnedFd, name: &OsStr) -> Result<bool> {
        // A lookup below an opaque directory stops anyway; the question is only whether lower layers add to it.
        let say = || self.stack.say("read the attributes of", index, &join(&parent.raw_path, name.as_bytes()));
        self.stack.xattrs.is_opaque_at(directory, name).attempt(say)
    }
}

impl Node {
    fn new(stack: &Arc<Stack>, raw_path: Vec<u8>, metadata: &Metadata, layers: Vec<usize>) -> Result<Self> {
        let path = format!("/{}", String::from_utf8_lossy(&raw_path));
        let kind = match metadata.kind {
            FileKind::Regular => NodeKind::File,
            FileKind::Directory => NodeKind::Dir,
            FileKind::CharDevice => NodeKind::CharDevice,
            FileKind::BlockDevice => NodeKind::BlockDevice,
            FileKind::Fifo => NodeKind::Fifo,
            FileKind::Socket => NodeKind::Socket,
            FileKind::Symlink => NodeKind::Symlink(stack.read_link(layers.first().copied(), &raw_path)?),
            FileKind::Unknown => return Err(ViewFault::UnknownKind(path).into()),
        };
        Ok(Self {
            path,
            kind,
            mode: metadata.mode,
            uid: metadata.uid,
            gid: metadata.gid,
            size: metadata.size,
            rdev: metadata.device,
            modified: metadata.modified,
            links: metadata.links,
            identity: metadata.identity,
            raw_path,
            stack: Arc::clone(stack),
            layers,
        })
    }

    /// The absolute path in the root, byte for byte.
    pub(crate) fn os_path(&self) -> PathBuf {
        let mut path = b"/".to_vec();
        path.extend_from_slice(&self.raw_path);
        OsString::from_vec(path).into()
    }

    /// The last component, byte for byte.
    pub(crate) fn os_name(&self) -> &OsStr {
        OsStr::from_bytes(self.raw_path.rsplit(|byte| *byte == b'/').next().unwrap_or_default())
    }

    /// Opens a regular file for reading.
    pub(crate) fn open(&self) -> Result<File> {
        if self.kind != NodeKind::File {
            return Err(ViewFault::NotRegular(self.path.clone()).into());
        }
        let file = self.open_with(fs::READ)?;
        // The writable layer of a live container may have changed meanwhile.
        let kind = fs::stat(&file).attempt(|| format!("stat {:?} in the image", self.path))?.kind;
        if kind != FileKind::Regular {
            return Err(ViewFault::NotRegular(self.path.clone()).into());
        }
        Ok(file.into())
    }

    /// The file on the host; its parents are directories of one layer, and no links.
    pub(crate) fn host_path(&self) -> PathBuf {
        let layer = self.layers.first().and_then(|&index| self.stack.layers.get(index));
        layer.map(|layer| layer.path.join(OsStr::from_bytes(&self.raw_path))).unwrap_or_default()
    }

    /// The extended attributes without those that are overlayfs's own, sorted by name.
    pub(crate) fn xattrs(&self) -> Result<Vec<Xattr>> {
        let say = || format!("read the attributes of {:?} in the image", self.path);
        let (parent, name) = split(&self.raw_path);
        let parent = self.open_path(parent, fs::PATH_ONLY | OFlags::DIRECTORY)?;
        let name = if name.is_empty() { b".".as_slice() } else { name };
        let mut xattrs = match fs::list_xattrs_at(&parent, OsStr::from_bytes(name)) {
            // Overlay's own on a file that an ordinary user has made unreadable.
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                let flags = if self.kind == NodeKind::Dir { fs::DIRECTORY } else { fs::READ };
                let file = self.open_with(flags)?;
                fs::list_readable_xattrs(file, &parent, OsStr::from_bytes(name)).attempt(say)?
            }
            xattrs => xattrs.attempt(say)?,
        };
        xattrs.retain(|(name, _)| !is_overlay_state(name));
        Ok(xattrs)
    }

    fn open_with(&self, flags: OFlags) -> Result<OwnedFd> {
        self.open_path(&self.raw_path, flags)
    }

    fn open_path(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd> {
        let index = self.layers.first().copied().unwrap_or_default();
        let path = if path.is_empty() { b".".as_slice() } else { path };
        let root = self.stack.root(index)?;
        fs::open_readable_beneath(root, path, flags).attempt(|| self.stack.say("open", index, path))
    }
}

/// Whether a link in the last component is followed.
#[derive(PartialEq, Eq, Clone, Copy)]
enum Last {
    Followed,
    Itself,
}

/// What a listing knows about a name so far.
struct Child {
    /// `None` for a whiteout.
    metadata: Option<Metadata>,
    layers: Vec<usize>,
    /// Lower layers cannot add to it.
    is_closed: bool,
}

impl Child {
    const HIDDEN: Self = Self { metadata: None, layers: Vec::new(), is_closed: true };
}

impl Stack {
    fn root(&self, index: usize) -> Result<&OwnedFd> {
        let Some(layer) = self.layers.get(index) else {
            return Err(Errno::NOENT).attempt(|| "open a layer that is not in the stack");
        };
        if let Some(directory) = layer.directory.get() {
            return Ok(directory);
        }
        let opened = fs::open_directory(&layer.path).attempt(|| format!("open layer {:?}", layer.path))?;
        Ok(layer.directory.get_or_init(|| opened))
    }

    fn is_opaque(&self, directory: &OwnedFd, index: usize, path: &[u8]) -> Result<bool> {
        self.xattrs.is_opaque(directory).attempt(|| self.say("read the attributes of", index, path))
    }

    fn read_link(&self, index: Option<usize>, path: &[u8]) -> Result<PathBuf> {
        let index = index.unwrap_or_default();
        let say = || self.say("read link", index, path);
        let link = fs::open_beneath(self.root(index)?, path, fs::PATH_ONLY).attempt(say)?;
        let target = fs::read_link_at(link.as_fd(), "").attempt(say)?;
        Ok(OsString::from_vec(target).into())
    }

    fn say(&self, verb: &str, index: usize, path: &[u8]) -> String {
        let layer = self.layers.get(index).map(|layer| layer.path.as_path()).unwrap_or(Path::new(""));
        format!("{verb} {:?}", layer.join(OsStr::from_bytes(path)))
    }
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw_os_error),
        Some(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG)
    )
}

fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|component| !component.is_empty() && *component != b".")
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = directory.to_vec();
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

#[cfg(test)]
mod tests;
