//! Where an archive is written: into blocks that go to the next thread, and to a writer on the way.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::mpsc::SyncSender;

use rustix::io::Errno;

use crate::error::{Attempt as _, Result};

use super::fault::ArchiveFault;
use super::ring::{Block, MarkKind, Pool};

/// An archive in the making.
pub(super) struct Sink<'o, 't> {
    current: Option<Block>,
    pool: Pool,
    next: SyncSender<Block>,
    out: Option<&'o mut (dyn Write + 'o)>,
    tar_split: &'t mut (dyn Write + 't),
}

impl<'o, 't> Sink<'o, 't> {
    pub(super) fn new(
        pool: Pool,
        next: SyncSender<Block>,
        out: Option<&'o mut (dyn Write + 'o)>,
        tar_split: &'t mut (dyn Write + 't),
    ) -> Self {
        Self { current: None, pool, next, out, tar_split }
    }

    /// Appends bytes.
    pub(super) fn put(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let block = self.block()?;
            let room = &mut block.data[block.filled..];
            let length = room.len().min(bytes.len());
            room[..length].copy_from_slice(&bytes[..length]);
            block.filled += length;
            bytes = &bytes[length..];
        }
        Ok(())
    }

    /// Appends so many bytes of a file; `false` if it is shorter.
    pub(super) fn put_file(&mut self, file: &OwnedFd, mut left: u64) -> io::Result<bool> {
        while left > 0 {
            let block = self.block()?;
            let room = &mut block.data[block.filled..];
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(room.len());
            let read = match rustix::io::read(file, &mut room[..length]) {
                Ok(0) => return Ok(false),
                Err(Errno::INTR) => continue,
                result => result?,
            };
            block.filled += read;
            left -= read as u64;
        }
        Ok(true)
    }

    /// Notes that the header of an entry ends here.
    pub(super) fn mark(&mut self, name: &[u8], kind: MarkKind) {
        if let Some(block) = &mut self.current {
            block.mark(block.filled, name, kind);
        }
    }

    /// Hands over what is left, waits for the recorder and gives the writer of tar-split back.
    pub(super) fn finish(mut self) -> Result<&'t mut (dyn Write + 't)> {
        self.hand_over()?;
        drop(self.next);
        let tar_split = self.tar_split;
        self.pool.drain(&mut |output| tar_split.write_all(output).attempt(|| "write tar-split"))?;
        Ok(tar_split)
    }

    /// A block with room.
    fn block(&mut self) -> Result<&mut Block> {
        if self.current.as_ref().is_some_and(|block| block.filled == block.data.len()) {
            self.hand_over()?;
        }
        if self.current.is_none() {
            let tar_split = &mut *self.tar_split;
            let block = self.pool.take(&mut |output| tar_split.write_all(output).attempt(|| "write tar-split"))?;
            self.current = Some(block.ok_or(ArchiveFault::Stopped)?);
        }
        self.current.as_mut().ok_or_else(|| ArchiveFault::Stopped.into())
    }

    fn hand_over(&mut self) -> Result<()> {
        let Some(block) = self.current.take() else { return Ok(()) };
        if let Some(out) = &mut self.out {
            out.write_all(&block.data[..block.filled]).attempt(|| "write archive")?;
        }
        self.next.send(block).map_err(|_| ArchiveFault::Stopped.into())
    }
}
