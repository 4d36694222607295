//! Volumes and Docker's database of them.

use super::{Check, Object, Problem};
use crate::error::Result;
use crate::spec::name::VolumeName;

/// What lies beside the volumes.
const FILES: [&str; 2] = ["metadata.db", "backingFsBlockDev"];

impl Check<'_> {
    pub(super) fn volumes(&mut self) -> Result<()> {
        let (root, volumes) = (self.store.root(), self.store.volumes());
        let database = root.volume_database();
        self.read(Object::Volume, "all", &database, volumes.docker_labels())?;
        let parse = |name: &str| match FILES.contains(&name) {
            true => Some(None),
            false => VolumeName::parse(name).ok().map(Some),
        };
        for name in self.entries(&root.volumes_dir(), parse)?.into_iter().flatten() {
            let directory = root.volume_dir(&name);
            if !self.is_directory(Object::Volume, name.as_str(), &directory) {
                continue;
            }
            if volumes.exists(&name) {
                self.read(Object::Volume, name.as_str(), &directory, volumes.get(&name))?;
            } else if !root.is_in_flight(&format!("volume-{name}")) {
                let data = root.volume_data(&name);
                self.note(Object::Volume, name.as_str(), &data, Problem::Missing("its _data".to_owned()));
            }
        }
        Ok(())
    }
}
