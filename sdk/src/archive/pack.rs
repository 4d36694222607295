//! Writing an archive of plain files, without whiteouts: what `export` and `cp` give.

use std::collections::HashMap;
use std::io::{self, Read, Write};

use crate::error::{Attempt as _, Result};
use crate::sys::fs::{FileKind, Metadata, Time, Xattr};

use super::Ownership;
use super::entry::{Kind, padding};
use super::fault::ArchiveFault;
use super::path::join;
use super::write::Header;

/// A file to be archived.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member<'a> {
    /// Its name in the archive.
    pub path: &'a [u8],
    pub kind: FileKind,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    pub modified: Time,
    pub device: (u32, u32),
    /// Number of hard links, and what tells them apart.
    pub links: u64,
    pub identity: (u64, u64),
    /// The text of a symbolic link.
    pub target: &'a [u8],
    pub xattrs: &'a [Xattr],
}

impl<'a> Member<'a> {
    pub(crate) fn new(path: &'a [u8], metadata: &Metadata, target: &'a [u8], xattrs: &'a [Xattr]) -> Self {
        Self {
            path,
            kind: metadata.kind,
            mode: metadata.mode,
            uid: metadata.uid,
            gid: metadata.gid,
            size: metadata.size,
            modified: metadata.modified,
            device: metadata.device,
            links: metadata.links,
            identity: metadata.identity,
            target,
            xattrs,
        }
    }
}

/// An archive being written.
pub(crate) struct Packer<W> {
    out: W,
    ownership: Ownership,
    /// First name of every inode with several.
    links: HashMap<(u64, u64), Vec<u8>>,
    header: Vec<u8>,
    buffer: Vec<u8>,
}

const BUFFER: usize = 128 << 10;

impl<W: Write> Packer<W> {
    pub(crate) fn new(out: W, ownership: Ownership) -> Self {
        Self { out, ownership, links: HashMap::new(), header: Vec::new(), buffer: vec![0; BUFFER] }
    }

    /// Adds a file. `content` is asked for that of a regular one, unless it is a further name of one that is there.
    /// Sockets are left out.
    ///
    /// # Errors
    /// `Unsupported` if a file is shorter than its size says: it has changed meanwhile.
    pub(crate) fn add<R: Read>(&mut self, member: &Member<'_>, content: impl FnOnce() -> Result<R>) -> Result<()> {
        let kind = match member.kind {
            FileKind::Regular => Kind::File,
            FileKind::Directory => Kind::Directory,
            FileKind::Symlink => Kind::Symlink,
            FileKind::CharDevice => Kind::CharDevice,
            FileKind::BlockDevice => Kind::BlockDevice,
            FileKind::Fifo => Kind::Fifo,
            FileKind::Socket | FileKind::Unknown => return Ok(()),
        };
        if kind != Kind::Directory && member.links > 1 {
            if let Some(first) = self.links.get(&member.identity).cloned() {
                return self.header(member, Kind::HardLink, &first);
            }
            self.links.insert(member.identity, member.path.to_vec());
        }
        // Opened before the header is written: after it there is no way back.
        let mut content = if kind == Kind::File { Some(content()?) } else { None };
        self.header(member, kind, member.target)?;
        match &mut content {
            Some(content) => self.content(member, content),
            None => Ok(()),
        }
    }

    /// Writes the end of the archive.
    pub(crate) fn finish(mut self) -> Result<W> {
        self.write(&[0; 1024])?;
        self.out.flush().attempt(|| "write archive")?;
        Ok(self.out)
    }

    fn header(&mut self, member: &Member<'_>, kind: Kind, link: &[u8]) -> Result<()> {
        let with_slash = if kind == Kind::Directory { join(member.path, b"") } else { Vec::new() };
        let (uid, gid) = match self.ownership {
            Ownership::Keep | Ownership::Mapped => (member.uid, member.gid),
            Ownership::Flatten => (0, 0),
        };
        self.header.clear();
        let header = Header {
            path: if kind == Kind::Directory { &with_slash } else { member.path },
            kind,
            link,
            mode: member.mode,
            uid,
            gid,
            size: if kind == Kind::File { member.size } else { 0 },
            modified: member.modified,
            device: member.device,
            xattrs: if kind == Kind::HardLink { &[] } else { member.xattrs },
        };
        header.write(&mut self.header);
        self.out.write_all(&self.header).attempt(|| "write archive")
    }

    fn content(&mut self, member: &Member<'_>, content: &mut impl Read) -> Result<()> {
        let mut left = member.size;
        while left > 0 {
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(BUFFER);
            let read = match content.read(&mut self.buffer[..length]) {
                Ok(0) => return Err(ArchiveFault::layer(member.path, "it became shorter while it was read")),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read.attempt(|| format!("read {:?}", String::from_utf8_lossy(member.path)))?,
            };
            self.out.write_all(&self.buffer[..read]).attempt(|| "write archive")?;
            left -= read as u64;
        }
        let padding = usize::try_from(padding(member.size)).unwrap_or_default();
        self.write(&[0; 512][..padding])
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).attempt(|| "write archive")
    }
}
