//! Volumes: directories that outlive containers.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::spec::mount::{Mount, MountTarget};
use crate::spec::name::VolumeName;
use crate::spec::time::Timestamp;

mod bolt;
mod fork;
mod labels;
mod populate;
mod store;

#[cfg(fuzzing)]
pub use bolt::fuzz;
pub(crate) use fork::Purpose;
pub(crate) use store::VolumeStore;

/// How long to wait for someone else who fills or copies the same volume.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// A volume of the store.
#[derive(Clone, PartialEq, Eq)]
pub struct Volume {
    name: VolumeName,
    path: PathBuf,
    labels: BTreeMap<String, String>,
    created: Option<Timestamp>,
    is_snapshot: bool,
}

impl Volume {
    /// The label of volumes without a name, whose value is empty: what Docker, since version 23, tells them by.
    pub const ANONYMOUS: &'static str = "com.docker.volume.anonymous";

    /// Its name, unique in the store.
    pub fn name(&self) -> &VolumeName {
        &self.name
    }

    /// The directory with its content, on the host.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The labels it was created with.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    /// When it was created; `None` if Docker made it.
    pub fn created(&self) -> Option<Timestamp> {
        self.created
    }

    /// Whether it was made without a name, for the container that mounts it: a [prune](crate::Engine::prune) takes it if no
    /// container has it any more. Of volumes that Docker made before version 23, one whose name was drawn counts as such.
    pub fn is_anonymous(&self) -> bool {
        self.labels.contains_key(Self::ANONYMOUS) || self.created.is_none() && self.name.is_random()
    }

    /// Whether it is a [snapshot](crate::VolumeSnapshot), which no container mounts.
    pub fn is_snapshot(&self) -> bool {
        self.is_snapshot
    }

    /// The mount of this volume at `target` in a container: a path, or a [`MountPoint`](crate::spec::MountPoint), with
    /// which only a container of that definition takes it.
    pub fn at<T: MountTarget>(&self, target: T) -> T::Mount {
        Mount::volume(self.name.as_str(), target)
    }
}

impl fmt::Debug for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Volume").field("name", &self.name).field("path", &self.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
