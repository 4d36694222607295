//! From layers and configuration to an image.

use crate::data_root::InFlight;
use crate::error::{Error, ErrorKind, Result};
use crate::image::images::Images;
use crate::image::tags::Overwrite;
use crate::layer::{Layer, LayerStore};
use crate::spec::image_config::History;
use crate::spec::{ChainId, ImageConfig, ImageId, Platform, Reference, Timestamp};

use super::scope::Globals;
use super::state::State;

/// What other builders note about the container that made an image, and about their own parent images; it is not true
/// of an image that is built on it.
const STALE: [&str; 6] =
    ["container", "container_config", "docker_version", "id", "parent", "moby.buildkit.buildinfo.v1"];

/// A stage on its way to an image.
#[derive(Debug)]
pub(super) struct Draft {
    pub state: State,
    image: ImageConfig,
    top: Option<ChainId>,
    /// Keeps the layers from being removed meanwhile.
    pin: Option<InFlight>,
}

impl Draft {
    /// Nothing yet.
    pub(super) fn scratch(platform: &Platform, globals: &Globals) -> Self {
        let image = ImageConfig::new(platform.clone());
        Self { state: State::new(image.config.clone(), globals.clone()), image, top: None, pin: None }
    }

    /// The beginning of a stage on an image with this configuration.
    pub(super) fn on_image(layers: &LayerStore, image: &ImageConfig, globals: &Globals) -> Result<Self> {
        let mut image = image.clone();
        STALE.iter().for_each(|key| drop(image.other.remove(*key)));
        let top = ChainId::stack(image.diff_ids()).pop();
        let pin = pin(layers, top.as_ref())?;
        Ok(Self { state: State::new(image.config.clone(), globals.clone()), image, top, pin })
    }

    /// The beginning of a stage on an earlier one.
    pub(super) fn on_stage(layers: &LayerStore, earlier: &Self) -> Result<Self> {
        let pin = pin(layers, earlier.top())?;
        Ok(Self { state: State::on(&earlier.state), image: earlier.image.clone(), top: earlier.top.clone(), pin })
    }

    /// The beginning of a stage on another definition, whose variables it does not know.
    pub(super) fn on_definition(other: Self, globals: &Globals) -> Self {
        Self { state: State::new(other.state.config.clone(), globals.clone()), ..other }
    }

    /// The stack so far.
    pub(super) fn top(&self) -> Option<&ChainId> {
        self.top.as_ref()
    }

    /// What keeps its layers, for one that is only copied from.
    pub(super) fn into_pin(self) -> Option<InFlight> {
        self.pin
    }

    /// Adds a layer that an instruction made.
    pub(super) fn add_layer(
        &mut self,
        layers: &LayerStore,
        layer: &Layer,
        created: Timestamp,
        text: &str,
    ) -> Result<()> {
        self.pin = pin(layers, Some(layer.chain_id()))?;
        self.top = Some(layer.chain_id().clone());
        self.image.rootfs.diff_ids.push(layer.diff_id().clone());
        self.image.history.push(History::layer(created, text));
        self.image.created = Some(created);
        Ok(())
    }

    /// Notes an instruction that changed the configuration only.
    ///
    /// Its time is that of the layer below, so that equal definitions on equal layers give equal images.
    pub(super) fn add_empty(&mut self, text: &str) {
        let mut entry = History::empty(Timestamp::UNIX_EPOCH, text);
        entry.created = self.image.created;
        self.image.history.push(entry);
    }

    /// Stores the image and tags it.
    pub(super) fn publish(mut self, images: &Images, tags: &[Reference]) -> Result<ImageId> {
        self.image.config = self.state.config;
        let json = serde_json::to_vec(&self.image).map_err(|error| {
            Error::new(ErrorKind::InvalidArgument, format!("store the image that was built: {error}"))
        })?;
        let image = images.publish(&json, tags, Overwrite::Move)?;
        Ok(image.id().clone())
    }
}

fn pin(layers: &LayerStore, top: Option<&ChainId>) -> Result<Option<InFlight>> {
    top.map(|chain| layers.pin(chain)).transpose()
}
