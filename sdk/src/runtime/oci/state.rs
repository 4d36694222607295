//! What is known of a container: one directory below the root of the runtime.
//!
//! | file | holds |
//! |---|---|
//! | `state.json` | [`Record`]; replaced as a whole |
//! | `config.json` | the configuration as it was when the container was made: later changes do not count |
//! | `start`, `plan` | the line to the process that waits for the start |
//!
//! The directory itself is locked by whoever changes the container.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::config::Config;
use super::fault::Fault;
use crate::error::{Attempt, Result};
use crate::sys::cgroup::Group;
use crate::sys::{wait, waiting};

/// Where a container is in its life, in the words of the specification, and `paused`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is being made, and its hooks may run.
    Creating,
    /// Its process waits for the start.
    Created,
    /// Its program runs.
    Running,
    /// All of its processes stand still.
    Paused,
    /// Its process has ended.
    Stopped,
}

impl Status {
    /// The word of the specification.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// The state of a container, as the [specification](https://github.com/opencontainers/runtime-spec/blob/v1.2.0/runtime.md#state)
/// has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Which version of the specification the configuration follows.
    pub oci_version: String,
    /// The container's ID.
    pub id: String,
    /// Where it is in its life.
    pub status: Status,
    /// The number of its first process; 0 if that has ended.
    pub pid: u32,
    /// The directory of the bundle, absolute.
    pub bundle: PathBuf,
    /// As the configuration has them.
    pub annotations: BTreeMap<String, String>,
    /// The root file system, absolute.
    pub rootfs: PathBuf,
    /// When it was made, as RFC 3339 has it.
    pub created: String,
}

impl State {
    /// The document that `state` prints and hooks are given.
    pub fn to_json(&self) -> String {
        let document = serde_json::json!({
            "ociVersion": self.oci_version,
            "id": self.id,
            "status": self.status.as_str(),
            "pid": self.pid,
            "bundle": self.bundle,
            "annotations": self.annotations,
            "rootfs": self.rootfs,
            "created": self.created,
            "owner": "root",
        });
        format!("{document:#}")
    }
}

/// What is written down.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Record {
    pub oci_version: String,
    pub id: String,
    pub bundle: PathBuf,
    pub rootfs: PathBuf,
    pub annotations: BTreeMap<String, String>,
    pub created: String,
    /// 0 until there is a process.
    pub pid: u32,
    /// Tells the process from a later one of the same number.
    pub start_time: u64,
    /// Whether its hooks have run, and it waits for the start.
    pub is_created: bool,
    /// The directories of its cgroup.
    pub cgroups: Vec<PathBuf>,
    /// Those that were made for it, with the ones above.
    pub made: Vec<PathBuf>,
    /// How many descriptors from 3 on its program is given.
    pub preserved: u32,
    /// Whether the program gets a session keyring.
    pub keyring: bool,
}

/// A container's directory.
#[derive(Debug, Clone)]
pub(super) struct Directory(PathBuf);

const STATE: &str = "state.json";
const CONFIG: &str = "config.json";

impl Directory {
    pub(super) fn new(root: &Path, id: &str) -> Result<Self, Fault> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
        match !id.is_empty() && id.len() <= 1024 && id.chars().all(fits) && !id.chars().all(|c| c == '.') {
            true => Ok(Self(root.join(id))),
            false => Err(Fault::Id { id: id.to_owned() }),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Makes it, which only one can.
    pub(super) fn create(&self, id: &str) -> Result<()> {
        match fs::create_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(Fault::Exists { id: id.to_owned() }.into())
            }
            made => made.attempt(|| format!("create {:?}", self.0)),
        }
    }

    /// Waits until nobody else changes the container; until the file is dropped, nobody does.
    pub(super) fn lock(&self, id: &str) -> Result<File> {
        match File::open(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Fault::NoSuchContainer { id: id.to_owned() }.into())
            }
            opened => {
                let attempt = || format!("lock {:?}", self.0);
                let directory = opened.attempt(attempt)?;
                directory.lock().attempt(attempt)?;
                Ok(directory)
            }
        }
    }

    pub(super) fn save(&self, record: &Record) -> Result<()> {
        let (new, file) = (self.0.join("state.json.new"), self.0.join(STATE));
        let attempt = || format!("write {file:?}");
        let text = serde_json::to_string(record).map_err(io::Error::from).attempt(attempt)?;
        fs::write(&new, text).and_then(|()| fs::rename(&new, &file)).attempt(attempt)
    }

    pub(super) fn load(&self, id: &str) -> Result<Record> {
        let file = self.0.join(STATE);
        match fs::read(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Fault::NoSuchContainer { id: id.to_owned() }.into())
            }
            read => parse(&file, &read.attempt(|| format!("read {file:?}"))?),
        }
    }

    pub(super) fn save_config(&self, text: &[u8]) -> Result<()> {
        let file = self.0.join(CONFIG);
        fs::write(&file, text).attempt(|| format!("write {file:?}"))
    }

    pub(super) fn load_config(&self) -> Result<Config> {
        read_config(&self.0).map(|(config, _)| config)
    }

    pub(super) fn remove(&self) -> Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.attempt(|| format!("remove {:?}", self.0)),
        }
    }

    /// Where a container is in its life.
    pub(super) fn status(&self, record: &Record) -> Status {
        if record.pid == 0 {
            return if record.is_created { Status::Stopped } else { Status::Creating };
        }
        if !record.is_alive() {
            return Status::Stopped;
        }
        match (record.is_created, record.group()) {
            (false, _) => Status::Creating,
            (true, Some(group)) if group.is_frozen() => Status::Paused,
            (true, _) if waiting::is_waiting(&self.0) => Status::Created,
            (true, _) => Status::Running,
        }
    }

    pub(super) fn state(&self, record: &Record) -> State {
        let status = self.status(record);
        State {
            oci_version: record.oci_version.clone(),
            id: record.id.clone(),
            status,
            pid: if status == Status::Stopped { 0 } else { record.pid },
            bundle: record.bundle.clone(),
            annotations: record.annotations.clone(),
            rootfs: record.rootfs.clone(),
            created: record.created.clone(),
        }
    }
}

impl Record {
    /// Whether its first process lives; one that has ended and was not waited for does not.
    pub(super) fn is_alive(&self) -> bool {
        let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", self.pid)) else { return false };
        let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
        wait::start_time(self.pid).is_ok_and(|time| time == self.start_time) && !matches!(state, Some('Z' | 'X'))
    }

    pub(super) fn group(&self) -> Option<Group> {
        Group::open_at(&self.cgroups)
    }
}

/// The configuration in a directory, and its text.
pub(super) fn read_config(directory: &Path) -> Result<(Config, Vec<u8>)> {
    let file = directory.join(CONFIG);
    let text = fs::read(&file).attempt(|| format!("read {}", file.display()))?;
    Ok((parse(&file, &text)?, text))
}

pub(super) fn parse<T: serde::de::DeserializeOwned>(file: &Path, text: &[u8]) -> Result<T> {
    let parsed = serde_json::from_slice(text);
    parsed.map_err(|error| Fault::Json { file: file.to_owned(), why: error.to_string() }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_name_in_a_directory() {
        for (id, fits) in [("a-1_x.y+z", true), ("", false), ("..", false), ("a/b", false), ("a b", false)] {
            assert_eq!(Directory::new(Path::new("/x"), id).is_ok(), fits, "{id:?}");
        }
    }

    #[test]
    fn another_process_of_the_same_number_is_not_the_containers() {
        let pid = std::process::id();
        let start_time = wait::start_time(pid).unwrap_or_default();
        let mut record = Record { pid, start_time, ..Record::default() };
        assert!(record.is_alive());
        record.start_time += 1;
        assert!(!record.is_alive());
    }
}
