//! Volumes that go with the program: temporary ones, and snapshots of others.

use std::ops::Deref;
use std::path::Path;

use super::Engine;
use crate::data_root::InFlight;
use crate::error::{Attempt as _, ErrorKind, Result};
use crate::spec::id::random_hex64;
use crate::spec::name::VolumeName;
use crate::volume::{Purpose, Volume};

/// As many hexadecimal digits tell the names of such volumes apart.
const DIGITS: usize = 24;

/// A volume that is removed with it.
///
/// If the program is killed, the next one that opens the data root removes the volume. It stays for as long as a container
/// that stays mounts it.
#[derive(Debug)]
pub struct TempVolume(Owned);

/// What a volume was when it was copied; made by [`Volume::snapshot`].
///
/// It is a guard: its copy goes with it, or when the data root is opened after the program was killed. One that is to
/// [stay](Self::persist) is found again with [`Engine::volume_snapshot`], and goes with [`remove`](Self::remove), or with
/// [`prune`](Engine::prune_with) where volumes with names are asked for. No container mounts it.
#[derive(Debug)]
#[must_use = "the snapshot is removed when this is dropped"]
pub struct VolumeSnapshot(Owned);

/// A volume, and the entry of the journal that tells that it goes with this program; without one it stays.
#[derive(Debug)]
struct Owned {
    engine: Engine,
    volume: Volume,
    entry: Option<InFlight>,
}

impl Owned {
    fn new(engine: &Engine, kind: &str, make: impl FnOnce(&VolumeName) -> Result<Volume>) -> Result<Self> {
        let random = random_hex64().attempt(|| "read random bytes")?;
        let name = VolumeName::parse(&format!("{kind}-{}", &random[..DIGITS]))?;
        let entry = engine.store().volumes().guard(&name)?;
        Ok(Self { volume: make(&name)?, engine: engine.clone(), entry: Some(entry) })
    }

    fn remove(&self) -> Result<()> {
        match self.engine.remove_volume(self.volume.name().as_str()) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let Some(entry) = self.entry.take() else { return };
        if let Err(error) = self.remove() {
            tracing::warn!("a volume that goes with this program stays for now: {error}");
            // Whoever opens the store next tries again.
            entry.abandon();
        }
    }
}

impl TempVolume {
    /// Makes an empty one.
    ///
    /// # Errors
    /// As for [`Engine::volume`].
    pub fn new(engine: &Engine) -> Result<Self> {
        Owned::new(engine, "test", |name| engine.volume(name.as_str())).map(Self)
    }
}

impl Deref for TempVolume {
    type Target = Volume;

    fn deref(&self) -> &Volume {
        &self.0.volume
    }
}

impl Volume {
    /// Freezes its content: the start of any number of [forks](VolumeSnapshot::fork), whatever becomes of the volume.
    ///
    /// Where the file system can share blocks between files, as btrfs and xfs can, no content is copied; elsewhere all is,
    /// and this takes as long. Nobody else may write to the volume meanwhile: a container that starts with it waits, and so
    /// do files that are copied into one. A program on the host that writes to its [path](Self::path) is not held off.
    ///
    /// ```no_run
    /// # fn main() -> plywood::Result<()> {
    /// use plywood::{Container, Engine};
    ///
    /// let engine = Engine::open_default()?;
    /// let prepared = engine.volume("prepared")?.snapshot(&engine)?;
    /// for change in ["rm /data/a", "echo b > /data/b"] {
    ///     let own = prepared.fork()?;
    ///     Container::of("debian:12").mount(own.at("/data")).cmd(["sh", "-c", change]).status(&engine)?;
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InUse`](ErrorKind::InUse) if a container that mounts it runs, or is paused: the message names it;
    /// [`NotFound`](ErrorKind::NotFound) if the volume was removed.
    pub fn snapshot(&self, engine: &Engine) -> Result<VolumeSnapshot> {
        let copy = |name: &VolumeName| engine.copy_volume(self, name, Purpose::Freeze);
        Owned::new(engine, "snapshot", copy).map(VolumeSnapshot)
    }

    /// Makes a volume that begins with its content, and goes with the program.
    ///
    /// For several that begin alike, take a [`snapshot`](Self::snapshot) first; what is said there of the time it takes and
    /// of others who write holds here too. For one that stays, there is [`Engine::fork_volume`].
    ///
    /// # Errors
    /// Those of [`snapshot`](Self::snapshot).
    pub fn fork(&self, engine: &Engine) -> Result<TempVolume> {
        Owned::new(engine, "test", |name| engine.copy_volume(self, name, Purpose::Go)).map(TempVolume)
    }
}

impl VolumeSnapshot {
    pub(super) fn of(engine: &Engine, volume: Volume) -> Self {
        Self(Owned { engine: engine.clone(), volume, entry: None })
    }

    /// The name of the volume that it is in the store.
    pub fn name(&self) -> &VolumeName {
        self.0.volume.name()
    }

    /// The directory with its content, on the host, to be read.
    pub fn path(&self) -> &Path {
        self.0.volume.path()
    }

    /// Makes a volume that begins as this, and goes with the program. Any number of threads and programs may do so at once.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if the snapshot was removed.
    pub fn fork(&self) -> Result<TempVolume> {
        self.0.volume.fork(&self.0.engine)
    }

    /// Lets the snapshot stay in the store when this program ends, as the volume of this name, which must be free.
    ///
    /// # Errors
    /// [`AlreadyExists`](ErrorKind::AlreadyExists) if a volume has the name,
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) if it is none.
    pub fn persist(&mut self, name: &str) -> Result<()> {
        self.0.volume = self.0.engine.store().volumes().rename(self.name(), &VolumeName::parse(name)?)?;
        self.0.entry = None;
        Ok(())
    }

    /// Removes the snapshot now, whether it was to stay or not.
    ///
    /// # Errors
    /// If its files cannot be removed.
    pub fn remove(mut self) -> Result<()> {
        self.0.remove()?;
        self.0.entry = None;
        Ok(())
    }
}
