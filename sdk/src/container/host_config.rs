//! `hostconfig.json`: what the host gives a container.
//!
//! Docker acts on two of its fields when it starts, without being asked: it starts what has a restart policy and removes
//! what has `AutoRemove`. Ours always say `no` and `false`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::resources::Resources;

/// `ShmSize` in bytes: 64 MiB, Docker's default.
const SHM_SIZE: u64 = 64 << 20;

/// A whole `hostconfig.json`, as far as we write or read it; the rest survives in `other`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct HostConfig {
    pub(crate) binds: Option<Vec<String>>,
    pub(crate) log_config: LogConfig,
    pub(crate) network_mode: String,
    pub(crate) port_bindings: Option<BTreeMap<String, Value>>,
    pub(crate) restart_policy: RestartPolicy,
    pub(crate) auto_remove: bool,
    pub(crate) cgroupns_mode: String,
    pub(crate) ipc_mode: String,
    /// `host`, `container:<id>`, or empty for one of its own.
    pub(crate) pid_mode: String,
    /// `host`, or empty for one of its own.
    #[serde(rename = "UTSMode")]
    pub(crate) uts_mode: String,
    /// `host`, or empty for what the daemon has.
    pub(crate) userns_mode: String,
    /// Whether a process 1 of ours or of Docker's stands in front of the container's; ours by default, Docker's not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) init: Option<bool>,
    pub(crate) privileged: bool,
    pub(crate) cap_add: Option<Vec<String>>,
    pub(crate) cap_drop: Option<Vec<String>>,
    pub(crate) security_opt: Option<Vec<String>>,
    pub(crate) devices: Option<Vec<DeviceMapping>>,
    pub(crate) ulimits: Option<Vec<Ulimit>>,
    pub(crate) oom_score_adj: i32,
    pub(crate) group_add: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sysctls: Option<BTreeMap<String, String>>,
    /// `name:address`.
    pub(crate) extra_hosts: Option<Vec<String>>,
    pub(crate) dns: Option<Vec<String>>,
    pub(crate) dns_search: Option<Vec<String>>,
    pub(crate) dns_options: Option<Vec<String>>,
    pub(crate) readonly_rootfs: bool,
    pub(crate) shm_size: u64,
    /// Rows and columns of the terminal at the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) console_size: Option<[u16; 2]>,
    pub(crate) runtime: String,
    /// Target → mount options.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tmpfs: Option<BTreeMap<String, String>>,
    /// Absent or null: the defaults; an empty list: nothing is masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) masked_paths: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) readonly_paths: Option<Vec<String>>,
    #[serde(flatten)]
    pub(crate) resources: Resources,
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

/// One of `Devices`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct DeviceMapping {
    pub(crate) path_on_host: String,
    pub(crate) path_in_container: String,
    /// Of the letters `rwm`.
    pub(crate) cgroup_permissions: String,
}

/// One of `Ulimits`; -1 is no limit.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Ulimit {
    pub(crate) name: String,
    pub(crate) hard: i64,
    pub(crate) soft: i64,
}

/// `LogConfig`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct LogConfig {
    #[serde(rename = "Type")]
    pub(crate) kind: String,
    pub(crate) config: Option<BTreeMap<String, String>>,
}

/// `RestartPolicy`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct RestartPolicy {
    pub(crate) name: String,
    pub(crate) maximum_retry_count: u32,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            binds: None,
            log_config: LogConfig::default(),
            network_mode: "none".to_owned(),
            port_bindings: Some(BTreeMap::new()),
            restart_policy: RestartPolicy::default(),
            auto_remove: false,
            cgroupns_mode: "private".to_owned(),
            ipc_mode: "private".to_owned(),
            pid_mode: String::new(),
            uts_mode: String::new(),
            userns_mode: String::new(),
            init: None,
            privileged: false,
            cap_add: None,
            cap_drop: None,
            security_opt: None,
            devices: None,
            ulimits: None,
            oom_score_adj: 0,
            group_add: None,
            sysctls: None,
            extra_hosts: None,
            dns: None,
            dns_search: None,
            dns_options: None,
            readonly_rootfs: false,
            shm_size: SHM_SIZE,
            console_size: None,
            runtime: "runc".to_owned(),
            tmpfs: None,
            masked_paths: None,
            readonly_paths: None,
            resources: Resources::default(),
            other: Map::new(),
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { kind: "json-file".to_owned(), config: Some(BTreeMap::new()) }
    }
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self { name: "no".to_owned(), maximum_retry_count: 0 }
    }
}

/// The options of a tmpfs as Docker writes them: `size=65536,mode=1777`.
pub(crate) fn tmpfs_options(size: Option<u64>, mode: Option<u32>, read_only: bool) -> String {
    let mut options = Vec::new();
    if read_only {
        options.push("ro".to_owned());
    }
    if let Some(size) = size {
        options.push(format!("size={size}"));
    }
    if let Some(mode) = mode {
        options.push(format!("mode={mode:o}"));
    }
    options.join(",")
}

/// Reads back what [`tmpfs_options`] wrote, passing over what it does not know: size, mode, read-only.
pub(crate) fn parse_tmpfs_options(text: &str) -> (Option<u64>, Option<u32>, bool) {
    let (mut size, mut mode, mut read_only) = (None, None, false);
    for option in text.split(',') {
        match option.split_once('=') {
            Some(("size", value)) => {
                size = crate::spec::byte_size::ByteSize::parse(value).ok().map(crate::spec::byte_size::ByteSize::as_u64)
            }
            Some(("mode", value)) => mode = u32::from_str_radix(value, 8).ok().filter(|mode| *mode <= 0o7777),
            None if option == "ro" => read_only = true,
            _ => {}
        }
    }
    (size, mode, read_only)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn nothing_makes_docker_start_or_remove_it() {
        let written = serde_json::to_value(HostConfig::default()).unwrap();
        assert_eq!(written["RestartPolicy"]["Name"], "no");
        assert_eq!(written["AutoRemove"], false);
        assert_eq!(written["LogConfig"]["Type"], "json-file");
        assert_eq!(written["ShmSize"], 67_108_864);
        assert!(written.get("MaskedPaths").is_none());
    }

    #[test]
    fn limits_stand_where_docker_has_them_and_other_keys_survive() {
        let text = r#"{"Memory":67108864,"MemorySwap":-1,"NanoCpus":1500000000,"PidsLimit":null,"CpusetCpus":"0-1",
            "BlkioDeviceReadBps":[{"Path":"/dev/sda","Rate":1024}],"BlkioWeightDevice":[],"OomScoreAdj":5}"#;
        let host: HostConfig = serde_json::from_str(text).unwrap();
        assert_eq!((host.resources.memory, host.resources.memory_swap), (67_108_864, -1));
        assert_eq!(host.resources.pids_limit, None);
        let written = serde_json::to_value(&host).unwrap();
        assert_eq!(written["Memory"], 67_108_864);
        assert_eq!(written["NanoCpus"], 1_500_000_000);
        assert_eq!(written["CpusetCpus"], "0-1");
        assert_eq!(written["BlkioDeviceReadBps"][0]["Rate"], 1024);
        assert_eq!(written["BlkioDeviceReadIOps"], Value::Null);
        assert_eq!((&written["OomScoreAdj"], &written["BlkioWeightDevice"]), (&5.into(), &Value::Array(Vec::new())));
    }

    #[test]
    fn tmpfs_options_read_back() {
        for given in [(None, None, false), (Some(65536), Some(0o1777), true), (Some(1), None, false)] {
            assert_eq!(parse_tmpfs_options(&tmpfs_options(given.0, given.1, given.2)), given);
        }
        assert_eq!(parse_tmpfs_options("rw,noexec,size=64k,mode=99"), (Some(65536), None, false));
    }
}
