//! What is to run: a container as a value.

mod device;
mod health;
mod namespaces;
mod resources;
mod security;

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::time::Duration;

use super::environment::Variable;
use super::ipc::IpcMode;
use super::namespaces::{NamespaceChoice, NamespaceMode, UserNamespace};
use super::network::{NetworkChoice, NetworkSetting};
use super::ready::Condition;
use super::resources::Resources;
use super::restart::RestartPolicy;
use super::signal::Signal;
use super::stdio::Stdio;
use crate::image::{HealthCheck, Image, ImageDefinition, Layers};
use crate::spec::byte_size::ByteSize;
use crate::spec::mount::{Mount, MountOf};
use crate::spec::port::ExposedPort;
use crate::spec::reference::Reference;

pub use device::Device;
pub use security::Seccomp;
pub(crate) use security::Security;

/// A container to be: an image and what differs from its configuration.
///
/// Made by [`Container::of`](super::Container::of). It does nothing until one of its terminal verbs is called:
/// `create`, `start`, `output` or `status`. Mistakes in it are reported there.
///
/// ```no_run
/// use plywood::{Container, Engine, Mount};
///
/// # fn main() -> plywood::Result<()> {
/// let engine = Engine::open_default()?;
/// let output = Container::of("debian:12")
///     .cmd(["ls", "/work"])
///     .mount(Mount::bind(".", "/work").read_only())
///     .output(&engine)?;
/// assert!(output.status.success());
/// # Ok(()) }
/// ```
#[must_use = "a definition does nothing until it is started"]
pub struct Definition<D = Layers> {
    pub(crate) image: ImageChoice,
    pub(crate) settings: Settings,
    declared: PhantomData<fn() -> D>,
}

/// The image of a definition.
#[derive(Debug, Clone)]
pub(crate) enum ImageChoice {
    /// In the store.
    Stored { image: Image, reference: String },
    /// In the store, by reference, ID or unique beginning of an ID.
    Named(String),
    /// To be built first.
    Declared(Box<Layers>),
}

/// All that a definition says beside its image.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    pub(crate) name: Option<String>,
    pub(crate) entrypoint: Option<Vec<String>>,
    pub(crate) cmd: Option<Vec<String>>,
    pub(crate) env: Vec<Variable>,
    pub(crate) workdir: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) hostname: Option<String>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) devices: Vec<Device>,
    pub(crate) network: NetworkSetting,
    pub(crate) read_only: bool,
    pub(crate) privileged: bool,
    /// `None` is the default, an init.
    pub(crate) init: Option<bool>,
    pub(crate) security: Security,
    /// `None` is what the engine says.
    pub(crate) user_namespace: Option<UserNamespace>,
    pub(crate) ipc_namespace: NamespaceChoice<IpcMode>,
    pub(crate) pid_namespace: NamespaceChoice<NamespaceMode>,
    pub(crate) uts_namespace: NamespaceMode,
    pub(crate) cgroup_namespace: NamespaceMode,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) stop_signal: Option<Signal>,
    pub(crate) stop_timeout: Option<Duration>,
    pub(crate) tty: bool,
    /// Rows and columns.
    pub(crate) tty_size: Option<(u16, u16)>,
    pub(crate) stdin: Option<Stdio>,
    pub(crate) stdout: Option<Stdio>,
    pub(crate) stderr: Option<Stdio>,
    /// In bytes.
    pub(crate) log_max_size: Option<u64>,
    pub(crate) log_max_files: Option<u32>,
    pub(crate) resources: Resources,
    pub(crate) statistics: bool,
    /// Whether it outlives the program.
    pub(crate) kept: bool,
    /// Whether a kept one is removed at its end.
    pub(crate) auto_remove: bool,
    /// For how long no program may have used one that several share before it ends.
    pub(crate) idle: Option<Duration>,
    pub(crate) restart: RestartPolicy,
    pub(crate) published: Vec<(SocketAddr, ExposedPort)>,
    /// What `start` waits for.
    pub(crate) ready: Option<Condition>,
    /// `None` is that of the image.
    pub(crate) health: Option<HealthCheck>,
    /// The first value that could not be read.
    pub(crate) mistake: Option<String>,
}

/// What a container can be made of: a stored image, a declared one (it is built first), or the reference of a stored one.
pub trait ImageSource {
    /// The definition whose named ports and mount points fit.
    type Definition;
    #[doc(hidden)]
    fn choose(self) -> Chosen;
}

/// Which image an [`ImageSource`] means.
#[doc(hidden)]
#[derive(Debug)]
pub struct Chosen(pub(crate) ImageChoice);

impl<D> ImageSource for &Image<D> {
    type Definition = D;

    fn choose(self) -> Chosen {
        let reference = self.references().first().map_or_else(|| self.id().short().to_owned(), Reference::familiar);
        Chosen(ImageChoice::Stored { image: self.of_definition(), reference })
    }
}

impl<T: ImageDefinition> ImageSource for &T {
    type Definition = T;

    fn choose(self) -> Chosen {
        Chosen(ImageChoice::Declared(Box::new(self.layers())))
    }
}

impl ImageSource for &str {
    type Definition = Layers;

    fn choose(self) -> Chosen {
        Chosen(ImageChoice::Named(self.to_owned()))
    }
}

impl ImageSource for &String {
    type Definition = Layers;

    fn choose(self) -> Chosen {
        Chosen(ImageChoice::Named(self.clone()))
    }
}

impl<D> Definition<D> {
    pub(crate) fn new(Chosen(image): Chosen) -> Self {
        Self { image, settings: Settings::default(), declared: PhantomData }
    }

    /// Names the container. Default: two words at random.
    #[doc(alias = "--name")]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.name = Some(name.into());
        self
    }

    /// Replaces the command of the image: the arguments to its entrypoint or, if it has none, program and arguments.
    #[doc(alias = "CMD")]
    pub fn cmd<S: Into<String>>(mut self, cmd: impl IntoIterator<Item = S>) -> Self {
        self.settings.cmd = Some(cmd.into_iter().map(Into::into).collect());
        self
    }

    /// Replaces the entrypoint of the image, and drops its command. An empty one removes the entrypoint alone.
    #[doc(alias = "ENTRYPOINT")]
    pub fn entrypoint<S: Into<String>>(mut self, entrypoint: impl IntoIterator<Item = S>) -> Self {
        self.settings.entrypoint = Some(entrypoint.into_iter().map(Into::into).collect());
        self
    }

    /// Sets an environment variable. Nothing is taken from the host program's environment.
    #[doc(alias = "ENV")]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.env.push(Variable::Set(name.into(), value.into()));
        self
    }

    /// Removes an environment variable that the image sets.
    pub fn env_remove(mut self, name: impl Into<String>) -> Self {
        self.settings.env.push(Variable::Remove(name.into()));
        self
    }

    /// Starts the process in this directory, which is made if it is missing.
    #[doc(alias = "WORKDIR")]
    pub fn workdir(mut self, path: impl Into<String>) -> Self {
        self.settings.workdir = Some(path.into());
        self
    }

    /// Runs as this user: `name`, `uid`, `name:group` or `uid:gid`, looked up in the container.
    #[doc(alias = "USER")]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.settings.user = Some(user.into());
        self
    }

    /// The host name in the container. Default: its short ID; with the network or the names of the host, the host's name.
    #[doc(alias = "--hostname")]
    pub fn hostname(mut self, hostname: impl Into<String>) -> Self {
        self.settings.hostname = Some(hostname.into());
        self
    }

    /// Mounts a volume, a host path or memory. Of two mounts on one target the later holds. What is mounted at a volume of
    /// another definition does not compile.
    #[doc(alias = "--volume")]
    pub fn mount(mut self, mount: impl MountOf<D>) -> Self {
        self.settings.mounts.push(mount.into());
        self
    }

    /// The network it sees: a [`NetworkMode`](super::NetworkMode), a [`Network`](crate::Network) that containers of this
    /// program have in common, or another container, which must run when this one starts and whose network it shares.
    /// Default: [`NetworkMode::Private`](super::NetworkMode::Private).
    ///
    /// In a network of others [parameters](Self::sysctl) of the network cannot be set, and the container cannot have a
    /// restart policy. In a [`Network`](crate::Network) it cannot be [kept](Self::keep).
    #[doc(alias = "--network")]
    pub fn network(mut self, network: impl Into<NetworkChoice>) -> Self {
        self.settings.network = network.into().into();
        self
    }

    /// Makes the root file system read-only; mounts stay writable.
    #[doc(alias = "--read-only")]
    pub fn read_only(mut self) -> Self {
        self.settings.read_only = true;
        self
    }

    /// Lifts the protection of the host from the container: all capabilities, all devices, nothing masked.
    #[doc(alias = "--privileged")]
    pub fn privileged(mut self) -> Self {
        self.settings.privileged = true;
        self
    }

    /// Whether a small init is the container's process 1, and the command its child. Default: it is.
    ///
    /// The init passes signals on, so that a command without handlers ends by `SIGTERM` like any other process, and reaps
    /// orphans. It ends with the command, with its exit status. Without it the command is process 1, which must do both.
    #[doc(alias = "--init")]
    pub fn init(mut self, init: bool) -> Self {
        self.settings.init = Some(init);
        self
    }

    /// Lets the container outlive this program. Default: it ends with the program.
    ///
    /// `create` and `start` return a handle that is no guard: dropping it does nothing, and the container stays until it is
    /// removed. Once started it runs on when the program ends or is killed, until its command ends; its output goes to the
    /// log and its exit status is recorded even while no program of plywood runs. Any program that opens the data root
    /// finds it by its name, waits for it, reads and follows its log, runs further commands in it and stops it. A small
    /// process of its own (`plywood-keeper`, some 50 KiB) does that; it is in the cgroup of the program that started it. If
    /// it is killed, the next program that opens the data root kills the container.
    ///
    /// Standard input can be null, or [`Stdio::piped`]: then whoever [attaches](super::Container::attach) writes to it, and
    /// it never ends. The outputs can be null or log. `output` and `status`, which wait and remove, keep nothing. An [init](Self::init) is required, and a data root that is not temporary. It does not survive a reboot.
    ///
    /// ```no_run
    /// # use plywood::{Container, Engine};
    /// # fn main() -> plywood::Result<()> {
    /// let engine = Engine::open_default()?;
    /// Container::of("redis:7").name("cache").keep().start(&engine)?;
    /// // In another program, tomorrow:
    /// engine.container("cache")?.stop(std::time::Duration::from_secs(10))?;
    /// # Ok(()) }
    /// ```
    #[doc(alias = "--detach")]
    #[doc(alias = "docker run -d")]
    pub fn keep(mut self) -> Self {
        self.settings.kept = true;
        self
    }

    /// Starts it again when it ends; it must be [kept](Self::keep). Default: [`RestartPolicy::No`].
    #[doc(alias = "--restart")]
    pub fn restart(mut self, policy: RestartPolicy) -> Self {
        self.settings.restart = policy;
        self
    }

    /// Removes the container, with its volumes that have no name, when it has ended: by its supervisor, if it is
    /// [kept](Self::keep). Whoever is not is removed with its handle anyway. Not together with a restart policy.
    #[doc(alias = "--rm")]
    pub fn auto_remove(mut self) -> Self {
        self.settings.auto_remove = true;
        self
    }

    /// Adds a label.
    #[doc(alias = "LABEL")]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.labels.insert(key.into(), value.into());
        self
    }

    /// The signal by which [`stop`](super::Container::stop) asks the process to end. Default: the image's, else `SIGTERM`.
    #[doc(alias = "STOPSIGNAL")]
    pub fn stop_signal(mut self, signal: Signal) -> Self {
        self.settings.stop_signal = Some(signal);
        self
    }

    /// How long Docker waits between that signal and `SIGKILL`, in whole seconds. Default: 10.
    pub fn stop_timeout(mut self, timeout: Duration) -> Self {
        self.settings.stop_timeout = Some(timeout);
        self
    }

    /// Gives the process a terminal in the place of its three streams, also as `/dev/console`, and sets `TERM=xterm`.
    ///
    /// What it shows, standard error included, goes where [`stdout`](Self::stdout) says, and in the log it is standard
    /// output. What [`take_terminal`](super::Container::take_terminal) gives types into it; nothing else does, so
    /// [`Stdio::inherit`] for standard input is as good as [`Stdio::null`], and a file is refused.
    #[doc(alias = "--tty")]
    #[doc(alias = "-t")]
    pub fn tty(mut self) -> Self {
        self.settings.tty = true;
        self
    }

    /// The size of the terminal at the start, in characters, and gives it [one](Self::tty). Default: unknown, 0 by 0.
    pub fn tty_size(mut self, rows: u16, columns: u16) -> Self {
        self.settings.tty_size = Some((rows, columns));
        self.tty()
    }

    /// Where standard input comes from. Default: nowhere; for `status`, from the host program.
    pub fn stdin(mut self, stdin: Stdio) -> Self {
        self.settings.stdin = Some(stdin);
        self
    }

    /// Where standard output goes. Default: to the log; for `status`, to the host program's; for `output`, to the caller.
    pub fn stdout(mut self, stdout: Stdio) -> Self {
        self.settings.stdout = Some(stdout);
        self
    }

    /// Where standard error goes. Default: as for [`stdout`](Self::stdout).
    pub fn stderr(mut self, stderr: Stdio) -> Self {
        self.settings.stderr = Some(stderr);
        self
    }

    /// Begins a new log file before one grows beyond this size. Default: one file without a limit.
    #[doc(alias = "--log-opt")]
    pub fn log_max_size(mut self, size: impl Into<ByteSize>) -> Self {
        self.settings.log_max_size = Some(size.into().as_u64());
        self
    }

    /// Keeps this many log files, the current one included; the oldest goes first. Default: 1.
    #[doc(alias = "--log-opt")]
    pub fn log_max_files(mut self, files: u32) -> Self {
        self.settings.log_max_files = Some(files);
        self
    }
}

impl<D> Clone for Definition<D> {
    fn clone(&self) -> Self {
        Self { image: self.image.clone(), settings: self.settings.clone(), declared: PhantomData }
    }
}

impl<D> fmt::Debug for Definition<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Definition").field("image", &self.image).field("settings", &self.settings).finish()
    }
}
