//! Images and tags.

use super::{Check, Object, Problem};
use crate::data_root::Held;
use crate::error::{ErrorKind, Result};
use crate::spec::digest::{ChainId, Digest, ImageId};
use crate::spec::image_config::ImageConfig;

impl Check<'_> {
    pub(super) fn images(&mut self, held: &Held) -> Result<()> {
        let directory = self.store.root().image_configs_dir();
        let parse = |name: &str| Digest::parse(&format!("sha256:{name}")).ok().map(ImageId::from);
        for id in self.entries(&directory, parse)? {
            self.image(&id)?;
        }
        self.tags(held)
    }

    fn image(&mut self, id: &ImageId) -> Result<()> {
        let images = self.store.images();
        let path = self.store.root().image_config(id);
        if let Some(config) = self.read(Object::Image, id.as_str(), &path, images.store().config(id))?.flatten() {
            self.config(id, &config)?;
        }
        if let Some(parent) = images.store().parent(id)?.filter(|parent| !images.store().has(parent)) {
            let path = self.store.root().image_metadata_dir(id);
            let problem = Problem::Missing(format!("image {parent}, which it was made from,"));
            self.mend(Object::Image, id.as_str(), &path, problem, || images.store().forget_parent(id));
        }
        Ok(())
    }

    fn config(&mut self, id: &ImageId, config: &ImageConfig) -> Result<()> {
        let path = self.store.root().image_config(id);
        for chain in ChainId::stack(config.diff_ids()) {
            // A damaged one is noted as such.
            if !self.store.root().chain_dir(&chain).exists() {
                self.note(Object::Image, id.as_str(), &path, Problem::Missing(format!("its layer {chain}")));
            }
        }
        let (steps, layers) = (config.history.iter().filter(|step| !step.empty_layer).count(), config.diff_ids().len());
        if steps > layers {
            let why = format!("its history has {steps} steps with a layer, and it has {layers} layers");
            self.note(Object::Image, id.as_str(), &path, Problem::Damaged(why));
        }
        Ok(())
    }

    fn tags(&mut self, held: &Held) -> Result<()> {
        let images = self.store.images();
        let path = self.store.root().repositories();
        let read = match images.tags().read() {
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                let problem = Problem::Damaged(error.to_string());
                self.mend(Object::Tag, "all", &path, problem, || images.restore_tags(held));
                return Ok(());
            }
            read => read,
        };
        let Some(tags) = self.read(Object::Tag, "all", &path, read)? else { return Ok(()) };
        for (reference, id) in tags.iter() {
            if !images.store().has(id) {
                let problem = Problem::Missing(format!("image {id}"));
                let name = reference.to_string();
                self.mend(Object::Tag, &name, &path, problem, || images.drop_tag(held, &reference));
            }
        }
        Ok(())
    }
}
