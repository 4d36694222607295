//! `exec`: a further command in a running container. `enter`: one of the host. `attach`: what a container writes.

use std::io::{self, IsTerminal, Read, Write};
use std::process::ExitCode;
use std::sync::{Arc, mpsc};

use plywood::container::{self, Attachment, Stdio};
use plywood::{ErrorKind, Timestamp};

use crate::args::Logs;
use crate::args_containers::{Attach, Enter, Exec};
use crate::detach_keys::DetachKeys;
use crate::failure::{Failure, Outcome};
use crate::run::{code, environment};
use crate::signals::{Pending, to_container, to_process};
use crate::terminal::{self, Raw};
use crate::{Session, logs};

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
    let at_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
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
    let _passing = signals.pass_on(terminal, to_process(Arc::clone(&process)))?;
    Ok(code(process.wait()))
}

/// Takes part in the streams of a container that outlives its program. Those of another one are its program's: its log is
/// followed from now on.
pub fn attach(session: &Session, wanted: Attach) -> Outcome<ExitCode> {
    // Whatever a signal lets it write is written after this.
    let since = Some(Timestamp::now().to_string());
    let signals = wanted.sig_proxy.then(Pending::hold).transpose()?;
    let keys: DetachKeys = wanted.detach_keys.parse()?;
    let container = session.engine()?.container(&wanted.container)?;
    if !container.state()?.is_running() {
        return Err(Failure::usage(format!("attach to container {:?}: it is not running", container.name())));
    }
    match container.attach() {
        Err(error) if error.kind() == ErrorKind::Unsupported => {}
        attachment => return take_part(session, &wanted, keys, signals, attachment?),
    }
    let _passing = match signals {
        Some(signals) => Some(signals.pass_on(None, to_container(session.engine()?.container(&wanted.container)?))?),
        None => None,
    };
    let (container_name, tail, follow) = (wanted.container, "all".to_owned(), true);
    logs::print(session, &Logs { container: container_name, follow, tail, timestamps: false, since, until: None })?;
    Ok(code(container.wait()?))
}

/// Shows what a container writes and hands it what the caller types, until it has ended or the caller leaves it.
fn take_part(
    session: &Session,
    wanted: &Attach,
    keys: DetachKeys,
    signals: Option<Pending>,
    mut attachment: Attachment,
) -> Outcome<ExitCode> {
    let (terminal, status) = (attachment.terminal.take(), attachment.end.clone());
    let takes_input = !wanted.no_stdin;
    let raw = (takes_input && terminal.is_some() && io::stdin().is_terminal()).then(Raw::enter).transpose()?;
    if let (Some(terminal), Some((rows, columns))) = (&terminal, terminal::size()) {
        terminal.resize(rows, columns)?;
    }
    let (left, has_left) = mpsc::channel();
    let ended = left.clone();
    let detach = move || {
        let _ = left.send(true);
    };
    match (&terminal, attachment.stdin.take()) {
        (Some(terminal), _) if takes_input => terminal::hand_on(terminal.try_clone()?, keys, detach)?,
        // Not among bytes that may be anything.
        (None, Some(stdin)) if takes_input => terminal::hand_on(stdin, "".parse()?, || ())?,
        _ => {}
    }
    let _passing = match signals {
        Some(signals) => {
            Some(signals.pass_on(terminal, to_container(session.engine()?.container(&wanted.container)?))?)
        }
        None => None,
    };
    let shown = std::thread::Builder::new().name("plywood-show".to_owned()).spawn(move || {
        let stderr = attachment.stderr;
        let errors = std::thread::spawn(move || show(stderr, io::stderr()));
        show(attachment.stdout, io::stdout());
        // It has said what there was to be said if it panicked.
        let _ = errors.join();
        let _ = ended.send(false);
    });
    shown.map_err(|error| Failure::os("start a thread", &error))?;
    let leaves = has_left.recv().unwrap_or(false);
    drop(raw);
    if leaves {
        // What Docker says.
        let _ = io::stderr().write_all(b"read escape sequence\n");
        return Ok(ExitCode::SUCCESS);
    }
    match status.get() {
        Some(status) => Ok(code(status)),
        None => Ok(code(session.engine()?.container(&wanted.container)?.wait()?)),
    }
}

fn show(mut from: impl Read, mut to: impl Write) {
    // Who does not read any more misses the rest.
    let _ = io::copy(&mut from, &mut to).and_then(|_| to.flush());
}
