//! What the tests of this module share: a store on a temporary data root, and archives made on the spot.
#![allow(clippy::unwrap_used)]

use tempfile::TempDir;

use super::images::Images;
use crate::data_root::{DataRoot, Durability};
use crate::layer::LayerStore;
use crate::spec::reference::Reference;

/// A store of its own.
pub(super) struct Store {
    pub(super) directory: TempDir,
    pub(super) images: Images,
}

impl Store {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = DataRoot::open(&directory.path().join("root"), Durability::Fast).unwrap();
        let layers = LayerStore::open(&root).unwrap();
        Self { images: Images::new(&root, &layers), directory }
    }
}

pub(super) fn reference(name: &str) -> Reference {
    Reference::parse(name).unwrap()
}
