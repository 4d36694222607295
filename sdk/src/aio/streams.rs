//! Logs and events, as streams.

use std::future::{Future as _, poll_fn};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use tokio::io::unix::AsyncFd;
use tokio::task::{JoinHandle, spawn_blocking};

use super::{Async, watched};
use crate::container::{self, Event, Events, LogLine, Logs};
use crate::error::{Attempt as _, Error, Result};
use crate::logs::read::{Ending, drain};

impl Logs {
    /// The same choice of lines, to be awaited.
    pub fn aio(self) -> Async<Self> {
        Async::new(self)
    }
}

impl Async<Logs> {
    /// Opens the log.
    ///
    /// # Errors
    /// As for [`Logs::read`].
    pub async fn read(&self) -> Result<Lines> {
        let mut lines = self.blocking(Logs::read).await?;
        let Some(follow) = lines.reader().take_follow() else { return Ok(Lines { lines, wakers: None }) };
        let ending = match follow.ending {
            Some(Ending { ended, completed }) => Some(Last::Running((watched(ended)?, completed))),
            None => None,
        };
        let wakers = Wakers { grown: watched(follow.watch)?, ending };
        Ok(Lines { lines, wakers: Some(wakers) })
    }
}

/// The lines of a log, oldest first; with [`follow`](Logs::follow) until the container has ended.
///
/// What is there is read as it is asked for, a block at a time. A log that cannot be read any further ends; the reason is
/// told by [`error`](Self::error).
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct Lines {
    lines: container::Lines,
    /// `None` if nothing will follow.
    wakers: Option<Wakers>,
}

/// What tells that there may be more.
#[derive(Debug)]
struct Wakers {
    grown: AsyncFd<OwnedFd>,
    /// `None` if the log never ends.
    ending: Option<Last>,
}

/// How far the end of the container is.
enum Last {
    Running((AsyncFd<OwnedFd>, Box<dyn FnOnce() + Send>)),
    /// Its last words are on their way into the log.
    Completing(JoinHandle<()>),
}

impl Lines {
    /// The next line; `None` once there is none.
    pub async fn next(&mut self) -> Option<LogLine> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// Why the log ended early, if it did.
    pub fn error(&self) -> Option<&Error> {
        self.lines.error()
    }
}

impl Stream for Lines {
    type Item = LogLine;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<LogLine>> {
        let this = &mut *self;
        loop {
            if let Some(line) = this.lines.reader().available() {
                return Poll::Ready(this.lines.line(line));
            }
            let Some(wakers) = &mut this.wakers else {
                this.lines.reader().finish();
                // Of a line that was not complete.
                let last = this.lines.reader().available();
                return Poll::Ready(last.and_then(|line| this.lines.line(line)));
            };
            match ready!(wakers.poll(context)) {
                Ok(true) => {}
                Ok(false) => this.wakers = None,
                Err(error) => {
                    this.wakers = None;
                    return Poll::Ready(this.lines.line(Err(error)));
                }
            }
        }
    }
}

impl Wakers {
    /// Waits until the log may have grown; false if it will not grow any more.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<bool>> {
        loop {
            let is_over = match &mut self.ending {
                None => Poll::Pending,
                Some(Last::Completing(task)) => Pin::new(task).poll(context).map(|_| Ok(())),
                Some(Last::Running((ended, _))) => ended.poll_read_ready(context).map_ok(drop),
            };
            match (is_over, self.ending.take()) {
                (Poll::Pending, ending) => self.ending = ending,
                (Poll::Ready(Err(error)), _) => return Poll::Ready(Err(error).attempt(|| "wait for the end of a log")),
                (Poll::Ready(Ok(())), Some(Last::Running((_, completed)))) => {
                    self.ending = Some(Last::Completing(spawn_blocking(completed)));
                    continue;
                }
                (Poll::Ready(Ok(())), _) => return Poll::Ready(Ok(false)),
            }
            return self.grown.poll_read_ready(context).map(|grown| {
                // Cleared first: what is written from here on wakes us again.
                grown.attempt(|| "watch a log")?.clear_ready();
                drain(self.grown.get_ref());
                Ok(true)
            });
        }
    }
}

impl std::fmt::Debug for Last {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Running(_) => "Running",
            Self::Completing(_) => "Completing",
        })
    }
}

impl Events {
    /// The same choice of events, to be awaited.
    pub fn aio(self) -> Async<Self> {
        Async::new(self)
    }
}

impl Async<Events> {
    /// Begins to read. What happens after this has returned is not missed.
    ///
    /// # Errors
    /// As for [`Events::read`].
    pub async fn read(&self) -> Result<EventStream> {
        let events = self.blocking(Events::read).await?;
        let told = events.told().watch().try_clone().attempt(|| "watch the events")?;
        let time = events.left().map(timer).transpose().attempt(|| "set a timer for the end of the events")?;
        Ok(EventStream { events, told: watched(told)?, time: time.map(watched).transpose()? })
    }
}

/// Events, oldest first, of this program and of all others on the data root.
///
/// If nothing can be read any further it ends; the reason is told by [`error`](Self::error).
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct EventStream {
    events: container::EventStream,
    told: AsyncFd<OwnedFd>,
    /// Readable once there are to be no more.
    time: Option<AsyncFd<OwnedFd>>,
}

impl EventStream {
    /// The next event; `None` once there is none.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// Why it ended early, if it did.
    pub fn error(&self) -> Option<&Error> {
        self.events.error()
    }
}

impl Stream for EventStream {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let this = &mut *self;
        loop {
            if let Some(event) = this.events.available() {
                return Poll::Ready(Some(event));
            }
            if this.events.is_over() {
                return Poll::Ready(None);
            }
            if this.time.as_ref().is_some_and(|time| time.poll_read_ready(context).is_ready()) {
                this.events.finish();
                continue;
            }
            match ready!(this.told.poll_read_ready(context)).attempt(|| "watch the events") {
                Ok(mut told) => told.clear_ready(),
                Err(error) => this.events.fail(error),
            }
            this.events.told().drain();
        }
    }
}

/// A descriptor that becomes readable after this time.
fn timer(after: Duration) -> std::io::Result<OwnedFd> {
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
    // Zero would disarm it; a time too far away for the clock never comes.
    let it_value = Timespec::try_from(after.max(Duration::from_nanos(1)));
    if let Ok(it_value) = it_value {
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let time = Itimerspec { it_interval: never, it_value };
        rustix::time::timerfd_settime(&timer, TimerfdTimerFlags::empty(), &time)?;
    }
    Ok(timer)
}
