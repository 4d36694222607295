//! A prune that is going on.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use super::Options;
use super::candidates::{CachePart, Candidate, What};
use super::filter::Filter;
use super::report::{Kind, Report};
use super::size::{size_of_tree, sizes_of_container};
use crate::container::config::Config;
use crate::container::handle::Handle;
use crate::container::remove::Force;
use crate::container::store::Store;
use crate::error::{ErrorKind, Result};
use crate::image::Image;
use crate::image::remove::Force as ForceImage;
use crate::layer::Layer;
use crate::spec::digest::ChainId;
use crate::spec::id::ContainerId;
use crate::spec::name::VolumeName;
use crate::volume::Volume;

pub(super) struct Run<'a> {
    pub store: &'a Store,
    pub options: &'a Options,
    pub filter: &'a Filter,
    pub gone: Gone,
    pub report: Report,
    /// How many images stand on a layer.
    users: HashMap<ChainId, usize>,
    /// Layers below the containers that stay.
    held: HashSet<ChainId>,
    /// How many bytes are still to go; as many as there are, if no size was asked for.
    excess: u64,
}

/// What went, or in a dry run is taken to have gone.
#[derive(Default)]
pub(super) struct Gone {
    pub containers: HashSet<ContainerId>,
    pub images: HashSet<String>,
    pub volumes: HashSet<VolumeName>,
    pub cache: HashSet<PathBuf>,
    layers: HashSet<ChainId>,
}

impl<'a> Run<'a> {
    pub(super) fn new(store: &'a Store, options: &'a Options) -> Result<Self> {
        let excess = match options.size {
            Some(size) => super::usage(store)?.total().saturating_sub(size),
            None => u64::MAX,
        };
        Ok(Self {
            store,
            options,
            filter: &options.filter,
            gone: Gone::default(),
            report: Report::default(),
            users: HashMap::new(),
            held: HashSet::new(),
            excess,
        })
    }

    /// Removes what may go now, of these kinds; whether something went, which may have set more free.
    pub(super) fn round(&mut self, kinds: &[Kind]) -> Result<bool> {
        let mut candidates = Vec::new();
        for kind in kinds {
            candidates.extend(self.candidates(*kind)?);
        }
        if self.options.size.is_some() {
            candidates.sort_by_key(|candidate| candidate.used);
        }
        if candidates.iter().any(|candidate| matches!(candidate.what, What::Image(_) | What::Cache(_))) {
            self.count_users()?;
        }
        let mut went_any = false;
        for Candidate { what, .. } in candidates {
            if self.excess == 0 {
                return Ok(false);
            }
            let freed = match what {
                What::Container(handle) => self.remove_container(&handle)?,
                What::Image(image) => self.remove_image(&image)?,
                What::Volume(volume) => self.remove_volume(&volume)?,
                What::Cache(part) => self.remove_cache(part)?,
            };
            if let Some(bytes) = freed {
                self.excess = self.excess.saturating_sub(bytes);
                went_any = true;
            }
        }
        Ok(went_any)
    }

    fn remove_container(&mut self, handle: &Handle) -> Result<Option<u64>> {
        let bytes = sizes_of_container(self.store, handle.id())?.iter().sum();
        if !self.options.dry_run && !went(handle.remove(Force::No))? {
            return Ok(None);
        }
        self.report.note(Kind::Container, handle.id().as_str(), handle.name(), bytes);
        self.gone.containers.insert(handle.id().clone());
        Ok(Some(bytes))
    }

    fn remove_image(&mut self, image: &Image) -> Result<Option<u64>> {
        let in_use = |id: &_| self.store.users_of_image(id);
        // One without a name may have got one a moment ago.
        let force = if image.references().is_empty() { ForceImage::Never } else { ForceImage::Yes };
        if !self.options.dry_run && !went(self.store.images().remove(image.id().as_str(), force, &in_use))? {
            return Ok(None);
        }
        let mut bytes = 0;
        for layer in image.layers() {
            let users = self.users.entry(layer.chain_id().clone()).or_default();
            *users = users.saturating_sub(1);
            if *users == 0 && !self.held.contains(layer.chain_id()) && self.gone.layers.insert(layer.chain_id().clone())
            {
                bytes += layer.size();
            }
        }
        let name = image.references().first().map_or_else(|| image.id().short().to_owned(), |first| first.familiar());
        self.report.note(Kind::Image, image.id().as_str(), &name, bytes);
        self.gone.images.insert(image.id().as_str().to_owned());
        Ok(Some(bytes))
    }

    fn remove_volume(&mut self, volume: &Volume) -> Result<Option<u64>> {
        let name = volume.name();
        let bytes = size_of_tree(volume.path());
        // Containers come to mount volumes under the same lock.
        let held = self.store.lock_names()?;
        let is_used = self.kept_configs()?.iter().any(|(_, config)| config.volumes().any(|used| used == name.as_str()));
        if is_used || !self.options.dry_run && !went(self.store.volumes().remove(name))? {
            return Ok(None);
        }
        drop(held);
        self.report.note(Kind::Volume, name.as_str(), name.as_str(), bytes);
        self.gone.volumes.insert(name.clone());
        Ok(Some(bytes))
    }

    fn remove_cache(&mut self, part: CachePart) -> Result<Option<u64>> {
        let files: u64 = part.paths.iter().map(|path| size_of_tree(path)).sum();
        let known = self.with_ancestors(part.chains.into_iter())?;
        let is_free = |layer: &Layer| {
            let chain = layer.chain_id();
            let has_image = self.users.get(chain).is_some_and(|users| *users > 0);
            !has_image && !self.held.contains(chain) && !self.gone.layers.contains(chain)
        };
        let freed = if self.options.dry_run {
            known.into_iter().filter(is_free).collect()
        } else {
            // On a full disk there may be no room for the note.
            let _unclaimed = self.store.images().unclaimed(std::iter::empty(), known.iter().map(Layer::chain_id)).ok();
            part.paths.iter().try_for_each(|path| self.store.root().discard(path))?;
            self.store.images().release(known.iter().map(Layer::chain_id))?
        };
        let bytes = files + freed.iter().map(Layer::size).sum::<u64>();
        self.gone.layers.extend(freed.iter().map(|layer| layer.chain_id().clone()));
        self.gone.cache.extend(part.paths);
        if bytes > 0 {
            self.report.note(Kind::BuildCache, "", "build cache", bytes);
        }
        Ok(Some(bytes))
    }

    /// Counts who stands on layers.
    fn count_users(&mut self) -> Result<()> {
        self.users.clear();
        for image in self.kept_images()? {
            for layer in image.layers() {
                *self.users.entry(layer.chain_id().clone()).or_default() += 1;
            }
        }
        self.held = self.chains_of_containers()?;
        Ok(())
    }

    /// The images that stay.
    pub(super) fn kept_images(&self) -> Result<Vec<Image>> {
        let mut images = self.store.images().list()?;
        images.retain(|image| !self.gone.images.contains(image.id().as_str()));
        Ok(images)
    }

    /// These layers and those below them that the store has, the higher ones first.
    fn with_ancestors(&self, chains: impl Iterator<Item = ChainId>) -> Result<Vec<Layer>> {
        let mut seen = HashSet::new();
        let mut layers = Vec::new();
        for chain in chains {
            // A stack with a gap is no use to anybody, but no reason to stop either.
            let stack = self.store.layers().stack(Some(&chain)).unwrap_or_default();
            let depth = stack.len();
            for (position, layer) in stack.into_iter().enumerate() {
                if seen.insert(layer.chain_id().clone()) {
                    layers.push((depth - position, layer));
                }
            }
        }
        layers.sort_by_key(|(depth, _)| Reverse(*depth));
        Ok(layers.into_iter().map(|(_, layer)| layer).collect())
    }

    /// The configurations of the containers that stay.
    pub(super) fn kept_configs(&self) -> Result<Vec<(ContainerId, Config)>> {
        let mut configs = self.store.configs()?;
        configs.retain(|(id, _)| !self.gone.containers.contains(id));
        Ok(configs)
    }

    /// The layers below the containers that stay.
    fn chains_of_containers(&self) -> Result<HashSet<ChainId>> {
        let mut chains = HashSet::new();
        for id in self.store.layers().writable_ids()? {
            if self.gone.containers.contains(&id) {
                continue;
            }
            let parent = self.store.layers().writable(&id).ok().flatten().and_then(|layer| layer.parent);
            let stack = self.store.layers().stack(parent.as_ref()).unwrap_or_default();
            chains.extend(stack.into_iter().map(|layer| layer.chain_id().clone()));
        }
        Ok(chains)
    }
}

/// Whether a removal took place: somebody else may have been faster, or may have come to use the object.
fn went<T>(removed: Result<T>) -> Result<bool> {
    match removed {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InUse) => Ok(false),
        Err(error) => Err(error),
    }
}
