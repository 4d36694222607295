//! The volume store.
//!
//! ```text
//! volumes/<name>/        0701
//! ├── _data/             0755 at first, then what its first user makes of it
//! ├── opts.json          Docker's, for volumes with a device or options
//! └── plywood.json       0600  time of creation, and the labels, which Docker keeps in metadata.db
//! ```
//!
//! A volume exists once `_data` or `opts.json` does, as for Docker 29. [`Lock::Volumes`] is held to create and remove;
//! whoever makes a volume holds the journal's entry `volume-<name>`, and whoever fills one for the first time
//! `populate-<name>`. Copies of volumes, `fork.rs` tells of.
//!
//! The flock(2) on the directory of a volume holds its content still: whoever copies or removes it has it alone, and whoever
//! writes to it shares it, for as long as nothing else tells of him. A container that runs is recorded as running, so that it
//! has the lock until that is written only. It is taken after [`Lock::Containers`] and before [`Lock::Volumes`].

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Volume;
use super::labels::Labels;
use crate::data_root::{DataRoot, InFlight, Lock, Locked, Share, atomic, lock};
use crate::error::{Attempt as _, Error, ErrorKind, Fault, Result};
use crate::spec::name::VolumeName;
use crate::spec::time::Timestamp;

/// More than all labels of a volume can reasonably take.
const MAX_RECORD: usize = 1 << 20;

/// How the entries of volumes in the making begin in the journal.
const IN_THE_MAKING: &str = "volume-";

/// How long to wait for whoever copies or fills a volume that is to go.
const COPY_PATIENCE: Duration = Duration::from_secs(60);

/// Whoever opens the store holds the entries of others for a moment, to see whether they are abandoned.
pub(super) const ENTRY_PATIENCE: Duration = Duration::from_secs(1);

/// `plywood.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Record {
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Timestamp>,
    pub(super) labels: Labels,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    snapshot: bool,
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
    pub(crate) fn create(&self, name: &VolumeName, labels: Labels) -> Result<Volume> {
        let _held = self.root.lock(Lock::Volumes)?;
        self.check_free(name)?;
        self.make(name, labels)
    }

    /// Refuses a name that is taken.
    pub(super) fn check_free(&self, name: &VolumeName) -> Result<()> {
        if self.exists(name) { Err(Refusal::Exists { name: name.clone() }.into()) } else { Ok(()) }
    }

    /// Locks the content of a volume; `None` if there is none of that name.
    ///
    /// # Errors
    /// `Timeout` if somebody has the lock all that time: the message names him.
    pub(crate) fn lock(&self, name: &VolumeName, share: Share, patience: Duration) -> Result<Option<Locked>> {
        if !self.exists(name) {
            return Ok(None);
        }
        Ok(lock::directory(&self.root.volume_dir(name), share, patience)?.filter(|_| self.exists(name)))
    }

    /// The same for a volume that must be there.
    pub(super) fn lock_present(
        &self,
        attempt: &'static str,
        name: &VolumeName,
        share: Share,
        patience: Duration,
    ) -> Result<Locked> {
        let missing = || Refusal::Missing { attempt, name: name.clone() };
        Ok(self.lock(name, share, patience)?.ok_or_else(missing)?)
    }

    /// The volume of that name, made without labels if there is none.
    pub(crate) fn get_or_create(&self, name: &VolumeName) -> Result<Volume> {
        self.get_or_make(name, Labels::new)
    }

    /// The same for a volume that goes with a container.
    pub(crate) fn get_or_create_anonymous(&self, name: &VolumeName) -> Result<Volume> {
        self.get_or_make(name, || Labels::from([(Volume::ANONYMOUS.to_owned(), String::new())]))
    }

    fn get_or_make(&self, name: &VolumeName, labels: impl FnOnce() -> Labels) -> Result<Volume> {
        if let Some(volume) = self.get(name)? {
            return Ok(volume);
        }
        let _held = self.root.lock(Lock::Volumes)?;
        match self.get(name)? {
            Some(volume) => Ok(volume),
            None => self.make(name, labels()),
        }
    }

    /// The volume of that name.
    pub(crate) fn get(&self, name: &VolumeName) -> Result<Option<Volume>> {
        if self.exists(name) { self.read(name).map(Some) } else { Ok(None) }
    }

    /// All volumes, by name.
    pub(crate) fn list(&self) -> Result<Vec<Volume>> {
        let mut volumes = Vec::new();
        for name in self.names()? {
            volumes.extend(self.get(&name)?);
        }
        Ok(volumes)
    }

    /// The names of all volumes, sorted.
    pub(crate) fn names(&self) -> Result<Vec<VolumeName>> {
        let directory = self.root.volumes_dir();
        let names = || -> io::Result<Vec<String>> {
            std::fs::read_dir(&directory)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
        };
        let mut names = names().attempt(|| format!("read directory {directory:?}"))?;
        names.sort_unstable();
        // `metadata.db` and the like have no `_data`.
        let names = names.iter().filter_map(|name| VolumeName::parse(name).ok());
        Ok(names.filter(|name| self.exists(name)).collect())
    }

    /// Removes a volume and its content. Whether a container uses it, the caller knows.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub(crate) fn remove(&self, name: &VolumeName) -> Result<()> {
        let alone = self.lock_present("remove", name, Share::Alone, COPY_PATIENCE)?;
        let _held = self.root.lock(Lock::Volumes)?;
        self.root.discard_held(&self.root.volume_dir(name), Some(alone))
    }

    /// Lets `take` move the content of a volume away, and removes the volume. One that is missing has nothing to take.
    pub(crate) fn give_away(&self, name: &VolumeName, take: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let Some(alone) = self.lock(name, Share::Alone, COPY_PATIENCE)? else { return Ok(()) };
        let _held = self.root.lock(Lock::Volumes)?;
        // Without its content it is what one in the making is, and goes in the same way.
        let _entry = self.in_the_making(name)?;
        take(&self.root.volume_data(name))?;
        self.root.discard_held(&self.root.volume_dir(name), Some(alone))
    }

    /// Removes the volumes that processes have begun to make and did not finish.
    pub(crate) fn settle(&self) -> Result<()> {
        let named = |entry: &str| entry.strip_prefix(IN_THE_MAKING).and_then(|name| VolumeName::parse(name).ok());
        if !self.root.entries()?.iter().any(|entry| named(entry).is_some()) {
            return Ok(());
        }
        // First, as for whoever makes a volume: he would wait for its entry, and we for him.
        let _held = self.root.lock(Lock::Volumes)?;
        // Each goes when its volume has been looked at.
        for (name, _entry) in self.root.abandoned(|entry| named(entry).is_some())? {
            let Some(name) = named(&name) else { continue };
            if !self.exists(&name) {
                self.root.discard(&self.root.volume_dir(&name))?;
            }
        }
        Ok(())
    }

    /// Whether there is a volume of that name.
    pub(crate) fn exists(&self, name: &VolumeName) -> bool {
        let is_directory = |path: &Path| path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
        // A link in place of a volume would lead out of the store.
        is_directory(&self.root.volume_dir(name))
            && (is_directory(&self.root.volume_data(name)) || self.root.volume_dir(name).join("opts.json").exists())
    }

    fn make(&self, name: &VolumeName, labels: Labels) -> Result<Volume> {
        let entry = self.in_the_making(name)?;
        let made = self.begin(name, labels, false).and_then(|()| {
            // The volume exists from here on.
            atomic::create_directory(&self.root.volume_data(name), 0o755)?;
            for directory in [&self.root.volume_dir(name), &self.root.volumes_dir()] {
                atomic::sync_directory(directory, self.root.durability()).attempt(|| format!("sync {directory:?}"))?;
            }
            Ok(())
        });
        self.finish(name, entry, made)
    }

    /// Notes that a volume is in the making.
    pub(super) fn in_the_making(&self, name: &VolumeName) -> Result<InFlight> {
        self.root.in_flight(&format!("{IN_THE_MAKING}{name}"), ENTRY_PATIENCE)
    }

    /// Makes everything of a volume but its content.
    pub(super) fn begin(&self, name: &VolumeName, labels: Labels, snapshot: bool) -> Result<()> {
        let directory = self.root.volume_dir(name);
        atomic::create_directory(&directory, 0o701)?;
        self.expect_labels(name, !labels.is_empty())?;
        let record = Record { created_at: Some(Timestamp::now()), labels, snapshot, ..Record::default() };
        let json = serde_json::to_vec(&record).map_err(|error| {
            Error::new(ErrorKind::InvalidArgument, format_args!("write the labels of volume \"{name}\""))
                .with_source(error)
        })?;
        self.root.write(&directory.join("plywood.json"), &json, 0o600)
    }

    /// Gives the volume that was made, or removes what there is of it.
    pub(super) fn finish(&self, name: &VolumeName, entry: InFlight, made: Result<()>) -> Result<Volume> {
        made.and_then(|()| self.read(name)).map_err(|error| match self.root.discard(&self.root.volume_dir(name)) {
            Ok(()) => error,
            Err(failure) => {
                entry.abandon();
                error.with_clean_up(failure)
            }
        })
    }

    /// Has the labels of a new volume told to Docker.
    pub(super) fn expect_labels(&self, name: &VolumeName, has_some: bool) -> Result<()> {
        // An unlabelled one that has the name of a labelled one that is gone, too.
        if has_some || !self.labels_of(name).is_empty() { self.expect_merge() } else { Ok(()) }
    }

    pub(super) fn read(&self, name: &VolumeName) -> Result<Volume> {
        let (labels, created, is_snapshot) = match self.record(name)? {
            Some(record) => (record.labels, record.created_at, record.snapshot),
            None => (self.labels_of(name), None, false),
        };
        Ok(Volume { name: name.clone(), path: self.root.volume_data(name), labels, created, is_snapshot })
    }

    /// What we have noted of a volume; `None` if Docker made it.
    pub(super) fn record(&self, name: &VolumeName) -> Result<Option<Record>> {
        let path = self.root.volume_dir(name).join("plywood.json");
        let Some(text) = atomic::read_text(&path, MAX_RECORD)? else { return Ok(None) };
        let record = serde_json::from_str(&text);
        record
            .map(Some)
            .map_err(|error| Error::new(ErrorKind::Corrupt, format_args!("read {path:?}: {error}")).with_path(&path))
    }

    /// The labels of a volume of Docker's.
    fn labels_of(&self, name: &VolumeName) -> Labels {
        match self.docker_labels() {
            Ok(mut labels) => labels.remove(name.as_str()).unwrap_or_default(),
            // The volume is there all the same.
            Err(error) => {
                tracing::warn!("the labels of volume {name} are not known: {error}");
                Labels::new()
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("create volume \"{name}\": a volume of that name exists")]
    Exists { name: VolumeName },
    #[error("{attempt} volume \"{name}\": there is no volume of that name")]
    Missing { attempt: &'static str, name: VolumeName },
}

impl Fault for Refusal {
    fn kind(&self) -> ErrorKind {
        match self {
            Refusal::Exists { .. } => ErrorKind::AlreadyExists,
            Refusal::Missing { .. } => ErrorKind::NotFound,
        }
    }
}
