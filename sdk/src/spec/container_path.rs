//! Absolute, normal paths inside a container.

use std::fmt;
use std::path::Path;

use super::{Invalid, text_value};
use crate::error::Result;

/// Longest path the kernel takes, in bytes, its final NUL included (`PATH_MAX`).
const MAX: usize = 4096;

/// An absolute path inside a container: no `.`, no `..`, no double and no trailing slash.
///
/// `..` is resolved by its text, as Docker does, and stays below `/`. Whether a component is a symbolic link is decided
/// where the path is opened.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerPath(String);

impl ContainerPath {
    /// The root directory.
    pub fn root() -> Self {
        Self("/".into())
    }

    /// Reads an absolute path and normalises it.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if it is empty, relative, too long or holds a NUL.
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = |why: &str| Err(Invalid::new("container path", text, why).into());
        if text.is_empty() {
            return invalid("it is empty");
        }
        if !text.starts_with('/') {
            return invalid("it is not absolute");
        }
        Self::root().join(text)
    }

    /// This path followed by another; an absolute one replaces it.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if the result is too long or holds a NUL.
    pub fn join(&self, path: &str) -> Result<Self> {
        if path.contains('\0') {
            return Err(Invalid::new("container path", path, "it holds a NUL").into());
        }
        let joined = plywood_syntax::path::resolve(&self.0, path);
        if joined.len() >= MAX {
            return Err(Invalid::new("container path", path, format!("it is longer than {} bytes", MAX - 1)).into());
        }
        Ok(Self(joined))
    }

    /// The text, beginning with `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text without the leading `/`, to be resolved beneath a descriptor of the root; empty for the root itself.
    pub fn relative(&self) -> &str {
        &self.0[1..]
    }

    /// The names between the slashes, from the root; none for the root itself.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.relative().split('/').filter(|name| !name.is_empty())
    }

    /// The directory that holds it; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        let (parent, name) = self.0.rsplit_once('/')?;
        match (parent, name) {
            (_, "") => None,
            ("", _) => Some(Self::root()),
            _ => Some(Self(parent.to_owned())),
        }
    }

    /// The last name; `None` for the root.
    pub fn file_name(&self) -> Option<&str> {
        self.components().next_back()
    }

    /// Whether it is `/`.
    pub fn is_root(&self) -> bool {
        self.0 == "/"
    }

    /// Whether it is `other` or below it.
    pub fn is_within(&self, other: &Self) -> bool {
        Path::new(&self.0).starts_with(&other.0)
    }
}

impl fmt::Display for ContainerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ContainerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl AsRef<str> for ContainerPath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl AsRef<Path> for ContainerPath {
    fn as_ref(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl From<ContainerPath> for String {
    fn from(path: ContainerPath) -> Self {
        path.0
    }
}

text_value!(ContainerPath);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn paths_are_normalised_and_stay_below_the_root() {
        let table = [
            ("/", "/"),
            ("//a//b/", "/a/b"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/../../etc", "/etc"),
            ("/a/..", "/"),
        ];
        for (text, normal) in table {
            assert_eq!(ContainerPath::parse(text).unwrap().as_str(), normal);
        }
    }

    #[test]
    fn relative_empty_and_nul_are_refused() {
        for (text, why) in [("", "it is empty"), ("a", "it is not absolute"), ("/a\0", "it holds a NUL")] {
            let error = ContainerPath::parse(text).unwrap_err();
            assert_eq!(error.to_string(), format!("invalid container path {text:?}: {why}"));
        }
        assert!(ContainerPath::parse(&format!("/{}", "a/".repeat(2048))).is_err());
    }

    #[test]
    fn parts_of_a_path() {
        let path = ContainerPath::parse("/srv/app/data").unwrap();
        assert_eq!(path.components().collect::<Vec<_>>(), ["srv", "app", "data"]);
        assert_eq!(path.relative(), "srv/app/data");
        assert_eq!(path.file_name(), Some("data"));
        assert_eq!(path.parent().unwrap().as_str(), "/srv/app");
        assert_eq!(ContainerPath::parse("/a").unwrap().parent(), Some(ContainerPath::root()));
        assert_eq!(ContainerPath::root().parent(), None);
        assert_eq!(ContainerPath::root().file_name(), None);
        assert_eq!(path.join("../x").unwrap().as_str(), "/srv/app/x");
        assert_eq!(path.join("/y").unwrap().as_str(), "/y");
        assert!(path.is_within(&ContainerPath::parse("/srv").unwrap()));
        assert!(!path.is_within(&ContainerPath::parse("/srv/ap").unwrap()));
    }
}
