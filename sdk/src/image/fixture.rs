//! What the tests of this module share: a store on a temporary data root, and archives made on the spot.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::Image;
use super::images::Images;
use super::import::{ImportOptions, import};
use super::source::Source;
use super::tags::Overwrite;
use crate::data_root::{DataRoot, Durability};
use crate::layer::LayerStore;
use crate::spec::digest::{ChainId, DiffId, Digest, ImageId};
use crate::spec::reference::Reference;
use crate::spec::time::Timestamp;

/// A store of its own.
pub(super) struct Store {
    pub(super) directory: TempDir,
    pub(super) images: Images,
}

impl Store {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = DataRoot::open(&directory.path().join("root"), Durability::Fast).unwrap();
        let layers = LayerStore::open(&root).unwrap();
        Self { images: Images::new(&root, &layers), directory }
    }

    /// An image of one layer with these files.
    pub(super) fn import(&self, name: &str, files: &[(&str, &str)]) -> Image {
        let options = ImportOptions::new().reference(name).created(Timestamp::UNIX_EPOCH).cmd(["/bin/sh"]);
        import(&self.images, Source::reader(&rootfs(files)[..]), &options).unwrap()
    }

    /// An image with these files in a further layer above `base`.
    pub(super) fn extend(&self, name: &str, base: &Image, files: &[(&str, &str)]) -> Image {
        let layers = self.images.layers();
        let options = layers.apply_options(super::Limits::default());
        let layer = layers.import(base.chain_id(), &mut &rootfs(files)[..], None, &options).unwrap();
        let mut config = base.config().clone();
        config.rootfs.diff_ids.push(layer.diff_id().clone());
        let bytes = super::import::to_json(&config).unwrap();
        self.images.publish(&bytes, &[reference(name)], Overwrite::Refuse).unwrap()
    }

    /// Every path of the store, without locks and journals.
    pub(super) fn tree(&self) -> Vec<PathBuf> {
        let root = self.directory.path().join("root");
        let mut paths = Vec::new();
        let mut left = vec![root.join("image/overlay2"), root.join("overlay2")];
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.symlink_metadata().unwrap().is_dir() {
                    left.push(path.clone());
                }
                paths.push(path);
            }
        }
        paths.sort();
        paths
    }
}

pub(super) fn reference(name: &str) -> Reference {
    Reference::parse(name).unwrap()
}

/// The tar of a root filesystem.
pub(super) fn rootfs(files: &[(&str, &str)]) -> Vec<u8> {
    tar(files.iter().map(|(name, content)| (*name, content.as_bytes())))
}

pub(super) fn tar<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1_000_000_000);
        header.set_uid(0);
        header.set_gid(0);
        builder.append_data(&mut header, name, content).unwrap();
    }
    builder.into_inner().unwrap()
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An image archive in the making.
#[derive(Clone, Default)]
pub(super) struct Archive {
    pub(super) files: BTreeMap<String, Vec<u8>>,
}

impl Archive {
    pub(super) fn file(&mut self, name: &str, content: impl Into<Vec<u8>>) -> &mut Self {
        self.files.insert(name.to_owned(), content.into());
        self
    }

    pub(super) fn json(&mut self, name: &str, content: &Value) -> &mut Self {
        self.file(name, content.to_string())
    }

    /// Adds a blob; gives its descriptor.
    pub(super) fn blob(&mut self, media_type: &str, content: &[u8]) -> Value {
        let digest = Digest::of(content);
        self.file(&format!("blobs/sha256/{}", digest.hex()), content);
        json!({"mediaType": media_type, "digest": digest.to_string(), "size": content.len()})
    }

    /// Adds an OCI image of these layers (blob, uncompressed tar); gives the descriptor of its manifest.
    pub(super) fn image(&mut self, layers: &[(Vec<u8>, Vec<u8>)], architecture: &str) -> Value {
        let config = config(layers.iter().map(|(_, tar)| &tar[..]), architecture).to_string();
        let config = self.blob("application/vnd.oci.image.config.v1+json", config.as_bytes());
        let layers: Vec<_> =
            layers.iter().map(|(blob, _)| self.blob("application/vnd.oci.image.layer.v1.tar+gzip", blob)).collect();
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers}).to_string();
        let mut descriptor = self.blob("application/vnd.oci.image.manifest.v1+json", manifest.as_bytes());
        descriptor["platform"] = json!({"os": "linux", "architecture": architecture});
        descriptor
    }

    pub(super) fn index(&mut self, manifests: Vec<Value>) -> &mut Self {
        self.json("oci-layout", &json!({"imageLayoutVersion": "1.0.0"}));
        self.json("index.json", &json!({"schemaVersion": 2, "manifests": manifests}))
    }

    pub(super) fn tar(&self) -> Vec<u8> {
        tar(self.files.iter().map(|(name, content)| (name.as_str(), &content[..])))
    }

    pub(super) fn write_to(&self, directory: &Path) {
        for (name, content) in &self.files {
            let path = directory.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }
}

/// A configuration over these tars.
pub(super) fn config<'a>(tars: impl IntoIterator<Item = &'a [u8]>, architecture: &str) -> Value {
    let diff_ids: Vec<_> = tars.into_iter().map(|tar| Digest::of(tar).to_string()).collect();
    json!({
        "architecture": architecture, "os": "linux", "created": "2024-01-02T03:04:05Z",
        "config": {"Cmd": ["/bin/true"]}, "rootfs": {"type": "layers", "diff_ids": diff_ids},
    })
}

pub(super) fn named(mut descriptor: Value, name: &str) -> Value {
    descriptor["annotations"] = json!({"io.containerd.image.name": name});
    descriptor
}

pub(super) fn chain_of(tar: &[u8]) -> ChainId {
    ChainId::of(None, &DiffId::from(Digest::of(tar)))
}

pub(super) fn id_of(config: &[u8]) -> ImageId {
    ImageId::from(Digest::of(config))
}
