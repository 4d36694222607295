//! Starting: from the files of a container to a bundle, and from the bundle to a process.

use std::path::PathBuf;
use std::sync::Arc;

use super::create::attempted;
use super::environment;
use super::events::Action;
use super::files;
use super::handle::{Handle, Inner, Phase};
use super::health;
use super::host_config::parse_tmpfs_options;
use super::logs::log_config;
use super::reaper::ProcessToBe;
use super::record::Run;
use super::security;
use super::stdio::{Ends, Streams};
use super::store::{Files, Store};
use super::undecided::Undecided;
use super::user::{resolve_groups, resolve_user};
use crate::error::{Attempt, ErrorKind, Fault, Result};
use crate::layer::WritableLayer;
use crate::layer::view::View;
use crate::logs::json_file::Writer;
use crate::runtime::cgroup::Cgroup;
use crate::runtime::{self, Bundle, BundleMount, BundleSource, HeldHook, Hooks, Process, ProcessSpec, Rootfs};
use crate::spec::container_path::ContainerPath;
use crate::spec::exit_status::ExitStatus;
use crate::spec::id::ContainerId;
use crate::spec::name::VolumeName;
use crate::spec::time::Timestamp;
use crate::sys::capability::CapabilitySet;
use crate::sys::cgroup::device::access;
use crate::sys::namespace;
use crate::sys::tty::WindowSize;
use crate::sys::within::{ENTER, within};

/// The mode of a tmpfs whose options do not say it, as in Docker.
const TMPFS_MODE: u32 = 0o1777;

#[derive(Debug, thiserror::Error)]
enum StartFault {
    #[error("it is running already")]
    Running,
    #[error("files are being copied into or out of it")]
    Copying,
    #[error("it was removed")]
    Removed,
    #[error("its writable layer is missing from the store")]
    NoLayer,
    #[error("volume {0:?}, which it mounts, was removed")]
    NoVolume(String),
    #[error("mount {0:?}: {1} mounts are unknown")]
    MountKind(String, String),
    #[error("it was made by Docker (its network and limits would not hold here)")]
    Docker,
    #[error("it is frozen")]
    Frozen,
}

impl Fault for StartFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Running | Self::Copying => ErrorKind::InUse,
            Self::Removed | Self::NoVolume(_) => ErrorKind::NotFound,
            Self::NoLayer => ErrorKind::Corrupt,
            Self::MountKind(..) | Self::Docker | Self::Frozen => ErrorKind::Unsupported,
        }
    }

    fn hint(&self) -> Option<String> {
        matches!(self, Self::Frozen).then(|| "start a fork of it".to_owned())
    }
}

/// What a container ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lifetime {
    /// With this program at the latest.
    Program,
    /// By itself.
    Own,
    /// By itself, and this program takes part in its streams.
    Attended,
}

impl Handle {
    /// Starts the container's process. It ends with this program, or earlier.
    pub(crate) fn start(self: &Arc<Self>, streams: &Streams) -> Result<()> {
        self.try_start(streams, Lifetime::Program).map_err(|error| attempted(format!("start {}", self.title()), error))
    }

    pub(super) fn try_start(self: &Arc<Self>, streams: &Streams, lifetime: Lifetime) -> Result<()> {
        let (files, writable) = self.take_over()?;
        let undecided = (lifetime != Lifetime::Program).then(|| Undecided::of(self.store(), self.id()));
        let mut inner = self.lock();
        let doomed = inner.reaper.expect_process(self.store(), self.id(), &files.config, undecided.as_ref());
        drop(inner);
        let started_at = Timestamp::now();
        let begin = || {
            // Until this returns: then it is recorded, and whoever would copy them finds that it runs.
            let volumes = self.store().hold_volumes(&files)?;
            if let Some(undecided) = &undecided {
                undecided.begin()?;
                self.tell_again(&mut self.lock(), Some(undecided));
            }
            Ok(volumes)
        };
        let launch =
            |volumes| Ok((self.launch(&files, &writable, streams, doomed.as_ref(), lifetime, started_at)?, volumes));
        let started = begin().and_then(launch);
        let mut inner = self.lock();
        inner.reaper.has_process(doomed.filter(|_| started.is_ok()));
        let early = match std::mem::replace(&mut inner.phase, Phase::Idle) {
            Phase::Starting(early) => early,
            // Removed meanwhile by another handle: the process was not there yet to be killed.
            other => {
                inner.phase = other;
                self.sockets.clear();
                if let Ok(((process, _), _)) = started {
                    let _ = process.signal(libc::SIGKILL);
                }
                return Err(StartFault::Removed.into());
            }
        };
        let ((process, ends), _volumes) = match started {
            Ok(started) => started,
            Err(error) => {
                if undecided.is_some() {
                    self.tell_again(&mut inner, None);
                }
                self.unrecord_start(&mut inner, files);
                self.sockets.clear();
                inner.give_back();
                return Err(error);
            }
        };
        if let Some(undecided) = undecided {
            inner.ends = ends;
            return self.record_kept(&mut inner, &process, started_at, undecided);
        }
        self.tell(Action::Start);
        inner.phase = Phase::Started(process);
        inner.ends = ends;
        match early {
            Some(status) => {
                self.sockets.clear();
                self.record_end(&mut inner, status);
            }
            None => {
                self.forward_ports()?;
                health::watch(self, &inner);
            }
        }
        Ok(())
    }

    /// Lets the reaper do nothing to a guard from the moment on from which it is kept.
    pub(super) fn tell_again(&self, inner: &mut Inner, undecided: Option<&Undecided>) {
        if let (Some(owner), Some(files)) = (&inner.owner, &inner.files) {
            inner.reaper.tell_again(self.store(), self.id(), &files.config, owner, undecided);
        }
    }

    /// Makes this program the owner and the container one that is being started.
    fn take_over(self: &Arc<Self>) -> Result<(Files, WritableLayer)> {
        let mut inner = self.lock();
        if inner.is_removed() {
            return Err(StartFault::Removed.into());
        }
        if inner.is_running() {
            return Err(StartFault::Running.into());
        }
        // Two mounts of one writable layer would damage it.
        if inner.idle_root().is_some() {
            return Err(StartFault::Copying.into());
        }
        if inner.owner.is_none() {
            let files = self.store().read(self.id())?;
            let is_kept_alive = |files: &Files| {
                let run = files.record.as_ref().filter(|record| record.kept).and_then(|record| record.run.as_ref());
                run.is_some_and(Run::is_alive)
            };
            let is_restarting = files.as_ref().is_some_and(|files| files.config.state.restarting);
            if files.as_ref().is_some_and(is_kept_alive) || is_restarting && self.store().is_owned(self.id())? {
                return Err(StartFault::Running.into());
            }
            inner.owner = Some(self.own()?);
            self.store().enlist(self);
        }
        let prepared = self.prepare(&mut inner);
        if let Err(error) = prepared {
            inner.give_back();
            return Err(error);
        }
        inner.phase = Phase::Starting(None);
        prepared
    }

    fn prepare(&self, inner: &mut Inner) -> Result<(Files, WritableLayer)> {
        if inner.files.is_none() {
            let files = self.store().read(self.id())?.ok_or(StartFault::Removed)?;
            if files.record.is_none() {
                return Err(StartFault::Docker.into());
            }
            inner.files = Some(Box::new(files));
        }
        if inner.is_frozen() {
            return Err(StartFault::Frozen.into());
        }
        if inner.writable.is_none() {
            inner.writable = Some(self.store().layers().writable(self.id())?.ok_or(StartFault::NoLayer)?);
        }
        match (&inner.files, &inner.writable) {
            (Some(files), Some(writable)) => Ok((Files::clone(files), writable.clone())),
            _ => Err(StartFault::NoLayer.into()),
        }
    }

    fn launch(
        self: &Arc<Self>,
        files: &Files,
        writable: &WritableLayer,
        streams: &Streams,
        doomed: Option<&ProcessToBe>,
        lifetime: Lifetime,
        started_at: Timestamp,
    ) -> Result<(Process, Ends)> {
        let mut bundle = bundle(self.store(), self.id(), files, writable)?;
        self.join_network(files, &mut bundle)?;
        self.join_ipc(files, &mut bundle)?;
        self.join_pids(files, &mut bundle)?;
        let created = doomed.map(|doomed| -> runtime::Hook<'_> {
            Box::new(|_, pidfd| {
                doomed.tell(pidfd);
                Ok(())
            })
        });
        self.take_ports(files)?;
        if lifetime != Lifetime::Program {
            bundle.process.ends_with_program = false;
            // What stays may be mounted by Docker, and by its supervisor again.
            bundle.rootfs.keep();
            let (stdio, keeper) = self.keeper(files, writable, streams)?;
            let line = (lifetime == Lifetime::Attended).then(|| self.first_line()).transpose()?;
            let hooks = Hooks { created, kept: Some(keeper), ..Hooks::default() };
            let process = runtime::start_with(&bundle, stdio, hooks, Box::new(|_| ()))?;
            return Ok((process, Ends::kept(line)));
        }
        let log = match streams.needs_log() {
            true => Some(Writer::open(&self.store().root().container_log(self.id()), log_config(files))?),
            false => None,
        };
        let (stdio, mut ends) = streams.open(log, files.config.config.tty.then(|| window_size(files)))?;
        // The process keeps its container from being given up while it runs.
        let handle = Arc::clone(self);
        let on_exit = Box::new(move |status: &ExitStatus| handle.ended(*status));
        // Whoever hears of the container from itself finds it running.
        let held: HeldHook<'_> = Box::new(|held| {
            let run = Run::of(held.pid, held.start_time, started_at);
            self.record_start(&mut self.lock(), run, held.group, None)
        });
        let hooks = Hooks { created, held: Some(held), ..Hooks::default() };
        let process = runtime::start_with(&bundle, stdio, hooks, on_exit)?;
        ends.connect(&process)?;
        Ok((process, ends))
    }
}

/// What the runtime has to know to mount the root file system, with what lasts in it, while nothing runs there.
pub(super) fn storage(store: &Store, id: &ContainerId, files: &Files, writable: &WritableLayer) -> Result<Bundle> {
    if files.config.has_been_started_before {
        store.layers().reset_work(writable)?;
    }
    let mut bundle = Bundle::new(rootfs(writable, false));
    bundle.mounts = mounts(store, id, files, &view(store, writable))?;
    // Whatever was put there would be gone at once.
    bundle.mounts.retain(|mount| !matches!(mount.source, BundleSource::Tmpfs { .. }));
    bundle.read_only_rootfs = files.host.readonly_rootfs;
    Ok(bundle)
}

/// The root file system.
fn rootfs(writable: &WritableLayer, volatile: bool) -> Rootfs {
    let upper = writable.upper.clone();
    match writable.work.clone() {
        Some(work) => Rootfs::stack(writable.program.as_deref(), writable.below.clone(), [upper, work], volatile),
        None => Rootfs::Directory(upper),
    }
}

/// Everything the runtime has to know.
fn bundle(store: &Store, id: &ContainerId, files: &Files, writable: &WritableLayer) -> Result<Bundle> {
    let record = files.record.as_ref();
    let config = &files.config.config;
    let is_guard = record.is_some_and(|record| record.guard);
    if files.config.has_been_started_before {
        store.layers().reset_work(writable)?;
    }
    // What stays may be mounted by Docker, which does not take what such a mount has used.
    let rootfs = rootfs(writable, is_guard);
    let mut bundle = Bundle::new(rootfs);
    bundle.host_namespaces = security::host_namespaces(&files.host);
    if bundle.host_namespaces & namespace::UTS == 0 {
        bundle.hostname = config.hostname.clone();
    }
    let mounts = || mounts(store, id, files, &view(store, writable));
    bundle.mounts = within(mounts).attempt(|| ENTER)??;
    for device in files.host.devices.iter().flatten() {
        let (source, target) = (PathBuf::from(&device.path_on_host), ContainerPath::parse(&device.path_in_container)?);
        bundle.devices.push((source.clone(), access(&device.cgroup_permissions)));
        // Read-only keeps the owner and mode of the host's node; the device can be written to.
        bundle.mounts.push(BundleMount { source: BundleSource::Bind(source), target, read_only: true });
    }
    bundle.read_only_rootfs = files.host.readonly_rootfs;
    bundle.privileged = files.host.privileged;
    if record.is_some_and(|record| record.user_namespace) {
        bundle.user_namespace = Some(store.user_namespace()?);
    }
    bundle.isolation = security::isolation(&files.host, &config.domainname);
    bundle.init = files.host.init.unwrap_or(true);
    bundle.cgroup = Some(Cgroup {
        name: id.as_str().to_owned(),
        limits: files.host.resources.limits()?,
        statistics: record.is_some_and(|record| record.statistics),
    });
    let command = Command { argv: files.config.argv(), tty: config.tty, ..Command::default() };
    bundle.process = process_spec(store, files, writable, &command)?;
    Ok(bundle)
}

/// What a process of a container is to be, beyond what the container's files say.
#[derive(Debug, Default)]
pub(super) struct Command<'a> {
    pub(super) argv: Vec<String>,
    pub(super) variables: &'a [environment::Variable],
    pub(super) user: Option<&'a str>,
    pub(super) workdir: Option<&'a str>,
    pub(super) tty: bool,
    /// Even if the container is not.
    pub(super) privileged: bool,
}

/// A process of the container: the first one, or one that `exec` adds.
pub(super) fn process_spec(
    store: &Store,
    files: &Files,
    writable: &WritableLayer,
    command: &Command<'_>,
) -> Result<ProcessSpec> {
    let config = &files.config.config;
    let resolve = || resolve_user(&view(store, writable), command.user.unwrap_or(&config.user));
    let identity = within(resolve).attempt(|| ENTER)??;
    let recorded = environment::merge(&config.env, command.variables);
    let mut spec = ProcessSpec::new(command.argv.iter().cloned());
    spec.env = environment::complete(&recorded, &config.hostname, &identity.home, command.tty);
    spec.user = identity.user;
    let groups = files.host.group_add.as_deref().unwrap_or_default();
    security::check_groups(groups)?;
    spec.user.groups.extend(resolve_groups(&view(store, writable), groups)?);
    let own = ContainerPath::root().join(&config.working_dir)?;
    spec.cwd = match command.workdir {
        Some(path) => own.join(path)?,
        None => own,
    };
    security::restrict(&mut spec, &files.host)?;
    if command.privileged {
        spec.capabilities = CapabilitySet::ALL;
    }
    Ok(spec)
}

/// The container's files as its processes see them, without what is mounted over them.
fn view(store: &Store, writable: &WritableLayer) -> View {
    View::new(writable.stack(), store.layers().xattrs())
}

/// What is mounted over the root, parents first.
fn mounts(store: &Store, id: &ContainerId, files: &Files, view: &View) -> Result<Vec<BundleMount>> {
    let mut mounts = Vec::new();
    for (target, point) in &files.config.mount_points {
        let source = match point.kind.as_str() {
            "volume" => {
                let name = VolumeName::parse(&point.name)?;
                let volume = store.volumes().get(&name)?.ok_or_else(|| StartFault::NoVolume(point.name.clone()))?;
                BundleSource::Bind(volume.path().to_owned())
            }
            "bind" => BundleSource::Bind(PathBuf::from(&point.source)),
            other => return Err(StartFault::MountKind(target.clone(), other.to_owned()).into()),
        };
        mounts.push(BundleMount { source, target: ContainerPath::parse(target)?, read_only: !point.rw });
    }
    for (target, options) in files.host.tmpfs.iter().flatten() {
        let (size, mode, read_only) = parse_tmpfs_options(options);
        let source = BundleSource::Tmpfs { size, mode: mode.unwrap_or(TMPFS_MODE) };
        mounts.push(BundleMount { source, target: ContainerPath::parse(target)?, read_only });
    }
    let by_depth = |mount: &BundleMount| mount.target.components().count();
    // What is mounted below another mount comes after it.
    mounts.sort_by_key(by_depth);
    for at in 0..mounts.len() {
        // Below another mount the links of the image count for nothing.
        if !mounts[..at].iter().any(|above| mounts[at].target.is_within(&above.target)) {
            mounts[at].target = through_dangling_links(view, &mounts[at].target)?;
        }
    }
    let directory = store.root().container_dir(id);
    for (name, target) in files::MOUNTED {
        let target = ContainerPath::parse(target)?;
        if !mounts.iter().any(|mount| mount.target == target) {
            mounts.push(BundleMount { source: BundleSource::Bind(directory.join(name)), target, read_only: false });
        }
    }
    mounts.sort_by_key(by_depth);
    Ok(mounts)
}

/// Where a target comes to lie that leads through a link to nothing, such as `/var/lock -> /run/lock`: what is missing is
/// made where the link leads, as Docker does. Any other target is left to the kernel.
fn through_dangling_links(view: &View, target: &ContainerPath) -> Result<ContainerPath> {
    if view.resolve(target.as_str())?.is_some() {
        return Ok(target.clone());
    }
    view.destination(target.as_str())?.map_or_else(|| Ok(target.clone()), |path| ContainerPath::parse(&path))
}

/// How large its terminal is at the start.
pub(super) fn window_size(files: &Files) -> WindowSize {
    files.host.console_size.map(|[rows, columns]| WindowSize { rows, columns }).unwrap_or_default()
}
