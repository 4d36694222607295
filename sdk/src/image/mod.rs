//! Images: definitions, the store, tags, and archives.
//!
//! An image is a stack of read-only layers and an image configuration; its ID is the digest of the configuration. The
//! store holds configurations (`store`) and tags (`tags`); `images` ties them to the layers and is what the rest
//! of the crate uses. Images come in by `import` (the tar of a root filesystem) and `load` (archives of images)
//! and go out by `save`.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::layer::Layer;
use crate::spec::digest::{ChainId, ImageId};
use crate::spec::image_config::ImageConfig;
use crate::spec::platform::Platform;
use crate::spec::reference::Reference;
use crate::spec::time::Timestamp;

pub(crate) mod change;
mod contents;
mod daemon;
mod definition;
mod history;
pub(crate) mod images;
pub(crate) mod import;
pub(crate) mod load;
mod lookup;
pub(crate) mod remove;
pub(crate) mod save;
mod source;
pub(crate) mod store;
pub(crate) mod tags;

pub use crate::archive::Limits;
pub(crate) use definition::EmbeddedFile;
#[doc(hidden)]
pub use definition::keywords;
pub use definition::{
    Add, Arg, Base, Command, Copy, CopySource, DeclaredImage, Dockerfile, Embedded, ExposedPorts, From, HealthCheck,
    ImageDefinition, Instruction, Layers, MountKind, Run, RunMount, Values, VolumePaths,
};
pub use history::HistoryEntry;
pub use import::ImportOptions;
pub use load::{LoadOptions, Loaded};
pub use remove::Removed;
pub use save::{Format, Target};
pub use source::{Progress, Source};

/// As many layers as Docker stacks: overlayfs takes 128 lower directories, and containers add some of their own.
pub const MAX_LAYERS: usize = 125;

/// An image in the store.
///
/// A value that says what the store held when it was made: it costs nothing to clone and reads no file. `D` is the
/// definition it was built from, where there was one, so that ports and mount points keep their names.
pub struct Image<D = Layers> {
    facts: Arc<Facts>,
    definition: PhantomData<fn() -> D>,
}

struct Facts {
    id: ImageId,
    references: Vec<Reference>,
    config: ImageConfig,
    layers: Vec<Layer>,
    history: Vec<HistoryEntry>,
    last_tagged: Option<Timestamp>,
}

impl<D> Image<D> {
    /// The image ID: the digest of the image configuration.
    pub fn id(&self) -> &ImageId {
        &self.facts.id
    }

    /// The references that named it, sorted; none for a dangling image.
    #[doc(alias = "RepoTags")]
    pub fn references(&self) -> &[Reference] {
        &self.facts.references
    }

    /// What it runs, its DiffIDs and its history, as its author wrote them.
    pub fn config(&self) -> &ImageConfig {
        &self.facts.config
    }

    /// Its layers, lowest first.
    pub fn layers(&self) -> &[Layer] {
        &self.facts.layers
    }

    /// How it was made, oldest entry first, each with the layer it made.
    #[doc(alias = "docker history")]
    pub fn history(&self) -> &[HistoryEntry] {
        &self.facts.history
    }

    /// Bytes in its layers; what other images share with it is counted too.
    pub fn size(&self) -> u64 {
        self.facts.layers.iter().map(Layer::size).sum()
    }

    /// When it was made, if its author says so.
    pub fn created(&self) -> Option<Timestamp> {
        self.facts.config.created
    }

    /// When it was last tagged in this store.
    pub fn last_tagged(&self) -> Option<Timestamp> {
        self.facts.last_tagged
    }

    /// The processor it is for, in Go's words: `amd64`, `arm64`.
    pub fn architecture(&self) -> &str {
        &self.facts.config.architecture
    }

    /// The platform it is for.
    pub fn platform(&self) -> Platform {
        self.facts.config.platform()
    }

    /// The topmost layer's ChainID, which stands for the whole stack; `None` for an image without layers.
    pub fn chain_id(&self) -> Option<&ChainId> {
        self.facts.layers.last().map(Layer::chain_id)
    }

    /// The same image as that of another definition.
    pub(crate) fn of_definition<E>(&self) -> Image<E> {
        Image { facts: Arc::clone(&self.facts), definition: PhantomData }
    }
}

impl<D> Clone for Image<D> {
    fn clone(&self) -> Self {
        self.of_definition()
    }
}

impl<D> fmt::Debug for Image<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image")
            .field("id", self.id())
            .field("references", &self.facts.references)
            .field("layers", &self.facts.layers.len())
            .finish_non_exhaustive()
    }
}

impl<D> PartialEq for Image<D> {
    /// Whether both have the same image ID.
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl<D> Eq for Image<D> {}

#[cfg(test)]
mod fixture;
