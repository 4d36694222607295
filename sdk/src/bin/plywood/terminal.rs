//! The caller's own terminal while a container uses it.

use std::io::{self, Read, Write};
use std::thread;

use plywood::container::Terminal;
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};

use crate::detach_keys::DetachKeys;
use crate::failure::{Failure, Outcome};

/// How much is typed at a time, at most, in bytes: what a terminal holds.
const BLOCK: usize = 4096;

/// The caller's terminal, handing on every key; it is as it was before when this is dropped.
///
/// The signals that end this program are held back meanwhile and passed on, so that it ends by returning.
#[derive(Debug)]
pub struct Raw(Termios);

impl Raw {
    /// Refuses to type what does not come from a terminal, as Docker does.
    pub fn enter() -> Outcome<Self> {
        if !isatty(io::stdin()) {
            let message = "use --interactive with --tty: standard input is not a terminal\n  hint: leave out --tty";
            return Err(Failure::usage(message));
        }
        let attempt = |error: rustix::io::Errno| Failure::os("set up the terminal", &error.into());
        let before = tcgetattr(io::stdin()).map_err(attempt)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Drain, &raw).map_err(attempt)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // If the terminal is gone, nobody sees it any more.
        let _ = tcsetattr(io::stdin(), OptionalActions::Drain, &self.0);
    }
}

/// Rows and columns of the caller's terminal, if there is one.
pub fn size() -> Option<(u16, u16)> {
    let size = |fd: &dyn std::os::fd::AsFd| tcgetwinsize(fd).ok();
    let size = size(&io::stdout()).or_else(|| size(&io::stdin()))?;
    Some((size.ws_row, size.ws_col))
}

/// Types what the caller types, on a thread, as long as this program lives.
pub fn type_into(terminal: &Terminal) -> Outcome<()> {
    hand_on(terminal.try_clone()?, DetachKeys::default(), || ())
}

/// Says that what had the caller's terminal goes on without it, in Docker's words.
pub fn say_left() {
    let _ = io::stderr().write_all(b"read escape sequence\n");
}

/// Hands on what the caller types, on a thread, until these keys are among it.
pub fn hand_on(
    mut to: impl Write + Send + 'static,
    mut keys: DetachKeys,
    detach: impl FnOnce() + Send + 'static,
) -> Outcome<()> {
    let spawned = thread::Builder::new().name("plywood-typing".to_owned()).spawn(move || {
        let mut block = [0; BLOCK];
        let mut typed = io::stdin().lock();
        loop {
            let (through, detaches) = match typed.read(&mut block) {
                Ok(0) => break,
                Ok(read) => keys.type_through(&block[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            if to.write_all(&through).is_err() {
                break;
            }
            if detaches {
                return detach();
            }
        }
    });
    spawned.map(drop).map_err(|error| Failure::os("start a thread", &error))
}
