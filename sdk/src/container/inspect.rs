//! All there is to know about a container.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::json;

use super::config::timestamp;
use super::handle::Handle;
use super::health::Health;
use super::network::NetworkMode;
use super::publish::{PublishedPort, published};
use super::restart::RestartPolicy;
use super::state::State;
use super::store::Files;
use crate::error::Result;
use crate::spec::digest::ImageId;
use crate::spec::exit_status::ExitStatus;
use crate::spec::id::ContainerId;
use crate::spec::time::Timestamp;

/// What a container was at the moment it was inspected.
///
/// Serialised, it has the shape of `docker inspect`.
#[derive(Debug, Clone)]
pub struct Details {
    id: ContainerId,
    state: State,
    exit_status: Option<ExitStatus>,
    pid: Option<u32>,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    network: NetworkMode,
    files: Files,
    log_path: String,
}

/// One mount of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    kind: String,
    source: String,
    target: String,
    read_only: bool,
}

impl Handle {
    /// Everything, as it is now.
    pub(crate) fn inspect(&self) -> Result<Details> {
        let (state, exit_status) = self.state()?;
        let files = self.files()?;
        let record = files.record.as_ref();
        let run = record.and_then(|record| record.run.as_ref());
        let exit = record.and_then(|record| record.exit.as_ref());
        let recorded = &files.config.state;
        Ok(Details {
            id: self.id().clone(),
            state,
            exit_status,
            pid: run.filter(|_| state.is_running()).map(|run| run.pid),
            started_at: run.map(|run| run.started_at).or(exit.map(|exit| exit.started_at)).or(recorded.started()),
            finished_at: exit.map(|exit| exit.finished_at).or(recorded.finished()).filter(|_| !state.is_running()),
            network: record.map_or_else(|| NetworkMode::of_docker(&files.host.network_mode), |record| record.network),
            log_path: self.store().root().container_log(self.id()).to_string_lossy().into_owned(),
            files,
        })
    }
}

impl Details {
    /// Its ID.
    pub fn id(&self) -> &ContainerId {
        &self.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.files.config.plain_name()
    }

    /// The reference of its image, as it was given.
    pub fn image(&self) -> &str {
        &self.files.config.config.image
    }

    /// The ID of its image, if the record names one.
    pub fn image_id(&self) -> Option<ImageId> {
        ImageId::parse(&self.files.config.image).ok()
    }

    /// What it was doing.
    pub fn state(&self) -> State {
        self.state
    }

    /// How it last ended; `None` while it runs and if it was never started.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.exit_status
    }

    /// The number of its process on the host, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// When it was created.
    pub fn created(&self) -> Option<Timestamp> {
        timestamp(&self.files.config.created)
    }

    /// When it was last started.
    pub fn started_at(&self) -> Option<Timestamp> {
        self.started_at
    }

    /// When it last ended.
    pub fn finished_at(&self) -> Option<Timestamp> {
        self.finished_at
    }

    /// How its health check has gone; `None` if it has none or was never started.
    pub fn health(&self) -> Option<Health> {
        Health::of(&self.files.config.state)
    }

    /// When it is started again.
    pub fn restart_policy(&self) -> RestartPolicy {
        RestartPolicy::of(&self.files.host.restart_policy)
    }

    /// How often it was started again since it was started.
    pub fn restart_count(&self) -> u32 {
        self.files.config.restart_count
    }

    /// What it runs: program and arguments.
    pub fn command(&self) -> Vec<String> {
        self.files.config.argv()
    }

    /// Its environment, as recorded: `NAME=value`.
    pub fn env(&self) -> &[String] {
        &self.files.config.config.env
    }

    /// The directory its process starts in; empty for `/`.
    pub fn workdir(&self) -> &str {
        &self.files.config.config.working_dir
    }

    /// Who its process runs as; empty for root.
    pub fn user(&self) -> &str {
        &self.files.config.config.user
    }

    /// Its host name.
    pub fn hostname(&self) -> &str {
        &self.files.config.config.hostname
    }

    /// The network it sees.
    pub fn network(&self) -> NetworkMode {
        self.network
    }

    /// Its published ports, while it runs.
    pub fn ports(&self) -> Vec<PublishedPort> {
        match self.state.is_running() {
            true => published(&self.files),
            false => Vec::new(),
        }
    }

    /// Whether its process has a terminal.
    pub fn has_terminal(&self) -> bool {
        self.files.config.config.tty
    }

    /// How long a stop is to wait before `SIGKILL`; `None` if nobody has said.
    pub fn stop_timeout(&self) -> Option<Duration> {
        self.files.config.config.stop_timeout.map(Duration::from_secs)
    }

    /// Its labels, the image's included.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.files.config.config.labels
    }

    /// What is mounted in it, by target.
    pub fn mounts(&self) -> Vec<Mounted> {
        let points = self.files.config.mount_points.iter().map(|(target, point)| Mounted {
            kind: point.kind.clone(),
            source: if point.kind == "volume" { point.name.clone() } else { point.source.clone() },
            target: target.clone(),
            read_only: !point.rw,
        });
        let tmpfs = self.files.host.tmpfs.iter().flatten().map(|(target, options)| Mounted {
            kind: "tmpfs".to_owned(),
            source: String::new(),
            target: target.clone(),
            read_only: super::host_config::parse_tmpfs_options(options).2,
        });
        let mut mounts: Vec<_> = points.chain(tmpfs).collect();
        mounts.sort_by(|a, b| a.target.cmp(&b.target));
        mounts
    }
}

impl Mounted {
    /// `bind`, `volume` or `tmpfs`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The host path or the name of the volume; empty for memory.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Where it is in the container.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Whether it refuses writes.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }
}

impl Serialize for Details {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let config = &self.files.config;
        let time = |time: Option<Timestamp>| time.map_or_else(|| super::config::NEVER.to_owned(), |t| t.to_string());
        let status = self.exit_status;
        let mut state = json!({
            "Status": self.state.to_string(),
            "Running": self.state.is_running(),
            "Paused": self.state == State::Paused,
            "Restarting": self.state == State::Restarting,
            "OOMKilled": status.is_some_and(|status| status.is_oom_killed()),
            "Dead": self.state == State::Dead,
            "Pid": self.pid.unwrap_or(0),
            "ExitCode": status.map_or(0, |status| status.code()),
            "Error": config.state.error,
            "StartedAt": time(self.started_at),
            "FinishedAt": time(self.finished_at),
        });
        if let (Some(state), Some(health)) = (state.as_object_mut(), config.state.other.get("Health")) {
            state.insert("Health".to_owned(), health.clone());
        }
        let mounts = config.mount_points.values();
        let mounts: Vec<_> = mounts
            .map(|point| {
                json!({ "Type": point.kind, "Name": point.name, "Source": point.source, "Destination": point.destination,
                    "Driver": point.driver, "Mode": "", "RW": point.rw, "Propagation": point.propagation })
            })
            .collect();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("Id", self.id.as_str())?;
        map.serialize_entry("Created", &config.created)?;
        map.serialize_entry("Path", &config.path)?;
        map.serialize_entry("Args", &config.args)?;
        map.serialize_entry("State", &state)?;
        map.serialize_entry("Image", &config.image)?;
        map.serialize_entry("LogPath", &self.log_path)?;
        map.serialize_entry("Name", &config.name)?;
        map.serialize_entry("RestartCount", &config.restart_count)?;
        map.serialize_entry("Driver", &config.driver)?;
        map.serialize_entry("Platform", &config.os)?;
        map.serialize_entry("HostConfig", &self.files.host)?;
        map.serialize_entry("Mounts", &mounts)?;
        map.serialize_entry("Config", &config.config)?;
        map.serialize_entry("NetworkSettings", &config.network_settings)?;
        map.end()
    }
}
