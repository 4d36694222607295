//! The members of an image archive by name: a tar, or a directory with the same files.
//!
//! Nothing is extracted. A tar is indexed once, header by header, and its members are read where they lie; links are
//! followed inside the archive only, and a directory is its own root, so that a name in an archive never reaches a file
//! of the host.

mod index;

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;

use self::index::{Index, normal_name};
use super::source::{Kind, Meter, Metered, Source};
use crate::archive::{LONGEST_MAGIC, Limits, decompress, is_compressed};
use crate::error::{Attempt, Error, ErrorKind, Result};
use crate::sys::fs::open_in_root;

/// An opened archive.
pub(crate) struct Contents {
    /// What messages call it.
    name: String,
    place: Place,
    limits: Limits,
}

enum Place {
    Tar { file: Arc<File>, index: Index },
    Directory { root: File },
}

/// One regular file of an archive, read where it lies.
pub(crate) struct Member {
    file: Arc<File>,
    position: u64,
    end: u64,
}

impl Contents {
    /// Opens an archive: a directory, a tar, or a compressed tar.
    ///
    /// What cannot be sought (a reader, a pipe, a compressed file) is copied to an unnamed file in `spool`, which
    /// disappears with the value.
    ///
    /// # Errors
    /// `Corrupt` if it is none of these or is cut short.
    pub(crate) fn open(source: Source<'_>, spool: &Path, limits: &Limits, meter: &Meter) -> Result<Self> {
        let name = source.name();
        let place = match source.0 {
            Kind::Path(path) => Place::open(&path, spool, limits, meter)?,
            Kind::Reader(reader) => Place::spooled(reader, spool, limits, meter, &name)?,
        };
        Ok(Self { name, place, limits: limits.clone() })
    }

    /// What messages call the archive.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What the archive may ask of this host.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether there is a regular file of this name.
    pub(crate) fn has(&self, member: &str) -> bool {
        matches!(self.member(member), Ok(Some(_)))
    }

    /// The regular file `member`; `None` if there is none.
    ///
    /// # Errors
    /// `Corrupt` if the name leaves the archive, occurs twice, or is no regular file.
    pub(crate) fn member(&self, member: &str) -> Result<Option<Member>> {
        let Some(name) = normal_name(member.as_bytes()) else {
            return Err(self.corrupt(format_args!("the name {member:?} leads out of it")));
        };
        match &self.place {
            Place::Tar { file, index } => match index.find(&name) {
                Ok(None) => Ok(None),
                Ok(Some((position, size))) => {
                    Ok(Some(Member { file: Arc::clone(file), position, end: position + size }))
                }
                Err(why) => Err(self.corrupt(format_args!("{member:?} {why}"))),
            },
            Place::Directory { root } => self.directory_member(root, &name),
        }
    }

    /// The content of a small file, of at most `max` bytes.
    pub(crate) fn read_capped(&self, member: &str, max: u64) -> Result<Option<Vec<u8>>> {
        let Some(mut file) = self.member(member)? else { return Ok(None) };
        if file.size() > max {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                format_args!(
                    "read {member:?} of {:?}: it has {} bytes, more than the {max} allowed",
                    self.name,
                    file.size()
                ),
            ));
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).attempt(|| format!("read {member:?} of {:?}", self.name))?;
        Ok(Some(bytes))
    }

    /// The same, where the file has to be there.
    pub(crate) fn need(&self, member: &str, max: u64) -> Result<Vec<u8>> {
        self.read_capped(member, max)?.ok_or_else(|| self.lacks(member))
    }

    /// The error for a file that has to be there and is not.
    pub(crate) fn lacks(&self, member: &str) -> Error {
        self.corrupt(format_args!("it lacks the file {member:?} that it refers to"))
    }

    /// The error for an archive that contradicts itself.
    pub(crate) fn corrupt(&self, why: impl std::fmt::Display) -> Error {
        Error::new(ErrorKind::Corrupt, format_args!("load images from {:?}: {why}", self.name))
    }

    fn directory_member(&self, root: &File, name: &[u8]) -> Result<Option<Member>> {
        // A FIFO must not block the open.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let shown = || String::from_utf8_lossy(name).into_owned();
        let file = match open_in_root(root, name, flags) {
            Ok(fd) => File::from(fd),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(Error::os(format_args!("open {:?} in {:?}", shown(), self.name), error)),
        };
        let metadata = file.metadata().attempt(|| format!("read {:?} in {:?}", shown(), self.name))?;
        if !metadata.is_file() {
            return Err(self.corrupt(format_args!("{:?} is no regular file", shown())));
        }
        Ok(Some(Member { file: Arc::new(file), position: 0, end: metadata.len() }))
    }
}

impl Place {
    fn open(path: &Path, spool: &Path, limits: &Limits, meter: &Meter) -> Result<Self> {
        let file = File::open(path).attempt(|| format!("open the archive {path:?}"))?;
        let metadata = file.metadata().attempt(|| format!("read {path:?}"))?;
        if metadata.is_dir() {
            return Ok(Self::Directory { root: file });
        }
        let name = path.display().to_string();
        if !metadata.is_file() || begins_compressed(&file).attempt(|| format!("read {path:?}"))? {
            return Self::spooled(file, spool, limits, meter, &name);
        }
        Self::tar(file, limits, &name)
    }

    fn spooled(reader: impl Read, spool: &Path, limits: &Limits, meter: &Meter, name: &str) -> Result<Self> {
        let mut plain = decompress(Metered::new(reader, meter), limits)?;
        let mut file = tempfile::tempfile_in(spool).attempt(|| format!("create a temporary file in {spool:?}"))?;
        io::copy(&mut plain, &mut file).attempt(|| format!("copy the archive {name:?} to {spool:?}"))?;
        Self::tar(file, limits, name)
    }

    fn tar(file: File, limits: &Limits, name: &str) -> Result<Self> {
        let index = Index::read(&file, limits).map_err(|error| error.in_archive(name))?;
        Ok(Self::Tar { file: Arc::new(file), index })
    }
}

impl Member {
    /// Bytes left to read; at first, the size of the file.
    pub(crate) fn size(&self) -> u64 {
        self.end - self.position
    }
}

impl Read for Member {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.size()).map_or(buffer.len(), |left| left.min(buffer.len()));
        if wanted == 0 {
            return Ok(0);
        }
        let count = self.file.read_at(&mut buffer[..wanted], self.position)?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was read"));
        }
        self.position += count as u64;
        Ok(count)
    }
}

/// Whether the file has to be decompressed.
fn begins_compressed(file: &File) -> io::Result<bool> {
    let mut magic = Vec::new();
    Read::take(file, LONGEST_MAGIC as u64).read_to_end(&mut magic)?;
    (&*file).rewind()?;
    Ok(is_compressed(&magic))
}

/// A reader with a buffer for sources that are read in small pieces.
pub(crate) fn buffered<R: Read>(reader: R) -> BufReader<R> {
    // The size of a pipe, and of most read-ahead windows.
    const BUFFER: usize = 64 * 1024;
    BufReader::with_capacity(BUFFER, reader)
}

/// Opens the source of an import: a tar, compressed or not, read once.
pub(crate) fn open_stream<'a>(source: Source<'a>) -> Result<(Box<dyn Read + 'a>, Option<u64>)> {
    match source.0 {
        Kind::Reader(reader) => Ok((reader, None)),
        Kind::Path(path) => {
            let file = File::open(&path).attempt(|| format!("open the archive {path:?}"))?;
            let metadata = file.metadata().attempt(|| format!("read {path:?}"))?;
            if metadata.is_dir() {
                return Err(is_a_directory(path));
            }
            let total = metadata.is_file().then_some(metadata.len());
            Ok((Box::new(file), total))
        }
    }
}

fn is_a_directory(path: PathBuf) -> Error {
    Error::new(ErrorKind::InvalidArgument, format_args!("import {path:?}: it is a directory, not a tar archive"))
        .with_hint("build an image FROM scratch with COPY, or load it if it is an OCI layout")
        .with_path(path)
}

#[cfg(test)]
mod tests;
