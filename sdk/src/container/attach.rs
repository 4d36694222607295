//! Reading what a container of this program, or one that is kept, writes, while it also goes to the log.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::process::ChildStdin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use super::create::attempted;
use super::handle::Handle;
use super::start::Lifetime;
use super::stdio::Streams;
use super::terminal::Terminal;
use crate::error::{Attempt, ErrorKind, Fault, Result};
use crate::runtime::{self, Process};
use crate::spec::exit_status::ExitStatus;
use crate::sys::keeper::{Line, Word};

const SPEAK: &str = "speak to its supervisor";

/// How far a reader may fall behind, in bytes. The container does not wait for it.
const BEHIND: usize = 1 << 20;

/// The streams of a running container, from the moment of [`Container::attach`](super::Container::attach) on.
#[derive(Debug)]
#[non_exhaustive]
pub struct Attachment {
    /// Our end of its standard input, if that is a pipe and was not taken before.
    pub stdin: Option<ChildStdin>,
    /// The host's end of its terminal, if it has one and it was not taken before.
    pub terminal: Option<Terminal>,
    /// What it writes to standard output, or what its terminal shows.
    pub stdout: AttachedOutput,
    /// What it writes to standard error.
    pub stderr: AttachedOutput,
    /// How it ends.
    pub end: AttachedEnd,
}

/// How a container that is attached to has ended: known once its outputs are at their ends, if it outlives its program. One
/// that is removed at its end tells nobody else, and is gone by then.
#[derive(Debug, Clone, Default)]
pub struct AttachedEnd(Arc<OnceLock<ExitStatus>>);

impl AttachedEnd {
    /// It, if it is known.
    pub fn get(&self) -> Option<ExitStatus> {
        self.0.get().copied()
    }
}

/// What a container writes to one of its streams. Reading waits for more, and ends when the container has.
///
/// The container never waits for the reader: one that falls behind by more than 1 MiB gets an error after what it
/// has missed nothing of. Only a container that outlives its program and has a terminal waits, then, as at every terminal,
/// until the reader goes on or is dropped.
pub struct AttachedOutput(Arc<Tap>);

#[derive(Debug, thiserror::Error)]
enum AttachFault {
    #[error("it is not running")]
    NotRunning,
    #[error("another program runs it")]
    Foreign,
    #[error("none of its output goes to the log")]
    NoLog,
}

impl Fault for AttachFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Foreign => ErrorKind::Unsupported,
            _ => ErrorKind::InvalidArgument,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotRunning => None,
            Self::Foreign => Some("follow its log".to_owned()),
            Self::NoLog => Some("take its streams, or start it with Stdio::log() or Stdio::tee()".to_owned()),
        }
    }
}

/// What has been written and not been read yet.
#[derive(Default)]
struct Tap {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    bytes: VecDeque<u8>,
    is_behind: bool,
    has_ended: bool,
    /// Nobody will read.
    is_left: bool,
}

/// The readers of one stream.
#[derive(Debug, Clone, Default)]
pub(super) struct Taps(Arc<Mutex<Readers>>);

#[derive(Default)]
struct Readers {
    taps: Vec<Weak<Tap>>,
    has_ended: bool,
    /// Whether the writer waits for them.
    are_awaited: bool,
}

impl Tap {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taps {
    /// Those whom the writer waits for.
    fn awaited() -> Self {
        Self(Arc::new(Mutex::new(Readers { are_awaited: true, ..Readers::default() })))
    }

    /// A new reader.
    fn read(&self) -> AttachedOutput {
        let tap = Arc::new(Tap::default());
        let mut readers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tap.state().has_ended = readers.has_ended;
        readers.taps.push(Arc::downgrade(&tap));
        AttachedOutput(tap)
    }

    /// Gives everybody these bytes.
    pub(super) fn write(&self, bytes: &[u8]) {
        self.each(|tap, is_awaited| {
            let mut state = tap.state();
            while is_awaited && !state.is_left && state.bytes.len() + bytes.len() > BEHIND {
                state = tap.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.is_behind |= state.bytes.len() + bytes.len() > BEHIND;
            if !state.is_behind {
                state.bytes.extend(bytes);
            }
        });
    }

    /// What follows is lost.
    fn lose(&self) {
        self.each(|tap, _| tap.state().is_behind = true);
    }

    /// Whether nobody reads.
    fn are_alone(&self) -> bool {
        let readers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        readers.taps.iter().all(|tap| tap.strong_count() == 0)
    }

    /// Nothing will follow.
    pub(super) fn end(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).has_ended = true;
        self.each(|tap, _| tap.state().has_ended = true);
    }

    fn each(&self, change: impl Fn(&Tap, bool)) {
        let mut readers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let are_awaited = readers.are_awaited;
        readers.taps.retain(|tap| {
            let Some(tap) = tap.upgrade() else { return false };
            change(&tap, are_awaited);
            tap.changed.notify_all();
            true
        });
    }
}

impl Read for AttachedOutput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.0.state();
        loop {
            if !state.bytes.is_empty() || buffer.is_empty() {
                let read = state.bytes.read(buffer);
                self.0.changed.notify_all();
                return read;
            }
            if state.is_behind {
                return Err(io::Error::other("the reader of a container's output fell behind"));
            }
            if state.has_ended {
                return Ok(0);
            }
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for AttachedOutput {
    fn drop(&mut self) {
        self.0.state().is_left = true;
        self.0.changed.notify_all();
    }
}

impl fmt::Debug for AttachedOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttachedOutput").finish_non_exhaustive()
    }
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers").field("count", &self.taps.len()).finish()
    }
}

/// Passes on what the supervisor says, until it or the readers have gone.
fn relay(line: &Line, taps: &[Taps; 2], end: &AttachedEnd) {
    let [stdout, stderr] = taps;
    loop {
        match line.next_word() {
            Ok(Some(Word::Output { is_error, bytes })) => {
                if is_error { stderr } else { stdout }.write(&bytes);
                if taps.iter().all(Taps::are_alone) {
                    return;
                }
            }
            Ok(Some(Word::End { status, out_of_memory })) => {
                // One that is removed at its end has gone then.
                line.wait_for_end();
                // Nobody else sets it.
                let _ = end.0.set(runtime::kept_status(status, out_of_memory));
                break;
            }
            // It does not wait for those who do not listen.
            Ok(None) | Err(_) => {
                taps.iter().for_each(Taps::lose);
                break;
            }
        }
    }
    taps.iter().for_each(Taps::end);
}

impl Handle {
    /// Its streams from now on.
    pub(crate) fn attach(&self) -> Result<Attachment> {
        self.try_attach().map_err(|error| attempted(format!("attach to {}", self.title()), error))
    }

    fn try_attach(&self) -> Result<Attachment> {
        if self.process().filter(Process::is_running).is_none() {
            if !self.state()?.0.is_running() {
                return Err(AttachFault::NotRunning.into());
            }
            let line = self.supervisor()?.ok_or(AttachFault::Foreign)?;
            line.ask_to_attach().attempt(|| SPEAK)?;
            return attach_to_kept(line, self.files()?.config.config.tty);
        }
        let mut inner = self.lock();
        let [stdout, stderr] = &inner.ends.taps;
        if stdout.is_none() && stderr.is_none() {
            return Err(AttachFault::NoLog.into());
        }
        let read = |taps: &Option<Taps>| match taps {
            Some(taps) => taps.read(),
            // One that goes elsewhere has nothing to say here.
            None => AttachedOutput(Arc::new(Tap {
                state: Mutex::new(State { has_ended: true, ..State::default() }),
                changed: Condvar::new(),
            })),
        };
        let (stdout, stderr) = (read(stdout), read(stderr));
        let (stdin, terminal) = (inner.ends.stdin.take(), inner.ends.terminal.take());
        Ok(Attachment { stdin, terminal, stdout, stderr, end: AttachedEnd::default() })
    }

    /// Starts its process, which outlives this program, and takes part in its streams from the first byte on.
    pub(crate) fn start_attached(self: &Arc<Self>) -> Result<Attachment> {
        // Asked now: there are none any more once it has ended and was removed.
        let config = self.files()?.config.config;
        self.start_to_stay(&Streams::kept(config.open_stdin), Lifetime::Attended)?;
        let attach = || attach_to_kept(self.ends().line.ok_or(AttachFault::NotRunning)?, config.tty);
        attach().map_err(|error| attempted(format!("attach to {}", self.title()), error))
    }

    /// A line on which this program asks to be the first to hear of a container that is being started.
    pub(super) fn first_line(&self) -> Result<Line> {
        let line = self.supervisor()?.ok_or(AttachFault::NotRunning)?;
        line.ask_to_attach().attempt(|| SPEAK)?;
        Ok(line)
    }
}

/// The streams of a container whose supervisor is at the other end of a line, and was asked.
fn attach_to_kept(line: Line, has_terminal: bool) -> Result<Attachment> {
    let input = line.attached().attempt(|| SPEAK)?;
    let taps = [0, 1].map(|_| if has_terminal { Taps::awaited() } else { Taps::default() });
    let [stdout, stderr] = [0, 1].map(|at: usize| taps[at].read());
    let thread = std::thread::Builder::new().name("plywood-attach".to_owned());
    let end = AttachedEnd::default();
    let told = end.clone();
    thread.spawn(move || relay(&line, &taps, &told)).attempt(|| "start a thread")?;
    let is_nothing = |file: &OwnedFd| !has_terminal && rustix::pipe::fcntl_getpipe_size(file).is_err();
    let input = input.filter(|file| !is_nothing(file));
    let (stdin, terminal) = match (input, has_terminal) {
        (Some(master), true) => (None, Some(Terminal::new(&master, false)?)),
        (input, _) => (input.map(ChildStdin::from), None),
    };
    Ok(Attachment { stdin, terminal, stdout, stderr, end })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_reader_that_falls_behind_is_told_after_what_it_has() {
        let taps = Taps::default();
        let (mut slow, mut quick) = (taps.read(), taps.read());
        let mut read = vec![0; BEHIND];
        taps.write(b"first");
        quick.read_exact(&mut read[..5]).unwrap();
        taps.write(&read);
        quick.read_exact(&mut read).unwrap();
        taps.write(b"last");
        taps.end();
        let mut text = Vec::new();
        assert!(slow.read_to_end(&mut text).unwrap_err().to_string().contains("fell behind"));
        assert_eq!(text, b"first");
        let mut rest = String::new();
        quick.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "last");
        assert_eq!(taps.read().read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn a_writer_that_waits_loses_nothing_and_goes_on_without_a_reader_that_has_gone() {
        let taps = Taps::awaited();
        let (mut slow, gone) = (taps.read(), taps.read());
        let writer = std::thread::spawn(move || {
            for byte in 0..4 {
                taps.write(&[byte; BEHIND]);
            }
            taps.end();
        });
        drop(gone);
        let mut read = Vec::new();
        slow.read_to_end(&mut read).unwrap();
        assert!(read == (0..4).flat_map(|byte| vec![byte; BEHIND]).collect::<Vec<u8>>());
        writer.join().unwrap();
    }
}
