//! Finding an image by what people call it: a reference, an image ID, or the beginning of one.

use super::images::Images;
use super::tags::no_such;
use crate::error::{ErrorKind, Fault, Result};
use crate::spec::digest::{Digest, ImageId};
use crate::spec::reference::Reference;

#[derive(Debug, thiserror::Error)]
enum LookupFault {
    #[error("find image {prefix:?}: several image IDs begin so ({})", ids.iter().map(ImageId::short).collect::<Vec<_>>().join(", "))]
    Ambiguous { prefix: String, ids: Vec<ImageId> },
}

impl Fault for LookupFault {
    fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidArgument
    }

    fn hint(&self) -> Option<String> {
        Some("give more digits".into())
    }
}

/// So many tags of a repository are named to who asks for another one.
const MOST_TAGS: usize = 5;

/// What a name turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Match {
    /// A tag, or a name with the digest of a manifest.
    Reference(Reference, ImageId),
    /// An image ID or its beginning.
    Id(ImageId),
}

impl Match {
    pub(super) fn into_id(self) -> ImageId {
        match self {
            Self::Reference(_, id) | Self::Id(id) => id,
        }
    }
}

impl Images {
    pub(super) fn matching(&self, name: &str) -> Result<Option<Match>> {
        let hex = name.strip_prefix("sha256:").unwrap_or(name);
        if let Ok(digest) = Digest::parse(&format!("sha256:{hex}")) {
            let id = ImageId::from(digest);
            return Ok(self.store().has(&id).then_some(Match::Id(id)));
        }
        let reference = Reference::parse(name);
        if let Ok(reference) = &reference
            && let Some(id) = self.tags().read()?.get(reference)
        {
            return Ok(Some(Match::Reference(reference.clone(), id.clone())));
        }
        if let Some(id) = self.by_prefix(hex)? {
            return Ok(Some(Match::Id(id)));
        }
        // What is no reference and no ID either deserves the reason, not "no such image".
        reference.map(|_| None)
    }

    /// The image called `name`.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub(super) fn expect(&self, attempt: &str, name: &str) -> Result<Match> {
        self.matching(name)?.ok_or_else(|| {
            let other = self.tagged_otherwise(name);
            let hint =
                other.unwrap_or_else(|| "list the images there are; build, import or load this one first".into());
            no_such(attempt, name).with_hint(hint)
        })
    }

    /// What else there is of the same repository, in words.
    fn tagged_otherwise(&self, name: &str) -> Option<String> {
        let reference = Reference::parse(name).ok()?;
        let repository = reference.familiar_name();
        let others = self.tags().read().ok()?.of_repository(&repository);
        if others.is_empty() {
            return None;
        }
        let others: Vec<_> = others.iter().take(MOST_TAGS).map(|tag| format!("`{tag}`")).collect();
        let others = others.join(", ");
        let latest = if name == repository { "; without a tag, `latest` is meant" } else { "" };
        Some(format!("of this repository there is {others}{latest}"))
    }

    fn by_prefix(&self, prefix: &str) -> Result<Option<ImageId>> {
        if prefix.is_empty() || !prefix.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Ok(None);
        }
        let mut ids = self.store().list()?;
        ids.retain(|id| id.hex().starts_with(prefix));
        match ids.len() {
            0 | 1 => Ok(ids.pop()),
            _ => Err(LookupFault::Ambiguous { prefix: prefix.to_owned(), ids }.into()),
        }
    }
}
