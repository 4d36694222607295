//! How much a tree, and a container, takes on disk.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::container::store::Store;
use crate::error::Result;
use crate::spec::id::ContainerId;
use crate::sys::within::within;

/// Bytes of a container on disk: its files and its writable layer.
pub(super) fn container_size(store: &Store, id: &ContainerId) -> Result<u64> {
    let writable = store.layers().writable(id)?.map_or(0, |layer| size_of_tree(&layer.upper));
    Ok(writable + size_of_tree(&store.root().container_dir(id)))
}

/// stat(2): `st_blocks` counts in units of this, whatever the file system's own are.
const BLOCK: u64 = 512;

/// Bytes that the files below `path` take, each hard-linked one once. What cannot be read, or goes meanwhile, counts 0.
pub(super) fn size_of_tree(path: &Path) -> u64 {
    within(|| size_here(path)).unwrap_or(0)
}

fn size_here(path: &Path) -> u64 {
    let mut linked = HashSet::new();
    let mut pending = vec![path.to_owned()];
    let mut bytes = 0;
    while let Some(path) = pending.pop() {
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if metadata.is_dir() {
            // Directories are not counted: an empty tree is one that holds nothing.
            pending.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        } else if metadata.nlink() == 1 || linked.insert((metadata.dev(), metadata.ino())) {
            bytes += metadata.blocks() * BLOCK;
        }
    }
    bytes
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
        let single = size_of_tree(&tree);
        assert!(single >= 10_000, "{single}");
        fs::hard_link(tree.join("file"), tree.join("below/again")).unwrap();
        std::os::unix::fs::symlink("/", tree.join("root")).unwrap();
        assert!(size_of_tree(&tree) - single <= 4096, "{}", size_of_tree(&tree));
        assert_eq!(size_of_tree(&directory.path().join("missing")), 0);
    }
}
