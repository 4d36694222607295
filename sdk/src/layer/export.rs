//! The whole file system of a container as one archive.

use std::io::Write;
use std::os::unix::ffi::OsStrExt as _;

use super::store::LayerStore;
use super::view::{Node, NodeKind, View};
use super::writable::WritableLayer;
use crate::archive::{Limits, Member, Packer, relay};
use crate::error::Result;
use crate::sys::fs::FileKind;

impl LayerStore {
    /// Writes what `layer` and the layers below it show together, as a plain tar without an entry for the root.
    pub(crate) fn export(&self, layer: &WritableLayer, out: &mut dyn Write) -> Result<()> {
        relay(out, |out| self.export_here(layer, out))
    }

    fn export_here(&self, layer: &WritableLayer, out: &mut dyn Write) -> Result<()> {
        let view = View::new(layer.stack(), self.xattrs());
        let mut packer = Packer::new(out, self.apply_options(Limits::default()).ownership);
        let mut pending: Vec<Node> = match view.root()? {
            Some(root) => view.read_dir(&root)?,
            None => Vec::new(),
        };
        pending.reverse();
        while let Some(node) = pending.pop() {
            let path = node.os_path();
            let path = path.as_os_str().as_bytes();
            let xattrs = node.xattrs()?;
            packer.add(&member(&node, path.strip_prefix(b"/").unwrap_or(path), &xattrs), || node.open())?;
            if node.kind == NodeKind::Dir {
                // The next one is at the end.
                pending.extend(view.read_dir(&node)?.into_iter().rev());
            }
        }
        packer.finish().map(drop)
    }
}

fn member<'a>(node: &'a Node, path: &'a [u8], xattrs: &'a [crate::sys::fs::Xattr]) -> Member<'a> {
    let (kind, target): (_, &[u8]) = match &node.kind {
        NodeKind::File => (FileKind::Regular, b""),
        NodeKind::Dir => (FileKind::Directory, b""),
        NodeKind::Symlink(target) => (FileKind::Symlink, target.as_os_str().as_bytes()),
        NodeKind::CharDevice => (FileKind::CharDevice, b""),
        NodeKind::BlockDevice => (FileKind::BlockDevice, b""),
        NodeKind::Fifo => (FileKind::Fifo, b""),
        NodeKind::Socket => (FileKind::Socket, b""),
    };
    Member {
        path,
        kind,
        mode: node.mode,
        uid: node.uid,
        gid: node.gid,
        size: node.size,
        modified: node.modified,
        device: node.rdev,
        links: node.links,
        identity: node.identity,
        target,
        xattrs,
    }
}
