//! The image store: image configurations, by image ID.
//!
//! ```text
//! image/<driver>/imagedb/
//! ├── content/sha256/<image id>          the image configuration, byte for byte; its digest is the name
//! └── metadata/sha256/<image id>/
//!     ├── parent                         image this one was built from; optional
//!     └── lastUpdated                    when it was last tagged; optional
//! ```
//!
//! A configuration is written once, by rename, and its bytes are digested on every read: one changed byte and the
//! image is gone, for Docker too. Adding and removing is done under the images lock.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use crate::data_root::{DataRoot, Durability, atomic};
use crate::error::{Attempt, Error, ErrorKind, Fault, Result};
use crate::spec::digest::{Digest, ImageId};
use crate::spec::image_config::ImageConfig;
use crate::spec::time::Timestamp;

/// The largest image configuration read from the store. What is taken in has lower limits, which a caller may raise.
pub(crate) const MAX_CONFIG: u64 = 64 * 1024 * 1024;

/// Configurations and their metadata hold what the author of an image wrote, secrets at times: for the owner only.
const MODE: u32 = 0o600;

/// The configurations of a data root.
#[derive(Debug, Clone)]
pub(crate) struct ImageStore {
    root: DataRoot,
}

#[derive(Debug, thiserror::Error)]
enum StoreFault {
    #[error("read image {0}: its configuration does not have the digest it is stored under")]
    Changed(ImageId),
    #[error("read image {id}: its configuration is malformed: {why}")]
    Malformed { id: ImageId, why: String },
    #[error("read image {0}: its configuration has more than {MAX_CONFIG} bytes")]
    Large(ImageId),
}

impl Fault for StoreFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Changed(_) | Self::Malformed { .. } => ErrorKind::Corrupt,
            Self::Large(_) => ErrorKind::LimitExceeded,
        }
    }
}

impl ImageStore {
    pub(crate) fn new(root: &DataRoot) -> Self {
        Self { root: root.clone() }
    }

    /// Stores a configuration; its digest is the image ID. Storing it again changes nothing.
    pub(crate) fn put(&self, config: &[u8]) -> Result<ImageId> {
        let id = ImageId::from(Digest::of(config));
        // What is there may be damaged: the right bytes repair it.
        if !matches!(self.bytes(&id), Ok(Some(_))) {
            self.root.write(&self.root.image_config(&id), config, MODE)?;
        }
        Ok(id)
    }

    /// The bytes of a configuration, verified; `None` if there is no such image.
    pub(crate) fn bytes(&self, id: &ImageId) -> Result<Option<Vec<u8>>> {
        let path = self.root.image_config(id);
        let Some(bytes) = read_capped(&path, MAX_CONFIG + 1).attempt(|| format!("read {path:?}"))? else {
            return Ok(None);
        };
        if bytes.len() as u64 > MAX_CONFIG {
            return Err(StoreFault::Large(id.clone()).into());
        }
        if ImageId::from(Digest::of(&bytes)) != *id {
            return Err(Error::from(StoreFault::Changed(id.clone())).with_path(path));
        }
        Ok(Some(bytes))
    }

    /// A configuration, verified and parsed; `None` if there is no such image.
    pub(crate) fn config(&self, id: &ImageId) -> Result<Option<ImageConfig>> {
        let Some(bytes) = self.bytes(id)? else { return Ok(None) };
        let config = serde_json::from_slice(&bytes)
            .map_err(|error| StoreFault::Malformed { id: id.clone(), why: error.to_string() })?;
        Ok(Some(config))
    }

    /// Whether there is an image of this ID, whatever its state.
    pub(crate) fn has(&self, id: &ImageId) -> bool {
        self.root.image_config(id).is_file()
    }

    /// The IDs of all images, sorted; files with other names are passed over.
    pub(crate) fn list(&self) -> Result<Vec<ImageId>> {
        let directory = self.root.image_configs_dir();
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::os(format_args!("read {directory:?}"), error)),
        };
        let mut ids = Vec::new();
        for entry in entries {
            let entry = entry.attempt(|| format!("read {directory:?}"))?;
            if let Some(id) = entry.file_name().to_str().and_then(|hex| Digest::parse(&format!("sha256:{hex}")).ok()) {
                ids.push(ImageId::from(id));
            }
        }
        ids.sort();
        Ok(ids)
    }

    /// Removes a configuration and its metadata, and the mention of it as a parent.
    pub(crate) fn remove(&self, id: &ImageId) -> Result<()> {
        let path = self.root.image_config(id);
        absent_is_fine(fs::remove_file(&path)).attempt(|| format!("remove {path:?}"))?;
        // Before its layers go: an image that comes back with the power would lack them.
        let directory = self.root.image_configs_dir();
        atomic::sync_directory(&directory, self.root.durability()).attempt(|| format!("sync {directory:?}"))?;
        let metadata = self.root.image_metadata_dir(id);
        absent_is_fine(fs::remove_dir_all(&metadata)).attempt(|| format!("remove {metadata:?}"))?;
        for child in self.children(id)? {
            self.forget_parent(&child)?;
        }
        Ok(())
    }

    /// The image another was built from.
    pub(crate) fn parent(&self, id: &ImageId) -> Result<Option<ImageId>> {
        Ok(self.metadata(id, PARENT)?.and_then(|text| Digest::parse(text.trim()).ok()).map(ImageId::from))
    }

    /// Records what an image was built from.
    #[cfg(test)]
    pub(crate) fn set_parent(&self, id: &ImageId, parent: &ImageId) -> Result<()> {
        self.set_metadata(id, PARENT, &parent.to_string())
    }

    /// Removes the mention of what an image was built from.
    pub(crate) fn forget_parent(&self, id: &ImageId) -> Result<()> {
        let path = self.root.image_metadata_dir(id).join(PARENT);
        absent_is_fine(fs::remove_file(&path)).attempt(|| format!("remove {path:?}"))
    }

    /// When an image was last tagged.
    pub(crate) fn last_tagged(&self, id: &ImageId) -> Result<Option<Timestamp>> {
        Ok(self.metadata(id, LAST_UPDATED)?.and_then(|text| text.trim().parse().ok()))
    }

    /// Whether an image was ever tagged.
    pub(super) fn has_tagged(&self) -> Result<bool> {
        Ok(self.list()?.iter().any(|id| self.last_tagged(id).is_ok_and(|at| at.is_some())))
    }

    /// Records that an image has been tagged. The file of tags is there by then.
    pub(crate) fn set_last_tagged(&self, id: &ImageId, at: &Timestamp) -> Result<()> {
        self.set_metadata(id, LAST_UPDATED, &at.to_string())
    }

    /// The images that were built from this one.
    fn children(&self, id: &ImageId) -> Result<Vec<ImageId>> {
        let mut children = Vec::new();
        for other in self.list()? {
            if self.parent(&other)?.as_ref() == Some(id) {
                children.push(other);
            }
        }
        Ok(children)
    }

    fn metadata(&self, id: &ImageId, name: &str) -> Result<Option<String>> {
        // A digest or a time; whatever is longer is neither.
        const MAX: u64 = 256;
        let path = self.root.image_metadata_dir(id).join(name);
        let bytes = read_capped(&path, MAX).attempt(|| format!("read {path:?}"))?;
        Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok()))
    }

    fn set_metadata(&self, id: &ImageId, name: &str, text: &str) -> Result<()> {
        let directory = self.root.image_metadata_dir(id);
        atomic::create_directory(&directory, 0o700)?;
        // A time lost with the power is not worth a sync.
        atomic::write(&directory.join(name), text.as_bytes(), MODE, Durability::Fast)
    }
}

const PARENT: &str = "parent";
const LAST_UPDATED: &str = "lastUpdated";

/// The first `max` bytes of a file; `None` if there is none.
pub(super) fn read_capped(path: &Path, max: u64) -> io::Result<Option<Vec<u8>>> {
    let Some(file) = atomic::open_file(path)? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(max).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests;
