//! What a step that failed has left, for whoever looks for what went wrong.

use crate::error::{Error, Result};
use crate::image::images::Images;
use crate::layer::StagedLayer;
use crate::spec::Timestamp;

use super::commit::Draft;

/// Makes an image without a name of it, and says in the error of the step how to look at that.
pub(super) fn leave(images: &Images, draft: Draft, staged: StagedLayer, step: &str, error: Error) -> Error {
    let layers = images.layers();
    let image = || -> Result<_> {
        let layer = layers.commit(staged)?;
        let mut draft = draft;
        draft.add_layer(layers, &layer, Timestamp::now(), step)?;
        draft.publish(images, &[])
    };
    match image() {
        Ok(id) => error.with_hint(format_args!(
            "look at what it left: plywood --root {} run --rm -it --entrypoint sh {}",
            layers.root().path().display(),
            id.short()
        )),
        Err(cause) => error.with_clean_up(cause),
    }
}
