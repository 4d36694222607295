//! What a container uses: read from its cgroup, and from `/proc` what that knows too.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use super::cgroup::number;
use crate::error::{Attempt, Result};
use crate::spec::byte_size::ByteSize;
use crate::spec::time::Timestamp;
use crate::sys::cgroup::{Group, Usage, Version, usage};

/// What a container has used up to one moment, and what it may use.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// When it was read.
    pub read_at: Timestamp,
    /// Time on the CPUs. Without a cgroup of its own, that of the processes it has now and of their children.
    pub cpu: Cpu,
    /// Memory; `None` without a cgroup of its own that counts it.
    pub memory: Option<Memory>,
    /// Processes and threads; without a cgroup of its own, processes.
    pub pids: Pids,
    /// Block devices; `None` without a cgroup of its own that counts it.
    pub io: Option<Io>,
    /// Its network interfaces without loopback, by name; none with the network of the host.
    pub network: BTreeMap<String, Network>,
}

/// Time on the CPUs since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cpu {
    /// All of it.
    pub total: Duration,
    /// In programs.
    pub user: Duration,
    /// In the kernel, on their behalf.
    pub system: Duration,
    /// How many periods of a limit have passed in which it wanted to run.
    pub periods: u64,
    /// In how many of them it had to wait for the next.
    pub throttled_periods: u64,
    /// How long it waited.
    pub throttled: Duration,
}

/// Memory, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Memory {
    /// In use now, with the cache of files.
    pub current: ByteSize,
    /// The part of it that the kernel takes back when memory runs short: the cache of files that nobody looks at.
    pub cache: ByteSize,
    /// The most that was in use at a time; `None` before Linux 5.19 with version 2.
    pub peak: Option<ByteSize>,
    /// How much it may use; `None` is as much as there is.
    pub limit: Option<ByteSize>,
}

/// Processes and threads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pids {
    /// How many there are.
    pub current: u64,
    /// How many there may be; `None` is as many as the host has.
    pub limit: Option<u64>,
}

/// Block devices since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Io {
    /// Bytes read.
    pub read: ByteSize,
    /// Bytes written.
    pub written: ByteSize,
    /// Operations that read.
    pub reads: u64,
    /// Operations that wrote.
    pub writes: u64,
}

/// One network interface since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Network {
    /// Bytes received.
    pub received: ByteSize,
    /// Bytes sent.
    pub sent: ByteSize,
    /// Packets received.
    pub packets_received: u64,
    /// Packets sent.
    pub packets_sent: u64,
    /// Packets that were faulty or dropped, in both directions.
    pub failed: u64,
}

impl Memory {
    /// In use without the cache that the kernel takes back: what `docker stats` shows.
    pub fn used(&self) -> ByteSize {
        ByteSize::bytes(self.current.as_u64().saturating_sub(self.cache.as_u64()))
    }
}

/// Clock ticks a second in what `/proc` shows: `USER_HZ`, on all machines we run on.
const TICKS: u64 = 100;

/// Reads what there is; `init` is the container's first process.
pub(crate) fn read(group: Option<&Group>, init: u32, own_network: bool) -> Result<Stats> {
    let network = match own_network {
        true => {
            let path = format!("/proc/{init}/net/dev");
            interfaces(&fs::read_to_string(&path).attempt(|| format!("read {path:?}"))?)
        }
        false => BTreeMap::new(),
    };
    // A file that is not there has counted nothing.
    let text = |controller: &str, v1: &str, v2: &str| -> Option<(Version, String)> {
        let (version, home) = group?.home(controller)?;
        let file = if version == Version::V1 { v1 } else { v2 };
        Some((version, fs::read_to_string(home.join(file)).unwrap_or_default()))
    };
    let in_proc = || usage(init, group).attempt(|| format!("look at the processes of process {init}"));
    let pids = match text("pids", "pids.current", "pids.current") {
        Some((_, current)) => {
            let (_, limit) = text("pids", "pids.max", "pids.max").unwrap_or((Version::V2, String::new()));
            Pids { current: plain(&current).unwrap_or(0), limit: plain(&limit) }
        }
        None => Pids { current: in_proc()?.processes, limit: None },
    };
    Ok(Stats {
        read_at: Timestamp::now(),
        cpu: match cpu(group) {
            Some(cpu) => cpu,
            None => of_usage(in_proc()?),
        },
        memory: memory(&text),
        pids,
        io: io(&text),
        network,
    })
}

fn plain(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

fn of_usage(usage: Usage) -> Cpu {
    let time = |ticks: u64| Duration::from_millis(ticks.saturating_mul(1000 / TICKS));
    let (user, system) = (time(usage.user), time(usage.system));
    Cpu { total: user + system, user, system, ..Cpu::default() }
}

fn cpu(group: Option<&Group>) -> Option<Cpu> {
    let group = group?;
    // With version 1 another controller counts than the one that limits.
    if let Some((Version::V1, home)) = group.home("cpuacct") {
        let file = |name: &str| fs::read_to_string(home.join(name)).unwrap_or_default();
        let nanos = |name: &str| Duration::from_nanos(plain(&file(name)).unwrap_or(0));
        let throttling =
            group.home("cpu").map(|(_, home)| fs::read_to_string(home.join("cpu.stat")).unwrap_or_default());
        let throttling = throttling.unwrap_or_default();
        return Some(Cpu {
            total: nanos("cpuacct.usage"),
            user: nanos("cpuacct.usage_user"),
            system: nanos("cpuacct.usage_sys"),
            periods: number(&throttling, "nr_periods").unwrap_or(0),
            throttled_periods: number(&throttling, "nr_throttled").unwrap_or(0),
            throttled: Duration::from_nanos(number(&throttling, "throttled_time").unwrap_or(0)),
        });
    }
    // The file is there without the controller; in a hybrid host nobody joins the group for its sake.
    let text = group.unified_file("cpu.stat").filter(|_| !group.has_legacy())?;
    let micros = |word| Duration::from_micros(number(&text, word).unwrap_or(0));
    Some(Cpu {
        total: micros("usage_usec"),
        user: micros("user_usec"),
        system: micros("system_usec"),
        periods: number(&text, "nr_periods").unwrap_or(0),
        throttled_periods: number(&text, "nr_throttled").unwrap_or(0),
        throttled: micros("throttled_usec"),
    })
}

type Read<'a> = dyn Fn(&str, &str, &str) -> Option<(Version, String)> + 'a;

fn memory(text: &Read<'_>) -> Option<Memory> {
    let size = |v1, v2| plain(&text("memory", v1, v2)?.1);
    let (version, stat) = text("memory", "memory.stat", "memory.stat")?;
    let cache = number(&stat, if version == Version::V1 { "total_inactive_file" } else { "inactive_file" });
    // Unlimited is "max", or the largest number of pages.
    let limit = size("memory.limit_in_bytes", "memory.max").filter(|limit| *limit < 1 << 60);
    Some(Memory {
        current: ByteSize::bytes(size("memory.usage_in_bytes", "memory.current").unwrap_or(0)),
        cache: ByteSize::bytes(cache.unwrap_or(0)),
        peak: size("memory.max_usage_in_bytes", "memory.peak").map(ByteSize::bytes),
        limit: limit.map(ByteSize::bytes),
    })
}

fn io(text: &Read<'_>) -> Option<Io> {
    let (version, bytes) = text("io", "blkio.throttle.io_service_bytes", "io.stat")?;
    if version == Version::V2 {
        return Some(io_of_unified(&bytes));
    }
    let operations = text("io", "blkio.throttle.io_serviced", "io.stat").map(|(_, text)| text).unwrap_or_default();
    Some(Io {
        read: ByteSize::bytes(sum(&bytes, "Read")),
        written: ByteSize::bytes(sum(&bytes, "Write")),
        reads: sum(&operations, "Read"),
        writes: sum(&operations, "Write"),
    })
}

/// Adds up the lines `8:0 Read 4096` of all devices.
fn sum(text: &str, what: &str) -> u64 {
    let lines = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    lines.filter(|words| words.get(1) == Some(&what)).filter_map(|words| words.get(2)?.parse::<u64>().ok()).sum()
}

/// Adds up the lines `8:0 rbytes=4096 wbytes=0 rios=1 …` of all devices.
fn io_of_unified(text: &str) -> Io {
    let all = |key: &str| -> u64 {
        let fields = text.split_ascii_whitespace().filter_map(|field| field.split_once('='));
        fields.filter(|(name, _)| *name == key).filter_map(|(_, value)| value.parse::<u64>().ok()).sum()
    };
    Io {
        read: ByteSize::bytes(all("rbytes")),
        written: ByteSize::bytes(all("wbytes")),
        reads: all("rios"),
        writes: all("wios"),
    }
}

/// Reads `/proc/<pid>/net/dev`: two lines of titles, then an interface and 16 numbers each.
fn interfaces(text: &str) -> BTreeMap<String, Network> {
    let mut found = BTreeMap::new();
    for line in text.lines().skip(2) {
        let Some((name, numbers)) = line.split_once(':') else { continue };
        let numbers: Vec<u64> = numbers.split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect();
        let name = name.trim();
        if name == "lo" || numbers.len() < 16 {
            continue;
        }
        let network = Network {
            received: ByteSize::bytes(numbers[0]),
            packets_received: numbers[1],
            sent: ByteSize::bytes(numbers[8]),
            packets_sent: numbers[9],
            failed: numbers[2] + numbers[3] + numbers[10] + numbers[11],
        };
        found.insert(name.to_owned(), network);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_read_without_loopback() {
        let text = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
  eth0:    5000      50    1    2    0     0          0         0     7000      70    3    4    0     0       0          0
";
        let network = Network {
            received: ByteSize::bytes(5000),
            sent: ByteSize::bytes(7000),
            packets_received: 50,
            packets_sent: 70,
            failed: 10,
        };
        assert_eq!(interfaces(text), BTreeMap::from([("eth0".to_owned(), network)]));
    }

    #[test]
    fn devices_are_added_up() {
        let text = "8:0 rbytes=4096 wbytes=1 rios=1 wios=2 dbytes=0 dios=0\n8:16 rbytes=4 wbytes=8 rios=3 wios=4\n";
        let io = Io { read: ByteSize::bytes(4100), written: ByteSize::bytes(9), reads: 4, writes: 6 };
        assert_eq!(io_of_unified(text), io);
        assert_eq!(sum("8:0 Read 5\n8:0 Write 7\n8:16 Read 6\nTotal 18\n", "Read"), 11);
    }

    #[test]
    fn what_can_be_taken_back_is_not_used() {
        let memory = Memory { current: ByteSize::mib(3), cache: ByteSize::mib(1), ..Memory::default() };
        assert_eq!(memory.used(), ByteSize::mib(2));
    }
}
