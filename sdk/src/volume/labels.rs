//! The labels of volumes in `volumes/metadata.db`, where Docker has them.
//!
//! ```text
//! bucket "volumes": <name> → {"Name":"data","Driver":"local","Labels":{"k":"v"},"Options":null}
//! ```
//!
//! The file's lock is what keeps dockerd out, so it is never replaced by another, and only written by somebody who is alone.
//! Labels go to the volume's own `plywood.json` first, and the file `image/plywood/labels` says that some are not here yet.
//! They are brought over when the data root is closed, or opened the next time.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::bolt::{Change, Database, Entries, Malformed};
use super::store::VolumeStore;
use crate::data_root::{Durability, Lock, atomic};
use crate::error::{Attempt as _, ErrorKind, Fault, Result};
use crate::spec::name::VolumeName;

/// Some hundred thousand volumes; more is no database of volumes.
const MAX_SIZE: u64 = 64 << 20;

const BUCKET: &str = "volumes";

/// Docker's driver of volumes that are directories of the data root.
const LOCAL: &str = "local";

/// A volume's labels.
pub(super) type Labels = BTreeMap<String, String>;

/// One value of the bucket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Entry {
    name: String,
    driver: String,
    labels: Option<Labels>,
    options: Option<serde_json::Value>,
    /// What a later Docker has added.
    #[serde(flatten)]
    further: serde_json::Map<String, serde_json::Value>,
}

impl Default for Entry {
    fn default() -> Self {
        let further = serde_json::Map::new();
        Self { name: String::new(), driver: LOCAL.to_owned(), labels: None, options: None, further }
    }
}

#[derive(Debug, thiserror::Error)]
enum LabelFault {
    #[error("read the labels of volumes in {path:?}: {why}")]
    Malformed { path: PathBuf, why: Malformed },
    #[error("read the labels of volumes in {path:?}: it has more than {MAX_SIZE} bytes")]
    Large { path: PathBuf },
    #[error("read the labels of volumes in {path:?}: the entry of volume {name:?} is malformed: {why}")]
    Entry { path: PathBuf, name: String, why: serde_json::Error },
}

impl Fault for LabelFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Large { .. } => ErrorKind::LimitExceeded,
            Self::Malformed { .. } | Self::Entry { .. } => ErrorKind::Corrupt,
        }
    }

    fn path(&self) -> Option<&Path> {
        let (Self::Malformed { path, .. } | Self::Large { path } | Self::Entry { path, .. }) = self;
        Some(path)
    }
}

impl VolumeStore {
    /// The labels that Docker has for each volume, those included that are gone.
    ///
    /// # Errors
    /// `Corrupt` if the file or an entry is damaged.
    pub(crate) fn docker_labels(&self) -> Result<BTreeMap<String, Labels>> {
        let bytes = self.database()?;
        let labels = self.entries(&bytes)?.1.into_iter().map(|(name, entry)| (name, entry.labels.unwrap_or_default()));
        Ok(labels.collect())
    }

    /// Notes that the labels of volumes are not all in the file.
    pub(super) fn expect_merge(&self) -> Result<()> {
        let mark = self.root.unmerged_labels();
        let make = || match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&mark) {
            // It is empty, so whole as soon as it is there.
            Ok(_) => atomic::sync_directory(&self.root.own_dir(), self.root.durability()),
            // Only somebody who is alone takes it away.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        };
        make().attempt(|| format!("write {mark:?}"))
    }

    /// Brings the labels of our volumes over to Docker's file, if some are missing there and nobody else is here.
    ///
    /// # Errors
    /// `InUse` if a dockerd has come between. What else fails is told in the log, and tried again next time.
    pub(crate) fn merge_labels(&self) -> Result<()> {
        let mark = self.root.unmerged_labels();
        if !mark.exists() {
            return Ok(());
        }
        let _held = self.root.lock(Lock::Volumes)?;
        let merge = |file: &File| -> Result<()> {
            self.merge(file)?;
            std::fs::remove_file(&mark).attempt(|| format!("remove {mark:?}"))
        };
        // An error of the merge leaves the lock as it was; one of the lock does not.
        if let Some(Err(error)) = self.root.when_alone(|file| Ok(merge(file)))? {
            tracing::warn!("the labels of volumes are not there for Docker: {error}");
        }
        Ok(())
    }

    fn merge(&self, file: &File) -> Result<()> {
        let bytes = self.database()?;
        let (mut raw, entries) = self.entries(&bytes)?;
        let before = raw.clone();
        // Docker forgets those that are gone when it starts; who never starts it would keep each that ever was.
        raw.retain(|name, _| {
            let name = String::from_utf8_lossy(name);
            let is_local = entries.get(&*name).is_some_and(|entry| entry.driver == LOCAL);
            !is_local
                || VolumeName::parse(&name).is_ok_and(|name| self.root.volume_dir(&name).symlink_metadata().is_ok())
        });
        for name in self.names()? {
            let Some(labels) = self.record(&name)?.map(|record| record.labels) else { continue };
            let known = entries.get(name.as_str()).cloned();
            if known.as_ref().and_then(|entry| entry.labels.as_ref()).unwrap_or(&Labels::new()) != &labels {
                let entry = Entry { name: name.to_string(), labels: Some(labels), ..known.unwrap_or_default() };
                let json = serde_json::to_vec(&entry).map_err(|why| LabelFault::Entry {
                    path: self.root.volume_database(),
                    name: name.to_string(),
                    why,
                })?;
                raw.insert(name.as_str().as_bytes().to_vec(), json);
            }
        }
        if raw == before {
            return Ok(());
        }
        let malformed = |why| LabelFault::Malformed { path: self.root.volume_database(), why };
        let database = Database::open(&bytes).map_err(malformed)?;
        let change = Change::new(database.as_ref(), BUCKET, &raw).map_err(malformed)?;
        self.write(file, &change).attempt(|| format!("write {:?}", self.root.volume_database()))
    }

    fn write(&self, file: &File, change: &Change) -> std::io::Result<()> {
        let length = file.metadata()?.len();
        if length == 0 {
            // By one call: a part of it would be no bolt file to anybody, and there is no earlier state to fall back to.
            let mut whole = Vec::new();
            for (offset, page) in change.pages.iter().chain(&change.metas) {
                let offset = usize::try_from(*offset).map_err(std::io::Error::other)?;
                whole.resize(whole.len().max(offset + page.len()), 0);
                whole[offset..offset + page.len()].copy_from_slice(page);
            }
            whole.resize(whole.len().max(usize::try_from(change.length).map_err(std::io::Error::other)?), 0);
            file.write_all_at(&whole, 0)?;
            return if self.root.durability() == Durability::Full { file.sync_all() } else { Ok(()) };
        }
        if length < change.length {
            file.set_len(change.length)?;
        }
        for pages in [&change.pages, &change.metas] {
            pages.iter().try_for_each(|(offset, page)| file.write_all_at(page, *offset))?;
            if self.root.durability() == Durability::Full {
                file.sync_all()?;
            }
        }
        Ok(())
    }

    fn database(&self) -> Result<Vec<u8>> {
        let path = self.root.volume_database();
        let attempt = || format!("read {path:?}");
        let mut bytes = Vec::new();
        if let Some(file) = atomic::open_file(&path).attempt(attempt)? {
            file.take(MAX_SIZE + 1).read_to_end(&mut bytes).attempt(attempt)?;
        }
        match bytes.len() as u64 > MAX_SIZE {
            true => Err(LabelFault::Large { path }.into()),
            false => Ok(bytes),
        }
    }

    /// What the file holds, as it is and as it is meant.
    fn entries(&self, bytes: &[u8]) -> Result<(Entries, BTreeMap<String, Entry>)> {
        let path = || self.root.volume_database();
        let malformed = |why| LabelFault::Malformed { path: path(), why };
        let Some(database) = Database::open(bytes).map_err(malformed)? else { return Ok(Default::default()) };
        let raw = database.bucket(BUCKET).map_err(malformed)?;
        let mut entries = BTreeMap::new();
        for (name, value) in &raw {
            let name = String::from_utf8_lossy(name).into_owned();
            let entry = serde_json::from_slice(value);
            let entry = entry.map_err(|why| LabelFault::Entry { path: path(), name: name.clone(), why })?;
            entries.insert(name, entry);
        }
        Ok((raw, entries))
    }
}
