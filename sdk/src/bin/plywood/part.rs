//! `attach`, and `run` and `start` at a terminal: taking part in a container that goes on when this program does not.

use std::io::{self, IsTerminal, Read, Write};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

use nix::sys::signal::Signal as Number;
use plywood::container::Attachment;
use plywood::{Engine, ErrorKind, Timestamp};

use crate::args::Logs;
use crate::args_containers::Attach;
use crate::detach_keys::DetachKeys;
use crate::failure::{Failure, Outcome};
use crate::run::code;
use crate::signals::{Pending, to_container};
use crate::terminal::{self, Raw};
use crate::{Session, logs};

/// Takes part in the streams of a container that outlives its program. Those of another one are its program's: its log is
/// followed from now on.
pub fn attach(session: &Session, wanted: Attach) -> Outcome<ExitCode> {
    // Whatever a signal lets it write is written after this.
    let since = Some(Timestamp::now().to_string());
    let signals = Pending::hold()?;
    let keys: DetachKeys = wanted.detach_keys.parse()?;
    let engine = session.engine()?;
    let container = engine.container(&wanted.container)?;
    let signals = match wanted.sig_proxy || container.inspect()?.has_terminal() {
        true => Some(signals),
        false => signals.release().map(|()| None)?,
    };
    if !container.state()?.is_running() {
        return Err(Failure::usage(format!("attach to container {:?}: it is not running", container.name())));
    }
    match container.attach() {
        Err(error) if error.kind() == ErrorKind::Unsupported => {}
        attachment => {
            let attachment = attachment?;
            let takes_input = !wanted.no_stdin;
            let types = takes_input && attachment.terminal.is_some() && io::stdin().is_terminal();
            let raw = types.then(Raw::enter).transpose()?;
            return Part { attachment, raw, keys, takes_input, signals }.take(&engine, &wanted.container);
        }
    }
    let _passing = match signals {
        Some(signals) => Some(signals.pass_on(None, to_container(engine.container(&wanted.container)?, false))?),
        None => None,
    };
    let (container_name, tail, follow) = (wanted.container, "all".to_owned(), true);
    logs::print(session, &Logs { container: container_name, follow, tail, timestamps: false, since, until: None })?;
    Ok(code(container.wait()?))
}

/// What somebody who takes part has.
pub struct Part {
    pub attachment: Attachment,
    /// The caller's terminal, if its keys are handed on.
    pub raw: Option<Raw>,
    /// Those that leave the container to itself.
    pub keys: DetachKeys,
    pub takes_input: bool,
    pub signals: Option<Pending>,
}

/// Why somebody does not take part any more.
enum Over {
    /// The container has nothing to say any more.
    Ended,
    /// The keys were typed.
    Left,
    Signal(Number),
}

impl Part {
    /// Shows what a container writes and hands it what the caller types, until it has ended or the caller leaves it.
    pub fn take(self, engine: &Engine, container: &str) -> Outcome<ExitCode> {
        let Self { mut attachment, raw, keys, takes_input, signals } = self;
        let (terminal, status) = (attachment.terminal.take(), attachment.end.clone());
        if let (Some(terminal), Some((rows, columns))) = (&terminal, terminal::size()) {
            terminal.resize(rows, columns)?;
        }
        let (over, is_over) = mpsc::channel();
        let tell = |what: Over| {
            let over = over.clone();
            move || {
                let _ = over.send(what);
            }
        };
        match (&terminal, attachment.stdin.take()) {
            (Some(terminal), _) if takes_input => terminal::hand_on(terminal.try_clone()?, keys, tell(Over::Left))?,
            // Not among bytes that may be anything.
            (None, Some(stdin)) if takes_input => terminal::hand_on(stdin, DetachKeys::default(), || ())?,
            _ => {}
        }
        let _passing = match (signals, terminal) {
            // Whoever hangs up leaves a container that has a terminal, and ends nothing there.
            (Some(signals), Some(terminal)) => {
                let over = over.clone();
                Some(signals.pass_on(Some(terminal), move |signal, _| {
                    let _ = over.send(Over::Signal(signal));
                })?)
            }
            (Some(signals), None) => Some(signals.pass_on(None, to_container(engine.container(container)?, false))?),
            (None, _) => None,
        };
        let ended = tell(Over::Ended);
        let shown = thread::Builder::new().name("plywood-show".to_owned()).spawn(move || {
            let stderr = attachment.stderr;
            let errors = thread::spawn(move || show(stderr, io::stderr()));
            show(attachment.stdout, io::stdout());
            // It has said what there was to be said if it panicked.
            let _ = errors.join();
            ended();
        });
        shown.map_err(|error| Failure::os("start a thread", &error))?;
        let over = is_over.recv().unwrap_or(Over::Ended);
        drop(raw);
        match (over, status.get()) {
            (Over::Left, _) => {
                terminal::say_left();
                Ok(ExitCode::SUCCESS)
            }
            (Over::Signal(signal), _) => Ok(ExitCode::from(128 + signal as u8)),
            (Over::Ended, Some(status)) => Ok(code(status)),
            (Over::Ended, None) => Ok(code(engine.container(container)?.wait()?)),
        }
    }
}

/// How much is shown at a time, at most, in bytes.
const BLOCK: usize = 16 * 1024;

/// Shows it as it comes: a prompt ends no line.
fn show(mut from: impl Read, mut to: impl Write) {
    let mut block = vec![0; BLOCK];
    while let Ok(read @ 1..) = from.read(&mut block) {
        // Who does not read any more misses the rest.
        if to.write_all(&block[..read]).and_then(|()| to.flush()).is_err() {
            break;
        }
    }
}
