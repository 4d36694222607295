//! `RUN` and its mounts.

use std::fmt;

use super::{Base, Command, ImageDefinition, Values};

/// Runs a command while the image is built, and keeps what it changed as a layer.
///
/// ```
/// use plywood::image::{Run, RunMount};
///
/// let run = Run::all(["apt-get update", "apt-get install -y curl"]).mount(RunMount::cache("/var/cache/apt"));
/// assert_eq!(run.mounts().len(), 1);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[doc(alias = "RUN")]
pub struct Run {
    command: Command,
    mounts: Vec<RunMount>,
    network: Option<String>,
    security: Option<String>,
}

impl Run {
    /// A script for the image's shell. One that begins with `#!` is a program of its own, as a here-document is in a
    /// Dockerfile: the shell starts it from a file, and what its first line names reads it.
    pub fn shell(script: impl fmt::Display) -> Self {
        Self::command(Command::shell(script))
    }

    /// A program and its arguments, without a shell.
    pub fn exec(args: impl Into<Values>) -> Self {
        Self::command(Command::exec(args))
    }

    /// Several scripts joined with `&&`: each runs if those before it succeeded, and together they make one layer.
    pub fn all(scripts: impl Into<Values>) -> Self {
        Self::command(Command::all(scripts))
    }

    fn command(command: Command) -> Self {
        Self { command, mounts: Vec::new(), network: None, security: None }
    }

    /// Mounts something for this command only. May be called several times.
    #[must_use]
    #[doc(alias = "--mount")]
    pub fn mount(mut self, mount: RunMount) -> Self {
        self.mounts.push(mount);
        self
    }

    pub(super) fn bases_mut(&mut self) -> impl Iterator<Item = &mut Base> {
        self.mounts.iter_mut().filter_map(|mount| mount.from.as_mut())
    }

    /// The network of this command: `default`, `none` or `host`.
    #[must_use]
    #[doc(alias = "--network")]
    pub fn network(mut self, network: impl fmt::Display) -> Self {
        self.network = Some(network.to_string());
        self
    }

    /// The protection of this command: `sandbox` or `insecure`.
    #[must_use]
    #[doc(alias = "--security")]
    pub fn security(mut self, security: impl fmt::Display) -> Self {
        self.security = Some(security.to_string());
        self
    }

    /// What is run.
    pub fn as_command(&self) -> &Command {
        &self.command
    }

    /// What is mounted for this command.
    pub fn mounts(&self) -> &[RunMount] {
        &self.mounts
    }

    /// The network asked for.
    pub fn network_mode(&self) -> Option<&str> {
        self.network.as_deref()
    }

    /// The protection asked for.
    pub fn security_mode(&self) -> Option<&str> {
        self.security.as_deref()
    }
}

impl<T: Into<Command>> From<T> for Run {
    fn from(command: T) -> Self {
        Self::command(command.into())
    }
}

/// The kinds of mounts of a `RUN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MountKind {
    /// A directory or file of the build context, a stage or an image; changes are discarded.
    Bind,
    /// A directory that is kept between builds.
    Cache,
    /// Memory.
    Tmpfs,
    /// A file that is given to the build and never enters the image.
    Secret,
    /// The agent of ssh.
    Ssh,
}

impl MountKind {
    /// The word for it in a Dockerfile.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Cache => "cache",
            Self::Tmpfs => "tmpfs",
            Self::Secret => "secret",
            Self::Ssh => "ssh",
        }
    }
}

/// A mount that exists while one `RUN` runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunMount {
    kind: MountKind,
    /// In the order given; each key once.
    options: Vec<(&'static str, String)>,
    from: Option<Base>,
}

impl RunMount {
    /// A directory that is kept between builds.
    pub fn cache(target: impl fmt::Display) -> Self {
        Self::new(MountKind::Cache).option("target", target)
    }

    /// A file or directory of the build context, or of what `from` names, read-only.
    pub fn bind(target: impl fmt::Display) -> Self {
        Self::new(MountKind::Bind).option("target", target)
    }

    /// Memory.
    pub fn tmpfs(target: impl fmt::Display) -> Self {
        Self::new(MountKind::Tmpfs).option("target", target)
    }

    /// A secret; by default the file `/run/secrets/<id>`.
    pub fn secret(id: impl fmt::Display) -> Self {
        Self::new(MountKind::Secret).option("id", id)
    }

    /// The agent of ssh, at a socket that `SSH_AUTH_SOCK` names.
    pub fn ssh() -> Self {
        Self::new(MountKind::Ssh)
    }

    /// A mount without a target yet.
    pub fn new(kind: MountKind) -> Self {
        Self { kind, options: Vec::new(), from: None }
    }

    fn option(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        let value = value.to_string();
        match self.options.iter_mut().find(|(have, _)| *have == key) {
            Some((_, have)) => *have = value,
            None => self.options.push((key, value)),
        }
        self
    }

    /// Where it is mounted.
    #[must_use]
    pub fn target(self, path: impl fmt::Display) -> Self {
        self.option("target", path)
    }

    /// What is mounted, relative to the build context or to the root of what `from` names.
    #[must_use]
    pub fn source(self, path: impl fmt::Display) -> Self {
        self.option("source", path)
    }

    /// Names a cache, secret or agent. A cache without a name is named after its target.
    #[must_use]
    pub fn id(self, id: impl fmt::Display) -> Self {
        self.option("id", id)
    }

    /// How builds share a cache: `shared`, `private` or `locked`. Default: `shared`.
    #[must_use]
    pub fn sharing(self, sharing: impl fmt::Display) -> Self {
        self.option("sharing", sharing)
    }

    /// The mode of a new cache directory or of a secret, octal.
    #[must_use]
    pub fn mode(self, mode: impl fmt::Display) -> Self {
        self.option("mode", mode)
    }

    /// The owner of a new cache directory or of a secret.
    #[must_use]
    pub fn uid(self, uid: impl fmt::Display) -> Self {
        self.option("uid", uid)
    }

    /// The group of a new cache directory or of a secret.
    #[must_use]
    pub fn gid(self, gid: impl fmt::Display) -> Self {
        self.option("gid", gid)
    }

    /// The size of a tmpfs.
    #[must_use]
    pub fn size(self, size: impl fmt::Display) -> Self {
        self.option("size", size)
    }

    /// The environment variable that holds a secret.
    #[must_use]
    pub fn env(self, name: impl fmt::Display) -> Self {
        self.option("env", name)
    }

    /// Fails the build where the secret or agent is missing.
    #[must_use]
    pub fn required(self) -> Self {
        self.option("required", true)
    }

    /// Refuses writes.
    #[must_use]
    pub fn read_only(self) -> Self {
        self.option("readonly", true)
    }

    /// Allows writes; what is written to a bind mount is discarded.
    #[must_use]
    pub fn writable(self) -> Self {
        self.option("readonly", false)
    }

    /// Mounts from this base instead of the build context.
    #[must_use]
    pub fn from(mut self, base: impl Into<Base>) -> Self {
        self.from = Some(base.into());
        self
    }

    /// Mounts from an earlier stage.
    #[must_use]
    pub fn from_stage(self, name: impl fmt::Display) -> Self {
        self.from(Base::stage(name))
    }

    /// Mounts from an image in the store.
    #[must_use]
    pub fn from_image(self, reference: impl fmt::Display) -> Self {
        self.from(Base::image(reference))
    }

    /// Mounts from another definition, which is built first.
    #[must_use]
    pub fn from_definition(self, definition: impl ImageDefinition) -> Self {
        self.from(Base::definition(definition))
    }

    /// What kind of mount it is.
    pub fn kind(&self) -> MountKind {
        self.kind
    }

    /// What is mounted from; the build context if there is none.
    pub fn base(&self) -> Option<&Base> {
        self.from.as_ref()
    }

    /// The value of `target`, `source`, `id`, `sharing`, `mode`, `uid`, `gid`, `size`, `env`, `required` or `readonly`,
    /// if it was given.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.options.iter().find(|(have, _)| *have == key).map(|(_, value)| value.as_str())
    }

    /// All options but `type` and `from`, in the order given.
    pub fn options(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.options.iter().map(|(key, value)| (*key, value.as_str()))
    }
}
