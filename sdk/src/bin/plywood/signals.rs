//! The signals that `run` and `exec` pass on to their processes.
//!
//! The init of a container passes them on to the command. Without one the first process gets those signals only that it has
//! a handler for: the kernel drops the others, so that Ctrl-C would leave `sleep` running. Where that process has not said
//! that it wants to live, what the signal would do to any other process is done to it.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use nix::sys::signal::{SigSet, Signal as Number};
use plywood::Container;
use plywood::container::{ExecProcess, Signal, Terminal};

use crate::failure::{Failure, Outcome};
use crate::terminal;

/// What people and supervisors send to a program in the foreground.
const PASSED_ON: [Number; 6] =
    [Number::SIGHUP, Number::SIGINT, Number::SIGQUIT, Number::SIGTERM, Number::SIGUSR1, Number::SIGUSR2];

/// Docker's: who asks this often is in earnest.
const PATIENCE: u32 = 3;

/// Signals that arrive from now on and wait to be passed on.
#[derive(Debug)]
pub struct Pending(SigSet);

impl Pending {
    /// Begins to hold them back. Called before the library starts its threads, which so hold them back too.
    pub fn hold() -> Outcome<Self> {
        let signals: SigSet = PASSED_ON.into_iter().chain([Number::SIGWINCH]).collect();
        signals.thread_block().map_err(|errno| Failure::usage(format!("block signals: {}", errno.desc())))?;
        Ok(Self(signals))
    }

    /// Lets them do again what they do to every program.
    pub fn release(self) -> Outcome<()> {
        self.0.thread_unblock().map_err(|errno| Failure::usage(format!("unblock signals: {}", errno.desc())))
    }

    /// Passes them on until the result is dropped.
    ///
    /// If the container has a terminal, that follows the size of the caller's.
    pub fn pass_on(
        self,
        terminal: Option<Terminal>,
        deliver: impl Fn(Number, bool) + Send + 'static,
    ) -> Outcome<Passing> {
        let passing = Passing(Arc::new(Mutex::new(Some(Box::new(deliver)))));
        let deliver = Arc::clone(&passing.0);
        let thread = thread::Builder::new().name("plywood-signals".to_owned());
        let spawned = thread.spawn(move || {
            let mut asked = 0;
            while let Ok(signal) = self.0.wait() {
                if signal == Number::SIGWINCH {
                    if let (Some(terminal), Some((rows, columns))) = (&terminal, terminal::size()) {
                        // One that has gone with its process needs no size.
                        let _ = terminal.resize(rows, columns);
                    }
                    continue;
                }
                asked += u32::from(matches!(signal, Number::SIGINT | Number::SIGTERM | Number::SIGHUP));
                if let Some(deliver) = &*deliver.lock().unwrap_or_else(PoisonError::into_inner) {
                    deliver(signal, asked >= PATIENCE);
                }
            }
        });
        spawned.map(|_| passing).map_err(|error| Failure::os("start a thread", &error))
    }
}

type Deliver = Box<dyn Fn(Number, bool) + Send>;

/// Signals are passed on until this is dropped: the thread stays, and lets go of the container, and so of the store.
#[must_use]
pub struct Passing(Arc<Mutex<Option<Deliver>>>);

impl Drop for Passing {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// What does to a process what this signal would do to this program: a shell at a terminal lives on after `SIGTERM`, and
/// ends when that hangs up.
fn for_terminal(signal: Number, has_terminal: bool) -> Number {
    if has_terminal && signal == Number::SIGTERM { Number::SIGHUP } else { signal }
}

/// Delivers a signal to the first process of a container.
pub fn to_container(container: Container, has_terminal: bool) -> impl Fn(Number, bool) + Send {
    move |signal, in_earnest| {
        let signal = for_terminal(signal, has_terminal);
        let pid = container.inspect().ok().and_then(|details| details.pid());
        let is_deadly = in_earnest || pid.is_some_and(|pid| would_end(pid, signal));
        let signal = if is_deadly { Ok(Signal::KILL) } else { Signal::new(signal as i32) };
        // One that has ended meanwhile needs no signal.
        let _ = signal.and_then(|signal| container.kill(signal));
    }
}

/// Delivers a signal to a further process, which is an ordinary one.
pub fn to_process(process: Arc<ExecProcess>) -> impl Fn(Number, bool) + Send {
    move |signal, in_earnest| {
        let signal = for_terminal(signal, process.has_terminal());
        let signal = if in_earnest { Ok(Signal::KILL) } else { Signal::new(signal as i32) };
        // As above.
        let _ = signal.and_then(|signal| process.kill(signal));
    }
}

/// Whether a process has left what this signal does to the kernel.
fn would_end(pid: u32, signal: Number) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/status")) {
        // An init blocks what it waits for.
        Ok(status) => !["SigCgt:", "SigIgn:", "SigBlk:"].iter().any(|field| is_set(&status, field, signal)),
        Err(_) => false,
    }
}

/// proc_pid_status(5): masks of signals, in hexadecimal.
fn is_set(status: &str, field: &str, signal: Number) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix(field));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal as i32 - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handlers_are_found_in_the_status_of_a_process() {
        let status = "Name:\tsh\nSigIgn:\t0000000000000004\nSigCgt:\t0000000000004002\n";
        assert!(is_set(status, "SigCgt:", Number::SIGINT));
        assert!(is_set(status, "SigCgt:", Number::SIGTERM));
        assert!(is_set(status, "SigIgn:", Number::SIGQUIT));
        assert!(!is_set(status, "SigCgt:", Number::SIGHUP));
    }
}
