//! Data roots that go with their engine.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Attempt, Result};
use crate::sys;

/// How the directories begin.
const PREFIX: &str = "plywood-temp-";

/// A directory younger than this may be one whose maker has not locked it yet.
const GRACE: Duration = Duration::from_secs(10);

/// A directory `plywood-temp-<random>/` with the data root `root/` in it. Its owner holds a lock on the directory.
#[derive(Debug)]
pub(super) struct TemporaryRoot {
    directory: PathBuf,
    root: PathBuf,
    _lock: File,
}

impl TemporaryRoot {
    /// Makes one in `parent`, and removes those there whose owners are dead.
    pub(super) fn new(parent: &Path) -> Result<Self> {
        sweep(parent);
        let attempt = || format!("create a temporary data root in {parent:?}");
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent).attempt(attempt)?.keep();
        let lock = File::open(&directory).attempt(attempt)?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).attempt(attempt)?;
        let root = directory.join("root");
        Ok(Self { directory, root, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.root
    }
}

impl Drop for TemporaryRoot {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.directory) {
            tracing::warn!("the temporary data root {:?} could not be removed: {error}", self.directory);
        }
    }
}

/// Removes what killed programs of this user have left. What resists is left to the next one.
fn sweep(parent: &Path) {
    let user = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if !entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        // Neither a link nor a directory of somebody else.
        let Ok(metadata) = entry.metadata() else { continue };
        let is_old = metadata.modified().is_ok_and(|time| time.elapsed().is_ok_and(|age| age > GRACE));
        if !metadata.is_dir() || metadata.uid() != user || !is_old {
            continue;
        }
        let Ok(lock) = File::open(entry.path()) else { continue };
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => continue,
        }
        if let Err(error) = remove(&entry.path()) {
            tracing::debug!("a left temporary data root {:?} stays: {error}", entry.path());
        }
    }
}

fn remove(directory: &Path) -> std::io::Result<()> {
    match (directory.parent(), directory.file_name()) {
        (Some(parent), Some(name)) => sys::fs::remove_tree(sys::fs::open_directory(parent)?, name),
        _ => Err(std::io::ErrorKind::InvalidInput.into()),
    }
}
