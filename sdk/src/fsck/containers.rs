//! Containers and their writable layers.

use std::collections::BTreeMap;

use super::{Check, Object, Problem};
use crate::container::store::Files;
use crate::error::Result;
use crate::layer::WritableLayer;
use crate::spec::id::ContainerId;
use crate::spec::name::VolumeName;

impl Check<'_> {
    pub(super) fn containers(&mut self) -> Result<()> {
        let directory = self.store.root().containers_dir();
        let mut by_name = BTreeMap::new();
        for id in self.entries(&directory, |name| ContainerId::parse(name).ok())? {
            let Some(files) = self.container(&id)? else { continue };
            if by_name.insert(files.config.plain_name().to_owned(), id.clone()).is_some() {
                self.note(Object::Container, id.as_str(), &self.store.root().container_config(&id), Problem::Duplicate);
            }
        }
        let is_known = |id: &ContainerId| {
            let root = self.store.root();
            // One in the making has its layer first.
            let journal = ["container-", "owner-"].map(|kind| root.is_in_flight(&format!("{kind}{id}")));
            root.container_dir(id).symlink_metadata().is_ok() || journal.contains(&true)
        };
        let mounts = self.store.root().mounts_dir();
        let layers = self.entries(&mounts, |name| ContainerId::parse(name).ok())?;
        let unknown = layers.iter().filter(|id| !is_known(id)).map(ToString::to_string).collect();
        self.unknown(&mounts, unknown);
        Ok(())
    }

    fn container(&mut self, id: &ContainerId) -> Result<Option<Files>> {
        let (store, name) = (self.store, id.as_str());
        let directory = store.root().container_dir(id);
        if !self.is_directory(Object::Container, name, &directory) {
            return Ok(None);
        }
        let Some(files) = self.read(Object::Container, name, &directory, store.read(id))? else { return Ok(None) };
        let path = store.root().container_config(id);
        let Some(files) = files else {
            self.note(Object::Container, name, &path, Problem::Missing("config.v2.json".to_owned()));
            return Ok(None);
        };
        let mut damaged = |why: String| self.note(Object::Container, name, &path, Problem::Damaged(why));
        if files.config.id != name {
            damaged(format!("it says that it is container {:?}", files.config.id));
        }
        if files.config.driver != store.root().driver() {
            damaged(format!("its storage driver is {:?}: Docker passes over it", files.config.driver));
        }
        for (network, endpoint) in &files.config.network_settings.networks {
            if endpoint.as_object().is_some_and(serde_json::Map::is_empty) {
                damaged(format!("its network {network:?} has no field: Docker fails to start it"));
            }
        }
        for volume in files.config.volumes() {
            let is_there = VolumeName::parse(volume).is_ok_and(|volume| store.volumes().exists(&volume));
            if !is_there {
                self.note(Object::Container, name, &path, Problem::Missing(format!("volume {volume:?}")));
            }
        }
        let record = store.root().layer_mounts(id);
        match self.read(Object::Container, name, &record, store.layers().writable(id))? {
            Some(Some(layer)) => self.writable(id, &files, &layer)?,
            Some(None) => {
                self.note(Object::Container, name, &record, Problem::Missing("its writable layer".to_owned()))
            }
            None => {}
        }
        Ok(Some(files))
    }

    fn writable(&mut self, id: &ContainerId, files: &Files, layer: &WritableLayer) -> Result<()> {
        let (layers, name) = (self.store.layers(), id.as_str());
        if !self.is_tree(Object::Container, name, &layer.upper) {
            return Ok(());
        }
        // Docker never sees a guard.
        if files.record.as_ref().is_some_and(|record| record.guard) {
            return Ok(());
        }
        let mut stack = layers.below_container(id)?;
        if let Some(init) = layers.init_of(id)? {
            self.names_of(Object::Container, name, &init, &stack)?;
            stack.insert(0, init);
        }
        self.names_of(Object::Container, name, &layer.mount_id, &stack)?;
        if layers.is_marked(&layer.mount_id) {
            self.mend(Object::Container, name, &layer.upper, Problem::Volatile, || {
                layers.allow_mounts(&layer.mount_id)
            });
        }
        Ok(())
    }
}
