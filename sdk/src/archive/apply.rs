//! An archive into a directory: the extracting thread of an import.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::io::Errno;

use crate::error::{Attempt as _, Result};
use crate::sys::userns;

use super::entry::{Entries, Entry, Kind};
use super::fault::{ArchiveFault, text};
use super::import::OnPiece;
use super::path::{clean, split};
use super::ring::{MarkKind, Tape};
use super::saved::Saved;
use super::tree::Tree;
use super::whiteout::{self, Meaning};
use super::{ApplyOptions, Ownership, whiteout::is_in_aufs_state};

/// How much of an archive passes before the free space is looked at again, and the caller told.
pub(super) const PIECE: u64 = 32 << 20;

/// What the extracting thread knows in the end.
pub(super) struct Extracted {
    pub(super) size: u64,
    pub(super) entries: u64,
    pub(super) saved: Option<Saved>,
}

/// Extracts the archive on `tape` into `diff`.
pub(super) fn extract(mut tape: Tape, diff: &Path, options: &ApplyOptions, on_piece: OnPiece<'_>) -> Result<Extracted> {
    let mut tree = Tree::new(diff, options)?;
    let mut entries = Entries::new(&options.limits);
    let mut extraction = Extraction { options, path: Vec::new(), target: Vec::new(), holes: 0 };
    let mut next_check = 0;
    while entries.next(&mut tape)? {
        if tape.position() >= next_check {
            if next_check > 0 {
                on_piece();
            }
            next_check = tape.position() + PIECE;
            if tree.free_space()? < options.limits.free_space {
                return Err(ArchiveFault::NoSpace(options.limits.free_space).into());
            }
        }
        extraction.entry(&mut tree, &mut tape, &mut entries.entry)?;
    }
    tape.mark(b"", MarkKind::End);
    let finished = tree.finish()?;
    let entries = entries.count();
    tape.finish()?;
    Ok(Extracted { size: finished.size, entries, saved: finished.saved })
}

struct Extraction<'a> {
    options: &'a ApplyOptions,
    /// Clean path of the entry, and of a hard link's target.
    path: Vec<u8>,
    target: Vec<u8>,
    /// Bytes of holes so far: they cost no archive, but reading them does.
    holes: u64,
}

impl Extraction<'_> {
    /// Makes one entry and consumes its content.
    fn entry(&mut self, tree: &mut Tree<'_>, tape: &mut Tape, entry: &mut Entry) -> Result<()> {
        if entry.kind == Kind::Global {
            tape.mark(&entry.name, MarkKind::Raw);
            return Ok(());
        }
        let most = self.options.limits.path;
        clean(&entry.name, most, &mut self.path).map_err(|bad| bad.of(&entry.name, "path"))?;
        let (directory, name) = split(&self.path);
        let meaning = if is_in_aufs_state(directory) { Meaning::Ignored } else { whiteout::meaning(name) };
        if meaning == Meaning::Itself {
            if directory.split(|byte| *byte == b'/').any(|component| component.starts_with(whiteout::PREFIX)) {
                return Err(ArchiveFault::entry(&entry.name, "it lies below a whiteout"));
            }
            self.require_owner(entry)?;
            return self.file(tree, tape, entry);
        }
        // Whatever stands there leaves no content behind to rebuild the archive from: it is kept raw.
        tape.mark(&entry.name, MarkKind::Raw);
        match meaning {
            Meaning::Hides(hidden) => tree.whiteout(directory, hidden, entry)?,
            Meaning::Opaque => tree.opaque(directory, entry)?,
            Meaning::Malformed => return Err(ArchiveFault::entry(&entry.name, "a whiteout of nothing")),
            Meaning::Ignored | Meaning::Itself => {}
        }
        tape.skip(entry.size)
    }

    /// Refuses a file whose owner this user does not have.
    fn require_owner(&self, entry: &Entry) -> Result<()> {
        if self.options.ownership != Ownership::Mapped || entry.kind == Kind::HardLink {
            return Ok(());
        }
        match userns::lacks(entry.uid, entry.gid) {
            Some(why) => Err(ArchiveFault::NoId { entry: text(&entry.name), why }.into()),
            None => Ok(()),
        }
    }

    fn file(&mut self, tree: &mut Tree<'_>, tape: &mut Tape, entry: &mut Entry) -> Result<()> {
        match entry.kind {
            Kind::File if entry.sparse.is_none() => {
                tape.mark(&entry.name, MarkKind::Content(entry.size));
                let file = tree.file(&self.path, entry)?;
                copy(tape, &file, entry.size, None, &entry.name)?;
                return tree.finish_file(&file, entry);
            }
            Kind::File => {
                tape.mark(&entry.name, MarkKind::Raw);
                return self.sparse_file(tree, tape, entry);
            }
            _ => tape.mark(&entry.name, MarkKind::Raw),
        }
        match entry.kind {
            Kind::Directory => tree.directory(&self.path, entry),
            Kind::Symlink => tree.symlink(&self.path, entry),
            Kind::HardLink => {
                clean(&entry.link, self.options.limits.path, &mut self.target)
                    .map_err(|bad| bad.of(&entry.name, "target"))?;
                tree.hard_link(&self.path, &self.target, entry)
            }
            _ => tree.node(&self.path, entry),
        }
    }

    fn sparse_file(&mut self, tree: &mut Tree<'_>, tape: &mut Tape, entry: &mut Entry) -> Result<()> {
        let Some(mut sparse) = entry.sparse.take() else { return Ok(()) };
        let data = sparse.read_map(tape, entry.size)?;
        self.holes = self.holes.saturating_add(sparse.real_size - data);
        let limit = self.options.limits.uncompressed;
        if self.holes.saturating_add(tape.position()) > limit {
            return Err(ArchiveFault::Limit { what: "bytes in one layer", limit }.into());
        }
        let real_size = sparse.real_size;
        let map = sparse.map.take().unwrap_or_default();
        entry.sparse = Some(sparse);
        let file = tree.file(&self.path, entry)?;
        for extent in map {
            copy(tape, &file, extent.length, Some(extent.offset), &entry.name)?;
        }
        rustix::fs::ftruncate(&file, real_size).attempt(|| format!("extract {:?}", text(&entry.name)))?;
        tree.finish_file(&file, entry)
    }
}

/// Copies bytes of the archive to a file, at its current end or at an offset.
pub(super) fn copy(tape: &mut Tape, file: &OwnedFd, mut left: u64, mut offset: Option<u64>, name: &[u8]) -> Result<()> {
    while left > 0 {
        let bytes = tape.peek(left)?;
        if bytes.is_empty() {
            return Err(ArchiveFault::Truncated.into());
        }
        let written = match offset {
            None => rustix::io::write(file, bytes),
            Some(offset) => rustix::io::pwrite(file, bytes, offset),
        };
        let written = match written {
            Ok(0) => Err(io::Error::from(io::ErrorKind::WriteZero)),
            Err(Errno::INTR) => continue,
            result => result.map_err(io::Error::from),
        }
        .attempt(|| format!("write {:?}", text(name)))?;
        tape.consume(written);
        left -= written as u64;
        offset = offset.map(|offset| offset + written as u64);
    }
    Ok(())
}
