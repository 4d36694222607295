//! Drivers with a whole tree per layer, which begins as a copy of the one below.
//!
//! ```text
//! vfs/dir/<cache-id>/              everything that a process sees: copied
//! btrfs/subvolumes/<cache-id>/     the same, a subvolume: a snapshot
//! ```
//!
//! vfs needs nothing of the kernel and works on every file system. Where blocks can be shared (reflink), a copy takes time
//! but hardly any space. A snapshot of btrfs takes neither.

use std::path::PathBuf;

use super::Driver;
use crate::archive::{Form, XattrKind, is_overlay_state};
use crate::data_root::{DataRoot, atomic};
use crate::error::{Attempt as _, Result};
use crate::spec::id::CacheId;
use crate::sys::within::{ENTER, within};
use crate::sys::{btrfs, fs, userns};

/// The driver of one data root.
#[derive(Debug)]
pub(super) struct Trees {
    root: DataRoot,
    how: How,
}

/// How a tree begins as that of the layer below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Copy,
    Snapshot,
}

impl Trees {
    pub(super) fn open(root: &DataRoot, how: How) -> Self {
        Self { root: root.clone(), how }
    }

    fn copy(&self, parent: &CacheId, id: &CacheId) -> Result<()> {
        let (parent, directory) = (self.root.layer_dir(parent), self.root.layer_dir(id));
        let copy = || {
            let (from, to) = (fs::open_directory(&parent)?, fs::open_directory(&directory)?);
            fs::copy_tree(&from, &to, |name| !is_overlay_state(name))?;
            match self.xattrs().set_copied(&to) {
                // Without the note, more is compared later.
                Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(()),
                noted => noted,
            }
        };
        within(copy).attempt(|| ENTER)?.attempt(|| format!("copy the layer in {parent:?} to {directory:?}"))
    }

    fn snapshot(&self, parent: Option<&CacheId>, id: &CacheId) -> Result<()> {
        let home = self.root.layers_dir();
        let snapshot = || {
            let above = fs::open_directory(&home)?;
            match parent {
                Some(parent) => {
                    btrfs::snapshot(fs::open_directory(&self.root.layer_dir(parent))?, above, id.as_str().as_ref())
                }
                None => {
                    btrfs::create_subvolume(above, id.as_str().as_ref())?;
                    fs::set_mode(fs::open_directory(&self.root.layer_dir(id))?, 0o755)
                }
            }
        };
        snapshot().attempt(|| format!("create subvolume {:?}", self.root.layer_dir(id)))
    }
}

impl Driver for Trees {
    fn form(&self) -> Form {
        Form::Whole
    }

    fn xattrs(&self) -> XattrKind {
        if userns::makes_devices() { XattrKind::Trusted } else { XattrKind::User }
    }

    fn create(&self, id: &CacheId, parent: Option<&CacheId>) -> Result<()> {
        match self.how {
            How::Snapshot => self.snapshot(parent, id),
            How::Copy => {
                atomic::create_directory(&self.root.layer_dir(id), 0o755)?;
                parent.map_or(Ok(()), |parent| self.copy(parent, id))
            }
        }
    }

    fn exists(&self, id: &CacheId) -> bool {
        self.root.layer_dir(id).is_dir()
    }

    fn files(&self, id: &CacheId) -> Result<PathBuf> {
        Ok(self.root.layer_dir(id))
    }

    fn work(&self, _id: &CacheId) -> Option<PathBuf> {
        None
    }

    fn remove(&self, id: &CacheId) -> Result<()> {
        if self.how == How::Snapshot {
            let home = self.root.layers_dir();
            let above = fs::open_directory(&home).attempt(|| format!("open {home:?}"))?;
            if btrfs::destroy_subvolume(above, id.as_str().as_ref()).is_ok() {
                return Ok(());
            }
            // It is gone, holds subvolumes of its own, or is a directory: file by file then.
        }
        self.root.discard(&self.root.layer_dir(id))
    }
}
