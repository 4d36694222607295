//! All images of a data root: configurations, tags and the layers under them.
//!
//! Whoever adds or removes images or tags holds the store lock ([`Lock::Store`]) for that moment. An image becomes
//! visible in this order: its layers, its configuration, its tags; it goes in the opposite one. So whatever a reader
//! finds is complete, and an interruption leaves at most an image without tags or a layer without an image. The journal
//! names those ([`settle`](Images::settle)):
//!
//! ```text
//! image/plywood/in-flight/images-<random>   lines: `image <ID>` goes if it has no reference and no container,
//!                                                  `layer <ChainID>` goes if nothing stands on it
//! image/plywood/in-flight/<cache-id>        the same, of a layer that was just brought in
//! ```

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::store::ImageStore;
use super::tags::{Overwrite, Tags};
use super::{Facts, Image, history};
use crate::archive::{ApplyOptions, Limits};
use crate::data_root::{DataRoot, Held, InFlight, Lock};
use crate::error::{Attempt as _, Error, ErrorKind, Result};
use crate::layer::{Layer, LayerStore, UNCLAIMED_LAYER};
use crate::spec::digest::{ChainId, Digest, ImageId};
use crate::spec::id::random_hex64;
use crate::spec::image_config::ImageConfig;
use crate::spec::reference::Reference;
use crate::spec::time::Timestamp;

/// The images of a data root. Clones act on the same store.
#[derive(Debug, Clone)]
pub(crate) struct Images {
    root: DataRoot,
    layers: LayerStore,
    store: ImageStore,
    tags: Tags,
}

/// A configuration and the references it is to get.
pub(crate) type Publication<'a> = (&'a [u8], &'a [Reference]);

/// How a line of the journal begins that names an image which goes unless something has come to use it.
const UNCLAIMED_IMAGE: &str = "image ";

/// How the entries begin that name images.
const COMING_OR_GOING: &str = "images-";

/// Tells of an image the names of the containers made from it.
pub(crate) type Users<'a> = &'a dyn Fn(&ImageId) -> Result<Vec<String>>;

impl Images {
    pub(crate) fn new(root: &DataRoot, layers: &LayerStore) -> Self {
        Self { root: root.clone(), layers: layers.clone(), store: ImageStore::new(root), tags: Tags::new(root) }
    }

    pub(crate) fn layers(&self) -> &LayerStore {
        &self.layers
    }

    pub(crate) fn store(&self) -> &ImageStore {
        &self.store
    }

    pub(crate) fn tags(&self) -> &Tags {
        &self.tags
    }

    /// The image of an ID; `None` if there is none.
    ///
    /// # Errors
    /// `Corrupt` if its configuration was changed or one of its layers is missing.
    pub(crate) fn get(&self, id: &ImageId) -> Result<Option<Image>> {
        self.read(id, |tags| Ok(tags.read()?.of(id)))
    }

    fn read(&self, id: &ImageId, references: impl FnOnce(&Tags) -> Result<Vec<Reference>>) -> Result<Option<Image>> {
        let Some(config) = self.store.config(id)? else { return Ok(None) };
        match self.assemble(id.clone(), config, references(&self.tags)?) {
            // Somebody removes it at this moment: its layers go last.
            Err(_) if !self.store.has(id) => Ok(None),
            assembled => assembled.map(Some),
        }
    }

    /// The image of an ID that is known to be there.
    pub(crate) fn need(&self, id: &ImageId) -> Result<Image> {
        self.get(id)?.ok_or_else(|| Error::new(ErrorKind::NotFound, format_args!("read image {id}: no such image")))
    }

    /// The image called `name`: a reference, an image ID, or the beginning of one.
    pub(crate) fn find(&self, name: &str) -> Result<Image> {
        self.need(&self.expect("find image", name)?.into_id())
    }

    /// All images, the newest first. Broken ones are passed over, as by Docker, and said so in the log.
    pub(crate) fn list(&self) -> Result<Vec<Image>> {
        let tags = self.tags.read()?;
        let mut references = tags.by_image();
        let mut images = Vec::new();
        for id in self.store.list()? {
            match self.read(&id, |_| Ok(references.remove(&id).unwrap_or_default())) {
                Ok(image) => images.extend(image),
                Err(error) => tracing::warn!("image {} is passed over: {error}", id.short()),
            }
        }
        images.sort_by(|a, b| b.created().cmp(&a.created()).then_with(|| a.id().cmp(b.id())));
        Ok(images)
    }

    /// Gives an image another name. A name that another image has is taken from it, as by `docker tag`.
    pub(crate) fn tag(&self, name: &str, reference: &Reference) -> Result<ImageId> {
        let _held = self.lock()?;
        let id = self.expect("tag image", name)?.into_id();
        self.tags.update(|tags| {
            let _: Option<ImageId> = tags.add(reference, &id, Overwrite::Move)?;
            self.store.set_last_tagged(&id, &Timestamp::now())
        })?;
        Ok(id)
    }

    /// Takes a name away, whatever it leads to. The caller holds the lock.
    pub(crate) fn drop_tag(&self, _held: &Held, reference: &Reference) -> Result<()> {
        self.tags.update(|tags| {
            tags.remove(reference);
            Ok(())
        })
    }

    /// Makes a damaged `repositories.json` again of what is whole in it. The caller holds the lock.
    pub(crate) fn restore_tags(&self, _held: &Held) -> Result<()> {
        self.tags.restore(|id| self.store.has(id))
    }

    /// Stores an image whose layers are in the store, and names it.
    ///
    /// # Errors
    /// `AlreadyExists` if another image has the name and `overwrite` refuses; `NotFound` if a layer is missing.
    pub(crate) fn publish(&self, config: &[u8], references: &[Reference], overwrite: Overwrite) -> Result<Image> {
        match self.publish_all(&[(config, references)], overwrite)?.as_deref() {
            Some([id, ..]) => self.need(id),
            _ => Err(Error::new(ErrorKind::NotFound, "store an image: one of its layers is not in the store")),
        }
    }

    /// Stores images and tags, all or none; `None` if a layer of one of them is missing (any more).
    pub(crate) fn publish_all(&self, images: &[Publication<'_>], overwrite: Overwrite) -> Result<Option<Vec<ImageId>>> {
        let _held = self.lock()?;
        for (bytes, _) in images {
            let config: ImageConfig = serde_json::from_slice(bytes).map_err(|error| {
                Error::new(ErrorKind::InvalidArgument, format_args!("store an image configuration: {error}"))
            })?;
            for chain_id in ChainId::stack(config.diff_ids()) {
                if self.layers.get(&chain_id)?.is_none() {
                    return Ok(None);
                }
            }
        }
        let ids: Vec<_> = images.iter().map(|(bytes, _)| ImageId::from(Digest::of(bytes))).collect();
        let new: Vec<_> = ids.iter().filter(|id| !self.store.has(id)).collect();
        let unclaimed = self.unclaimed(new.iter().copied(), std::iter::empty())?;
        let published = self.tags.update(|tags| {
            for (id, (_, references)) in ids.iter().zip(images) {
                references.iter().try_for_each(|reference| tags.add(reference, id, overwrite).map(drop))?;
            }
            // Configurations first: a tag never leads to nothing.
            for (bytes, references) in images {
                let id = self.store.put(bytes)?;
                if !references.is_empty() {
                    self.store.set_last_tagged(&id, &Timestamp::now())?;
                }
            }
            Ok(())
        });
        let Err(error) = published else { return Ok(Some(ids)) };
        Err(match new.iter().try_for_each(|id| self.store.remove(id)) {
            Ok(()) => error,
            Err(failure) => {
                unclaimed.into_iter().for_each(InFlight::abandon);
                error.with_clean_up(failure)
            }
        })
    }

    /// Notes in the journal what goes unless something uses it when the process ends before the result is dropped.
    pub(crate) fn unclaimed<'a>(
        &self,
        images: impl Iterator<Item = &'a ImageId>,
        layers: impl Iterator<Item = &'a ChainId>,
    ) -> Result<Option<InFlight>> {
        let mut text = String::new();
        images.for_each(|id| text += &format!("{UNCLAIMED_IMAGE}{id}\n"));
        layers.for_each(|chain| text += &format!("{UNCLAIMED_LAYER}{chain}\n"));
        if text.is_empty() {
            return Ok(None);
        }
        let random = random_hex64().attempt(|| "read random bytes")?;
        let mut entry = self.root.in_flight(&format!("{COMING_OR_GOING}{}", &random[..16]), Duration::ZERO)?;
        entry.note(&text)?;
        Ok(Some(entry))
    }

    /// Removes what processes that ended in the middle have brought in or were removing, unless something uses it.
    pub(crate) fn settle(&self, users: Users<'_>) -> Result<()> {
        let is_ours = |name: &str| name.starts_with(COMING_OR_GOING);
        if self.layers.is_decided() && !self.root.entries()?.iter().any(|name| is_ours(name)) {
            return Ok(());
        }
        // First, as for whoever makes such an entry: he would wait for us, and we for him.
        let held = self.lock()?;
        let images = self.root.abandoned(is_ours)?.into_iter().map(|(_, entry)| entry);
        for entry in self.layers.take_undecided().into_iter().chain(images) {
            let lines = entry.left().lines();
            let images: Vec<_> = lines
                .clone()
                .filter_map(|line| line.strip_prefix(UNCLAIMED_IMAGE))
                .filter_map(|id| ImageId::parse(id).ok())
                .collect();
            let layers: Vec<_> = lines
                .filter_map(|line| line.strip_prefix(UNCLAIMED_LAYER))
                .filter_map(|chain| ChainId::parse(chain).ok())
                .collect();
            if let Err(error) = self.remove_unclaimed(&held, &images, &layers, users) {
                tracing::warn!(leftover = ?entry.path(), %error, "a leftover of an earlier process could not be removed");
                entry.abandon();
            }
        }
        Ok(())
    }

    fn remove_unclaimed(&self, held: &Held, images: &[ImageId], layers: &[ChainId], users: Users<'_>) -> Result<()> {
        let mut layers = layers.to_vec();
        for id in images {
            if self.store.has(id) && self.tags.read()?.of(id).is_empty() && users(id)?.is_empty() {
                let config = self.store.config(id).ok().flatten();
                layers.extend(config.iter().flat_map(|config| ChainId::stack(config.diff_ids())).rev());
                self.store.remove(id)?;
            }
        }
        self.release_held(held, layers.iter()).map(drop)
    }

    /// Refuses names that other images have, so far as that is known now.
    pub(super) fn check_references<'a>(
        &self,
        images: impl Iterator<Item = (&'a ImageId, &'a [Reference])>,
        overwrite: Overwrite,
    ) -> Result<()> {
        let mut tags = self.tags.read()?;
        for (id, references) in images {
            references.iter().try_for_each(|reference| tags.add(reference, id, overwrite).map(drop))?;
        }
        Ok(())
    }

    /// Removes those of `chains` (each above the next) that no image, container or layer uses. Gives what was removed.
    pub(crate) fn release<'a>(&self, chains: impl Iterator<Item = &'a ChainId>) -> Result<Vec<Layer>> {
        let held = self.lock()?;
        self.release_held(&held, chains)
    }

    /// The same for a caller that holds the lock.
    pub(super) fn release_held<'a>(
        &self,
        _held: &Held,
        chains: impl Iterator<Item = &'a ChainId>,
    ) -> Result<Vec<Layer>> {
        let mut chains = chains.peekable();
        if chains.peek().is_none() {
            return Ok(Vec::new());
        }
        let used = self.chains_of_images()?;
        let mut removed = Vec::new();
        for chain_id in chains {
            if used.contains(chain_id) {
                continue;
            }
            let Some(layer) = self.layers.get(chain_id)? else { continue };
            match self.layers.remove(chain_id) {
                Ok(()) => removed.push(layer),
                // A further layer, a container or a build stands on it.
                Err(error) if matches!(error.kind(), ErrorKind::InUse | ErrorKind::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(removed)
    }

    /// Every ChainID that an image stands on. A configuration that cannot be read holds no layer, as with Docker.
    fn chains_of_images(&self) -> Result<HashSet<ChainId>> {
        let mut chains = HashSet::new();
        for id in self.store.list()? {
            match self.store.config(&id) {
                Ok(config) => chains.extend(config.iter().flat_map(|config| ChainId::stack(config.diff_ids()))),
                Err(error) => tracing::warn!("the layers of image {} are not counted as used: {error}", id.short()),
            }
        }
        Ok(chains)
    }

    /// How layers from outside are applied here.
    pub(super) fn apply_options(&self, limits: &Limits) -> ApplyOptions {
        self.layers.apply_options(limits.clone())
    }

    /// Where archives are copied that cannot be read in place.
    pub(super) fn spool_dir(&self) -> PathBuf {
        self.root.own_dir()
    }

    /// The lock under which images and tags change.
    pub(super) fn lock(&self) -> Result<Held> {
        self.root.lock(Lock::Store)
    }

    pub(super) fn root(&self) -> &DataRoot {
        &self.root
    }

    fn assemble(&self, id: ImageId, config: ImageConfig, references: Vec<Reference>) -> Result<Image> {
        let mut layers: Vec<Layer> = Vec::with_capacity(config.diff_ids().len());
        for diff_id in config.diff_ids() {
            let below = layers.last().map(Layer::chain_id);
            let layer = self.layers.get_known(below, diff_id)?.ok_or_else(|| {
                let chain_id = ChainId::of(below, diff_id);
                Error::new(
                    ErrorKind::Corrupt,
                    format_args!("read image {}: its layer {} is not in the store", id.short(), chain_id.short()),
                )
                .with_hint("load or build the image again")
            })?;
            layers.push(layer);
        }
        let history = history::paired(&config.history, &layers);
        let last_tagged = self.store.last_tagged(&id)?;
        let facts = Facts { id, references, config, layers, history, last_tagged };
        Ok(Image { facts: Arc::new(facts), definition: std::marker::PhantomData })
    }
}

#[cfg(test)]
mod tests;
