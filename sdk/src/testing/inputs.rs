//! The hash of what a template is made of.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::error::{Attempt as _, Result};
use crate::spec::Digester;

/// A digest over parts, each told from the next.
#[derive(Debug)]
pub(super) struct Inputs(Digester);

impl Inputs {
    pub(super) fn new() -> Self {
        Self(Digester::new())
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    /// Adds a file, or all files below a directory, with their names; in the order of their names, links as what they lead to.
    pub(super) fn add_tree(&mut self, path: &Path) -> Result<()> {
        let attempt = || format!("read {path:?}, an input of the template");
        self.add(path.file_name().unwrap_or_default().as_bytes());
        if path.metadata().attempt(attempt)?.is_dir() {
            let entries = std::fs::read_dir(path).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
            let mut entries: Vec<_> = entries.attempt(attempt)?.into_iter().map(|entry| entry.path()).collect();
            entries.sort();
            self.add(&(entries.len() as u64).to_le_bytes());
            return entries.iter().try_for_each(|entry| self.add_tree(entry));
        }
        self.add(&std::fs::read(path).attempt(attempt)?);
        Ok(())
    }

    /// Its first 24 digits.
    pub(super) fn finish(self) -> String {
        self.0.finish().hex()[..24].to_owned()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn hash(path: &Path) -> String {
        let mut inputs = Inputs::new();
        inputs.add_tree(path).unwrap();
        inputs.finish()
    }

    #[test]
    fn names_and_contents_count_and_where_they_lie_does_not() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let make = |directory: &Path, files: &[(&str, &str)]| {
            let tree = directory.join("migrations");
            std::fs::create_dir_all(tree.join("sub")).unwrap();
            files.iter().for_each(|(name, text)| std::fs::write(tree.join(name), text).unwrap());
            hash(&tree)
        };
        let first = make(one.path(), &[("1.sql", "a"), ("sub/2.sql", "b")]);
        assert_eq!(first, make(other.path(), &[("1.sql", "a"), ("sub/2.sql", "b")]));
        assert_ne!(first, make(other.path(), &[("1.sql", "c")]));
        assert_ne!(first, make(one.path(), &[("3.sql", "")]));
        let missing = Inputs::new().add_tree(&one.path().join("none")).unwrap_err();
        assert_eq!(missing.kind(), crate::ErrorKind::NotFound);
    }
}
