//! The records of layers: small files that hold bare text, without a newline.
//!
//! ```text
//! layerdb/sha256/<chain-id>/          layerdb/mounts/<container-id>/
//! ├── diff      DiffID                ├── mount-id  directory under overlay2/
//! ├── cache-id  directory name        ├── init-id   the same of the init layer
//! ├── size      bytes, decimal        └── parent    ChainID of the image's top layer
//! └── parent    ChainID; absent for the lowest
//! ```
//!
//! Beside these stand files of our own, which dockerd passes over: `plywood-init` in a layer's record, the init layer of the
//! guards above it; `plywood-fork` in a container's, the frozen container whose files it stands on.

use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::Layer;
use crate::data_root::{Durability, atomic};
use crate::error::{Attempt as _, ErrorKind, Fault, Result};
use crate::spec::digest::{ChainId, DiffId};
use crate::spec::id::{CacheId, ContainerId};

/// The longest text in any of these files is a sha512 digest.
const MAX_TEXT: usize = 512;

/// What `layerdb/mounts/<container-id>/` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MountRecord {
    pub mount_id: CacheId,
    pub init_id: Option<CacheId>,
    pub parent: Option<ChainId>,
    /// The frozen container whose layer it stands on; that one has the same parent.
    pub fork_of: Option<ContainerId>,
}

/// Reads the record of the layer `chain` in `directory`; `None` if there is none.
///
/// # Errors
/// `Corrupt` if a file of it is missing or malformed.
pub(super) fn read_layer(directory: &Path, chain: &ChainId) -> Result<Option<Layer>> {
    let Some(diff_id) = of_record(directory, "diff")? else { return Ok(None) };
    let diff_id = parse(directory, "diff", &diff_id, DiffId::parse)?;
    let parent =
        field(directory, "parent")?.map(|text| parse(directory, "parent", &text, ChainId::parse)).transpose()?;
    if ChainId::of(parent.as_ref(), &diff_id) != *chain {
        return Err(Broken::Chain { directory: directory.to_owned() }.into());
    }
    match read_known(directory, chain, parent, diff_id)? {
        Some(layer) => Ok(Some(layer)),
        None => Err(missing(directory, "cache-id")),
    }
}

/// The same of a layer whose digests are known: half of the record is left to read.
pub(super) fn read_known(
    directory: &Path,
    chain: &ChainId,
    parent: Option<ChainId>,
    diff_id: DiffId,
) -> Result<Option<Layer>> {
    let Some(cache_id) = of_record(directory, "cache-id")? else { return Ok(None) };
    let cache_id = parse(directory, "cache-id", &cache_id, CacheId::parse)?;
    let size = field(directory, "size")?.ok_or_else(|| missing(directory, "size"))?;
    let size = parse(directory, "size", &size, |text| text.parse::<u64>())?;
    Ok(Some(Layer { chain_id: chain.clone(), diff_id, parent, cache_id, size }))
}

/// Writes the record of `layer` into `directory`, which nobody reads yet.
pub(super) fn write_layer(directory: &Path, layer: &Layer, durability: Durability) -> Result<()> {
    if let Some(parent) = &layer.parent {
        write(directory, "parent", parent.as_str(), durability)?;
    }
    write(directory, "diff", layer.diff_id.as_str(), durability)?;
    write(directory, "size", &layer.size.to_string(), durability)?;
    write(directory, "cache-id", layer.cache_id.as_str(), durability)
}

/// Only the directory under the driver that a record names, from a record that may be damaged otherwise.
pub(super) fn read_cache_id(directory: &Path) -> Result<Option<CacheId>> {
    field(directory, "cache-id")?.map(|text| parse(directory, "cache-id", &text, CacheId::parse)).transpose()
}

/// The init layer that containers of the image with this top layer share; `None` if there is none yet.
pub(super) fn read_shared_init(directory: &Path) -> Result<Option<CacheId>> {
    field(directory, SHARED_INIT)?.map(|text| parse(directory, SHARED_INIT, &text, CacheId::parse)).transpose()
}

/// Reads the record of a container's layer in `directory`; `None` if there is none.
pub(super) fn read_mount(directory: &Path) -> Result<Option<MountRecord>> {
    let Some(mount_id) = of_record(directory, "mount-id")? else { return Ok(None) };
    Ok(Some(MountRecord {
        mount_id: parse(directory, "mount-id", &mount_id, CacheId::parse)?,
        init_id: field(directory, "init-id")?
            .map(|text| parse(directory, "init-id", &text, CacheId::parse))
            .transpose()?,
        parent: field(directory, "parent")?
            .map(|text| parse(directory, "parent", &text, ChainId::parse))
            .transpose()?,
        fork_of: field(directory, FORK)?.map(|text| parse(directory, FORK, &text, ContainerId::parse)).transpose()?,
    }))
}

/// Our own file in a layer's record, which dockerd passes over: the init layer of the guards above it.
pub(super) const SHARED_INIT: &str = "plywood-init";

/// Our own file in a container's record: what it is a fork of.
const FORK: &str = "plywood-fork";

/// Writes `record` into `directory`, which nobody reads yet.
pub(super) fn write_mount(directory: &Path, record: &MountRecord, durability: Durability) -> Result<()> {
    write(directory, "mount-id", record.mount_id.as_str(), durability)?;
    if let Some(init_id) = &record.init_id {
        write(directory, "init-id", init_id.as_str(), durability)?;
    }
    if let Some(parent) = &record.parent {
        write(directory, "parent", parent.as_str(), durability)?;
    }
    if let Some(frozen) = &record.fork_of {
        write(directory, FORK, frozen.as_str(), durability)?;
    }
    Ok(())
}

/// A file that each record has; `None` if there is no record.
fn of_record(directory: &Path, name: &str) -> Result<Option<String>> {
    // A record comes as a whole: one that is there at the second look, after the file was not, has come between.
    for _ in 0..2 {
        if let Some(text) = field(directory, name)? {
            return Ok(Some(text));
        }
        if !directory.exists() {
            return Ok(None);
        }
    }
    Err(missing(directory, name))
}

fn field(directory: &Path, name: &str) -> Result<Option<String>> {
    let text = atomic::read_text(&directory.join(name), MAX_TEXT)?;
    Ok(text.map(|text| text.trim().to_owned()))
}

fn parse<T, E: std::fmt::Display>(
    directory: &Path,
    name: &str,
    text: &str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T> {
    parse(text).map_err(|why| Broken::Field { path: directory.join(name), why: why.to_string() }.into())
}

fn missing(directory: &Path, name: &str) -> crate::Error {
    Broken::Missing { path: directory.join(name) }.into()
}

fn write(directory: &Path, name: &str, text: &str, durability: Durability) -> Result<()> {
    let path = directory.join(name);
    let write = || -> io::Result<()> {
        let mut file = std::fs::File::create(&path)?;
        file.set_permissions(std::fs::Permissions::from_mode(0o644))?;
        file.write_all(text.as_bytes())?;
        if durability == Durability::Full { file.sync_all() } else { Ok(()) }
    };
    write().attempt(|| format!("write {path:?}"))
}

#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("read layer record: {path:?} is missing")]
    Missing { path: PathBuf },
    #[error("read layer record {path:?}: {why}")]
    Field { path: PathBuf, why: String },
    #[error("read layer record {directory:?}: its ChainID does not follow from what it holds")]
    Chain { directory: PathBuf },
}

impl Fault for Broken {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Corrupt
    }
    fn path(&self) -> Option<&Path> {
        Some(match self {
            Broken::Missing { path } | Broken::Field { path, .. } => path,
            Broken::Chain { directory } => directory,
        })
    }
}
