//! Layers whose entries replace each other.
//!
//! tar-split stands for contents by the names they are found under, so a content that a later entry of the same archive
//! replaced could never be found again: Docker refuses to store such layers. We keep what is replaced in memory up to a
//! limit and put it into the raw segments afterwards; the result reads everywhere.

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;

use crate::error::{Attempt as _, Result};
use crate::sys::fs::{self, FileKind};

use super::crc64::Crc64;
use super::path::clean;
use super::tar_split::{LONGEST_SEGMENT, Line, Reader, Writer};

/// Replaced contents kept at most. Beyond that the layer works, and only its archive cannot be rebuilt.
const MOST_SAVED: usize = 16 << 20;

/// Contents that were replaced, by size and checksum.
#[derive(Default)]
pub(super) struct Saved {
    contents: HashMap<(u64, [u8; 8]), Vec<u8>>,
    bytes: usize,
}

impl Saved {
    /// Keeps the content of a regular file that is about to go; other kinds have none.
    pub(super) fn keep(&mut self, directory: &OwnedFd, name: &[u8]) -> Result<()> {
        let say = || format!("read {:?}, which a later entry replaces", String::from_utf8_lossy(name));
        let metadata = fs::stat_at(directory, name).attempt(say)?;
        let size = usize::try_from(metadata.size).unwrap_or(usize::MAX);
        if metadata.kind != FileKind::Regular || size == 0 || size > MOST_SAVED - self.bytes {
            return Ok(());
        }
        let mut content = Vec::with_capacity(size);
        let file = std::fs::File::from(fs::open_at(directory, name, fs::READ).attempt(say)?);
        file.take(metadata.size).read_to_end(&mut content).attempt(say)?;
        let mut crc = Crc64::new();
        crc.update(&content);
        self.bytes += content.len();
        self.contents.insert((metadata.size, crc.finish()), content);
        Ok(())
    }

    /// Rewrites a tar-split so that it names every path once and every content that is gone stands in a segment.
    pub(super) fn rewrite(&self, from: &mut (impl Read + Seek), root: &OwnedFd, out: &mut dyn Write) -> Result<()> {
        let last = last_positions(from)?;
        from.seek(SeekFrom::Start(0)).attempt(|| "read tar-split again")?;
        let mut reader = Reader::new(from);
        let mut writer = Writer::new();
        let mut position = 0u64;
        while let Some(line) = reader.next()? {
            match line {
                Line::Segment(raw) => writer.segment(&raw)?,
                Line::File { name, size, crc } => {
                    let is_last = last.get(&key(&name)) == Some(&position);
                    let content = <[u8; 8]>::try_from(&crc[..]).ok().and_then(|crc| self.contents.get(&(size, crc)));
                    match content {
                        Some(content) if !is_last || !has_content(root, &name, content) => {
                            for piece in content.chunks(LONGEST_SEGMENT) {
                                writer.segment(piece)?;
                            }
                        }
                        _ if size > 0 => writer.file(&name, Some((size, &crc)))?,
                        _ if is_last => writer.file(&name, None)?,
                        _ => {}
                    }
                }
            }
            position += 1;
            out.write_all(&writer.take()).attempt(|| "write tar-split")?;
        }
        out.write_all(&writer.finish()?).attempt(|| "write tar-split")
    }
}

/// At which line each path is named last.
fn last_positions(from: &mut (impl Read + Seek)) -> Result<HashMap<Vec<u8>, u64>> {
    from.seek(SeekFrom::Start(0)).attempt(|| "read tar-split again")?;
    let mut reader = Reader::new(from);
    let mut last = HashMap::new();
    let mut position = 0;
    while let Some(line) = reader.next()? {
        if let Line::File { name, .. } = line {
            last.insert(key(&name), position);
        }
        position += 1;
    }
    Ok(last)
}

fn key(name: &[u8]) -> Vec<u8> {
    let mut path = Vec::new();
    // A name that is no path stands for itself.
    match clean(name, usize::MAX - 1, &mut path) {
        Ok(()) => path,
        Err(_) => name.to_vec(),
    }
}

fn has_content(root: &OwnedFd, name: &[u8], content: &[u8]) -> bool {
    let Ok(file) = fs::open_in_root(root, key(name).as_slice(), fs::READ) else { return false };
    let Ok(metadata) = fs::stat(&file) else { return false };
    if metadata.kind != FileKind::Regular || metadata.size != content.len() as u64 {
        return false;
    }
    let mut found = Vec::with_capacity(content.len());
    std::fs::File::from(file).take(metadata.size).read_to_end(&mut found).is_ok() && found == content
}
