//! What a build tells while it runs.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::logs::Stream;
use crate::spec::digest::ImageId;

/// One thing that happened during a build; see [`Options::progress`](super::Options::progress).
///
/// It prints as a line for a terminal: `[2/4] RUN /bin/sh -c make`, with `CACHED` where nothing had to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A step begins, or was found in the build cache.
    ///
    /// Steps are bases and the instructions that can make a layer: `FROM`, `RUN`, `COPY`, `ADD` and `WORKDIR`.
    Step {
        /// Counts from 1, over all stages that are needed.
        number: usize,
        /// How many steps this build has.
        total: usize,
        /// The instruction, variables expanded.
        text: String,
        /// Whether the result was there already.
        cached: bool,
    },
    /// A line that the program of a `RUN` wrote; bytes that are not UTF-8 are replaced.
    Output {
        /// The step that runs.
        number: usize,
        /// Where it was written to.
        stream: Stream,
        /// The line, without its end.
        line: String,
    },
    /// The image is in the store.
    Done {
        /// The image built.
        image: ImageId,
        /// How many steps there were.
        steps: usize,
        /// How many of them were found in the build cache.
        cached: usize,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step { number, total, text, cached: true } => write!(f, "[{number}/{total}] CACHED {text}"),
            Self::Step { number, total, text, cached: false } => write!(f, "[{number}/{total}] {text}"),
            Self::Output { line, .. } => write!(f, "  | {line}"),
            Self::Done { image, steps, cached } => {
                write!(f, "built {} ({cached} of {steps} steps cached)", image.short())
            }
        }
    }
}

type Callback = Box<dyn FnMut(&Event) + Send>;

/// The caller's function for events, or none.
#[derive(Clone, Default)]
pub(super) struct Listener(Option<Arc<Mutex<Callback>>>);

impl Listener {
    pub(super) fn new(callback: impl FnMut(&Event) + Send + 'static) -> Self {
        Self(Some(Arc::new(Mutex::new(Box::new(callback)))))
    }

    /// Calls the function, in the thread that builds.
    pub(super) fn tell(&self, event: &Event) {
        if let Some(callback) = &self.0 {
            // A callback that panicked in an earlier build says nothing about this one.
            let mut callback = callback.lock().unwrap_or_else(PoisonError::into_inner);
            callback(event);
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Listener(set)" } else { "Listener(none)" })
    }
}
