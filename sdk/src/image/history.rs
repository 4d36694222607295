//! The history of an image, each entry with the layer it made.
//!
//! Image Configuration, "history": the entries without `empty_layer` belong to the layers, in order.

use crate::layer::Layer;
use crate::spec::image_config::History;
use crate::spec::time::Timestamp;

/// One step in the making of an image.
#[derive(Debug, Clone)]
pub struct HistoryEntry {
    history: History,
    layer: Option<Layer>,
}

impl HistoryEntry {
    /// When the step was made.
    pub fn created(&self) -> Option<Timestamp> {
        self.history.created
    }

    /// The instruction or command; empty if unknown.
    pub fn created_by(&self) -> &str {
        self.history.created_by.as_deref().unwrap_or_default()
    }

    /// What its author remarked; empty if nothing.
    pub fn comment(&self) -> &str {
        self.history.comment.as_deref().unwrap_or_default()
    }

    /// Who made it; empty if unknown.
    pub fn author(&self) -> &str {
        self.history.author.as_deref().unwrap_or_default()
    }

    /// The layer it made; `None` for a step that changed the configuration only.
    pub fn layer(&self) -> Option<&Layer> {
        self.layer.as_ref()
    }

    /// Bytes of that layer.
    pub fn size(&self) -> u64 {
        self.layer.as_ref().map_or(0, Layer::size)
    }
}

/// Pairs the history with the layers. A history that tells of fewer layers than there are is paired as far as it goes.
pub(super) fn paired(history: &[History], layers: &[Layer]) -> Vec<HistoryEntry> {
    let mut layers = layers.iter().cloned();
    let entry = |history: &History| HistoryEntry {
        history: history.clone(),
        layer: if history.empty_layer { None } else { layers.next() },
    };
    history.iter().map(entry).collect()
}

/// How many layers a history tells of.
pub(super) fn layers_claimed(history: &[History]) -> usize {
    history.iter().filter(|entry| !entry.empty_layer).count()
}
