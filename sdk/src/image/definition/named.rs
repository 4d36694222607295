//! Typed names of a definition where the builder takes strings.

use super::{Base, ExposedPorts, VolumePaths};
use crate::spec::{MountPoint, Port, Stage};

impl<D> From<Stage<D>> for Base {
    fn from(stage: Stage<D>) -> Self {
        Self::stage(stage.name())
    }
}

impl<D> From<Port<D>> for ExposedPorts {
    fn from(port: Port<D>) -> Self {
        format!("{}/{}", port.number(), port.protocol()).into()
    }
}

impl<D> From<MountPoint<D>> for VolumePaths {
    fn from(mount_point: MountPoint<D>) -> Self {
        mount_point.path().into()
    }
}
