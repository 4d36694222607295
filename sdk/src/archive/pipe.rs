//! From a thread that writes an archive to one that reads it, in this process.
//!
//! No file descriptors: a reader that goes away is an error of the writer, never a signal.

use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Bytes handed over at once, and how many such pieces may wait.
const PIECE: usize = 256 << 10;
const WAITING: usize = 4;

/// The end that is written to.
#[derive(Debug)]
pub(crate) struct PipeWriter {
    pieces: SyncSender<Vec<u8>>,
    piece: Vec<u8>,
}

/// The end that is read from.
#[derive(Debug)]
pub(crate) struct PipeReader {
    pieces: Receiver<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
    has_ended: bool,
}

/// Two ends; each belongs into a thread of its own.
pub(crate) fn pipe() -> (PipeWriter, PipeReader) {
    let (sender, receiver) = sync_channel(WAITING);
    let writer = PipeWriter { pieces: sender, piece: Vec::with_capacity(PIECE) };
    (writer, PipeReader { pieces: receiver, piece: Vec::new(), at: 0, has_ended: false })
}

impl PipeWriter {
    /// Says that all is written. A writer that is dropped without it has failed, and so does the reader.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.hand_over()?;
        // An empty piece is the end.
        self.pieces.send(Vec::new()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn hand_over(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        self.pieces.send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for PipeWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..length]);
        if self.piece.len() == PIECE {
            self.hand_over()?;
        }
        Ok(length)
    }

    /// Does nothing: pieces are handed over when they are full.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for PipeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.piece.len() && !self.has_ended {
            self.piece = self.pieces.recv().map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof))?;
            self.at = 0;
            self.has_ended = self.piece.is_empty();
        }
        let length = buffer.len().min(self.piece.len() - self.at);
        buffer[..length].copy_from_slice(&self.piece[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_written_is_read_and_the_end_is_told_from_a_failure() {
        for finishes in [true, false] {
            let (mut writer, mut reader) = pipe();
            let bytes: Vec<u8> = (0..3 * PIECE + 5).map(|n| n as u8).collect();
            let expected = bytes.clone();
            let writing = std::thread::spawn(move || {
                writer.write_all(&bytes).unwrap();
                if finishes {
                    writer.finish().unwrap();
                }
            });
            let mut read = Vec::new();
            let result = reader.read_to_end(&mut read);
            writing.join().unwrap();
            assert_eq!(result.is_ok(), finishes);
            if finishes {
                assert!(read == expected);
                assert_eq!(reader.read(&mut [0; 8]).unwrap(), 0, "the end stays the end");
            }
        }
    }

    #[test]
    fn a_reader_that_goes_away_is_an_error_of_the_writer() {
        let (mut writer, reader) = pipe();
        drop(reader);
        assert_eq!(writer.write_all(&vec![0; PIECE]).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
