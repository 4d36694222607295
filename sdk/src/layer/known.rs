//! The stacks that this program has read: a container of an image with a hundred layers would read some hundred files, and
//! so would the next.
//!
//! Records do not change, and no layer goes while another stands on it. So a stack holds as long as the file `cache-id` of its top layer is
//! the same file, unchanged: who removes a layer and makes it again makes another.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Layer;
use crate::spec::digest::ChainId;

/// How many are kept: a stack takes up to 50 KiB.
const MOST: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Known(Mutex<HashMap<ChainId, Stack>>);

#[derive(Debug)]
struct Stack {
    top: Stamp,
    layers: Arc<[Layer]>,
}

/// What tells a file from any other, and from itself at another time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    changed: (i64, i64),
}

impl Known {
    /// The stack whose top layer has this stamp now.
    pub(super) fn get(&self, top: &ChainId, stamp: Stamp) -> Option<Arc<[Layer]>> {
        let stacks = self.stacks();
        stacks.get(top).filter(|stack| stack.top == stamp).map(|stack| Arc::clone(&stack.layers))
    }

    /// Keeps a stack. The stamp is taken before its records are read: what changes meanwhile is read again.
    pub(super) fn put(&self, top: &ChainId, stamp: Stamp, layers: &[Layer]) {
        let mut stacks = self.stacks();
        if stacks.len() >= MOST {
            stacks.clear();
        }
        stacks.insert(top.clone(), Stack { top: stamp, layers: layers.into() });
    }

    fn stacks(&self) -> MutexGuard<'_, HashMap<ChainId, Stack>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stamp {
    /// Of the layer with this record; `None` if there is none.
    pub(super) fn of(record: &Path) -> Option<Self> {
        let found = fs::symlink_metadata(record.join("cache-id")).ok()?;
        Some(Self { device: found.dev(), inode: found.ino(), changed: (found.ctime(), found.ctime_nsec()) })
    }
}
