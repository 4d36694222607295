//! Names of containers: which are taken.
//!
//! A name stands in the container's `config.v2.json` and nowhere else, so that there is nothing to disagree with. It is
//! taken under [`Lock::Containers`]; those of containers in the making count. What was read once is read again when
//! the file is another.

use std::collections::{HashMap, HashSet};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::store::{CONFIG_FILE, Store, ids_in, read_json};
use crate::data_root::{Held, Lock};
use crate::error::Result;
use crate::spec::id::ContainerId;

/// The names that this program has read.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<HashMap<ContainerId, (Stamp, String)>>);

impl Names {
    fn known(&self) -> MutexGuard<'_, HashMap<ContainerId, (Stamp, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What tells a file from the one that replaces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(found: &Metadata) -> Self {
        Self { inode: found.ino(), size: found.len(), changed: (found.mtime(), found.mtime_nsec()) }
    }
}

/// As much of `config.v2.json` as finding a name takes.
#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    #[serde(default)]
    name: String,
}

impl Store {
    /// Locks the names of containers.
    pub(crate) fn lock_names(&self) -> Result<Held> {
        self.root().lock(Lock::Containers)
    }

    /// Whether a container is called `name`, complete or in the making.
    pub(super) fn is_taken(&self, name: &str) -> Result<Option<ContainerId>> {
        let mut seen = HashSet::new();
        // In the order in which a container moves: one that is published meanwhile is found in the second at the latest.
        for directory in [self.staging(), self.root().containers_dir()] {
            for id in ids_in(&directory)? {
                // A file that cannot be read has no name that Docker would see either.
                if self.name_in(&directory, &id).is_ok_and(|found| found.as_deref() == Some(name)) {
                    return Ok(Some(id));
                }
                seen.insert(id);
            }
        }
        self.names().known().retain(|id, _| seen.contains(id));
        Ok(None)
    }

    /// The name of a container whose directory is in `directory`, without the slash before it; `None` if there is none.
    pub(super) fn name_in(&self, directory: &Path, id: &ContainerId) -> Result<Option<String>> {
        let path = directory.join(id.as_str()).join(CONFIG_FILE);
        let Ok(found) = path.metadata() else { return Ok(None) };
        let stamp = Stamp::of(&found);
        if let Some((_, name)) = self.names().known().get(id).filter(|(known, _)| *known == stamp) {
            return Ok(Some(name.clone()));
        }
        let Some(named) = read_json::<Named>(&path)? else { return Ok(None) };
        let name = named.name.strip_prefix('/').unwrap_or(&named.name).to_owned();
        self.names().known().insert(id.clone(), (stamp, name.clone()));
        Ok(Some(name))
    }
}
