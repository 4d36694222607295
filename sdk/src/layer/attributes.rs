//! Copying what a node is, apart from its content: owner, mode, extended attributes, time.

use std::io;
use std::path::Path;

use super::view::{Node, NodeKind};
use crate::error::{Attempt as _, Error, Result};
use crate::sys::{self, userns};

/// Gives the file at `path`, which the caller has made of the same kind, the attributes of `node`.
///
/// The files of an ordinary user without further ids all belong to that user, and attributes that only root may set stay behind. Those of
/// overlay itself never leave a layer: the node does not tell them.
pub(crate) fn copy(node: &Node, path: &Path) -> Result<()> {
    let attempt = || format!("copy the attributes of {:?} to {path:?}", node.path);
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::os(attempt(), io::ErrorKind::InvalidInput.into()));
    };
    let directory = sys::fs::open_directory(parent).attempt(attempt)?;
    let tolerate = |may: bool, result: io::Result<()>| match result {
        Err(error) if !may && is_refusal(&error) => Ok(()),
        result => result,
    };
    let owned = sys::fs::set_owner_at(&directory, name, node.uid, node.gid);
    tolerate(userns::keeps_owners(), owned).attempt(attempt)?;
    for (key, value) in node.xattrs()? {
        let set = sys::fs::set_xattr_at(&directory, name, &key[..], &value);
        tolerate(userns::makes_devices(), set).attempt(attempt)?;
    }
    // After the owner, which takes set-uid away.
    if !matches!(node.kind, NodeKind::Symlink(_)) {
        sys::fs::set_mode_at(&directory, name, node.mode).attempt(attempt)?;
    }
    sys::fs::set_times_at(&directory, name, node.modified).attempt(attempt)
}

fn is_refusal(error: &io::Error) -> bool {
    // EINVAL is what a user namespace says to an id that it lacks.
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
}
