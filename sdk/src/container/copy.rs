//! Files in and out of a container, by the rules of `docker cp`.
//!
//! The source becomes an archive and the archive is extracted at the destination, as in Docker: a thread reads, the
//! caller writes. Where either is inside the container, the path is resolved once, in the container's
//! [root](super::root); everything after that is relative to what was found.

use std::io::{self, BufReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rustix::fs::{Mode, OFlags};

use super::create::attempted;
use super::handle::Handle;
use super::root::Root;
use crate::archive::{Limits, Ownership, Packer, PipeReader, decompress, pack_tree, pipe, unpack};
use crate::error::{Attempt, Error, ErrorKind, Fault, Result};
use crate::spec::container_path::ContainerPath;
use crate::sys::fs::{self, FileKind, PATH_ONLY};
use crate::sys::within::{ENTER, Place};

/// How to copy.
///
/// Default: what comes into the container belongs to its root, what comes out to the caller, and a link that is named as
/// the source is copied itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct CopyOptions {
    keeps_owners: bool,
    follows: bool,
}

impl CopyOptions {
    /// The default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps the numbers of users and groups, which only root can in general.
    #[doc(alias = "--archive")]
    pub fn keep_owners(mut self) -> Self {
        self.keeps_owners = true;
        self
    }

    /// Copies what the source leads to if it is a symbolic link. Links below it are always copied themselves.
    #[doc(alias = "--follow-link")]
    pub fn follow_link(mut self) -> Self {
        self.follows = true;
        self
    }

    fn ownership(self) -> Ownership {
        match (self.keeps_owners, Ownership::of_this_process()) {
            (false, _) => Ownership::Flatten,
            (true, Ownership::Mapped) => Ownership::Mapped,
            (true, _) => Ownership::Keep,
        }
    }
}

/// Files of a container as a tar, while it is read; made by [`Container::read_archive`](super::Container::read_archive).
#[derive(Debug)]
pub struct Archive {
    // Dropped in this order: without a reader the thread ends, and without the thread nobody uses the root.
    reader: PipeReader,
    packing: Packing,
    _root: Option<Root>,
}

/// The thread that writes an archive; waited for when this is dropped.
#[derive(Debug)]
struct Packing(Option<JoinHandle<Result<()>>>);

impl Packing {
    /// Why it failed, told once.
    fn end(&mut self) -> Option<Error> {
        self.0.take()?.join().ok()?.err()
    }
}

impl Drop for Packing {
    fn drop(&mut self) {
        // Nobody reads what it would tell.
        self.end();
    }
}

impl Read for Archive {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.reader.read(buffer) {
            // The thread knows why.
            Err(error) => Err(self.packing.end().map_or(error, Into::into)),
            read => read,
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum CopyFault {
    #[error("there is no {0:?}")]
    Missing(PathBuf),
    #[error("{0:?} is no directory")]
    NotDirectory(PathBuf),
    #[error("{0:?} is a file, which a directory does not replace")]
    OverFile(PathBuf),
    #[error("{0:?} does not say what to copy")]
    NoName(PathBuf),
    #[error("the directory {0:?} does not exist")]
    NoDirectory(PathBuf),
}

impl Fault for CopyFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Missing(_) | Self::NoDirectory(_) => ErrorKind::NotFound,
            Self::OverFile(_) => ErrorKind::AlreadyExists,
            Self::NotDirectory(_) | Self::NoName(_) => ErrorKind::InvalidArgument,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoDirectory(_) => Some("make it first, or leave the slash at the end out".to_owned()),
            _ => None,
        }
    }
}

/// What is copied.
#[derive(Debug)]
struct Source {
    /// Opened by name only.
    file: OwnedFd,
    kind: FileKind,
    name: Vec<u8>,
    /// What is in the directory, and not the directory.
    contents: bool,
}

/// Where it goes.
#[derive(Debug)]
enum Destination {
    Directory(OwnedFd),
    File {
        parent: OwnedFd,
        name: Vec<u8>,
    },
    /// There is nothing yet; with a slash at its end it was to be a directory.
    Missing {
        parent: OwnedFd,
        name: Vec<u8>,
        with_slash: bool,
    },
}

impl Handle {
    pub(super) fn copy_out(self: &Arc<Self>, path: &str, host: &Path, options: CopyOptions) -> Result<()> {
        let copy = || {
            let root = self.root()?;
            let source = root.within(|| Source::in_container(&root, path, options.follows))??;
            let (target, name) = Destination::on_host(host)?.take(&source, host)?;
            let mut archive = archive(source, name, Ownership::Keep, Some(root))?;
            extract(&mut archive, &target, options.ownership(), Place::Store)
        };
        copy().map_err(|error| attempted(format!("copy {path:?} out of {}", self.title()), error))
    }

    pub(super) fn copy_in(self: &Arc<Self>, host: &Path, path: &str, options: CopyOptions) -> Result<()> {
        let copy = || {
            let source = Source::on_host(host, options.follows)?;
            let root = self.root()?;
            let (target, name) =
                root.within(|| Destination::in_container(&root, path))??.take(&source, path.as_ref())?;
            let mut archive = archive(source, name, Ownership::Keep, None)?;
            extract(&mut archive, &target, options.ownership(), root.place())
        };
        copy().map_err(|error| attempted(format!("copy {host:?} to {path:?} in {}", self.title()), error))
    }

    pub(super) fn read_archive(self: &Arc<Self>, path: &str, options: CopyOptions) -> Result<Archive> {
        let read = || {
            let root = self.root()?;
            let source = root.within(|| Source::in_container(&root, path, options.follows))??;
            let name = if source.contents { b".".to_vec() } else { source.name.clone() };
            // An ordinary user's container has one user: its root.
            let ownership = Ownership::of_this_process();
            archive(source, name, ownership, Some(root))
        };
        read().map_err(|error| attempted(format!("read {path:?} in {}", self.title()), error))
    }

    pub(super) fn write_archive(self: &Arc<Self>, path: &str, tar: impl Read) -> Result<()> {
        let write = || {
            let root = self.root()?;
            let target = match root.within(|| Destination::in_container(&root, path))?? {
                Destination::Directory(directory) => directory,
                Destination::File { .. } => return Err(CopyFault::NotDirectory(path.into()).into()),
                Destination::Missing { .. } => return Err(CopyFault::Missing(path.into()).into()),
            };
            let limits = Limits::default();
            let mut tar = decompress(BufReader::new(tar), &limits)?;
            let ownership = Ownership::of_this_process();
            unpack(&mut tar, &target, ownership, &limits, root.place())
        };
        write().map_err(|error| attempted(format!("write an archive to {path:?} in {}", self.title()), error))
    }
}

impl Source {
    fn in_container(root: &Root, text: &str, follows: bool) -> Result<Self> {
        let path = inside(text)?;
        let (contents, is_directory) = (ends_in_dot(text.as_bytes()) || path.is_root(), ends_open(text.as_bytes()));
        let flags = if follows || is_directory { OFlags::PATH } else { PATH_ONLY };
        let relative = if path.is_root() { "." } else { path.relative() };
        let opened = fs::open_in_root(root.directory(), relative, flags);
        let name = path.file_name().unwrap_or_default().as_bytes().to_vec();
        Self::new(opened, name, contents, is_directory, text.as_ref())
    }

    fn on_host(path: &Path, follows: bool) -> Result<Self> {
        let text = path.as_os_str().as_bytes();
        let (contents, is_directory) = (ends_in_dot(text), ends_open(text));
        let flags = if follows || is_directory { OFlags::PATH | OFlags::CLOEXEC } else { PATH_ONLY };
        let opened = rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from);
        let name = match path.file_name() {
            Some(name) => name.to_owned(),
            // `.`, `..` and `/` have a name that is another one.
            None => path.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_owned())).unwrap_or_default(),
        };
        let contents = contents || name.is_empty();
        Self::new(opened, name.as_bytes().to_vec(), contents, is_directory, path)
    }

    fn new(
        opened: io::Result<OwnedFd>,
        name: Vec<u8>,
        contents: bool,
        is_directory: bool,
        path: &Path,
    ) -> Result<Self> {
        let file = opened.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => CopyFault::Missing(path.to_owned()).into(),
            _ => Error::os(format_args!("open {path:?}"), error),
        })?;
        let kind = fs::stat(&file).attempt(|| format!("stat {path:?}"))?.kind;
        if is_directory && kind != FileKind::Directory {
            return Err(CopyFault::NotDirectory(path.to_owned()).into());
        }
        Ok(Self { file, kind, name, contents })
    }
}

impl Destination {
    fn in_container(root: &Root, text: &str) -> Result<Self> {
        let path = inside(text)?;
        let open = |path: &str| {
            let path = if path.is_empty() { "." } else { path };
            fs::open_in_root(root.directory(), path, OFlags::PATH)
        };
        let (parent, name) = (path.parent().unwrap_or(ContainerPath::root()), path.file_name().unwrap_or_default());
        let attempt = || format!("open {text:?}");
        let found = match open(path.relative()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let parent = open(parent.relative()).and_then(directory).map_err(|error| no_parent(error, &parent))?;
                return Ok(Self::Missing { parent, name: name.into(), with_slash: ends_open(text.as_bytes()) });
            }
            found => found.attempt(attempt)?,
        };
        if fs::stat(&found).attempt(attempt)?.kind == FileKind::Directory {
            return Ok(Self::Directory(found));
        }
        if ends_open(text.as_bytes()) {
            return Err(CopyFault::NotDirectory(text.into()).into());
        }
        // A link may have led to it: what is replaced is the file. Where that has gone meanwhile, nothing is found.
        let real = fs::path_of(&found).attempt(attempt)?;
        let top = fs::path_of(root.directory()).attempt(attempt)?;
        let real = real.strip_prefix(&top).unwrap_or(&real);
        let (Some(parent), Some(name)) = (real.parent(), real.file_name()) else {
            return Err(CopyFault::NoName(text.into()).into());
        };
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let parent = fs::open_in_root(root.directory(), parent, OFlags::PATH).and_then(directory).attempt(attempt)?;
        Ok(Self::File { parent, name: name.as_bytes().to_vec() })
    }

    fn on_host(path: &Path) -> Result<Self> {
        let attempt = || format!("open {path:?}");
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let open = |path: &Path| rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from);
        let with_slash = ends_open(path.as_os_str().as_bytes());
        let missing = match open(path) {
            Ok(found) if fs::stat(&found).attempt(attempt)?.kind == FileKind::Directory => {
                return Ok(Self::Directory(found));
            }
            Ok(_) if with_slash => return Err(CopyFault::NotDirectory(path.to_owned()).into()),
            Ok(_) => false,
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(error).attempt(attempt),
        };
        let real = if missing { path.to_owned() } else { path.canonicalize().attempt(attempt)? };
        let Some(name) = real.file_name().map(|name| name.as_bytes().to_vec()) else {
            return Err(CopyFault::NoName(path.to_owned()).into());
        };
        let above = real.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let parent = open(above).and_then(directory).map_err(|error| no_parent(error, &above))?;
        Ok(if missing { Self::Missing { parent, name, with_slash } } else { Self::File { parent, name } })
    }

    /// The directory to extract in, and the name that the source has in the archive: the rules of `docker cp`.
    fn take(self, source: &Source, path: &Path) -> Result<(OwnedFd, Vec<u8>)> {
        let is_directory = source.kind == FileKind::Directory;
        match self {
            Self::Directory(directory) if is_directory && source.contents => Ok((directory, b".".to_vec())),
            Self::Directory(directory) => Ok((directory, source.name.clone())),
            Self::File { .. } if is_directory => Err(CopyFault::OverFile(path.to_owned()).into()),
            Self::File { parent, name } => Ok((parent, name)),
            Self::Missing { with_slash: true, .. } if !is_directory => {
                Err(CopyFault::NoDirectory(path.to_owned()).into())
            }
            Self::Missing { parent, name, .. } => Ok((parent, name)),
        }
    }
}

/// Extracts what was archived a moment ago.
fn extract(archive: &mut Archive, target: &OwnedFd, ownership: Ownership, place: Place<'_>) -> Result<()> {
    // Whoever made the file system had no limits either.
    let limits = Limits { entries: u64::MAX, uncompressed: u64::MAX, ..Limits::default() };
    unpack(archive, target, ownership, &limits, place)
}

/// Begins to archive the source.
fn archive(source: Source, name: Vec<u8>, ownership: Ownership, root: Option<Root>) -> Result<Archive> {
    let (mut writer, reader) = pipe();
    let namespace = match root.as_ref().map(Root::place) {
        Some(Place::Container(namespace)) => {
            Some(namespace.try_clone().attempt(|| "duplicate the user namespace of a container")?)
        }
        _ => None,
    };
    let work = move || {
        let pack = || {
            let mut packer = Packer::new(&mut writer, ownership);
            pack_tree(&mut packer, &source.file, &name)?;
            packer.finish()?.finish().attempt(|| "hand over an archive")
        };
        namespace.as_ref().map_or(Place::Store, Place::Container).within(pack).attempt(|| ENTER)?
    };
    let thread = thread::Builder::new().name("plywood-archive".into()).spawn(work);
    let thread = thread.attempt(|| "start a thread for an archive")?;
    Ok(Archive { reader, packing: Packing(Some(thread)), _root: root })
}

/// A path in a container as `docker cp` takes it: a relative one begins at the root.
fn inside(text: &str) -> Result<ContainerPath> {
    match text {
        "" => ContainerPath::parse(text),
        text => ContainerPath::root().join(text),
    }
}

fn ends_in_dot(text: &[u8]) -> bool {
    text == b"." || text.ends_with(b"/.")
}

/// Whether only a directory can be meant.
fn ends_open(text: &[u8]) -> bool {
    ends_in_dot(text) || text.ends_with(b"/") || text == b".." || text.ends_with(b"/..")
}

fn directory(file: OwnedFd) -> io::Result<OwnedFd> {
    match fs::stat(file.as_fd())?.kind {
        FileKind::Directory => Ok(file),
        _ => Err(io::ErrorKind::NotADirectory.into()),
    }
}

fn no_parent(error: io::Error, parent: &impl AsRef<Path>) -> Error {
    let parent = parent.as_ref();
    match error.kind() {
        io::ErrorKind::NotFound => CopyFault::NoDirectory(parent.to_owned()).into(),
        io::ErrorKind::NotADirectory => CopyFault::NotDirectory(parent.to_owned()).into(),
        _ => Error::os(format_args!("open {parent:?}"), error),
    }
}
