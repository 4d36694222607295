//! Waiting for a condition.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::log::Watcher;
use super::{Condition, Kind};
use crate::container::connect::Listening;
use crate::container::exec::Exec;
use crate::container::handle::Handle;
use crate::container::health;
use crate::container::signal::Signal;
use crate::container::stdio::Stdio;
use crate::error::{Error, ErrorKind, Fault, Result};
use crate::logs::Stream;
use crate::spec::exit_status::ExitStatus;
use crate::spec::port::{ExposedPort, Protocol};
use crate::sys::fs::open_in_root;
use crate::sys::listening;

/// How long a condition may take to hold if it does not say so.
const PATIENCE: Duration = Duration::from_secs(60);

/// The pause between two looks, at first and at most. It is never shorter than a look took.
const FIRST_PAUSE: Duration = Duration::from_micros(500);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// Of the log, an error tells as many lines.
const LINES: usize = 10;

#[derive(Debug, thiserror::Error)]
enum ReadyFault {
    #[error("it {how} after {:.2} s, before it was ready (waiting for {wanted})", after.as_secs_f64())]
    Ended { how: Ending, after: Duration, wanted: String },
    #[error("it was not ready after {:.2} s ({seen})", after.as_secs_f64())]
    Late { after: Duration, seen: String },
}

#[derive(Debug)]
struct Ending(ExitStatus);

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.signal() {
            Some(_) => write!(f, "was {}", self.0),
            None => write!(f, "ended with {}", self.0),
        }
    }
}

impl Fault for ReadyFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Ended { .. } => ErrorKind::Failed,
            Self::Late { .. } => ErrorKind::Timeout,
        }
    }

    fn exit_code(&self) -> Option<u8> {
        match self {
            Self::Ended { how, .. } => u8::try_from(how.0.code()).ok(),
            Self::Late { .. } => None,
        }
    }
}

impl Handle {
    /// Waits until the container is ready, or has ended.
    pub(crate) fn wait_ready(self: &Arc<Self>, condition: &Condition) -> Result<()> {
        let begun = Instant::now();
        let mut watch = Watch::new(self, condition)?;
        let patience = condition.timeout.unwrap_or(PATIENCE);
        let mut pause = FIRST_PAUSE;
        // The end of the process is an event; what it waits for has none.
        let mut status = self.wait(Some(Duration::ZERO))?;
        while status.is_none() {
            let look = Instant::now();
            match watch.look(begun, begun + patience) {
                Look::Holds => return Ok(()),
                Look::Late(seen) => return Err(self.with_last_lines(ReadyFault::Late { after: begun.elapsed(), seen })),
                Look::Waits(_) => {}
            }
            status = self.wait(Some(pause.max(look.elapsed())))?;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
        let how = Ending(status.unwrap_or(ExitStatus::exited(0)));
        let wanted = condition.kind.to_string();
        Err(self.with_last_lines(ReadyFault::Ended { how, after: begun.elapsed(), wanted }))
    }

    /// An error with the last lines of the log, if there are any.
    fn with_last_lines(self: &Arc<Self>, fault: ReadyFault) -> Error {
        let error = Error::from(fault);
        let lines = super::super::Logs::new(Arc::clone(self)).tail(LINES).read();
        let lines: Vec<String> = lines.into_iter().flatten().map(|line| line.text).collect();
        match lines.is_empty() {
            true => error,
            false => error.with_source(Error::new(
                ErrorKind::Failed,
                format_args!("the last lines of its log:\n    {}", lines.join("\n    ")),
            )),
        }
    }
}

/// A condition that is being watched.
struct Watch {
    what: String,
    kind: Watched,
    timeout: Option<Duration>,
    holds: bool,
    /// What was missing when it was last looked at.
    missing: Option<String>,
}

enum Watched {
    /// Looks, until this time at most; the words say what is missing.
    One(Box<dyn FnMut(Instant) -> Result<(), String>>),
    Any(Vec<Watch>),
    All(Vec<Watch>),
}

/// What a look has shown.
enum Look {
    Holds,
    /// The words say what is missing.
    Waits(String),
    Late(String),
}

impl Watch {
    fn new(handle: &Arc<Handle>, condition: &Condition) -> Result<Self> {
        let each = |parts: &[Condition]| parts.iter().map(|part| Self::new(handle, part)).collect::<Result<Vec<_>>>();
        let own = Arc::clone(handle);
        let kind = match condition.kind.clone() {
            Kind::Any(parts) => Watched::Any(each(&parts)?),
            Kind::All(parts) => Watched::All(each(&parts)?),
            Kind::Port(port) => Watched::One(Box::new(move |_| listens(&own, port))),
            Kind::Log(wanted) => {
                let mut watcher = Watcher::new(handle, wanted)?;
                Watched::One(Box::new(move |_| watcher.look()))
            }
            Kind::Http(request) => Watched::One(Box::new(move |deadline| request.look(&own, deadline))),
            Kind::Exec(argv) => Watched::One(Box::new(move |deadline| succeeds(&own, &argv, deadline))),
            Kind::File(path) => Watched::One(Box::new(move |_| exists(&own, &path))),
            Kind::Healthy => Watched::One(Box::new(move |_| health::look(&own))),
            Kind::When(probe) => Watched::One(Box::new(move |_| probe(&own))),
        };
        Ok(Self { what: condition.kind.to_string(), kind, timeout: condition.timeout, holds: false, missing: None })
    }

    fn look(&mut self, begun: Instant, limit: Instant) -> Look {
        if self.holds {
            return Look::Holds;
        }
        let own = self.timeout.and_then(|timeout| begun.checked_add(timeout));
        let deadline = own.map_or(limit, |own| own.min(limit));
        let is_over = || Instant::now() >= deadline;
        // A look that has no time would show less than the last one did.
        if let Some(missing) = self.missing.take_if(|_| is_over()) {
            return Look::Late(missing);
        }
        let look = match &mut self.kind {
            Watched::One(look) => match look(deadline) {
                Ok(()) => Look::Holds,
                Err(missing) => Look::Waits(format!("{}: {missing}", self.what)),
            },
            Watched::Any(parts) => any(parts.iter_mut().map(|part| part.look(begun, deadline)).collect()),
            Watched::All(parts) => all(parts.iter_mut().map(|part| part.look(begun, deadline)).collect()),
        };
        self.holds = matches!(look, Look::Holds);
        match look {
            // One that time has cut short shows less as well.
            Look::Waits(missing) if is_over() => Look::Late(self.missing.take().unwrap_or(missing)),
            Look::Waits(missing) => {
                self.missing = Some(missing.clone());
                Look::Waits(missing)
            }
            look => look,
        }
    }
}

fn any(looks: Vec<Look>) -> Look {
    let mut is_late = true;
    let mut missing = Vec::new();
    for look in looks {
        match look {
            Look::Holds => return Look::Holds,
            Look::Late(words) => missing.push(words),
            Look::Waits(words) => {
                is_late = false;
                missing.push(words);
            }
        }
    }
    let missing = missing.join("; ");
    if is_late { Look::Late(missing) } else { Look::Waits(missing) }
}

fn all(looks: Vec<Look>) -> Look {
    let mut missing = Vec::new();
    for look in looks {
        match look {
            Look::Holds => {}
            Look::Late(words) => return Look::Late(words),
            Look::Waits(words) => missing.push(words),
        }
    }
    if missing.is_empty() { Look::Holds } else { Look::Waits(missing.join("; ")) }
}

/// Whether there is a socket for the port.
fn listens(handle: &Handle, port: ExposedPort) -> Result<(), String> {
    let first = handle.first_process("look into").map_err(|error| error.to_string())?;
    let found = match port.protocol() {
        Protocol::Tcp => listening::tcp_ports(first.pid()),
        Protocol::Udp => listening::udp_ports(first.pid()),
        protocol => return Err(format!("ports of {protocol} cannot be seen")),
    };
    let found = found.map_err(|error| error.to_string())?;
    match found.contains(&port.number()) && first.is_alive() {
        true => Ok(()),
        false => Err(format!("nothing listens on it{}", Listening::from(found))),
    }
}

fn exists(handle: &Arc<Handle>, path: &str) -> Result<(), String> {
    let root = handle.root().map_err(|error| error.to_string())?;
    let opened = root.within(|| open_in_root(root.directory(), path, rustix::fs::OFlags::PATH));
    match opened.map_err(|error| error.to_string())? {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err("it is not there".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn succeeds(handle: &Arc<Handle>, argv: &[String], deadline: Instant) -> Result<(), String> {
    let exec = Exec::new(Arc::clone(handle), argv.to_vec()).stdout(Stdio::captured()).stderr(Stdio::captured());
    let process = exec.start().map_err(|error| error.to_string())?;
    let Some(status) = process.wait_timeout(deadline.saturating_duration_since(Instant::now())) else {
        // It has ended meanwhile, or does now.
        let _ = process.kill(Signal::KILL);
        return Err("it has not ended in time".to_owned());
    };
    if status.success() {
        return Ok(());
    }
    let ends = process.ends();
    let written = [Stream::Stderr, Stream::Stdout].map(|stream| ends.captured(stream));
    let last = written.iter().find_map(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        text.lines().rfind(|line| !line.trim().is_empty()).map(str::to_owned)
    });
    Err(last.map_or_else(|| status.to_string(), |line| format!("{status}, {line:?}")))
}
