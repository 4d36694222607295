//! Where a data root has what differs from one storage driver to the next.

use std::path::{Path, PathBuf};

use plywood::{Engine, StorageDriver};

/// The places of one data root.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
    driver: StorageDriver,
}

impl Layout {
    /// Those of the data root of an engine.
    pub fn of(engine: &Engine) -> Self {
        Self { root: engine.path().to_owned(), driver: engine.driver().driver() }
    }

    /// Those of a data root, by what it looks like. One that nobody has used yet has those of overlay2.
    pub fn at(root: &Path) -> Self {
        let drivers = [StorageDriver::FuseOverlayfs, StorageDriver::Btrfs, StorageDriver::Vfs];
        let used = drivers.into_iter().find(|driver| root.join("image").join(driver.name()).exists());
        Self { root: root.to_owned(), driver: used.unwrap_or(StorageDriver::Overlay2) }
    }

    /// The directory of the layers, in the data root.
    pub fn home(&self) -> &'static str {
        match self.driver {
            StorageDriver::Vfs => "vfs/dir",
            StorageDriver::Btrfs => "btrfs/subvolumes",
            driver => driver.name(),
        }
    }

    /// The directory of the layers.
    pub fn layers(&self) -> PathBuf {
        self.root.join(self.home())
    }

    /// Something in the directory of images and records, in the data root.
    pub fn image(&self, below: &str) -> String {
        format!("image/{}/{below}", self.driver.name())
    }

    /// Whether a layer's directory holds the files of those below it, too.
    pub fn is_whole(&self) -> bool {
        matches!(self.driver, StorageDriver::Vfs | StorageDriver::Btrfs)
    }

    /// The files in the directory of a layer.
    pub fn files(&self, layer: &Path) -> PathBuf {
        if self.is_whole() { layer.to_owned() } else { layer.join("diff") }
    }
}
