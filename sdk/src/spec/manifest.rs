//! Manifests and indexes: the documents that tie a configuration to its layers, and manifests to platforms.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::image_config::or_default;
use super::{Descriptor, media_type};

/// The one version of both documents.
const SCHEMA_VERSION: u32 = 2;

/// One image: its configuration and its layers, lowest first, as blobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// The OCI's or Docker's; old OCI manifests have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The image configuration.
    pub config: Descriptor,
    /// The layers, lowest first.
    #[serde(default, deserialize_with = "or_default")]
    pub layers: Vec<Descriptor>,
    /// Key and value pairs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "or_default")]
    pub annotations: BTreeMap<String, String>,
    /// What this crate does not interpret, kept.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

impl Manifest {
    /// An OCI manifest.
    pub fn new(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            media_type: Some(media_type::OCI_MANIFEST.into()),
            config,
            layers,
            annotations: BTreeMap::new(),
            other: serde_json::Map::new(),
        }
    }
}

/// Several manifests: images for several platforms, or the images of an OCI layout (`index.json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// The OCI's or Docker's; old OCI indexes have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Manifests, or further indexes.
    #[serde(default, deserialize_with = "or_default")]
    pub manifests: Vec<Descriptor>,
    /// Key and value pairs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "or_default")]
    pub annotations: BTreeMap<String, String>,
    /// What this crate does not interpret, kept.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

impl Index {
    /// An OCI index.
    pub fn new(manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            media_type: Some(media_type::OCI_INDEX.into()),
            manifests,
            annotations: BTreeMap::new(),
            other: serde_json::Map::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::spec::Digest;

    #[test]
    fn a_manifest_keeps_what_it_does_not_know() {
        let digest = Digest::of(b"{}");
        let json = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"{}","digest":"{digest}","size":2,"data":"e30="}},"layers":null,"subject":{{"size":1}}}}"#,
            media_type::OCI_MANIFEST,
            media_type::OCI_CONFIG
        );
        let manifest: Manifest = serde_json::from_str(&json).unwrap();
        assert_eq!(manifest.config.digest, digest);
        assert_eq!(manifest.layers, []);
        let printed = serde_json::to_value(&manifest).unwrap();
        assert_eq!(printed["subject"]["size"], 1);
        assert_eq!(printed["config"]["data"], "e30=");
    }

    #[test]
    fn an_index_is_read_as_it_was_written() {
        let descriptor = Descriptor::of(media_type::OCI_MANIFEST, b"{}");
        let index = Index::new(vec![descriptor]);
        let json = serde_json::to_string(&index).unwrap();
        assert_eq!(serde_json::from_str::<Index>(&json).unwrap(), index);
        assert!(
            json.starts_with(r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json""#),
            "{json}"
        );
    }
}
