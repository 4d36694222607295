//! Removing tags and images: what `docker rmi` does, and what it refuses.

use super::images::{Images, Users};
use super::lookup::Match;
use super::tags::{Overwrite, Repositories};
use crate::data_root::InFlight;
use crate::error::{Error, ErrorKind, Fault, Result};
use crate::layer::Layer;
use crate::spec::digest::{ChainId, ImageId};
use crate::spec::reference::Reference;

/// What the removal of an image took away.
#[derive(Debug, Clone, Default)]
pub struct Removed {
    references: Vec<Reference>,
    image: Option<ImageId>,
    layers: Vec<Layer>,
}

impl Removed {
    /// The references that name nothing any more.
    #[doc(alias = "Untagged")]
    pub fn references(&self) -> &[Reference] {
        &self.references
    }

    /// The image, unless other references keep it.
    #[doc(alias = "Deleted")]
    pub fn image(&self) -> Option<&ImageId> {
        self.image.as_ref()
    }

    /// The layers that nothing else used, topmost first.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Bytes reclaimed.
    pub fn size(&self) -> u64 {
        self.layers.iter().map(Layer::size).sum()
    }
}

/// What becomes of an image with references that is removed by its ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Force {
    /// It is refused, even with a single one.
    Never,
    /// It is refused if it has several.
    No,
    /// All its references are removed with it. Containers that use it still prevent that.
    Yes,
}

#[derive(Debug, thiserror::Error)]
enum RemoveFault {
    #[error("remove image {name:?}: {}", made_of_it(users))]
    InUse { name: String, users: Vec<String> },
    #[error("remove image {name:?}: it has {}", named(references))]
    References { name: String, references: Vec<Reference> },
}

impl Fault for RemoveFault {
    fn kind(&self) -> ErrorKind {
        ErrorKind::InUse
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::InUse { .. } => "remove these containers first".into(),
            Self::References { .. } => "remove them one by one, or force it".into(),
        })
    }
}

fn made_of_it(users: &[String]) -> String {
    match users {
        [one] => format!("container {one:?} was made of it"),
        _ => format!(
            "containers {} were made of it",
            users.iter().map(|user| format!("{user:?}")).collect::<Vec<_>>().join(", ")
        ),
    }
}

fn named(references: &[Reference]) -> String {
    match references {
        [one] => format!("a reference ({})", one.familiar()),
        _ => {
            let all: Vec<_> = references.iter().map(Reference::familiar).collect();
            format!("several references ({})", all.join(", "))
        }
    }
}

impl Images {
    /// Takes a reference away and keeps the image, even if it has no other.
    ///
    /// # Errors
    /// `NotFound` if the reference names no image.
    pub(crate) fn untag(&self, reference: &Reference) -> Result<ImageId> {
        let _held = self.lock()?;
        self.tags()
            .update(|tags| Ok(tags.remove(reference)))?
            .ok_or_else(|| super::tags::no_such("untag image", &reference.familiar()))
    }

    /// Removes what `name` stands for: a reference, and with the last one the image; or an image by its ID.
    ///
    /// `in_use` gives the names of the containers made from an image. Layers go when nothing else uses them.
    ///
    /// # Errors
    /// `NotFound`; `InUse` if a container was made from the image, or if it has several references, was named by its
    /// ID, and the removal is not forced.
    pub(crate) fn remove(&self, name: &str, force: Force, in_use: Users<'_>) -> Result<Removed> {
        let held = self.lock()?;
        let found = self.expect("remove image", name)?;
        let tags = self.tags().read()?;
        let (id, going) = match found {
            Match::Reference(reference, id) => {
                let others = tags_of(&tags, &id).into_iter().filter(|other| *other != reference).count();
                if others > 0 {
                    self.tags().update(|tags| Ok(tags.remove(&reference)))?;
                    return Ok(Removed { references: vec![reference], ..Removed::default() });
                }
                // With its last tag go the names by digest that a pull left.
                let going = tags.of(&id);
                (id, going)
            }
            Match::Id(id) => {
                let several = tags_of(&tags, &id);
                let most = match force {
                    Force::Never => 0,
                    Force::No => 1,
                    Force::Yes => usize::MAX,
                };
                if several.len() > most {
                    return Err(RemoveFault::References { name: name.to_owned(), references: several }.into());
                }
                let going = tags.of(&id);
                (id, going)
            }
        };
        let users = in_use(&id)?;
        if !users.is_empty() {
            return Err(RemoveFault::InUse { name: name.to_owned(), users }.into());
        }
        // A configuration that cannot be read any more can still be removed; fsck finds its layers.
        let chains = match self.store().config(&id) {
            Ok(config) => config.map(|config| ChainId::stack(config.diff_ids())).unwrap_or_default(),
            Err(error) => {
                tracing::warn!("the layers of image {} stay: {error}", id.short());
                Vec::new()
            }
        };
        // On a full disk there may be no room for the note, and a removal is what makes room.
        let unclaimed = self.unclaimed(std::iter::once(&id), chains.iter().rev()).ok().flatten();
        self.tags().update(|tags| {
            going.iter().for_each(|reference| drop(tags.remove(reference)));
            Ok(())
        })?;
        let removed = self.store().remove(&id).and_then(|()| self.release_held(&held, chains.iter().rev()));
        let layers = removed.map_err(|error| match self.store().has(&id) {
            true => self.put_back(&going, &id, error),
            false => {
                // Whoever opens the store next goes on.
                unclaimed.into_iter().for_each(InFlight::abandon);
                error
            }
        })?;
        Ok(Removed { references: going, image: Some(id), layers })
    }

    /// Gives an image that could not be removed its references back.
    fn put_back(&self, references: &[Reference], id: &ImageId, error: Error) -> Error {
        let put_back = self.tags().update(|tags| {
            references.iter().try_for_each(|reference| tags.add(reference, id, Overwrite::Refuse).map(drop))
        });
        match put_back {
            Ok(()) => error,
            Err(failure) => error.with_clean_up(failure),
        }
    }
}

/// The references of an image that hold it: tags, and without any tag the names by digest.
fn tags_of(tags: &Repositories, id: &ImageId) -> Vec<Reference> {
    let all = tags.of(id);
    let tagged: Vec<_> = all.iter().filter(|reference| reference.digest().is_none()).cloned().collect();
    if tagged.is_empty() { all } else { tagged }
}

#[cfg(test)]
mod tests;
