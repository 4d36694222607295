//! Which files an archive has: pure, but for the configurations it reads.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Content, Format, blob_path, size};
use crate::error::{Error, ErrorKind, Result};
use crate::image::images::Images;
use crate::image::tags::no_such;
use crate::spec::descriptor::Descriptor;
use crate::spec::digest::{Digest, ImageId};
use crate::spec::manifest::{Index, Manifest};
use crate::spec::media_type;
use crate::spec::reference::Reference;

/// An entry of `manifest.json`, as Docker 25 writes it.
#[derive(Serialize)]
struct DockerEntry {
    #[serde(rename = "Config")]
    config: String,
    #[serde(rename = "RepoTags")]
    repo_tags: Option<Vec<String>>,
    #[serde(rename = "Layers")]
    layers: Vec<String>,
    #[serde(rename = "LayerSources", skip_serializing_if = "BTreeMap::is_empty")]
    layer_sources: BTreeMap<String, Descriptor>,
}

/// The files of an archive with these images, by path.
pub(super) fn files(
    images: &Images,
    chosen: &BTreeMap<ImageId, BTreeSet<Reference>>,
    format: Format,
) -> Result<BTreeMap<String, Content>> {
    let mut files = BTreeMap::new();
    let mut descriptors = Vec::new();
    let mut entries = Vec::new();
    let mut repositories: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (id, references) in chosen {
        let image = images.need(id)?;
        let config = images.store().bytes(id)?.ok_or_else(|| no_such("save image", id.as_str()))?;
        let mut layers = Vec::new();
        for layer in image.layers() {
            let digest = layer.diff_id().digest().clone();
            files.insert(blob_path(&digest), Content::Layer(layer.clone()));
            layers.push(Descriptor::new(media_type::OCI_LAYER, digest, size::of_tar(images, layer)?));
        }
        let config_descriptor = Descriptor::of(media_type::OCI_CONFIG, &config);
        let manifest = to_json(&Manifest::new(config_descriptor.clone(), layers.clone()))?;
        let mut descriptor = Descriptor::of(media_type::OCI_MANIFEST, &manifest);
        descriptor.platform = Some(image.platform());
        descriptors.extend(named(&descriptor, references));
        entries.push(docker_entry(&config_descriptor, &layers, references));
        if let Some(top) = layers.last() {
            for (name, tag) in references.iter().filter_map(|one| Some((one.familiar_name(), one.tag()?))) {
                repositories.entry(name).or_default().insert(tag.to_owned(), top.digest.hex().to_owned());
            }
        }
        files.insert(blob_path(id.digest()), Content::Bytes(config));
        files.insert(blob_path(&Digest::of(&manifest)), Content::Bytes(manifest));
    }
    files.insert("index.json".into(), Content::Bytes(to_json(&Index::new(descriptors))?));
    files.insert("oci-layout".into(), Content::Bytes(br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()));
    if format == Format::Docker {
        files.insert("manifest.json".into(), Content::Bytes(to_json(&entries)?));
        if !repositories.is_empty() {
            files.insert("repositories".into(), Content::Bytes(to_json(&repositories)?));
        }
    }
    Ok(files)
}

/// One descriptor for each name, or one without.
fn named(descriptor: &Descriptor, references: &BTreeSet<Reference>) -> Vec<Descriptor> {
    if references.is_empty() {
        return vec![descriptor.clone()];
    }
    let one = |reference: &Reference| {
        let mut descriptor = descriptor.clone();
        descriptor.annotations.insert("io.containerd.image.name".into(), reference.canonical());
        if let Some(tag) = reference.tag() {
            descriptor.annotations.insert("org.opencontainers.image.ref.name".into(), tag.into());
        }
        descriptor
    };
    references.iter().map(one).collect()
}

fn docker_entry(config: &Descriptor, layers: &[Descriptor], references: &BTreeSet<Reference>) -> DockerEntry {
    let tags: Vec<_> = references.iter().map(Reference::familiar).collect();
    DockerEntry {
        config: blob_path(&config.digest),
        repo_tags: (!tags.is_empty()).then_some(tags),
        layers: layers.iter().map(|layer| blob_path(&layer.digest)).collect(),
        layer_sources: layers.iter().map(|layer| (layer.digest.to_string(), layer.clone())).collect(),
    }
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value)
        .map_err(|error| Error::new(ErrorKind::InvalidArgument, format_args!("save images: write JSON: {error}")))
}
