//! `run`, `create` and `start`: from the flags to a definition, and a container in the foreground.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use plywood::container::{
    Attachment, Definition, IpcMode, NamespaceMode, NetworkMode, Publish, RestartPolicy, Signal, Stdio,
};
use plywood::{ByteSize, Container, Engine, ErrorKind, ExitStatus};

use crate::args_run::{self, Create, Later, Run, Start};
use crate::detach_keys::{self, DetachKeys};
use crate::failure::{Failure, Outcome};
use crate::later::not_yet;
use crate::part::Part;
use crate::signals::{Pending, to_container};
use crate::terminal::{self, Raw};
use crate::{Session, containers, mounts, volumes};

pub fn run(session: &Session, run: Run) -> Outcome<ExitCode> {
    refuse_later(&run.later)?;
    if run.detach {
        return detached(session, &run).map(|()| ExitCode::SUCCESS);
    }
    let stays = run.definition.tty && run.definition.interactive;
    let keys = Keys::parse(run.detach_keys.as_deref())?;
    let mut definition = match stays && run.definition.restart != "no" {
        true => kept(&run.definition, session)?,
        false => definition(&run.definition, session)?,
    };
    if stays && run.rm {
        definition = definition.auto_remove();
    }
    let signals = Pending::hold()?;
    let engine = session.engine()?;
    let cid_file = run.cidfile.as_deref().map(CidFile::make).transpose()?;
    let mut container = definition.create(&engine)?;
    if let Some(file) = cid_file {
        file.keep(&container)?;
    }
    let raw = stays.then(Raw::enter).transpose()?;
    let started = match stays {
        true => keys.start(&mut container),
        false => Ok(None),
    };
    let started = started.and_then(|attachment| {
        if attachment.is_none() {
            // Of a container that goes at once nobody reads the log: its streams are ours, and nothing is in between.
            let output = if run.rm { Stdio::inherit() } else { Stdio::tee() };
            if !run.rm {
                // Before the start, so that its files are written to the disk as its program wants.
                container.persist()?;
            }
            container.start_with(input(run.definition.interactive), output.clone(), output)?;
        }
        Ok(attachment)
    });
    let attachment = match started {
        Ok(attachment) => attachment,
        Err(error) => {
            // What could not be started is no use to anybody.
            let _ = container.kill_and_remove();
            let is_option = run.definition.words.get(1).is_some_and(|word| word.starts_with('-'));
            return Err(match error.kind() {
                ErrorKind::NotFound if is_option => {
                    Failure::Explained(error, "options of plywood stand before the image")
                }
                _ => error.into(),
            });
        }
    };
    if let Some(attachment) = attachment {
        let part = Part { attachment, raw, keys: keys.keys, takes_input: true, signals: Some(signals) };
        return part.take(&engine, container.id().as_str());
    }
    if run.rm {
        let status = attend(&engine, &container, signals, raw)?;
        if let Err(error) = container.kill_and_remove() {
            Failure::from(error).report();
        }
        return Ok(code(status));
    }
    attend(&engine, &container, signals, raw).map(code)
}

/// A container that outlives this program.
fn detached(session: &Session, run: &Run) -> Outcome<()> {
    let mut definition = kept(&run.definition, session)?;
    if run.rm {
        definition = definition.auto_remove();
    }
    let engine = session.engine()?;
    let cid_file = run.cidfile.as_deref().map(CidFile::make).transpose()?;
    let container = definition.start(&engine)?;
    if let Some(file) = cid_file {
        file.keep(&container)?;
    }
    let id = container.id();
    session.output.line_or(id.as_str(), &serde_json::json!({ "Id": id, "Name": container.name() }))
}

pub fn create(session: &Session, create: Create) -> Outcome<()> {
    refuse_later(&create.later)?;
    let definition = match create.definition.restart.as_str() {
        "no" => definition(&create.definition, session)?,
        _ => kept(&create.definition, session)?,
    };
    let engine = session.engine()?;
    let cid_file = create.cidfile.as_deref().map(CidFile::make).transpose()?;
    let mut container = definition.create(&engine)?;
    if let Some(file) = cid_file {
        file.keep(&container)?;
    }
    container.persist()?;
    let id = container.id();
    session.output.line_or(id.as_str(), &serde_json::json!({ "Id": id, "Name": container.name() }))
}

pub fn start(session: &Session, start: &Start) -> Outcome<ExitCode> {
    if !start.attach {
        return containers::start(session, &start.containers).map(|()| ExitCode::SUCCESS);
    }
    let [name] = start.containers.as_slice() else {
        return Err(Failure::usage("start --attach: it stays with one container, and several were given"));
    };
    let keys = Keys::parse(start.detach_keys.as_deref())?;
    let signals = Pending::hold()?;
    let engine = session.engine()?;
    let mut container = engine.container(name)?;
    let raw = (start.interactive && container.inspect()?.has_terminal()).then(Raw::enter).transpose()?;
    if raw.is_some()
        && let Some(attachment) = keys.start(&mut container)?
    {
        let part = Part { attachment, raw, keys: keys.keys, takes_input: true, signals: Some(signals) };
        return part.take(&engine, name);
    }
    container.start_with(input(start.interactive), Stdio::tee(), Stdio::tee())?;
    attend(&engine, &container, signals, raw).map(code)
}

/// The keys that leave a container to itself.
struct Keys {
    keys: DetachKeys,
    /// Whether they are asked for.
    are_wanted: bool,
}

impl Keys {
    fn parse(wanted: Option<&str>) -> Outcome<Self> {
        Ok(Self { keys: wanted.unwrap_or(detach_keys::DEFAULT).parse()?, are_wanted: wanted.is_some() })
    }

    /// Starts a container that can be left by these keys; nothing if it cannot, and nobody has asked for that.
    fn start<D>(&self, container: &mut Container<D>) -> plywood::Result<Option<Attachment>> {
        match container.start_attached() {
            // One without an init ends with this program.
            Err(error) if error.kind() == ErrorKind::InvalidArgument && !self.are_wanted => Ok(None),
            attachment => attachment.map(Some),
        }
    }
}

/// Stays with a container to its end, and passes on what comes for it; the caller's terminal is given back then.
fn attend<D>(engine: &Engine, container: &Container<D>, signals: Pending, raw: Option<Raw>) -> Outcome<ExitStatus> {
    let terminal = container.take_terminal();
    if let Some(terminal) = &terminal {
        // It may have been made for another one.
        if let Some((rows, columns)) = terminal::size() {
            terminal.resize(rows, columns)?;
        }
        if raw.is_some() {
            terminal::type_into(terminal)?;
        }
    }
    let deliver = to_container(engine.container(container.id().as_str())?, terminal.is_some());
    let _passing = signals.pass_on(terminal, deliver)?;
    Ok(container.wait()?)
}

fn input(interactive: bool) -> Stdio {
    if interactive { Stdio::inherit() } else { Stdio::null() }
}

/// The program's own code; of a signal, 128 and its number.
pub fn code(status: ExitStatus) -> ExitCode {
    ExitCode::from(u8::try_from(status.code()).unwrap_or(u8::MAX))
}

fn refuse_later(later: &Later) -> Outcome<()> {
    match later.given() {
        Some((flag, instead)) => Err(not_yet(flag, instead)),
        None => Ok(()),
    }
}

/// One that outlives this program.
fn kept(flags: &args_run::Definition, session: &Session) -> Outcome<Definition> {
    let definition = definition(flags, session)?.keep();
    Ok(if flags.interactive { definition.stdin(Stdio::piped()) } else { definition })
}

fn definition(flags: &args_run::Definition, session: &Session) -> Outcome<Definition> {
    let [image, command @ ..] = flags.words.as_slice() else {
        return Err(Failure::usage("an image is missing"));
    };
    let mut definition = match flags.network.strip_prefix("container:") {
        Some(name) => Container::of(image).network(&session.engine()?.container(name)?),
        None => Container::of(image).network(flags.network.parse::<NetworkMode>().map_err(|error| {
            Failure::Explained(
                error,
                "`private`, the default, has loopback alone; `container:NAME` is that of another one",
            )
        })?),
    };
    if let Some(mode) = &flags.security.ipc {
        definition = match mode.strip_prefix("container:") {
            Some(name) => definition.ipc_namespace(&session.engine()?.container(name)?),
            None => definition.ipc_namespace(mode.parse::<IpcMode>()?),
        };
    }
    if let Some(mode) = &flags.security.pid {
        definition = match mode.strip_prefix("container:") {
            Some(name) => definition.pid_namespace(&session.engine()?.container(name)?),
            None => definition.pid_namespace(mode.parse::<NamespaceMode>()?),
        };
    }
    definition = definition.init(flags.init && !flags.no_init);
    for port in &flags.publish {
        let Publish { host, port } = port.parse()?;
        definition = definition.publish(host, port);
    }
    // The entrypoint takes the image's command away: it goes first.
    if let Some(entrypoint) = &flags.entrypoint {
        definition = definition.entrypoint(Some(entrypoint).filter(|program| !program.is_empty()));
    }
    if !command.is_empty() {
        definition = definition.cmd(command);
    }
    if flags.tty {
        let (rows, columns) = terminal::size().unwrap_or_default();
        definition = definition.tty_size(rows, columns);
    }
    if flags.interactive {
        definition = definition.stdin(Stdio::inherit());
    }
    for (name, value) in environment(&flags.env_file, &flags.env)? {
        definition = definition.env(name, value);
    }
    for (key, value) in flags.label.iter().map(|label| volumes::pair(label)) {
        definition = definition.label(key, value);
    }
    definition = definition.restart(flags.restart.parse::<RestartPolicy>()?);
    if let Some(name) = &flags.name {
        definition = definition.name(name);
    }
    if let Some(path) = &flags.workdir {
        definition = definition.workdir(path);
    }
    if let Some(user) = &flags.user {
        definition = definition.user(user);
    }
    if let Some(hostname) = &flags.hostname {
        definition = definition.hostname(hostname);
    }
    if let Some(signal) = &flags.stop_signal {
        definition = definition.stop_signal(signal.parse::<Signal>()?);
    }
    if let Some(seconds) = flags.stop_timeout {
        definition = definition.stop_timeout(Duration::from_secs(seconds.into()));
    }
    if flags.read_only {
        definition = definition.read_only();
    }
    if flags.privileged {
        definition = definition.privileged();
    }
    for text in &flags.volume {
        definition = definition.mount(mounts::volume(text)?);
    }
    for text in &flags.mount {
        definition = definition.mount(mounts::mount(text)?);
    }
    for text in &flags.tmpfs {
        definition = definition.mount(mounts::tmpfs(text)?);
    }
    for option in &flags.log_opt {
        definition = log_option(definition, option)?;
    }
    flags.limits.apply(flags.security.apply(flags.health.apply(definition)?)?)
}

fn log_option(definition: Definition, text: &str) -> Outcome<Definition> {
    let wrong = |why: &str| Failure::usage(format!("invalid --log-opt {text:?}: {why}"));
    match text.split_once('=') {
        Some(("max-size", size)) => Ok(definition.log_max_size(ByteSize::parse(size)?)),
        Some(("max-file", files)) => {
            Ok(definition.log_max_files(files.parse().map_err(|_| wrong("it is not a number"))?))
        }
        _ => Err(wrong("there is max-size= and max-file=")),
    }
}

/// The variables of the files, then those of the command line.
pub fn environment(files: &[PathBuf], own: &[String]) -> Outcome<Vec<(String, String)>> {
    let mut texts = Vec::new();
    for path in files {
        let file = std::fs::read_to_string(path);
        let file = file.map_err(|error| Failure::os(format_args!("read {path:?} for --env-file"), &error))?;
        let lines = file.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#'));
        texts.extend(lines.map(str::to_owned));
    }
    texts.extend(own.iter().cloned());
    let mut variables = Vec::new();
    for text in texts {
        match text.split_once('=') {
            Some(("", _)) => return Err(Failure::usage(format!("invalid --env {text:?}: it has no name"))),
            Some((name, value)) => variables.push((name.to_owned(), value.to_owned())),
            // The caller's value, if there is one.
            None => match std::env::var(&text) {
                Ok(value) => variables.push((text, value)),
                Err(std::env::VarError::NotPresent) => {}
                Err(std::env::VarError::NotUnicode(_)) => {
                    return Err(Failure::usage(format!("pass on the variable {text:?}: its value is not UTF-8")));
                }
            },
        }
    }
    Ok(variables)
}

/// A file that is to hold the container's ID. It is made before the container, and goes if there is none.
struct CidFile<'a> {
    path: &'a Path,
    file: Option<File>,
}

impl<'a> CidFile<'a> {
    fn make(path: &'a Path) -> Outcome<Self> {
        match File::create_new(path) {
            Ok(file) => Ok(Self { path, file: Some(file) }),
            Err(error) => Err(Failure::os(format_args!("create {path:?} for --cidfile"), &error)),
        }
    }

    fn keep<D>(mut self, container: &Container<D>) -> Outcome<()> {
        let Some(mut file) = self.file.take() else { return Ok(()) };
        let written = file.write_all(container.id().as_str().as_bytes());
        written.map_err(|error| Failure::os(format_args!("write {:?} for --cidfile", self.path), &error))
    }
}

impl Drop for CidFile<'_> {
    fn drop(&mut self) {
        if self.file.is_some() {
            // What fails here is the second failure, and the first has been told.
            let _ = std::fs::remove_file(self.path);
        }
    }
}
