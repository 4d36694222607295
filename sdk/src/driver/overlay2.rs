//! The drivers overlay2 and fuse-overlayfs: one directory per layer, stacked by the kernel or by a program.
//!
//! ```text
//! overlay2/             or fuse-overlayfs/
//! ├── l/<link>          → ../<cache-id>/diff
//! └── <cache-id>/
//!     ├── diff/         the layer's own files
//!     ├── link          26 characters, the layer's short name
//!     ├── lower         l/<parent's link>:<its parent's link>…; only above a parent
//!     ├── work/         for the kernel; only above a parent
//!     └── committed     empty; the layer will not change any more
//! ```
//!
//! Short names exist because mount(2) takes one page of options; we mount by full path and write them for dockerd. A
//! short name that got lost is made again when a layer is put above its owner.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::Driver;
use crate::archive::{Form, XattrKind};
use crate::data_root::{DataRoot, atomic};
use crate::error::{Attempt as _, Error, ErrorKind, Result};
use crate::spec::id::{CacheId, random_hex64};
use crate::sys::within::{ENTER, within};
use crate::sys::{probe, userns};

/// A page of mount options holds 128 short names of this length, each with `l/` before it: (26 + 2) * 128 ≤ 4096 - 512.
const LINK_LENGTH: usize = 26;
/// The most that is read of a `link` or `lower` file: 128 names of 29 bytes take less than one page.
const MAX_NAMES: usize = 4096;

/// The driver of one data root.
#[derive(Debug)]
pub(crate) struct Overlay2 {
    root: DataRoot,
    xattrs: XattrKind,
    /// What shows the layers in the kernel's place.
    program: Option<PathBuf>,
}

impl Overlay2 {
    /// Opens the driver's home.
    pub(crate) fn open(root: &DataRoot) -> Result<Self> {
        atomic::create_directory(&root.links_dir(), 0o700)?;
        Ok(Self { root: root.clone(), xattrs: xattr_kind(root)?, program: None })
    }

    /// The same for layers that the program `fuse-overlayfs` shows.
    pub(crate) fn served(root: &DataRoot) -> Result<Self> {
        // Whether there is one has been asked when the driver was chosen; if it is gone, its start says so.
        let program = probe::fuse_overlayfs().unwrap_or_else(|| PathBuf::from("/usr/bin/fuse-overlayfs"));
        let kernels = Self::open(root)?;
        Ok(Self { xattrs: kernels.xattrs.or_named(), program: Some(program), ..kernels })
    }

    fn path(&self, id: &CacheId, name: &str) -> PathBuf {
        self.root.layer_dir(id).join(name)
    }

    fn diff(&self, id: &CacheId) -> PathBuf {
        self.path(id, "diff")
    }

    /// The short name of a layer, made if it has none or it is lost.
    fn link(&self, id: &CacheId) -> Result<String> {
        let name = match atomic::read_text(&self.path(id, "link"), MAX_NAMES)? {
            Some(name) if is_link(name.trim()) => name.trim().to_owned(),
            _ => {
                let name = random_link()?;
                self.root.write(&self.path(id, "link"), name.as_bytes(), 0o644)?;
                name
            }
        };
        self.name(id, &name)?;
        Ok(name)
    }

    /// The short name that a layer has noted for itself.
    fn noted_link(&self, id: &CacheId) -> Result<Option<String>> {
        let name = atomic::read_text(&self.path(id, "link"), MAX_NAMES)?;
        Ok(name.map(|name| name.trim().to_owned()).filter(|name| is_link(name)))
    }

    /// Whether a short name leads to the layer.
    fn leads_to(&self, link: &str, id: &CacheId) -> bool {
        let target = Path::new("..").join(id.as_str()).join("diff");
        std::fs::read_link(self.root.links_dir().join(link)).is_ok_and(|there| there == target)
    }

    /// Makes the symlink behind a short name.
    fn name(&self, id: &CacheId, link: &str) -> Result<()> {
        let path = self.root.links_dir().join(link);
        match symlink(Path::new("..").join(id.as_str()).join("diff"), &path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            result => result.attempt(|| format!("create {path:?}")),
        }
    }

    fn make_directories(&self, id: &CacheId) -> Result<()> {
        let directory = self.root.layer_dir(id);
        std::fs::create_dir(&directory).attempt(|| format!("create layer directory {directory:?}"))?;
        tune(&directory, 0o710)?;
        atomic::create_directory(&self.diff(id), 0o755)
    }
}

impl Driver for Overlay2 {
    fn form(&self) -> Form {
        Form::Changes
    }

    fn xattrs(&self) -> XattrKind {
        self.xattrs
    }

    fn create(&self, id: &CacheId, parent: Option<&CacheId>) -> Result<()> {
        match parent {
            Some(parent) => {
                self.create_unnamed(id, parent)?;
                self.complete(id, parent)
            }
            None => {
                self.make_directories(id)?;
                self.link(id).map(drop)
            }
        }
    }

    fn create_unnamed(&self, id: &CacheId, parent: &CacheId) -> Result<()> {
        self.make_directories(id)?;
        atomic::create_directory(&self.path(id, "work"), 0o700)?;
        // The root directory of a layer covers that of the layers below, so it begins as their equal.
        inherit(&self.diff(parent), &self.diff(id))
    }

    fn complete(&self, id: &CacheId, parent: &CacheId) -> Result<()> {
        let above = self.link(parent)?;
        let further = atomic::read_text(&self.path(parent, "lower"), MAX_NAMES)?.unwrap_or_default();
        let lower = if further.is_empty() { format!("l/{above}") } else { format!("l/{above}:{further}") };
        self.root.write(&self.path(id, "lower"), lower.as_bytes(), 0o644)?;
        self.seal(parent)?;
        self.link(id).map(drop)
    }

    fn seal(&self, id: &CacheId) -> Result<()> {
        // dockerd mounts a layer with this file read-only. It is empty, so that no part of it can be missing.
        let path = self.path(id, "committed");
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            result => result.map(drop).attempt(|| format!("create {path:?}")),
        }
    }

    fn exists(&self, id: &CacheId) -> bool {
        self.diff(id).is_dir()
    }

    fn files(&self, id: &CacheId) -> Result<PathBuf> {
        Ok(self.diff(id))
    }

    fn work(&self, id: &CacheId) -> Option<PathBuf> {
        Some(self.path(id, "work"))
    }

    fn program(&self) -> Option<&Path> {
        self.program.as_deref()
    }

    fn names_are_sound(&self, id: &CacheId, below: &[CacheId]) -> Result<bool> {
        if !self.noted_link(id)?.is_some_and(|link| self.leads_to(&link, id)) {
            return Ok(false);
        }
        let mut links = Vec::new();
        for layer in below {
            // Where theirs lead is for them to say.
            links.push(format!("l/{}", self.noted_link(layer)?.unwrap_or_default()));
        }
        let lower = atomic::read_text(&self.path(id, "lower"), MAX_NAMES)?.unwrap_or_default();
        Ok(lower.trim() == links.join(":"))
    }

    fn restore_names(&self, id: &CacheId, below: &[CacheId]) -> Result<()> {
        // A name that leads to another layer is the other's.
        let is_taken = |link: &String| self.root.links_dir().join(link).symlink_metadata().is_ok();
        let noted = self.noted_link(id).ok().flatten();
        if !noted.is_some_and(|link| self.leads_to(&link, id) || !is_taken(&link)) {
            self.root.write(&self.path(id, "link"), random_link()?.as_bytes(), 0o644)?;
        }
        self.link(id)?;
        match below.first() {
            Some(parent) => self.complete(id, parent),
            None => Ok(()),
        }
    }

    fn dangling_names(&self) -> Result<Vec<PathBuf>> {
        let directory = self.root.links_dir();
        let read = || -> io::Result<Vec<PathBuf>> {
            let paths = std::fs::read_dir(&directory)?.map(|entry| Ok(entry?.path()));
            let is_dangling = |path: &PathBuf| {
                let target = std::fs::read_link(path).ok();
                // What is no link of ours is not ours to judge.
                target.is_some_and(|target| target.starts_with("..") && !directory.join(target).is_dir())
            };
            paths.filter(|path| path.as_ref().map_or(true, is_dangling)).collect()
        };
        read().attempt(|| format!("read directory {directory:?}"))
    }

    fn remove(&self, id: &CacheId) -> Result<()> {
        // A link that cannot be read has no symlink we could find.
        if let Ok(Some(link)) = atomic::read_text(&self.path(id, "link"), MAX_NAMES)
            && is_link(link.trim())
        {
            let path = self.root.links_dir().join(link.trim());
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::os(format_args!("remove {path:?}"), error));
                }
                _ => {}
            }
        }
        self.root.discard(&self.root.layer_dir(id))
    }
}

/// What overlay's attributes are called in this store: decided when it is made, for all its layers.
///
/// A layer written with `user.overlay.*` and mounted without `userxattr` shows deleted files again.
fn xattr_kind(root: &DataRoot) -> Result<XattrKind> {
    let record = root.own_dir().join("overlay-xattrs");
    match atomic::read_text(&record, 16)?.as_deref() {
        Some("trusted") => return Ok(XattrKind::Trusted),
        Some("user") => return Ok(XattrKind::User),
        Some(_) => {
            let message = format!("read {record:?}: neither \"trusted\" nor \"user\"");
            return Err(Error::new(ErrorKind::Corrupt, message).with_path(record));
        }
        None => {}
    }
    // Only root of the initial user namespace may write them, whatever the file.
    let probe = tempfile::tempfile_in(root.own_dir()).attempt(|| format!("create a file in {:?}", root.own_dir()))?;
    let is_trusted = rustix::fs::fsetxattr(&probe, "trusted.plywood", b"y", rustix::fs::XattrFlags::empty()).is_ok();
    let (kind, text) = if is_trusted { (XattrKind::Trusted, "trusted") } else { (XattrKind::User, "user") };
    root.write(&record, text.as_bytes(), 0o600)?;
    Ok(kind)
}

/// Gives `directory` the mode and, where this user may, the owner of `model`.
fn inherit(model: &Path, directory: &Path) -> Result<()> {
    let attempt = || format!("copy the mode of {model:?}");
    let wanted = std::fs::metadata(model).attempt(attempt)?;
    let now = std::fs::metadata(directory).attempt(attempt)?;
    if (wanted.uid(), wanted.gid()) != (now.uid(), now.gid()) {
        let inherit = || -> io::Result<()> {
            // These numbers are those of the namespace that this is done in.
            let wanted = std::fs::metadata(model)?;
            std::os::unix::fs::chown(directory, Some(wanted.uid()), Some(wanted.gid()))?;
            std::fs::set_permissions(directory, std::fs::Permissions::from_mode(wanted.mode() & 0o7777))
        };
        let inherited = within(inherit).attempt(|| ENTER)?;
        if userns::keeps_owners() {
            return inherited.attempt(attempt);
        }
    }
    // Files are put in from outside as well, where only root may do without the permission: 0555 is common for a root.
    let owner = if rustix::process::geteuid().is_root() { 0 } else { 0o700 };
    let mode = wanted.mode() & 0o7777 | owner;
    if mode == 0o755 { Ok(()) } else { tune(directory, mode) }
}

fn tune(path: &Path, mode: u32) -> Result<()> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .attempt(|| format!("change the mode of {path:?}"))
}

fn random_link() -> Result<String> {
    // Five bits of each of 26 random bytes; 64 hexadecimal digits are 32 bytes.
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let hex = random_hex64().attempt(|| "read random bytes")?;
    let byte = |pair: &[u8]| {
        pair.iter().fold(0_usize, |sum, digit| sum * 16 + (*digit as char).to_digit(16).unwrap_or(0) as usize)
    };
    Ok(hex.as_bytes().chunks(2).take(LINK_LENGTH).map(|pair| ALPHABET[byte(pair) % 32] as char).collect())
}

fn is_link(name: &str) -> bool {
    name.len() == LINK_LENGTH && name.bytes().all(|byte| byte.is_ascii_uppercase() || (b'2'..=b'7').contains(&byte))
}
