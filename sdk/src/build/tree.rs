//! What is copied from: the build context, or the files of a stage or image.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::fs::File;
use std::path::{Component, Path, PathBuf};

use plywood_syntax::glob;
use plywood_syntax::ignore::Ignore;

use crate::error::{Error, ErrorKind, Fault, Result};
use crate::layer::view::{Node, NodeKind, View};
use crate::spec::Digester;
use crate::sys::fs::{FileKind, Metadata, Xattr};

/// A file tree that is copied from.
pub(super) trait Tree: std::fmt::Debug {
    /// What messages call it: `the build context`.
    fn title(&self) -> String;

    /// What to do about a file that is not there, in parentheses; empty where only another path helps.
    fn advice(&self) -> String {
        String::new()
    }

    /// The file that a path leads to, links followed; `None` if there is none.
    ///
    /// # Errors
    /// `InvalidArgument` where the path leads out of the tree.
    fn resolve(&self, path: &Path) -> Result<Option<Entry>>;

    /// What a directory holds, by name.
    fn children(&self, directory: &Entry) -> Result<Vec<Entry>>;

    /// Why a file that exists cannot be had, if so.
    fn refuses(&self, _entry: &Entry) -> Option<String> {
        None
    }

    /// Opens a regular file for reading.
    fn open(&self, file: &Entry) -> Result<File>;

    /// The extended attributes that are copied.
    fn xattrs(&self, entry: &Entry) -> Result<Vec<Xattr>>;

    /// Where the files are on the host, if what is there is the whole of them and nothing else.
    fn direct(&self, entry: &Entry) -> Option<PathBuf>;
}

/// One file of a tree, itself: a link is not followed.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// From the root of the tree, without links; empty for the root itself.
    pub path: PathBuf,
    pub metadata: Metadata,
    /// The text of a symbolic link.
    pub link: Option<Vec<u8>>,
    /// Where it is in the layers of a stage or image.
    node: Option<Node>,
}

impl Entry {
    pub(super) fn new(path: PathBuf, metadata: Metadata, link: Option<Vec<u8>>) -> Self {
        Self { path, metadata, link, node: None }
    }

    fn of_node(node: Node) -> Self {
        use std::os::unix::ffi::OsStringExt as _;
        let (kind, link) = match &node.kind {
            NodeKind::File => (FileKind::Regular, None),
            NodeKind::Dir => (FileKind::Directory, None),
            NodeKind::Symlink(target) => (FileKind::Symlink, Some(target.clone().into_os_string().into_vec())),
            NodeKind::CharDevice => (FileKind::CharDevice, None),
            NodeKind::BlockDevice => (FileKind::BlockDevice, None),
            NodeKind::Fifo => (FileKind::Fifo, None),
            NodeKind::Socket => (FileKind::Socket, None),
        };
        let metadata = Metadata {
            kind,
            mode: node.mode,
            uid: node.uid,
            gid: node.gid,
            size: node.size,
            links: node.links,
            identity: node.identity,
            device: node.rdev,
            modified: node.modified,
            changed: Default::default(),
            blocks: 0,
        };
        let path = node.os_path();
        let path = path.strip_prefix("/").map(Path::to_owned).unwrap_or(path);
        Self { path, metadata, link, node: Some(node) }
    }

    pub(super) fn is_directory(&self) -> bool {
        self.metadata.kind == FileKind::Directory
    }

    pub(super) fn is_file(&self) -> bool {
        self.metadata.kind == FileKind::Regular
    }

    /// Its name; empty for the root.
    pub(super) fn name(&self) -> OsString {
        self.path.file_name().map(OsString::from).unwrap_or_default()
    }
}

/// One source of a `COPY`, found.
#[derive(Debug)]
pub(super) struct Source {
    /// The path as written, wildcards replaced; relative to the root of the tree.
    pub path: PathBuf,
    /// How many components of the path stand before `/./`: `--parents` leaves them out.
    pub prefix: usize,
    pub entry: Entry,
}

#[derive(Debug, thiserror::Error)]
enum SourceFault {
    #[error("{keyword} {written:?}: not found in {tree}{advice}")]
    Missing { keyword: &'static str, written: String, tree: String, advice: String },
    #[error("{keyword} {written:?}: matches nothing in {tree}{advice}")]
    NoMatch { keyword: &'static str, written: String, tree: String, advice: String },
    #[error("{keyword} {written:?}: malformed pattern")]
    BadPattern { keyword: &'static str, written: String },
    #[error("{keyword} {written:?}: {why}")]
    Refused { keyword: &'static str, written: String, why: String },
}

impl Fault for SourceFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Missing { .. } | Self::NoMatch { .. } => ErrorKind::NotFound,
            Self::BadPattern { .. } | Self::Refused { .. } => ErrorKind::InvalidArgument,
        }
    }
}

/// The files of a stage or image.
#[derive(Debug)]
pub(super) struct Files {
    pub view: View,
    /// As messages name it.
    pub title: String,
}

impl Tree for Files {
    fn title(&self) -> String {
        self.title.clone()
    }

    fn resolve(&self, path: &Path) -> Result<Option<Entry>> {
        let found = match path.to_str() {
            Some(path) => self.view.resolve(path)?,
            // Only a wildcard finds such a name.
            None => self.view.lookup_os(path)?,
        };
        Ok(found.map(Entry::of_node))
    }

    fn children(&self, directory: &Entry) -> Result<Vec<Entry>> {
        match &directory.node {
            Some(node) => Ok(self.view.read_dir(node)?.into_iter().map(Entry::of_node).collect()),
            None => Ok(Vec::new()),
        }
    }

    fn open(&self, file: &Entry) -> Result<File> {
        match &file.node {
            Some(node) => node.open(),
            None => {
                Err(Error::new(ErrorKind::NotFound, format!("open {:?} of {}: it is not there", file.path, self.title)))
            }
        }
    }

    fn xattrs(&self, entry: &Entry) -> Result<Vec<Xattr>> {
        entry.node.as_ref().map_or(Ok(Vec::new()), Node::xattrs)
    }

    fn direct(&self, entry: &Entry) -> Option<PathBuf> {
        // A directory may be spread over several layers.
        entry.node.as_ref().filter(|_| entry.is_file()).map(Node::host_path)
    }
}

/// Whether a list of patterns leaves a path out.
pub(super) fn is_excluded(patterns: &Ignore, path: &Path) -> bool {
    !patterns.is_empty() && patterns.is_ignored(&path.to_string_lossy())
}

/// Finds the files that a source names, wildcards replaced, in the order of their names.
pub(super) fn find(tree: &dyn Tree, keyword: &'static str, written: &str) -> Result<Vec<Source>> {
    let about = |error: Error| {
        let kind = error.kind();
        Error::new(kind, format!("{keyword} {written:?}: {error}"))
    };
    let components: Vec<&str> = written.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let prefix = written.find("/./").map_or(0, |at| Path::new(&written[..at]).components().filter(is_name).count());
    let mut paths = vec![PathBuf::new()];
    let mut has_pattern = false;
    if glob::check(written).is_err() {
        return Err(SourceFault::BadPattern { keyword, written: written.to_owned() }.into());
    }
    for component in components {
        if !glob::is_pattern(component) {
            paths.iter_mut().for_each(|path| path.push(component));
            continue;
        }
        has_pattern = true;
        let mut matching = Vec::new();
        let mut open = VecDeque::from(paths);
        while let Some(path) = open.pop_front() {
            if component == "**" {
                matching.push(path.clone());
            }
            let Some(directory) = tree.resolve(&path).map_err(about)?.filter(Entry::is_directory) else { continue };
            for child in tree.children(&directory)? {
                let name = child.name();
                if component == "**" {
                    // Links are not followed, so this ends.
                    open.extend(child.is_directory().then(|| path.join(name)));
                } else if glob::matches(component, &name.to_string_lossy()) {
                    matching.push(path.join(name));
                }
            }
        }
        paths = matching;
    }
    let mut sources = Vec::new();
    for path in paths {
        match tree.resolve(&path).map_err(about)? {
            Some(entry) if entry.metadata.kind == FileKind::Socket && has_pattern => {}
            Some(entry) => match tree.refuses(&entry).or_else(|| no_content(&entry)) {
                Some(why) => return Err(SourceFault::Refused { keyword, written: written.to_owned(), why }.into()),
                None => sources.push(Source { path, prefix, entry }),
            },
            // A link to nothing, or a file in the place of a directory, which a pattern may hit.
            None if has_pattern => {}
            None => {
                let advice = nearest_path(tree, &path)?.unwrap_or_else(|| tree.advice());
                let (written, tree) = (written.to_owned(), tree.title());
                return Err(SourceFault::Missing { keyword, written, tree, advice }.into());
            }
        }
    }
    if sources.is_empty() {
        let (written, advice) = (written.to_owned(), tree.advice());
        return Err(SourceFault::NoMatch { keyword, written, tree: tree.title(), advice }.into());
    }
    Ok(sources)
}

fn is_name(component: &Component<'_>) -> bool {
    matches!(component, Component::Normal(_))
}

/// Why an image cannot hold a file, if so.
fn no_content(entry: &Entry) -> Option<String> {
    (entry.metadata.kind == FileKind::Socket)
        .then(|| "it is a socket, which no archive, and so no image, can hold".to_owned())
}

/// Why there is nothing at a path: a link to nothing, or the nearest name instead of the first wrong component.
fn nearest_path(tree: &dyn Tree, path: &Path) -> Result<Option<String>> {
    let mut right = PathBuf::new();
    let mut components = path.components();
    for component in components.by_ref() {
        let next = right.join(component);
        if tree.resolve(&next)?.is_some() {
            right = next;
            continue;
        }
        let Some(directory) = tree.resolve(&right)?.filter(Entry::is_directory) else { break };
        let children = tree.children(&directory)?;
        let link = children.iter().find(|child| child.name() == component.as_os_str()).and_then(|it| it.link.as_ref());
        if let Some(target) = link {
            let target = String::from_utf8_lossy(target);
            return Ok(Some(format!(": {next:?} is a link to {target:?}, which is not there")));
        }
        let names: Vec<String> = children.iter().map(|child| child.name().to_string_lossy().into_owned()).collect();
        let wrong = component.as_os_str().to_string_lossy();
        let Some(name) = super::nearest_name(&wrong, names.iter().map(String::as_str)) else { break };
        let mut whole = right.join(name);
        whole.extend(components);
        return Ok(Some(format!(" (did you mean {whole:?}?)")));
    }
    Ok(None)
}

/// Visits a directory's contents, or a file itself, parents first, in the order of their names.
///
/// `visit` is given the path below the directory, empty for a file that is the source itself.
pub(super) fn walk(
    tree: &dyn Tree,
    root: &Entry,
    exclude: &Ignore,
    visit: &mut dyn FnMut(&Path, &Entry) -> Result<()>,
) -> Result<()> {
    if !root.is_directory() {
        return visit(Path::new(""), root);
    }
    let mut open: VecDeque<Entry> = tree.children(root)?.into();
    while let Some(entry) = open.pop_front() {
        let below = entry.path.strip_prefix(&root.path).unwrap_or(&entry.path).to_owned();
        let is_left_out = is_excluded(exclude, &below);
        if is_left_out && !(entry.is_directory() && exclude.may_take_back()) {
            continue;
        }
        if !is_left_out {
            visit(&below, &entry)?;
        }
        if entry.is_directory() {
            for child in tree.children(&entry)?.into_iter().rev() {
                open.push_front(child);
            }
        }
    }
    Ok(())
}

/// The files of a source as they were when they were read: what [`changed`] compares.
pub(super) type Seen = HashMap<PathBuf, Metadata>;

/// Adds to a cache key what a source holds: names, kinds, modes, owners, link targets, bytes; never times.
pub(super) fn digest(
    tree: &dyn Tree,
    source: &Source,
    exclude: &Ignore,
    keeps_owners: bool,
    into: &mut Digester,
) -> Result<Seen> {
    use std::os::unix::ffi::OsStrExt as _;
    let mut seen = Seen::new();
    field(into, source.path.as_os_str().as_bytes());
    field(into, &[u8::from(source.entry.is_directory())]);
    walk(tree, &source.entry, exclude, &mut |below, entry| {
        field(into, below.as_os_str().as_bytes());
        let metadata = &entry.metadata;
        seen.insert(entry.path.clone(), *metadata);
        let (uid, gid) = if keeps_owners { (metadata.uid, metadata.gid) } else { (0, 0) };
        let facts = format!("{:?} {:o} {uid} {gid} {:?}", metadata.kind, metadata.mode, metadata.device);
        field(into, facts.as_bytes());
        field(into, entry.link.as_deref().unwrap_or_default());
        if keeps_owners {
            for (name, value) in tree.xattrs(entry)? {
                field(into, &name);
                field(into, &value);
            }
        }
        if entry.is_file() {
            let mut file = tree.open(entry)?;
            let before = into.bytes();
            std::io::copy(&mut file, into)
                .map_err(|error| Error::os(format!("read {:?} of {}", entry.path, tree.title()), error))?;
            let size = into.bytes() - before;
            into.update(&size.to_le_bytes());
        }
        Ok(())
    })?;
    Ok(seen)
}

/// A file of a source that is not what it was when it was seen, was added, or is gone.
pub(super) fn changed(tree: &dyn Tree, source: &Source, exclude: &Ignore, mut seen: Seen) -> Result<Option<PathBuf>> {
    let path = &source.entry.path;
    let Some(root) = tree.resolve(path)?.filter(|root| root.path == *path) else { return Ok(Some(path.clone())) };
    let mut changed = None;
    walk(tree, &root, exclude, &mut |_, entry| {
        if !seen.remove(&entry.path).is_some_and(|before| is_same(&before, &entry.metadata)) {
            changed.get_or_insert_with(|| entry.path.clone());
        }
        Ok(())
    })?;
    Ok(changed.or_else(|| seen.into_keys().min()))
}

/// Whether a file is as it was. The size and time of a directory are those of what is in it, and that may be excluded.
fn is_same(before: &Metadata, now: &Metadata) -> bool {
    let content = |file: &Metadata| (file.size, file.identity, file.modified);
    let is_directory = now.kind == FileKind::Directory;
    (before.kind, before.mode) == (now.kind, now.mode) && (is_directory || content(before) == content(now))
}

/// Adds one value of any length to a key, so that no two lists of values give the same bytes.
pub(super) fn field(into: &mut Digester, value: &[u8]) {
    into.update(&(value.len() as u64).to_le_bytes());
    into.update(value);
}
