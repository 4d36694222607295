//! Attributes: of files as they are made, of directories at the end.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;

use rustix::io::Errno;

use crate::archive::Ownership;
use crate::archive::entry::Entry;
use crate::archive::fault::text;
use crate::archive::path::split;
use crate::archive::whiteout::is_overlay_state;
use crate::error::{Attempt as _, Result};
use crate::sys::fs::{self, DIRECTORY};

use super::{DirectoryState, Finished, Parent, Tree};

impl Tree<'_> {
    /// Gives the directories what their entries say and ends the tree.
    pub(in crate::archive) fn finish(mut self) -> Result<Finished> {
        // While every directory can still be entered.
        let size = if self.saved.is_some() { self.occupied()? } else { self.size };
        let directories = std::mem::take(&mut self.directories);
        // From the last path to the first: what is inside a directory comes before it, so that neither its time changes
        // again nor a mode that forbids entering it stands in the way.
        for (path, state) in directories.iter().rev() {
            self.finish_directory(path, state)?;
        }
        Ok(Finished { size, saved: self.saved })
    }

    fn finish_directory(&mut self, path: &[u8], state: &DirectoryState) -> Result<()> {
        let say = || format!("set the attributes of directory {:?}", text(path));
        let (above, name) = split(path);
        let parent = self.parents.open_known(above).attempt(say)?;
        let name = if name.is_empty() { b".".as_slice() } else { name };
        let directory = fs::open_at(&parent.directory, name, DIRECTORY).attempt(say)?;
        if self.changes_owner(state.uid, state.gid) {
            fs::set_owner(&directory, state.uid, state.gid).attempt(say)?;
        }
        if self.own.is_some() {
            self.remove_xattrs(path, &directory, state)?;
        }
        // Attributes first: an ACL sets mode bits as well, and the entry's mode is what counts.
        for (name, value) in &state.xattrs {
            self.set_xattr(path, name, || fs::set_xattr(&directory, name.as_slice(), value))?;
        }
        fs::set_mode(&directory, state.mode).attempt(say)?;
        fs::set_times(&directory, state.modified).attempt(say)
    }

    /// Takes away what a directory of the layers below had, and this layer's does not.
    fn remove_xattrs(&self, path: &[u8], directory: &OwnedFd, state: &DirectoryState) -> Result<()> {
        let say = || format!("set the attributes of directory {:?}", text(path));
        for (name, _) in fs::list_xattrs(directory).attempt(say)? {
            if self.accepts(&name) && state.xattrs.iter().all(|(kept, _)| *kept != name) {
                fs::remove_xattr(directory, name.as_slice()).attempt(say)?;
            }
        }
        Ok(())
    }

    pub(super) fn changes_owner(&self, uid: u32, gid: u32) -> bool {
        // A directory of the layers below may hand its group down.
        let is_given = self.own.is_none() && (uid, gid) == (self.creation.uid, self.creation.gid);
        self.options.ownership.keeps_owners() && !is_given
    }

    pub(super) fn set_xattrs_at(&self, parent: &Parent, name: &[u8], entry: &Entry) -> Result<()> {
        for (key, value) in &entry.xattrs {
            self.set_xattr(&entry.name, key, || {
                fs::set_xattr_at(&parent.directory, OsStr::from_bytes(name), key.as_slice(), value)
            })?;
        }
        Ok(())
    }

    /// Sets one attribute that an archive may set; what the file system cannot keep is left out, as Docker does.
    pub(super) fn set_xattr(&self, file: &[u8], name: &[u8], set: impl FnOnce() -> io::Result<()>) -> Result<()> {
        if !self.accepts(name) {
            return Ok(());
        }
        match set() {
            Err(error) if is_unsupported(name, &error) => {
                tracing::debug!(file = text(file), name = text(name), "extended attribute left out: {error}");
                Ok(())
            }
            result => result.attempt(|| format!("set attribute {:?} of {:?}", text(name), text(file))),
        }
    }

    /// Overlay state never comes from an archive, labels and measurements are the host's, and an ordinary user can set
    /// no trusted attributes, and capabilities only with ids that they can hold for.
    fn accepts(&self, name: &[u8]) -> bool {
        if is_overlay_state(name) || matches!(name, b"security.selinux" | b"security.ima" | b"security.evm") {
            return false;
        }
        let is_privileged = name.starts_with(b"security.") || name.starts_with(b"trusted.");
        match self.options.ownership {
            Ownership::Keep => true,
            Ownership::Mapped => !is_privileged || name == b"security.capability",
            Ownership::Flatten => !is_privileged,
        }
    }
}

/// No attributes on this file system, or none of the user's on a link or device.
fn is_unsupported(name: &[u8], error: &io::Error) -> bool {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::OPNOTSUPP) => true,
        Some(Errno::PERM) => name.starts_with(b"user."),
        _ => false,
    }
}
