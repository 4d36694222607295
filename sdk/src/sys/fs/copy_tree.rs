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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;
    use crate::sys::fs::{Time, Xattr, open_directory, set_owner, set_times, set_xattr};

    /// What can be told of every file: kind, mode, owner, size, device, time, link, attributes, and whether it has holes.
    type Manifest = BTreeMap<PathBuf, (Metadata, Vec<u8>, Vec<Xattr>)>;

    fn manifest(root: &Path) -> Manifest {
        let directory = open_directory(root).unwrap();
        let mut found = Manifest::new();
        let mut pending = vec![PathBuf::from(".")];
        while let Some(path) = pending.pop() {
            let raw = path.as_os_str().as_bytes();
            let mut metadata = stat_at(&directory, raw).unwrap();
            let link = if metadata.kind == FileKind::Symlink { read_link_at(&directory, raw).unwrap() } else { vec![] };
            let xattrs = list_xattrs_at(&directory, path.as_os_str()).unwrap();
            if metadata.kind == FileKind::Directory {
                // These are the file system's own.
                (metadata.size, metadata.blocks) = (0, 0);
                let entries = fs::read_dir(root.join(&path)).unwrap().map(|entry| entry.unwrap().file_name());
                pending.extend(entries.map(|name| path.join(name)));
            }
            (metadata.identity, metadata.changed) = Default::default();
            found.insert(path, (metadata, link, xattrs));
        }
        found
    }

    #[test]
    fn a_copy_is_like_the_tree_in_all_that_a_file_can_be() {
        let place = tempfile::tempdir().unwrap();
        let (from, to) = (place.path().join("from"), place.path().join("to"));
        fs::create_dir_all(from.join("closed/deep/deeper")).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(from.join("plain"), "content").unwrap();
        fs::write(from.join("closed/deep/deeper/secret"), "x").unwrap();
        fs::hard_link(from.join("plain"), from.join("closed/second")).unwrap();
        symlink("../nowhere", from.join("closed/link")).unwrap();
        let sparse = fs::File::create(from.join("sparse")).unwrap();
        sparse.set_len(8 << 20).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&sparse, b"end", (8 << 20) - 3).unwrap();
        let source = open_directory(&from).unwrap();
        make_node_at(&source, "fifo", FileKind::Fifo, 0o600, (0, 0)).unwrap();
        make_node_at(&source, "socket", FileKind::Socket, 0o600, (0, 0)).unwrap();
        let is_root = rustix::process::geteuid().is_root();
        if is_root {
            make_node_at(&source, "device", FileKind::BlockDevice, 0o600, (7, 200)).unwrap();
            let secret = fs::File::open(from.join("closed/deep/deeper/secret")).unwrap();
            set_owner(&secret, 1234, 4321).unwrap();
            set_xattr(&secret, "trusted.kept", b"t").unwrap();
            set_xattr(&secret, "trusted.left", b"t").unwrap();
        }
        let time = |seconds| Time { seconds, nanoseconds: 123_456_789 };
        let plain = fs::File::open(from.join("plain")).unwrap();
        let _ = set_xattr(&plain, "user.kind", b"plain");
        set_times(&plain, time(1)).unwrap();
        set_mode(&plain, 0o4711).unwrap();
        set_times_at(&source, "closed/link", time(2)).unwrap();
        // A directory of times and attributes of its own, that nobody but root may enter afterwards.
        let closed = open_directory(&from.join("closed/deep")).unwrap();
        let _ = set_xattr(&closed, "user.kind", b"directory");
        set_times(&closed, time(-3)).unwrap();
        fs::set_permissions(
            from.join("closed/deep"),
            fs::Permissions::from_mode(if is_root { 0o3000 } else { 0o1500 }),
        )
        .unwrap();
        set_mode(&source, 0o1751).unwrap();
        set_times(&source, time(4)).unwrap();

        copy_tree(&source, &open_directory(&to).unwrap(), |name| name != b"trusted.left").unwrap();
        let mut expected = manifest(&from);
        for (_, _, xattrs) in expected.values_mut() {
            xattrs.retain(|(name, _)| name != b"trusted.left");
        }
        let copied = manifest(&to);
        assert_eq!(expected.keys().collect::<Vec<_>>(), copied.keys().collect::<Vec<_>>());
        for (path, expected) in &expected {
            assert_eq!(&copied[path], expected, "{path:?}");
        }
        assert!(copied[Path::new("./sparse")].0.blocks < 100, "holes stay holes");
        let identity = |name: &str| stat_at(open_directory(&to).unwrap(), name).unwrap().identity;
        assert_eq!(identity("plain"), identity("closed/second"));
        assert_eq!(fs::read(to.join("closed/second")).unwrap(), b"content");
        fs::set_permissions(from.join("closed/deep"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::set_permissions(to.join("closed/deep"), fs::Permissions::from_mode(0o700)).unwrap();
    }
}
