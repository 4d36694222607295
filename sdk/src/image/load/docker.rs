//! Archives of `docker save`: `manifest.json` names the configuration, the layers and the tags of each image.
//!
//! ```text
//! [{"Config":"<image id>.json","RepoTags":["debian:12"],"Layers":["<any>/layer.tar",…]}]
//! ```
//!
//! Docker 1.10 to 24 keep each layer in a directory of its own, equal ones as symlinks; from 25 on the files are those
//! of an OCI layout beside it; Podman and skopeo name configuration and layers by digest.

use serde::Deserialize;

use super::blob::Blob;
use super::candidate::Candidate;
use super::document;
use crate::error::Result;
use crate::image::contents::Contents;
use crate::spec::digest::Digest;
use crate::spec::reference::Reference;

/// The file of this format.
pub(super) const MANIFEST: &str = "manifest.json";

/// One image of `manifest.json`.
#[derive(Debug, Deserialize)]
pub(super) struct Entry {
    #[serde(rename = "Config")]
    pub(super) config: String,
    #[serde(rename = "RepoTags", default)]
    repo_tags: Option<Vec<String>>,
    #[serde(rename = "Layers", default)]
    layers: Option<Vec<String>>,
}

/// The entries of `manifest.json`; `None` if there is no such file.
pub(super) fn entries(contents: &Contents) -> Result<Option<Vec<Entry>>> {
    let Some(bytes) = contents.read_capped(MANIFEST, contents.limits().manifest)? else { return Ok(None) };
    let entries = serde_json::from_slice(&bytes)
        .map_err(|error| contents.corrupt(format_args!("its {MANIFEST} is malformed: {error}")))?;
    Ok(Some(entries))
}

/// The images of an archive without an OCI layout.
pub(super) fn candidates(contents: &Contents, entries: &[Entry]) -> Result<Vec<Candidate>> {
    entries.iter().map(|entry| entry.candidate(contents)).collect()
}

impl Entry {
    fn candidate(&self, contents: &Contents) -> Result<Candidate> {
        let config = contents.need(&self.config, contents.limits().config)?;
        if let Some(claimed) = digest_in(&self.config) {
            document::verify(contents, &self.config, &config, &claimed)?;
        }
        let layers = self.layers.iter().flatten().map(|member| Blob {
            member: member.clone(),
            size: None,
            // Elsewhere a name is a name: the DiffID alone decides.
            digest: member.starts_with("blobs/").then(|| digest_in(member)).flatten(),
        });
        Candidate::new(contents, config, layers.collect(), self.references(contents)?)
    }

    /// The references this image is to get.
    pub(super) fn references(&self, contents: &Contents) -> Result<Vec<Reference>> {
        let tags = self.repo_tags.iter().flatten().filter(|tag| *tag != "<none>:<none>");
        tags.map(|tag| {
            Reference::parse(tag).map_err(|error| {
                contents.corrupt(format_args!("{tag:?} is no reference of an image")).with_source(error)
            })
        })
        .collect()
    }
}

/// The digest in the name of a file: `blobs/sha256/<hex>`, `<hex>.json`, `sha256:<hex>`.
pub(super) fn digest_in(member: &str) -> Option<Digest> {
    let name = member.rsplit('/').next().unwrap_or(member);
    let name = name.strip_prefix("sha256:").unwrap_or(name);
    let name = name.strip_suffix(".json").unwrap_or(name);
    if member.starts_with("blobs/sha512/") {
        return Digest::parse(&format!("sha512:{name}")).ok();
    }
    Digest::parse(&format!("sha256:{name}")).ok()
}
