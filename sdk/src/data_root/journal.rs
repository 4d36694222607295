//! What is being made right now.
//!
//! ```text
//! image/plywood/in-flight/
//! ├── <cache-id>           a layer that is staged, text: the ChainID it stands on, then what it has become as long as no
//! │                        image uses it; or a container's layer that is completed
//! ├── init-<chain>         the init layer that guards of an image share; text: its cache ID
//! ├── pin-<random>         keeps a layer while something is made of it; text: its ChainID
//! ├── container-<id>       a container that is created
//! ├── owner-<id>           a container that a program owns: it goes, or is known to have exited, when the program dies;
//! │                        text: the ChainID that the layer of a guard stands on
//! ├── images-<random>      images and layers that come or go; text: which
//! ├── volume-<volume>      a volume that is made
//! ├── guard-<volume>       a volume that goes when the program dies that owns it
//! ├── populate-<volume>    a volume that is filled for the first time
//! ├── template-<hash>      a template of tests that is prepared
//! ├── lease-<name>         a shared container that is started or stopped
//! └── session-<random>     an open data root
//! ```
//!
//! The file of an object is made and locked before the object's first byte, and removed after its commit point. Its
//! maker holds the flock, so an entry without one was left by a process that ended in the middle: its object is not
//! published and may be removed. Entries are proof of a crash, never of a commit: whoever cleans up asks the store
//! whether the object was published after all.

use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::lock::{IsNew, Locked};
use super::{DataRoot, lock, own_dir};
use crate::error::{Attempt as _, Result};
use crate::spec::id::{ContainerId, random_hex64};

/// The longest note is a digest.
const MAX_NOTE: usize = 512;

/// How the entries of owners begin.
const OWNER: &str = "owner-";

/// How the entries of open data roots begin.
const SESSION: &str = "session-";

/// The name of the entry of a container's owner.
pub(crate) fn owner(id: &ContainerId) -> String {
    format!("{OWNER}{id}")
}

/// The container whose owner has an entry of this name.
pub(crate) fn owned(name: &str) -> Option<ContainerId> {
    name.strip_prefix(OWNER).and_then(|id| ContainerId::parse(id).ok())
}

/// An object in the making. Dropping it says that the object is published or gone.
#[derive(Debug)]
pub(crate) struct InFlight {
    path: PathBuf,
    file: Locked,
    left: String,
    /// Whether nothing has been written to it yet.
    is_blank: bool,
}

impl InFlight {
    /// Writes what the next process must know.
    pub(crate) fn note(&mut self, text: &str) -> Result<()> {
        self.write(text).attempt(|| format!("write {:?}", self.path))
    }

    /// What someone noted who ended in the middle; empty if nobody did.
    ///
    /// That an entry exists proves nothing: its maker may just have opened it.
    pub(crate) fn left(&self) -> &str {
        &self.left
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its lock, which lasts as long as any copy of this descriptor.
    pub(crate) fn lock(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Keeps the entry on disk, as a process does that ends here.
    pub(crate) fn abandon(mut self) {
        self.path = PathBuf::new();
    }

    /// Leaves the entry and its lock to the process that was given a copy of [the lock](Self::lock).
    pub(crate) fn hand_over(mut self) {
        self.path = PathBuf::new();
        self.file.leave();
    }

    fn held(path: PathBuf, file: Locked) -> Result<Self> {
        let mut left = Vec::new();
        (&*file).read_to_end(&mut left).attempt(|| format!("read {path:?}"))?;
        Ok(Self { path, file, left: String::from_utf8_lossy(&left).into_owned(), is_blank: left.is_empty() })
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        if !std::mem::replace(&mut self.is_blank, false) {
            self.file.set_len(0)?;
        }
        self.file.write_all_at(text.as_bytes(), 0)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        // Unlinked before the lock goes, so that nobody takes it for abandoned. If this fails, the next sweep sees that
        // the object is published.
        if !self.path.as_os_str().is_empty() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl DataRoot {
    /// Notes that the object `name` is in the making; waits at most `patience` for another maker of the same name.
    pub(crate) fn in_flight(&self, name: &str, patience: Duration) -> Result<InFlight> {
        enter(self.path(), name, patience)
    }

    /// The names of all entries, whoever holds them.
    pub(crate) fn entries(&self) -> Result<Vec<String>> {
        names(&directory(self.path()))
    }

    /// Whether somebody holds the entry `name`.
    pub(crate) fn is_owned(&self, name: &str) -> Result<bool> {
        let path = directory(self.path()).join(name);
        Ok(path.exists() && lock::if_free(&path).attempt(|| format!("lock {path:?}"))?.is_none())
    }

    /// Whether the journal has an entry `name`, whoever holds it.
    pub(crate) fn is_in_flight(&self, name: &str) -> bool {
        directory(self.path()).join(name).exists()
    }

    /// Notes that something is in the making that stands on the object `text` tells, until this is dropped.
    pub(crate) fn pin(&self, text: &str) -> Result<InFlight> {
        let mut entry = enter(self.path(), &format!("pin-{}", random()?), Duration::ZERO)?;
        entry.note(text)?;
        Ok(entry)
    }

    /// The entries of these names whose makers are gone. They are held by the caller now; dropping one removes it.
    ///
    /// Nobody should ask for others than he settles: a child that another thread starts just then holds the lock of each
    /// until it executes its program, and the entry would look as if it had a maker to whoever asks next.
    pub(crate) fn abandoned(&self, is_ours: impl Fn(&str) -> bool) -> Result<Vec<(String, InFlight)>> {
        abandoned(self.path(), is_ours)
    }

    /// The text of the entry `name`, whoever holds it; `None` if there is no such entry.
    pub(crate) fn note_of(&self, name: &str) -> Result<Option<String>> {
        super::atomic::read_text(&directory(self.path()).join(name), MAX_NOTE)
    }

    /// The names and texts of all entries, whoever holds them.
    pub(crate) fn in_flight_notes(&self) -> Result<Vec<(String, String)>> {
        let directory = directory(self.path());
        let mut notes = Vec::new();
        for name in names(&directory)? {
            // One that ended meanwhile is no longer in the making.
            if let Ok(text) = std::fs::read_to_string(directory.join(&name)) {
                notes.push((name, text));
            }
        }
        Ok(notes)
    }
}

/// Opens the entry of a session, and gives whether an earlier one ended without closing its own.
pub(super) fn session(root: &Path) -> Result<(InFlight, bool)> {
    let crashed = !abandoned(root, |name| name.starts_with(SESSION))?.is_empty();
    let entry = enter(root, &format!("{SESSION}{}", random()?), Duration::ZERO)?;
    Ok((entry, crashed))
}

pub(super) fn directory(root: &Path) -> PathBuf {
    own_dir(root).join("in-flight")
}

fn random() -> Result<String> {
    let mut hex = random_hex64().attempt(|| "read random bytes")?;
    hex.truncate(16);
    Ok(hex)
}

fn enter(root: &Path, name: &str, patience: Duration) -> Result<InFlight> {
    let path = directory(root).join(name);
    match lock::exclusive(&path, patience)? {
        (file, IsNew(true)) => Ok(InFlight { path, file, left: String::new(), is_blank: true }),
        (file, IsNew(false)) => InFlight::held(path, file),
    }
}

fn abandoned(root: &Path, is_ours: impl Fn(&str) -> bool) -> Result<Vec<(String, InFlight)>> {
    let directory = directory(root);
    let mut left = Vec::new();
    for name in names(&directory)?.into_iter().filter(|name| is_ours(name)) {
        let path = directory.join(&name);
        if let Some(file) = lock::if_free(&path).attempt(|| format!("lock {path:?}"))? {
            left.push((name, InFlight::held(path, file)?));
        }
    }
    Ok(left)
}

fn names(directory: &Path) -> Result<Vec<String>> {
    let read = || -> io::Result<Vec<String>> {
        std::fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    };
    read().attempt(|| format!("read directory {directory:?}"))
}
