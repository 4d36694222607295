//! Archives built by hand, imports into temporary directories, and manifests of trees.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::archive::entry::Kind;
use crate::archive::write::Header;
use crate::archive::*;
use crate::error::{Error, Result};
use crate::spec::Digest;
use crate::sys::fs::{Time, creation_owner, list_xattrs_at, open_directory, remove_tree};

/// An archive being put together entry by entry.
#[derive(Default, Clone)]
pub(super) struct Tar {
    pub(super) bytes: Vec<u8>,
}

pub(super) fn header<'a>(path: &'a str, kind: Kind) -> Header<'a> {
    Header {
        path: path.as_bytes(),
        kind,
        link: b"",
        mode: if kind == Kind::Directory { 0o755 } else { 0o644 },
        uid: creation_owner().0,
        gid: creation_owner().1,
        size: 0,
        modified: Time { seconds: 1_700_000_000, nanoseconds: 0 },
        device: (0, 0),
        xattrs: &[],
    }
}

impl Tar {
    pub(super) fn entry(mut self, header: Header<'_>, content: &[u8]) -> Self {
        header.write(&mut self.bytes);
        self.raw(content)
    }

    pub(super) fn file(self, path: &str, content: &str) -> Self {
        let header = Header { size: content.len() as u64, ..header(path, Kind::File) };
        self.entry(header, content.as_bytes())
    }

    pub(super) fn directory(self, path: &str, mode: u32) -> Self {
        self.entry(Header { mode, ..header(path, Kind::Directory) }, b"")
    }

    pub(super) fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(Header { link: target.as_bytes(), ..header(path, Kind::Symlink) }, b"")
    }

    pub(super) fn hard_link(self, path: &str, target: &str) -> Self {
        self.entry(Header { link: target.as_bytes(), ..header(path, Kind::HardLink) }, b"")
    }

    /// Appends bytes and pads them to a unit.
    pub(super) fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    /// Changes the last header and mends its checksum.
    pub(super) fn patched(mut self, change: impl FnOnce(&mut [u8])) -> Self {
        let at = self.bytes.len() - 512;
        change(&mut self.bytes[at..]);
        seal(&mut self.bytes[at..]);
        self
    }

    /// An extended header with these records, as they are.
    pub(super) fn pax(self, records: &[u8]) -> Self {
        let header = Header { size: records.len() as u64, ..header("PaxHeaders/x", Kind::File) };
        self.entry(header, b"").patched(|header| header[156] = b'x').raw(records)
    }

    /// Ends the archive.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(&[0; 1024]);
        self.bytes
    }
}

pub(super) fn seal(header: &mut [u8]) {
    header[148..156].copy_from_slice(b"        ");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// A record of an extended header with its right length.
pub(super) fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

pub(super) fn options() -> ApplyOptions {
    let ownership = if is_root() { Ownership::Keep } else { Ownership::Flatten };
    ApplyOptions { form: Form::Changes, xattrs: XattrKind::of_this_process(), ownership, limits: Limits::default() }
}

pub(super) fn is_root() -> bool {
    creation_owner().0 == 0
}

#[allow(clippy::print_stderr)]
pub(super) fn skip(reason: &str) {
    eprintln!("skipped: {reason}");
}

/// A layer in a temporary directory, beside a tree that nothing may touch.
pub(super) struct Layer {
    pub(super) base: tempfile::TempDir,
    pub(super) split: Vec<u8>,
    pub(super) applied: Option<Applied>,
}

impl Layer {
    pub(super) fn empty() -> Self {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir(base.path().join("diff")).unwrap();
        fs::create_dir_all(base.path().join("outside/dir")).unwrap();
        fs::write(base.path().join("outside/secret"), "secret").unwrap();
        Self { base, split: Vec::new(), applied: None }
    }

    pub(super) fn diff(&self) -> PathBuf {
        self.base.path().join("diff")
    }

    pub(super) fn outside(&self) -> PathBuf {
        self.base.path().join("outside")
    }

    pub(super) fn import(&mut self, tar: &[u8], options: &ApplyOptions) -> Result<Applied> {
        self.split.clear();
        let applied = import_layer(&mut &tar[..], &self.diff(), &mut self.split, options, &|| ())?;
        self.applied = Some(applied.clone());
        Ok(applied)
    }

    pub(super) fn reassembled(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        reassemble(&mut &self.split[..], &self.diff(), &mut out)?;
        Ok(out)
    }

    pub(super) fn text(&self, path: &str) -> String {
        fs::read_to_string(self.diff().join(path)).unwrap()
    }

    pub(super) fn names(&self) -> Vec<String> {
        manifest(&self.diff()).into_keys().collect()
    }
}

impl Drop for Layer {
    /// std's own removal needs stack in proportion to the depth.
    fn drop(&mut self) {
        let _ = open_directory(self.base.path()).and_then(|base| remove_tree(base, "diff".as_ref()));
    }
}

/// Imports an archive that must pass: the digest is that of its bytes, and it can be rebuilt byte for byte.
pub(super) fn imported(tar: &[u8]) -> Layer {
    let mut layer = Layer::empty();
    let outside = manifest(&layer.outside());
    let applied = layer.import(tar, &options()).unwrap();
    assert_eq!(*applied.diff_id.digest(), Digest::of(tar));
    assert_eq!(manifest(&layer.outside()), outside);
    assert!(layer.reassembled().unwrap() == tar, "the archive is rebuilt byte for byte");
    layer
}

/// Imports an archive that must be refused; nothing outside changes.
pub(super) fn refused(tar: &[u8]) -> Error {
    let mut layer = Layer::empty();
    let outside = manifest(&layer.outside());
    let error = layer.import(tar, &options()).unwrap_err();
    assert_eq!(manifest(&layer.outside()), outside);
    error
}

/// What is in a tree: by path, all that an archive can say about it.
pub(super) fn manifest(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        let handle = open_directory(&directory).unwrap();
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{:?}", path.strip_prefix(root).unwrap());
            found.insert(name.trim_matches('"').to_owned(), describe(&path, &handle));
            if fs::symlink_metadata(&path).unwrap().is_dir() {
                pending.push(path);
            }
        }
    }
    found
}

fn describe(path: &Path, directory: &std::os::fd::OwnedFd) -> String {
    let metadata = fs::symlink_metadata(path).unwrap();
    let kind = metadata.file_type();
    let mut text = format!(
        "{:o} {}:{} {}.{:09}",
        metadata.mode(),
        metadata.uid(),
        metadata.gid(),
        metadata.mtime(),
        metadata.mtime_nsec()
    );
    if kind.is_symlink() {
        text += &format!(" -> {:?}", fs::read_link(path).unwrap());
    } else if kind.is_file() {
        let mut content = Vec::new();
        fs::File::open(path).unwrap().read_to_end(&mut content).unwrap();
        text += &format!(" {} bytes {} links {}", content.len(), metadata.nlink(), Digest::of(&content));
    } else if kind.is_char_device() || kind.is_block_device() {
        text += &format!(" device {:x}", metadata.rdev());
    }
    for (name, value) in list_xattrs_at(directory, path.file_name().unwrap()).unwrap() {
        text += &format!(" {}={value:?}", String::from_utf8_lossy(&name));
    }
    text
}

/// The kind, owner and mode of a path as octal text: `100644`.
pub(super) fn mode(layer: &Layer, path: &str) -> String {
    format!("{:o}", fs::symlink_metadata(layer.diff().join(path)).unwrap().mode())
}

pub(super) fn is_whiteout(layer: &Layer, path: &str) -> bool {
    let metadata = fs::symlink_metadata(layer.diff().join(path)).unwrap();
    metadata.file_type().is_char_device() && metadata.rdev() == 0
}

pub(super) fn is_opaque(layer: &Layer, path: &str) -> bool {
    options().xattrs.is_opaque(open_directory(&layer.diff().join(path)).unwrap()).unwrap()
}

/// Runs a program that must succeed.
pub(super) fn run(program: &str, arguments: &[&str], directory: &Path) -> bool {
    match std::process::Command::new(program).args(arguments).current_dir(directory).output() {
        Ok(output) => {
            assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
            true
        }
        Err(_) => false,
    }
}

/// A path whose last component is these bytes.
pub(super) fn bytes_path(directory: &Path, name: &[u8]) -> PathBuf {
    directory.join(std::ffi::OsStr::from_bytes(name))
}
