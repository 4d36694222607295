//! What a prune has done.

use std::fmt;

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A container.
    Container,
    /// An image, with the layers nothing else uses.
    Image,
    /// A volume, with all that is in it.
    Volume,
    /// The build cache, with the layers that it alone knows.
    BuildCache,
}

/// What was removed, or in a dry run would be.
#[derive(Debug, Clone, Default)]
pub struct Report {
    objects: Vec<Object>,
}

/// One object of a [`Report`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    kind: Kind,
    id: String,
    name: String,
    bytes: u64,
}

impl Report {
    /// What went, in the order in which it did.
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// Bytes on disk that were set free.
    pub fn bytes(&self) -> u64 {
        self.objects.iter().map(|object| object.bytes).sum()
    }
}

impl Object {
    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The ID of a container or image, the name of a volume; empty for the build cache.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes on disk that go with it and with nothing before it in the report.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Volume => "volume",
            Self::BuildCache => "build cache",
        })
    }
}

impl Report {
    /// Notes what went; the build cache is one object, however many pieces of it go.
    pub(super) fn note(&mut self, kind: Kind, id: &str, name: &str, bytes: u64) {
        let known = self.objects.iter_mut().find(|object| kind == Kind::BuildCache && object.kind == kind);
        match known {
            Some(cache) => cache.bytes += bytes,
            None => self.objects.push(Object { kind, id: id.to_owned(), name: name.to_owned(), bytes }),
        }
    }
}
