//! A layer in the making.
//!
//! It has its final place under the driver from the start, but no record: nobody finds it. The journal knows it, so a
//! process that ends in the middle leaves nothing for good: not the layer in the making, and not the finished one that
//! no image has come to use.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use super::Layer;
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
    work: Option<PathBuf>,
    base: Option<PathBuf>,
    /// Its entry in the journal; `None` once the layer is published.
    entry: Option<InFlight>,
}

impl StagedLayer {
    /// Makes the directories of a layer above that in the directory `below`.
    pub(super) fn new(
        store: &LayerStore,
        cache_id: CacheId,
        parent: Option<ChainId>,
        entry: InFlight,
        below: Option<&CacheId>,
    ) -> Result<Self> {
        let work = store.driver().work(&cache_id);
        let mut staged =
            Self { store: store.clone(), cache_id, parent, diff: PathBuf::new(), work, base: None, entry: Some(entry) };
        store.driver().create(&staged.cache_id, below)?;
        staged.diff = store.driver().files(&staged.cache_id)?;
        staged.base = store.base(staged.parent.as_ref())?;
        Ok(staged)
    }

    /// The directory to put the layer's files in: whiteouts encoded as overlay does, or in the place of those below.
    pub(crate) fn diff(&self) -> &Path {
        &self.diff
    }

    /// The directory for overlay's own use when [`diff`](Self::diff) is mounted as the upper one. It exists only above a
    /// parent: overlay cannot be mounted without a lower directory. `None`: [`diff`](Self::diff) is mounted as it is.
    pub(crate) fn work(&self) -> Option<&Path> {
        self.work.as_deref()
    }

    /// The tree that [`diff`](Self::diff) began as a copy of; `None` if it began empty.
    pub(super) fn base(&self) -> Option<&Path> {
        self.base.as_deref()
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

    /// Notes as what the layer is about to be published.
    pub(super) fn note(&mut self, chain: &ChainId) -> Result<()> {
        let parent = self.parent.as_ref().map_or("", ChainId::as_str);
        let text = format!("{parent}\n{UNCLAIMED_LAYER}{chain}");
        self.entry.iter_mut().try_for_each(|entry| entry.note(&text))
    }

    /// The layer is published: it stays.
    pub(super) fn publish(mut self, layer: Layer) -> Imported {
        Imported { layer, entry: self.entry.take() }
    }
}

/// How a line of the journal begins that names a layer which goes unless something has come to use it.
pub(crate) const UNCLAIMED_LAYER: &str = "layer ";

/// A layer that came in, and until this is dropped its entry in the journal.
///
/// Whoever brings a layer in holds this until an image, a container or the build cache names the layer: if the process
/// ends before, the next one removes it.
#[derive(Debug)]
pub(crate) struct Imported {
    layer: Layer,
    /// `None` if the store had the layer before.
    entry: Option<InFlight>,
}

impl Imported {
    /// A layer that the store had.
    pub(super) fn known(layer: Layer) -> Self {
        Self { layer, entry: None }
    }

    /// Whether the store did not have the layer before.
    pub(crate) fn is_new(&self) -> bool {
        self.entry.is_some()
    }
}

impl Deref for Imported {
    type Target = Layer;

    fn deref(&self) -> &Layer {
        &self.layer
    }
}

impl From<Imported> for Layer {
    /// The layer is used from now on.
    fn from(imported: Imported) -> Self {
        imported.layer
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
