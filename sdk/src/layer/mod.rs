//! Layers: read-only changesets of images, and the writable layers of containers.

use std::fmt;

use crate::spec::digest::{ChainId, DiffId};
use crate::spec::id::CacheId;

pub(crate) mod attributes;
pub(crate) mod changes;
mod check;
mod content;
mod export;
mod fork;
mod init;
mod known;
mod metadata;
pub(crate) mod staged;
pub(crate) mod store;
mod sweep;
pub(crate) mod view;
pub(crate) mod writable;

pub(crate) use staged::{Imported, StagedLayer, UNCLAIMED_LAYER};
pub(crate) use store::LayerStore;
pub(crate) use writable::WritableLayer;

/// The most layers an image may have, in Docker and here.
pub(crate) const MAX_DEPTH: usize = 125;

/// One read-only changeset of an image, as it lies in the store.
#[derive(Clone, PartialEq, Eq)]
pub struct Layer {
    chain_id: ChainId,
    diff_id: DiffId,
    parent: Option<ChainId>,
    cache_id: CacheId,
    size: u64,
}

impl Layer {
    /// The digest of the stack that ends with this layer: its name in the store.
    pub fn chain_id(&self) -> &ChainId {
        &self.chain_id
    }

    /// The digest of the layer's uncompressed tar.
    pub fn diff_id(&self) -> &DiffId {
        &self.diff_id
    }

    /// The stack this layer stands on; `None` for the lowest.
    pub fn parent(&self) -> Option<&ChainId> {
        self.parent.as_ref()
    }

    /// The name of its directory under the storage driver.
    pub fn cache_id(&self) -> &CacheId {
        &self.cache_id
    }

    /// Bytes of its files, each hard-linked file counted once; without the layers below.
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layer")
            .field("chain_id", &self.chain_id)
            .field("diff_id", &self.diff_id)
            .field("parent", &self.parent)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
