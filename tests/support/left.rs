//! What programs that were killed have left in a store.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

/// The names in a directory.
///
/// # Panics
/// If it cannot be read.
pub fn names(directory: &Path) -> BTreeSet<String> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// What is in a store beside its image, and must go with its containers.
///
/// # Panics
/// If it cannot be read.
pub fn left(root: &Path) -> Vec<String> {
    let mut left = Vec::new();
    for directory in [
        "containers",
        "image/plywood/containers",
        "image/plywood/trash",
        "image/overlay2/layerdb/mounts",
        "image/overlay2/layerdb/tmp",
    ] {
        left.extend(names(&root.join(directory)).into_iter().map(|name| format!("{directory}/{name}")));
    }
    let records = root.join("image/overlay2/layerdb/sha256");
    // A layer, and what the guards above it share.
    let named = |layer: String| {
        ["cache-id", "plywood-init"].map(|file| fs::read_to_string(records.join(&layer).join(file)).unwrap_or_default())
    };
    let layers: BTreeSet<String> = names(&records).into_iter().flat_map(named).collect();
    let directories = names(&root.join("overlay2"));
    left.extend(directories.difference(&layers).filter(|name| *name != "l").map(|name| format!("overlay2/{name}")));
    let links = root.join("overlay2/l");
    let dangling = names(&links).into_iter().filter(|link| !links.join(link).exists());
    left.extend(dangling.map(|link| format!("overlay2/l/{link}")));
    let volumes = names(&root.join("volumes"));
    left.extend(volumes.into_iter().filter(|name| name.len() == 64).map(|name| format!("volumes/{name}")));
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    left.extend(mounts.lines().filter(|line| line.contains(root.to_str().unwrap())).map(str::to_owned));
    left
}

/// Waits until nobody holds the containers of a store any more: neither their program nor its reaper.
///
/// # Panics
/// If the store cannot be read.
pub fn await_reaper(root: &Path) -> Duration {
    let journal = root.join("image/plywood/in-flight");
    let begun = Instant::now();
    for name in names(&journal).iter().filter(|name| name.starts_with("owner-")) {
        // It may have gone meanwhile.
        if let Ok(entry) = File::open(journal.join(name)) {
            entry.lock().unwrap();
        }
    }
    begun.elapsed()
}
