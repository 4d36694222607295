//! OCI layouts: `oci-layout`, `index.json`, `blobs/<algorithm>/<hex>`.
//!
//! Image Layout Specification, "index.json file". Every manifest of `index.json` is an image; where one name stands
//! for several platforms, in a nested index or side by side, one platform is chosen.

use std::collections::BTreeMap;

use super::blob::Blob;
use super::candidate::Candidate;
use super::document::{self, Kind, blob_path};
use crate::error::{Error, ErrorKind, Result};
use crate::image::contents::Contents;
use crate::spec::descriptor::Descriptor;
use crate::spec::digest::Digest;
use crate::spec::manifest::{Index, Manifest};
use crate::spec::media_type;
use crate::spec::platform::Platform;
use crate::spec::reference::Reference;

/// An index in an index in an index; more is nobody's layout.
const MAX_DEPTH: usize = 4;

/// The full name of an image, as containerd and Docker write it.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// A tag or a name: the specification leaves open which.
const OCI_NAME: &str = "org.opencontainers.image.ref.name";

/// Marks the manifests of provenance and signatures that BuildKit adds beside an image.
const DOCKER_REFERENCE_TYPE: &str = "vnd.docker.reference.type";

/// Which platform is taken where there is a choice.
#[derive(Debug)]
pub(super) enum Choice {
    /// The caller's: an image of another one is refused.
    Exactly(Platform),
    /// That of this host; an image that exists for one other platform only is taken all the same, as Docker does.
    Host,
}

impl Choice {
    fn platform(&self) -> Platform {
        match self {
            Self::Exactly(platform) => platform.clone(),
            Self::Host => Platform::host(),
        }
    }
}

/// The images of a layout.
pub(super) fn candidates(contents: &Contents, choice: &Choice) -> Result<Vec<Candidate>> {
    check_version(contents)?;
    let index: Index = document::read_top(contents)?;
    let mut groups: BTreeMap<Option<Reference>, Vec<Descriptor>> = BTreeMap::new();
    for descriptor in index.manifests.into_iter().filter(is_image) {
        groups.entry(name(&descriptor)).or_default().push(descriptor);
    }
    let mut chosen: BTreeMap<Digest, (Descriptor, Vec<Reference>)> = BTreeMap::new();
    for (name, descriptors) in groups {
        let descriptors = match &name {
            Some(name) => vec![one_of_group(contents, name, descriptors, choice)?],
            None if are_platforms(&descriptors) => vec![choose(contents, &descriptors, choice)?],
            None => descriptors,
        };
        for descriptor in descriptors {
            let manifest = resolve(contents, descriptor, choice, MAX_DEPTH)?;
            let entry = chosen.entry(manifest.digest.clone()).or_insert_with(|| (manifest, Vec::new()));
            entry.1.extend(name.clone());
        }
    }
    chosen.into_values().map(|(descriptor, names)| candidate(contents, &descriptor, names, choice)).collect()
}

fn check_version(contents: &Contents) -> Result<()> {
    #[derive(serde::Deserialize)]
    struct Layout {
        #[serde(rename = "imageLayoutVersion")]
        version: String,
    }
    const MAX_LAYOUT_FILE: u64 = 4096;
    let Some(bytes) = contents.read_capped("oci-layout", MAX_LAYOUT_FILE)? else {
        return Err(contents.corrupt("it has an index.json but no oci-layout file"));
    };
    let layout: Layout = serde_json::from_slice(&bytes)
        .map_err(|error| contents.corrupt(format_args!("its oci-layout file is malformed: {error}")))?;
    if layout.version.starts_with("1.") {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Unsupported,
        format_args!("load images from {:?}: the layout has version {:?}, not 1", contents.name(), layout.version),
    ))
}

/// Whether a descriptor leads to an image, and not to a signature or a provenance document.
fn is_image(descriptor: &Descriptor) -> bool {
    !descriptor.annotations.contains_key(DOCKER_REFERENCE_TYPE)
        && descriptor.platform.as_ref().is_none_or(|platform| platform.os != "unknown")
}

/// The reference a layout gives an image; a bare tag (`latest`) names no repository and gives none.
fn name(descriptor: &Descriptor) -> Option<Reference> {
    let full = descriptor.annotations.get(CONTAINERD_NAME);
    let name = full.or_else(|| descriptor.annotations.get(OCI_NAME).filter(|name| name.contains(['/', ':'])))?;
    Reference::parse(name).ok()
}

/// Whether descriptors without a name are one image for several platforms.
fn are_platforms(descriptors: &[Descriptor]) -> bool {
    let mut platforms: Vec<_> =
        descriptors.iter().filter_map(|one| one.platform.as_ref().map(ToString::to_string)).collect();
    platforms.sort();
    platforms.dedup();
    descriptors.len() > 1 && platforms.len() == descriptors.len()
}

fn one_of_group(
    contents: &Contents,
    name: &Reference,
    mut descriptors: Vec<Descriptor>,
    choice: &Choice,
) -> Result<Descriptor> {
    descriptors.sort_by(|a, b| a.digest.cmp(&b.digest));
    descriptors.dedup_by(|a, b| a.digest == b.digest);
    if descriptors.len() > 1 && !are_platforms(&descriptors) {
        return Err(contents.corrupt(format_args!("it has several images named {:?}", name.familiar())));
    }
    match descriptors.len() {
        1 => Ok(descriptors.remove(0)),
        _ => choose(contents, &descriptors, choice),
    }
}

/// Follows a descriptor through nested indexes to a manifest.
fn resolve(contents: &Contents, descriptor: Descriptor, choice: &Choice, depth: usize) -> Result<Descriptor> {
    match Kind::of(&descriptor.media_type) {
        Some(Kind::Manifest) => Ok(descriptor),
        Some(Kind::Index) if depth == 0 => Err(contents.corrupt("its indexes are nested too deeply")),
        Some(Kind::Index) => {
            let index: Index = document::read(contents, &descriptor, Kind::Index)?;
            let images: Vec<_> = index.manifests.into_iter().filter(is_image).collect();
            resolve(contents, choose(contents, &images, choice)?, choice, depth - 1)
        }
        None => Err(unsupported(contents, &descriptor.media_type)),
    }
}

/// The one for the platform wanted; a descriptor whose blob the archive leaves out does not count.
fn choose(contents: &Contents, descriptors: &[Descriptor], choice: &Choice) -> Result<Descriptor> {
    let there: Vec<_> = descriptors.iter().filter(|one| contents.has(&blob_path(&one.digest))).collect();
    let wanted = choice.platform();
    let fits = |one: &&&Descriptor| {
        one.platform.as_ref().is_some_and(|has| has.os == wanted.os && has.architecture == wanted.architecture)
    };
    let same_variant =
        |one: &&&Descriptor| one.platform.as_ref().and_then(|has| has.variant.as_ref()) == wanted.variant.as_ref();
    let found = there.iter().filter(fits).find(same_variant).or_else(|| there.iter().find(fits));
    match (found, &there[..]) {
        (Some(found), _) => Ok((**found).clone()),
        // Without a choice there is nothing to choose by; the configuration tells the platform later.
        (None, [only]) if only.platform.is_none() || matches!(choice, Choice::Host) => Ok((*only).clone()),
        (None, []) => Err(contents.corrupt("an index leads to no manifest that is there")),
        (None, _) => {
            let has: Vec<_> =
                there.iter().map(|one| one.platform.as_ref().map_or("unknown".into(), ToString::to_string)).collect();
            Err(Error::new(
                ErrorKind::NotFound,
                format_args!(
                    "load images from {:?}: there is no image for {wanted} (there is {})",
                    contents.name(),
                    has.join(", ")
                ),
            )
            .with_hint("name one of these platforms in the load options"))
        }
    }
}

fn candidate(
    contents: &Contents,
    descriptor: &Descriptor,
    names: Vec<Reference>,
    choice: &Choice,
) -> Result<Candidate> {
    let manifest: Manifest = document::read(contents, descriptor, Kind::Manifest)?;
    if !media_type::is_config(&manifest.config.media_type) {
        return Err(unsupported(contents, &manifest.config.media_type));
    }
    let config = document::read_blob(contents, &manifest.config, contents.limits().config)?;
    let mut layers = Vec::new();
    for layer in manifest.layers {
        if !media_type::is_layer(&layer.media_type) {
            return Err(unsupported(contents, &layer.media_type));
        }
        layers.push(Blob { member: blob_path(&layer.digest), size: Some(layer.size), digest: Some(layer.digest) });
    }
    let candidate = Candidate::new(contents, config, layers, names)?;
    if let Choice::Exactly(wanted) = choice {
        candidate.check_platform(contents, wanted)?;
    }
    Ok(candidate)
}

fn unsupported(contents: &Contents, media_type: &str) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format_args!("load images from {:?}: {media_type:?} is no media type of an image", contents.name()),
    )
}
