//! The limits of `hostconfig.json`, in Docker's fields and units.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use crate::error::{Attempt, ErrorKind, Fault, Result};
use crate::runtime::limits::{CpuQuota, Limits, Pids, Swap, Throttle, ThrottleKind};
use crate::spec::byte_size::ByteSize;

/// Docker's number for "no limit"; 0 and absent mean "not said".
pub(crate) const UNLIMITED: i64 = -1;

/// Least limit of memory, in bytes, as in Docker: a shell does not start with less.
const LEAST_MEMORY: i64 = 6 << 20;
/// Least CPU time, in billionths of a CPU: 0.01, as in Docker.
const LEAST_CPUS: i64 = 10_000_000;
/// What the kernel takes as a period, in microseconds.
const PERIODS: std::ops::RangeInclusive<i64> = 1_000..=1_000_000;
/// The period where none is said, in microseconds: the kernel's default.
const PERIOD: u64 = 100_000;
/// Least quota, in microseconds.
const LEAST_QUOTA: i64 = 1_000;
/// What the kernel takes as shares.
const SHARES: std::ops::RangeInclusive<i64> = 2..=262_144;
/// What Docker takes as a weight of block devices.
const WEIGHTS: std::ops::RangeInclusive<u16> = 10..=1_000;

/// Limits, as Docker writes them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Resources {
    /// In bytes.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) memory: i64,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) memory_reservation: i64,
    /// Memory and swap together.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) memory_swap: i64,
    /// In billionths of a CPU.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) nano_cpus: i64,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) cpu_shares: i64,
    /// In microseconds.
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) cpu_period: i64,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) cpu_quota: i64,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) cpuset_cpus: String,
    #[serde(deserialize_with = "null_is_default")]
    pub(crate) cpuset_mems: String,
    pub(crate) pids_limit: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) blkio_weight: Option<u16>,
    pub(crate) blkio_device_read_bps: Option<Vec<DeviceRate>>,
    pub(crate) blkio_device_write_bps: Option<Vec<DeviceRate>>,
    #[serde(rename = "BlkioDeviceReadIOps")]
    pub(crate) blkio_device_read_iops: Option<Vec<DeviceRate>>,
    #[serde(rename = "BlkioDeviceWriteIOps")]
    pub(crate) blkio_device_write_iops: Option<Vec<DeviceRate>>,
}

/// How much a second of one block device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DeviceRate {
    pub(crate) path: String,
    pub(crate) rate: i64,
}

impl DeviceRate {
    pub(crate) fn add(rates: &mut Option<Vec<Self>>, device: &Path, rate: i64) {
        rates.get_or_insert_default().push(Self { path: device.to_string_lossy().into_owned(), rate });
    }
}

#[derive(Debug, thiserror::Error)]
enum ResourceFault {
    #[error("limit memory to {0}: the least is {least}", least = ByteSize::bytes(LEAST_MEMORY as u64))]
    Memory(ByteSize),
    #[error("reserve {reservation} of memory: that is more than the limit of {limit}")]
    Reservation { reservation: ByteSize, limit: ByteSize },
    #[error("limit memory and swap to {0}: that needs a limit of memory")]
    SwapAlone(ByteSize),
    #[error("limit memory and swap together to {swap}: that is less than the limit of memory, {memory}")]
    Swap { swap: ByteSize, memory: ByteSize },
    #[error("limit CPU time: the least is 0.01 CPUs")]
    Cpus,
    #[error("limit CPU time: a number of CPUs says it all, so there can be no quota and no period beside it")]
    CpusAndQuota,
    #[error("limit CPU time: a period has 1 ms to 1 s, not {0} µs")]
    Period(i64),
    #[error("limit CPU time: a quota has at least 1 ms, not {0} µs")]
    Quota(i64),
    #[error("share CPU time: shares go from 2 to 262144, not {0}")]
    Shares(i64),
    #[error("choose {what} {text:?}: they read like 0-2,4")]
    Set { what: &'static str, text: String },
    #[error("limit processes: the least is 1")]
    Pids,
    #[error("share block devices: a weight goes from 10 to 1000, not {0}")]
    Weight(u16),
    #[error("limit the use of {0:?}: the rate is not above 0")]
    Rate(String),
    #[error("limit the use of {0:?}: it is no block device")]
    NoBlockDevice(String),
    #[error("{0}")]
    Mistake(String),
}

impl Fault for ResourceFault {
    fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidArgument
    }

    fn hint(&self) -> Option<String> {
        Some(
            match self {
                Self::SwapAlone(_) | Self::Swap { .. } => {
                    "it counts memory and swap together: equal to the limit of memory, there is no swap"
                }
                _ => return None,
            }
            .to_owned(),
        )
    }
}

/// A size as it is recorded. More than fits is as good as no limit, and the kernel says the same.
pub(crate) fn bytes(size: ByteSize) -> i64 {
    i64::try_from(size.as_u64()).unwrap_or(i64::MAX)
}

/// A number of CPUs as it is recorded: what is no number or negative becomes a value that is refused.
pub(crate) fn nano_cpus(cpus: f64) -> i64 {
    if cpus > 0.0 { ((cpus * 1e9).round() as i64).max(1) } else { -1 }
}

/// A time as it is recorded: nothing would read as "not set".
pub(crate) fn microseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX).max(1)
}

impl Resources {
    /// Reports the first mistake.
    pub(crate) fn check(&self, mistake: Option<&str>) -> Result<()> {
        if let Some(mistake) = mistake {
            return Err(ResourceFault::Mistake(mistake.to_owned()).into());
        }
        self.fault().map_or(Ok(()), |fault| Err(fault.into()))
    }

    fn fault(&self) -> Option<ResourceFault> {
        let size = |bytes: i64| ByteSize::bytes(u64::try_from(bytes).unwrap_or(0));
        let (memory, swap) = (self.memory, self.memory_swap);
        if memory != 0 && memory < LEAST_MEMORY {
            return Some(ResourceFault::Memory(size(memory)));
        }
        if memory != 0 && self.memory_reservation > memory {
            return Some(ResourceFault::Reservation {
                reservation: size(self.memory_reservation),
                limit: size(memory),
            });
        }
        if swap > 0 && memory == 0 {
            return Some(ResourceFault::SwapAlone(size(swap)));
        }
        if swap > 0 && swap < memory {
            return Some(ResourceFault::Swap { swap: size(swap), memory: size(memory) });
        }
        if self.nano_cpus != 0 && self.nano_cpus < LEAST_CPUS {
            return Some(ResourceFault::Cpus);
        }
        if self.nano_cpus != 0 && (self.cpu_quota != 0 || self.cpu_period != 0) {
            return Some(ResourceFault::CpusAndQuota);
        }
        if self.cpu_period != 0 && !PERIODS.contains(&self.cpu_period) {
            return Some(ResourceFault::Period(self.cpu_period));
        }
        if self.cpu_quota > 0 && self.cpu_quota < LEAST_QUOTA {
            return Some(ResourceFault::Quota(self.cpu_quota));
        }
        if self.cpu_shares != 0 && !SHARES.contains(&self.cpu_shares) {
            return Some(ResourceFault::Shares(self.cpu_shares));
        }
        for (what, text) in [("CPUs", &self.cpuset_cpus), ("memory nodes", &self.cpuset_mems)] {
            if !text.is_empty() && !is_set(text) {
                return Some(ResourceFault::Set { what, text: text.clone() });
            }
        }
        if self.pids_limit.is_some_and(|limit| limit == 0 || limit < UNLIMITED) {
            return Some(ResourceFault::Pids);
        }
        if let Some(weight) = self.blkio_weight.filter(|weight| *weight != 0 && !WEIGHTS.contains(weight)) {
            return Some(ResourceFault::Weight(weight));
        }
        self.rates().find(|rate| rate.rate <= 0).map(|rate| ResourceFault::Rate(rate.path.clone()))
    }

    fn rates(&self) -> impl Iterator<Item = &DeviceRate> {
        let lists = [
            &self.blkio_device_read_bps,
            &self.blkio_device_write_bps,
            &self.blkio_device_read_iops,
            &self.blkio_device_write_iops,
        ];
        lists.into_iter().flatten().flatten()
    }
}

impl Resources {
    /// The same as the runtime takes them. Devices are looked up now.
    pub(crate) fn limits(&self) -> Result<Limits> {
        let size = |bytes: i64| u64::try_from(bytes).ok().filter(|bytes| *bytes > 0);
        let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let cpu = match (self.nano_cpus, self.cpu_quota, self.cpu_period) {
            (0, 0, 0) => None,
            // In a period of 100 ms a billionth of a CPU is a tenth of a nanosecond.
            (nanos @ 1.., ..) => Some(CpuQuota { quota: size((nanos / 10_000).max(LEAST_QUOTA)), period: PERIOD }),
            (_, quota, period) => Some(CpuQuota { quota: size(quota), period: size(period).unwrap_or(PERIOD) }),
        };
        let mut throttles = Vec::new();
        for (kind, rates) in [
            (ThrottleKind::ReadBytes, &self.blkio_device_read_bps),
            (ThrottleKind::WriteBytes, &self.blkio_device_write_bps),
            (ThrottleKind::Reads, &self.blkio_device_read_iops),
            (ThrottleKind::Writes, &self.blkio_device_write_iops),
        ] {
            for DeviceRate { path, rate } in rates.iter().flatten() {
                let attempt = || format!("limit the use of {path:?}");
                let found = std::fs::metadata(path).attempt(attempt)?;
                if !found.file_type().is_block_device() {
                    return Err(ResourceFault::NoBlockDevice(path.clone()).into());
                }
                let (major, minor) = (rustix::fs::major(found.rdev()), rustix::fs::minor(found.rdev()));
                throttles.push(Throttle { kind, major, minor, rate: size(*rate).unwrap_or(1) });
            }
        }
        Ok(Limits {
            memory: size(self.memory),
            memory_reservation: size(self.memory_reservation),
            swap: match self.memory_swap {
                UNLIMITED => Swap::Unlimited,
                total => size(total).map_or(Swap::AsMemory, Swap::Total),
            },
            cpu,
            cpu_shares: size(self.cpu_shares),
            cpus: text(&self.cpuset_cpus),
            memory_nodes: text(&self.cpuset_mems),
            pids: match self.pids_limit {
                // Docker's 0 is its default, which is no limit.
                Some(limit) => size(limit).map_or(Pids::Unlimited, Pids::Limit),
                None => Pids::Default,
            },
            io_weight: self.blkio_weight.filter(|weight| *weight > 0),
            throttles,
        })
    }
}

/// Whether a text lists numbers and ranges of them.
fn is_set(text: &str) -> bool {
    text.split(',').all(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        matches!((first.parse::<u16>(), last.parse::<u16>()), (Ok(first), Ok(last)) if first <= last)
    })
}

fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn mistakes_are_named() {
        let some = Resources::default;
        for (resources, message) in [
            (Resources { memory: 1 << 20, ..some() }, "limit memory to 1MiB: the least is 6MiB"),
            (
                Resources { memory: 8 << 20, memory_reservation: 9 << 20, ..some() },
                "reserve 9MiB of memory: that is more than the limit of 8MiB",
            ),
            (
                Resources { memory: 8 << 20, memory_swap: 7 << 20, ..some() },
                "limit memory and swap together to 7MiB: that is less than the limit of memory, 8MiB",
            ),
            (
                Resources { memory_swap: 7 << 20, ..some() },
                "limit memory and swap to 7MiB: that needs a limit of memory",
            ),
            (Resources { nano_cpus: -1, ..some() }, "limit CPU time: the least is 0.01 CPUs"),
            (
                Resources { nano_cpus: 1_000_000_000, cpu_quota: 5_000, ..some() },
                "limit CPU time: a number of CPUs says it all, so there can be no quota and no period beside it",
            ),
            (Resources { cpu_period: 10, ..some() }, "limit CPU time: a period has 1 ms to 1 s, not 10 µs"),
            (Resources { cpu_shares: 1, ..some() }, "share CPU time: shares go from 2 to 262144, not 1"),
            (Resources { cpuset_cpus: "2-1".into(), ..some() }, "choose CPUs \"2-1\": they read like 0-2,4"),
            (Resources { pids_limit: Some(0), ..some() }, "limit processes: the least is 1"),
            (
                Resources { blkio_weight: Some(5), ..some() },
                "share block devices: a weight goes from 10 to 1000, not 5",
            ),
        ] {
            let error = resources.check(None).unwrap_err();
            assert_eq!((error.to_string().as_str(), error.kind()), (message, ErrorKind::InvalidArgument));
        }
        let fine = Resources { memory: 6 << 20, memory_swap: UNLIMITED, cpuset_cpus: "0-2,4".into(), ..some() };
        fine.check(None).unwrap();
        assert_eq!(fine.check(Some("invalid size")).unwrap_err().to_string(), "invalid size");
    }

    #[test]
    fn cpus_become_a_quota() {
        let cpus = |nano_cpus| Resources { nano_cpus, ..Resources::default() }.limits().unwrap().cpu;
        assert_eq!(cpus(0), None);
        assert_eq!(cpus(1_500_000_000), Some(CpuQuota { quota: Some(150_000), period: 100_000 }));
        assert_eq!(cpus(10_000_000), Some(CpuQuota { quota: Some(1_000), period: 100_000 }));
        let period = Resources { cpu_period: 50_000, cpu_quota: 20_000, ..Resources::default() };
        assert_eq!(period.limits().unwrap().cpu, Some(CpuQuota { quota: Some(20_000), period: 50_000 }));
    }

    #[test]
    fn only_block_devices_are_throttled() {
        let mut resources = Resources::default();
        DeviceRate::add(&mut resources.blkio_device_read_bps, Path::new("/dev/null"), 5);
        let error = resources.limits().unwrap_err();
        assert_eq!(error.to_string(), "limit the use of \"/dev/null\": it is no block device");
    }
}
