//! The exact archive of a layer, from its tar-split and its directory.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::io::Errno;

use crate::error::{Attempt as _, Result};
use crate::sys::fs::{self, FileKind, READ};

use super::crc64::Crc64;
use super::fault::{ArchiveFault, text};
use super::path::{clean, split};
use super::tar_split::{Line, Reader};

/// Longest path accepted; a name in a tar-split that Docker wrote may not have passed our limits.
const LONGEST_PATH: usize = 1 << 16;
/// Parents kept open.
const CACHED: usize = 8;

/// Writes the exact archive that the layer in `diff` was made from; `tar_split` is its `tar-split.json.gz`.
///
/// The caller compares the digest: contents are checked by their CRC-64 only.
///
/// # Errors
/// [`Corrupt`](crate::ErrorKind::Corrupt) if a file is missing or has another content than it had.
pub(crate) fn reassemble(tar_split: &mut dyn Read, diff: &Path, out: &mut dyn Write) -> Result<()> {
    let root = fs::open_directory(diff).attempt(|| format!("open {diff:?}"))?;
    let mut lines = Reader::new(tar_split);
    let mut files = Files { root: &root, parents: VecDeque::new(), path: Vec::new(), buffer: vec![0; 256 << 10] };
    while let Some(line) = lines.next()? {
        match line {
            Line::Segment(raw) => out.write_all(&raw).attempt(|| "write archive")?,
            Line::File { size: 0, .. } => {}
            Line::File { name, size, crc } => files.copy(&name, size, &crc, out)?,
        }
    }
    Ok(())
}

/// How many bytes [`reassemble`] will write.
///
/// # Errors
/// [`Corrupt`](crate::ErrorKind::Corrupt) if the tar-split is damaged.
pub(crate) fn tar_size(tar_split: &mut dyn Read) -> Result<u64> {
    let mut lines = Reader::new(tar_split);
    let mut total = 0_u64;
    while let Some(line) = lines.next()? {
        let size = match line {
            Line::Segment(raw) => raw.len() as u64,
            Line::File { size, .. } => size,
        };
        total = total.saturating_add(size);
    }
    Ok(total)
}

struct Files<'a> {
    root: &'a OwnedFd,
    /// Open directories by path, most recently used first.
    parents: VecDeque<(Vec<u8>, OwnedFd)>,
    path: Vec<u8>,
    buffer: Vec<u8>,
}

impl Files<'_> {
    fn copy(&mut self, name: &[u8], size: u64, expected: &[u8], out: &mut dyn Write) -> Result<()> {
        let fault = |why| ArchiveFault::Reassemble { name: text(name), why };
        clean(name, LONGEST_PATH, &mut self.path).map_err(|_| fault("is not a path"))?;
        let file = match self.open() {
            Ok(file) => file,
            Err(error) => match error.raw_os_error().map(Errno::from_raw_os_error) {
                Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Err(fault("is missing").into()),
                _ => return Err(error).attempt(|| format!("open {:?} of the layer", text(name))),
            },
        };
        let metadata = fs::stat(&file).attempt(|| format!("stat {:?} of the layer", text(name)))?;
        if metadata.kind != FileKind::Regular || metadata.size != size {
            return Err(fault("is not the file it was").into());
        }
        let mut crc = Crc64::new();
        let mut left = size;
        while left > 0 {
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            let read = match rustix::io::read(&file, &mut self.buffer[..length]) {
                Ok(0) => return Err(fault("is shorter than it was").into()),
                Err(Errno::INTR) => continue,
                result => result.attempt(|| format!("read {:?} of the layer", text(name)))?,
            };
            crc.update(&self.buffer[..read]);
            out.write_all(&self.buffer[..read]).attempt(|| "write archive")?;
            left -= read as u64;
        }
        if crc.finish() != expected {
            return Err(fault("has another content than it had").into());
        }
        Ok(())
    }

    fn open(&mut self) -> std::io::Result<OwnedFd> {
        let (directory, name) = split(&self.path);
        if directory.is_empty() {
            return fs::open_at(self.root, name, READ);
        }
        if let Some(at) = self.parents.iter().position(|(path, _)| path == directory) {
            self.parents.swap(0, at);
        } else {
            let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY;
            let opened = fs::open_in_root(self.root, directory, flags)?;
            self.parents.push_front((directory.to_vec(), opened));
            self.parents.truncate(CACHED);
        }
        match self.parents.front() {
            Some((_, parent)) => fs::open_at(parent, name, READ),
            None => Err(Errno::NOENT.into()),
        }
    }
}
