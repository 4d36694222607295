//! What a stage starts from.

use std::fmt;
use std::sync::Arc;

use super::{DeclaredImage, ImageDefinition, Layers, Values};

/// What a stage starts from, or what a `COPY --from` copies from.
///
/// A string is an image reference; `"scratch"` is the empty image.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Base {
    /// No files at all.
    Scratch,
    /// An image in the store, by its reference.
    Image(String),
    /// An earlier stage of the same definition.
    Stage(String),
    /// Programs of the host, each with its interpreter and libraries.
    Host(Vec<String>),
    /// Another definition, built first.
    Definition(Arc<Layers>),
}

impl Base {
    /// The empty image.
    pub fn scratch() -> Self {
        Self::Scratch
    }

    /// An image in the store, by its reference. Variables of global `ARG`s are expanded.
    pub fn image(reference: impl fmt::Display) -> Self {
        Self::Image(reference.to_string())
    }

    /// An earlier stage of the same definition.
    pub fn stage(name: impl fmt::Display) -> Self {
        Self::Stage(name.to_string())
    }

    /// Programs of the host, found in its `PATH`, each with its interpreter and libraries.
    ///
    /// An absolute path may be that of a module that a program before it in the list loads by itself
    /// ([`dlopen(3)`](https://man7.org/linux/man-pages/man3/dlopen.3.html)): the module's libraries come along too.
    ///
    /// The image also has a minimal `/etc/passwd`, `/etc/group` and `/tmp`. Needs no network and no other image.
    pub fn host(programs: impl Into<Values>) -> Self {
        Self::Host(programs.into().into_vec())
    }

    /// Another definition. It is built first, and its layers are shared.
    pub fn definition(definition: impl ImageDefinition) -> Self {
        Self::Definition(Arc::new(definition.layers()))
    }

    /// The image that this type declares.
    pub fn declared<D: DeclaredImage>() -> Self {
        Self::definition(D::declared())
    }
}

impl From<&str> for Base {
    fn from(reference: &str) -> Self {
        match reference {
            "scratch" => Self::Scratch,
            _ => Self::image(reference),
        }
    }
}

impl From<String> for Base {
    fn from(reference: String) -> Self {
        reference.as_str().into()
    }
}

impl From<&String> for Base {
    fn from(reference: &String) -> Self {
        reference.as_str().into()
    }
}

impl From<&Base> for Base {
    fn from(base: &Base) -> Self {
        base.clone()
    }
}

impl From<Layers> for Base {
    fn from(definition: Layers) -> Self {
        Self::Definition(Arc::new(definition))
    }
}

impl From<&Layers> for Base {
    fn from(definition: &Layers) -> Self {
        definition.clone().into()
    }
}
