//! What others take for the same.

use std::path::Path;
use std::time::Instant;

use crate::Cost;
use crate::disk::run;
use crate::docker::Docker;

/// Unpacks a layer with `tar`.
pub fn extract(layer: &Path, target: &Path) {
    run("tar", ["-x".as_ref(), "-f".as_ref(), layer.as_os_str(), "-C".as_ref(), target.as_os_str()]);
}

/// The same, until it is on the disk.
pub fn extract_durably(layer: &Path, target: &Path) {
    extract(layer, target);
    sync(target);
}

/// Writes everything of the file system to the disk.
pub fn sync(path: &Path) {
    run("sync", ["-f".as_ref(), path.as_os_str()]);
}

/// Copies a file or a tree until it is on the disk.
pub fn copy_durably(from: &Path, to: &Path) {
    run("cp", ["-a".as_ref(), from.as_os_str(), to.as_os_str()]);
    sync(to);
}

/// Makes an archive of a tree with `tar`.
pub fn pack(tree: &Path, archive: &Path) {
    run("tar", ["-c".as_ref(), "-f".as_ref(), archive.as_os_str(), "-C".as_ref(), tree.as_os_str(), ".".as_ref()]);
}

/// Lets Docker load an image that it has not yet; `None` if this version does not read it.
pub fn load(docker: &Docker, archive: &Path) -> Option<Cost> {
    let begin = Instant::now();
    let loaded = docker.succeeds(&["load", "--input", archive.to_str().unwrap()]);
    let cost = Cost { wall: begin.elapsed(), processor: None };
    (loaded && docker.succeeds(&["rmi", "bench:1"])).then_some(cost)
}
