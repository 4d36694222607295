//! Saving images: one archive that Docker and OCI tools both read, or an OCI layout.
//!
//! ```text
//! blobs/sha256/<hex>   configurations, manifests, layers as plain tars
//! index.json           OCI: one descriptor for each name of each image
//! manifest.json        Docker: configuration, tags and layers of each image
//! oci-layout
//! repositories         Docker before 1.10
//! ```
//!
//! That is what `docker save` writes from 25 on. Members are sorted and have no times or owners, so that the same images
//! give the same bytes. Every layer is verified against its DiffID while it is written; a path gets its name only when
//! everything is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

use self::sink::{Directory, Sink, Tar};
use super::Image;
use super::images::Images;
use super::lookup::Match;
use crate::data_root::InFlight;
use crate::error::{Attempt, Error, ErrorKind, Result};
use crate::layer::Layer;
use crate::spec::digest::{Digest, ImageId};
use crate::spec::reference::Reference;

mod plan;
mod sink;
mod size;

/// What to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Format {
    /// A tar that `docker load` of any version reads, and every tool that reads OCI layouts.
    #[default]
    #[doc(alias = "docker save")]
    Docker,
    /// A tar with an OCI layout and nothing else.
    OciArchive,
    /// A directory with an OCI layout; it must not exist, or be empty.
    OciDirectory,
}

/// Where to write it: a path or any writer.
pub struct Target<'a>(Kind<'a>);

enum Kind<'a> {
    Path(PathBuf),
    Writer(Box<dyn Write + Send + 'a>),
}

impl<'a> Target<'a> {
    /// Writes to `writer`, which has seen a part of the archive if that fails: only a path is all or nothing.
    pub fn writer(writer: impl Write + Send + 'a) -> Self {
        Self(Kind::Writer(Box::new(writer)))
    }

    /// Writes to `path`, which is replaced in one step when everything is written.
    pub fn path(path: impl Into<PathBuf>) -> Self {
        Self(Kind::Path(path.into()))
    }
}

impl fmt::Debug for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Path(path) => f.debug_tuple("Target").field(path).finish(),
            Kind::Writer(_) => f.write_str("Target(writer)"),
        }
    }
}

impl From<&str> for Target<'_> {
    fn from(path: &str) -> Self {
        Self::path(path)
    }
}

impl From<String> for Target<'_> {
    fn from(path: String) -> Self {
        Self::path(path)
    }
}

impl From<&Path> for Target<'_> {
    fn from(path: &Path) -> Self {
        Self::path(path)
    }
}

impl From<&PathBuf> for Target<'_> {
    fn from(path: &PathBuf) -> Self {
        Self::path(path)
    }
}

impl From<PathBuf> for Target<'_> {
    fn from(path: PathBuf) -> Self {
        Self::path(path)
    }
}

/// One file to be written.
enum Content {
    Bytes(Vec<u8>),
    Layer(Layer),
}

/// Saves the images that `names` stand for. A reference is saved with the image; an image named by its ID has none.
pub(crate) fn save(images: &Images, names: &[&str], target: Target<'_>, format: Format) -> Result<()> {
    let chosen = choose(images, names)?;
    let pinned: Vec<_> = chosen.keys().map(|id| pin(images, id)).collect::<Result<_>>()?;
    let saved = plan::files(images, &chosen, format).and_then(|files| match (target.0, format) {
        (Kind::Writer(_), Format::OciDirectory) => Err(Error::new(
            ErrorKind::InvalidArgument,
            "save images as an OCI directory: a directory needs a path, not a writer",
        )),
        (Kind::Path(path), Format::OciDirectory) => save_directory(images, &files, &path),
        (Kind::Writer(writer), _) => write(images, &files, Tar::new(writer)),
        (Kind::Path(path), _) => save_file(images, &files, &path),
    });
    let (read, pins): (Vec<_>, Vec<_>) = pinned.into_iter().unzip();
    drop(pins);
    // Who has removed an image meanwhile has left its layers to us.
    let mut gone = read.iter().filter(|image| !images.store().has(image.id()));
    let released =
        gone.try_for_each(|image| images.release(image.layers().iter().rev().map(Layer::chain_id)).map(drop));
    saved.and(released)
}

/// Keeps the layers of an image from being removed while they are read.
fn pin(images: &Images, id: &ImageId) -> Result<(Image, Option<InFlight>)> {
    let image = images.need(id)?;
    let pin = image.layers().last().map(|top| images.layers().pin(top.chain_id())).transpose()?;
    Ok((image, pin))
}

fn choose(images: &Images, names: &[&str]) -> Result<BTreeMap<ImageId, BTreeSet<Reference>>> {
    let mut chosen: BTreeMap<ImageId, BTreeSet<Reference>> = BTreeMap::new();
    for name in names {
        match images.expect("save image", name)? {
            // A name by digest is no tag; the digest belongs to a manifest that is not kept.
            Match::Reference(reference, id) => {
                chosen.entry(id).or_default().extend(Some(reference).filter(|one| one.digest().is_none()));
            }
            Match::Id(id) => drop(chosen.entry(id).or_default()),
        }
    }
    if chosen.is_empty() {
        return Err(Error::new(ErrorKind::InvalidArgument, "save images: no image is named"));
    }
    Ok(chosen)
}

fn save_file(images: &Images, files: &BTreeMap<String, Content>, path: &Path) -> Result<()> {
    if path.symlink_metadata().is_ok_and(|metadata| !metadata.is_file()) {
        // A pipe or a device takes the bytes as they come; a link keeps pointing where it does.
        let file = std::fs::OpenOptions::new().write(true).truncate(true).open(path);
        return write(images, files, Tar::new(file.attempt(|| format!("open {path:?}"))?));
    }
    let mut file = tempfile::NamedTempFile::new_in(parent(path)).attempt(|| format!("create {path:?}"))?;
    write(images, files, Tar::new(&mut file))?;
    file.as_file().sync_all().attempt(|| format!("write {path:?}"))?;
    file.persist(path).map_err(|error| error.error).attempt(|| format!("create {path:?}"))?;
    Ok(())
}

fn save_directory(images: &Images, files: &BTreeMap<String, Content>, path: &Path) -> Result<()> {
    let staged = tempfile::Builder::new()
        .prefix(".oci-layout-")
        .tempdir_in(parent(path))
        .attempt(|| format!("create the directory {path:?}"))?;
    write(images, files, Directory::new(staged.path())?)?;
    // rename(2) replaces an empty directory and no other.
    std::fs::rename(staged.path(), path).map_err(|error| {
        let error = Error::os(format_args!("create the directory {path:?}"), error);
        if path.exists() {
            let message = format_args!("save images to {path:?}: something is there already").to_string();
            return Error::new(ErrorKind::AlreadyExists, message).with_source(error);
        }
        error
    })?;
    // What is renamed is not to be removed.
    let _ = staged.keep();
    Ok(())
}

fn write(images: &Images, files: &BTreeMap<String, Content>, mut sink: impl Sink) -> Result<()> {
    let attempt = |path: &str| format!("save images: write {path:?}");
    for (path, content) in files {
        match content {
            Content::Bytes(bytes) => sink.file(path, bytes.len() as u64, &mut |out| out.write_all(bytes)),
            Content::Layer(layer) => {
                let size = size::of_tar(images, layer)?;
                sink.file(path, size, &mut |mut out| images.layers().tar(layer, &mut out).map_err(Into::into))
            }
        }
        .attempt(|| attempt(path))?;
    }
    sink.finish().attempt(|| attempt("the end mark"))
}

/// `blobs/sha256/<hex>`.
fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests;
