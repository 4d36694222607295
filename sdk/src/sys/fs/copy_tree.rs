//! A whole tree into an empty directory.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::{
    DIRECTORY, FileKind, Metadata, READ, copy_file, create_at, list_xattrs_at, make_directory_at, make_link_at,
    make_node_at, make_symlink_at, open_beneath, open_readable_at, open_readable_beneath, read_directory, read_link_at,
    set_mode, set_mode_at, set_owner_at, set_times_at, set_xattr_at, stat, stat_at,
};

/// Copies everything below one directory into another, which is empty, and then the attributes of the directory itself:
/// owners, modes, times, extended attributes, hard links, holes, devices. Blocks are shared where the file system can.
///
/// Nothing may change in either meanwhile. `keeps`: whether an extended attribute is copied.
pub(crate) fn copy_tree(from: &OwnedFd, to: &OwnedFd, keeps: impl Fn(&[u8]) -> bool) -> io::Result<()> {
    let mut copy = Copy { from, to, keeps, links: HashMap::new() };
    let mut directories = vec![PathBuf::from(".")];
    let mut done = 0;
    while let Some(path) = directories.get(done).cloned() {
        done += 1;
        copy.directory(&path, &mut directories)?;
    }
    // What is in a directory changes its time, and its mode may forbid it: from the deepest to the root.
    for path in directories.iter().rev() {
        let (from, to) = (copy.open(from, path)?, copy.open(to, path)?);
        let metadata = stat(&from)?;
        copy.attributes(&from, &to, Path::new("."), &metadata)?;
        set_mode(&to, metadata.mode)?;
        set_times_at(&to, ".", metadata.modified)?;
    }
    Ok(())
}

struct Copy<'a, K> {
    from: &'a OwnedFd,
    to: &'a OwnedFd,
    keeps: K,
    /// The first name of every inode with several.
    links: HashMap<(u64, u64), PathBuf>,
}

impl<K: Fn(&[u8]) -> bool> Copy<'_, K> {
    fn open(&self, root: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
        open_readable_beneath(root, path.as_os_str().as_bytes(), DIRECTORY)
    }

    /// Copies what is in a directory, but of directories only the names.
    fn directory(&mut self, path: &Path, directories: &mut Vec<PathBuf>) -> io::Result<()> {
        let (from, to) = (self.open(self.from, path)?, open_beneath(self.to, path, DIRECTORY)?);
        for entry in read_directory(&from)? {
            let name = entry.name.as_os_str();
            let at = if path == Path::new(".") { PathBuf::from(name) } else { path.join(name) };
            if entry.kind == FileKind::Directory {
                make_directory_at(&to, name.as_bytes(), 0o700)?;
                directories.push(at);
                continue;
            }
            let metadata = stat_at(&from, name.as_bytes())?;
            if metadata.links > 1 {
                if let Some(first) = self.links.get(&metadata.identity) {
                    make_link_at(self.to, first, &to, name.as_bytes())?;
                    continue;
                }
                self.links.insert(metadata.identity, at);
            }
            self.file(&from, &to, &entry.name, &metadata)?;
        }
        Ok(())
    }

    fn file(&self, from: &OwnedFd, to: &OwnedFd, name: &OsString, metadata: &Metadata) -> io::Result<()> {
        let raw = name.as_bytes();
        match metadata.kind {
            FileKind::Regular => {
                let target = create_at(to, raw, 0o600)?;
                copy_file(open_readable_at(from, name, READ)?, target, metadata.size)?;
            }
            FileKind::Symlink => make_symlink_at(&read_link_at(from, raw)?[..], to, raw)?,
            kind => make_node_at(to, raw, kind, 0o600, metadata.device)?,
        }
        self.attributes(from, to, Path::new(name), metadata)?;
        if metadata.kind != FileKind::Symlink {
            // Made by us a moment ago: it is no link.
            set_mode_at(to, raw, metadata.mode)?;
        }
        set_times_at(to, raw, metadata.modified)
    }

    /// Owner, then extended attributes: a change of owner clears capabilities.
    fn attributes(&self, from: &OwnedFd, to: &OwnedFd, name: &Path, metadata: &Metadata) -> io::Result<()> {
        let name = name.as_os_str();
        let made = stat_at(to, name.as_bytes())?;
        if (made.uid, made.gid) != (metadata.uid, metadata.gid) {
            set_owner_at(to, name.as_bytes(), metadata.uid, metadata.gid)?;
        }
        for (key, value) in list_xattrs_at(from, name)? {
            if (self.keeps)(&key) {
                set_xattr_at(to, name, &key[..], &value)?;
            }
        }
        Ok(())
    }
}
