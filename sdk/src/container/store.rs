//! Containers on disk, and the parts of the store they are made of.
//!
//! ```text
//! containers/<container id>/
//! ├── config.v2.json    what Docker knows
//! ├── hostconfig.json   what the host gives it
//! ├── plywood.json      what only we know: its process, whether it is a guard
//! ├── hostname hosts resolv.conf
//! └── <container id>-json.log
//! image/plywood/
//! ├── containers/<container id>/   the same, in the making: renamed into place when complete
//! └── in-flight/owner-<container id>
//! ```
//!
//! Whoever makes, runs or removes a container holds its `owner-` entry in the journal, and so its lock, from before its
//! first byte. An entry that nobody holds was left by a program that died: what it owned is removed, or if it was to stay,
//! recorded as exited. That is [`settle`](Store::settle), done at open.
//!
//! How names are taken, `names.rs` tells.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use super::config::Config;
use super::events::Action;
use super::handle::Handle;
use super::host_config::HostConfig;
use super::keep::Merged;
use super::names::Names;
use super::record::Record;
use crate::data_root::{DataRoot, Durability, InFlight, atomic, journal};
use crate::error::{Attempt, Error, ErrorKind, Fault, Result};
use crate::image::images::Images;
use crate::layer::LayerStore;
use crate::spec::digest::ImageId;
use crate::spec::id::ContainerId;
use crate::spec::time::Timestamp;
use crate::sys::keeper;
use crate::sys::userns::{Namespace, create_shifted};
use crate::volume::VolumeStore;

/// More than any configuration of a container takes, labels and all.
const MAX_FILE: usize = 16 << 20;

/// Everything containers are made of. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Store(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    root: DataRoot,
    layers: LayerStore,
    images: Images,
    volumes: VolumeStore,
    /// The containers of this program, so that all handles of one see the same process.
    live: Mutex<HashMap<ContainerId, Weak<Handle>>>,
    names: Names,
    /// That of root's containers which have one; made when the first starts.
    user_namespace: OnceLock<Arc<Namespace>>,
    /// Removed when everything else is closed.
    temporary: Option<Box<dyn std::fmt::Debug + Send + Sync>>,
}

impl Drop for Parts {
    fn drop(&mut self) {
        // Docker never sees what goes in a moment.
        if self.temporary.is_none()
            && let Err(error) = self.volumes.merge_labels()
        {
            tracing::warn!("the labels of volumes are not there for Docker: {error}");
        }
        // So that its file system can be unmounted when the last handle is gone.
        crate::sys::reaper::settle();
    }
}

/// The three files of a container.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    pub(crate) config: Config,
    pub(crate) host: HostConfig,
    /// `None` for a container of Docker's.
    pub(crate) record: Option<Record>,
}

#[derive(Debug, thiserror::Error)]
enum StoreFault {
    #[error("find container {name:?}: there is none of that name or ID")]
    Missing { name: String },
    #[error("find container {prefix:?}: several IDs begin so ({})", ids.join(", "))]
    Ambiguous { prefix: String, ids: Vec<String> },
    #[error("read {path:?}: it is not what a container's file should be")]
    Malformed { path: PathBuf },
}

impl Fault for StoreFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Missing { .. } => ErrorKind::NotFound,
            Self::Ambiguous { .. } => ErrorKind::InvalidArgument,
            Self::Malformed { .. } => ErrorKind::Corrupt,
        }
    }

    fn path(&self) -> Option<&Path> {
        match self {
            Self::Malformed { path } => Some(path),
            _ => None,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Ambiguous { .. } => Some("give more digits".to_owned()),
            _ => None,
        }
    }
}

impl Store {
    /// Joins the parts and settles what dead programs left.
    pub(crate) fn open(
        root: DataRoot,
        layers: LayerStore,
        images: Images,
        volumes: VolumeStore,
        temporary: Option<Box<dyn std::fmt::Debug + Send + Sync>>,
    ) -> Result<Self> {
        let live = Mutex::new(HashMap::new());
        let (names, user_namespace) = (Names::default(), OnceLock::new());
        let store = Self(Arc::new(Parts { root, layers, images, volumes, live, names, user_namespace, temporary }));
        atomic::create_directory(&store.staging(), 0o700)?;
        store.settle()?;
        store.images().settle(&|id| store.users_of_image(id))?;
        store.settle_volumes()?;
        super::lease::settle(&store)?;
        Ok(store)
    }

    pub(crate) fn root(&self) -> &DataRoot {
        &self.0.root
    }

    /// The user namespace of root's containers which have one.
    pub(super) fn user_namespace(&self) -> Result<Arc<Namespace>> {
        if let Some(known) = self.0.user_namespace.get() {
            return Ok(Arc::clone(known));
        }
        let made = create_shifted(self.root().container_ids()?).attempt(|| "create a user namespace for containers")?;
        Ok(Arc::clone(self.0.user_namespace.get_or_init(|| Arc::new(made))))
    }

    pub(crate) fn layers(&self) -> &LayerStore {
        &self.0.layers
    }

    pub(crate) fn images(&self) -> &Images {
        &self.0.images
    }

    /// Whether it goes when the last of this program closes it.
    pub(super) fn is_temporary(&self) -> bool {
        self.0.temporary.is_some()
    }

    pub(crate) fn volumes(&self) -> &VolumeStore {
        &self.0.volumes
    }

    pub(super) fn names(&self) -> &Names {
        &self.0.names
    }

    // ---- reading

    /// The IDs of all containers, sorted.
    pub(crate) fn ids(&self) -> Result<Vec<ContainerId>> {
        ids_in(&self.root().containers_dir())
    }

    /// The files of a container; `None` if there is no such container.
    pub(crate) fn read(&self, id: &ContainerId) -> Result<Option<Files>> {
        Ok(self.read_merged(id)?.map(|(files, _)| files))
    }

    /// The same, and what of them is in the file of a supervisor so far.
    pub(super) fn read_merged(&self, id: &ContainerId) -> Result<Option<(Files, Merged)>> {
        let directory = &self.root().container_dir(id);
        let Some(config) = read_json(&directory.join(CONFIG_FILE))? else { return Ok(None) };
        let host = read_json(&directory.join("hostconfig.json"))?.unwrap_or_default();
        let record = read_json(&directory.join("plywood.json"))?;
        let mut files = Files { config, host, record };
        let merged = super::keep::merge(&mut files, directory)?;
        Ok(Some((files, merged)))
    }

    /// The configurations of all containers, complete and in the making.
    ///
    /// # Errors
    /// `Corrupt` if one cannot be read: what it uses is not known then.
    pub(crate) fn configs(&self) -> Result<Vec<(ContainerId, Config)>> {
        let mut configs = Vec::new();
        // In the order in which a container moves: one that is published meanwhile is found in the second at the latest.
        for directory in [self.staging(), self.root().containers_dir()] {
            for id in ids_in(&directory)? {
                if let Some(config) = read_json(&directory.join(id.as_str()).join(CONFIG_FILE))? {
                    configs.push((id, config));
                }
            }
        }
        Ok(configs)
    }

    /// The configurations of one container: in place, in the making, or, after a crash, both. What cannot be read is not told.
    pub(super) fn configs_of(&self, id: &ContainerId) -> Vec<Config> {
        let directories = [self.root().container_dir(id), self.staged(id)];
        directories.iter().filter_map(|directory| read_json(&directory.join(CONFIG_FILE)).ok().flatten()).collect()
    }

    /// The container called `name`: its name, its ID, or the beginning of exactly one ID.
    pub(crate) fn find(&self, name: &str) -> Result<ContainerId> {
        let plain = name.strip_prefix('/').unwrap_or(name);
        if let Ok(id) = ContainerId::parse(plain)
            && self.root().container_config(&id).exists()
        {
            return Ok(id);
        }
        let mut prefixed = Vec::new();
        for id in self.ids()? {
            match self.name_in(&self.root().containers_dir(), &id) {
                Ok(Some(name)) if name == plain => return Ok(id),
                Ok(Some(_)) if !plain.is_empty() && id.as_str().starts_with(plain) => prefixed.push(id),
                Ok(_) => {}
                Err(error) => tracing::warn!("container {} is passed over: {error}", id.short()),
            }
        }
        match prefixed.as_slice() {
            [] => Err(StoreFault::Missing { name: name.to_owned() }.into()),
            [id] => Ok(id.clone()),
            ids => {
                let ids = ids.iter().map(|id| id.short().to_owned()).collect();
                Err(StoreFault::Ambiguous { prefix: name.to_owned(), ids }.into())
            }
        }
    }

    /// The names of the containers made from an image.
    pub(crate) fn users_of_image(&self, image: &ImageId) -> Result<Vec<String>> {
        let configs = self.configs()?.into_iter();
        Ok(configs
            .filter(|(_, config)| config.image == image.as_str())
            .map(|(_, c)| c.plain_name().to_owned())
            .collect())
    }

    // ---- the handles of this program

    /// The handle of a container: the one this program has, else a new one.
    pub(crate) fn handle(&self, id: &ContainerId) -> Result<Arc<Handle>> {
        if let Some(handle) = self.live().get(id).and_then(Weak::upgrade) {
            return Ok(handle);
        }
        let missing = || Error::from(StoreFault::Missing { name: id.short().to_owned() });
        let files = self.read(id)?.ok_or_else(missing)?;
        Ok(Arc::new(Handle::observed(self, id.clone(), &files)))
    }

    /// Makes a handle known to the others of this program.
    pub(super) fn enlist(&self, handle: &Arc<Handle>) {
        let mut live = self.live();
        live.retain(|_, known| known.strong_count() > 0);
        live.insert(handle.id().clone(), Arc::downgrade(handle));
    }

    fn live(&self) -> MutexGuard<'_, HashMap<ContainerId, Weak<Handle>>> {
        self.0.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- owning

    /// Where containers are made.
    pub(super) fn staging(&self) -> PathBuf {
        self.root().own_dir().join("containers")
    }

    /// Where this container is made.
    pub(super) fn staged(&self, id: &ContainerId) -> PathBuf {
        self.staging().join(id.as_str())
    }

    /// Makes this program the owner of a container, until the entry is dropped.
    ///
    /// # Errors
    /// `Timeout` if another program owns it.
    pub(super) fn own(&self, id: &ContainerId) -> Result<InFlight> {
        self.root().in_flight(&journal::owner(id), OWN_PATIENCE)
    }

    /// Whether a program, or the supervisor of a kept container, owns it.
    pub(super) fn is_owned(&self, id: &ContainerId) -> Result<bool> {
        self.root().is_owned(&journal::owner(id))
    }

    /// Removes or completes what dead programs have left. What resists is tried again at the next open.
    pub(crate) fn settle(&self) -> Result<()> {
        self.await_reapers()?;
        for (name, entry) in self.root().abandoned(|name| journal::owned(name).is_some())? {
            let Some(id) = journal::owned(&name) else { continue };
            let settled = match entry.left() {
                REMOVING => super::remove::erase(self, &id),
                _ => self.settle_one(&id),
            };
            if let Err(error) = settled {
                tracing::warn!("a container that a dead program left stays for now: {error}");
                entry.abandon();
            }
        }
        Ok(())
    }

    /// Waits for the reapers of programs that were killed a moment ago: what they remove shall not be found any more; and
    /// for the children that another thread starts just now, which hold each lock until they execute their program.
    fn await_reapers(&self) -> Result<()> {
        let deadline = Instant::now() + REAPER_PATIENCE;
        for name in self.root().entries()? {
            let Some(id) = journal::owned(&name) else { continue };
            while self.is_doomed(&id) && self.root().is_owned(&name)? && Instant::now() < deadline {
                std::thread::sleep(REAPER_PAUSE);
            }
        }
        Ok(())
    }

    /// Whether a container is a guard whose process has ended, or was kept by a supervisor that was killed, and nobody has
    /// recorded that.
    fn is_doomed(&self, id: &ContainerId) -> bool {
        let record: Option<Record> = read_json(&self.root().container_state(id)).ok().flatten();
        record.is_some_and(|record| match record.run {
            Some(run) if record.guard => !run.is_alive(),
            Some(_) if record.kept => keeper::was_killed(&self.root().container_dir(id)).unwrap_or(false),
            _ => false,
        })
    }

    fn settle_one(&self, id: &ContainerId) -> Result<()> {
        self.settle_end(id)?;
        let mut files = match self.read(id) {
            Ok(Some(files)) => files,
            Ok(None) => return super::remove::erase(self, id),
            // A guard is not synced, and the power was lost: one that was to stay has its files on the disk.
            Err(_) if is_empty(&self.root().container_config(id)) => return super::remove::erase(self, id),
            Err(error) => return Err(error),
        };
        let cgroup = super::pause::recorded(&files);
        let run = files.record.as_ref().and_then(|record| record.run.clone());
        if let Some(run) = &run {
            // A program that changes its user is no longer killed with its parent (prctl(2), PR_SET_PDEATHSIG).
            super::remove::end(run, id, &cgroup)?;
        }
        // Made before the process was recorded, and there as long as anything of the container is.
        crate::runtime::cgroup::sweep(id.as_str(), &cgroup)?;
        let (name, image) = (files.config.plain_name().to_owned(), files.config.config.image.clone());
        let tell = |action, attribute| self.tell(id, &name, &image, action, attribute);
        if run.is_some() {
            tell(Action::Die, Some(("exitCode", super::record::lost().code().to_string())));
        }
        match &mut files.record {
            Some(record) if record.guard => {
                super::remove::erase(self, id)?;
                tell(Action::Destroy, None);
                Ok(())
            }
            Some(record) => {
                let directory = self.root().container_dir(id);
                atomic::sweep(&directory).attempt(|| format!("look for unfinished files in {directory:?}"))?;
                let Some(run) = run else { return Ok(()) };
                record.close(&run, &mut files.config, super::record::lost(), Timestamp::now());
                self.write(id, &files)?;
                self.forget_kept(id)
            }
            None => Ok(()),
        }
    }

    /// Writes the files of a container that is in place: ours, and if it is to stay, Docker's.
    pub(super) fn write(&self, id: &ContainerId, files: &Files) -> Result<()> {
        let Some(record) = &files.record else { return Ok(()) };
        // What goes when its program ends need not survive a loss of power.
        let durability = if record.guard { Durability::Fast } else { self.root().durability() };
        atomic::write(&self.root().container_state(id), &to_json(record)?, 0o600, durability)?;
        self.write_config(id, files)
    }

    /// Writes Docker's file of a container that is in place, if it is to stay.
    pub(super) fn write_config(&self, id: &ContainerId, files: &Files) -> Result<()> {
        if files.record.as_ref().is_none_or(|record| record.guard) {
            return Ok(());
        }
        let durability = self.root().durability();
        atomic::write(&self.root().container_config(id), &to_json(&files.config)?, 0o600, durability)
    }

    /// Writes Docker's file of a container whose health is known: until its end it need not survive a loss of power.
    pub(super) fn write_health(&self, id: &ContainerId, files: &Files) -> Result<()> {
        atomic::write(&self.root().container_config(id), &to_json(&files.config)?, 0o600, Durability::Fast)
    }

    /// Makes the directory of a container survive a loss of power, where the store does.
    pub(super) fn sync(&self, id: &ContainerId) -> Result<()> {
        if self.root().durability() == Durability::Fast {
            return Ok(());
        }
        let directory = self.root().container_dir(id);
        let sync = || -> io::Result<()> {
            for entry in fs::read_dir(&directory)? {
                let entry = entry?;
                // The socket of its supervisor cannot be opened, and lasts no longer than that.
                if !entry.file_type()?.is_file() {
                    continue;
                }
                match fs::File::open(entry.path()) {
                    Ok(file) => file.sync_all()?,
                    // The supervisor has given a new file its name meanwhile, and syncs what it writes itself.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
            atomic::sync_directory(&directory, Durability::Full)?;
            atomic::sync_directory(&self.root().containers_dir(), Durability::Full)
        };
        sync().attempt(|| format!("sync {directory:?}"))
    }
}

/// The file of a container that Docker knows it by.
pub(super) const CONFIG_FILE: &str = "config.v2.json";

/// Whoever opens the store holds the entries of others for a moment, to see whether they are abandoned.
const OWN_PATIENCE: Duration = Duration::from_millis(200);

/// How long the reapers of others may take: the kernel ends a container, and a directory is renamed.
const REAPER_PATIENCE: Duration = Duration::from_secs(2);
const REAPER_PAUSE: Duration = Duration::from_millis(2);

/// What the entry of an owner says while the container is removed.
pub(super) const REMOVING: &str = "removing";

fn is_empty(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.len() == 0)
}

/// The containers whose directories are in one, sorted.
pub(super) fn ids_in(directory: &Path) -> Result<Vec<ContainerId>> {
    let names = || -> io::Result<Vec<_>> { fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name())).collect() };
    let names = match names() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        names => names.attempt(|| format!("read directory {directory:?}"))?,
    };
    let mut ids: Vec<_> = names.iter().filter_map(|name| ContainerId::parse(name.to_str()?).ok()).collect();
    ids.sort();
    Ok(ids)
}

pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let Some(text) = atomic::read_text(path, MAX_FILE)? else { return Ok(None) };
    let malformed = |error| Error::from(StoreFault::Malformed { path: path.to_owned() }).with_source(error);
    serde_json::from_str(&text).map(Some).map_err(|error: serde_json::Error| malformed(error))
}

/// The text of a file of a container: one line, as Docker writes it.
pub(super) fn to_json(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value)
        .map_err(|error| Error::new(ErrorKind::InvalidArgument, "write the files of a container").with_source(error))
}
