//! Manifests and indexes of an archive, each taken for one thing only.
//!
//! A document that is valid as a manifest and as an index (CVE-2021-41190), or whose `mediaType` contradicts the
//! descriptor that leads to it, is refused: two programs could see two images in it.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::Result;
use crate::image::contents::Contents;
use crate::spec::descriptor::Descriptor;
use crate::spec::digest::Digest;
use crate::spec::media_type;

/// What a descriptor leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Index,
    Manifest,
}

impl Kind {
    /// What a media type stands for; `None` for anything that is no image.
    pub(super) fn of(media_type: &str) -> Option<Self> {
        match media_type {
            media_type::OCI_INDEX | media_type::DOCKER_INDEX => Some(Self::Index),
            media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST => Some(Self::Manifest),
            _ => None,
        }
    }
}

/// The name of a blob in an OCI layout.
pub(super) fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}

/// Reads a small blob whose size and digest are what its descriptor says.
pub(super) fn read_blob(contents: &Contents, descriptor: &Descriptor, max: u64) -> Result<Vec<u8>> {
    let path = blob_path(&descriptor.digest);
    let bytes = contents.need(&path, max)?;
    if bytes.len() as u64 != descriptor.size {
        return Err(contents.corrupt(format_args!(
            "the blob {path:?} has {} bytes, not {} as its descriptor says",
            bytes.len(),
            descriptor.size
        )));
    }
    verify(contents, &path, &bytes, &descriptor.digest)?;
    Ok(bytes)
}

/// Compares the digest of bytes read.
pub(super) fn verify(contents: &Contents, path: &str, bytes: &[u8], expected: &Digest) -> Result<()> {
    let mut digester = expected.digester();
    digester.update(bytes);
    let found = digester.finish();
    if found == *expected {
        return Ok(());
    }
    Err(contents.corrupt(format_args!("{path:?} has the digest {found}, not {expected}")))
}

/// Reads the manifest or index a descriptor leads to.
pub(super) fn read<T: DeserializeOwned>(contents: &Contents, descriptor: &Descriptor, kind: Kind) -> Result<T> {
    let bytes = read_blob(contents, descriptor, contents.limits().manifest)?;
    let what = descriptor.digest.to_string();
    parse(contents, &what, &bytes, kind, Some(&descriptor.media_type))
}

/// Reads the `index.json` of a layout.
pub(super) fn read_top<T: DeserializeOwned>(contents: &Contents) -> Result<T> {
    let bytes = contents.need("index.json", contents.limits().manifest)?;
    parse(contents, "index.json", &bytes, Kind::Index, None)
}

fn parse<T: DeserializeOwned>(
    contents: &Contents,
    what: &str,
    bytes: &[u8],
    kind: Kind,
    claimed: Option<&str>,
) -> Result<T> {
    let malformed = |error: serde_json::Error| contents.corrupt(format_args!("{what} is no valid document: {error}"));
    let value: Value = serde_json::from_slice(bytes).map_err(malformed)?;
    if value.get("manifests").is_some() && ["layers", "config", "fsLayers"].iter().any(|key| value.get(key).is_some()) {
        return Err(contents.corrupt(format_args!("{what} is both an index and a manifest")));
    }
    if let Some(said) = value.get("mediaType") {
        let said = said.as_str().unwrap_or_default();
        let fits = claimed.map_or_else(|| Kind::of(said) == Some(kind), |claimed| claimed == said);
        if !fits {
            let claimed = claimed.unwrap_or(media_type::OCI_INDEX);
            return Err(contents.corrupt(format_args!("{what} calls itself {said:?}, which is not {claimed:?}")));
        }
    }
    match value.get("schemaVersion").and_then(Value::as_u64) {
        Some(2) => {}
        _ => return Err(contents.corrupt(format_args!("{what} has no schemaVersion 2"))),
    }
    // From the bytes again: a `Value` keeps the last of two equal keys, a struct refuses them.
    serde_json::from_slice(bytes).map_err(malformed)
}
