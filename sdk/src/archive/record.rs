//! The recording thread: digest and tar-split of an archive that passes by in blocks.

use std::sync::mpsc::{Receiver, SyncSender};

use crate::error::Result;
use crate::spec::{DiffId, Digester};

use super::crc64::Crc64;
use super::ring::{Block, MarkKind};
use super::tar_split::{LONGEST_SEGMENT, Writer};

/// What the recorder knows in the end.
pub(super) struct Recorded {
    pub(super) diff_id: DiffId,
    /// The end of the compressed tar-split.
    pub(super) output: Vec<u8>,
}

/// Records every block and sends it back, with the tar-split compressed so far in its `output`.
pub(super) fn record(full: Receiver<Block>, back: SyncSender<Block>) -> Result<Recorded> {
    let mut recorder = Recorder { digester: Digester::new(), split: Writer::new(), segment: Vec::new(), content: None };
    for mut block in full {
        recorder.block(&block)?;
        block.output = recorder.split.take();
        // Nobody waits for it once the caller has failed; the archive is recorded to its end all the same.
        let _ = back.send(block);
    }
    recorder.end_segment()?;
    let diff_id = DiffId::from(recorder.digester.finish());
    Ok(Recorded { diff_id, output: recorder.split.finish()? })
}

struct Recorder {
    digester: Digester,
    split: Writer,
    /// Raw bytes since the last content.
    segment: Vec<u8>,
    content: Option<Content>,
}

/// A file's content that is passing by.
struct Content {
    name: Vec<u8>,
    size: u64,
    left: u64,
    crc: Crc64,
}

impl Recorder {
    fn block(&mut self, block: &Block) -> Result<()> {
        let data = &block.data[..block.filled];
        self.digester.update(data);
        let mut at = 0;
        for (position, name, kind) in block.marks() {
            self.bytes(&data[at..position])?;
            at = position;
            self.end_segment()?;
            match kind {
                MarkKind::Content(size) if size > 0 => {
                    self.content = Some(Content { name: name.to_vec(), size, left: size, crc: Crc64::new() });
                }
                MarkKind::Content(_) | MarkKind::Raw => self.split.file(name, None)?,
                MarkKind::End => {}
            }
        }
        self.bytes(&data[at..])
    }

    fn bytes(&mut self, mut bytes: &[u8]) -> Result<()> {
        if let Some(content) = &mut self.content {
            let length = usize::try_from(content.left).unwrap_or(usize::MAX).min(bytes.len());
            content.crc.update(&bytes[..length]);
            content.left -= length as u64;
            bytes = &bytes[length..];
            if content.left > 0 {
                return Ok(());
            }
            self.split.file(&content.name, Some((content.size, &content.crc.finish())))?;
            self.content = None;
        }
        while self.segment.len() + bytes.len() > LONGEST_SEGMENT {
            let (now, later) = bytes.split_at(LONGEST_SEGMENT - self.segment.len());
            self.segment.extend_from_slice(now);
            self.end_segment()?;
            bytes = later;
        }
        self.segment.extend_from_slice(bytes);
        Ok(())
    }

    fn end_segment(&mut self) -> Result<()> {
        if !self.segment.is_empty() {
            self.split.segment(&self.segment)?;
            self.segment.clear();
        }
        Ok(())
    }
}
