//! Reading what a container of this program writes, while it also goes to the log.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read};
use std::process::ChildStdin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

use super::create::attempted;
use super::handle::Handle;
use super::terminal::Terminal;
use crate::error::{ErrorKind, Fault, Result};
use crate::runtime::Process;

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
}

/// What a container writes to one of its streams. Reading waits for more, and ends when the container has.
///
/// The container never waits for the reader: one that falls behind by more than 1 MiB gets an error after what it
/// has missed nothing of.
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
}

/// The readers of one stream.
#[derive(Debug, Clone, Default)]
pub(super) struct Taps(Arc<Mutex<Readers>>);

#[derive(Default)]
struct Readers {
    taps: Vec<Weak<Tap>>,
    has_ended: bool,
}

impl Tap {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taps {
    /// A new reader.
    fn read(&self) -> AttachedOutput {
        let tap = Arc::new(Tap::default());
        let mut readers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tap.state().has_ended = readers.has_ended;
        readers.taps.push(Arc::downgrade(&tap));
        AttachedOutput(tap)
    }

    /// Gives everybody these bytes. Waits for nobody.
    pub(super) fn write(&self, bytes: &[u8]) {
        self.each(|state| {
            state.is_behind |= state.bytes.len() + bytes.len() > BEHIND;
            if !state.is_behind {
                state.bytes.extend(bytes);
            }
        });
    }

    /// Nothing will follow.
    pub(super) fn end(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).has_ended = true;
        self.each(|state| state.has_ended = true);
    }

    fn each(&self, change: impl Fn(&mut State)) {
        let mut readers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        readers.taps.retain(|tap| {
            let Some(tap) = tap.upgrade() else { return false };
            change(&mut tap.state());
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
                return state.bytes.read(buffer);
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

impl Handle {
    /// Its streams from now on.
    pub(crate) fn attach(&self) -> Result<Attachment> {
        self.try_attach().map_err(|error| attempted(format!("attach to {}", self.title()), error))
    }

    fn try_attach(&self) -> Result<Attachment> {
        if self.process().filter(Process::is_running).is_none() {
            return Err(match self.state()? {
                (state, _) if state.is_running() => AttachFault::Foreign.into(),
                _ => AttachFault::NotRunning.into(),
            });
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
        Ok(Attachment { stdin, terminal, stdout, stderr })
    }
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
}
