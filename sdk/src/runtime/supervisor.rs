//! The thread that drains the output of all containers of this program and records how they end.
//!
//! It sleeps in epoll until a pipe has output or a process has ended; it starts with the first process.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{io, thread};

use rustix::event::epoll;

use super::OnExit;
use super::process::Process;
use super::stdio::Sink;
use crate::error::{Attempt, Result};
use crate::spec::ExitStatus;
use crate::sys::wait::{self, End};

/// How much is read at a time: what a pipe holds.
const CHUNK: usize = 64 * 1024;

/// More than a terminal holds, in bytes.
const TERMINAL: u64 = 128 * 1024;

/// Code of a process whose end somebody else in this program has asked the kernel for, and got.
const UNKNOWN: i32 = 255;

/// The thread's part that others may use.
#[derive(Clone)]
pub(super) struct Supervisor(Arc<Shared>);

struct Shared {
    epoll: OwnedFd,
    watched: Mutex<Watched>,
}

#[derive(Default)]
struct Watched {
    next: u64,
    entries: HashMap<u64, Entry>,
}

enum Entry {
    Process { process: Process, outputs: Vec<u64>, keeps_outputs: bool, on_exit: OnExit },
    Output { pipe: OwnedFd, sink: Option<Box<dyn Sink>> },
}

impl Supervisor {
    /// The supervisor of this program; starts its thread if there is none.
    pub(super) fn get() -> Result<Self> {
        // With the number of its process: a fork of this program has no such thread.
        static SUPERVISOR: Mutex<Option<(u32, Supervisor)>> = Mutex::new(None);
        let mut supervisor = SUPERVISOR.lock().unwrap_or_else(PoisonError::into_inner);
        match &*supervisor {
            Some((owner, supervisor)) if *owner == std::process::id() => Ok(supervisor.clone()),
            _ => {
                let new = Self::new().attempt(|| "start the thread that watches containers")?;
                *supervisor = Some((std::process::id(), new.clone()));
                Ok(new)
            }
        }
    }

    fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let supervisor = Self(Arc::new(Shared { epoll, watched: Mutex::default() }));
        let worker = supervisor.clone();
        thread::Builder::new().name("plywood-watch".into()).spawn(move || worker.run())?;
        Ok(supervisor)
    }

    /// Watches a process and the pipes of its output, which do not block. Without `keeps_outputs` nobody can write to
    /// them any more once the process has ended.
    pub(super) fn watch(
        &self,
        process: &Process,
        outputs: Vec<(OwnedFd, Box<dyn Sink>)>,
        keeps_outputs: bool,
        on_exit: OnExit,
    ) -> Result<()> {
        let attempt = || format!("watch process {}", process.pid());
        let mut watched = self.watched();
        let mut keys = Vec::new();
        for (pipe, sink) in outputs {
            match self.register(&mut watched, &pipe) {
                Ok(key) => {
                    watched.entries.insert(key, Entry::Output { pipe, sink: Some(sink) });
                    keys.push(key);
                }
                Err(error) => return Err(self.withdraw(&mut watched, keys, error)).attempt(attempt),
            }
        }
        match self.register(&mut watched, process.pidfd()) {
            Ok(key) => {
                let entry = Entry::Process { process: process.clone(), outputs: keys, keeps_outputs, on_exit };
                watched.entries.insert(key, entry);
                Ok(())
            }
            Err(error) => Err(self.withdraw(&mut watched, keys, error)).attempt(attempt),
        }
    }

    /// Lets the thread hear of a descriptor, under a new key.
    fn register(&self, watched: &mut Watched, fd: impl AsFd) -> io::Result<u64> {
        let key = watched.next;
        watched.next += 1;
        epoll::add(&self.0.epoll, fd, epoll::EventData::new_u64(key), epoll::EventFlags::IN)?;
        Ok(key)
    }

    /// Takes back what was registered before the error.
    fn withdraw(&self, watched: &mut Watched, keys: Vec<u64>, error: io::Error) -> io::Error {
        for key in keys {
            if let Some(Entry::Output { pipe, .. }) = watched.entries.remove(&key) {
                self.forget(&pipe);
            }
        }
        error
    }

    fn run(&self) {
        let mut buffer = vec![0; CHUNK];
        let mut events = Vec::with_capacity(64);
        loop {
            events.clear();
            match epoll::wait(&self.0.epoll, rustix::buffer::spare_capacity(&mut events), None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    // Only a closed descriptor could be the reason: somebody closed what is not theirs.
                    tracing::error!(%error, "the thread that watches containers cannot wait");
                    return;
                }
            }
            for event in &events {
                self.handle(event.data.u64(), &mut buffer);
            }
        }
    }

    /// Deals with what became readable. Its entry is out of the table meanwhile, so that sinks run without the lock.
    fn handle(&self, key: u64, buffer: &mut [u8]) {
        let entry = self.watched().entries.remove(&key);
        match entry {
            Some(Entry::Output { pipe, mut sink }) => match pass_on(&pipe, &mut sink, buffer) {
                Some(_) => {
                    self.watched().entries.insert(key, Entry::Output { pipe, sink });
                }
                None => self.end(pipe, sink),
            },
            Some(Entry::Process { process, outputs, keeps_outputs, on_exit }) => {
                let end = match wait::try_reap(process.pidfd()) {
                    Ok(Some(end)) => process.payload_end().unwrap_or(end),
                    Err(_) => End::Unknown,
                    Ok(None) => {
                        let entry = Entry::Process { process, outputs, keeps_outputs, on_exit };
                        self.watched().entries.insert(key, entry);
                        return;
                    }
                };
                let status = match end {
                    End::Exited(code) => ExitStatus::exited(code),
                    End::Signaled(signal) => ExitStatus::signaled(signal),
                    End::Unknown => ExitStatus::exited(UNKNOWN),
                };
                self.forget(process.pidfd());
                for key in outputs {
                    self.drain(key, keeps_outputs, buffer);
                }
                let status = process.conclude(status);
                guarded("the callback at the end of a container", || on_exit(&status));
                process.set_ended(status);
            }
            None => {}
        }
    }

    /// Passes on what an ended process has left in a pipe.
    fn drain(&self, key: u64, keep: bool, buffer: &mut [u8]) {
        let Some(Entry::Output { pipe, mut sink }) = self.watched().entries.remove(&key) else { return };
        // What is there now, and no more: somebody else may go on writing faster than we read.
        let mut left = match rustix::termios::isatty(&pipe) {
            // Its count leaves out what is still on the way from one end to the other; reading does not.
            true => TERMINAL,
            false => rustix::io::ioctl_fionread(&pipe).unwrap_or(0),
        };
        let mut open = true;
        while left > 0 && open {
            match pass_on(&pipe, &mut sink, buffer) {
                Some(0) => break,
                Some(read) => left = left.saturating_sub(read as u64),
                None => open = false,
            }
        }
        match keep && open {
            true => {
                self.watched().entries.insert(key, Entry::Output { pipe, sink });
            }
            false => self.end(pipe, sink),
        }
    }

    fn end(&self, pipe: OwnedFd, sink: Option<Box<dyn Sink>>) {
        self.forget(&pipe);
        if let Some(mut sink) = sink {
            guarded("a sink of container output", || sink.end());
        }
    }

    /// A child that is being started has a copy of every descriptor until its exec, and epoll goes by copies.
    fn forget(&self, fd: impl AsFd) {
        let _ = epoll::delete(&self.0.epoll, fd);
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.0.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads once; how much, or `None` at the end of the stream. A sink that panicked gets nothing more.
fn pass_on(pipe: &OwnedFd, sink: &mut Option<Box<dyn Sink>>, buffer: &mut [u8]) -> Option<usize> {
    let read = match rustix::io::read(pipe, &mut *buffer) {
        Ok(0) => return None,
        Ok(read) => read,
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Some(0),
        Err(_) => return None,
    };
    if let Some(taker) = sink {
        let bytes = &buffer[..read];
        if !guarded("a sink of container output", || taker.write(bytes)) {
            *sink = None;
        }
    }
    Some(read)
}

/// Runs code of somebody else; false if it panicked, which must not end this thread.
fn guarded(what: &str, code: impl FnOnce()) -> bool {
    let fine = catch_unwind(AssertUnwindSafe(code)).is_ok();
    if !fine {
        tracing::error!("{what} panicked");
    }
    fine
}
