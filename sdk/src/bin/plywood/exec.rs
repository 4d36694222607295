//! `exec`: a further command in a running container. `enter`: one of the host. `attach`: what a container writes.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;

use plywood::Timestamp;
use plywood::container::{self, Stdio};

use crate::args::Logs;
use crate::args_containers::{Attach, Enter, Exec};
use crate::failure::{Failure, Outcome};
use crate::run::{code, environment};
use crate::signals::{Pending, to_container, to_process};
use crate::terminal::{self, Raw};
use crate::{Session, logs};

pub fn exec(session: &Session, wanted: &Exec) -> Outcome<ExitCode> {
    let signals = Pending::hold()?;
    let (container, words) = wanted.words.split_first().map_or(("", &[][..]), |(name, words)| (name, words));
    let container = session.engine()?.container(container)?;
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
    stay(command, wanted.interactive, wanted.tty && wanted.interactive, signals)
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
    let at_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    if at_terminal {
        let (rows, columns) = terminal::size().unwrap_or_default();
        command = command.tty_size(rows, columns);
    }
    stay(command, true, at_terminal, signals)
}

/// Stays with a command to its end, and passes on what comes for it; the caller's terminal is given back then.
fn stay(command: container::Exec, interactive: bool, types: bool, signals: Pending) -> Outcome<ExitCode> {
    let raw = types.then(Raw::enter).transpose()?;
    let stdin = if interactive { Stdio::inherit() } else { Stdio::null() };
    let process = Arc::new(command.stdin(stdin).stdout(Stdio::inherit()).stderr(Stdio::inherit()).start()?);
    let terminal = process.take_terminal();
    if let (Some(terminal), Some(_)) = (&terminal, &raw) {
        terminal::type_into(terminal)?;
    }
    signals.pass_on(terminal, to_process(Arc::clone(&process)))?;
    Ok(code(process.wait()))
}

/// Follows the log from now on: the streams belong to the program that runs the container.
pub fn attach(session: &Session, wanted: Attach) -> Outcome<ExitCode> {
    // Whatever a signal lets it write is written after this.
    let since = Some(Timestamp::now().to_string());
    let signals = wanted.sig_proxy.then(Pending::hold).transpose()?;
    let container = session.engine()?.container(&wanted.container)?;
    if !container.state()?.is_running() {
        return Err(Failure::usage(format!("attach to container {:?}: it is not running", container.name())));
    }
    if let Some(signals) = signals {
        signals.pass_on(None, to_container(session.engine()?.container(&wanted.container)?))?;
    }
    let (container_name, tail, follow) = (wanted.container, "all".to_owned(), true);
    logs::print(session, &Logs { container: container_name, follow, tail, timestamps: false, since, until: None })?;
    Ok(code(container.wait()?))
}
