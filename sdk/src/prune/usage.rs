//! What takes how much, counted as Docker counts: bytes of files, holes included.

use std::collections::{HashMap, HashSet};

use super::size::{size_of_tree, sizes_of_container};
use crate::container::State;
use crate::container::store::Store;
use crate::error::Result;
use crate::image::Image;
use crate::layer::Layer;
use crate::spec::digest::ChainId;
use crate::spec::id::ContainerId;
use crate::spec::name::VolumeName;

/// How much the objects of a data root take.
#[derive(Debug, Clone)]
pub struct DiskUsage {
    images: Vec<ImageUsage>,
    containers: Vec<ContainerUsage>,
    volumes: Vec<VolumeUsage>,
    layers: Vec<LayerUsage>,
    build_cache: u64,
}

/// How much an image takes.
#[derive(Debug, Clone)]
pub struct ImageUsage {
    image: Image,
    unique: u64,
    shared: u64,
    containers: usize,
}

/// How much a layer takes, however many images have it.
#[derive(Debug, Clone)]
pub struct LayerUsage {
    layer: Layer,
    images: usize,
}

/// How much a container takes beside its image.
#[derive(Debug, Clone)]
pub struct ContainerUsage {
    id: ContainerId,
    name: String,
    state: State,
    writable: u64,
    files: u64,
}

/// How much a volume takes.
#[derive(Debug, Clone)]
pub struct VolumeUsage {
    name: VolumeName,
    bytes: u64,
    containers: usize,
}

impl DiskUsage {
    /// Each image, the newest first.
    pub fn images(&self) -> &[ImageUsage] {
        &self.images
    }

    /// Each container.
    pub fn containers(&self) -> &[ContainerUsage] {
        &self.containers
    }

    /// Each volume, by name.
    pub fn volumes(&self) -> &[VolumeUsage] {
        &self.volumes
    }

    /// Each layer that images have.
    pub fn layers(&self) -> &[LayerUsage] {
        &self.layers
    }

    /// Bytes of all layers that images have, each counted once.
    #[doc(alias = "LayersSize")]
    pub fn layer_bytes(&self) -> u64 {
        self.layers.iter().map(LayerUsage::bytes).sum()
    }

    /// Bytes of the build cache: the files it keeps, and the layers that no image has.
    pub fn build_cache(&self) -> u64 {
        self.build_cache
    }

    /// Bytes of everything, each layer counted once.
    pub fn total(&self) -> u64 {
        let containers: u64 = self.containers.iter().map(ContainerUsage::bytes).sum();
        let volumes: u64 = self.volumes.iter().map(|volume| volume.bytes).sum();
        self.layer_bytes() + containers + volumes + self.build_cache
    }
}

impl ImageUsage {
    /// The image.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Bytes of its layers that no other image has.
    pub fn unique(&self) -> u64 {
        self.unique
    }

    /// Bytes of its layers that other images have too.
    pub fn shared(&self) -> u64 {
        self.shared
    }

    /// How many containers were made from it.
    pub fn containers(&self) -> usize {
        self.containers
    }
}

impl LayerUsage {
    /// The layer.
    pub fn layer(&self) -> &Layer {
        &self.layer
    }

    /// Bytes of the files that it adds.
    pub fn bytes(&self) -> u64 {
        self.layer.size()
    }

    /// How many images have it: if one, its bytes are unique to that, else shared.
    pub fn images(&self) -> usize {
        self.images
    }
}

impl ContainerUsage {
    /// Its ID.
    pub fn id(&self) -> &ContainerId {
        &self.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it was doing.
    pub fn state(&self) -> State {
        self.state
    }

    /// Bytes of its writable layer.
    #[doc(alias = "SizeRw")]
    pub fn writable(&self) -> u64 {
        self.writable
    }

    /// Bytes of its writable layer, its log and its other files.
    pub fn bytes(&self) -> u64 {
        self.writable + self.files
    }
}

impl VolumeUsage {
    /// Its name.
    pub fn name(&self) -> &VolumeName {
        &self.name
    }

    /// Bytes of its content.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many containers mount it.
    pub fn containers(&self) -> usize {
        self.containers
    }
}

/// Counts everything.
pub(crate) fn usage(store: &Store) -> Result<DiskUsage> {
    let configs = store.configs()?;
    let images = store.images().list()?;
    let mut users: HashMap<&ChainId, usize> = HashMap::new();
    for image in &images {
        for layer in image.layers() {
            *users.entry(layer.chain_id()).or_default() += 1;
        }
    }
    let is_shared = |layer: &&Layer| users.get(layer.chain_id()).is_some_and(|count| *count > 1);
    let of_image = |image: &Image| {
        let shared: u64 = image.layers().iter().filter(is_shared).map(Layer::size).sum();
        let containers = configs.iter().filter(|(_, config)| config.image == image.id().as_str()).count();
        ImageUsage { image: image.clone(), unique: image.size() - shared, shared, containers }
    };
    let usages = images.iter().map(of_image).collect();
    let (with_image, without): (Vec<_>, Vec<_>) =
        store.layers().list()?.into_iter().partition(|layer| users.contains_key(layer.chain_id()));
    let of_layer = |layer: Layer| {
        let images = users.get(layer.chain_id()).copied().unwrap_or_default();
        LayerUsage { layer, images }
    };
    let mut containers = Vec::new();
    for id in store.ids()? {
        let Ok(handle) = store.handle(&id) else { continue };
        let Ok((state, _)) = handle.state() else { continue };
        let [writable, files] = sizes_of_container(store, &id).unwrap_or_default();
        containers.push(ContainerUsage { name: handle.name().to_owned(), id, state, writable, files });
    }
    let mut volumes = Vec::new();
    for volume in store.volumes().list()? {
        let users: HashSet<_> = configs
            .iter()
            .filter(|(_, config)| config.volumes().any(|name| name == volume.name().as_str()))
            .map(|(id, _)| id)
            .collect();
        let bytes = size_of_tree(volume.path());
        volumes.push(VolumeUsage { name: volume.name().clone(), bytes, containers: users.len() });
    }
    Ok(DiskUsage {
        images: usages,
        containers,
        volumes,
        layers: with_image.into_iter().map(of_layer).collect(),
        build_cache: size_of_tree(&store.root().build_cache_dir()) + without.iter().map(Layer::size).sum::<u64>(),
    })
}
