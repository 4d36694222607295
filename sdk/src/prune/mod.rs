//! What is unreferenced, and its removal.
//!
//! | kind | goes if |
//! |---|---|
//! | container | it does not run, no program holds it, and it is no snapshot that has forks |
//! | image | it is dangling: no reference names it, no image was made from it, and no container that stays uses it |
//! | volume | no container that stays mounts it |
//! | build cache | always; the layers it alone knows go with it |
//!
//! In this order, because what goes first sets free what comes after. A dry run follows the same references and removes
//! nothing. Options may ask for an age or labels besides.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::container::remove::Force;
use crate::container::store::Store;
use crate::error::{Error, ErrorKind, Result};
use crate::image::Image;
use crate::layer::Layer;
use crate::spec::digest::ChainId;
use crate::spec::id::ContainerId;
use crate::spec::name::VolumeName;
use crate::spec::time::Timestamp;

mod filter;
mod size;
mod usage;

pub(crate) use usage::usage;
pub use usage::{ContainerUsage, DiskUsage, ImageUsage, VolumeUsage};

use filter::Filter;
use size::size_of_tree;

/// What to remove. Default: everything that is unreferenced.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Options {
    kinds: Vec<Kind>,
    filter: Filter,
    dry_run: bool,
}

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A container.
    Container,
    /// An image, with the layers nothing else uses.
    Image,
    /// A volume, with all that is in it.
    Volume,
    /// The build cache, with the layers that it alone knows.
    BuildCache,
}

/// What was removed, or in a dry run would be.
#[derive(Debug, Clone, Default)]
pub struct Report {
    objects: Vec<Object>,
}

/// One object of a [`Report`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    kind: Kind,
    id: String,
    name: String,
    bytes: u64,
}

impl Options {
    /// Everything that is unreferenced, of all kinds.
    pub fn new() -> Self {
        Self {
            kinds: vec![Kind::Container, Kind::Image, Kind::Volume, Kind::BuildCache],
            filter: Filter::default(),
            dry_run: false,
        }
    }

    /// Objects of these kinds only.
    pub fn only(mut self, kinds: impl IntoIterator<Item = Kind>) -> Self {
        self.kinds = kinds.into_iter().collect();
        self
    }

    /// Objects only that were made at least this long ago. One that says not when, as a volume of Docker's, stays.
    #[doc(alias = "--filter until")]
    pub fn older_than(mut self, age: Duration) -> Self {
        self.filter.older_than(age);
        self
    }

    /// Objects only that were made before this.
    #[doc(alias = "--filter until")]
    pub fn until(mut self, time: Timestamp) -> Self {
        self.filter.until = Some(time);
        self
    }

    /// Objects only with this label, `name` or `name=value`; may be given several times. The build cache has none.
    #[doc(alias = "--filter label")]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.filter.labels.push(label.into());
        self
    }

    /// Objects only without this label, `name` or `name=value`; may be given several times.
    #[doc(alias = "--filter label!")]
    pub fn without_label(mut self, label: impl Into<String>) -> Self {
        self.filter.without.push(label.into());
        self
    }

    /// Removes nothing, and reports what would go.
    pub fn dry_run(mut self) -> Self {
        self.dry_run = true;
        self
    }

    fn has(&self, kind: Kind) -> bool {
        self.kinds.contains(&kind)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Report {
    /// What went, in the order in which it did.
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// Bytes on disk that were set free.
    pub fn bytes(&self) -> u64 {
        self.objects.iter().map(|object| object.bytes).sum()
    }
}

impl Object {
    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The ID of a container or image, the name of a volume; empty for the build cache.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes on disk that go with it and with nothing before it in the report.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Volume => "volume",
            Self::BuildCache => "build cache",
        })
    }
}

/// Removes what is unreferenced.
pub(crate) fn prune(store: &Store, options: &Options) -> Result<Report> {
    store.settle()?;
    let mut run = Run {
        store,
        filter: &options.filter,
        dry_run: options.dry_run,
        report: Report::default(),
        gone: Gone::default(),
    };
    if options.has(Kind::Container) {
        run.containers()?;
    }
    if options.has(Kind::Image) {
        run.images()?;
    }
    if options.has(Kind::Volume) {
        run.volumes()?;
    }
    if options.has(Kind::BuildCache) {
        run.build_cache()?;
    }
    Ok(run.report)
}

struct Run<'a> {
    store: &'a Store,
    filter: &'a Filter,
    dry_run: bool,
    report: Report,
    gone: Gone,
}

/// What went, or in a dry run is taken to have gone.
#[derive(Default)]
struct Gone {
    containers: HashSet<ContainerId>,
    layers: HashSet<ChainId>,
    images: HashSet<String>,
}

impl Run<'_> {
    fn containers(&mut self) -> Result<()> {
        // A snapshot goes after its forks, which may be snapshots themselves.
        while self.containers_without_forks()? {}
        Ok(())
    }

    /// Removes those on which no other stands; whether one went.
    fn containers_without_forks(&mut self) -> Result<bool> {
        let mut went_any = false;
        for id in self.store.ids()? {
            let forks = self.store.layers().forks_of(&id)?;
            if self.gone.containers.contains(&id) || !forks.iter().all(|fork| self.gone.containers.contains(fork)) {
                continue;
            }
            let Ok(handle) = self.store.handle(&id) else { continue };
            let Ok((state, _)) = handle.state() else { continue };
            if state.is_running() || !handle.is_free()? {
                continue;
            }
            let Ok(files) = handle.files() else { continue };
            if !self.filter.admits(Timestamp::parse(&files.config.created).ok(), &files.config.config.labels) {
                continue;
            }
            let bytes = container_size(self.store, &id)?;
            if self.dry_run || went(handle.remove(Force::No))? {
                self.note(Kind::Container, id.as_str(), handle.name(), bytes);
                self.gone.containers.insert(id);
                went_any = true;
            }
        }
        Ok(went_any)
    }

    fn images(&mut self) -> Result<()> {
        let used: HashSet<String> = self.kept_configs()?.into_iter().map(|(_, config)| config.image).collect();
        let all = self.store.images().list()?;
        let mut parents = HashSet::new();
        for image in &all {
            parents.extend(self.store.images().store().parent(image.id())?);
        }
        let is_dangling = |image: &Image| {
            image.references().is_empty()
                && !used.contains(image.id().as_str())
                && !parents.contains(image.id())
                && self.filter.admits(image.created(), &image.config().config.labels)
        };
        let (dangling, kept): (Vec<_>, Vec<_>) = all.into_iter().partition(is_dangling);
        let mut held = self.chains_of_containers()?;
        held.extend(kept.iter().flat_map(Image::layers).map(|layer| layer.chain_id().clone()));
        for image in dangling {
            let in_use = |id: &_| self.store.users_of_image(id);
            if !self.dry_run
                && !went(self.store.images().remove(image.id().as_str(), crate::image::remove::Force::No, &in_use))?
            {
                continue;
            }
            let own = image.layers().iter().filter(|layer| !held.contains(layer.chain_id()));
            let own: Vec<_> = own.filter(|layer| self.gone.layers.insert(layer.chain_id().clone())).collect();
            let bytes = own.into_iter().map(Layer::size).sum();
            self.gone.images.insert(image.id().as_str().to_owned());
            self.note(Kind::Image, image.id().as_str(), image.id().short(), bytes);
        }
        Ok(())
    }

    fn volumes(&mut self) -> Result<()> {
        for volume in self.store.volumes().list()? {
            if !self.filter.admits(volume.created(), volume.labels()) {
                continue;
            }
            let bytes = size_of_tree(volume.path());
            if self.remove_volume(volume.name())? {
                self.note(Kind::Volume, volume.name().as_str(), volume.name().as_str(), bytes);
            }
        }
        Ok(())
    }

    fn remove_volume(&self, name: &VolumeName) -> Result<bool> {
        // Containers come to mount volumes under the same lock.
        let _held = self.store.lock_names()?;
        let is_used = self.kept_configs()?.iter().any(|(_, config)| config.volumes().any(|used| used == name.as_str()));
        Ok(!is_used && (self.dry_run || went(self.store.volumes().remove(name))?))
    }

    fn build_cache(&mut self) -> Result<()> {
        let directory = self.store.root().build_cache_dir();
        let mut records = crate::build::cache::records(self.store.root())?;
        records.retain(|(_, record)| self.filter.admits_unlabelled(Some(record.created)));
        // What `RUN --mount=type=cache` keeps has no age of its own: it goes when everything does.
        let going = match self.filter.admits_unlabelled(None) {
            true => entries(&directory)?,
            false => records.iter().map(|(path, _)| path.clone()).collect(),
        };
        let mut bytes = going.iter().map(|path| size_of_tree(path)).sum();
        let known = self.with_ancestors(records.into_iter().map(|(_, record)| record.chain_id))?;
        if self.dry_run {
            let mut held = self.chains_of_containers()?;
            for image in self.store.images().list()? {
                if !self.gone.images.contains(image.id().as_str()) {
                    held.extend(image.layers().iter().map(|layer| layer.chain_id().clone()));
                }
            }
            let freed = known
                .iter()
                .filter(|layer| !held.contains(layer.chain_id()) && !self.gone.layers.contains(layer.chain_id()));
            bytes += freed.map(Layer::size).sum::<u64>();
        } else {
            // On a full disk there may be no room for the note.
            let _unclaimed = self.store.images().unclaimed(std::iter::empty(), known.iter().map(Layer::chain_id)).ok();
            going.iter().try_for_each(|path| self.store.root().discard(path))?;
            let freed = self.store.images().release(known.iter().map(Layer::chain_id))?;
            bytes += freed.iter().map(Layer::size).sum::<u64>();
        }
        if bytes > 0 {
            self.note(Kind::BuildCache, "", "build cache", bytes);
        }
        Ok(())
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
        layers.sort_by_key(|(depth, _)| std::cmp::Reverse(*depth));
        Ok(layers.into_iter().map(|(_, layer)| layer).collect())
    }

    /// The configurations of the containers that stay.
    fn kept_configs(&self) -> Result<Vec<(ContainerId, crate::container::config::Config)>> {
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

    fn note(&mut self, kind: Kind, id: &str, name: &str, bytes: u64) {
        self.report.objects.push(Object { kind, id: id.to_owned(), name: name.to_owned(), bytes });
    }
}

/// What is in the directory of the build cache; the directory itself belongs to the layout.
fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let read =
        || -> std::io::Result<Vec<PathBuf>> { std::fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect() };
    read().map_err(|error| Error::os(format_args!("read directory {directory:?}"), error))
}

/// Bytes of a container on disk: its files and its writable layer.
fn container_size(store: &Store, id: &ContainerId) -> Result<u64> {
    let writable = store.layers().writable(id)?.map_or(0, |layer| size_of_tree(&layer.upper));
    Ok(writable + size_of_tree(&store.root().container_dir(id)))
}

/// Whether a removal took place: somebody else may have been faster, or may have come to use the object.
fn went<T>(removed: Result<T>) -> Result<bool> {
    match removed {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InUse) => Ok(false),
        Err(error) => Err(error),
    }
}
