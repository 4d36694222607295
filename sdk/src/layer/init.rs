//! The init layer: what every container has, whatever its image lacks.

use std::collections::HashSet;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use super::attributes;
use super::view::{Node, NodeKind, View};
use crate::data_root::atomic;
use crate::error::{Attempt as _, Result};

/// What a path of the init layer is.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Directory,
    File,
    Symlink(&'static str),
}

/// Docker's list (`daemon/initlayer/setup_unix.go`).
const CONTENT: &[(&str, Kind)] = &[
    ("/.dockerenv", Kind::File),
    ("/dev/console", Kind::File),
    ("/dev/pts", Kind::Directory),
    ("/dev/shm", Kind::Directory),
    ("/etc/hostname", Kind::File),
    ("/etc/hosts", Kind::File),
    ("/etc/mtab", Kind::Symlink("/proc/mounts")),
    ("/etc/resolv.conf", Kind::File),
    ("/proc", Kind::Directory),
    ("/sys", Kind::Directory),
];

/// Docker's mode of them all.
const MODE: u32 = 0o755;

/// Puts into `diff` what `image` lacks of the list.
///
/// A directory that the image has gets the image's mode, owner, times and attributes, because it covers the image's. A
/// path below something else than a directory is left out: a mount there fails and says so.
pub(super) fn fill(diff: &Path, image: &View) -> Result<()> {
    let mut made = HashSet::new();
    let mut covered: Vec<Node> = Vec::new();
    for (path, kind) in CONTENT {
        if image.lookup(path)?.is_some() {
            continue;
        }
        let Some((directory, name)) = path.rsplit_once('/') else { continue };
        // `/etc` may be a link to another directory: the path continues where it leads.
        let directory = match image.resolve(if directory.is_empty() { "/" } else { directory })? {
            Some(node) if matches!(node.kind, NodeKind::Dir) => {
                cover(diff, image, &node.path, &mut made, &mut covered)?;
                node.path
            }
            Some(_) => continue,
            None if image.lookup(directory)?.is_some() => continue,
            None => {
                if made.insert(directory.to_owned()) {
                    atomic::create_directory(&inside(diff, directory), MODE)?;
                }
                directory.to_owned()
            }
        };
        make(&inside(diff, &directory).join(name), *kind)?;
    }
    // Times last: every file that was made has changed them.
    for node in covered.iter().rev() {
        attributes::copy(node, &inside(diff, &node.path))?;
    }
    Ok(())
}

/// Makes `path` and the directories above it, all of which `image` has.
fn cover(diff: &Path, image: &View, path: &str, made: &mut HashSet<String>, covered: &mut Vec<Node>) -> Result<()> {
    let ends = path.match_indices('/').skip(1).map(|(end, _)| end).chain([path.len()]);
    for end in ends.filter(|end| *end > 1) {
        let prefix = &path[..end];
        if made.insert(prefix.to_owned()) {
            atomic::create_directory(&inside(diff, prefix), MODE)?;
            covered.extend(image.lookup(prefix)?);
        }
    }
    Ok(())
}

fn make(path: &Path, kind: Kind) -> Result<()> {
    let make = || -> io::Result<()> {
        match kind {
            Kind::Directory => {
                std::fs::create_dir(path)?;
                std::fs::set_permissions(path, Permissions::from_mode(MODE))
            }
            Kind::File => File::create_new(path)?.set_permissions(Permissions::from_mode(MODE)),
            Kind::Symlink(target) => symlink(target, path),
        }
    };
    make().attempt(|| format!("create {path:?}"))
}

/// The place of an absolute path of the container below `diff`.
fn inside(diff: &Path, path: &str) -> std::path::PathBuf {
    diff.join(path.trim_start_matches('/'))
}
