//! An archive into a directory that is there already: what `cp` puts into a container, or onto the host.
//!
//! Everything is made by name in a directory that was opened below the target, through no symbolic link, so that whoever
//! changes the target meanwhile leads nowhere else. A file replaces a file; a directory is merged with a directory.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::thread;

use rustix::io::Errno;

use crate::error::{Attempt as _, Error, ErrorKind, Fault, Result};
use crate::sys::fs::{self, FileKind, Time, Xattr};
use crate::sys::userns;
use crate::sys::within::{ENTER, Place};

use super::apply::copy;
use super::entry::{Entries, Entry, Kind};
use super::fault::text;
use super::import::{join as join_thread, spawn};
use super::path::{clean, join, split};
use super::ring::{Pool, Tape, channel, feed};
use super::{Limits, Ownership};

/// Extracts the uncompressed archive `tar` below `target`, whose own attributes stay as they are.
///
/// With [`Ownership::Flatten`] everything becomes the caller's. Attributes that this user may not set or the file system
/// does not keep stay behind. What was extracted before a failure stays.
///
/// # Errors
/// [`AlreadyExists`](ErrorKind::AlreadyExists) if a file would replace a directory or the reverse; those of the file
/// system, of `tar`, and for a malformed archive.
pub(crate) fn unpack(
    tar: &mut dyn Read,
    target: &OwnedFd,
    ownership: Ownership,
    limits: &Limits,
    place: Place<'_>,
) -> Result<()> {
    thread::scope(|scope| {
        let (to_unpack, from_reader) = channel();
        let (to_reader, from_unpack) = channel();
        let tape = Tape::new(from_reader, to_reader, limits.uncompressed);
        let unpacking = spawn(scope, "unpack", move || {
            let work = || {
                // A umask of its own, as far as it may: the modes are set afterwards in any case.
                let _ = fs::own_umask();
                let directories = BTreeMap::new();
                Unpacking { target, ownership, limits, directories, path: Vec::new(), link: Vec::new() }.run(tape)
            };
            place.within(work).attempt(|| ENTER)?
        })?;
        let mut pool = Pool::new(from_unpack);
        let fed = feed(tar, &mut pool, &to_unpack, &mut |_| Ok(()));
        drop(to_unpack);
        // Until the other side has ended.
        let fed = fed.and_then(|()| pool.drain(&mut |_| Ok(())));
        // The reader's error comes first: the other side only saw the archive end.
        let unpacked = join_thread(unpacking);
        fed.and(unpacked)
    })
}

#[derive(Debug, thiserror::Error)]
enum UnpackFault {
    #[error("put {0:?}: there is a directory, which a file does not replace")]
    DirectoryThere(String),
    #[error("put directory {0:?}: there is a file, which a directory does not replace")]
    FileThere(String),
    #[error("put {path:?}: {parent:?} is a link or no directory")]
    Parent { path: String, parent: String },
    #[error("put {path:?}: its owner is {uid}:{gid}, which only root can make it")]
    Owner { path: String, uid: u32, gid: u32 },
    #[error("put {0:?}: device nodes need root")]
    Device(String),
}

impl Fault for UnpackFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::DirectoryThere(_) | Self::FileThere(_) => ErrorKind::AlreadyExists,
            Self::Parent { .. } => ErrorKind::InvalidArgument,
            Self::Owner { .. } | Self::Device(_) => ErrorKind::PermissionDenied,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Owner { .. } => Some("leave the owners out, or run as root".to_owned()),
            Self::Parent { .. } => Some("name the directory that the link leads to".to_owned()),
            _ => None,
        }
    }
}

struct Unpacking<'a> {
    target: &'a OwnedFd,
    ownership: Ownership,
    limits: &'a Limits,
    /// What directories shall look like in the end.
    directories: BTreeMap<Vec<u8>, Attributes>,
    /// Clean path of the entry, and of a hard link's target.
    path: Vec<u8>,
    link: Vec<u8>,
}

struct Attributes {
    mode: u32,
    uid: u32,
    gid: u32,
    modified: Time,
    xattrs: Vec<Xattr>,
}

impl Unpacking<'_> {
    fn run(mut self, mut tape: Tape) -> Result<()> {
        let mut entries = Entries::new(self.limits);
        while entries.next(&mut tape)? {
            self.entry(&mut tape, &mut entries.entry)?;
        }
        // Those below first: a directory may forbid to be entered.
        for (path, attributes) in self.directories.iter().rev() {
            let (parent, name) = split(path);
            let parent = self.parent(parent, path)?;
            let attempt = || say("set the attributes of", path);
            let directory = fs::open_at(&parent, name, fs::DIRECTORY).attempt(attempt)?;
            self.give(&directory, attributes, path)?;
        }
        tape.finish()
    }

    fn entry(&mut self, tape: &mut Tape, entry: &mut Entry) -> Result<()> {
        if entry.kind == Kind::Global {
            return tape.skip(entry.size);
        }
        clean(&entry.name, self.limits.path, &mut self.path).map_err(|why| why.of(&entry.name, "path"))?;
        let path = std::mem::take(&mut self.path);
        // The target itself stays as it is.
        let made = if path.is_empty() { tape.skip(entry.size) } else { self.make(tape, entry, &path) };
        self.path = path;
        made
    }

    fn make(&mut self, tape: &mut Tape, entry: &mut Entry, path: &[u8]) -> Result<()> {
        let (directory, name) = split(path);
        let parent = self.parent(directory, path)?;
        let there = match fs::stat_at(&parent, name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            there => Some(there.attempt(|| say("stat", path))?.kind),
        };
        let attempt = || say("create", path);
        if entry.kind == Kind::Directory {
            match there {
                Some(FileKind::Directory) => {}
                Some(_) => return Err(UnpackFault::FileThere(text(path)).into()),
                None => fs::make_directory_at(&parent, name, 0o700).attempt(attempt)?,
            }
            let attributes = attributes(entry);
            self.directories.insert(path.to_vec(), attributes);
            return Ok(());
        }
        let source = if entry.kind == Kind::HardLink { Some(self.link_source(entry)?) } else { None };
        match there {
            Some(FileKind::Directory) => return Err(UnpackFault::DirectoryThere(text(path)).into()),
            Some(_) => fs::unlink_at(&parent, name).attempt(|| say("replace", path))?,
            None => {}
        }
        match entry.kind {
            Kind::File => return self.file(tape, entry, &parent, path),
            Kind::HardLink => {
                let (Some((from, link)), name) = (source, name) else { return Ok(()) };
                return fs::make_link_at(from, link.as_slice(), &parent, name).attempt(attempt);
            }
            Kind::Symlink => fs::make_symlink_at(entry.link.as_slice(), &parent, name).attempt(attempt)?,
            _ => {
                let kind = match entry.kind {
                    Kind::CharDevice => FileKind::CharDevice,
                    Kind::BlockDevice => FileKind::BlockDevice,
                    _ => FileKind::Fifo,
                };
                if kind != FileKind::Fifo && !userns::makes_devices() {
                    return Err(UnpackFault::Device(text(path)).into());
                }
                fs::make_node_at(&parent, name, kind, entry.mode & 0o777, entry.device).attempt(attempt)?;
            }
        }
        let attempt = || say("set the attributes of", path);
        if self.ownership.keeps_owners() {
            fs::set_owner_at(&parent, name, entry.uid, entry.gid)
                .map_err(|error| refused_owner(error, entry.uid, entry.gid, path))?;
        }
        fs::set_times_at(&parent, name, entry.modified).attempt(attempt)
    }

    fn file(&mut self, tape: &mut Tape, entry: &mut Entry, parent: &OwnedFd, path: &[u8]) -> Result<()> {
        let name = split(path).1;
        // Nobody else sees it before it is complete.
        let file = fs::create_at(parent, name, 0o600).attempt(|| say("create", path))?;
        match entry.sparse.take() {
            None => copy(tape, &file, entry.size, None, &entry.name)?,
            Some(mut sparse) => {
                sparse.read_map(tape, entry.size)?;
                for extent in sparse.map.take().unwrap_or_default() {
                    copy(tape, &file, extent.length, Some(extent.offset), &entry.name)?;
                }
                rustix::fs::ftruncate(&file, sparse.real_size).attempt(|| say("write", path))?;
            }
        }
        self.give(&file, &attributes(entry), path)
    }

    /// The directory that holds the target of a hard link, and its name there.
    fn link_source(&mut self, entry: &Entry) -> Result<(OwnedFd, Vec<u8>)> {
        clean(&entry.link, self.limits.path, &mut self.link).map_err(|why| why.of(&entry.name, "link"))?;
        let (directory, name) = split(&self.link);
        Ok((self.parent(directory, &self.link)?, name.to_vec()))
    }

    /// Gives an open file its owner, mode, attributes and time, in this order: a new owner takes set-uid away.
    fn give(&self, file: &OwnedFd, attributes: &Attributes, path: &[u8]) -> Result<()> {
        let attempt = || say("set the attributes of", path);
        let (uid, gid) = (attributes.uid, attributes.gid);
        if self.ownership.keeps_owners() {
            fs::set_owner(file, uid, gid).map_err(|error| refused_owner(error, uid, gid, path))?;
        }
        fs::set_mode(file, attributes.mode).attempt(attempt)?;
        for (name, value) in &attributes.xattrs {
            match fs::set_xattr(file, name.as_slice(), value) {
                Err(error) if stays_behind(&error) => {}
                set => set.attempt(attempt)?,
            }
        }
        fs::set_times(file, attributes.modified).attempt(attempt)
    }

    /// Opens a directory below the target; missing ones are made.
    fn parent(&self, directory: &[u8], path: &[u8]) -> Result<OwnedFd> {
        let open = |path: &[u8]| {
            let path = if path.is_empty() { b"." } else { path };
            fs::open_beneath(self.target, path, fs::PATH_ONLY | fs::DIRECTORY)
        };
        let refused = |error: io::Error| match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::LOOP | Errno::NOTDIR) => {
                Error::from(UnpackFault::Parent { path: text(path), parent: text(directory) })
            }
            _ => Error::os(say("open the directory of", path), error),
        };
        match open(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return opened.map_err(refused),
        }
        let mut end = Vec::new();
        let mut above = open(b"").map_err(refused)?;
        for name in directory.split(|byte| *byte == b'/') {
            match fs::make_directory_at(&above, name, 0o755) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => made.attempt(|| say("create", directory))?,
            }
            end = join(&end, name);
            above = open(end.strip_prefix(b"/").unwrap_or(&end)).map_err(refused)?;
        }
        Ok(above)
    }
}

fn attributes(entry: &mut Entry) -> Attributes {
    let xattrs = std::mem::take(&mut entry.xattrs);
    Attributes { mode: entry.mode, uid: entry.uid, gid: entry.gid, modified: entry.modified, xattrs }
}

fn stays_behind(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported)
}

fn refused_owner(error: io::Error, uid: u32, gid: u32, path: &[u8]) -> Error {
    match error.kind() {
        // EINVAL is what a user namespace says to an id that it lacks.
        io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput => {
            UnpackFault::Owner { path: text(path), uid, gid }.into()
        }
        _ => Error::os(say("set the owner of", path), error),
    }
}

fn say(verb: &str, path: &[u8]) -> String {
    format!("{verb} {:?}", text(path))
}
