//! First use: an empty volume receives what the image has at its target.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::{PATIENCE, Volume, VolumeStore};
use crate::data_root::{Durability, Share};
use crate::error::{Attempt as _, Result};
use crate::layer::attributes;
use crate::layer::view::{Node, NodeKind, View};
use crate::sys::within::{ENTER, within};
use crate::sys::{self, fs::FileKind};

/// What the journal says from the first file to the last.
const FILLING: &str = "filling";

impl VolumeStore {
    /// Copies the content of the directory `path` of `image` into the volume, if the volume is empty, together with the
    /// directory's own owner and mode. Gives whether it did.
    ///
    /// If the process ends in the middle, the next one that comes here begins anew.
    pub(crate) fn populate(&self, volume: &Volume, image: &View, path: &str) -> Result<bool> {
        within(|| self.populate_here(volume, image, path)).attempt(|| ENTER)?
    }

    fn populate_here(&self, volume: &Volume, image: &View, path: &str) -> Result<bool> {
        let source = match image.resolve(path)? {
            Some(node) if matches!(node.kind, NodeKind::Dir) => node,
            _ => return Ok(false),
        };
        let target = volume.path();
        // A copy of it is one before or after.
        let _shared = self.lock(volume.name(), Share::Together, PATIENCE)?;
        let entry = format!("populate-{}", volume.name());
        if !is_empty(target)? && !self.root.is_in_flight(&entry) {
            return Ok(false);
        }
        let mut entry = self.root.in_flight(&entry, PATIENCE)?;
        if entry.left() == FILLING {
            clear(target)?;
        } else if !is_empty(target)? {
            return Ok(false);
        }
        entry.note(FILLING)?;
        if let Err(error) = copy_tree(image, source, target) {
            // The volume is empty again, or the entry stays and says that it is not complete.
            return Err(match clear(target) {
                Ok(()) => error,
                Err(failure) => {
                    entry.abandon();
                    error.with_clean_up(failure)
                }
            });
        }
        if self.root.durability() == Durability::Full {
            let attempt = || format!("sync {target:?}");
            let directory = sys::fs::open_directory(target).attempt(attempt)?;
            sys::fs::sync_file_system(directory).attempt(attempt)?;
        }
        Ok(true)
    }
}

/// Copies what lies below `source`, then the attributes of the directories, whose times each new entry changes.
fn copy_tree(image: &View, source: Node, target: &Path) -> Result<()> {
    let mut linked: HashMap<(u64, u64), PathBuf> = HashMap::new();
    let mut finished: Vec<(Node, PathBuf)> = Vec::new();
    let mut pending = vec![(source, target.to_owned())];
    while let Some((directory, target)) = pending.pop() {
        for node in image.read_dir(&directory)? {
            let path = target.join(node.os_name());
            if matches!(node.kind, NodeKind::Dir) {
                std::fs::create_dir(&path).attempt(|| format!("create {path:?}"))?;
                pending.push((node, path));
            } else {
                copy_node(&node, &path, &mut linked)?;
            }
        }
        finished.push((directory, target));
    }
    for (directory, target) in finished.iter().rev() {
        attributes::copy(directory, target)?;
    }
    Ok(())
}

/// Copies anything but a directory. A name that hard links gave to the same file is linked again.
fn copy_node(node: &Node, path: &Path, linked: &mut HashMap<(u64, u64), PathBuf>) -> Result<()> {
    let attempt = || format!("copy {:?} of the image to {path:?}", node.path);
    if node.links > 1 {
        if let Some(first) = linked.get(&node.identity) {
            return std::fs::hard_link(first, path).attempt(attempt);
        }
        linked.insert(node.identity, path.to_owned());
    }
    match &node.kind {
        NodeKind::File => {
            let from = node.open()?;
            let to = std::fs::File::create_new(path).attempt(attempt)?;
            sys::fs::copy_file(&from, &to, node.size).attempt(attempt)?;
        }
        NodeKind::Symlink(target) => symlink(target, path).attempt(attempt)?,
        NodeKind::CharDevice => make_node(path, FileKind::CharDevice, node.rdev).attempt(attempt)?,
        NodeKind::BlockDevice => make_node(path, FileKind::BlockDevice, node.rdev).attempt(attempt)?,
        NodeKind::Fifo => make_node(path, FileKind::Fifo, (0, 0)).attempt(attempt)?,
        // A socket without its listener is of no use; Docker leaves it out as well.
        NodeKind::Socket | NodeKind::Dir => return Ok(()),
    }
    attributes::copy(node, path)
}

fn make_node(path: &Path, kind: FileKind, device: (u32, u32)) -> io::Result<()> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    sys::fs::make_node_at(sys::fs::open_directory(directory)?, name, kind, 0o600, device)
}

fn is_empty(directory: &Path) -> Result<bool> {
    let mut entries = std::fs::read_dir(directory).attempt(|| format!("read directory {directory:?}"))?;
    Ok(entries.next().is_none())
}

fn clear(directory: &Path) -> Result<()> {
    let clear = || -> io::Result<()> {
        let opened = sys::fs::open_directory(directory)?;
        sys::fs::read_directory(&opened)?.iter().try_for_each(|entry| sys::fs::remove_tree(&opened, &entry.name))
    };
    clear().attempt(|| format!("empty {directory:?}"))
}
