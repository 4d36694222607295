//! Image definitions: what `layers!` and the builder produce.
//!
//! A definition is a plain value. It has no identity, reads no file and talks to no kernel; an engine builds it. Its
//! values are raw: `$NAME` in them is expanded when the image is built, by the rules of a Dockerfile.

mod base;
mod builder;
mod check;
mod command;
mod copy;
mod dockerfile;
mod embedded;
mod health_check;
mod instruction;
pub mod keywords;
mod named;
mod notes;
mod print;
mod read;
mod run;
#[cfg(test)]
mod tests;
mod values;

use std::fmt;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

pub use base::Base;
pub use command::Command;
pub use copy::{Add, Copy, CopySource};
pub use dockerfile::Dockerfile;
pub use embedded::Embedded;
pub(crate) use embedded::EmbeddedFile;
pub use health_check::HealthCheck;
pub use instruction::{Arg, From, Instruction};
pub use run::{MountKind, Run, RunMount};
pub use values::{ExposedPorts, Values, VolumePaths};

/// A declared image: anything that can say which instructions make it.
///
/// `layers!` and `dockerfile!` implement it for the types they declare; [`Layers`] is one itself, and so are references
/// to images and `static`s in a [`LazyLock`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an image",
    label = "expected a type that `layers!` or `dockerfile!` declares, or a value of `Layers`",
    note = "declare it with `layers! {{ pub struct Name; FROM \"debian:12\"; }}`"
)]
pub trait ImageDefinition {
    /// Returns the instructions of this image.
    fn layers(&self) -> Layers;
}

impl ImageDefinition for Layers {
    fn layers(&self) -> Layers {
        self.clone()
    }
}

impl<T: ImageDefinition + ?Sized> ImageDefinition for &T {
    fn layers(&self) -> Layers {
        (**self).layers()
    }
}

impl<T: ImageDefinition + ?Sized> ImageDefinition for Arc<T> {
    fn layers(&self) -> Layers {
        (**self).layers()
    }
}

impl<T: ImageDefinition, F: FnOnce() -> T> ImageDefinition for LazyLock<T, F> {
    fn layers(&self) -> Layers {
        (**self).layers()
    }
}

/// A declared image without parameters, which its type alone names: what `FROM Type;` accepts.
///
/// `layers!` implements it for the unit structs it declares.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an image",
    label = "expected a type without fields that `layers!` or `dockerfile!` declares",
    note = "an image with fields is written as a value: `FROM {{Type {{ … }}}};`"
)]
pub trait DeclaredImage: ImageDefinition {
    /// The one value of this type.
    fn declared() -> Self;
}

/// The instructions that make an image.
///
/// Each method adds one instruction and is named after it; `layers!` expands to the same calls. Nothing is checked or
/// read before the image is built, so a definition can be made anywhere, also in a `static` through [`LazyLock`].
///
/// ```
/// use plywood::Layers;
///
/// let tools = Layers::new()
///     .from("debian:12-slim")
///     .run("apt-get update && apt-get install -y curl")
///     .copy("app.py", "/app/")
///     .cmd(["curl", "--version"]);
/// assert_eq!(tools.instructions().len(), 4);
/// ```
///
/// Two definitions are equal if their instructions are; where they were written and where their files are does not
/// count. It prints as a Dockerfile.
#[derive(Clone, Default)]
pub struct Layers {
    instructions: Vec<Instruction>,
    /// Where each instruction was written.
    places: Vec<Place>,
    context: Option<PathBuf>,
    /// The Dockerfile that they come from, where Docker builds some things without a word that are mistakes elsewhere.
    /// Empty for text that is no file.
    dockerfile: Option<PathBuf>,
    /// Calls that belong to no instruction, as `stage` before any `from`.
    misplaced: Vec<Misplaced>,
}

/// A builder call that could not be applied.
#[derive(Debug, Clone)]
struct Misplaced {
    call: &'static str,
    place: &'static Location<'static>,
}

impl Layers {
    /// The instructions, in the order they were written.
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// The directory that sources of `COPY` and `ADD` are relative to.
    ///
    /// `layers!` sets the directory of the package it is used in. Without one a build uses the working directory.
    pub fn context_dir(&self) -> Option<&Path> {
        self.context.as_deref()
    }

    /// What comes before the `.dockerignore` of the context where it exists: a file beside the Dockerfile, called as it
    /// is with `.dockerignore` at the end.
    pub(crate) fn ignore_file(&self) -> Option<PathBuf> {
        let mut path = self.dockerfile.as_ref().filter(|path| path.file_name().is_some())?.clone().into_os_string();
        path.push(".dockerignore");
        Some(path.into())
    }

    /// Where the instruction of this index was written.
    pub(crate) fn place(&self, index: usize) -> Option<&Place> {
        self.places.get(index)
    }
}

/// Where an instruction was written. It prints as `file:line`.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// In the program.
    Code(&'static Location<'static>),
    /// In a Dockerfile.
    Dockerfile { file: Arc<str>, line: usize },
}

impl Place {
    fn line(&self) -> usize {
        match self {
            Self::Code(location) => location.line() as usize,
            Self::Dockerfile { line, .. } => *line,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(location) => write!(f, "{}:{}", location.file(), location.line()),
            Self::Dockerfile { file, line } => write!(f, "{file}:{line}"),
        }
    }
}

impl PartialEq for Layers {
    fn eq(&self, other: &Self) -> bool {
        self.instructions == other.instructions
    }
}

impl Eq for Layers {}

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Layers ")?;
        f.debug_list().entries(&self.instructions).finish()
    }
}
