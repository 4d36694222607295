//! An image of an archive, checked as far as it can be without reading its layers.

use super::blob::Blob;
use crate::error::{Error, ErrorKind, Result};
use crate::image::contents::Contents;
use crate::image::{MAX_LAYERS, history};
use crate::spec::digest::{ChainId, DiffId, Digest, ImageId};
use crate::spec::image_config::ImageConfig;
use crate::spec::platform::Platform;
use crate::spec::reference::Reference;

/// An image that can be loaded.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) id: ImageId,
    /// The bytes whose digest is the image ID.
    pub(super) config: Vec<u8>,
    pub(super) parsed: ImageConfig,
    /// Lowest first, as many as DiffIDs.
    pub(super) layers: Vec<Blob>,
    pub(super) references: Vec<Reference>,
}

impl Candidate {
    /// Takes an image whose parts agree with each other.
    pub(super) fn new(
        contents: &Contents,
        config: Vec<u8>,
        layers: Vec<Blob>,
        mut references: Vec<Reference>,
    ) -> Result<Self> {
        let parsed: ImageConfig = serde_json::from_slice(&config)
            .map_err(|error| contents.corrupt(format_args!("an image configuration is malformed: {error}")))?;
        let id = ImageId::from(Digest::of(&config));
        let diff_ids = parsed.rootfs.diff_ids.len();
        if parsed.rootfs.kind != "layers" {
            return Err(contents.corrupt(format_args!("image {} has a root filesystem not made of layers", id.short())));
        }
        if layers.len() != diff_ids {
            return Err(contents.corrupt(format_args!(
                "image {} has {} layers, but its configuration has {diff_ids} DiffIDs",
                id.short(),
                layers.len()
            )));
        }
        if diff_ids > contents.limits().layers.min(MAX_LAYERS) {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                format_args!(
                    "load images from {:?}: image {} has {diff_ids} layers, more than are allowed",
                    contents.name(),
                    id.short()
                ),
            ));
        }
        let claimed = history::layers_claimed(&parsed.history);
        if claimed > diff_ids {
            return Err(contents.corrupt(format_args!(
                "image {} has {diff_ids} layers, but its history tells of {claimed}",
                id.short()
            )));
        }
        if !parsed.os.is_empty() && parsed.os != "linux" {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format_args!("load images from {:?}: image {} is for {:?}", contents.name(), id.short(), parsed.os),
            ));
        }
        references.sort();
        references.dedup();
        Ok(Self { id, config, parsed, layers, references })
    }

    /// The layers with their DiffIDs and ChainIDs, lowest first.
    pub(super) fn stack(&self) -> impl Iterator<Item = (&Blob, &DiffId, ChainId)> {
        let diff_ids = &self.parsed.rootfs.diff_ids;
        self.layers.iter().zip(diff_ids).zip(ChainId::stack(diff_ids)).map(|((blob, diff), chain)| (blob, diff, chain))
    }

    /// Refuses an image that is not for the platform asked for.
    pub(super) fn check_platform(&self, contents: &Contents, wanted: &Platform) -> Result<()> {
        if self.parsed.architecture == wanted.architecture {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::NotFound,
            format_args!(
                "load images from {:?}: image {} is for {:?}, not for {wanted}",
                contents.name(),
                self.id.short(),
                self.parsed.architecture
            ),
        ))
    }
}
