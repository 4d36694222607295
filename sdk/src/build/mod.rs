//! Builds: from a definition to an image.
//!
//! ```text
//! Layers ── plan.rs ──► stages ── state.rs ──► steps ──► layers ── commit.rs ──► image
//!                                                │
//!                                                ├── cache.rs     has it been done before?
//!                                                ├── copy.rs      COPY, ADD: tree.rs ──► writer.rs
//!                                                └── run.rs       RUN
//! ```

mod context;
mod event;
mod mode;
mod options;
mod plan;
mod scope;
mod state;
mod tree;
mod writer;

pub use event::Event;
pub use options::{Network, Options};

/// The candidate most like a word.
fn nearest_name<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    plywood_syntax::suggest::nearest(word, candidates)
}

/// The same as a hint at the end of a message.
fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest_name(word, candidates).map(|name| format!(" (did you mean {name:?}?)")).unwrap_or_default()
}
