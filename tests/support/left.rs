//! What a store shows, and what lies in it and belongs to nothing: there must be none after a clean-up.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

use plywood::Engine;
use plywood::fsck::Problem;
use plywood::image::Target;

use crate::Layout;

/// The names in a directory; one that is missing has none.
pub fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// What is in a store beside its images and its `containers`: half-made and half-removed objects, directories without a
/// record, short names that lead nowhere, unfinished files, mounts.
pub fn leftovers(root: &Path, containers: &[String]) -> Vec<String> {
    let known: BTreeSet<&str> = containers.iter().map(String::as_str).collect();
    let layout = Layout::at(root);
    let (records, mounts) = (layout.image("layerdb/sha256"), layout.image("layerdb/mounts"));
    let mut left = Vec::new();
    let mut add = |directory: &str, name: String| left.push(format!("{directory}/{name}"));
    for directory in ["image/plywood/containers", "image/plywood/trash", &layout.image("layerdb/tmp")] {
        names(&root.join(directory)).into_iter().for_each(|name| add(directory, name));
    }
    for directory in ["containers", &mounts] {
        let others = names(&root.join(directory)).into_iter().filter(|name| !known.contains(name.as_str()));
        others.for_each(|name| add(directory, name));
    }
    // A layer, and what the guards above it share; a container's layer, and the one below it.
    let read =
        |path: &Path, files: [&str; 2]| files.map(|file| fs::read_to_string(path.join(file)).unwrap_or_default());
    let mut layers: BTreeSet<String> = BTreeSet::from(["l".to_owned()]);
    for name in names(&root.join(&records)) {
        layers.extend(read(&root.join(&records).join(&name), ["cache-id", "plywood-init"]));
        if name.ends_with("-removing") {
            add(&records, name);
        }
    }
    for name in names(&root.join(&mounts)) {
        layers.extend(read(&root.join(&mounts).join(&name), ["mount-id", "init-id"]));
    }
    names(&layout.layers()).difference(&layers).for_each(|name| add(layout.home(), name.clone()));
    let links = layout.layers().join("l");
    names(&links).into_iter().filter(|link| !links.join(link).exists()).for_each(|link| add("l", link));
    for name in names(&root.join("volumes")) {
        let has_data = root.join("volumes").join(&name).join("_data").exists();
        if name != "metadata.db" && !has_data {
            add("volumes", name);
        }
    }
    unfinished(root, root, &mut left);
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let inside = format!("{}/", root.display());
    left.extend(mounts.lines().filter(|line| line.contains(&inside)).map(str::to_owned));
    left
}

/// What a user sees, without what is random.
///
/// # Panics
/// If the store cannot be read.
pub fn visible(engine: &Engine) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for image in engine.images().unwrap_or_else(|error| panic!("{error:?}")) {
        let name = image.references().first().map_or("none".to_owned(), ToString::to_string);
        seen.insert(format!("image {name} of {} layers", image.layers().len()));
        seen.extend(image.references().iter().map(|reference| format!("tag {reference}")));
    }
    for container in engine.containers().unwrap_or_else(|error| panic!("{error:?}")) {
        seen.insert(format!(
            "container {} {:?}",
            container.name(),
            container.state().unwrap_or_else(|error| panic!("{error:?}"))
        ));
    }
    for volume in engine.volumes().unwrap_or_else(|error| panic!("{error:?}")) {
        let name = Some(volume.name().as_str()).filter(|name| name.len() < 64).unwrap_or("without a name");
        seen.insert(format!("volume {name} {:?}", volume.labels()));
    }
    seen
}

/// Everything that is visible can be used, and nothing else is there.
///
/// # Panics
/// If it is not so; `at` says when.
pub fn assert_sound(engine: &Engine, at: &str) {
    let report = engine.fsck().unwrap_or_else(|error| panic!("{at}: {error:?}"));
    // A container that stays has the mark of its volatile mount until it starts again.
    let findings: Vec<_> = report.findings().iter().filter(|it| *it.problem() != Problem::Volatile).collect();
    assert!(findings.is_empty(), "{at}: {findings:#?}");
    for image in engine.images().unwrap_or_else(|error| panic!("{error:?}")) {
        // Reads each layer and compares its digest.
        engine.save(&[image.id().as_str()], Target::writer(std::io::sink())).unwrap_or_else(|e| panic!("{at}: {e:?}"));
    }
    let containers: Vec<_> =
        engine.containers().unwrap_or_else(|error| panic!("{error:?}")).iter().map(|it| it.id().to_string()).collect();
    assert_eq!(leftovers(engine.path(), &containers), Vec::<String>::new(), "{at}");
    let usage = engine.disk_usage().unwrap_or_else(|error| panic!("{error:?}"));
    // Layers that neither an image nor a record of the build cache names; the cache's own files are few.
    let recorded = names(&engine.path().join("image/plywood-cache/steps")).len();
    assert!(recorded > 0 || usage.build_cache() == 0, "{at}: layers are left that nothing names");
    let owned = |name: &str| name.starts_with("session-") || name.starts_with("owner-");
    let journal: Vec<_> =
        names(&engine.path().join("image/plywood/in-flight")).into_iter().filter(|it| !owned(it)).collect();
    assert_eq!(journal, Vec::<String>::new(), "{at}");
}

/// What is in a store beside its image, and must go with its containers.
pub fn left(root: &Path) -> Vec<String> {
    let without_name = names(&root.join("volumes")).into_iter().filter(|name| name.len() == 64);
    leftovers(root, &[]).into_iter().chain(without_name.map(|name| format!("volumes/{name}"))).collect()
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

/// Finds the files that are called as unfinished ones are, outside of layers and volumes.
fn unfinished(root: &Path, directory: &Path, left: &mut Vec<String>) {
    for name in names(directory) {
        let path = directory.join(&name);
        if name.starts_with(".tmp-") {
            left.push(path.strip_prefix(root).unwrap_or(&path).display().to_string());
        } else if path.is_dir() && !path.is_symlink() && !["diff", "work", "_data"].contains(&name.as_str()) {
            unfinished(root, &path, left);
        }
    }
}
