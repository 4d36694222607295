//! Builds: from a definition to an image.
//!
//! ```text
//! Layers ── plan.rs ──► stages ── state.rs ──► steps ──► layers ── commit.rs ──► image
//!                                                │
//!                                                ├── cache.rs     has it been done before?
//!                                                ├── copy.rs      COPY, ADD: tree.rs ──► writer.rs
//!                                                └── run.rs       RUN
//! ```

mod builder;
pub(crate) mod cache;
mod commit;
mod context;
mod copy;
mod depends;
mod embedded;
mod event;
mod left;
mod limits;
mod mode;
mod options;
mod output;
mod owner;
mod plan;
mod run;
mod run_mounts;
mod scope;
mod state;
mod tree;
mod trigger;
mod unpack;
mod writer;

use std::rc::Rc;

use crate::error::Result;
use crate::image::Layers;
use crate::image::images::Images;
use crate::spec::{ImageId, Reference};

pub use event::Event;
pub use options::Options;

/// Builds an image and stores it; a failed build leaves nothing but the cached results of the steps before.
///
/// # Errors
/// `NotFound` for a base or source that is not there, `InvalidArgument` for a definition that cannot be,
/// `Failed` for a `RUN` whose program fails.
pub(crate) fn build(images: &Images, definition: &Layers, options: &Options) -> Result<ImageId> {
    let tags = options.tags.iter().map(|tag| Reference::parse(tag)).collect::<Result<Vec<_>>>()?;
    let given = scope::Given::new(options.args.clone());
    let mut builder = builder::Builder::new(images, options, Rc::clone(&given));
    let mut draft = builder.build(definition)?;
    let unused = given.unused();
    if !unused.is_empty() {
        tracing::warn!("build image: no ARG of what was built has asked for the arguments [{}]", unused.join(" "));
    }
    for (key, value) in &options.labels {
        draft.state.config.labels.insert(key.clone(), value.clone());
        draft.add_empty(&format!("LABEL {key}={value}"));
    }
    let image = draft.publish(images, &tags)?;
    let (steps, cached) = builder.steps();
    options.listener.tell(&Event::Done { image: image.clone(), steps, cached });
    Ok(image)
}

/// The candidate most like a word.
fn nearest_name<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    plywood_syntax::suggest::nearest(word, candidates)
}

/// The same as a hint at the end of a message.
fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest_name(word, candidates).map(|name| format!(" (did you mean {name:?}?)")).unwrap_or_default()
}

#[cfg(test)]
mod tests;
