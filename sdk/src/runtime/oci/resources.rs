//! `linux.resources` of a configuration: limits, rules for devices, and files of cgroups by name.

use std::path::{Path, PathBuf};

use super::config::{DeviceRule, Resources};
use super::fault::Fault;
use super::process::bad;
use crate::error::{Error, ErrorKind, Result};
use crate::runtime::cgroup;
use crate::runtime::limits::{CpuQuota, Limits, Pids, Swap, Throttle, ThrottleKind};
use crate::sys::cgroup::device::{ANY_ACCESS, DeviceKind, MAKE, READ, Rule, WRITE};
use crate::sys::cgroup::{self as kernel, Group, Kind, Made, Refused, Version};

/// What a container asks of its cgroup.
#[derive(Debug)]
pub(super) struct Wanted {
    limits: Limits,
    /// No rule without.
    devices: Option<Vec<Rule>>,
    /// Files of version 2 and their values.
    unified: Vec<(String, String)>,
    /// Further files: controller, file of version 1, file of version 2, value.
    further: Vec<Further>,
}

/// A file that the limits of this room do not know.
#[derive(Debug)]
struct Further {
    property: &'static str,
    controller: &'static str,
    v1: &'static str,
    v2: Option<&'static str>,
    value: String,
}

/// CPU time in each period if nothing is said, in microseconds: the kernel's.
const PERIOD: u64 = 100_000;

impl Wanted {
    /// Reads what is asked for.
    ///
    /// # Errors
    /// If something is malformed, or if plywood does not have it.
    pub(super) fn new(resources: &Resources) -> Result<Self> {
        let unsupported = |what: &str| Error::from(Fault::Unsupported { what: format!("linux.resources.{what}") });
        for (is_asked, what) in [
            (!resources.hugepage_limits.is_empty(), "hugepageLimits"),
            (resources.network.as_ref().is_some_and(|it| !is_empty(it)), "network"),
            (!resources.rdma.is_empty(), "rdma"),
            (!resources.block_io.weight_device.is_empty(), "blockIO.weightDevice"),
            (resources.block_io.leaf_weight.is_some_and(|weight| weight != 0), "blockIO.leafWeight"),
            (resources.memory.kernel_tcp.is_some_and(|limit| limit > 0), "memory.kernelTCP"),
        ] {
            if is_asked {
                return Err(unsupported(what));
            }
        }
        // memory.kernel and useHierarchy are to be ignored by the specification; every hierarchy is one.
        let _ = (resources.memory.kernel, resources.memory.use_hierarchy, resources.memory.check_before_update);
        let unified = resources.unified.iter().map(|(file, value)| (file.clone(), value.clone())).collect();
        let devices = devices(&resources.devices)?;
        Ok(Self { limits: limits(resources)?, devices, unified, further: further(resources) })
    }

    /// Makes the group, with all limits but those of memory.
    pub(super) fn create(&self, path: &Path) -> Result<Made> {
        let needed = self.limits.controllers();
        let mut controllers: Vec<&'static str> = needed.iter().map(|(controller, _)| *controller).collect();
        controllers.extend(self.further.iter().map(|it| it.controller));
        let kind = kernel::kind().map_err(|error| Error::os("look for cgroups", error))?;
        let made = Group::create_at(path, &controllers).map_err(|refused| explain(refused, kind, path))?;
        match self.apply(&made.group) {
            Ok(()) => Ok(made),
            Err(error) => {
                kernel::remove_directories(&made.directories);
                Err(error)
            }
        }
    }

    fn apply(&self, group: &Group) -> Result<()> {
        cgroup::apply(group, &self.limits, |setting| setting.controller != "memory")?;
        for it in &self.further {
            let attempt = format!("set linux.resources.{} to {}", it.property, it.value);
            let unsupported = |why: String| Error::new(ErrorKind::Unsupported, format!("{attempt}: {why}"));
            let home = group.home(it.controller);
            let (version, home) =
                home.ok_or_else(|| unsupported(format!("its cgroup has no {} controller", it.controller)))?;
            let file = if version == Version::V1 { Some(it.v1) } else { it.v2 };
            let file = file.ok_or_else(|| unsupported("cgroups of version 2 do not have it".to_owned()))?;
            write(&home.join(file), &it.value, &attempt)?;
        }
        for (file, value) in &self.unified {
            let attempt = format!("set linux.resources.unified of {file:?} to {value:?}");
            if file.contains('/') {
                return Err(bad("linux.resources.unified", file, "it is the name of a file").into());
            }
            let home = group.directories().last().filter(|_| group.has_unified());
            let Some(home) = home else {
                return Err(Error::new(ErrorKind::Unsupported, format!("{attempt}: there is no cgroup of version 2")));
            };
            write(&home.join(file), value, &attempt)?;
        }
        // Whether nodes may be made is up to the capability; using them is another matter.
        let node = |kind| Rule { kind, major: None, minor: None, access: MAKE };
        let nodes = [DeviceKind::Character, DeviceKind::Block].map(node);
        match &self.devices {
            None => Ok(()),
            Some(rules) => match group.allow_devices(&[&cgroup::default_devices()[..], &nodes].concat(), rules) {
                Ok(true) => Ok(()),
                Ok(false) => Err(Error::new(
                    ErrorKind::Unsupported,
                    "restrict the devices of the container: this kernel keeps no rules for them (BPF)",
                )),
                Err(refused) => Err(cgroup::explain(refused, Kind::None, |_| "restrict devices".to_owned())),
            },
        }
    }

    /// Limits memory: once the container's first process is a program of its own.
    pub(super) fn limit_memory(&self, group: &Group) -> Result<()> {
        cgroup::limit_memory(group, &self.limits)
    }
}

/// Whether there is nothing in a JSON value.
fn is_empty(value: &serde_json::Value) -> bool {
    value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty)
}

fn explain(refused: Refused, kind: Kind, path: &Path) -> Error {
    match refused {
        Refused::Os { path, error } if error.kind() == std::io::ErrorKind::ResourceBusy => {
            Error::new(ErrorKind::InUse, "create the cgroup of the container: it holds processes already")
                .with_path(path)
                .with_hint("choose another linux.cgroupsPath")
        }
        refused => cgroup::explain(refused, kind, |_| format!("create the cgroup {}", path.display())),
    }
}

fn write(path: &Path, value: &str, attempt: &str) -> Result<()> {
    kernel::write(path, value).map_err(|error| Error::os(attempt, error).with_path(path))
}

/// `linux.cgroupsPath`, below each hierarchy; without one, by the container's ID.
pub(super) fn path(cgroups_path: &str, id: &str, systemd: bool) -> Result<PathBuf> {
    if systemd {
        return Err(Error::from(Fault::Unsupported {
            what: "cgroups that systemd makes (--systemd-cgroup)".to_owned(),
        })
        .with_hint("choose the cgroup manager \"cgroupfs\""));
    }
    if cgroups_path.is_empty() {
        return Ok(Path::new("/plywood-oci").join(id));
    }
    if Path::new(cgroups_path).components().any(|part| part == std::path::Component::ParentDir) {
        return Err(bad("linux.cgroupsPath", cgroups_path, "it must not lead upwards").into());
    }
    Ok(Path::new("/").join(cgroups_path))
}

/// A number that is a limit; others stand for none.
fn limit(number: Option<i64>) -> Option<u64> {
    number.and_then(|number| u64::try_from(number).ok()).filter(|number| *number > 0)
}

fn limits(resources: &Resources) -> Result<Limits> {
    let (memory, cpu, block) = (&resources.memory, &resources.cpu, &resources.block_io);
    let swap = match (limit(memory.limit), memory.swap) {
        (Some(_), Some(-1)) => Swap::Unlimited,
        (Some(all), Some(swap)) if swap > 0 && (swap as u64) < all => {
            return Err(bad("linux.resources.memory.swap", swap, "it is memory and swap together").into());
        }
        (Some(_), Some(swap)) if swap > 0 => Swap::Total(swap as u64),
        // Nothing said is nothing set.
        _ => Swap::Unlimited,
    };
    let throttles = [
        (ThrottleKind::ReadBytes, &block.throttle_read_bps_device),
        (ThrottleKind::WriteBytes, &block.throttle_write_bps_device),
        (ThrottleKind::Reads, &block.throttle_read_iops_device),
        (ThrottleKind::Writes, &block.throttle_write_iops_device),
    ];
    let throttles = throttles.into_iter().flat_map(|(kind, devices)| {
        devices.iter().map(move |it| Throttle { kind, major: it.major, minor: it.minor, rate: it.rate })
    });
    let quota = limit(cpu.quota);
    let cpu_quota = match (quota, cpu.period.filter(|period| *period > 0)) {
        (None, None) => None,
        (quota, period) => Some(CpuQuota { quota, period: period.unwrap_or(PERIOD) }),
    };
    Ok(Limits {
        memory: limit(memory.limit),
        memory_reservation: limit(memory.reservation),
        swap,
        cpu: cpu_quota,
        cpu_shares: cpu.shares.filter(|shares| *shares > 0),
        cpus: Some(cpu.cpus.clone()).filter(|cpus| !cpus.is_empty()),
        memory_nodes: Some(cpu.mems.clone()).filter(|nodes| !nodes.is_empty()),
        pids: match resources.pids.as_ref().and_then(|pids| limit(pids.limit)) {
            Some(limit) => Pids::Limit(limit),
            None => Pids::Unlimited,
        },
        io_weight: block.weight.filter(|weight| *weight > 0),
        throttles: throttles.collect(),
    })
}

fn further(resources: &Resources) -> Vec<Further> {
    let (memory, cpu) = (&resources.memory, &resources.cpu);
    let entries = [
        ("cpu.burst", "cpu", "cpu.cfs_burst_us", Some("cpu.max.burst"), cpu.burst.map(|it| it.to_string())),
        ("cpu.idle", "cpu", "cpu.idle", Some("cpu.idle"), cpu.idle.map(|it| it.to_string())),
        // The period first: the kernel takes no runtime that is longer.
        ("cpu.realtimePeriod", "cpu", "cpu.rt_period_us", None, cpu.realtime_period.map(|it| it.to_string())),
        ("cpu.realtimeRuntime", "cpu", "cpu.rt_runtime_us", None, cpu.realtime_runtime.map(|it| it.to_string())),
        ("memory.swappiness", "memory", "memory.swappiness", None, memory.swappiness.map(|it| it.to_string())),
        (
            "memory.disableOOMKiller",
            "memory",
            "memory.oom_control",
            None,
            memory.disable_oom_killer.filter(|disabled| *disabled).map(|_| "1".to_owned()),
        ),
    ];
    let entry = |(property, controller, v1, v2, value): (_, _, _, _, Option<String>)| {
        value.map(|value| Further { property, controller, v1, v2, value })
    };
    // A zero is what a caller writes that means nothing by it.
    entries.into_iter().filter_map(entry).filter(|it| it.value != "0" || it.property == "memory.swappiness").collect()
}

/// The rules in the end: what is allowed besides the devices that every container has. `None` if everything is.
fn devices(rules: &[DeviceRule]) -> Result<Option<Vec<Rule>>> {
    let mut allowed: Option<Vec<Rule>> = None;
    for rule in rules {
        let access = access(&rule.access)?;
        let kinds: &[DeviceKind] = match rule.kind.as_str() {
            "" | "a" => &[DeviceKind::Block, DeviceKind::Character],
            "b" => &[DeviceKind::Block],
            "c" | "u" => &[DeviceKind::Character],
            other => return Err(bad("linux.resources.devices.type", other, "it is a, b or c").into()),
        };
        let number = |number: Option<i64>| match number {
            None | Some(-1) => Ok(None),
            Some(number) => match u32::try_from(number) {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(bad("linux.resources.devices", number, "it is no number of a device")),
            },
        };
        let (major, minor) = (number(rule.major)?, number(rule.minor)?);
        let is_all = kinds.len() == 2 && major.is_none() && minor.is_none() && access == ANY_ACCESS;
        match (rule.allow, is_all, &mut allowed) {
            (true, true, _) => allowed = None,
            (false, true, _) => allowed = Some(Vec::new()),
            (true, false, Some(allowed)) => {
                allowed.extend(kinds.iter().map(|kind| Rule { kind: *kind, major, minor, access }));
            }
            // Allowed already.
            (true, false, None) => {}
            (false, false, Some(rules)) => {
                for rule in rules.iter_mut().filter(|it| {
                    kinds.contains(&it.kind)
                        && (major.is_none() || it.major == major)
                        && (minor.is_none() || it.minor == minor)
                }) {
                    rule.access &= !access;
                }
                rules.retain(|rule| rule.access != 0);
            }
            (false, false, None) => {
                let what = "linux.resources.devices that deny some and allow all others".to_owned();
                return Err(Fault::Unsupported { what }.into());
            }
        }
    }
    Ok(allowed)
}

fn access(text: &str) -> Result<u8, Fault> {
    text.chars()
        .try_fold(0, |access, letter| match letter {
            'r' => Ok(access | READ),
            'w' => Ok(access | WRITE),
            'm' => Ok(access | MAKE),
            _ => Err(bad("linux.resources.devices.access", text, "it is made of r, w and m")),
        })
        .map(|access| if access == 0 { ANY_ACCESS } else { access })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn wanted(json: &str) -> Result<Wanted> {
        Wanted::new(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn what_is_denied_first_and_allowed_then_is_allowed() {
        let wanted = wanted(
            r#"{"devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":1,"minor":3,"access":"rwm"},
            {"allow":true,"type":"b","access":"m"},{"allow":false,"type":"c","major":1,"minor":3,"access":"w"}]}"#,
        );
        let null = Rule { kind: DeviceKind::Character, major: Some(1), minor: Some(3), access: READ | MAKE };
        let nodes = Rule { kind: DeviceKind::Block, major: None, minor: None, access: MAKE };
        assert_eq!(wanted.unwrap().devices.unwrap(), [null, nodes]);
    }

    #[test]
    fn everything_is_allowed_unless_something_is_denied() {
        for json in [r#"{}"#, r#"{"devices":[{"allow":false,"access":"rwm"},{"allow":true,"access":"rwm"}]}"#] {
            assert!(wanted(json).unwrap().devices.is_none());
        }
        assert!(wanted(r#"{"devices":[{"allow":false,"type":"c","major":1,"access":"r"}]}"#).is_err());
    }

    #[test]
    fn numbers_that_limit_nothing_are_none() {
        let limits =
            wanted(r#"{"memory":{"limit":-1,"swap":0},"cpu":{"shares":0,"quota":-1,"idle":0},"pids":{"limit":-1}}"#);
        let limits = limits.unwrap();
        assert_eq!(limits.limits, Limits { swap: Swap::Unlimited, pids: Pids::Unlimited, ..Limits::default() });
        assert!(limits.further.is_empty());
    }

    #[test]
    fn limits_are_taken_over() {
        let json = r#"{"memory":{"limit":8388608,"swap":16777216},"cpu":{"quota":5000,"burst":7,"cpus":"0"},"pids":{"limit":9}}"#;
        let wanted = wanted(json).unwrap();
        assert_eq!((wanted.limits.memory, wanted.limits.swap), (Some(8 << 20), Swap::Total(16 << 20)));
        assert_eq!(wanted.limits.cpu, Some(CpuQuota { quota: Some(5000), period: PERIOD }));
        assert_eq!(wanted.limits.pids, Pids::Limit(9));
        assert_eq!(wanted.further[0].property, "cpu.burst");
    }

    #[test]
    fn what_plywood_does_not_have_is_refused() {
        for json in [r#"{"rdma":{"x":{}}}"#, r#"{"hugepageLimits":[{"pageSize":"2MB","limit":1}]}"#] {
            assert_eq!(wanted(json).unwrap_err().kind(), ErrorKind::Unsupported);
        }
        assert!(path("a/../../b", "x", false).is_err());
        assert!(path("system.slice:x:y", "x", true).unwrap_err().to_string().contains("systemd"));
        assert_eq!(path("a/b", "x", false).unwrap(), Path::new("/a/b"));
    }
}
