//! The volume store.
//!
//! ```text
//! volumes/<name>/        0701
//! ├── _data/             0755 at first, then what its first user makes of it
//! ├── opts.json          Docker's, for volumes with a device or options
//! └── plywood.json       0600  labels and time of creation, which Docker keeps in metadata.db
//! ```
//!
//! A volume exists once `_data` or `opts.json` does, as for Docker 29. [`Lock::Volumes`] is held to create and remove;
//! whoever fills a volume for the first time holds the journal's entry `populate-<name>`.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Volume;
use crate::data_root::{DataRoot, Lock, atomic};
use crate::error::{Attempt as _, Error, ErrorKind, Fault, Result};
use crate::spec::name::VolumeName;
use crate::spec::time::Timestamp;

/// More than all labels of a volume can reasonably take.
const MAX_RECORD: usize = 1 << 20;

/// `plywood.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Record {
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Timestamp>,
    labels: BTreeMap<String, String>,
    /// What a later version has added.
    #[serde(flatten)]
    further: serde_json::Map<String, serde_json::Value>,
}

/// The volumes of one data root. Cloning is cheap.
#[derive(Debug, Clone)]
pub(crate) struct VolumeStore {
    pub(super) root: DataRoot,
}

impl VolumeStore {
    /// Opens the store.
    pub(crate) fn open(root: &DataRoot) -> Self {
        Self { root: root.clone() }
    }

    /// Makes a volume.
    ///
    /// # Errors
    /// `AlreadyExists` if the name is taken.
    pub(crate) fn create(&self, name: &VolumeName, labels: BTreeMap<String, String>) -> Result<Volume> {
        let _held = self.root.lock(Lock::Volumes)?;
        if self.exists(name) {
            return Err(Refusal::Exists { name: name.clone() }.into());
        }
        self.make(name, labels)
    }

    /// The volume of that name, made without labels if there is none.
    pub(crate) fn get_or_create(&self, name: &VolumeName) -> Result<Volume> {
        if let Some(volume) = self.get(name)? {
            return Ok(volume);
        }
        let _held = self.root.lock(Lock::Volumes)?;
        match self.get(name)? {
            Some(volume) => Ok(volume),
            None => self.make(name, BTreeMap::new()),
        }
    }

    /// The volume of that name.
    pub(crate) fn get(&self, name: &VolumeName) -> Result<Option<Volume>> {
        if self.exists(name) { self.read(name).map(Some) } else { Ok(None) }
    }

    /// All volumes, by name.
    pub(crate) fn list(&self) -> Result<Vec<Volume>> {
        let directory = self.root.volumes_dir();
        let names = || -> io::Result<Vec<String>> {
            std::fs::read_dir(&directory)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
        };
        let mut names = names().attempt(|| format!("read directory {directory:?}"))?;
        names.sort_unstable();
        let mut volumes = Vec::new();
        // `metadata.db` and the like have no `_data`.
        for name in names.iter().filter_map(|name| VolumeName::parse(name).ok()) {
            volumes.extend(self.get(&name)?);
        }
        Ok(volumes)
    }

    /// Removes a volume and its content. Whether a container uses it, the caller knows.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub(crate) fn remove(&self, name: &VolumeName) -> Result<()> {
        let _held = self.root.lock(Lock::Volumes)?;
        if !self.exists(name) {
            return Err(Refusal::Missing { name: name.clone() }.into());
        }
        self.root.discard(&self.root.volume_dir(name))
    }

    fn exists(&self, name: &VolumeName) -> bool {
        let is_directory = |path: &Path| path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
        // A link in place of a volume would lead out of the store.
        is_directory(&self.root.volume_dir(name))
            && (is_directory(&self.root.volume_data(name)) || self.root.volume_dir(name).join("opts.json").exists())
    }

    fn make(&self, name: &VolumeName, labels: BTreeMap<String, String>) -> Result<Volume> {
        let directory = self.root.volume_dir(name);
        atomic::create_directory(&directory, 0o701)?;
        let record = Record { created_at: Some(Timestamp::now()), labels, ..Record::default() };
        let json = serde_json::to_vec(&record).map_err(|error| {
            Error::new(ErrorKind::InvalidArgument, format_args!("write the labels of volume \"{name}\""))
                .with_source(error)
        })?;
        self.root.write(&directory.join("plywood.json"), &json, 0o600)?;
        // The volume exists from here on.
        atomic::create_directory(&self.root.volume_data(name), 0o755)?;
        for directory in [&directory, &self.root.volumes_dir()] {
            atomic::sync_directory(directory, self.root.durability()).attempt(|| format!("sync {directory:?}"))?;
        }
        self.read(name)
    }

    fn read(&self, name: &VolumeName) -> Result<Volume> {
        let path = self.root.volume_dir(name).join("plywood.json");
        let record = match atomic::read_text(&path, MAX_RECORD)? {
            Some(text) => serde_json::from_str(&text).map_err(|error| {
                Error::new(ErrorKind::Corrupt, format_args!("read {path:?}: {error}")).with_path(&path)
            })?,
            None => Record::default(),
        };
        Ok(Volume {
            name: name.clone(),
            path: self.root.volume_data(name),
            labels: record.labels,
            created: record.created_at,
        })
    }
}

#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("create volume \"{name}\": a volume of that name exists")]
    Exists { name: VolumeName },
    #[error("remove volume \"{name}\": there is no volume of that name")]
    Missing { name: VolumeName },
}

impl Fault for Refusal {
    fn kind(&self) -> ErrorKind {
        match self {
            Refusal::Exists { .. } => ErrorKind::AlreadyExists,
            Refusal::Missing { .. } => ErrorKind::NotFound,
        }
    }
}
