//! Volumes: get, list, remove.

use std::collections::BTreeMap;

use super::Engine;
use crate::container::State;
use crate::error::{ErrorKind, Fault, Result};
use crate::spec::name::VolumeName;
use crate::volume::Volume;

#[derive(Debug, thiserror::Error)]
enum VolumeFault {
    #[error("remove volume {name:?}: {} it", mounters(users))]
    InUse { name: String, users: Vec<String> },
    #[error("fork volume {name:?}: {} it, and may write to it", mounters(users))]
    Running { name: String, users: Vec<String> },
}

impl Fault for VolumeFault {
    fn kind(&self) -> ErrorKind {
        ErrorKind::InUse
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::InUse { .. } => "remove what mounts it first".to_owned(),
            Self::Running { .. } => "stop what mounts it first".to_owned(),
        })
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

    /// Makes a volume with the content of another, which no container may be using: the start of tests that change data, or a
    /// snapshot of it that nobody mounts.
    ///
    /// On a file system that can share blocks between files, as btrfs and xfs, no content is copied. A program that is killed
    /// meanwhile leaves a volume that counts as empty.
    ///
    /// # Errors
    /// [`AlreadyExists`](ErrorKind::AlreadyExists) if the name is taken, [`InUse`](ErrorKind::InUse) if a container that
    /// mounts the other one runs: the message names it.
    pub fn fork_volume(&self, from: &Volume, name: &str) -> Result<Volume> {
        let name = VolumeName::parse(name)?;
        let mut running = Vec::new();
        for container in self.containers()? {
            let mounts = container
                .handle()
                .files()
                .is_ok_and(|files| files.config.volumes().any(|it| it == from.name().as_str()));
            if mounts && container.state().is_ok_and(State::is_running) {
                running.push(container.name().to_owned());
            }
        }
        if !running.is_empty() {
            return Err(VolumeFault::Running { name: from.name().as_str().to_owned(), users: running }.into());
        }
        self.store.volumes().fork(from, &name, self.store.layers().xattrs())
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
