//! Storage drivers: how a layer's files lie on disk.
//!
//! A driver makes and removes directories; it knows nothing of images, digests or records. A driver that cannot stack
//! copies the parent in `create` and gives one directory in `lowers`.

use std::fmt::Debug;
use std::path::{Path, PathBuf};

use crate::archive::{Form, XattrKind};
use crate::data_root::DataRoot;
use crate::error::Result;
use crate::spec::id::CacheId;

mod choice;
mod overlay2;
mod trees;

pub use choice::{Choice, PassedOver, StorageDriver};
pub(crate) use choice::{Request, choose};

/// How the files of layers are kept.
///
/// What is put into a layer and read out of it (archives, whiteouts, differences) is the same for every driver of one
/// [`Form`]; a driver makes the directories, gives and takes them.
pub(crate) trait Driver: Debug + Send + Sync {
    /// What the directory of a layer holds.
    fn form(&self) -> Form;

    /// The namespace of overlay's extended attributes in this store's layers.
    fn xattrs(&self) -> XattrKind;

    /// Makes the directories of a layer above `parent`. What a failure leaves, [`remove`](Driver::remove) removes.
    fn create(&self, id: &CacheId, parent: Option<&CacheId>) -> Result<()>;

    /// Makes what a mount above `parent` needs, and none of the names by which others find the layer. What a failure
    /// leaves, [`remove`](Driver::remove) removes.
    fn create_unnamed(&self, id: &CacheId, parent: &CacheId) -> Result<()> {
        self.create(id, Some(parent))
    }

    /// Makes the names that [`create_unnamed`](Driver::create_unnamed) has left out; those that exist are replaced.
    fn complete(&self, _id: &CacheId, _parent: &CacheId) -> Result<()> {
        Ok(())
    }

    /// Declares that the layer will not change any more.
    fn seal(&self, _id: &CacheId) -> Result<()> {
        Ok(())
    }

    /// Whether there is such a layer.
    fn exists(&self, id: &CacheId) -> bool;

    /// The directory with the layer's files.
    ///
    /// A driver whose layers are file systems of their own mounts it here, until the layer is removed or the driver is
    /// dropped.
    fn files(&self, id: &CacheId) -> Result<PathBuf>;

    /// The directory overlay works in while the layer is written to; it exists for layers with a parent. `None`: the
    /// directory of the files is mounted as it is.
    fn work(&self, id: &CacheId) -> Option<PathBuf>;

    /// The program that lays the directories over each other, where it is not the kernel.
    fn program(&self) -> Option<&Path> {
        None
    }

    /// The directories that, laid over each other, show `stack`; both top first.
    fn lowers(&self, stack: &[CacheId]) -> Result<Vec<PathBuf>> {
        let shown = match self.form() {
            Form::Changes => stack,
            Form::Whole => &stack[..stack.len().min(1)],
        };
        shown.iter().map(|id| self.files(id)).collect()
    }

    /// Whether others find the layer, which stands on `below` (top first), by its names. Without names there is nothing to
    /// lose.
    fn names_are_sound(&self, _id: &CacheId, _below: &[CacheId]) -> Result<bool> {
        Ok(true)
    }

    /// Makes the names again, where those of the layers below are sound.
    fn restore_names(&self, _id: &CacheId, _below: &[CacheId]) -> Result<()> {
        Ok(())
    }

    /// The names that lead to no layer.
    fn dangling_names(&self) -> Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }

    /// Removes the layer and all of its names. A layer that is missing or half made is no error.
    fn remove(&self, id: &CacheId) -> Result<()>;
}

/// Opens the driver that names the directories of `root`.
pub(crate) fn open(root: &DataRoot) -> Result<Box<dyn Driver>> {
    Ok(match root.driver() {
        "btrfs" => Box::new(trees::Trees::open(root, trees::How::Snapshot)),
        "fuse-overlayfs" => Box::new(overlay2::Overlay2::served(root)?),
        "vfs" => Box::new(trees::Trees::open(root, trees::How::Copy)),
        _ => Box::new(overlay2::Overlay2::open(root)?),
    })
}
