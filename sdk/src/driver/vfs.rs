//! The vfs driver: a whole tree per layer, copied from the one below.
//!
//! ```text
//! vfs/dir/<cache-id>/    everything that a process sees
//! ```
//!
//! It needs nothing of the kernel and works on every file system. Where blocks can be shared (reflink), a copy takes time
//! but hardly any space.

use std::path::PathBuf;

use super::Driver;
use crate::archive::{Form, XattrKind, is_overlay_state};
use crate::data_root::{DataRoot, atomic};
use crate::error::{Attempt as _, Result};
use crate::spec::id::CacheId;
use crate::sys::within::{ENTER, within};
use crate::sys::{fs, userns};

/// The driver of one data root.
#[derive(Debug)]
pub(super) struct Vfs {
    root: DataRoot,
}

impl Vfs {
    pub(super) fn open(root: &DataRoot) -> Self {
        Self { root: root.clone() }
    }
}

impl Driver for Vfs {
    fn form(&self) -> Form {
        Form::Whole
    }

    fn xattrs(&self) -> XattrKind {
        if userns::makes_devices() { XattrKind::Trusted } else { XattrKind::User }
    }

    fn create(&self, id: &CacheId, parent: Option<&CacheId>) -> Result<()> {
        let directory = self.root.layer_dir(id);
        atomic::create_directory(&directory, 0o755)?;
        let Some(parent) = parent else { return Ok(()) };
        let parent = self.root.layer_dir(parent);
        let attempt = || format!("copy the layer in {parent:?} to {directory:?}");
        let copy = || {
            let (from, to) = (fs::open_directory(&parent)?, fs::open_directory(&directory)?);
            fs::copy_tree(&from, &to, |name| !is_overlay_state(name))?;
            match self.xattrs().set_copied(&to) {
                // Without the note, more is compared later.
                Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(()),
                noted => noted,
            }
        };
        within(copy).attempt(|| ENTER)?.attempt(attempt)
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
        self.root.discard(&self.root.layer_dir(id))
    }
}
