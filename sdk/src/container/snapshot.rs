//! Freezing what a container has become, and containers that go on from there.
//!
//! A frozen container stays what it is: an entry of the store with a writable layer, to which nobody writes any more. Its
//! [forks](crate::layer) have theirs above it. So everything that holds for containers holds for it: it pins its image, goes
//! with its program or stays, is looked at by `fsck` and removed by `prune`, and Docker sees a container that does not run.

use std::marker::PhantomData;
use std::sync::Arc;

use super::config::{Config, RecordedState};
use super::create::{attempted, make};
use super::handle::{Handle, Inner};
use super::record::Record;
use super::remove::Force;
use super::stdio::{Stdio, Streams};
use super::store::Files;
use super::{Container, Role};
use crate::error::{ErrorKind, Fault, Result};
use crate::image::Layers;
use crate::layer::WritableLayer;
use crate::spec::id::ContainerId;
use crate::spec::name::{ContainerName, VolumeName};
use crate::spec::time::Timestamp;

/// What a container was when it was frozen; made by [`Container::snapshot`].
///
/// It is a guard: when it and its last fork are dropped, its files go. One that is to [stay](Self::persist) is found again
/// with [`Engine::snapshot`](crate::Engine::snapshot), and goes with [`remove`](Self::remove), or with
/// [`prune`](crate::Engine::prune) when nothing stands on it.
#[derive(Clone)]
#[must_use = "the snapshot is removed when this and its last fork are dropped"]
pub struct Snapshot<D = Layers> {
    frozen: Arc<Frozen>,
    definition: PhantomData<fn() -> D>,
}

/// A frozen container, which goes with its last user if it is a guard.
#[derive(Debug)]
pub(super) struct Frozen(Arc<Handle>);

#[derive(Debug, thiserror::Error)]
enum SnapshotFault {
    #[error("it is running")]
    Running,
    #[error("another program owns it, or it is to stay")]
    NotOurs,
    #[error("root has given it a user namespace: its files belong to shifted users")]
    Shifted,
    #[error("it is no snapshot")]
    NoSnapshot,
    #[error("its snapshot goes with this program")]
    OnGuard,
}

impl Fault for SnapshotFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Running | Self::NotOurs => ErrorKind::InUse,
            Self::Shifted => ErrorKind::Unsupported,
            Self::NoSnapshot | Self::OnGuard => ErrorKind::InvalidArgument,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Running => Some("stop it first, so that its files are complete".to_owned()),
            Self::NotOurs => Some("freeze a container in the program that made it, before it is kept".to_owned()),
            Self::Shifted => Some("choose UserNamespace::Host for it".to_owned()),
            Self::NoSnapshot => None,
            Self::OnGuard => Some("persist the snapshot before its fork".to_owned()),
        }
    }
}

impl<D> Container<D> {
    /// Freezes its file system, with that of its volumes without a name: the start of any number of [forks](Snapshot::fork).
    ///
    /// Nothing is copied, and no digest is computed: the writable layer becomes a read-only one, and what is in a volume
    /// without a name, such as the data of a database, is moved to its place in it. Volumes with a name and binds stay
    /// what they are; the forks share them.
    ///
    /// The container must not run: stop it, so that its program writes down what it has in memory. It is consumed; what goes
    /// on is a fork. Devices of the form that overlay uses for deleted files (0:0) are taken for such in a volume.
    ///
    /// # Errors
    /// [`InUse`](ErrorKind::InUse) if it runs, is [kept](super::Definition::keep) or another program's,
    /// [`Unsupported`](ErrorKind::Unsupported) if root has given it a user namespace. The container is removed then, as if it
    /// had been dropped.
    #[doc(alias("freeze", "docker checkpoint"))]
    pub fn snapshot(self) -> Result<Snapshot<D>> {
        let handle = Arc::clone(&self.handle);
        let frozen = handle.freeze();
        frozen.map_err(|error| attempted(format!("take a snapshot of {}", handle.title()), error))?;
        // What it stands on itself is noted on the disk, and held by the handle from here on.
        let mut container = self;
        container.role = Role::Observer;
        if let Some(base) = container.base.take() {
            handle.lock().base = Some(base);
        }
        Ok(Snapshot { frozen: Arc::new(Frozen(handle)), definition: PhantomData })
    }
}

impl<D> Snapshot<D> {
    pub(crate) fn of(handle: Arc<Handle>) -> Result<Self> {
        let is_frozen = handle.files()?.record.is_some_and(|record| record.frozen);
        match is_frozen {
            true => Ok(Self { frozen: Arc::new(Frozen(handle)), definition: PhantomData }),
            false => Err(attempted(format!("fork {}", handle.title()), SnapshotFault::NoSnapshot.into())),
        }
    }

    /// The ID of the frozen container.
    pub fn id(&self) -> &ContainerId {
        self.handle().id()
    }

    /// Its name, which is that of the container unless it was [persisted](Self::persist) under another.
    pub fn name(&self) -> &str {
        self.handle().name()
    }

    /// Starts a container that goes on from here: with the same command, environment, limits and mounts, with another ID,
    /// name and host name, and in namespaces of its own.
    ///
    /// It takes the time of a start, however large the files are: a file is copied when the fork first writes to it.
    /// The fork is a guard, and its output goes to its log.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if the snapshot was removed, and those of
    /// [`start`](super::Definition::start).
    pub fn fork(&self) -> Result<Container<D>> {
        let mut container = Container::guard(self.handle().fork()?);
        container.base = Some(Arc::clone(&self.frozen));
        let streams = Streams { stdin: Stdio::null(), stdout: Stdio::log(), stderr: Stdio::log() };
        container.handle().start(&streams)?;
        Ok(container)
    }

    /// Lets the snapshot stay in the store when this program ends, under this name, which must be free.
    ///
    /// # Errors
    /// [`AlreadyExists`](ErrorKind::AlreadyExists) if a container has the name,
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) if it is none, or if the container was itself a fork of a snapshot
    /// that does not stay.
    pub fn persist(&self, name: &str) -> Result<()> {
        let (handle, layers) = (self.handle(), self.handle().store().layers());
        handle.rename(name)?;
        handle.persist()?;
        // Docker mounts it read-only from now on.
        layers.seal_writable(self.id())
    }

    /// Removes the snapshot now, whether it was to stay or not.
    ///
    /// # Errors
    /// [`InUse`](ErrorKind::InUse) while a fork of it exists.
    pub fn remove(self) -> Result<()> {
        self.handle().remove(Force::No)
    }

    pub(crate) fn handle(&self) -> &Arc<Handle> {
        &self.frozen.0
    }
}

impl<D> std::fmt::Debug for Snapshot<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("id", self.id()).field("name", &self.name()).finish_non_exhaustive()
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        if self.0.lock().is_guard()
            && let Err(error) = self.0.remove(Force::No)
        {
            tracing::warn!("the snapshot {} could not be removed: {error}", self.0.title());
        }
    }
}

impl Handle {
    /// The files and the layer of a guard that does not run, for whoever takes them from it.
    pub(super) fn at_rest(&self, inner: &mut Inner) -> Result<(Files, WritableLayer)> {
        if inner.is_removed() {
            return Err(self.removed());
        }
        if inner.is_running() || inner.idle_root().is_some() {
            return Err(SnapshotFault::Running.into());
        }
        let (Some(files), Some(writable)) = (&inner.files, &inner.writable) else {
            return Err(SnapshotFault::NotOurs.into());
        };
        match &files.record {
            Some(record) if record.user_namespace => Err(SnapshotFault::Shifted.into()),
            Some(record) if record.guard => Ok((Files::clone(files), writable.clone())),
            _ => Err(SnapshotFault::NotOurs.into()),
        }
    }

    /// Makes the container one that nobody starts or writes to any more.
    fn freeze(&self) -> Result<()> {
        let mut inner = self.lock();
        let (mut files, writable) = self.at_rest(&mut inner)?;
        // Until it has its volumes, it goes with this program if that is killed.
        files.record.iter_mut().for_each(|record| record.frozen = true);
        self.take_in_volumes(&mut files.config, &writable)?;
        self.store().write(self.id(), &files)?;
        inner.files = Some(Box::new(files));
        Ok(())
    }

    /// Moves what is in volumes without a name to its place in the layer; those above others first.
    fn take_in_volumes(&self, config: &mut Config, layer: &WritableLayer) -> Result<()> {
        let (volumes, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut config.mount_points).into_iter().partition(|(_, mount)| mount.is_anonymous_volume());
        for (target, mount) in volumes {
            let name = VolumeName::parse(&mount.name)?;
            let layers = self.store().layers();
            self.store().volumes().give_away(&name, |data| layers.graft(layer, &target, data))?;
        }
        config.mount_points = rest.into_iter().collect();
        Ok(())
    }

    /// Creates a container whose files begin as those of this one, which is frozen.
    fn fork(&self) -> Result<Arc<Self>> {
        let fork = || {
            let frozen = self.files()?;
            let (id, name) = (ContainerId::random()?, ContainerName::random()?);
            let files = continued(frozen, &id, &name);
            let is_guard = self.lock().is_guard();
            let layer = |id: &ContainerId, _: &Files, owner: &mut _| {
                self.store().layers().fork_writable(id, self.id(), is_guard, owner)
            };
            make(self.store(), (id, None, files), layer)
        };
        fork().map_err(|error| attempted(format!("fork {}", self.title()), error))
    }

    /// Refuses to let a fork stay whose snapshot goes with this program.
    pub(super) fn check_base(&self) -> Result<()> {
        let Some(base) = self.store().layers().fork_of(self.id())? else { return Ok(()) };
        let record = self.store().read(&base)?.and_then(|files| files.record);
        match record.is_some_and(|record| record.guard) {
            true => Err(attempted(format!("keep {}", self.title()), SnapshotFault::OnGuard.into())),
            false => Ok(()),
        }
    }

    /// Lets nobody fork the container any more, if it is a frozen one.
    pub(super) fn retire(&self) -> Result<()> {
        match self.files().is_ok_and(|files| files.record.is_some_and(|record| record.frozen)) {
            true => self.store().layers().retire(self.id()),
            false => Ok(()),
        }
    }
}

/// The files of a container that goes on from a frozen one.
fn continued(frozen: Files, id: &ContainerId, name: &ContainerName) -> Files {
    let Files { mut config, mut host, record } = frozen;
    if ContainerId::parse(&config.id).is_ok_and(|old| old.short() == config.config.hostname) {
        config.config.hostname = id.short().to_owned();
    }
    config.state = RecordedState::created();
    config.created = Timestamp::now().to_string();
    config.id = id.as_str().to_owned();
    config.name = format!("/{name}");
    config.log_path.clear();
    (config.restart_count, config.has_been_started_before, config.has_been_manually_stopped) = (0, false, false);
    if let Some(frozen) = &record {
        // It joins no network of others.
        host.network_mode = frozen.network.docker_name().to_owned();
    }
    let record = record.map(|frozen| Record { statistics: frozen.statistics, ..Record::new(frozen.network) });
    Files { config, host, record }
}
