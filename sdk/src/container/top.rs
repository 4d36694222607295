//! The processes of a container, as `/proc` of the host shows them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use super::create::attempted;
use super::handle::Handle;
use super::pause::recorded;
use crate::error::{Attempt, ErrorKind, Fault, Result};
use crate::spec::time::Timestamp;
use crate::sys::cgroup::Group;

/// A process of a container, at the moment it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessInfo {
    /// Its number in the container.
    pub pid: u32,
    /// Its number on the host.
    pub host_pid: u32,
    /// The number of its parent in the container; 0 if that is outside.
    pub parent: u32,
    /// The number of its user in the container.
    pub uid: u32,
    /// When it was started.
    pub started_at: Timestamp,
    /// How long it has used a processor.
    pub cpu_time: Duration,
    /// Program and arguments with spaces between them; in brackets, its name, if it has ended and was not waited for.
    pub command: String,
}

/// Ticks per second in `/proc`: `USER_HZ` of x86_64 and aarch64.
const TICKS: u64 = 100;

/// As much of a command line as is told, in bytes.
const COMMAND: u64 = 4096;

#[derive(Debug, thiserror::Error)]
#[error("it is not running")]
struct NotRunning;

impl Fault for NotRunning {
    fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidArgument
    }
}

impl Handle {
    /// Its processes, by number.
    pub(crate) fn top(&self) -> Result<Vec<ProcessInfo>> {
        self.try_top().map_err(|error| attempted(format!("list the processes of {}", self.title()), error))
    }

    fn try_top(&self) -> Result<Vec<ProcessInfo>> {
        let files = self.files()?;
        let group = crate::runtime::cgroup::find(self.id().as_str(), &recorded(&files));
        let shares = !files.host.pid_mode.is_empty();
        let run = files.record.and_then(|record| record.run).filter(|run| run.is_alive()).ok_or(NotRunning)?;
        let found = processes(run.pid, group.filter(|_| shares));
        // What was found under its number is about another process once it has ended.
        if !run.is_alive() {
            return Err(NotRunning.into());
        }
        found.attempt(|| format!("look at process {}", run.pid))
    }
}

/// What the kernel says about one process.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    name: String,
    parent: u32,
    cpu: u64,
    started: u64,
}

/// The processes in the pid namespace of this one, and in those below it; those of the cgroup, if others are in there too.
fn processes(first: u32, group: Option<Group>) -> io::Result<Vec<ProcessInfo>> {
    let namespace = fs::read_link(format!("/proc/{first}/ns/pid"))?;
    let map = fs::read_to_string(format!("/proc/{first}/uid_map"))?;
    let depth = numbers(&fs::read_to_string(format!("/proc/{first}/status"))?, "NSpid:").len();
    let uptime = uptime()?;
    let mut all = BTreeMap::new();
    let mut inside = Vec::new();
    for pid in host_pids()? {
        // One that has ended meanwhile is no process of anything.
        let Some(stat) = fs::read_to_string(format!("/proc/{pid}/stat")).ok().and_then(|text| parse_stat(&text)) else {
            continue;
        };
        if fs::read_link(format!("/proc/{pid}/ns/pid")).is_ok_and(|link| link == namespace) {
            inside.push(pid);
        }
        all.insert(pid, stat);
    }
    if let Some(group) = group {
        inside = group.all_processes()?;
    }
    // Children that have a namespace of their own again.
    let mut at = 0;
    while let Some(parent) = inside.get(at).copied() {
        let children: Vec<u32> = all.iter().filter(|(_, stat)| stat.parent == parent).map(|(pid, _)| *pid).collect();
        inside.extend(children.into_iter().filter(|pid| !inside.contains(pid)).collect::<Vec<_>>());
        at += 1;
    }
    let number = |pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        Some((*numbers(&status, "NSpid:").get(depth.checked_sub(1)?)?, *numbers(&status, "Uid:").get(1)?))
    };
    let known: BTreeMap<u32, (u32, u32)> = inside.iter().filter_map(|pid| Some((*pid, number(*pid)?))).collect();
    let mut found: Vec<ProcessInfo> = known
        .iter()
        .filter_map(|(host_pid, (pid, uid))| {
            let stat = all.get(host_pid)?;
            let age = uptime.saturating_sub(Duration::from_millis(stat.started * 1000 / TICKS));
            Some(ProcessInfo {
                pid: *pid,
                host_pid: *host_pid,
                parent: known.get(&stat.parent).map_or(0, |(pid, _)| *pid),
                uid: mapped(&map, *uid),
                started_at: Timestamp::now().before(age),
                cpu_time: Duration::from_millis(stat.cpu * 1000 / TICKS),
                command: command(*host_pid).unwrap_or_else(|| format!("[{}]", stat.name)),
            })
        })
        .collect();
    found.sort_by_key(|process| process.pid);
    Ok(found)
}

fn host_pids() -> io::Result<Vec<u32>> {
    let entries = fs::read_dir("/proc")?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

fn uptime() -> io::Result<Duration> {
    let text = fs::read_to_string("/proc/uptime")?;
    let seconds = text.split_whitespace().next().and_then(|seconds| seconds.parse().ok());
    let uptime = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    uptime.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// proc_pid_stat(5): the second field is a name in parentheses, in which anything may stand.
fn parse_stat(text: &str) -> Option<Stat> {
    let (before, after) = text.rsplit_once(')')?;
    let (_, name) = before.split_once('(')?;
    let fields: Vec<&str> = after.split_ascii_whitespace().collect();
    // Field 3, the state, is the first of these.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(Stat {
        name: name.to_owned(),
        parent: u32::try_from(field(4)?).ok()?,
        cpu: field(14)? + field(15)?,
        started: field(22)?,
    })
}

/// The numbers on a line of proc_pid_status(5).
fn numbers(status: &str, name: &str) -> Vec<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().filter_map(|number| number.parse().ok()).collect()
}

/// A user of the host as the container counts, by user_namespaces(7): lines of first inside, first outside, how many.
fn mapped(map: &str, outside: u32) -> u32 {
    let lines = map.lines().filter_map(|line| {
        let mut numbers = line.split_whitespace().filter_map(|number| number.parse::<u32>().ok());
        Some((numbers.next()?, numbers.next()?, numbers.next()?))
    });
    let mut fitting = lines.filter_map(|(first, host, count)| {
        let offset = outside.checked_sub(host).filter(|offset| *offset < count)?;
        first.checked_add(offset)
    });
    fitting.next().unwrap_or(outside)
}

fn command(pid: u32) -> Option<String> {
    let mut text = Vec::new();
    let path = PathBuf::from(format!("/proc/{pid}/cmdline"));
    fs::File::open(path).ok()?.take(COMMAND).read_to_end(&mut text).ok()?;
    let words = text.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word)).collect::<Vec<_>>().join(" ");
    Some(words.trim_end().to_owned()).filter(|words| !words.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_process_is_read_whatever_it_is_called() {
        let text = "7 (a) b) c) S 5 7 7 0 -1 4194304 1 0 0 0 20 30 0 0 20 0 1 0 4711 1024 3 18446744073709551615";
        let expected = Stat { name: "a) b) c".to_owned(), parent: 5, cpu: 50, started: 4711 };
        assert_eq!(parse_stat(text).unwrap(), expected);
        assert_eq!(parse_stat("7 (a"), None);
    }

    #[test]
    fn users_are_counted_as_in_the_container() {
        let map = "         0       1000          1\n         1     100000      65536\n";
        for (outside, inside) in [(1000, 0), (100_000, 1), (100_999, 1000), (165_536, 165_536)] {
            assert_eq!(mapped(map, outside), inside, "{outside}");
        }
        assert_eq!(mapped("0 0 4294967295", 33), 33);
    }
}
