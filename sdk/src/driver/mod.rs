//! Storage drivers: how a layer's files lie on disk.
//!
//! A driver makes and removes directories; it knows nothing of images, digests or records. Only `overlay2` exists so
//! far. A driver that cannot stack (`vfs`) would copy the parent in [`create`](Driver::create) and give one directory
//! in [`lowers`](Driver::lowers).

use std::fmt::Debug;
use std::path::PathBuf;

use crate::archive::XattrKind;
use crate::data_root::DataRoot;
use crate::error::{ErrorKind, Fault, Result};
use crate::spec::id::CacheId;
use crate::sys::probe;

pub(crate) mod overlay2;

/// How the files of layers are kept.
pub(crate) trait Driver: Debug + Send + Sync {
    /// The namespace of overlay's extended attributes in this store's layers.
    fn xattrs(&self) -> XattrKind;

    /// Makes the directories of a layer above `parent`. What a failure leaves, [`remove`](Driver::remove) removes.
    fn create(&self, id: &CacheId, parent: Option<&CacheId>) -> Result<()>;

    /// Makes what a mount above `parent` needs, and none of the names by which others find the layer. What a failure
    /// leaves, [`remove`](Driver::remove) removes.
    fn create_unnamed(&self, id: &CacheId, parent: &CacheId) -> Result<()>;

    /// Makes the names that [`create_unnamed`](Driver::create_unnamed) has left out; those that exist are replaced.
    fn complete(&self, id: &CacheId, parent: &CacheId) -> Result<()>;

    /// Declares that the layer will not change any more.
    fn seal(&self, id: &CacheId) -> Result<()>;

    /// The directory with the layer's own files.
    fn diff_dir(&self, id: &CacheId) -> PathBuf;

    /// The directory overlay works in while the layer is written to; it exists for layers with a parent.
    fn work_dir(&self, id: &CacheId) -> PathBuf;

    /// The directories that, mounted over each other, show `stack`; both top first.
    fn lowers(&self, stack: &[CacheId]) -> Vec<PathBuf>;

    /// Whether others find the layer, which stands on `below` (top first), by its names. Without names there is nothing to
    /// lose.
    fn names_are_sound(&self, id: &CacheId, below: &[CacheId]) -> Result<bool>;

    /// Makes the names again, where those of the layers below are sound.
    fn restore_names(&self, id: &CacheId, below: &[CacheId]) -> Result<()>;

    /// The names that lead to no layer.
    fn dangling_names(&self) -> Result<Vec<PathBuf>>;

    /// Removes the layer and all of its names. A layer that is missing or half made is no error.
    fn remove(&self, id: &CacheId) -> Result<()>;
}

/// What is known about overlay on this kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Overlay {
    /// To be found out.
    #[default]
    Unknown,
    /// To be treated as missing, whatever the kernel says: for tests.
    Missing,
}

/// Chooses the driver for `root`.
///
/// # Errors
/// `Unsupported` on a kernel without overlay.
pub(crate) fn choose(root: &DataRoot, overlay: Overlay) -> Result<Box<dyn Driver>> {
    if overlay == Overlay::Missing || probe::overlay_is_missing() {
        return Err(NoOverlay.into());
    }
    Ok(Box::new(overlay2::Overlay2::open(root)?))
}

#[derive(Debug, thiserror::Error)]
#[error("open the layer store: this kernel has no overlay file system")]
struct NoOverlay;

impl Fault for NoOverlay {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Unsupported
    }
    fn hint(&self) -> Option<String> {
        Some("load the kernel module with `modprobe overlay`, or use a kernel built with CONFIG_OVERLAY_FS".to_owned())
    }
}
