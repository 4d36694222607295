//! Removal of trees: out of sight by one rename, then piece by piece.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::{DataRoot, Locked, own_dir};
use crate::error::{Attempt as _, Result};
use crate::spec::id::random_hex64;
use crate::sys;

impl DataRoot {
    /// Removes the tree at `path`; one that is missing is removed already.
    ///
    /// The tree is gone from `path` at once or not at all. What a crash leaves of it lies in `image/plywood/trash/` and is
    /// removed at the next open.
    pub(crate) fn discard(&self, path: &Path) -> Result<()> {
        self.discard_held(path, None)
    }

    /// The same for a directory that the caller has locked, to which nobody comes before it is out of sight.
    pub(crate) fn discard_held(&self, path: &Path, held: Option<Locked>) -> Result<()> {
        let random = random_hex64().attempt(|| "read random bytes")?;
        let grave = directory(self.path()).join(random);
        let doomed = match std::fs::rename(path, &grave) {
            Ok(()) => grave,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            // A part of the root may be a mount of its own: then there is nowhere to move the tree to.
            // Or there is no room for one more name.
            Err(error) if matches!(error.kind(), io::ErrorKind::CrossesDevices | io::ErrorKind::StorageFull) => {
                path.to_owned()
            }
            Err(error) => return Err(error).attempt(|| format!("remove {path:?}")),
        };
        // What is locked is left to whoever has locked it.
        drop(held);
        bury(&doomed).attempt(|| format!("remove {path:?}"))
    }

    /// Removes what removals that ended in the middle have left. A tree that resists stays and is tried again next time.
    pub(crate) fn empty_trash(&self) -> Result<()> {
        let trash = directory(self.path());
        let graves =
            || -> io::Result<Vec<PathBuf>> { std::fs::read_dir(&trash)?.map(|entry| Ok(entry?.path())).collect() };
        for grave in graves().attempt(|| format!("read directory {trash:?}"))? {
            if let Err(error) = bury(&grave) {
                tracing::warn!(path = ?grave, %error, "a removed tree could not be deleted");
            }
        }
        Ok(())
    }
}

pub(super) fn directory(root: &Path) -> PathBuf {
    own_dir(root).join("trash")
}

/// Deletes `tree`, unless someone else is at it.
fn bury(tree: &Path) -> io::Result<()> {
    // A directory can be locked as well as a file; one that cannot be opened is not locked by anyone.
    let guard = File::open(tree).ok();
    if guard.as_ref().is_some_and(|guard| matches!(guard.try_lock(), Err(std::fs::TryLockError::WouldBlock))) {
        return Ok(());
    }
    match (tree.parent(), tree.file_name()) {
        (Some(directory), Some(name)) => sys::fs::remove_tree(sys::fs::open_directory(directory)?, name),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}
