//! `config.json` as the [runtime specification] 1.2 has it: what is read of it.
//!
//! Properties that are not known are passed over, as the specification wants it. Those that are known and cannot be had
//! are here too: whoever turns the configuration into a plan refuses them.
//!
//! [runtime specification]: https://github.com/opencontainers/runtime-spec/blob/v1.2.0/config.md

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// `null` is as good as nothing: Go writes it for an empty list.
fn or_empty<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Config {
    pub oci_version: String,
    pub root: Option<Root>,
    pub process: Option<Process>,
    pub hostname: String,
    pub domainname: String,
    #[serde(deserialize_with = "or_empty")]
    pub mounts: Vec<Mount>,
    #[serde(deserialize_with = "or_empty")]
    pub hooks: Hooks,
    #[serde(deserialize_with = "or_empty")]
    pub annotations: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_empty")]
    pub linux: Linux,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Root {
    pub path: PathBuf,
    #[serde(default)]
    pub readonly: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Process {
    pub terminal: bool,
    pub console_size: Option<ConsoleSize>,
    pub cwd: String,
    #[serde(deserialize_with = "or_empty")]
    pub env: Vec<String>,
    #[serde(deserialize_with = "or_empty")]
    pub args: Vec<String>,
    #[serde(deserialize_with = "or_empty")]
    pub rlimits: Vec<Rlimit>,
    pub apparmor_profile: String,
    pub selinux_label: String,
    pub capabilities: Option<Capabilities>,
    pub no_new_privileges: bool,
    pub oom_score_adj: Option<i32>,
    pub scheduler: Option<Scheduler>,
    #[serde(rename = "ioPriority")]
    pub io_priority: Option<IoPriority>,
    #[serde(rename = "execCPUAffinity")]
    pub exec_cpu_affinity: Option<Value>,
    #[serde(deserialize_with = "or_empty")]
    pub user: User,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct ConsoleSize {
    pub height: u16,
    pub width: u16,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Rlimit {
    #[serde(rename = "type")]
    pub kind: String,
    pub soft: u64,
    pub hard: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Capabilities {
    #[serde(deserialize_with = "or_empty")]
    pub effective: Vec<String>,
    #[serde(deserialize_with = "or_empty")]
    pub bounding: Vec<String>,
    #[serde(deserialize_with = "or_empty")]
    pub inheritable: Vec<String>,
    #[serde(deserialize_with = "or_empty")]
    pub permitted: Vec<String>,
    #[serde(deserialize_with = "or_empty")]
    pub ambient: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Scheduler {
    pub policy: String,
    pub nice: i32,
    pub priority: u32,
    #[serde(deserialize_with = "or_empty")]
    pub flags: Vec<String>,
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct IoPriority {
    pub class: String,
    #[serde(default)]
    pub priority: u32,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct User {
    pub uid: u32,
    pub gid: u32,
    pub umask: Option<u32>,
    #[serde(deserialize_with = "or_empty")]
    pub additional_gids: Vec<u32>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Mount {
    pub destination: String,
    pub source: String,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(deserialize_with = "or_empty")]
    pub options: Vec<String>,
    #[serde(deserialize_with = "or_empty")]
    pub uid_mappings: Vec<Mapping>,
    #[serde(deserialize_with = "or_empty")]
    pub gid_mappings: Vec<Mapping>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Mapping {
    #[serde(rename = "containerID")]
    pub container_id: u32,
    #[serde(rename = "hostID")]
    pub host_id: u32,
    pub size: u32,
}

/// Programs that are run at points of a container's life.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Hooks {
    #[serde(deserialize_with = "or_empty")]
    pub prestart: Vec<Hook>,
    #[serde(deserialize_with = "or_empty")]
    pub create_runtime: Vec<Hook>,
    #[serde(deserialize_with = "or_empty")]
    pub create_container: Vec<Hook>,
    #[serde(deserialize_with = "or_empty")]
    pub start_container: Vec<Hook>,
    #[serde(deserialize_with = "or_empty")]
    pub poststart: Vec<Hook>,
    #[serde(deserialize_with = "or_empty")]
    pub poststop: Vec<Hook>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Hook {
    pub path: String,
    #[serde(default, deserialize_with = "or_empty")]
    pub args: Vec<String>,
    #[serde(default, deserialize_with = "or_empty")]
    pub env: Vec<String>,
    /// In seconds.
    pub timeout: Option<u64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Linux {
    #[serde(deserialize_with = "or_empty")]
    pub namespaces: Vec<Namespace>,
    #[serde(deserialize_with = "or_empty")]
    pub uid_mappings: Vec<Mapping>,
    #[serde(deserialize_with = "or_empty")]
    pub gid_mappings: Vec<Mapping>,
    #[serde(deserialize_with = "or_empty")]
    pub devices: Vec<Device>,
    pub cgroups_path: String,
    #[serde(deserialize_with = "or_empty")]
    pub resources: Resources,
    pub rootfs_propagation: String,
    /// Kept as it is: the profile has a reader of its own.
    pub seccomp: Option<Value>,
    #[serde(deserialize_with = "or_empty")]
    pub sysctl: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_empty")]
    pub masked_paths: Vec<String>,
    #[serde(deserialize_with = "or_empty")]
    pub readonly_paths: Vec<String>,
    pub mount_label: String,
    pub personality: Option<Personality>,
    pub intel_rdt: Option<Value>,
    pub time_offsets: Option<Value>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Namespace {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub path: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Device {
    #[serde(rename = "type")]
    pub kind: String,
    pub path: String,
    #[serde(default)]
    pub major: u32,
    #[serde(default)]
    pub minor: u32,
    pub file_mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Personality {
    pub domain: String,
    #[serde(default, deserialize_with = "or_empty")]
    pub flags: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Resources {
    #[serde(deserialize_with = "or_empty")]
    pub devices: Vec<DeviceRule>,
    #[serde(deserialize_with = "or_empty")]
    pub memory: Memory,
    #[serde(deserialize_with = "or_empty")]
    pub cpu: Cpu,
    pub pids: Option<Pids>,
    #[serde(rename = "blockIO", deserialize_with = "or_empty")]
    pub block_io: BlockIo,
    #[serde(deserialize_with = "or_empty")]
    pub hugepage_limits: Vec<Value>,
    pub network: Option<Value>,
    #[serde(deserialize_with = "or_empty")]
    pub rdma: BTreeMap<String, Value>,
    #[serde(deserialize_with = "or_empty")]
    pub unified: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct DeviceRule {
    pub allow: bool,
    #[serde(rename = "type", default)]
    pub kind: String,
    pub major: Option<i64>,
    pub minor: Option<i64>,
    #[serde(default)]
    pub access: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Memory {
    pub limit: Option<i64>,
    pub reservation: Option<i64>,
    pub swap: Option<i64>,
    pub kernel: Option<i64>,
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: Option<i64>,
    pub swappiness: Option<u64>,
    #[serde(rename = "disableOOMKiller")]
    pub disable_oom_killer: Option<bool>,
    pub use_hierarchy: Option<bool>,
    pub check_before_update: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Cpu {
    pub shares: Option<u64>,
    pub quota: Option<i64>,
    pub burst: Option<u64>,
    pub period: Option<u64>,
    pub realtime_runtime: Option<i64>,
    pub realtime_period: Option<u64>,
    pub cpus: String,
    pub mems: String,
    pub idle: Option<i64>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Pids {
    pub limit: Option<i64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct BlockIo {
    pub weight: Option<u16>,
    pub leaf_weight: Option<u16>,
    #[serde(deserialize_with = "or_empty")]
    pub weight_device: Vec<Value>,
    #[serde(deserialize_with = "or_empty")]
    pub throttle_read_bps_device: Vec<Throttle>,
    #[serde(deserialize_with = "or_empty")]
    pub throttle_write_bps_device: Vec<Throttle>,
    #[serde(rename = "throttleReadIOPSDevice", deserialize_with = "or_empty")]
    pub throttle_read_iops_device: Vec<Throttle>,
    #[serde(rename = "throttleWriteIOPSDevice", deserialize_with = "or_empty")]
    pub throttle_write_iops_device: Vec<Throttle>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Throttle {
    pub major: u32,
    pub minor: u32,
    pub rate: u64,
}
