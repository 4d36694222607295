//! The writable layers of containers.
//!
//! ```text
//! layerdb/mounts/<container-id>/          overlay2/
//! ├── mount-id  ──────────────────────▶   ├── <mount-id>/       the container's own files
//! ├── init-id   ──────────────────────▶   ├── <mount-id>-init/  mount points and files every container has
//! └── parent    ChainID of the image      └── …                 the image's layers
//! ```
//!
//! A writable layer with a record exists once that has been renamed into place. The init layer keeps the mount points out
//! of what `docker diff` and a commit show.
//!
//! Most containers are guards, which Docker never sees: theirs is made with as few files as a mount takes. It has no
//! record: its directory has the container's own ID for its name, and what it stands on is noted in the journal entry
//! of the container's owner. All guards of an image share one init layer, whose name stands in the record of the image's
//! top layer, and their own layer has no short names. [`complete_writable`](LayerStore::complete_writable) adds what
//! Docker expects when one is to stay.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::store::{LayerStore, directory_names};
use super::{init, metadata};
use crate::archive::{Form, XattrKind};
use crate::data_root::{InFlight, Lock, atomic, journal};
use crate::error::{Attempt as _, ErrorKind, Fault, Result};
use crate::layer::metadata::MountRecord;
use crate::spec::digest::ChainId;
use crate::spec::id::{CacheId, ContainerId};
use crate::sys::within::{ENTER, within};

/// How long another program may take to make the init layer that we want too.
const INIT_PATIENCE: Duration = Duration::from_secs(60);

/// What a container's root file system is mounted from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WritableLayer {
    /// The directory that takes the changes.
    pub upper: PathBuf,
    /// The directory overlay works in; `None` if `upper` holds everything and is mounted as it is.
    pub work: Option<PathBuf>,
    /// The directories that, laid over each other, show what was there before: the init layer and the image's layers.
    pub below: Vec<PathBuf>,
    /// The program that lays them over each other, where it is not the kernel.
    pub program: Option<PathBuf>,
    /// The name under the storage driver.
    pub mount_id: CacheId,
    /// The image's top layer; `None` for a container without an image.
    pub parent: Option<ChainId>,
}

impl WritableLayer {
    /// The directories that, laid over each other, show the container's files; the top one first.
    pub(crate) fn stack(&self) -> Vec<PathBuf> {
        let below = if self.work.is_some() { &self.below[..] } else { &[] };
        std::iter::once(&self.upper).chain(below).cloned().collect()
    }

    /// The tree that `upper` began as a copy of; `None` if it began empty.
    pub(super) fn base(&self) -> Option<&Path> {
        if self.work.is_some() { None } else { self.below.first().map(PathBuf::as_path) }
    }
}

impl LayerStore {
    /// Makes the writable layer of a guard above `parent`, which `owner` notes: the entry of the one who makes it. It does
    /// not survive a loss of power.
    ///
    /// # Errors
    /// `AlreadyExists` if the container has one. Nothing is left behind.
    pub(crate) fn create_writable(
        &self,
        container: &ContainerId,
        parent: Option<&ChainId>,
        owner: &mut InFlight,
    ) -> Result<WritableLayer> {
        if self.record(container)?.is_some() {
            return Err(Refusal::Exists { container: container.clone() }.into());
        }
        let below: Vec<CacheId> = {
            let _held = self.root().lock(Lock::Layers)?;
            let below = self.stack(parent)?;
            if let Some(parent) = parent {
                owner.note(parent.as_str())?;
            }
            below.into_iter().map(|layer| layer.cache_id).collect()
        };
        let mount_id = CacheId::from(container);
        let init_id = match parent {
            Some(chain) => self.shared_init(chain, &below)?,
            None => mount_id.init(),
        };
        let record = MountRecord { init_id: Some(init_id), mount_id, parent: parent.cloned(), fork_of: None };
        match self.make_directories(&record, &below) {
            Ok(()) => self.layer_of(record, below),
            Err(error) => Err(match self.remove_directories(&record) {
                Ok(()) => error,
                Err(failure) => error.with_clean_up(failure),
            }),
        }
    }

    fn make_directories(&self, record: &MountRecord, below: &[CacheId]) -> Result<()> {
        let own = record.mount_id.init();
        let init_id = record.init_id.as_ref().unwrap_or(&own);
        if *init_id == own {
            self.create_init(init_id, below)?;
        }
        self.driver().create_unnamed(&record.mount_id, init_id)
    }

    /// Makes the writable layer of a container one that Docker knows how to use, and that survives a loss of power.
    pub(crate) fn complete_writable(&self, container: &ContainerId) -> Result<()> {
        let directory = self.root().layer_mounts(container);
        let Some(record) = self.record(container)? else { return Ok(()) };
        let own = record.mount_id.init();
        // Whoever finds the entry without its holder removes an init layer that no record names.
        let entry = self.root().in_flight(record.mount_id.as_str(), Duration::ZERO)?;
        self.try_complete(&directory, &record, &own).map_err(|error| match self.remove_unused_init(&record.mount_id) {
            Ok(()) => error,
            Err(failure) => {
                entry.abandon();
                error.with_clean_up(failure)
            }
        })
    }

    fn try_complete(&self, directory: &Path, record: &MountRecord, own: &CacheId) -> Result<()> {
        if record.init_id.as_ref() != Some(own) {
            self.driver().remove(own)?;
            match (self.driver().form(), &record.init_id) {
                // What the container began as a copy of.
                (Form::Whole, Some(shared)) => self.driver().create(own, Some(shared))?,
                _ => self.create_init(own, &self.below(record)?)?,
            }
        }
        self.driver().complete(&record.mount_id, own)?;
        // Everything so far was made to go with its program.
        self.sync(&record.mount_id)?;
        self.allow_mounts(&record.mount_id)?;
        if directory.exists() {
            return self.root().write(&directory.join("init-id"), own.as_str().as_bytes(), 0o644);
        }
        let (write_set, durability) = (self.root().write_set(&record.mount_id), self.root().durability());
        self.root().discard(&write_set)?;
        atomic::create_directory(&write_set, 0o755)?;
        let record = MountRecord { init_id: Some(own.clone()), ..record.clone() };
        metadata::write_mount(&write_set, &record, durability)?;
        atomic::sync_directory(&write_set, durability).attempt(|| format!("sync {write_set:?}"))?;
        match atomic::publish(&write_set, directory, durability)? {
            true => Ok(()),
            // Only one owns the container.
            false => self.root().discard(&write_set),
        }
    }

    /// The init layer that guards above `chain` share; made by the first of them.
    fn shared_init(&self, chain: &ChainId, below: &[CacheId]) -> Result<CacheId> {
        let record = self.root().chain_dir(chain);
        let existing = || -> Result<Option<CacheId>> {
            let known = metadata::read_shared_init(&record)?;
            Ok(known.filter(|id| self.driver().exists(id)))
        };
        if let Some(id) = existing()? {
            return Ok(id);
        }
        let mut entry = self.root().in_flight(&format!("init-{}", chain.hex()), INIT_PATIENCE)?;
        if let Some(id) = existing()? {
            return Ok(id);
        }
        self.remove_unfinished_init(chain.hex(), entry.left())?;
        let id = CacheId::random()?.init();
        entry.note(id.as_str())?;
        let make = || -> Result<()> {
            self.create_init(&id, below)?;
            self.root().write(&record.join(metadata::SHARED_INIT), id.as_str().as_bytes(), 0o600)
        };
        match make() {
            Ok(()) => Ok(id),
            Err(error) => Err(match self.driver().remove(&id) {
                Ok(()) => error,
                Err(failure) => error.with_clean_up(failure),
            }),
        }
    }

    fn create_init(&self, id: &CacheId, below: &[CacheId]) -> Result<()> {
        self.driver().create(id, below.first())?;
        let image = super::view::View::new(self.driver().lowers(below)?, self.xattrs());
        let files = self.driver().files(id)?;
        within(|| init::fill(&files, &image)).attempt(|| ENTER)?
    }

    /// Removes the shared init layer `id` of a chain that somebody noted who ended in the middle.
    pub(super) fn remove_unfinished_init(&self, chain: &str, id: &str) -> Result<()> {
        let (Ok(chain), Ok(id)) = (ChainId::parse(&format!("sha256:{chain}")), CacheId::parse(id)) else {
            return Ok(());
        };
        match metadata::read_shared_init(&self.root().chain_dir(&chain))? {
            Some(published) if published == id => Ok(()),
            _ => self.driver().remove(&id),
        }
    }

    /// Removes what a completion has left that ended in the middle: a record that is in no place, and the own init layer of
    /// a container that shares its image's.
    pub(super) fn remove_unused_init(&self, mount_id: &CacheId) -> Result<()> {
        self.root().discard(&self.root().write_set(mount_id))?;
        let own = mount_id.init();
        for container in self.writable_ids()? {
            if self.record(&container)?.is_some_and(|record| record.init_id.as_ref() == Some(&own)) {
                return Ok(());
            }
        }
        self.driver().remove(&own)
    }

    /// The writable layer of a container; `None` if it has none.
    ///
    /// # Errors
    /// `Corrupt` if its record or a layer below is damaged.
    pub(crate) fn writable(&self, container: &ContainerId) -> Result<Option<WritableLayer>> {
        let Some(record) = self.record(container)? else { return Ok(None) };
        let below = self.below(&record)?;
        self.layer_of(record, below).map(Some)
    }

    /// What a container's layer consists of: its record, or what is known of a guard's.
    pub(super) fn record(&self, container: &ContainerId) -> Result<Option<MountRecord>> {
        if let Some(record) = metadata::read_mount(&self.root().layer_mounts(container))? {
            return Ok(Some(record));
        }
        let mount_id = CacheId::from(container);
        if !self.driver().exists(&mount_id) {
            return Ok(None);
        }
        // One that nobody owns is to stay, and has lost its record.
        let Some(note) = self.root().note_of(&journal::owner(container))? else { return Ok(None) };
        let mut lines = note.lines();
        let parent = lines.next().and_then(|line| ChainId::parse(line).ok());
        let fork_of = lines.next().and_then(|line| ContainerId::parse(line).ok());
        let init_id = match &parent {
            // The frozen layer has one below it.
            _ if fork_of.is_some() => None,
            Some(chain) => metadata::read_shared_init(&self.root().chain_dir(chain))?,
            None => Some(mount_id.init()),
        };
        Ok(Some(MountRecord { mount_id, init_id, parent, fork_of }))
    }

    /// The containers that have a writable layer.
    pub(crate) fn writable_ids(&self) -> Result<Vec<ContainerId>> {
        let recorded = directory_names(&self.root().mounts_dir())?;
        let mut ids: BTreeSet<_> = recorded.iter().filter_map(|name| ContainerId::parse(name).ok()).collect();
        let owned = self.root().entries()?;
        let owned = owned.iter().filter_map(|name| journal::owned(name));
        ids.extend(owned.filter(|id| self.driver().exists(&CacheId::from(id))));
        Ok(ids.into_iter().collect())
    }

    pub(super) fn layer_of(&self, record: MountRecord, below: Vec<CacheId>) -> Result<WritableLayer> {
        let stack: Vec<CacheId> = record.init_id.into_iter().chain(below).collect();
        Ok(WritableLayer {
            upper: self.driver().files(&record.mount_id)?,
            work: self.driver().work(&record.mount_id),
            below: self.driver().lowers(&stack)?,
            program: self.driver().program().map(Path::to_owned),
            mount_id: record.mount_id,
            parent: record.parent,
        })
    }

    /// Removes the writable layer of a container; one that is missing is removed already.
    pub(crate) fn remove_writable(&self, container: &ContainerId) -> Result<()> {
        let directory = self.root().layer_mounts(container);
        let Some(record) = metadata::read_mount(&directory)? else {
            let mount_id = CacheId::from(container);
            self.driver().remove(&mount_id)?;
            // Of a guard without an image, or one that was to stay.
            let own = mount_id.init();
            return if self.root().layer_dir(&own).exists() { self.driver().remove(&own) } else { Ok(()) };
        };
        // From the moment the record is gone, the journal is what remembers the directories.
        let _entry = self.root().in_flight(record.mount_id.as_str(), Duration::ZERO)?;
        self.root().discard(&directory)?;
        self.remove_directories(&record)
    }

    /// Lets Docker mount a layer that a guard's volatile mount has used, or still uses.
    ///
    /// The kernel's mark for "may be incomplete" is read by the next mount alone; what it warns of, a loss of power before
    /// everything is written, cannot have been if everything is written now (Linux, filesystems/overlayfs.rst).
    pub(crate) fn allow_mounts(&self, mount_id: &CacheId) -> Result<()> {
        match self.mark(mount_id) {
            Some(mark) if self.is_marked(mount_id) => self.root().discard(&mark),
            _ => Ok(()),
        }
    }

    /// Whether that mark is there, in a store that Docker can use.
    pub(crate) fn is_marked(&self, mount_id: &CacheId) -> bool {
        // Only root reads the directory it is in, and only root's stores are Docker's.
        self.xattrs() == XattrKind::Trusted && self.mark(mount_id).is_some_and(|mark| mark.exists())
    }

    fn mark(&self, mount_id: &CacheId) -> Option<PathBuf> {
        self.driver().work(mount_id).map(|work| work.join("work/incompat"))
    }

    /// Empties the work directory of a stopped container: overlay refuses one that a volatile mount has used.
    pub(crate) fn reset_work(&self, layer: &WritableLayer) -> Result<()> {
        let Some(work) = &layer.work else { return Ok(()) };
        self.root().discard(work)?;
        atomic::create_directory(work, 0o700)
    }

    pub(super) fn remove_directories(&self, record: &MountRecord) -> Result<()> {
        self.driver().remove(&record.mount_id)?;
        // A shared one goes with its image.
        let own = record.mount_id.init();
        if record.init_id.as_ref() == Some(&own) {
            self.driver().remove(&own)?;
        }
        self.root().discard(&self.root().write_set(&record.mount_id))
    }
}

#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("create the writable layer of container {container}: it has one already")]
    Exists { container: ContainerId },
}

impl Fault for Refusal {
    fn kind(&self) -> ErrorKind {
        ErrorKind::AlreadyExists
    }
}
