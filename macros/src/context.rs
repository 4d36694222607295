//! The build context as the checks see it: files of the package.

use std::path::PathBuf;

use plywood_syntax::checks::{FileKind, Files};
use plywood_syntax::ignore::Ignore;

/// The files below the package root, or below the directory that `#![context("…")]` names.
pub(crate) struct PackageFiles {
    root: PathBuf,
    ignore: Ignore,
}

impl PackageFiles {
    /// The context, where the compiler was started by Cargo and the directory exists.
    pub(crate) fn open(context: Option<&str>) -> Option<Self> {
        let mut root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR")?);
        root.extend(context);
        let ignore = std::fs::read_to_string(root.join(".dockerignore")).unwrap_or_default();
        root.is_dir().then(|| Self { root, ignore: Ignore::parse(&ignore) })
    }
}

impl PackageFiles {
    /// Its `.dockerignore`, where there is one.
    pub(crate) fn ignore_file(&self) -> Option<PathBuf> {
        Some(self.root.join(".dockerignore")).filter(|path| path.is_file())
    }
}

impl Files for PackageFiles {
    fn root(&self) -> String {
        self.root.canonicalize().as_ref().unwrap_or(&self.root).display().to_string()
    }

    fn kind(&self, path: &str) -> Option<FileKind> {
        let kind = self.root.join(path).symlink_metadata().ok()?;
        Some(if kind.is_dir() { FileKind::Directory } else { FileKind::File })
    }

    fn names(&self, directory: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.root.join(directory)).into_iter().flatten();
        let mut names: Vec<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort_unstable();
        names
    }

    fn ignore(&self) -> &Ignore {
        &self.ignore
    }
}
