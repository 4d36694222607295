//! The output of a `RUN`: drained in the thread that builds, told line by line.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::logs::Stream;

/// How many lines an error shows.
const LAST_LINES: usize = 20;

/// A longer line is told in pieces, so that a program that writes none does not fill the memory.
const MAX_LINE: usize = 16 * 1024;

/// The reading ends of a program's output.
#[derive(Debug)]
pub(super) struct Pipes {
    streams: Vec<Pipe>,
    last: VecDeque<String>,
}

#[derive(Debug)]
struct Pipe {
    stream: Stream,
    file: OwnedFd,
    /// The beginning of a line.
    line: Vec<u8>,
}

impl Pipes {
    /// Makes both pipes and gives the ends for the program: standard output, standard error.
    pub(super) fn new() -> io::Result<(Self, OwnedFd, OwnedFd)> {
        let (stdout, out) = pipe_with(PipeFlags::CLOEXEC)?;
        let (stderr, err) = pipe_with(PipeFlags::CLOEXEC)?;
        let pipe = |stream, file| Pipe { stream, file, line: Vec::new() };
        let streams = vec![pipe(Stream::Stdout, stdout), pipe(Stream::Stderr, stderr)];
        Ok((Self { streams, last: VecDeque::new() }, out, err))
    }

    /// Reads until nobody can write any more.
    ///
    /// A program that writes faster than `tell` takes it waits.
    pub(super) fn drain(&mut self, tell: &mut dyn FnMut(Stream, &str)) -> io::Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        while !self.streams.is_empty() {
            let mut ready: Vec<PollFd<'_>> =
                self.streams.iter().map(|pipe| PollFd::new(&pipe.file, PollFlags::IN)).collect();
            match poll(&mut ready, None) {
                Err(Errno::INTR) => continue,
                polled => polled?,
            };
            let ready: Vec<bool> = ready.iter().map(|file| !file.revents().is_empty()).collect();
            let mut open = Vec::new();
            for (mut pipe, is_ready) in std::mem::take(&mut self.streams).into_iter().zip(ready) {
                if !is_ready || pipe.read(&mut buffer, &mut |stream, line| note(&mut self.last, stream, line, tell))? {
                    open.push(pipe);
                }
            }
            self.streams = open;
        }
        Ok(())
    }

    /// The last lines of both streams.
    pub(super) fn into_last(self) -> Vec<String> {
        self.last.into()
    }
}

impl Pipe {
    /// Reads what there is; false at the end.
    fn read(&mut self, buffer: &mut [u8], tell: &mut dyn FnMut(Stream, &str)) -> io::Result<bool> {
        let length = match rustix::io::read(&self.file, &mut *buffer) {
            Err(Errno::INTR | Errno::AGAIN) => return Ok(true),
            read => read?,
        };
        if length == 0 {
            if !self.line.is_empty() {
                tell(self.stream, &String::from_utf8_lossy(shown(&self.line)));
            }
            return Ok(false);
        }
        for piece in buffer[..length].split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.line.len() >= MAX_LINE {
                tell(self.stream, &String::from_utf8_lossy(shown(&self.line)));
                self.line.clear();
            }
        }
        Ok(true)
    }
}

/// What a terminal shows of a line in the end: a progress display goes back and writes over itself.
fn shown(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.rsplit(|byte| *byte == b'\r').next().unwrap_or(line)
}

fn note(last: &mut VecDeque<String>, stream: Stream, line: &str, tell: &mut dyn FnMut(Stream, &str)) {
    if last.len() == LAST_LINES {
        last.pop_front();
    }
    last.push_back(line.to_owned());
    tell(stream, line);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn output_is_told_by_line_and_its_end_is_kept() {
        let (mut pipes, out, err) = Pipes::new().unwrap();
        let writer = std::thread::spawn(move || {
            use std::io::Write as _;
            let (mut out, mut err) = (std::fs::File::from(out), std::fs::File::from(err));
            for number in 0..30 {
                writeln!(out, "1%\r99%\rline {number}\r").unwrap();
            }
            err.write_all(b"no end \xff").unwrap();
        });
        let mut told = Vec::new();
        pipes.drain(&mut |stream, line| told.push((stream, line.to_owned()))).unwrap();
        writer.join().unwrap();
        assert_eq!(told.len(), 31);
        assert!(told.contains(&(Stream::Stdout, "line 7".into())));
        assert!(told.contains(&(Stream::Stderr, "no end \u{fffd}".into())));
        let last = pipes.into_last();
        assert_eq!(last.len(), LAST_LINES);
        assert!(last.contains(&"line 29".to_owned()));
    }
}
