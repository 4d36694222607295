//! How much a tree, and a container, takes on disk.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::archive::Form;
use crate::container::store::Store;
use crate::error::{Attempt, Result};
use crate::layer::WritableLayer;
use crate::spec::id::ContainerId;
use crate::sys::within::{ENTER, within};

/// Bytes of a container: of its writable layer, and of its log and other files.
pub(super) fn sizes_of_container(store: &Store, id: &ContainerId) -> Result<[u64; 2]> {
    let writable = match store.layers().writable(id)? {
        None => 0,
        Some(layer) if store.layers().driver().form() == Form::Changes => size_of_tree(&layer.upper),
        // The directory holds the image as well.
        Some(layer) => size_of_changes(store, &layer)?,
    };
    Ok([writable, size_of_tree(&store.root().container_dir(id))])
}

fn size_of_changes(store: &Store, layer: &WritableLayer) -> Result<u64> {
    let changes = store.layers().changes(layer)?;
    let paths = changes.iter().filter_map(|change| change.path().strip_prefix("/").ok());
    let mut size = Size::default();
    // A directory counts nothing itself, and what has changed in it is told separately.
    let count = || {
        for path in paths {
            size.add(&layer.upper.join(path));
        }
        size.bytes
    };
    within(count).attempt(|| ENTER)
}

/// Bytes of the files below `path`, holes included, each hard-linked one once: as Docker counts. What cannot be read, or
/// goes meanwhile, counts 0.
pub(super) fn size_of_tree(path: &Path) -> u64 {
    within(|| size_here(path)).unwrap_or(0)
}

fn size_here(path: &Path) -> u64 {
    let mut size = Size::default();
    let mut pending = vec![path.to_owned()];
    while let Some(path) = pending.pop() {
        if size.add(&path).is_some_and(|metadata| metadata.is_dir()) {
            pending.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
    }
    size.bytes
}

/// A sum of sizes.
#[derive(Default)]
struct Size {
    bytes: u64,
    /// Files with several names that are counted.
    linked: HashSet<(u64, u64)>,
}

impl Size {
    /// Counts a file. Directories are not counted: an empty tree is one that holds nothing.
    fn add(&mut self, path: &Path) -> Option<Metadata> {
        let metadata = fs::symlink_metadata(path).ok()?;
        if !metadata.is_dir() && (metadata.nlink() == 1 || self.linked.insert((metadata.dev(), metadata.ino()))) {
            self.bytes += metadata.len();
        }
        Some(metadata)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn linked_files_count_once_and_links_are_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let tree = directory.path().join("tree");
        fs::create_dir_all(tree.join("below")).unwrap();
        assert_eq!(size_of_tree(&tree), 0);
        fs::write(tree.join("file"), [1; 10_000]).unwrap();
        assert_eq!(size_of_tree(&tree), 10_000);
        fs::hard_link(tree.join("file"), tree.join("below/again")).unwrap();
        std::os::unix::fs::symlink("/", tree.join("root")).unwrap();
        assert_eq!(size_of_tree(&tree), 10_000 + 1, "the link itself has the length of its text");
        assert_eq!(size_of_tree(&directory.path().join("missing")), 0);
    }
}
