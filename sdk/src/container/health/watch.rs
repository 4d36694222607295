//! The thread that runs the health checks of this program's containers.
//!
//! It starts with the first container that has one, and sleeps until a check is due, has ended, or has taken too long. A
//! container that has ended is noticed when its next check would be due.

use std::collections::HashMap;
use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::{Check, HealthResult, HealthStatus, NO_CODE, OUTPUT};
use crate::container::exec::Exec;
use crate::container::handle::{Handle, Inner};
use crate::container::record::Run;
use crate::container::state::State;
use crate::runtime::{Input, Output, Process, Sink, Stdio};
use crate::spec::ExitStatus;
use crate::spec::time::Timestamp;

/// The longest time the thread sleeps at once: longer ones may be beyond the clock.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Begins with the checks of a container that this program has just started, if it has one.
pub(in crate::container) fn watch(handle: &Arc<Handle>, inner: &Inner) {
    let Some(files) = &inner.files else { return };
    let Some(check) = Check::of(&files.config.config) else { return };
    let Some(run) = files.record.as_ref().and_then(|record| record.run.clone()) else { return };
    let due = later(check.pause(HealthStatus::Starting, Duration::ZERO));
    let watched = Watched { handle: Arc::downgrade(handle), run, check, due, checking: None };
    match line() {
        // It hears us as long as this program has it.
        Ok(line) => drop(line.send(Message::Watch(Box::new(watched)))),
        Err(error) => tracing::warn!("the health of {} is not checked: {error}", handle.title()),
    }
}

/// The line to the thread; starts it if there is none.
fn line() -> io::Result<Sender<Message>> {
    // With the number of its process: a fork of this program has no such thread.
    static LINE: Mutex<Option<(u32, Sender<Message>)>> = Mutex::new(None);
    let mut line = LINE.lock().unwrap_or_else(PoisonError::into_inner);
    match &*line {
        Some((owner, line)) if *owner == std::process::id() => Ok(line.clone()),
        _ => {
            let (sender, messages) = mpsc::channel();
            let watcher = Watcher { line: sender.clone(), next: 0, watched: HashMap::new() };
            std::thread::Builder::new().name("plywood-health".to_owned()).spawn(move || watcher.run(&messages))?;
            *line = Some((std::process::id(), sender.clone()));
            Ok(sender)
        }
    }
}

enum Message {
    Watch(Box<Watched>),
    /// A check of the container with this key has ended, the one that began then.
    Ended(u64, Timestamp, ExitStatus),
}

/// A container that is watched.
struct Watched {
    handle: Weak<Handle>,
    run: Run,
    check: Check,
    /// When the next check begins, or the one that runs has taken too long.
    due: Instant,
    checking: Option<Checking>,
}

/// A check that runs.
struct Checking {
    process: Process,
    began: Timestamp,
    output: Arc<Mutex<Vec<u8>>>,
}

struct Watcher {
    line: Sender<Message>,
    next: u64,
    watched: HashMap<u64, Watched>,
}

impl Watcher {
    fn run(mut self, messages: &Receiver<Message>) {
        loop {
            let next = self.watched.iter().map(|(key, watched)| (watched.due, *key)).min();
            let message = match next {
                None => messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some((due, _)) => messages.recv_timeout(due.saturating_duration_since(Instant::now())),
            };
            match (message, next) {
                (Ok(Message::Watch(watched)), _) => {
                    self.watched.insert(self.next, *watched);
                    self.next += 1;
                }
                (Ok(Message::Ended(key, began, status)), _) => self.ended(key, began, status),
                (Err(RecvTimeoutError::Timeout), Some((_, key))) => self.act(key),
                // Never while this has a sender itself.
                (Err(_), _) => return,
            }
        }
    }

    /// Begins a check that is due, or ends one that has taken too long.
    fn act(&mut self, key: u64) {
        let Some(mut watched) = self.watched.remove(&key) else { return };
        let Some(handle) = watched.handle.upgrade().filter(|handle| handle.still_runs(&watched.run)) else { return };
        let result = match watched.checking.take() {
            Some(checking) => {
                // Its end is nobody's business any more; one that has ended just now was too late.
                let _ = checking.process.signal(libc::SIGKILL);
                Some(
                    checking
                        .result(NO_CODE, Some(format!("Health check exceeded timeout ({:?})", watched.check.timeout))),
                )
            }
            None if matches!(handle.state(), Ok((State::Paused, _))) => {
                watched.due = later(watched.check.interval);
                None
            }
            None => match self.begin(key, &handle, &watched.check) {
                Ok(checking) => {
                    watched.due = later(watched.check.timeout);
                    watched.checking = Some(checking);
                    None
                }
                Err(result) => Some(result),
            },
        };
        match result {
            Some(result) => self.take(key, watched, result),
            None => drop(self.watched.insert(key, watched)),
        }
    }

    fn begin(&self, key: u64, handle: &Arc<Handle>, check: &Check) -> Result<Checking, HealthResult> {
        let (began, output) = (Timestamp::now(), Arc::default());
        let sink = || Output::Sink(Box::new(Beginning(Arc::clone(&output))));
        let stdio = Stdio { stdin: Input::Null, stdout: sink(), stderr: sink() };
        let line = self.line.clone();
        let on_exit = Box::new(move |status: &ExitStatus| drop(line.send(Message::Ended(key, began, *status))));
        match Exec::new(Arc::clone(handle), check.argv.clone()).run_with(stdio, on_exit) {
            Ok(process) => Ok(Checking { process, began, output }),
            Err(error) => {
                let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
                let output = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
                Err(HealthResult { start: began, end: Timestamp::now(), exit_code: NO_CODE, output })
            }
        }
    }

    fn ended(&mut self, key: u64, began: Timestamp, status: ExitStatus) {
        let Some(mut watched) = self.watched.remove(&key) else { return };
        match watched.checking.take_if(|checking| checking.began == began) {
            Some(checking) => self.take(key, watched, checking.result(status.code(), None)),
            None => drop(self.watched.insert(key, watched)),
        }
    }

    /// Takes down a result, and goes on with a container that still runs.
    fn take(&mut self, key: u64, mut watched: Watched, result: HealthResult) {
        let Some(handle) = watched.handle.upgrade() else { return };
        let age = result.end.since(watched.run.started_at);
        if let Some(status) = handle.take_health(&watched.run, &watched.check, result) {
            watched.due = later(watched.check.pause(status, age));
            self.watched.insert(key, watched);
        }
    }
}

impl Checking {
    fn result(&self, exit_code: i32, output: Option<String>) -> HealthResult {
        let written =
            || String::from_utf8_lossy(&self.output.lock().unwrap_or_else(PoisonError::into_inner)).into_owned();
        HealthResult { start: self.began, end: Timestamp::now(), exit_code, output: output.unwrap_or_else(written) }
    }
}

/// Takes the beginning of what is written, and nothing more.
struct Beginning(Arc<Mutex<Vec<u8>>>);

impl Sink for Beginning {
    fn write(&mut self, bytes: &[u8]) {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = OUTPUT.saturating_sub(taken.len()).min(bytes.len());
        taken.extend_from_slice(&bytes[..room]);
    }
}

fn later(time: Duration) -> Instant {
    Instant::now() + time.min(LONGEST)
}
