//! The builder: one method for each instruction.

use std::fmt;
use std::panic::Location;
use std::path::PathBuf;

use super::{
    Add, Base, Command, Copy, ExposedPorts, From, HealthCheck, Instruction, Layers, Misplaced, Place, Run, Values,
    VolumePaths,
};

impl Layers {
    /// No instructions yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// An image made from programs of the host, each with its interpreter and libraries.
    ///
    /// Short for `Layers::new().from(Base::host(programs))`.
    #[track_caller]
    pub fn from_host(programs: impl Into<Values>) -> Self {
        Self::new().from(Base::host(programs))
    }

    /// Sets the directory that sources of `COPY` and `ADD` are relative to. Default: the working directory.
    #[must_use]
    pub fn context(mut self, directory: impl Into<PathBuf>) -> Self {
        self.context = Some(directory.into());
        self
    }

    /// Says that the instructions are those of a Dockerfile: what Docker builds without a word is no mistake then, and
    /// there may be a `.dockerignore` for this file alone.
    #[doc(hidden)]
    #[must_use]
    pub fn of_dockerfile(mut self, path: impl Into<PathBuf>) -> Self {
        self.dockerfile = Some(path.into());
        self
    }

    /// Adds an instruction that is at hand as a value.
    #[must_use]
    #[track_caller]
    pub fn instruction(mut self, instruction: impl Into<Instruction>) -> Self {
        self.instructions.push(instruction.into());
        self.places.push(Place::Code(Location::caller()));
        self
    }

    /// Declares a build argument with a default.
    #[must_use]
    #[track_caller]
    #[doc(alias = "ARG")]
    pub fn arg(self, name: impl fmt::Display, default: impl fmt::Display) -> Self {
        self.instruction(Instruction::arg(name, default))
    }

    /// Declares a build argument without a default; in a stage it takes the one of a global argument of that name.
    #[must_use]
    #[track_caller]
    pub fn arg_required(self, name: impl fmt::Display) -> Self {
        self.instruction(Instruction::arg_required(name))
    }

    /// Begins a stage.
    #[must_use]
    #[track_caller]
    #[doc(alias = "FROM")]
    pub fn from(self, base: impl Into<Base>) -> Self {
        self.instruction(From::new(base))
    }

    /// Names the stage that the `from` before this call began.
    #[must_use]
    #[track_caller]
    #[doc(alias = "AS")]
    pub fn stage(mut self, name: impl fmt::Display) -> Self {
        match self.last_from() {
            Some(from) => from.stage = Some(name.to_string()),
            None => self.misplaced.push(Misplaced { call: "stage", place: Location::caller() }),
        }
        self
    }

    /// Asks for a platform of the image that the `from` before this call names.
    #[must_use]
    #[track_caller]
    #[doc(alias = "--platform")]
    pub fn platform(mut self, platform: impl fmt::Display) -> Self {
        match self.last_from() {
            Some(from) => from.platform = Some(platform.to_string()),
            None => self.misplaced.push(Misplaced { call: "platform", place: Location::caller() }),
        }
        self
    }

    fn last_from(&mut self) -> Option<&mut From> {
        match self.instructions.last_mut() {
            Some(Instruction::From(from)) => Some(from),
            _ => None,
        }
    }

    /// Runs a command and keeps what it changed as a layer.
    ///
    /// A string runs under the image's shell, an array runs as it stands.
    #[must_use]
    #[track_caller]
    #[doc(alias = "RUN")]
    pub fn run(self, command: impl Into<Run>) -> Self {
        self.instruction(command.into())
    }

    /// Copies files of the build context; see [`Copy`](struct@Copy) for other origins, owners and modes.
    #[must_use]
    #[track_caller]
    #[doc(alias = "COPY")]
    pub fn copy(self, sources: impl Into<Values>, destination: impl fmt::Display) -> Self {
        self.instruction(Copy::of(sources).to(destination))
    }

    /// Copies files of the build context and unpacks archives; see [`Add`] for more.
    #[must_use]
    #[track_caller]
    #[doc(alias = "ADD")]
    pub fn add(self, sources: impl Into<Values>, destination: impl fmt::Display) -> Self {
        self.instruction(Add::of(sources).to(destination))
    }

    /// Sets an environment variable.
    #[must_use]
    #[track_caller]
    #[doc(alias = "ENV")]
    pub fn env(self, name: impl fmt::Display, value: impl fmt::Display) -> Self {
        self.instruction(Instruction::env(name, value))
    }

    /// Sets several environment variables at once; none of the values sees another of them.
    #[must_use]
    #[track_caller]
    pub fn envs<K: fmt::Display, V: fmt::Display>(self, variables: impl IntoIterator<Item = (K, V)>) -> Self {
        self.instruction(Instruction::envs(variables))
    }

    /// Sets a label.
    #[must_use]
    #[track_caller]
    #[doc(alias = "LABEL")]
    pub fn label(self, key: impl fmt::Display, value: impl fmt::Display) -> Self {
        self.instruction(Instruction::label(key, value))
    }

    /// Sets several labels at once.
    #[must_use]
    #[track_caller]
    pub fn labels<K: fmt::Display, V: fmt::Display>(self, labels: impl IntoIterator<Item = (K, V)>) -> Self {
        self.instruction(Instruction::labels(labels))
    }

    /// Sets the working directory, and makes it where it does not exist.
    #[must_use]
    #[track_caller]
    #[doc(alias = "WORKDIR")]
    pub fn workdir(self, path: impl fmt::Display) -> Self {
        self.instruction(Instruction::workdir(path))
    }

    /// Sets the user, as `user`, `user:group` or their numbers.
    #[must_use]
    #[track_caller]
    #[doc(alias = "USER")]
    pub fn user(self, user: impl fmt::Display) -> Self {
        self.instruction(Instruction::user(user))
    }

    /// Declares ports on which containers of this image listen.
    #[must_use]
    #[track_caller]
    #[doc(alias = "EXPOSE")]
    pub fn expose(self, ports: impl Into<ExposedPorts>) -> Self {
        self.instruction(Instruction::expose(ports))
    }

    /// Declares where containers of this image want volumes.
    #[must_use]
    #[track_caller]
    #[doc(alias = "VOLUME")]
    pub fn volume(self, paths: impl Into<VolumePaths>) -> Self {
        self.instruction(Instruction::volume(paths))
    }

    /// Sets the fixed part of what a container runs.
    #[must_use]
    #[track_caller]
    #[doc(alias = "ENTRYPOINT")]
    pub fn entrypoint(self, command: impl Into<Command>) -> Self {
        self.instruction(Instruction::entrypoint(command))
    }

    /// Sets the default arguments, or the whole of what a container runs.
    #[must_use]
    #[track_caller]
    #[doc(alias = "CMD")]
    pub fn cmd(self, command: impl Into<Command>) -> Self {
        self.instruction(Instruction::cmd(command))
    }

    /// Sets the shell of all commands given as a string. Default: `["/bin/sh", "-c"]`.
    #[must_use]
    #[track_caller]
    #[doc(alias = "SHELL")]
    pub fn shell(self, shell: impl Into<Values>) -> Self {
        self.instruction(Instruction::shell(shell))
    }

    /// Sets the signal that asks a container to end, by name or number. Default: `SIGTERM`.
    #[must_use]
    #[track_caller]
    #[doc(alias = "STOPSIGNAL")]
    pub fn stop_signal(self, signal: impl fmt::Display) -> Self {
        self.instruction(Instruction::stop_signal(signal))
    }

    /// Sets how to tell whether a container works.
    #[must_use]
    #[track_caller]
    #[doc(alias = "HEALTHCHECK")]
    pub fn health_check(self, check: HealthCheck) -> Self {
        self.instruction(check)
    }

    /// Adds an instruction that images built on this one carry out after their `FROM`.
    #[must_use]
    #[track_caller]
    #[doc(alias = "ONBUILD")]
    pub fn on_build(self, instruction: impl Into<Instruction>) -> Self {
        self.instruction(Instruction::OnBuild(Box::new(instruction.into())))
    }
}
