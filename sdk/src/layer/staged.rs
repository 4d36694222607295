//! A layer in the making.
//!
//! It has its final place under the driver from the start, but no record: nobody finds it. The journal knows it, so a
//! process that ends in the middle leaves nothing for good.

use std::path::{Path, PathBuf};

use super::store::LayerStore;
use crate::data_root::{InFlight, atomic};
use crate::error::Result;
use crate::spec::digest::ChainId;
use crate::spec::id::CacheId;

/// The directories of a layer that is not published yet. Dropping it removes them.
#[derive(Debug)]
pub(crate) struct StagedLayer {
    pub(super) store: LayerStore,
    pub(super) cache_id: CacheId,
    pub(super) parent: Option<ChainId>,
    diff: PathBuf,
    work: PathBuf,
    /// Its entry in the journal; `None` once the layer is published.
    entry: Option<InFlight>,
}

impl StagedLayer {
    pub(super) fn new(store: &LayerStore, cache_id: CacheId, parent: Option<ChainId>, entry: InFlight) -> Self {
        let (diff, work) = (store.driver().diff_dir(&cache_id), store.driver().work_dir(&cache_id));
        Self { store: store.clone(), cache_id, parent, diff, work, entry: Some(entry) }
    }

    /// The directory to put the layer's files in, whiteouts encoded as overlay does.
    pub(crate) fn diff(&self) -> &Path {
        &self.diff
    }

    /// The directory for overlay's own use when [`diff`](Self::diff) is mounted as the upper one. It exists only above a
    /// parent: overlay cannot be mounted without a lower directory.
    pub(crate) fn work(&self) -> &Path {
        &self.work
    }

    /// The directory for the layer's records, made on the first call.
    pub(super) fn write_set(&self) -> Result<PathBuf> {
        let path = self.store.root().write_set(&self.cache_id);
        atomic::create_directory(&path, 0o700)?;
        Ok(path)
    }

    /// Leaves everything as a process does that is killed here.
    #[cfg(test)]
    pub(super) fn crash(mut self) {
        self.entry.take().into_iter().for_each(InFlight::abandon);
    }

    /// The layer is published: it stays.
    pub(super) fn keep(mut self) {
        self.entry = None;
    }
}

impl Drop for StagedLayer {
    fn drop(&mut self) {
        let Some(entry) = self.entry.take() else { return };
        let removed = self.store.driver().remove(&self.cache_id);
        let removed = removed.and_then(|()| self.store.root().discard(&self.store.root().write_set(&self.cache_id)));
        if let Err(error) = removed {
            // The journal keeps it, and the next open tries again.
            tracing::warn!(layer = %self.cache_id, %error, "a layer that was given up could not be removed");
            entry.abandon();
        }
    }
}
