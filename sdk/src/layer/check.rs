//! What a check of the store has to know of layers beyond what their users do.

use std::collections::HashSet;

use super::content::TAR_SPLIT;
use super::store::LayerStore;
use super::{Layer, metadata};
use crate::data_root::atomic;
use crate::error::Result;
use crate::spec::id::{CacheId, ContainerId};

/// The longest number, and some.
const LONGEST_SIZE: usize = 64;

impl LayerStore {
    /// The directories under the driver that some record names. A record that cannot be read names none.
    pub(crate) fn directories(&self) -> Result<HashSet<CacheId>> {
        let mut ids = HashSet::new();
        for name in super::store::directory_names(&self.root().chains_dir())? {
            let record = self.root().chains_dir().join(name);
            ids.extend(metadata::read_cache_id(&record).ok().flatten());
            ids.extend(metadata::read_shared_init(&record).ok().flatten());
        }
        for container in self.writable_ids()? {
            if let Ok(Some(record)) = metadata::read_mount(&self.root().layer_mounts(&container)) {
                ids.extend(record.init_id);
                ids.insert(record.mount_id);
            }
        }
        Ok(ids)
    }

    /// The init layer of a container.
    pub(crate) fn init_of(&self, container: &ContainerId) -> Result<Option<CacheId>> {
        Ok(metadata::read_mount(&self.root().layer_mounts(container))?.and_then(|record| record.init_id))
    }

    /// Whether Docker can rebuild the archive of a layer.
    pub(crate) fn is_reproducible(&self, layer: &Layer) -> bool {
        self.root().chain_dir(layer.chain_id()).join(TAR_SPLIT).is_file()
    }

    /// The size of a layer as its record has it, letter by letter.
    pub(crate) fn recorded_size(&self, layer: &Layer) -> Result<String> {
        let path = self.root().chain_dir(layer.chain_id()).join("size");
        Ok(atomic::read_text(&path, LONGEST_SIZE)?.unwrap_or_default())
    }

    /// Corrects the recorded size of a layer, in bytes.
    pub(crate) fn record_size(&self, layer: &Layer, size: u64) -> Result<()> {
        self.root().write(&self.root().chain_dir(layer.chain_id()).join("size"), size.to_string().as_bytes(), 0o644)
    }
}
