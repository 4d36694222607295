#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::data_root::{DataRoot, Durability, journal};
use crate::error::ErrorKind;
use crate::layer::writable::WritableLayer;
use crate::spec::digest::ChainId;
use crate::spec::id::ContainerId;

mod content;
mod writable;

struct Store {
    directory: tempfile::TempDir,
    root: DataRoot,
    layers: LayerStore,
}

fn store() -> Store {
    let directory = tempfile::tempdir().unwrap();
    let root = DataRoot::open(directory.path(), Durability::Fast).unwrap();
    let layers = LayerStore::open(&root).unwrap();
    Store { directory, root, layers }
}

impl Store {
    /// The same store as another process opens it after this one was killed.
    fn reopen(self) -> Store {
        let Store { directory, root, layers } = self;
        drop((root, layers));
        let root = DataRoot::open(directory.path(), Durability::Fast).unwrap();
        let layers = LayerStore::open(&root).unwrap();
        Store { directory, root, layers }
    }

    /// The writable layer of a guard, as the container's owner makes it.
    fn create_writable(&self, id: &ContainerId, parent: Option<&ChainId>) -> crate::Result<WritableLayer> {
        let mut owner = self.root.in_flight(&journal::owner(id), Duration::ZERO).unwrap();
        let made = self.layers.create_writable(id, parent, &mut owner);
        owner.abandon();
        made
    }

    /// Removes it, and the owner's entry.
    fn remove_writable(&self, id: &ContainerId) -> crate::Result<()> {
        let _owner = self.root.in_flight(&journal::owner(id), Duration::ZERO).unwrap();
        self.layers.remove_writable(id)
    }
}

fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap()
}

fn mode(path: impl AsRef<Path>) -> u32 {
    path.as_ref().symlink_metadata().unwrap().permissions().mode() & 0o7777
}

fn names(path: impl AsRef<Path>) -> Vec<String> {
    store::directory_names(path.as_ref()).unwrap()
}

#[test]
fn a_staged_layer_that_is_dropped_leaves_nothing() {
    let store = store();
    let staged = store.layers.stage(None).unwrap();
    fs::write(staged.diff().join("x"), "x").unwrap();
    assert_eq!(names(store.root.driver_home()).len(), 2);
    drop(staged);
    assert_eq!(names(store.root.driver_home()), ["l"]);
    assert_eq!(names(store.root.links_dir()), [""; 0]);
}

#[test]
fn a_layer_that_the_store_lacks_is_not_found() {
    let store = store();
    let chain = ChainId::parse(&format!("sha256:{}", "a".repeat(64))).unwrap();
    assert_eq!(store.layers.get(&chain).unwrap(), None);
    assert_eq!(store.layers.stage(Some(&chain)).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.layers.remove(&chain).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(names(store.root.driver_home()), ["l"]);
}
