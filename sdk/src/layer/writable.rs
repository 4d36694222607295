//! The writable layers of containers.
//!
//! ```text
//! layerdb/mounts/<container-id>/          overlay2/
//! ├── mount-id  ──────────────────────▶   ├── <mount-id>/       the container's own files
//! ├── init-id   ──────────────────────▶   ├── <mount-id>-init/  mount points and files every container has
//! └── parent    ChainID of the image      └── …                 the image's layers
//! ```
//!
//! A writable layer exists once its record has been renamed into place. The init layer keeps the mount points out of
//! what `docker diff` and a commit show.

use std::path::PathBuf;

use super::store::LayerStore;
use super::{init, metadata};
use crate::data_root::atomic;
use crate::error::{ErrorKind, Fault, Result};
use crate::layer::metadata::MountRecord;
use crate::spec::digest::ChainId;
use crate::spec::id::{CacheId, ContainerId};

/// What a container's root file system is mounted from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WritableLayer {
    /// The directory with the container's own files.
    pub upper: PathBuf,
    /// The directory overlay works in.
    pub work: PathBuf,
    /// The init layer and the image's layers, top first.
    pub lowers: Vec<PathBuf>,
    /// The name under the storage driver.
    pub mount_id: CacheId,
    /// The image's top layer; `None` for a container without an image.
    pub parent: Option<ChainId>,
}

impl LayerStore {
    /// Makes the writable layer of a container above `parent`.
    ///
    /// # Errors
    /// `AlreadyExists` if the container has one. Nothing is left behind.
    pub(crate) fn create_writable(&self, container: &ContainerId, parent: Option<&ChainId>) -> Result<WritableLayer> {
        let mount_id = CacheId::random()?;
        let (_entry, below) = self.register(&mount_id, parent)?;
        let record = MountRecord { init_id: Some(mount_id.init()), mount_id, parent: parent.cloned() };
        let below: Vec<CacheId> = below.into_iter().map(|layer| layer.cache_id).collect();
        match self.try_create(container, &record, &below) {
            Ok(()) => Ok(self.layer_of(record, below)),
            Err(error) => Err(match self.remove_directories(&record) {
                Ok(()) => error,
                Err(failure) => error.with_clean_up(failure),
            }),
        }
    }

    fn try_create(&self, container: &ContainerId, record: &MountRecord, below: &[CacheId]) -> Result<()> {
        let init_id = record.mount_id.init();
        self.driver().create(&init_id, below.first())?;
        let image = super::view::View::new(self.driver().lowers(below), self.xattrs());
        init::fill(&self.driver().diff_dir(&init_id), &image)?;
        self.driver().create(&record.mount_id, Some(&init_id))?;
        let write_set = self.root().write_set(&record.mount_id);
        atomic::create_directory(&write_set, 0o755)?;
        metadata::write_mount(&write_set, record, self.root().durability())?;
        if atomic::publish(&write_set, &self.root().layer_mounts(container), self.root().durability())? {
            Ok(())
        } else {
            Err(Refusal::Exists { container: container.clone() }.into())
        }
    }

    /// The writable layer of a container; `None` if it has none.
    ///
    /// # Errors
    /// `Corrupt` if its record or a layer below is damaged.
    pub(crate) fn writable(&self, container: &ContainerId) -> Result<Option<WritableLayer>> {
        let Some(record) = metadata::read_mount(&self.root().layer_mounts(container))? else { return Ok(None) };
        let below = self.stack(record.parent.as_ref())?.into_iter().map(|layer| layer.cache_id).collect();
        Ok(Some(self.layer_of(record, below)))
    }

    fn layer_of(&self, record: MountRecord, below: Vec<CacheId>) -> WritableLayer {
        let stack: Vec<CacheId> = record.init_id.into_iter().chain(below).collect();
        WritableLayer {
            upper: self.driver().diff_dir(&record.mount_id),
            work: self.driver().work_dir(&record.mount_id),
            lowers: self.driver().lowers(&stack),
            mount_id: record.mount_id,
            parent: record.parent,
        }
    }

    /// Removes the writable layer of a container; one that is missing is removed already.
    pub(crate) fn remove_writable(&self, container: &ContainerId) -> Result<()> {
        let directory = self.root().layer_mounts(container);
        let Some(record) = metadata::read_mount(&directory)? else { return Ok(()) };
        // From the moment the record is gone, the journal is what remembers the directories.
        let _entry = self.root().in_flight(record.mount_id.as_str(), std::time::Duration::ZERO)?;
        self.root().discard(&directory)?;
        self.remove_directories(&record)
    }

    /// Empties the work directory of a stopped container: overlay refuses one that a volatile mount has used.
    pub(crate) fn reset_work(&self, layer: &WritableLayer) -> Result<()> {
        self.root().discard(&layer.work)?;
        atomic::create_directory(&layer.work, 0o700)
    }

    fn remove_directories(&self, record: &MountRecord) -> Result<()> {
        self.driver().remove(&record.mount_id)?;
        record.init_id.as_ref().map_or(Ok(()), |init_id| self.driver().remove(init_id))?;
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
