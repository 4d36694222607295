//! The build context as the checks see it: files of the package.
//!
//! Cargo says where the package is, in `CARGO_MANIFEST_DIR`. Where something else runs the compiler, the directory of the
//! source file stands for it.

use std::path::{Path, PathBuf};

use plywood_syntax::checks::{FileKind, Files};
use plywood_syntax::ignore::Ignore;
use proc_macro2::{Span, TokenStream};
use quote::quote;

use crate::source;

/// The files below the package root, or below the directory that `#![context("…")]` names.
pub(crate) struct PackageFiles {
    root: PathBuf,
    ignore: Ignore,
    /// Where the rules are from.
    ignore_file: PathBuf,
}

impl PackageFiles {
    /// The context, where it is known and exists.
    ///
    /// A file beside the Dockerfile, called as it is with `.dockerignore` at the end, comes before that of the context.
    pub(crate) fn open(context: Option<&str>, dockerfile: Option<&Path>) -> Option<Self> {
        let mut root = package()?;
        root.extend(context);
        let beside = dockerfile.map(|path| {
            let mut path = path.as_os_str().to_owned();
            path.push(".dockerignore");
            PathBuf::from(path)
        });
        let ignore_file = beside.filter(|path| path.is_file()).unwrap_or_else(|| root.join(".dockerignore"));
        let ignore = std::fs::read_to_string(&ignore_file).unwrap_or_default();
        root.is_dir().then(|| Self { root, ignore: Ignore::parse(&ignore), ignore_file })
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.root
    }

    /// The file that its ignore rules are from, where there is one.
    pub(crate) fn ignore_file(&self) -> Option<PathBuf> {
        Some(self.ignore_file.clone()).filter(|path| path.is_file())
    }
}

/// What to do where the package is not known.
pub(crate) const HOW_TO_TELL: &str = "set `CARGO_MANIFEST_DIR` where the compiler is started";

/// The directory that paths are relative to; none where neither Cargo nor the compiler tells.
pub(crate) fn package() -> Option<PathBuf> {
    cargo_package().or_else(source_directory)
}

fn cargo_package() -> Option<PathBuf> {
    std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from)
}

/// Where the file with the macro call is.
fn source_directory() -> Option<PathBuf> {
    source::local_file(Span::call_site())?.canonicalize().ok()?.parent().map(Path::to_owned)
}

/// The names in a directory, in order; none where it cannot be read.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

/// A path of the package as an expression; nothing where the package is not known.
pub(crate) fn expression(path: &str) -> Option<TokenStream> {
    if path.starts_with('/') {
        return Some(quote!(#path));
    }
    if cargo_package().is_some() {
        // Not the path itself: where the program is compiled elsewhere, it is another.
        let path = format!("/{path}");
        return Some(match path.as_str() {
            "/" => quote!(::core::env!("CARGO_MANIFEST_DIR")),
            path => quote!(::core::concat!(::core::env!("CARGO_MANIFEST_DIR"), #path)),
        });
    }
    let path = source_directory()?.join(path);
    let path = path.to_str()?;
    Some(quote!(#path))
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
        names(&self.root.join(directory))
    }

    fn ignore(&self) -> &Ignore {
        &self.ignore
    }

    fn ignore_name(&self) -> String {
        self.ignore_file.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}
