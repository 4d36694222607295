//! The image configuration: what an image runs, its layers by DiffID, and its history.
//!
//! The image ID is the digest of these bytes, so a configuration that was read is stored as it came and never printed
//! anew. Keys that this crate does not know survive a change of the others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::{DiffId, Platform, Timestamp};

/// The one kind of root filesystem.
const LAYERS: &str = "layers";

/// The JSON document whose digest is the image ID
/// ([OCI image specification](https://github.com/opencontainers/image-spec/blob/main/config.md)).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ImageConfig {
    /// When the image was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// Who made it.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "is_empty")]
    pub author: Option<String>,
    /// The architecture, in Go's words.
    #[serde(default)]
    pub architecture: String,
    /// The operating system.
    #[serde(default)]
    pub os: String,
    /// The variant of the architecture.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "is_empty")]
    pub variant: Option<String>,
    /// What a container of this image runs.
    #[serde(default, deserialize_with = "or_default")]
    pub config: Config,
    /// The layers.
    pub rootfs: RootFs,
    /// How the layers came to be, lowest first.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
    /// What this crate does not interpret, kept.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What a container of an image runs: defaults that the container's definition may replace.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct Config {
    /// The user, as in [`User`](super::User); empty for root.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// The ports it listens on, as `80/tcp`.
    #[serde(default, with = "keys", skip_serializing_if = "BTreeSet::is_empty")]
    pub exposed_ports: BTreeSet<String>,
    /// The environment, as `NAME=value`.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The fixed front of the argument list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// The default arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// How often to do what to know whether it is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<HealthCheck>,
    /// Set by Windows images whose command line is quoted already.
    #[serde(default, skip_serializing_if = "is_false")]
    pub args_escaped: bool,
    /// The directories to be volumes.
    #[serde(default, with = "keys", skip_serializing_if = "BTreeSet::is_empty")]
    pub volumes: BTreeSet<String>,
    /// The working directory; empty for `/`.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Instructions for an image that is built from this one.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub on_build: Vec<String>,
    /// Key and value pairs.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The signal that asks it to stop; SIGTERM where absent.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "is_empty")]
    pub stop_signal: Option<String>,
    /// The shell of the shell form; `/bin/sh -c` where absent.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub shell: Vec<String>,
    /// What this crate does not interpret, kept.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// How to know whether a container is well.
#[doc(alias = "HEALTHCHECK")]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct HealthCheck {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", script]`; empty to inherit.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    /// From the end of one check to the start of the next; zero to inherit.
    #[serde(default, with = "nanos", skip_serializing_if = "Duration::is_zero")]
    pub interval: Duration,
    /// The time a check may take; zero to inherit.
    #[serde(default, with = "nanos", skip_serializing_if = "Duration::is_zero")]
    pub timeout: Duration,
    /// The time after the start in which failures do not count; zero to inherit.
    #[serde(default, with = "nanos", skip_serializing_if = "Duration::is_zero")]
    pub start_period: Duration,
    /// The interval during the start period; zero to inherit.
    #[serde(default, with = "nanos", skip_serializing_if = "Duration::is_zero")]
    pub start_interval: Duration,
    /// Failures in a row that make the container unhealthy; zero to inherit.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retries: u32,
}

/// The layers of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The DiffIDs, lowest layer first.
    #[serde(default, deserialize_with = "or_default")]
    pub diff_ids: Vec<DiffId>,
}

/// One step in the making of an image.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct History {
    /// When it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// Who did it.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "is_empty")]
    pub author: Option<String>,
    /// The instruction.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "is_empty")]
    pub created_by: Option<String>,
    /// A note.
    #[serde(default, deserialize_with = "text", skip_serializing_if = "is_empty")]
    pub comment: Option<String>,
    /// Whether it made no layer.
    #[serde(default, skip_serializing_if = "is_false")]
    pub empty_layer: bool,
}

impl ImageConfig {
    /// The configuration of an image without layers.
    pub fn new(platform: Platform) -> Self {
        Self {
            created: None,
            author: None,
            architecture: platform.architecture,
            os: platform.os,
            variant: platform.variant,
            config: Config::default(),
            rootfs: RootFs::new(Vec::new()),
            history: Vec::new(),
            other: Map::new(),
        }
    }

    /// What the image runs on.
    pub fn platform(&self) -> Platform {
        Platform { os: self.os.clone(), architecture: self.architecture.clone(), variant: self.variant.clone() }
    }

    /// The DiffIDs, lowest layer first.
    pub fn diff_ids(&self) -> &[DiffId] {
        &self.rootfs.diff_ids
    }
}

impl RootFs {
    /// The root filesystem of these layers, lowest first.
    pub fn new(diff_ids: Vec<DiffId>) -> Self {
        Self { kind: LAYERS.into(), diff_ids }
    }
}

impl History {
    /// A step that made a layer.
    pub fn layer(created: Timestamp, created_by: impl Into<String>) -> Self {
        Self { created: Some(created), created_by: Some(created_by.into()), ..Self::default() }
    }

    /// A step that changed the configuration only.
    pub fn empty(created: Timestamp, created_by: impl Into<String>) -> Self {
        Self { empty_layer: true, ..Self::layer(created, created_by) }
    }

    /// The same, with a note.
    pub fn comment(mut self, comment: impl Into<String>) -> Self {
        self.comment = Some(comment.into());
        self
    }
}

/// Go writes `null` for an empty list or map.
pub(super) fn or_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Deserialize<'de> + Default,
    D: Deserializer<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// For Go a text that is empty is none, and is left out.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text: String = or_default(deserializer)?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn is_empty(text: &Option<String>) -> bool {
    text.as_deref().is_none_or(str::is_empty)
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// A set that Go writes as a map of empty objects: `{"80/tcp":{}}`.
mod keys {
    use super::*;

    pub(super) fn serialize<S: Serializer>(set: &BTreeSet<String>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(set.iter().map(|key| (key, Map::new())))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<String>, D::Error> {
        let map: BTreeMap<String, serde::de::IgnoredAny> = or_default(deserializer)?;
        Ok(map.into_keys().collect())
    }
}

/// A duration as Go writes it: nanoseconds.
mod nanos {
    use super::*;

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        // A negative duration means nothing to Docker either.
        let nanos: i64 = or_default(deserializer)?;
        Ok(Duration::from_nanos(nanos.try_into().unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// As `docker build` writes it, shortened.
    const DOCKERS: &str = r#"{"architecture":"amd64","config":{"Hostname":"","AttachStdin":false,"ExposedPorts":{"80/tcp":{}},"Env":["PATH=/usr/bin:/bin"],"Cmd":["sh"],"Healthcheck":{"Test":["CMD-SHELL","true"],"Interval":5000000000,"Retries":3},"Image":"","Volumes":null,"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":{}},"container":"abc","created":"2024-01-02T03:04:05.6Z","docker_version":"27.0","history":[{"created":"2024-01-02T03:04:05.6Z","created_by":"/bin/sh -c #(nop) ADD file:1 in / "},{"created_by":"CMD [\"sh\"]","empty_layer":true}],"os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]}}"#;

    #[test]
    fn dockers_configuration_is_read() {
        let image: ImageConfig = serde_json::from_str(DOCKERS).unwrap();
        assert_eq!(image.platform().to_string(), "linux/amd64");
        assert_eq!(image.config.exposed_ports.iter().collect::<Vec<_>>(), ["80/tcp"]);
        assert_eq!(image.config.entrypoint, None);
        assert_eq!(image.config.cmd.as_deref(), Some(&["sh".to_owned()][..]));
        let check = image.config.healthcheck.as_ref().unwrap();
        assert_eq!((check.interval, check.retries), (Duration::from_secs(5), 3));
        assert_eq!(image.history.iter().filter(|step| !step.empty_layer).count(), image.diff_ids().len());
        assert_eq!(image.created.unwrap().to_string(), "2024-01-02T03:04:05.6Z");
    }

    #[test]
    fn unknown_keys_survive_a_change_of_the_others() {
        let mut image: ImageConfig = serde_json::from_str(DOCKERS).unwrap();
        image.config.working_dir = "/app".into();
        let json = serde_json::to_value(&image).unwrap();
        assert_eq!(json["docker_version"], "27.0");
        assert_eq!(json["config"]["AttachStdin"], false);
        assert_eq!(json["config"]["WorkingDir"], "/app");
        assert_eq!(json["config"]["ExposedPorts"], serde_json::json!({"80/tcp": {}}));
        assert_eq!(serde_json::from_value::<ImageConfig>(json).unwrap(), image);
    }

    #[test]
    fn the_smallest_configuration_has_its_layers() {
        assert!(serde_json::from_str::<ImageConfig>(r#"{"os":"linux"}"#).is_err());
        let image: ImageConfig =
            serde_json::from_str(r#"{"os":"linux","architecture":"amd64","rootfs":{"type":"layers"},"config":null}"#)
                .unwrap();
        assert_eq!(image, ImageConfig::new(Platform::parse("linux/amd64").unwrap()));
        let json = serde_json::to_string(&image).unwrap();
        let expected = r#"{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}"#;
        assert_eq!(json, expected);
    }

    #[test]
    fn a_text_without_content_is_none() {
        let history: History = serde_json::from_str(r#"{"author":"","comment":null,"created_by":"RUN true"}"#).unwrap();
        assert_eq!(history, History { created_by: Some("RUN true".into()), ..History::default() });
        assert_eq!(serde_json::to_string(&history).unwrap(), r#"{"created_by":"RUN true"}"#);
    }

    #[test]
    fn an_empty_entrypoint_differs_from_none() {
        let config: Config = serde_json::from_str(r#"{"Entrypoint":[]}"#).unwrap();
        assert_eq!(config.entrypoint, Some(vec![]));
        assert_eq!(serde_json::to_string(&config).unwrap(), r#"{"Entrypoint":[]}"#);
    }
}
