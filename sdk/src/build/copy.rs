//! `COPY` and `ADD`: from a tree into a layer.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use plywood_syntax::ignore::Ignore;

use crate::error::{ErrorKind, Fault, Result};
use crate::image::CopySource;
use crate::spec::Digester;

use super::state::{CopyWork, Destination};
use super::tree::{self, Entry, Seen, Source, Tree, field};
use super::unpack::Unpacker;
use super::writer::{Attributes, Writer};

/// What a `COPY` copies, found.
#[derive(Debug)]
pub(super) struct Found {
    origins: Vec<Origin>,
    exclude: Ignore,
}

#[derive(Debug)]
enum Origin {
    Source(Box<Source>),
    Text { name: Option<String>, text: String },
}

#[derive(Debug, thiserror::Error)]
enum CopyFault {
    #[error("{keyword} {source_path:?}: downloading is not supported (download it yourself, and copy the file)")]
    Url { keyword: &'static str, source_path: String },
    #[error("{keyword}: several sources need a directory to go into (write {destination:?})")]
    NeedsDirectory { keyword: &'static str, destination: String },
    #[error("{keyword} {path:?}: it changed while it was copied from {tree} (build again when nothing writes to it)")]
    Changed { keyword: &'static str, path: PathBuf, tree: String },
    #[error("{keyword}: inline content needs a file name to go to, and {destination:?} is a directory")]
    InlineDirectory { keyword: &'static str, destination: String },
}

impl Fault for CopyFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Url { .. } => ErrorKind::Unsupported,
            Self::Changed { .. } => ErrorKind::InUse,
            _ => ErrorKind::InvalidArgument,
        }
    }
}

impl Found {
    /// Finds the sources in a tree.
    pub(super) fn new(tree: &dyn Tree, work: &CopyWork<'_>) -> Result<Self> {
        let keyword = work.keyword;
        let mut origins = Vec::new();
        for source in &work.sources {
            match source {
                CopySource::Path(path) if is_url(path) => {
                    return Err(CopyFault::Url { keyword, source_path: path.clone() }.into());
                }
                CopySource::Path(path) => {
                    origins.extend(tree::find(tree, keyword, path)?.into_iter().map(Box::new).map(Origin::Source));
                }
                CopySource::Inline { name, text, .. } => {
                    origins.push(Origin::Text { name: name.clone(), text: text.clone() });
                }
            }
        }
        if origins.len() > 1 && !work.destination.is_directory {
            let destination = format!("{}/", work.destination.path.as_str());
            return Err(CopyFault::NeedsDirectory { keyword, destination }.into());
        }
        Ok(Self { origins, exclude: Ignore::parse(&work.exclude.join("\n")) })
    }

    /// Adds to a cache key what would be copied. Gives the files of each source as they were then.
    pub(super) fn digest(&self, tree: &dyn Tree, keeps_owners: bool, into: &mut Digester) -> Result<Vec<Seen>> {
        let mut seen = Vec::new();
        for origin in &self.origins {
            match origin {
                Origin::Source(source) => {
                    field(into, b"source");
                    seen.push(tree::digest(tree, source, &self.exclude, keeps_owners, into)?);
                }
                Origin::Text { name, text } => {
                    field(into, b"text");
                    field(into, name.as_deref().unwrap_or_default().as_bytes());
                    field(into, text.as_bytes());
                }
            }
        }
        Ok(seen)
    }

    /// Refuses what was copied if it is no longer what [`digest`](Self::digest) read: the cache would have it under the
    /// key of other content.
    pub(super) fn check_unchanged(&self, tree: &dyn Tree, keyword: &'static str, seen: Vec<Seen>) -> Result<()> {
        let sources = self.origins.iter().filter_map(|origin| match origin {
            Origin::Source(source) => Some(source),
            Origin::Text { .. } => None,
        });
        for (source, seen) in sources.zip(seen) {
            if let Some(path) = tree::changed(tree, source, &self.exclude, seen)? {
                return Err(CopyFault::Changed { keyword, path, tree: tree.title() }.into());
            }
        }
        Ok(())
    }

    /// Shows the path in the tree of each file that would be copied.
    pub(super) fn files(&self, tree: &dyn Tree, each: &mut dyn FnMut(&Path)) -> Result<()> {
        for origin in &self.origins {
            if let Origin::Source(source) = origin {
                tree::walk(tree, &source.entry, &self.exclude, &mut |_, entry| {
                    if !entry.is_directory() {
                        each(&entry.path);
                    }
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    /// Copies it all.
    pub(super) fn copy(
        &self,
        tree: &dyn Tree,
        work: &CopyWork<'_>,
        attributes: &Attributes,
        writer: &mut Writer,
        unpacker: &Unpacker<'_>,
    ) -> Result<()> {
        for origin in &self.origins {
            match origin {
                Origin::Source(source) => {
                    if work.unpack
                        && source.entry.is_file()
                        && let Some(files) = unpacker.unpack(tree, &source.entry)?
                    {
                        let root = files.root()?;
                        let into = writer.directory(&path_of(&work.destination), attributes.owner)?;
                        copy_contents(files.tree(), &root, &into, &self.exclude, attributes, writer)?;
                        continue;
                    }
                    self.copy_source(tree, source, work, attributes, writer)?;
                }
                Origin::Text { name, text } => {
                    let (directory, file) =
                        target(&work.destination, name.as_ref().map(OsString::from), attributes, writer)?;
                    let Some(file) = file else {
                        let destination = work.destination.path.as_str().to_owned();
                        return Err(CopyFault::InlineDirectory { keyword: work.keyword, destination }.into());
                    };
                    writer.put_text(text, &directory, &file, attributes)?;
                }
            }
        }
        Ok(())
    }

    fn copy_source(
        &self,
        tree: &dyn Tree,
        source: &Source,
        work: &CopyWork<'_>,
        attributes: &Attributes,
        writer: &mut Writer,
    ) -> Result<()> {
        let parents = work.keeps_parents.then(|| kept_parents(source));
        let entry = &source.entry;
        if entry.is_directory() {
            let mut into = path_of(&work.destination);
            if let Some(parents) = parents {
                into = into.join(parents).join(source.path.file_name().unwrap_or_default());
            }
            let into = writer.directory(&into, attributes.owner)?;
            return copy_contents(tree, entry, &into, &self.exclude, attributes, writer);
        }
        let name = source.path.file_name().map(OsString::from).unwrap_or_else(|| entry.name());
        if tree::is_excluded(&self.exclude, Path::new(&name)) {
            return Ok(());
        }
        let (directory, name) = match parents {
            Some(parents) => {
                (writer.directory(&path_of(&work.destination).join(parents), attributes.owner)?, Some(name))
            }
            None => target(&work.destination, Some(name), attributes, writer)?,
        };
        match name {
            Some(name) => writer.put(tree, entry, &directory, &name, attributes),
            None => Ok(()),
        }
    }
}

/// Copies what a directory holds into a directory of the image.
pub(super) fn copy_contents(
    tree: &dyn Tree,
    root: &Entry,
    into: &Path,
    exclude: &Ignore,
    attributes: &Attributes,
    writer: &mut Writer,
) -> Result<()> {
    // Links of the image may lead elsewhere, so where each directory went is kept.
    let mut places: HashMap<PathBuf, PathBuf> = HashMap::from([(PathBuf::new(), into.to_owned())]);
    tree::walk(tree, root, exclude, &mut |below, entry| {
        let parent = below.parent().unwrap_or(Path::new(""));
        let parent = match places.get(parent) {
            Some(place) => place.clone(),
            // Excluded itself, but not all that is in it.
            None => {
                let place = writer.directory(&into.join(parent), attributes.owner)?;
                places.insert(parent.to_owned(), place.clone());
                place
            }
        };
        let name = entry.name();
        if entry.is_directory() {
            let place = writer.put_directory(tree, entry, &parent, &name, attributes)?;
            places.insert(below.to_owned(), place);
            return Ok(());
        }
        writer.put(tree, entry, &parent, &name, attributes)
    })
}

/// Where a file goes: into the directory that the destination is or shall be, or to the path it names.
fn target(
    destination: &Destination,
    name: Option<OsString>,
    attributes: &Attributes,
    writer: &mut Writer,
) -> Result<(PathBuf, Option<OsString>)> {
    let path = path_of(destination);
    if destination.is_directory {
        return Ok((writer.directory(&path, attributes.owner)?, name));
    }
    match writer.place(&path, attributes.owner)? {
        (directory, None) => Ok((directory, name)),
        place => Ok(place),
    }
}

fn path_of(destination: &Destination) -> PathBuf {
    PathBuf::from(destination.path.as_str())
}

/// The directories of a source's path that `--parents` keeps.
fn kept_parents(source: &Source) -> PathBuf {
    let path = source.path.parent().unwrap_or(Path::new(""));
    path.components().skip(source.prefix).collect()
}

fn is_url(path: &str) -> bool {
    ["http://", "https://", "git://", "ssh://", "git@"].iter().any(|scheme| path.starts_with(scheme))
}
