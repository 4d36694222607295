//! The data root: the directory that holds everything, laid out as Docker's. With the storage driver overlay2:
//!
//! ```text
//! <root>/                                     0710
//! ├── overlay2/                               0710  the storage driver's home
//! │   ├── l/<link>                            0700  short names: symlinks to ../<cache-id>/diff
//! │   └── <cache-id>/                         0710  diff link [lower work committed]
//! ├── image/overlay2/                         0700
//! │   ├── imagedb/content/sha256/<image-id>   0600  image configurations, verbatim
//! │   ├── imagedb/metadata/sha256/<image-id>/ 0700  parent lastUpdated builtLocally
//! │   ├── layerdb/sha256/<chain-id>/          0700  diff size cache-id [parent tar-split.json.gz]
//! │   ├── layerdb/mounts/<container-id>/      0755  mount-id init-id parent; of containers that stay
//! │   ├── layerdb/tmp/write-set-<cache-id>/   0700  a layer's metadata before its rename
//! │   ├── distribution/                       0700  a cache about registries
//! │   └── repositories.json                   0600  tags
//! ├── image/plywood.lock                      0600  the store lock
//! ├── image/plywood/                          0700  what only plywood knows
//! │   ├── events/{current,previous}          0600  what has happened
//! │   ├── container-ids                       0600  which ids root's containers have in a user namespace
//! │   ├── id-map                              0600  whose ids the files have, unless they are root's
//! │   ├── in-flight/<name>                    0600  one file for each object in the making
//! │   ├── labels                              0600  there while labels of volumes are missing from metadata.db
//! │   ├── locks/<name>                        0600  further locks
//! │   └── trash/<random>                            trees on their way out
//! ├── image/plywood-cache/                    0700  the build cache
//! ├── containers/<container-id>/              0710  config.v2.json hostconfig.json <id>-json.log …
//! └── volumes/                                0701
//!     ├── <name>/_data/                       0755
//!     └── metadata.db                         0600  labels; locked: shared by us, exclusively by a dockerd
//! ```
//!
//! This module knows where things are and nothing of what they mean; no other file spells a path of the layout. Modes
//! are never looser than the table: a looser one found is tightened at open. Nothing lives in `tmp/`, which dockerd
//! empties at every start.
//!
//! A data root belongs to one user. Made by root it can be opened by a dockerd when no plywood has it open, and by
//! plywood when no dockerd runs on it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Result;
use crate::spec::digest::{ChainId, ImageId};
use crate::spec::id::{CacheId, ContainerId};
use crate::spec::name::VolumeName;

pub(crate) mod atomic;
pub(crate) mod events;
mod ids;
mod interlock;
pub(crate) mod journal;
pub(crate) mod lock;
mod open;
mod trash;
pub(crate) mod used;

pub(crate) use journal::InFlight;
pub(crate) use lock::{Held, Lock, Locked, Share};
pub(crate) use open::DRIVERS;

/// How much a finished operation survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Durability {
    /// What an operation has reported as done survives a loss of power.
    #[default]
    Full,
    /// What an operation has reported as done survives the end of the process, whatever ended it, but a loss of power
    /// may damage the store: for tests and throw-away stores.
    Fast,
}

/// An open data root. Cloning is cheap; dockerd is kept out until the last clone is dropped.
#[derive(Debug, Clone)]
pub(crate) struct DataRoot(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    driver: &'static str,
    durability: Durability,
    gates: lock::Gates,
    /// Tells the next `open` whether this one ended in order.
    _session: InFlight,
    /// LOCK_SH on `volumes/metadata.db`: while it is held, no dockerd starts here.
    interlock: lock::Locked,
}

impl DataRoot {
    /// Opens the data root at `path` and makes what is missing of it. `choose` says which storage driver names its
    /// directories, and what is given back with it, once it is known to be a data root.
    ///
    /// # Errors
    /// `InvalidArgument` for a directory with foreign content, `Unsupported` for a store in containerd's format, `InUse` while a
    /// dockerd runs on it, `PermissionDenied` if it belongs to another user or cannot be written.
    pub(crate) fn open_with<T>(
        path: &Path,
        durability: Durability,
        choose: impl FnOnce(&Path) -> Result<(&'static str, T)>,
    ) -> Result<(DataRoot, T)> {
        open::open(path, durability, choose)
    }

    /// The same, with overlay2.
    #[cfg(test)]
    pub(crate) fn open(path: &Path, durability: Durability) -> Result<DataRoot> {
        Self::open_with(path, durability, |_| Ok(("overlay2", ()))).map(|(root, ())| root)
    }

    /// The directory itself, absolute.
    pub(crate) fn path(&self) -> &Path {
        &self.0.path
    }

    /// The storage driver that names the directories, such as `overlay2`.
    pub(crate) fn driver(&self) -> &'static str {
        self.0.driver
    }

    /// What this root was opened for.
    pub(crate) fn durability(&self) -> Durability {
        self.0.durability
    }

    fn gates(&self) -> &lock::Gates {
        &self.0.gates
    }

    /// Writes a file of the store in one step; see [`atomic::write`].
    pub(crate) fn write(&self, path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
        atomic::write(path, bytes, mode, self.durability())
    }

    // ---- overlay2/

    /// `overlay2/`.
    pub(crate) fn driver_home(&self) -> PathBuf {
        self.path().join(self.driver())
    }

    /// The directory of layers: `overlay2/`, `vfs/dir/` or `btrfs/subvolumes/`.
    pub(crate) fn layers_dir(&self) -> PathBuf {
        layers_dir(self.path(), self.driver())
    }

    /// `overlay2/<cache-id>/`.
    pub(crate) fn layer_dir(&self, id: &CacheId) -> PathBuf {
        self.layers_dir().join(id.as_str())
    }

    /// `overlay2/l/`.
    pub(crate) fn links_dir(&self) -> PathBuf {
        self.driver_home().join("l")
    }

    // ---- image/<driver>/

    /// `image/overlay2/`.
    pub(crate) fn image_dir(&self) -> PathBuf {
        self.path().join("image").join(self.driver())
    }

    /// `image/overlay2/imagedb/content/sha256/`.
    pub(crate) fn image_configs_dir(&self) -> PathBuf {
        self.image_dir().join("imagedb/content/sha256")
    }

    /// `image/overlay2/imagedb/content/sha256/<image-id>`.
    pub(crate) fn image_config(&self, id: &ImageId) -> PathBuf {
        self.image_configs_dir().join(id.hex())
    }

    /// `image/overlay2/imagedb/metadata/sha256/<image-id>/`.
    pub(crate) fn image_metadata_dir(&self, id: &ImageId) -> PathBuf {
        self.image_dir().join("imagedb/metadata/sha256").join(id.hex())
    }

    /// `image/overlay2/repositories.json`.
    pub(crate) fn repositories(&self) -> PathBuf {
        self.image_dir().join("repositories.json")
    }

    /// `image/overlay2/layerdb/sha256/`.
    pub(crate) fn chains_dir(&self) -> PathBuf {
        self.image_dir().join("layerdb/sha256")
    }

    /// `image/overlay2/layerdb/sha256/<chain-id>/`.
    pub(crate) fn chain_dir(&self, id: &ChainId) -> PathBuf {
        self.chains_dir().join(id.hex())
    }

    /// `image/overlay2/layerdb/tmp/write-set-<cache-id>/`: the metadata of a layer before its rename.
    pub(crate) fn write_set(&self, id: &CacheId) -> PathBuf {
        self.image_dir().join("layerdb/tmp").join(format!("write-set-{}", id.as_str()))
    }

    /// `image/overlay2/layerdb/mounts/`.
    pub(crate) fn mounts_dir(&self) -> PathBuf {
        self.image_dir().join("layerdb/mounts")
    }

    /// `image/overlay2/layerdb/mounts/<container-id>/`.
    pub(crate) fn layer_mounts(&self, id: &ContainerId) -> PathBuf {
        self.mounts_dir().join(id.as_str())
    }

    // ---- containers/

    /// `containers/`.
    pub(crate) fn containers_dir(&self) -> PathBuf {
        self.path().join("containers")
    }

    /// `containers/<container-id>/`.
    pub(crate) fn container_dir(&self, id: &ContainerId) -> PathBuf {
        self.containers_dir().join(id.as_str())
    }

    /// `containers/<container-id>/config.v2.json`.
    pub(crate) fn container_config(&self, id: &ContainerId) -> PathBuf {
        self.container_dir(id).join("config.v2.json")
    }

    /// `containers/<container-id>/plywood.json`: what Docker has no field for.
    pub(crate) fn container_state(&self, id: &ContainerId) -> PathBuf {
        self.container_dir(id).join("plywood.json")
    }

    /// `containers/<container-id>/<container-id>-json.log`.
    pub(crate) fn container_log(&self, id: &ContainerId) -> PathBuf {
        self.container_dir(id).join(format!("{}-json.log", id.as_str()))
    }

    // ---- volumes/

    /// `volumes/`.
    pub(crate) fn volumes_dir(&self) -> PathBuf {
        self.path().join("volumes")
    }

    /// `volumes/<name>/`.
    pub(crate) fn volume_dir(&self, name: &VolumeName) -> PathBuf {
        self.volumes_dir().join(name.as_str())
    }

    /// `volumes/<name>/_data/`.
    pub(crate) fn volume_data(&self, name: &VolumeName) -> PathBuf {
        self.volume_dir(name).join("_data")
    }

    /// `volumes/metadata.db`: the labels of volumes, for Docker; its lock is the interlock.
    pub(crate) fn volume_database(&self) -> PathBuf {
        self.volumes_dir().join("metadata.db")
    }

    // ---- image/plywood: what only plywood knows

    /// `image/plywood/`.
    pub(crate) fn own_dir(&self) -> PathBuf {
        own_dir(self.path())
    }

    /// `image/plywood/labels`: there while labels of volumes are not yet in `volumes/metadata.db`.
    pub(crate) fn unmerged_labels(&self) -> PathBuf {
        self.own_dir().join("labels")
    }

    /// `image/plywood/leases/`: a file for each container that programs share.
    pub(crate) fn leases_dir(&self) -> PathBuf {
        self.own_dir().join("leases")
    }

    /// `image/plywood/trash/`.
    pub(crate) fn trash_dir(&self) -> PathBuf {
        trash::directory(self.path())
    }

    /// `image/plywood/in-flight/<name>`.
    pub(crate) fn entry_path(&self, name: &str) -> PathBuf {
        journal::directory(self.path()).join(name)
    }

    /// `image/plywood-cache/`.
    pub(crate) fn build_cache_dir(&self) -> PathBuf {
        self.path().join("image/plywood-cache")
    }

    /// `image/plywood-cache/steps/`.
    pub(crate) fn build_steps_dir(&self) -> PathBuf {
        self.build_cache_dir().join("steps")
    }
}

/// Where a storage driver keeps its layers.
fn layers_dir(root: &Path, driver: &str) -> PathBuf {
    let home = root.join(driver);
    match driver {
        "vfs" => home.join("dir"),
        "btrfs" => home.join("subvolumes"),
        _ => home,
    }
}

fn own_dir(root: &Path) -> PathBuf {
    root.join("image/plywood")
}

#[cfg(test)]
mod tests;
