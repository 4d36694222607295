//! A few large buffers that go round: filled, worked on, recorded, filled again.
//!
//! ```text
//!   import   caller: read, inflate ────▶ extract ──▶ record: digest, tar-split ──▶ caller …
//!   copy     caller: walk, read files ─▶ extract ──▶ record: digest, tar-split ──▶ caller …
//!   archive  caller: walk, read files ─────────────▶ record: digest, tar-split ──▶ caller …
//! ```
//!
//! There are [`RING`] blocks and every channel holds that many, so that no stage ever waits for room: it waits for work.

use std::io::Read;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::error::{Attempt as _, Result};

use super::fault::ArchiveFault;

/// Blocks in circulation: one per stage and one more, so that none waits for another's last byte.
pub(super) const RING: usize = 4;
/// Bytes of a block: a multiple of 512, so that no tar header straddles two. Large enough that handing over costs
/// nothing, small enough for all of them to stay in the second-level cache.
const BLOCK: usize = 256 << 10;
/// Unit of a tar archive.
pub(super) const UNIT: usize = 512;

/// A piece of an archive, and what the recorder must know about it.
pub(super) struct Block {
    pub(super) data: Vec<u8>,
    /// So many bytes of `data` count.
    pub(super) filled: usize,
    marks: Vec<Mark>,
    names: Vec<u8>,
    /// Compressed tar-split on its way back to the caller.
    pub(super) output: Vec<u8>,
}

/// At `at`, the raw bytes of an entry's header end.
struct Mark {
    at: usize,
    name: std::ops::Range<usize>,
    kind: MarkKind,
}

/// What follows a mark.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum MarkKind {
    /// A file whose content of so many bytes will be found under its name.
    Content(u64),
    /// An entry without content, or whose bytes are to be kept raw.
    Raw,
    /// The end of the archive; padding or junk may follow.
    End,
}

impl Block {
    fn new() -> Self {
        Self { data: vec![0; BLOCK], filled: 0, marks: Vec::new(), names: Vec::new(), output: Vec::new() }
    }

    pub(super) fn mark(&mut self, at: usize, name: &[u8], kind: MarkKind) {
        let start = self.names.len();
        self.names.extend_from_slice(name);
        self.marks.push(Mark { at, name: start..self.names.len(), kind });
    }

    /// The marks in order: position, name, kind.
    pub(super) fn marks(&self) -> impl Iterator<Item = (usize, &[u8], MarkKind)> {
        self.marks.iter().map(|mark| (mark.at, &self.names[mark.name.clone()], mark.kind))
    }

    fn unmark(&mut self) {
        self.marks.clear();
        self.names.clear();
    }

    pub(super) fn reset(&mut self) {
        self.filled = 0;
        self.unmark();
        self.output.clear();
    }
}

/// Sender and receiver of blocks.
pub(super) fn channel() -> (SyncSender<Block>, Receiver<Block>) {
    sync_channel(RING)
}

/// Where empty blocks come from: fresh ones first, then those that return.
pub(super) struct Pool {
    fresh: usize,
    returned: Receiver<Block>,
}

impl Pool {
    pub(super) fn new(returned: Receiver<Block>) -> Self {
        Self { fresh: RING, returned }
    }

    /// An empty block, after its `output` was handed to `use_output`; `None` if the recorder is gone.
    pub(super) fn take(&mut self, use_output: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<Option<Block>> {
        if self.fresh > 0 {
            self.fresh -= 1;
            return Ok(Some(Block::new()));
        }
        let Ok(mut block) = self.returned.recv() else { return Ok(None) };
        use_output(&block.output)?;
        block.reset();
        Ok(Some(block))
    }

    /// Waits until the recorder is done, using the rest of its output.
    pub(super) fn drain(self, use_output: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.returned.into_iter().try_for_each(|block| use_output(&block.output))
    }
}

/// Fills blocks from `archive` until its end, or until the next stage has stopped.
pub(super) fn feed(
    archive: &mut dyn Read,
    pool: &mut Pool,
    next: &SyncSender<Block>,
    use_output: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    while let Some(mut block) = pool.take(use_output)? {
        let mut ended = false;
        while block.filled < block.data.len() {
            match archive.read(&mut block.data[block.filled..]) {
                Ok(0) => {
                    ended = true;
                    break;
                }
                Ok(read) => block.filled += read.min(block.data.len() - block.filled),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).attempt(|| "read archive"),
            }
        }
        if next.send(block).is_err() || ended {
            break;
        }
    }
    Ok(())
}

/// The archive as the extracting thread sees it: read once, forwards, each block passed on when it is used up.
pub(super) struct Tape {
    full: Receiver<Block>,
    used: SyncSender<Block>,
    current: Option<Block>,
    at: usize,
    /// Bytes read so far, and how many may be.
    read: u64,
    most: u64,
}

impl Tape {
    pub(super) fn new(full: Receiver<Block>, used: SyncSender<Block>, most: u64) -> Self {
        Self { full, used, current: None, at: 0, read: 0, most }
    }

    /// The next bytes, at most `most` of them and at least one; empty at the end of the archive.
    pub(super) fn peek(&mut self, most: u64) -> Result<&[u8]> {
        while self.current.as_ref().is_none_or(|block| self.at == block.filled) {
            if let Some(block) = self.current.take() {
                self.pass_on(block)?;
            }
            let Ok(mut block) = self.full.recv() else { return Ok(&[]) };
            // Who has written the archive has marked it as well.
            block.unmark();
            self.read += block.filled as u64;
            self.current = Some(block);
            self.at = 0;
            if self.read > self.most {
                return Err(ArchiveFault::Limit { what: "bytes in one layer", limit: self.most }.into());
            }
        }
        let data = self.current.as_ref().map(|block| &block.data[self.at..block.filled]).unwrap_or_default();
        let length = usize::try_from(most).unwrap_or(usize::MAX).min(data.len());
        Ok(&data[..length])
    }

    /// Moves past bytes that were peeked at.
    pub(super) fn consume(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// One unit of 512 bytes; `None` at the end of the archive.
    pub(super) fn unit(&mut self) -> Result<Option<[u8; UNIT]>> {
        if self.peek(1)?.is_empty() {
            return Ok(None);
        }
        let mut unit = [0; UNIT];
        self.read_exact(&mut unit)?;
        Ok(Some(unit))
    }

    pub(super) fn read_exact(&mut self, mut buffer: &mut [u8]) -> Result<()> {
        while !buffer.is_empty() {
            let bytes = self.peek(buffer.len() as u64)?;
            if bytes.is_empty() {
                return Err(ArchiveFault::Truncated.into());
            }
            let length = bytes.len();
            buffer[..length].copy_from_slice(bytes);
            self.consume(length);
            buffer = &mut buffer[length..];
        }
        Ok(())
    }

    pub(super) fn skip(&mut self, mut bytes: u64) -> Result<()> {
        while bytes > 0 {
            let length = self.peek(bytes)?.len();
            if length == 0 {
                return Err(ArchiveFault::Truncated.into());
            }
            self.consume(length);
            bytes -= length as u64;
        }
        Ok(())
    }

    /// Notes that the raw bytes of an entry's header end here.
    pub(super) fn mark(&mut self, name: &[u8], kind: MarkKind) {
        if let Some(block) = &mut self.current {
            block.mark(self.at, name, kind);
        }
    }

    /// How many bytes were read so far, roughly: whole blocks.
    pub(super) fn position(&self) -> u64 {
        self.read
    }

    /// Passes on what is left of the archive.
    pub(super) fn finish(mut self) -> Result<()> {
        loop {
            let length = self.peek(u64::MAX)?.len();
            if length == 0 {
                break;
            }
            self.consume(length);
        }
        match self.current.take() {
            Some(block) => self.pass_on(block),
            None => Ok(()),
        }
    }

    fn pass_on(&self, block: Block) -> Result<()> {
        self.used.send(block).map_err(|_| ArchiveFault::Stopped.into())
    }
}
