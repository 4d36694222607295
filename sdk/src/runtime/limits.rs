//! From limits to the files of cgroups and their values. Pure.

use crate::spec::byte_size::ByteSize;
use crate::sys::cgroup::Version;

/// What a container may take of the host; `None` is "as much as there is".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// In bytes.
    pub memory: Option<u64>,
    /// In bytes: what is left to it when memory runs short.
    pub memory_reservation: Option<u64>,
    pub swap: Swap,
    pub cpu: Option<CpuQuota>,
    /// As version 1 counts them: 2 to 262144, where 1024 is everybody's.
    pub cpu_shares: Option<u64>,
    /// Such as `0-2,4`.
    pub cpus: Option<String>,
    pub memory_nodes: Option<String>,
    pub pids: Pids,
    /// 10 to 1000.
    pub io_weight: Option<u16>,
    pub throttles: Vec<Throttle>,
}

/// How much swap a container with a limit of memory may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Swap {
    /// As much as memory, where the kernel counts swap.
    #[default]
    AsMemory,
    /// Memory and swap together, in bytes.
    Total(u64),
    Unlimited,
}

/// CPU time in each period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CpuQuota {
    /// In microseconds; `None` is all of it.
    pub quota: Option<u64>,
    /// In microseconds.
    pub period: u64,
}

/// How many processes and threads there may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Pids {
    /// [`DEFAULT_PIDS`], where it costs nothing.
    #[default]
    Default,
    Limit(u64),
    Unlimited,
}

/// Most processes and threads of a container that does not say, as in Podman.
const DEFAULT_PIDS: u64 = 2048;

/// How much a second of one block device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Throttle {
    pub kind: ThrottleKind,
    pub major: u32,
    pub minor: u32,
    pub rate: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ThrottleKind {
    ReadBytes,
    WriteBytes,
    Reads,
    Writes,
}

/// One write to a file of a cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// What a message says about it: `limit memory to 256MiB`.
    pub attempt: String,
    /// By its name in version 2.
    pub controller: &'static str,
    /// The first of these that is there.
    pub files: &'static [&'static str],
    pub value: String,
    /// Nobody asked for it: where it cannot be, it is not.
    pub is_default: bool,
}

impl Limits {
    /// The controllers that these limits need, by their names in version 2, and the words for the first limit of each.
    pub(super) fn controllers(&self) -> Vec<(&'static str, String)> {
        let mut needed: Vec<(&'static str, String)> = Vec::new();
        for setting in self.settings(|_| Version::V2) {
            if !setting.is_default && !needed.iter().any(|(known, _)| *known == setting.controller) {
                needed.push((setting.controller, setting.attempt));
            }
        }
        needed
    }

    /// Whether memory is limited or reserved.
    pub(super) fn has_memory(&self) -> bool {
        self.memory.is_some() || self.memory_reservation.is_some()
    }

    /// What to write, in this order, where controllers have these versions.
    pub(super) fn settings(&self, version: impl Fn(&str) -> Version) -> Vec<Setting> {
        let mut settings = Settings(Vec::new());
        self.memory(version("memory"), &mut settings);
        self.cpu(version("cpu"), &mut settings);
        for (what, value, files) in [
            ("CPUs", &self.cpus, &["cpuset.cpus"] as &'static [_]),
            ("memory nodes", &self.memory_nodes, &["cpuset.mems"]),
        ] {
            if let Some(value) = value {
                settings.add(format!("choose {what} {value}"), "cpuset", files, value.clone());
            }
        }
        let (pids, is_default) = match self.pids {
            Pids::Default => (Some(DEFAULT_PIDS), true),
            Pids::Limit(limit) => (Some(limit), false),
            Pids::Unlimited => (None, true),
        };
        if let Some(pids) = pids {
            settings.add(format!("limit processes to {pids}"), "pids", &["pids.max"], pids.to_string());
            settings.last_is_default(is_default);
        }
        self.io(version("io"), &mut settings);
        settings.0
    }

    fn memory(&self, version: Version, settings: &mut Settings) {
        let mut add = |attempt, v1: &'static [_], v2: &'static [_], value: String| {
            let files = if version == Version::V1 { v1 } else { v2 };
            settings.add(attempt, "memory", files, value);
        };
        if let Some(limit) = self.memory {
            let size = ByteSize::bytes(limit);
            add(format!("limit memory to {size}"), &["memory.limit_in_bytes"], &["memory.max"], limit.to_string());
        }
        if let Some(reservation) = self.memory_reservation {
            let attempt = format!("reserve {} of memory", ByteSize::bytes(reservation));
            add(attempt, &["memory.soft_limit_in_bytes"], &["memory.low"], reservation.to_string());
        }
        let Some(memory) = self.memory else { return };
        let (total, is_default) = match self.swap {
            Swap::AsMemory => (memory.saturating_mul(2), true),
            Swap::Total(total) => (total, false),
            // What a new group has.
            Swap::Unlimited => return,
        };
        let attempt = format!("limit memory and swap to {}", ByteSize::bytes(total));
        let value = if version == Version::V1 { total } else { total.saturating_sub(memory) };
        add(attempt, &["memory.memsw.limit_in_bytes"], &["memory.swap.max"], value.to_string());
        settings.last_is_default(is_default);
    }

    fn cpu(&self, version: Version, settings: &mut Settings) {
        if let Some(CpuQuota { quota, period }) = self.cpu {
            let attempt = match quota {
                Some(quota) => format!("limit CPU time to {quota} of {period} µs"),
                None => format!("count CPU time over {period} µs"),
            };
            match version {
                Version::V1 => {
                    settings.add(attempt.clone(), "cpu", &["cpu.cfs_period_us"], period.to_string());
                    let quota = quota.map_or_else(|| "-1".to_owned(), |quota| quota.to_string());
                    settings.add(attempt, "cpu", &["cpu.cfs_quota_us"], quota);
                }
                Version::V2 => {
                    let quota = quota.map_or_else(|| "max".to_owned(), |quota| quota.to_string());
                    settings.add(attempt, "cpu", &["cpu.max"], format!("{quota} {period}"));
                }
            }
        }
        if let Some(shares) = self.cpu_shares {
            let attempt = format!("share CPU time by {shares}");
            match version {
                Version::V1 => settings.add(attempt, "cpu", &["cpu.shares"], shares.to_string()),
                Version::V2 => settings.add(attempt, "cpu", &["cpu.weight"], cpu_weight(shares).to_string()),
            }
        }
    }

    fn io(&self, version: Version, settings: &mut Settings) {
        if let Some(weight) = self.io_weight {
            let attempt = format!("share block devices by {weight}");
            match version {
                Version::V1 => {
                    settings.add(attempt, "io", &["blkio.bfq.weight", "blkio.weight"], weight.to_string());
                }
                // The scheduler's own goes from 1 to 1000 too, but the kernel's own from 1 to 10000.
                Version::V2 => {
                    settings.add(attempt, "io", &["io.bfq.weight", "io.weight"], io_weight(weight).to_string())
                }
            }
        }
        for Throttle { kind, major, minor, rate } in &self.throttles {
            let device = format!("{major}:{minor}");
            let (verb, v1, v2): (_, &'static [_], _) = match kind {
                ThrottleKind::ReadBytes => ("bytes read from", &["blkio.throttle.read_bps_device"], "rbps"),
                ThrottleKind::WriteBytes => ("bytes written to", &["blkio.throttle.write_bps_device"], "wbps"),
                ThrottleKind::Reads => ("reads from", &["blkio.throttle.read_iops_device"], "riops"),
                ThrottleKind::Writes => ("writes to", &["blkio.throttle.write_iops_device"], "wiops"),
            };
            let attempt = format!("limit {verb} device {device} to {rate} a second");
            match version {
                Version::V1 => settings.add(attempt, "io", v1, format!("{device} {rate}")),
                Version::V2 => settings.add(attempt, "io", &["io.max"], format!("{device} {v2}={rate}")),
            }
        }
    }
}

struct Settings(Vec<Setting>);

impl Settings {
    fn add(&mut self, attempt: String, controller: &'static str, files: &'static [&'static str], value: String) {
        self.0.push(Setting { attempt, controller, files, value, is_default: false });
    }

    fn last_is_default(&mut self, is_default: bool) {
        if let Some(last) = self.0.last_mut() {
            last.is_default = is_default;
        }
    }
}

/// Shares as a weight of version 2: 2 to 262144 become 1 to 10000, as the OCI runtimes have it.
fn cpu_weight(shares: u64) -> u64 {
    1 + shares.clamp(2, 262_144).saturating_sub(2) * 9_999 / 262_142
}

/// A weight of version 1, 10 to 1000, as one of version 2, 1 to 10000.
fn io_weight(weight: u16) -> u64 {
    1 + u64::from(weight.clamp(10, 1_000) - 10) * 9_999 / 990
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(limits: &Limits, version: Version) -> Vec<String> {
        let settings = limits.settings(|_| version);
        settings.iter().map(|it| format!("{} {}", it.files.join("|"), it.value)).collect()
    }

    #[test]
    fn limits_become_files_of_either_version() {
        let limits = Limits {
            memory: Some(64 << 20),
            memory_reservation: Some(32 << 20),
            swap: Swap::Total(96 << 20),
            cpu: Some(CpuQuota { quota: Some(150_000), period: 100_000 }),
            cpu_shares: Some(1024),
            cpus: Some("0-1".to_owned()),
            memory_nodes: Some("0".to_owned()),
            pids: Pids::Limit(7),
            io_weight: Some(500),
            throttles: vec![Throttle { kind: ThrottleKind::WriteBytes, major: 8, minor: 0, rate: 4096 }],
        };
        let expected = [
            "memory.limit_in_bytes 67108864",
            "memory.soft_limit_in_bytes 33554432",
            "memory.memsw.limit_in_bytes 100663296",
            "cpu.cfs_period_us 100000",
            "cpu.cfs_quota_us 150000",
            "cpu.shares 1024",
            "cpuset.cpus 0-1",
            "cpuset.mems 0",
            "pids.max 7",
            "blkio.bfq.weight|blkio.weight 500",
            "blkio.throttle.write_bps_device 8:0 4096",
        ];
        assert_eq!(written(&limits, Version::V1), expected);
        let expected = [
            "memory.max 67108864",
            "memory.low 33554432",
            "memory.swap.max 33554432",
            "cpu.max 150000 100000",
            "cpu.weight 39",
            "cpuset.cpus 0-1",
            "cpuset.mems 0",
            "pids.max 7",
            "io.bfq.weight|io.weight 4950",
            "io.max 8:0 wbps=4096",
        ];
        assert_eq!(written(&limits, Version::V2), expected);
        let needed: Vec<_> = limits.controllers().into_iter().map(|(name, _)| name).collect();
        assert_eq!(needed, ["memory", "cpu", "cpuset", "pids", "io"]);
    }

    #[test]
    fn nothing_asked_for_needs_no_controller_and_limits_processes() {
        assert_eq!(Limits::default().controllers(), []);
        assert_eq!(written(&Limits::default(), Version::V1), ["pids.max 2048"]);
        let unlimited = Limits { pids: Pids::Unlimited, ..Limits::default() };
        assert_eq!(written(&unlimited, Version::V2), [""; 0]);
    }

    #[test]
    fn swap_is_as_large_as_memory_unless_said() {
        let limits = Limits { memory: Some(10 << 20), pids: Pids::Unlimited, ..Limits::default() };
        let expected = ["memory.limit_in_bytes 10485760", "memory.memsw.limit_in_bytes 20971520"];
        assert_eq!(written(&limits, Version::V1), expected);
        let unlimited = Limits { swap: Swap::Unlimited, ..limits.clone() };
        assert_eq!(written(&unlimited, Version::V2), ["memory.max 10485760"]);
        let none = Limits { swap: Swap::Total(10 << 20), ..limits };
        assert_eq!(written(&none, Version::V2), ["memory.max 10485760", "memory.swap.max 0"]);
    }

    #[test]
    fn shares_and_weights_become_those_of_version_2() {
        for (shares, weight) in [(2, 1), (1024, 39), (262_144, 10_000)] {
            assert_eq!(cpu_weight(shares), weight);
        }
        for (weight, other) in [(10, 1), (500, 4950), (1000, 10_000)] {
            assert_eq!(io_weight(weight), other);
        }
    }
}
