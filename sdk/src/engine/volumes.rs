//! Volumes: get, list, remove.

use std::collections::BTreeMap;

use super::{Engine, VolumeSnapshot};
use crate::container::State;
use crate::error::{ErrorKind, Fault, Result};
use crate::spec::name::VolumeName;
use crate::volume::{Purpose, Volume};

#[derive(Debug, thiserror::Error)]
enum VolumeFault {
    #[error("remove volume {name:?}: {} it", mounters(users))]
    InUse { name: String, users: Vec<String> },
    #[error("copy volume {name:?}: {} it, and may write to it", mounters(users))]
    Running { name: String, users: Vec<String> },
    #[error("fork volume {name:?}: there is no volume of that name")]
    Missing { name: String },
    #[error("fork volume {name:?}: it is no snapshot")]
    NoSnapshot { name: String },
}

impl Fault for VolumeFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::InUse { .. } | Self::Running { .. } => ErrorKind::InUse,
            Self::Missing { .. } => ErrorKind::NotFound,
            Self::NoSnapshot { .. } => ErrorKind::InvalidArgument,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::InUse { .. } => Some("remove what mounts it first".to_owned()),
            Self::Running { .. } => Some("stop what mounts it first".to_owned()),
            Self::Missing { .. } | Self::NoSnapshot { .. } => None,
        }
    }
}

fn mounters(users: &[String]) -> String {
    let names: Vec<_> = users.iter().map(|user| format!("{user:?}")).collect();
    match names.as_slice() {
        [name] => format!("container {name} mounts"),
        names => format!("containers {} mount", names.join(", ")),
    }
}

impl Engine {
    /// The volume of this name, made if there is none.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) if it is no name for a volume.
    pub fn volume(&self, name: &str) -> Result<Volume> {
        self.store.volumes().get_or_create(&VolumeName::parse(name)?)
    }

    /// Makes a volume with labels.
    ///
    /// # Errors
    /// [`AlreadyExists`](ErrorKind::AlreadyExists) if the name is taken.
    pub fn create_volume(&self, name: &str, labels: BTreeMap<String, String>) -> Result<Volume> {
        self.store.volumes().create(&VolumeName::parse(name)?, labels)
    }

    /// Makes a volume that stays, with the content and the labels of another, which no container may be using.
    ///
    /// As for [`Volume::fork`], whose volume goes with the program.
    ///
    /// # Errors
    /// [`AlreadyExists`](ErrorKind::AlreadyExists) if the name is taken, and those of [`Volume::fork`].
    pub fn fork_volume(&self, from: &Volume, name: &str) -> Result<Volume> {
        self.copy_volume(from, &VolumeName::parse(name)?, Purpose::Stay)
    }

    /// The snapshot of this name that was to [stay](VolumeSnapshot::persist), by whichever program.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if there is no volume of that name, [`InvalidArgument`](ErrorKind::InvalidArgument)
    /// if it is no snapshot.
    pub fn volume_snapshot(&self, name: &str) -> Result<VolumeSnapshot> {
        let volume = self.find_volume(name)?.ok_or_else(|| VolumeFault::Missing { name: name.to_owned() })?;
        match volume.is_snapshot() {
            true => Ok(VolumeSnapshot::of(self, volume)),
            false => Err(VolumeFault::NoSnapshot { name: name.to_owned() }.into()),
        }
    }

    pub(super) fn copy_volume(&self, from: &Volume, name: &VolumeName, purpose: Purpose) -> Result<Volume> {
        self.store.volumes().copy(from, name, purpose, || self.check_still(from))
    }

    /// Refuses a volume to which a container may write.
    fn check_still(&self, volume: &Volume) -> Result<()> {
        let mut running = Vec::new();
        for container in self.containers()? {
            let files = container.handle().files();
            let mounts = files.is_ok_and(|files| files.config.volumes().any(|it| it == volume.name().as_str()));
            if mounts && container.state().is_ok_and(State::is_running) {
                running.push(container.name().to_owned());
            }
        }
        match running.is_empty() {
            true => Ok(()),
            false => Err(VolumeFault::Running { name: volume.name().as_str().to_owned(), users: running }.into()),
        }
    }

    /// The volume of this name, if there is one.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) if it is no name for a volume.
    pub fn find_volume(&self, name: &str) -> Result<Option<Volume>> {
        self.store.volumes().get(&VolumeName::parse(name)?)
    }

    /// All volumes, by name.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt) if the record of one cannot be read.
    pub fn volumes(&self) -> Result<Vec<Volume>> {
        self.store.volumes().list()
    }

    /// Removes a volume and all that is in it.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if there is none; [`InUse`](ErrorKind::InUse) while containers mount it, running
    /// or not: the message names them.
    pub fn remove_volume(&self, name: &str) -> Result<()> {
        let name = VolumeName::parse(name)?;
        // Containers come to mount volumes under the same lock.
        let _held = self.store.lock_names()?;
        let users = self.store.users_of_volume(name.as_str())?;
        if !users.is_empty() {
            return Err(VolumeFault::InUse { name: name.as_str().to_owned(), users }.into());
        }
        self.store.volumes().remove(&name)
    }
}
