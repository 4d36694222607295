//! The tags: which reference names which image.
//!
//! ```text
//! image/<driver>/repositories.json
//! {"Repositories":{"debian":{"debian:12":"sha256:…","debian@sha256:<manifest digest>":"sha256:…"}}}
//! ```
//!
//! Names are familiar ones (`docker.io/library/` left out), always with a tag or a digest; keys are sorted, as Go sorts
//! them, and there is no line end. The file is read, changed and replaced by rename under the images lock, so that
//! threads and processes that tag at the same time lose nothing. A reader needs no lock.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::store::{ImageStore, read_capped};
use crate::data_root::DataRoot;
use crate::error::{Attempt, Error, ErrorKind, Fault, Result};
use crate::spec::digest::ImageId;
use crate::spec::id::random_hex64;
use crate::spec::reference::Reference;

/// Docker writes it for the owner only.
const MODE: u32 = 0o600;

/// Some hundred thousand tags; more is no `repositories.json`.
const MAX_SIZE: u64 = 64 * 1024 * 1024;

/// What to do about a reference that names another image already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overwrite {
    /// An error, and nothing is changed: an archive never moves a tag silently.
    Refuse,
    /// The reference names the new image from now on.
    Move,
}

/// The tags of a data root.
#[derive(Debug, Clone)]
pub(crate) struct Tags {
    root: DataRoot,
}

/// The content of `repositories.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Repositories {
    #[serde(rename = "Repositories", default)]
    by_name: BTreeMap<String, BTreeMap<String, ImageId>>,
}

#[derive(Debug, thiserror::Error)]
enum TagFault {
    #[error("tag image {} as {reference:?}: the reference names image {} already", new.short(), old.short())]
    RefExists { reference: String, old: ImageId, new: ImageId },
    #[error("tag an image as {0:?}: \"sha256\" is no repository name, it would read as an image ID")]
    NamedSha256(String),
    #[error("read the tags in {path:?}: {why}")]
    Malformed { path: PathBuf, why: String },
    #[error("read the tags in {path:?}: the file is missing, and images of this data root had names")]
    Lost { path: PathBuf },
}

impl Fault for TagFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::RefExists { .. } => ErrorKind::AlreadyExists,
            Self::NamedSha256(_) => ErrorKind::InvalidArgument,
            Self::Malformed { .. } | Self::Lost { .. } => ErrorKind::Corrupt,
        }
    }

    fn path(&self) -> Option<&Path> {
        match self {
            Self::Malformed { path, .. } | Self::Lost { path } => Some(path),
            Self::RefExists { .. } | Self::NamedSha256(_) => None,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::RefExists { reference, .. } => {
                Some(format!("remove the tag {reference:?} first, or allow the import to overwrite it"))
            }
            Self::Malformed { .. } => {
                Some("let `plywood fsck --repair` keep what is whole in it, or restore it from a backup".into())
            }
            Self::Lost { .. } => Some(
                "restore it from a backup, or let `plywood fsck --repair` begin a new one: the images are whole, and \
                 `plywood tag` names them by their IDs"
                    .into(),
            ),
            Self::NamedSha256(_) => None,
        }
    }
}

impl Tags {
    pub(crate) fn new(root: &DataRoot) -> Self {
        Self { root: root.clone() }
    }

    /// All tags, as of now.
    ///
    /// # Errors
    /// `Corrupt` if the file is damaged, or gone: without its names an image would go with the next prune.
    pub(crate) fn read(&self) -> Result<Repositories> {
        Ok(self.found()?.unwrap_or_default())
    }

    /// The same; `None` while there is no file yet.
    fn found(&self) -> Result<Option<Repositories>> {
        let path = self.root.repositories();
        let Some(bytes) = read_capped(&path, MAX_SIZE).attempt(|| format!("read {path:?}"))? else {
            return match ImageStore::new(&self.root).has_tagged()? {
                true => Err(TagFault::Lost { path }.into()),
                false => Ok(None),
            };
        };
        let malformed = |error: serde_json::Error| TagFault::Malformed { path, why: error.to_string() };
        Ok(Some(serde_json::from_slice(&bytes).map_err(malformed)?))
    }

    /// Makes a damaged file again of the tags that are whole in it and name images that `has` knows, and an empty one if it
    /// is gone. The damaged one is kept in our own directory. The caller holds the images lock.
    pub(super) fn restore(&self, has: impl Fn(&ImageId) -> bool) -> Result<()> {
        let path = self.root.repositories();
        let Some(bytes) = read_capped(&path, MAX_SIZE).attempt(|| format!("read {path:?}"))? else {
            return self.write(&Repositories::default());
        };
        let random = random_hex64().attempt(|| "read random bytes")?;
        let kept = self.root.own_dir().join(format!("damaged-repositories-{}.json", &random[..16]));
        self.root.write(&kept, &bytes, MODE)?;
        let mut whole = Repositories::salvage(&String::from_utf8_lossy(&bytes));
        whole.by_name.retain(|_, references| {
            references.retain(|_, id| has(id));
            !references.is_empty()
        });
        self.write(&whole)
    }

    /// Changes the tags: reads, calls `change`, replaces the file. The caller holds the images lock.
    pub(super) fn update<T>(&self, change: impl FnOnce(&mut Repositories) -> Result<T>) -> Result<T> {
        let before = match self.found()? {
            Some(before) => before,
            None => {
                // It is there before `change` records that an image has a name: after that it would be lost.
                self.write(&Repositories::default())?;
                Repositories::default()
            }
        };
        let mut after = before.clone();
        let value = change(&mut after)?;
        if after != before {
            self.write(&after)?;
        }
        Ok(value)
    }

    fn write(&self, tags: &Repositories) -> Result<()> {
        self.root.write(&self.root.repositories(), &tags.to_json()?, MODE)
    }
}

impl Repositories {
    /// The tags of a file that is no JSON any more: a reference, a colon and an image ID. A reference that stands there
    /// several times is left out, whose image nobody knows.
    fn salvage(text: &str) -> Self {
        let (mut found, mut doubtful) = (Self::default(), Self::default());
        // Neither of them has quotes or escapes in it.
        let pieces: Vec<&str> = text.split('"').collect();
        for pair in pieces.windows(3).filter(|pair| pair[1].trim() == ":") {
            let (Ok(reference), Ok(id)) = (Reference::parse(pair[0]), ImageId::parse(pair[2])) else { continue };
            // The name of a repository alone is no tag.
            if key(&reference) != pair[0] {
                continue;
            }
            let into = if found.get(&reference).is_some() { &mut doubtful } else { &mut found };
            // One that cannot be a tag is none.
            let _ = into.add(&reference, &id, Overwrite::Move);
        }
        for (reference, _) in doubtful.iter() {
            found.remove(&reference);
        }
        found
    }

    /// The file, byte for byte as Docker writes it.
    pub(crate) fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self)
            .map_err(|error| Error::new(ErrorKind::Corrupt, format_args!("write the tags: {error}")))
    }

    /// The image a reference names.
    pub(crate) fn get(&self, reference: &Reference) -> Option<&ImageId> {
        self.by_name.get(&reference.familiar_name())?.get(&key(reference))
    }

    /// The references of an image, sorted; unreadable ones are passed over.
    pub(crate) fn of(&self, id: &ImageId) -> Vec<Reference> {
        self.iter().filter(|(_, other)| *other == id).map(|(reference, _)| reference).collect()
    }

    /// The same of every image that has any.
    pub(super) fn by_image(&self) -> HashMap<&ImageId, Vec<Reference>> {
        let mut references: HashMap<_, Vec<_>> = HashMap::new();
        self.iter().for_each(|(reference, id)| references.entry(id).or_default().push(reference));
        references
    }

    /// The references of a repository, sorted.
    pub(super) fn of_repository(&self, name: &str) -> Vec<String> {
        self.by_name.get(name).map(|references| references.keys().cloned().collect()).unwrap_or_default()
    }

    /// All references with their images.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Reference, &ImageId)> {
        self.by_name.values().flatten().filter_map(|(reference, id)| Some((Reference::parse(reference).ok()?, id)))
    }

    /// Names an image; gives the image that had the name before, if that was another one.
    pub(crate) fn add(&mut self, reference: &Reference, id: &ImageId, overwrite: Overwrite) -> Result<Option<ImageId>> {
        let name = reference.familiar_name();
        if name == "sha256" {
            return Err(TagFault::NamedSha256(key(reference)).into());
        }
        let old = self.get(reference).filter(|old| *old != id).cloned();
        if let (Some(old), Overwrite::Refuse) = (&old, overwrite) {
            let fault = TagFault::RefExists { reference: key(reference), old: old.clone(), new: id.clone() };
            return Err(fault.into());
        }
        self.by_name.entry(name).or_default().insert(key(reference), id.clone());
        Ok(old)
    }

    /// Takes a name away; gives the image it named.
    pub(crate) fn remove(&mut self, reference: &Reference) -> Option<ImageId> {
        let name = reference.familiar_name();
        let references = self.by_name.get_mut(&name)?;
        let id = references.remove(&key(reference));
        if references.is_empty() {
            self.by_name.remove(&name);
        }
        id
    }
}

/// `debian:12`, or `debian@sha256:…` for a reference with a digest.
fn key(reference: &Reference) -> String {
    match reference.digest() {
        Some(digest) => format!("{}@{digest}", reference.familiar_name()),
        None => reference.familiar(),
    }
}

/// The error for a reference that names no image.
pub(super) fn no_such(attempt: &str, name: &str) -> Error {
    Error::new(ErrorKind::NotFound, format_args!("{attempt} {name:?}: no such image"))
}

#[cfg(test)]
mod tests;
