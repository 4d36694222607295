//! One instruction of a definition.

use std::fmt::Display;

use super::{Add, Base, Command, Copy, ExposedPorts, HealthCheck, Run, Values, VolumePaths, notes, read};

/// One instruction, as its author wrote it. Values are raw: variables are not expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Instruction {
    /// Begins a stage.
    From(From),
    /// Declares a build argument.
    Arg(Arg),
    /// Runs a command and keeps what it changed.
    Run(Run),
    /// Copies files.
    Copy(Copy),
    /// Copies files, unpacks archives, downloads.
    Add(Add),
    /// Sets environment variables; all values see the environment before the instruction.
    Env(Vec<(String, String)>),
    /// Sets labels.
    Label(Vec<(String, String)>),
    /// Sets the working directory, and makes it.
    Workdir(String),
    /// Sets the user.
    User(String),
    /// Declares ports, as `8080/tcp`.
    Expose(Vec<String>),
    /// Declares where volumes are wanted.
    Volume(Vec<String>),
    /// Sets the fixed part of what a container runs.
    Entrypoint(Command),
    /// Sets the default arguments, or the whole of what a container runs.
    Cmd(Command),
    /// Sets the shell of the shell form.
    Shell(Vec<String>),
    /// Sets the signal that asks a container to end.
    StopSignal(String),
    /// Sets how to tell whether a container works.
    HealthCheck(HealthCheck),
    /// Is done by images that are built on this one, after their `FROM`.
    OnBuild(Box<Instruction>),
}

impl Instruction {
    /// The instruction's word in a Dockerfile.
    pub fn keyword(&self) -> &'static str {
        match self {
            Self::From(_) => "FROM",
            Self::Arg(_) => "ARG",
            Self::Run(_) => "RUN",
            Self::Copy(_) => "COPY",
            Self::Add(_) => "ADD",
            Self::Env(_) => "ENV",
            Self::Label(_) => "LABEL",
            Self::Workdir(_) => "WORKDIR",
            Self::User(_) => "USER",
            Self::Expose(_) => "EXPOSE",
            Self::Volume(_) => "VOLUME",
            Self::Entrypoint(_) => "ENTRYPOINT",
            Self::Cmd(_) => "CMD",
            Self::Shell(_) => "SHELL",
            Self::StopSignal(_) => "STOPSIGNAL",
            Self::HealthCheck(_) => "HEALTHCHECK",
            Self::OnBuild(_) => "ONBUILD",
        }
    }
}

/// Instructions as values, as `ONBUILD` takes them; the methods of [`Layers`](super::Layers) of the same names say more.
impl Instruction {
    /// Reads one line of a Dockerfile. `stages` are the names that `--from` may mean.
    pub(crate) fn parse(text: &str, stages: &[&str]) -> Result<Self, String> {
        let (written, notes) = plywood_syntax::dockerfile::parse_one(text, stages)?;
        let mut notes = notes::Notes::of(notes.iter().map(String::as_str));
        let mut instructions = read::instructions(&written, &mut notes);
        match instructions.len() {
            1 => Ok(instructions.remove(0)),
            _ => Err("it takes one name".to_owned()),
        }
    }

    /// Reads one line of a Dockerfile that stands alone, and checks what can be checked of it there.
    pub(crate) fn parse_alone(text: &str) -> Result<Self, String> {
        let (written, _) = plywood_syntax::dockerfile::parse_one(text, &[])?;
        let mut found = plywood_syntax::checks::check_alone(&written).into_iter();
        match found.find(|finding| !plywood_syntax::dockerfile::only_warns(finding.name)) {
            Some(finding) => Err(finding.message),
            None => Self::parse(text, &[]),
        }
    }

    /// `ARG` with a default.
    pub fn arg(name: impl Display, default: impl Display) -> Self {
        Self::Arg(Arg { name: name.to_string(), default: Some(default.to_string()) })
    }

    /// `ARG` without a default.
    pub fn arg_required(name: impl Display) -> Self {
        Self::Arg(Arg { name: name.to_string(), default: None })
    }

    /// `ENV` of one variable.
    pub fn env(name: impl Display, value: impl Display) -> Self {
        Self::envs([(name, value)])
    }

    /// `ENV` of several variables.
    pub fn envs<K: Display, V: Display>(variables: impl IntoIterator<Item = (K, V)>) -> Self {
        Self::Env(pairs(variables))
    }

    /// `LABEL` of one label.
    pub fn label(key: impl Display, value: impl Display) -> Self {
        Self::labels([(key, value)])
    }

    /// `LABEL` of several labels.
    pub fn labels<K: Display, V: Display>(labels: impl IntoIterator<Item = (K, V)>) -> Self {
        Self::Label(pairs(labels))
    }

    /// `WORKDIR`.
    pub fn workdir(path: impl Display) -> Self {
        Self::Workdir(path.to_string())
    }

    /// `USER`.
    pub fn user(user: impl Display) -> Self {
        Self::User(user.to_string())
    }

    /// `EXPOSE`.
    pub fn expose(ports: impl Into<ExposedPorts>) -> Self {
        Self::Expose(ports.into().into_vec())
    }

    /// `VOLUME`.
    pub fn volume(paths: impl Into<VolumePaths>) -> Self {
        Self::Volume(paths.into().into_vec())
    }

    /// `ENTRYPOINT`.
    pub fn entrypoint(command: impl Into<Command>) -> Self {
        Self::Entrypoint(command.into())
    }

    /// `CMD`.
    pub fn cmd(command: impl Into<Command>) -> Self {
        Self::Cmd(command.into())
    }

    /// `SHELL`.
    pub fn shell(shell: impl Into<Values>) -> Self {
        Self::Shell(shell.into().into_vec())
    }

    /// `STOPSIGNAL`.
    pub fn stop_signal(signal: impl Display) -> Self {
        Self::StopSignal(signal.to_string())
    }
}

fn pairs<K: Display, V: Display>(pairs: impl IntoIterator<Item = (K, V)>) -> Vec<(String, String)> {
    pairs.into_iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

/// Begins a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct From {
    pub(super) base: Base,
    pub(super) platform: Option<String>,
    pub(super) stage: Option<String>,
}

impl From {
    /// Begins a stage on this base.
    pub fn new(base: impl Into<Base>) -> Self {
        Self { base: base.into(), platform: None, stage: None }
    }

    /// The base.
    pub fn base(&self) -> &Base {
        &self.base
    }

    /// The platform asked for.
    pub fn platform(&self) -> Option<&str> {
        self.platform.as_deref()
    }

    /// The name of the stage.
    pub fn stage(&self) -> Option<&str> {
        self.stage.as_deref()
    }
}

/// Declares a build argument: a variable of the stage whose value may be given when the image is built.
///
/// Before the first `FROM` it is a variable of all `FROM`s.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arg {
    pub(super) name: String,
    pub(super) default: Option<String>,
}

impl Arg {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its value where none is given.
    pub fn default(&self) -> Option<&str> {
        self.default.as_deref()
    }
}

macro_rules! into_instruction {
    ($($type:ident => $variant:ident),*) => {$(
        impl std::convert::From<$type> for Instruction {
            fn from(value: $type) -> Self {
                Self::$variant(value)
            }
        }
    )*};
}

into_instruction!(From => From, Arg => Arg, Run => Run, Copy => Copy, Add => Add, HealthCheck => HealthCheck);
