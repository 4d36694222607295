//! `exec`: a further command in a running container. `enter`: one of the host.

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::thread;

use plywood::container::{self, Stdio};

use crate::Session;
use crate::args_containers::{Enter, Exec};
use crate::detach_keys::DetachKeys;
use crate::failure::{Failure, Outcome};
use crate::run::{code, environment};
use crate::signals::{Pending, to_process};
use crate::terminal::{self, Raw};

pub fn exec(session: &Session, wanted: &Exec) -> Outcome<ExitCode> {
    let [name, words @ ..] = wanted.words.as_slice() else {
        return Err(Failure::usage("a container is missing"));
    };
    if words.is_empty() {
        return Err(Failure::usage(format!(
            "exec in container {name:?}: a command is missing\n  hint: plywood exec {name} sh"
        )));
    }
    let signals = Pending::hold()?;
    let container = session.engine()?.container(name)?;
    let mut command = container.exec(words);
    for (name, value) in environment(&wanted.env_file, &wanted.env)? {
        command = command.env(name, value);
    }
    if let Some(user) = &wanted.user {
        command = command.user(user);
    }
    if let Some(path) = &wanted.workdir {
        command = command.workdir(path);
    }
    if wanted.privileged {
        command = command.privileged();
    }
    if wanted.tty {
        let (rows, columns) = terminal::size().unwrap_or_default();
        command = command.tty_size(rows, columns);
    }
    if wanted.detach {
        command.detach().start()?;
        return Ok(ExitCode::SUCCESS);
    }
    let types = wanted.tty && wanted.interactive;
    let keys: DetachKeys = wanted.detach_keys.parse()?;
    stay(command, wanted.interactive, types, Some(keys).filter(|_| types), signals)
}

/// A command of the host, with the caller's streams; at a terminal, with one.
pub fn enter(session: &Session, wanted: &Enter) -> Outcome<ExitCode> {
    let signals = Pending::hold()?;
    let (container, words) = wanted.words.split_first().map_or(("", &[][..]), |(name, words)| (name, words));
    let container = session.engine()?.container(container)?;
    let shell = ["sh".to_owned()];
    let mut command = container.enter(if words.is_empty() { &shell } else { words });
    for (name, value) in environment(&[], &wanted.env)? {
        command = command.env(name, value);
    }
    if wanted.privileged {
        command = command.privileged();
    }
    let at_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    if at_terminal {
        let (rows, columns) = terminal::size().unwrap_or_default();
        command = command.tty_size(rows, columns);
    }
    stay(command, true, at_terminal, None, signals)
}

/// Stays with a command to its end, or until these keys are typed, and passes on what comes for it; the caller's terminal is
/// given back then.
fn stay(
    mut command: container::Exec,
    interactive: bool,
    types: bool,
    keys: Option<DetachKeys>,
    signals: Pending,
) -> Outcome<ExitCode> {
    let raw = types.then(Raw::enter).transpose()?;
    let stdin = if interactive { Stdio::inherit() } else { Stdio::null() };
    if keys.is_some() {
        command = command.detachable();
    }
    let process = Arc::new(command.stdin(stdin).stdout(Stdio::inherit()).stderr(Stdio::inherit()).start()?);
    let terminal = process.take_terminal();
    let (over, is_over) = mpsc::channel();
    if let (Some(terminal), Some(_)) = (&terminal, &raw) {
        let leave = over.clone();
        let detach = move || {
            let _ = leave.send(None);
        };
        terminal::hand_on(terminal.try_clone()?, keys.unwrap_or_default(), detach)?;
    }
    let _passing = signals.pass_on(terminal, to_process(Arc::clone(&process)))?;
    let waiter = Arc::clone(&process);
    let waits = thread::Builder::new().name("plywood-wait".to_owned()).spawn(move || over.send(Some(waiter.wait())));
    waits.map_err(|error| Failure::os("start a thread", &error))?;
    match is_over.recv() {
        Ok(None) => {
            process.leave()?;
            drop(raw);
            terminal::say_left();
            Ok(ExitCode::SUCCESS)
        }
        Ok(Some(status)) => Ok(code(status)),
        Err(_) => Ok(code(process.wait())),
    }
}
