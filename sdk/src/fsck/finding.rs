//! What a check has found.

use std::fmt;
use std::path::{Path, PathBuf};

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub(super) object: Object,
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) problem: Problem,
    pub(super) outcome: Outcome,
}

/// What kind of object a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Object {
    /// A layer of images.
    Layer,
    /// An image.
    Image,
    /// A reference that names an image, or the file of all of them.
    Tag,
    /// A container, with its writable layer.
    Container,
    /// A volume, or the database of their labels.
    Volume,
    /// A directory of the data root, with entries that belong to nothing known.
    Directory,
}

/// What is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// It cannot be read, or contradicts itself; why.
    Damaged(String),
    /// A link or a file lies where its directory should be.
    NoDirectory,
    /// It belongs to this user instead of the one who owns the data root.
    Owner(u32),
    /// Something that it is made of, or stands on, is not there; what.
    Missing(String),
    /// The names by which Docker mounts it are lost or wrong.
    Names,
    /// Its record does not say how many bytes its files have.
    Size {
        /// What the record says.
        recorded: String,
        /// The bytes.
        actual: u64,
    },
    /// A volatile mount has left its mark, and Docker cannot mount it.
    Volatile,
    /// It leads to nothing.
    Dangling,
    /// Docker cannot save or push it: what its archive is rebuilt from is missing.
    Irreproducible,
    /// Another object has the same name.
    Duplicate,
    /// Entries that nothing known refers to; others may use them, as Docker's builder does.
    Unknown {
        /// How many.
        count: usize,
        /// The names of some.
        examples: Vec<String>,
    },
}

/// What became of a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Nothing was done about it.
    Open,
    /// It was, or without [`repair`](super::Options::repair) can be, repaired without a loss.
    Repairable,
    /// It is as it should be now.
    Repaired,
    /// It could not be repaired; why.
    Failed(String),
}

impl Finding {
    /// The kind of object.
    pub fn object(&self) -> Object {
        self.object
    }

    /// Its ID, reference or name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file or directory concerned.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is wrong.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// What became of it.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// Whether something does not work because of it; else it is only worth knowing.
    pub fn is_damage(&self) -> bool {
        !matches!(self.problem, Problem::Unknown { .. } | Problem::Irreproducible)
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Layer => "layer",
            Self::Image => "image",
            Self::Tag => "tag",
            Self::Container => "container",
            Self::Volume => "volume",
            Self::Directory => "directory",
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(why) => f.write_str(why),
            Self::NoDirectory => f.write_str("there is no directory in its place, but something else"),
            Self::Owner(uid) => write!(f, "it belongs to user {uid}"),
            Self::Missing(what) => write!(f, "{what} is missing"),
            Self::Names => f.write_str("the names by which Docker mounts it are lost or wrong"),
            Self::Size { recorded, actual } => {
                write!(f, "its record says {recorded:?} for its size, and its files have {actual} bytes")
            }
            Self::Volatile => f.write_str("a volatile mount has left its mark: Docker cannot mount it"),
            Self::Dangling => f.write_str("it leads to nothing"),
            Self::Irreproducible => f.write_str("Docker cannot save or push it: its tar-split.json.gz is missing"),
            Self::Duplicate => f.write_str("another has the same name"),
            Self::Unknown { count, examples } => {
                write!(f, "{count} entries in it are unknown ({}", examples.join(", "))?;
                f.write_str(if *count > examples.len() { ", …)" } else { ")" })
            }
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("open"),
            Self::Repairable => f.write_str("repairable"),
            Self::Repaired => f.write_str("repaired"),
            Self::Failed(why) => write!(f, "not repaired: {why}"),
        }
    }
}
