//! One stage while it is built: what each instruction means after those before it. Pure: reads no file and no store.

use crate::error::{Error, ErrorKind, Result};
use crate::image::{Base, Copy, CopySource, Embedded, Instruction, MountKind, Run, RunMount};
use crate::spec::image_config::Config;
use crate::spec::{ChainId, ContainerPath, ExposedPort};

use super::cache::Key;
use super::mode::Mode;
use super::scope::{Globals, Scope};

/// Where programs are looked for if nothing says otherwise.
pub(super) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The configuration so far, and the variables.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub config: Config,
    /// Arguments declared in this stage that have a value, in order.
    args: Vec<(String, String)>,
    /// Whether this stage has a `CMD` of its own, which an `ENTRYPOINT` leaves alone.
    has_cmd: bool,
    globals: Globals,
}

/// What an instruction asks for.
#[derive(Debug)]
pub(super) struct Step<'a> {
    /// As the history tells it.
    pub text: String,
    pub work: Work<'a>,
}

/// What is to be done to the files.
#[derive(Debug)]
pub(super) enum Work<'a> {
    /// The configuration has changed, or nothing.
    None,
    Run(RunWork<'a>),
    Copy(CopyWork<'a>),
    Workdir(ContainerPath),
}

/// A program to run.
#[derive(Debug)]
pub(super) struct RunWork<'a> {
    pub args: Vec<String>,
    /// The last of them, where it is a program of its own and not for the shell to read.
    pub program: Option<&'a str>,
    /// The environment, which is part of the cache key.
    pub env: Vec<String>,
    /// More of the environment, which is not.
    pub proxies: Vec<String>,
    pub user: String,
    pub directory: ContainerPath,
    pub mounts: Vec<MountWork<'a>>,
    pub network: Option<String>,
}

/// A mount of a `RUN`.
#[derive(Debug)]
pub(super) struct MountWork<'a> {
    pub mount: &'a RunMount,
    pub target: Option<ContainerPath>,
    pub source: String,
    pub id: Option<String>,
}

/// Files to copy.
#[derive(Debug)]
pub(super) struct CopyWork<'a> {
    pub keyword: &'static str,
    pub sources: Vec<CopySource>,
    pub from: Option<&'a Base>,
    /// The files of the definition itself, in the place of the build context; none at all where only texts are copied.
    pub embedded: Option<Embedded>,
    pub destination: Destination,
    pub owner: Option<String>,
    pub mode: Option<Mode>,
    /// Whether archives are unpacked.
    pub unpack: bool,
    pub keeps_parents: bool,
    pub exclude: Vec<String>,
}

/// Where files go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Destination {
    pub path: ContainerPath,
    /// Whether it was written with a slash at its end.
    pub is_directory: bool,
}

impl State {
    /// A stage on the configuration of a base.
    pub(super) fn new(config: Config, globals: Globals) -> Self {
        Self { config, args: Vec::new(), has_cmd: false, globals }
    }

    /// A stage on an earlier one, whose arguments it has too.
    pub(super) fn on(earlier: &Self) -> Self {
        Self { has_cmd: false, ..earlier.clone() }
    }

    /// Takes the next instruction: changes the configuration and says what is to be done to the files.
    pub(super) fn step<'a>(&mut self, instruction: &'a Instruction) -> Result<Step<'a>> {
        let mut work = Work::None;
        let text = match instruction {
            Instruction::From(_) => return Err(invalid("FROM", "it cannot stand here")),
            Instruction::Arg(arg) => {
                let value = self.globals.of_stage(arg, self)?;
                let text = match &value {
                    Some(value) => format!("ARG {}={value}", arg.name()),
                    None => format!("ARG {}", arg.name()),
                };
                if let Some(value) = value {
                    self.args.retain(|(name, _)| name != arg.name());
                    self.args.push((arg.name().to_owned(), value));
                }
                text
            }
            Instruction::Env(pairs) => {
                let pairs = self.pairs(pairs)?;
                for (name, value) in &pairs {
                    set_variable(&mut self.config.env, name, value);
                }
                format!("ENV {}", joined(pairs.iter().map(|(name, value)| format!("{name}={value}"))))
            }
            Instruction::Label(pairs) => {
                let pairs = self.pairs(pairs)?;
                let text = format!("LABEL {}", joined(pairs.iter().map(|(key, value)| format!("{key}={value}"))));
                self.config.labels.extend(pairs);
                text
            }
            Instruction::Workdir(path) => {
                let path = self.expand(path)?;
                let directory = self.directory()?.join(&path)?;
                self.config.working_dir = directory.as_str().to_owned();
                work = Work::Workdir(directory);
                format!("WORKDIR {path}")
            }
            Instruction::User(user) => {
                self.config.user = self.expand(user)?;
                format!("USER {}", self.config.user)
            }
            Instruction::Expose(ports) => self.expose(ports)?,
            Instruction::Volume(paths) => {
                let paths = paths.iter().map(|path| self.expand(path)).collect::<Result<Vec<_>>>()?;
                for path in &paths {
                    let path = ContainerPath::parse(path).map_err(|error| invalid("VOLUME", error))?;
                    self.config.volumes.insert(path.as_str().to_owned());
                }
                format!("VOLUME [{}]", paths.join(" "))
            }
            Instruction::Entrypoint(command) => {
                let args = command.argv(&self.config.shell);
                if !self.has_cmd {
                    // Arguments meant for the base's entrypoint say nothing to this one.
                    self.config.cmd = None;
                }
                let text = format!("ENTRYPOINT {}", array(&args));
                self.config.entrypoint = (!args.is_empty()).then_some(args);
                text
            }
            Instruction::Cmd(command) => {
                let args = command.argv(&self.config.shell);
                let text = format!("CMD {}", array(&args));
                self.config.cmd = Some(args);
                self.has_cmd = true;
                text
            }
            Instruction::Shell(shell) => {
                if shell.is_empty() {
                    return Err(invalid("SHELL", "it names no program"));
                }
                self.config.shell = shell.clone();
                format!("SHELL {}", array(shell))
            }
            Instruction::StopSignal(signal) => {
                let signal = self.expand(signal)?;
                self.config.stop_signal = Some(signal.clone());
                format!("STOPSIGNAL {signal}")
            }
            Instruction::HealthCheck(check) => {
                let check = check.to_config();
                let text = format!("HEALTHCHECK {}", array(&check.test));
                self.config.healthcheck = Some(check);
                text
            }
            Instruction::OnBuild(trigger) => {
                let trigger = trigger.to_string().trim_end().to_owned();
                self.config.on_build.push(trigger.clone());
                format!("ONBUILD {trigger}")
            }
            Instruction::Run(run) => {
                let run = self.run(run)?;
                let text = format!("RUN {}", joined(run.args.iter().cloned()));
                work = Work::Run(run);
                text
            }
            Instruction::Copy(copy) => {
                let copy = self.copy("COPY", copy, false)?;
                let text = copy.text();
                work = Work::Copy(copy);
                text
            }
            Instruction::Add(add) => {
                let copy = self.copy("ADD", add.as_copy(), add.unpacks().unwrap_or(true))?;
                let text = copy.text();
                work = Work::Copy(copy);
                text
            }
        };
        Ok(Step { text, work })
    }

    /// The working directory.
    pub(super) fn directory(&self) -> Result<ContainerPath> {
        match self.config.working_dir.as_str() {
            "" => Ok(ContainerPath::root()),
            path => ContainerPath::parse(path),
        }
    }

    /// Takes the base's triggers, which are executed once.
    pub(super) fn take_triggers(&mut self) -> Vec<String> {
        std::mem::take(&mut self.config.on_build)
    }

    fn pairs(&self, pairs: &[(String, String)]) -> Result<Vec<(String, String)>> {
        pairs.iter().map(|(key, value)| Ok((self.expand(key)?, self.expand(value)?))).collect()
    }

    fn expose(&mut self, ports: &[String]) -> Result<String> {
        let mut text = "EXPOSE".to_owned();
        for port in ports {
            let port = self.expand(port)?;
            for port in port_range(&port)? {
                let port = ExposedPort::parse(&port).map_err(|error| invalid("EXPOSE", error))?.to_string();
                text.push(' ');
                text.push_str(&port);
                self.config.exposed_ports.insert(port);
            }
        }
        Ok(text)
    }

    fn run<'a>(&self, run: &'a Run) -> Result<RunWork<'a>> {
        let args = run.as_command().argv(&self.config.shell);
        if args.is_empty() {
            return Err(invalid("RUN", "it names no program"));
        }
        let mut env = self.config.env.clone();
        for (name, value) in &self.args {
            if variable(&self.config.env, name).is_none() {
                set_variable(&mut env, name, value);
            }
        }
        if variable(&env, "PATH").is_none() {
            set_variable(&mut env, "PATH", DEFAULT_PATH);
        }
        let is_unset = |name: &str| variable(&env, name).is_none();
        let proxies = self.globals.proxies().filter(|(name, _)| is_unset(name));
        let proxies = proxies.map(|(name, value)| format!("{name}={value}")).collect();
        if run.security_mode().is_some_and(|mode| mode != "sandbox") {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "build image: RUN --security=insecure is not supported: a definition cannot weaken the protection",
            ));
        }
        let mounts = run.mounts().iter().map(|mount| self.mount(mount)).collect::<Result<_>>()?;
        let network = run.network_mode().map(str::to_owned);
        Ok(RunWork {
            args,
            program: run.as_command().program(),
            env,
            proxies,
            user: self.config.user.clone(),
            directory: self.directory()?,
            mounts,
            network,
        })
    }

    fn mount<'a>(&self, mount: &'a RunMount) -> Result<MountWork<'a>> {
        let value = |key: &str| mount.get(key).map(|text| self.expand(text)).transpose();
        let id = value("id")?;
        let target = match (value("target")?, mount.kind(), &id) {
            (Some(target), _, _) => Some(self.directory()?.join(&target)?),
            (None, MountKind::Secret, _) if mount.get("env").is_some() => None,
            // Which socket it would be depends on how many there are; a build refuses the mount, whatever its target.
            (None, MountKind::Ssh, _) => None,
            (None, MountKind::Secret, Some(id)) => Some(ContainerPath::parse("/run/secrets")?.join(id)?),
            _ => {
                let why = format!("a {} mount needs a target", mount.kind().as_str());
                return Err(invalid("RUN", why));
            }
        };
        Ok(MountWork { mount, target, source: value("source")?.unwrap_or_default(), id })
    }

    fn copy<'a>(&self, keyword: &'static str, copy: &'a Copy, unpack: bool) -> Result<CopyWork<'a>> {
        let source = |source: &CopySource| {
            Ok(match source {
                CopySource::Path(path) => CopySource::Path(self.expand(path)?),
                CopySource::Inline { name, text, expands: true } => {
                    CopySource::Inline { name: name.clone(), text: self.expand(text)?, expands: false }
                }
                inline => inline.clone(),
            })
        };
        let sources = copy.sources().iter().map(source).collect::<Result<Vec<_>>>()?;
        let written = self.expand(copy.destination())?;
        if written.is_empty() || sources.is_empty() {
            return Err(invalid(keyword, "it needs a source and a destination"));
        }
        let is_directory = written.ends_with('/') || written == "." || written.ends_with("/.");
        let path = self.directory()?.join(&written)?;
        if sources.len() > 1 && !is_directory {
            let why = format!("several sources need a directory to go into (write \"{written}/\")");
            return Err(invalid(keyword, why));
        }
        let is_text = |source: &CopySource| matches!(source, CopySource::Inline { .. });
        let only_texts = copy.base().is_none() && sources.iter().all(is_text);
        Ok(CopyWork {
            keyword,
            sources,
            from: copy.base(),
            embedded: copy.embedded_files().cloned().or_else(|| only_texts.then(Embedded::new)),
            destination: Destination { path, is_directory },
            owner: copy.owner().map(|owner| self.expand(owner)).transpose()?,
            mode: copy.mode().map(|mode| Mode::parse(&self.expand(mode)?)).transpose()?,
            unpack,
            keeps_parents: copy.keeps_parents(),
            exclude: copy.excluded().iter().map(|pattern| self.expand(pattern)).collect::<Result<_>>()?,
        })
    }
}

impl Scope for State {
    fn get(&self, name: &str) -> Option<String> {
        let arg = || self.args.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str());
        let path = || (name == "PATH").then_some(DEFAULT_PATH);
        variable(&self.config.env, name).or_else(arg).or_else(path).map(str::to_owned)
    }
}

impl MountWork<'_> {
    /// What its cache key has of it: all that was written, variables expanded, and nothing of the content.
    pub(super) fn facts(&self) -> Vec<String> {
        let target = self.target.as_ref().map_or("", ContainerPath::as_str);
        let id = self.id.as_deref().unwrap_or_default();
        let facts = [self.mount.kind().as_str(), target, &self.source, id].map(str::to_owned);
        let options = self.mount.options().filter(|(key, _)| !matches!(*key, "target" | "source" | "id"));
        facts.into_iter().chain(options.map(|(key, value)| format!("{key}={value}"))).collect()
    }
}

impl CopyWork<'_> {
    /// An error about where its sources are, with the first of them.
    pub(super) fn about(&self, error: Error) -> Error {
        let first = self.sources.iter().find_map(|source| match source {
            CopySource::Path(path) if self.from.is_none() => Some(path),
            _ => None,
        });
        match first {
            Some(path) => Error::new(error.kind(), format_args!("{} {path:?}: {error}", self.keyword)),
            None => error,
        }
    }

    /// The part of its cache key that the sources' content is not.
    pub(super) fn key(&self, kind: &str, parent: Option<&ChainId>) -> Key {
        let mut key = Key::new(kind, parent);
        key.list([self.destination.path.as_str(), if self.destination.is_directory { "/" } else { "" }]);
        key.list(&self.owner);
        key.list(self.mode.iter().map(ToString::to_string));
        key.list([self.unpack, self.keeps_parents].map(|flag| flag.to_string()));
        key.list(&self.exclude);
        for source in &self.sources {
            match source {
                CopySource::Path(path) => key.list(["path", path]),
                CopySource::Inline { name, text, .. } => key.list(["text", name.as_deref().unwrap_or_default(), text]),
            }
        }
        key
    }

    fn text(&self) -> String {
        let mut text = self.keyword.to_owned();
        if let Some(owner) = &self.owner {
            text.push_str(&format!(" --chown={owner}"));
        }
        if let Some(mode) = &self.mode {
            text.push_str(&format!(" --chmod={mode}"));
        }
        for source in &self.sources {
            text.push(' ');
            text.push_str(match source {
                CopySource::Path(path) => path,
                CopySource::Inline { name, .. } => name.as_deref().unwrap_or("<<inline"),
            });
        }
        let slash = if self.destination.is_directory && !self.destination.path.is_root() { "/" } else { "" };
        format!("{text} {}{slash}", self.destination.path.as_str())
    }
}

/// The value of a variable in an environment of `NAME=value`.
pub(super) fn variable<'a>(env: &'a [String], name: &str) -> Option<&'a str> {
    env.iter().find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='))
}

/// Sets a variable in an environment of `NAME=value`, in its place if it is there.
pub(super) fn set_variable(env: &mut Vec<String>, name: &str, value: &str) {
    let entry = format!("{name}={value}");
    match env.iter_mut().find(|have| have.strip_prefix(name).is_some_and(|rest| rest.starts_with('='))) {
        Some(have) => *have = entry,
        None => env.push(entry),
    }
}

/// `7000-7002/udp` as its ports.
fn port_range(text: &str) -> Result<Vec<String>> {
    let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let Some((first, last)) = numbers.split_once('-') else {
        return Ok(vec![format!("{numbers}/{protocol}")]);
    };
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(first), Ok(last)) if first <= last => {
            Ok((first..=last).map(|number| format!("{number}/{protocol}")).collect())
        }
        _ => Err(invalid("EXPOSE", format!("{text:?} is not a range of ports"))),
    }
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(" ")
}

/// As Docker prints an argument list.
fn array(args: &[String]) -> String {
    format!("[{}]", joined(args.iter().map(|arg| format!("{arg:?}"))))
}

fn invalid(keyword: &str, why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidArgument, format!("build image: {keyword}: {why}"))
}

#[cfg(test)]
mod tests;
