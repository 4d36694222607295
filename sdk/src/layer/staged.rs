//! A layer in the making.
//!
//! It has its final place under the driver from the start, but no record: nobody finds it. The journal knows it, so a
//! process that ends in the middle leaves nothing for good.

use std::path::{Path, PathBuf};

use super::store::LayerStore;
use crate::data_root::{InFlight, atomic};
use crate::error::{Attempt as _, Result};
use crate::spec::digest::ChainId;
use crate::spec::id::CacheId;
use crate::spec::time::Timestamp;
use crate::sys::{
    self,
    fs::{FileKind, Time},
};

/// In a second.
const NANOS: i128 = 1_000_000_000;

/// The directories of a layer that is not published yet. Dropping it removes them.
#[derive(Debug)]
pub(crate) struct StagedLayer {
    pub(super) store: LayerStore,
    pub(super) cache_id: CacheId,
    pub(super) parent: Option<ChainId>,
    diff: PathBuf,
    work: PathBuf,
    /// Its entry in the journal; `None` once the layer is published.
    entry: Option<InFlight>,
}

impl StagedLayer {
    pub(super) fn new(store: &LayerStore, cache_id: CacheId, parent: Option<ChainId>, entry: InFlight) -> Self {
        let (diff, work) = (store.driver().diff_dir(&cache_id), store.driver().work_dir(&cache_id));
        Self { store: store.clone(), cache_id, parent, diff, work, entry: Some(entry) }
    }

    /// The directory to put the layer's files in, whiteouts encoded as overlay does.
    pub(crate) fn diff(&self) -> &Path {
        &self.diff
    }

    /// The directory for overlay's own use when [`diff`](Self::diff) is mounted as the upper one. It exists only above a
    /// parent: overlay cannot be mounted without a lower directory.
    pub(crate) fn work(&self) -> &Path {
        &self.work
    }

    /// The stack below.
    pub(crate) fn parent(&self) -> Option<&ChainId> {
        self.parent.as_ref()
    }

    /// Sets every time of modification after `latest` to `latest`, so that the same files give the same layer whenever
    /// they are made.
    #[doc(alias = "SOURCE_DATE_EPOCH")]
    pub(crate) fn clamp_times(&self, latest: Timestamp) -> Result<()> {
        let nanos = latest.unix_nanos();
        let latest = Time {
            seconds: i64::try_from(nanos.div_euclid(NANOS)).unwrap_or(i64::MAX),
            nanoseconds: u32::try_from(nanos.rem_euclid(NANOS)).unwrap_or_default(),
        };
        let attempt = || format!("set the times in {:?}", self.diff);
        let root = sys::fs::open_directory(&self.diff).attempt(attempt)?;
        let mut pending = vec![PathBuf::from(".")];
        while let Some(path) = pending.pop() {
            let directory = sys::fs::open_beneath(&root, &path, sys::fs::DIRECTORY).attempt(attempt)?;
            for entry in sys::fs::read_directory(&directory).attempt(attempt)? {
                if sys::fs::stat_at(&directory, &entry.name).attempt(attempt)?.modified > latest {
                    sys::fs::set_times_at(&directory, &entry.name, latest).attempt(attempt)?;
                }
                if entry.kind == FileKind::Directory {
                    pending.push(path.join(&entry.name));
                }
            }
        }
        Ok(())
    }

    /// The directory for the layer's records, made on the first call.
    pub(super) fn write_set(&self) -> Result<PathBuf> {
        let path = self.store.root().write_set(&self.cache_id);
        atomic::create_directory(&path, 0o700)?;
        Ok(path)
    }

    /// Leaves everything as a process does that is killed here.
    #[cfg(test)]
    pub(super) fn crash(mut self) {
        self.entry.take().into_iter().for_each(InFlight::abandon);
    }

    /// The layer is published: it stays.
    pub(super) fn keep(mut self) {
        self.entry = None;
    }
}

impl Drop for StagedLayer {
    fn drop(&mut self) {
        let Some(entry) = self.entry.take() else { return };
        let removed = self.store.driver().remove(&self.cache_id);
        let removed = removed.and_then(|()| self.store.root().discard(&self.store.root().write_set(&self.cache_id)));
        if let Err(error) = removed {
            // The journal keeps it, and the next open tries again.
            tracing::warn!(layer = %self.cache_id, %error, "a layer that was given up could not be removed");
            entry.abandon();
        }
    }
}
