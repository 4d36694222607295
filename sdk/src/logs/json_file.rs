//! Writes `<container-id>-json.log` and rotates it.
//!
//! ```text
//! containers/<id>/
//! ├── <id>-json.log      being written
//! ├── <id>-json.log.1    the one before it
//! └── <id>-json.log.2    older
//! ```
//!
//! A line of the file is written by one `write` in append mode, so that a reader sees whole lines, the last one excepted
//! after a crash. Rotation renames: a reader that has the file open reads on to its end.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::piece::{PIECE, whole_characters};
use super::{Entry, Stream};
use crate::error::{Attempt, Result};
use crate::spec::Timestamp;

/// When the file is rotated. By default never, as in Docker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogConfig {
    /// Rotates before the file grows beyond this many bytes.
    pub max_size: Option<u64>,
    /// How many files are kept, the current one included; at least 1.
    pub max_file: u32,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { max_size: None, max_file: 1 }
    }
}

/// Takes the output of a container and writes whole lines.
#[derive(Debug)]
pub(crate) struct Writer {
    path: PathBuf,
    config: LogConfig,
    file: File,
    size: u64,
    /// Output that no line feed has ended yet, per stream.
    pending: [Vec<u8>; 2],
    /// Lines of the file on their way to it.
    lines: Vec<u8>,
    /// The last write failed, maybe in the middle of a line.
    is_torn: bool,
}

impl Writer {
    /// Opens the log for appending; makes it, with mode 0640, if it is missing.
    pub(crate) fn open(path: &Path, config: LogConfig) -> Result<Self> {
        let file = open(path).attempt(|| format!("open log {path:?}"))?;
        let size = file.metadata().attempt(|| format!("read the size of log {path:?}"))?.len();
        let (path, pending, lines) = (path.to_owned(), [Vec::new(), Vec::new()], Vec::new());
        let mut writer = Self { path, config, file, size, pending, lines, is_torn: false };
        writer.end_torn_line().attempt(|| format!("read log {:?}", writer.path))?;
        Ok(writer)
    }

    /// Takes output as it was read from the process. A line is in the file when its line feed has been seen.
    pub(crate) fn write(&mut self, stream: Stream, mut bytes: &[u8]) -> Result<()> {
        let time = Timestamp::now();
        let mut pending = std::mem::take(&mut self.pending[stream as usize]);
        while !bytes.is_empty() {
            let room = PIECE - pending.len();
            let line = bytes.iter().take(room).position(|byte| *byte == b'\n').map(|at| at + 1);
            let (piece, rest) = bytes.split_at(line.unwrap_or(room.min(bytes.len())));
            bytes = rest;
            if pending.is_empty() && line.is_some() {
                self.push(stream, piece, time)?;
                continue;
            }
            pending.extend_from_slice(piece);
            if line.is_some() {
                self.push(stream, &pending, time)?;
                pending.clear();
            } else if pending.len() == PIECE {
                // A character that is not complete yet begins the next piece.
                let cut = whole_characters(&pending);
                self.push(stream, &pending[..cut], time)?;
                pending.drain(..cut);
            }
        }
        self.pending[stream as usize] = pending;
        self.flush()
    }

    /// Writes what no line feed has ended, when the stream is at its end.
    pub(crate) fn end(&mut self, stream: Stream) -> Result<()> {
        let pending = std::mem::take(&mut self.pending[stream as usize]);
        if !pending.is_empty() {
            self.push(stream, &pending, Timestamp::now())?;
        }
        self.flush()
    }

    /// The open file, for a program that goes on in its place.
    pub(crate) fn into_file(self) -> File {
        self.file
    }

    /// A crash or a full disk may have left half a line; the next one must not be glued to it.
    fn end_torn_line(&mut self) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        let Some(last) = self.size.checked_sub(1) else { return Ok(()) };
        let mut byte = [0];
        File::open(&self.path)?.read_exact_at(&mut byte, last)?;
        if byte != *b"\n" {
            self.file.write_all(b"\n")?;
            self.size += 1;
        }
        Ok(())
    }

    fn push(&mut self, stream: Stream, text: &[u8], time: Timestamp) -> Result<()> {
        let before = self.lines.len();
        let entry = Entry { log: String::from_utf8_lossy(text), stream, time };
        serde_json::to_writer(&mut self.lines, &entry)
            .map_err(io::Error::from)
            .attempt(|| format!("write log {:?}", self.path))?;
        self.lines.push(b'\n');
        if self.config.max_size.is_some_and(|max| self.size + self.lines.len() as u64 > max) {
            let line = self.lines.split_off(before);
            self.flush()?;
            self.lines = line;
            if self.size > 0 {
                self.rotate()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let written = self.try_flush();
        self.lines.clear();
        self.is_torn |= written.is_err();
        written.attempt(|| format!("write log {:?}", self.path))
    }

    fn try_flush(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.is_torn) {
            self.size = self.file.metadata()?.len();
            self.end_torn_line()?;
        }
        self.file.write_all(&self.lines)?;
        self.size += self.lines.len() as u64;
        Ok(())
    }

    /// Moves each file one number up, drops the last, begins a new one.
    fn rotate(&mut self) -> Result<()> {
        let last = self.config.max_file.max(1) - 1;
        if last == 0 {
            self.file.set_len(0).attempt(|| format!("truncate log {:?}", self.path))?;
        } else {
            for number in (1..=last).rev() {
                let from = match number {
                    1 => self.path.clone(),
                    _ => rotated(&self.path, number - 1),
                };
                match fs::rename(&from, rotated(&self.path, number)) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    moved => moved.attempt(|| format!("rotate log {from:?}"))?,
                }
            }
            self.file = open(&self.path).attempt(|| format!("open log {:?}", self.path))?;
        }
        (self.size, self.is_torn) = (0, false);
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).custom_flags(libc::O_NOFOLLOW).open(path)
}

/// The name of the file that was rotated away `number` times.
pub(super) fn rotated(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn entries(path: &Path) -> Vec<(String, Stream)> {
        let text = fs::read_to_string(path).unwrap();
        text.lines()
            .map(|line| serde_json::from_str::<Entry<'_>>(line).unwrap())
            .map(|e| (e.log.into(), e.stream))
            .collect()
    }

    #[test]
    fn output_is_written_line_by_line_with_its_stream() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x-json.log");
        let mut log = Writer::open(&path, LogConfig::default()).unwrap();
        log.write(Stream::Stdout, b"one\ntw").unwrap();
        log.write(Stream::Stderr, b"bad\n").unwrap();
        log.write(Stream::Stdout, b"o\nthree").unwrap();
        log.end(Stream::Stdout).unwrap();
        log.end(Stream::Stderr).unwrap();
        let lines = [("one\n", Stream::Stdout), ("bad\n", Stream::Stderr), ("two\n", Stream::Stdout)];
        let mut expected: Vec<_> = lines.map(|(text, stream)| (text.to_owned(), stream)).to_vec();
        expected.push(("three".to_owned(), Stream::Stdout));
        assert_eq!(entries(&path), expected);
        let first = fs::read_to_string(&path).unwrap();
        let first = first.lines().next().unwrap();
        assert!(first.starts_with(r#"{"log":"one\n","stream":"stdout","time":"2"#), "{first}");
        assert!(first.ends_with("Z\"}"), "{first}");
    }

    #[test]
    fn after_a_write_that_failed_in_a_line_the_next_begins_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x-json.log");
        let mut log = Writer::open(&path, LogConfig::default()).unwrap();
        log.write(Stream::Stdout, b"one\n").unwrap();
        // What a full disk leaves.
        open(&path).unwrap().write_all(b"{\"log\":\"tw").unwrap();
        log.is_torn = true;
        log.write(Stream::Stdout, b"three\n").unwrap();
        log.write(Stream::Stdout, b"four\n").unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.len(), lines[1]), (4, "{\"log\":\"tw"));
        assert!(lines[2].contains("three") && lines[3].contains("four"), "{text}");
        assert_eq!(log.size, text.len() as u64);
    }

    #[test]
    fn a_long_line_is_cut_into_pieces_between_characters() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x-json.log");
        let mut log = Writer::open(&path, LogConfig::default()).unwrap();
        let line = format!("{}ä{}\n", "x".repeat(PIECE - 1), "y".repeat(PIECE));
        log.write(Stream::Stdout, line.as_bytes()).unwrap();
        let pieces = entries(&path);
        assert_eq!(pieces.iter().map(|(text, _)| text.as_str()).collect::<String>(), line);
        assert_eq!(pieces[0].0, "x".repeat(PIECE - 1));
        assert_eq!(pieces.len(), 3);
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced_and_do_not_stop_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x-json.log");
        let mut log = Writer::open(&path, LogConfig::default()).unwrap();
        log.write(Stream::Stdout, &[0xff; 3 * PIECE]).unwrap();
        log.write(Stream::Stdout, &[0x80; 2 * PIECE]).unwrap();
        log.end(Stream::Stdout).unwrap();
        let characters: usize = entries(&path).iter().map(|(text, _)| text.chars().count()).sum();
        assert_eq!(characters, 5 * PIECE);
    }

    #[test]
    fn rotation_keeps_the_number_of_files_and_their_size() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x-json.log");
        let config = LogConfig { max_size: Some(1000), max_file: 3 };
        let mut log = Writer::open(&path, config).unwrap();
        for number in 0..100 {
            log.write(Stream::Stdout, format!("line {number:03}\n").as_bytes()).unwrap();
        }
        let (newest, oldest) = (entries(&path), entries(&rotated(&path, 2)));
        assert_eq!(newest.last().unwrap().0, "line 099\n");
        assert!(oldest[0].0 < newest[0].0);
        assert!(!rotated(&path, 3).exists());
        for file in [path.clone(), rotated(&path, 1), rotated(&path, 2)] {
            assert!(fs::metadata(file).unwrap().len() <= 1000);
        }
    }

    #[test]
    fn a_torn_last_line_is_ended_before_the_next_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x-json.log");
        fs::write(&path, "{\"log\":\"half").unwrap();
        Writer::open(&path, LogConfig::default()).unwrap().write(Stream::Stdout, b"whole\n").unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("{\"log\":\"half\n{\"log\":\"whole\\n\""), "{text}");
    }
}
