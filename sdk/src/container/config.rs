//! `config.v2.json`: what Docker knows about a container.
//!
//! Every field that Docker needs is a field here, in its order; keys we do not know survive in `other`, because dockerd
//! wrote them and will read them. Docker writes `null` where it means "none", so every list and map accepts it.
//!
//! While a container of ours runs, the file says `Running: false` and names no process: a dockerd that opens the store
//! must not take it for its own. What is true meanwhile stands in our own [record](super::record).

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::spec::id::ContainerId;
use crate::spec::time::Timestamp;

/// Docker's time for "never".
pub(crate) const NEVER: &str = "0001-01-01T00:00:00Z";

/// A whole `config.v2.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Config {
    pub(crate) state: RecordedState,
    #[serde(rename = "ID")]
    pub(crate) id: String,
    #[serde(default = "never")]
    pub(crate) created: String,
    #[serde(default)]
    pub(crate) path: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) args: Vec<String>,
    pub(crate) config: Process,
    /// `sha256:…`, the image ID.
    #[serde(default)]
    pub(crate) image: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) network_settings: NetworkSettings,
    #[serde(default)]
    pub(crate) log_path: String,
    /// With a leading `/`.
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) driver: String,
    #[serde(rename = "OS", default)]
    pub(crate) os: String,
    #[serde(default)]
    pub(crate) restart_count: u32,
    #[serde(default)]
    pub(crate) has_been_started_before: bool,
    #[serde(default)]
    pub(crate) has_been_manually_stopped: bool,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) mount_points: BTreeMap<String, MountPoint>,
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

/// `State`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct RecordedState {
    pub(crate) running: bool,
    pub(crate) paused: bool,
    pub(crate) restarting: bool,
    #[serde(rename = "OOMKilled")]
    pub(crate) oom_killed: bool,
    pub(crate) removal_in_progress: bool,
    pub(crate) dead: bool,
    pub(crate) pid: u32,
    pub(crate) exit_code: i32,
    pub(crate) error: String,
    pub(crate) started_at: String,
    pub(crate) finished_at: String,
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

/// `Config`: the process, as the image and the definition together want it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Process {
    pub(crate) hostname: String,
    pub(crate) domainname: String,
    pub(crate) user: String,
    pub(crate) attach_stdin: bool,
    pub(crate) attach_stdout: bool,
    pub(crate) attach_stderr: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub(crate) exposed_ports: BTreeMap<String, Value>,
    pub(crate) tty: bool,
    pub(crate) open_stdin: bool,
    pub(crate) stdin_once: bool,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) env: Vec<String>,
    /// `None` is written as `null`: there is no command.
    pub(crate) cmd: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) healthcheck: Option<Value>,
    /// The reference as the user gave it.
    pub(crate) image: String,
    pub(crate) volumes: Option<BTreeMap<String, Value>>,
    pub(crate) working_dir: String,
    pub(crate) entrypoint: Option<Vec<String>>,
    pub(crate) on_build: Option<Vec<String>>,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stop_signal: Option<String>,
    /// Whole seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stop_timeout: Option<u64>,
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

/// `NetworkSettings`: the one network a container of ours names.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct NetworkSettings {
    /// dockerd panics on `docker start` if an endpoint has no field at all.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) networks: BTreeMap<String, Value>,
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

/// One entry of `MountPoints`, by destination.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct MountPoint {
    /// Empty for volumes, so that the store can be moved.
    pub(crate) source: String,
    pub(crate) destination: String,
    #[serde(rename = "RW")]
    pub(crate) rw: bool,
    pub(crate) name: String,
    pub(crate) driver: String,
    #[serde(rename = "Type")]
    pub(crate) kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) propagation: String,
    /// `{}` marks an anonymous volume: it goes with its container.
    pub(crate) spec: MountSpec,
    pub(crate) skip_mountpoint_creation: bool,
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

/// `Spec` of a mount point.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct MountSpec {
    #[serde(rename = "Type", skip_serializing_if = "String::is_empty")]
    pub(crate) kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) source: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) target: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) read_only: bool,
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

impl Config {
    /// The name without Docker's leading slash.
    pub(crate) fn plain_name(&self) -> &str {
        self.name.strip_prefix('/').unwrap_or(&self.name)
    }

    /// The names of the volumes it mounts.
    pub(crate) fn volumes(&self) -> impl Iterator<Item = &str> {
        self.mount_points.values().filter(|mount| mount.is_volume()).map(|mount| mount.name.as_str())
    }

    /// The names of the volumes that are removed with it.
    pub(crate) fn anonymous_volumes(&self) -> impl Iterator<Item = &str> {
        self.mount_points.values().filter(|mount| mount.is_anonymous_volume()).map(|mount| mount.name.as_str())
    }

    /// What is executed: the entrypoint, then the command.
    pub(crate) fn argv(&self) -> Vec<String> {
        if self.path.is_empty() {
            return Vec::new();
        }
        std::iter::once(self.path.clone()).chain(self.args.iter().cloned()).collect()
    }
}

/// `container "db" (postgres:16)`.
pub(crate) fn title(name: &str, image: &str) -> String {
    if image.is_empty() { format!("container {name:?}") } else { format!("container {name:?} ({image})") }
}

impl RecordedState {
    /// A container that has never been started.
    pub(crate) fn created() -> Self {
        Self::default()
    }

    /// When it was last started.
    pub(crate) fn started(&self) -> Option<Timestamp> {
        timestamp(&self.started_at)
    }

    /// When it last ended.
    pub(crate) fn finished(&self) -> Option<Timestamp> {
        timestamp(&self.finished_at)
    }
}

impl Default for RecordedState {
    fn default() -> Self {
        Self {
            running: false,
            paused: false,
            restarting: false,
            oom_killed: false,
            removal_in_progress: false,
            dead: false,
            pid: 0,
            exit_code: 0,
            error: String::new(),
            started_at: never(),
            finished_at: never(),
            other: Map::new(),
        }
    }
}

impl MountPoint {
    pub(crate) fn is_volume(&self) -> bool {
        self.kind == "volume"
    }

    /// Whether the volume is removed with the container.
    pub(crate) fn is_anonymous_volume(&self) -> bool {
        self.is_volume() && self.spec.kind.is_empty() && self.spec.source.is_empty()
    }
}

impl NetworkSettings {
    /// The one network, by Docker's name for it.
    pub(crate) fn only(name: &str) -> Self {
        let endpoint = serde_json::json!({ "EndpointID": "" });
        Self { networks: BTreeMap::from([(name.to_owned(), endpoint)]), other: Map::new() }
    }
}

/// The time `text` means; `None` for Docker's "never" and for what is no time.
pub(crate) fn timestamp(text: &str) -> Option<Timestamp> {
    if text == NEVER { None } else { text.parse().ok() }
}

/// The twelve digits that stand for an ID, and are the default host name.
pub(crate) fn default_hostname(id: &ContainerId) -> String {
    id.short().to_string()
}

fn never() -> String {
    NEVER.to_owned()
}

fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn keys_of_dockerd_survive_reading_and_writing() {
        let text = r#"{"State":{"Running":true,"Health":{"Status":"healthy"}},"ID":"x","Config":{"Env":null,"Cmd":["sh"],
            "Labels":null,"MacAddress":"02:42"},"Image":"sha256:0","MountPoints":null,"Driver":"overlay2","Managed":false,
            "NetworkSettings":{"Networks":null,"Bridge":""}}"#;
        let config: Config = serde_json::from_str(text).unwrap();
        assert!(config.config.env.is_empty() && config.mount_points.is_empty());
        let written = serde_json::to_value(&config).unwrap();
        assert_eq!(written["State"]["Health"]["Status"], "healthy");
        assert_eq!(written["Config"]["MacAddress"], "02:42");
        assert_eq!(written["Managed"], false);
        assert_eq!(written["NetworkSettings"]["Bridge"], "");
    }

    #[test]
    fn an_endpoint_is_never_an_empty_object() {
        let written = serde_json::to_value(NetworkSettings::only("none")).unwrap();
        assert_eq!(written["Networks"]["none"]["EndpointID"], "");
    }

    #[test]
    fn a_volume_is_anonymous_if_its_spec_is_empty() {
        let mut mount: MountPoint =
            serde_json::from_str(r#"{"Destination":"/d","Name":"n","Type":"volume","RW":true,"Spec":{}}"#).unwrap();
        assert!(mount.is_anonymous_volume());
        assert_eq!(serde_json::to_value(&mount).unwrap()["Spec"], serde_json::json!({}));
        mount.spec.source = "n".into();
        assert!(!mount.is_anonymous_volume());
    }

    #[test]
    fn zero_time_is_never() {
        assert!(RecordedState::created().started().is_none());
    }
}
