//! Moving the processes of a container that has run without a group into one.
//!
//! They are those whose pid namespace is the container's, and their descendants, which may have made namespaces of their
//! own. While they are listed some are born: so it is done until nobody is left outside. Into a frozen group they go one
//! by one and stand still, so that those outside become fewer each time.

use std::fs;
use std::io;
use std::path::PathBuf;

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::group::{Group, Refused};

/// How often the processes are listed: enough for a fork bomb to be caught.
const ROUNDS: u32 = 1_000;

/// A process of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    pid: u32,
    parent: u32,
    /// Whether its pid namespace is the container's.
    inside: bool,
}

impl Group {
    /// Moves all processes of the container whose first process is `init`.
    pub(crate) fn adopt(&self, init: u32) -> Result<(), Refused> {
        let os = |path: PathBuf| move |error| Refused::Os { path, error };
        let namespace = PathBuf::from(format!("/proc/{init}/ns/pid"));
        let wanted = fs::read_link(&namespace).map_err(os(namespace))?;
        for _ in 0..ROUNDS {
            let inside = self.processes().map_err(os("cgroup.procs".into()))?;
            let processes = list(&wanted).map_err(os("/proc".into()))?;
            let mut outside = members(&processes);
            outside.retain(|pid| !inside.contains(pid));
            if outside.is_empty() {
                return Ok(());
            }
            for pid in outside {
                // Held while it is looked at once more and moved: its number is its own as long as it lives.
                let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
                let Some(Ok(_process)) = number.map(|pid| pidfd_open(pid, PidfdFlags::empty())) else { continue };
                let again = list_one(pid, &wanted);
                if !again.is_some_and(|now| processes.contains(&now)) {
                    continue;
                }
                match self.join_all(pid) {
                    // It has ended.
                    Err(Refused::Os { error, .. }) if error.raw_os_error() == Some(libc::ESRCH) => {}
                    joined => joined?,
                }
            }
        }
        Err(Refused::Os { path: "cgroup.procs".into(), error: io::ErrorKind::TimedOut.into() })
    }
}

/// Those inside, and all that descend from them.
fn members(processes: &[Process]) -> Vec<u32> {
    let mut members: Vec<u32> = processes.iter().filter(|it| it.inside).map(|it| it.pid).collect();
    let mut known = 0;
    while known < members.len() {
        known = members.len();
        let more = processes.iter().filter(|it| members.contains(&it.parent) && !members.contains(&it.pid));
        let more: Vec<u32> = more.map(|it| it.pid).collect();
        members.extend(more);
    }
    members
}

/// The processes of the container whose first process is `init`: all of its pid namespace, or of the cgroup if it shares that
/// namespace with others.
fn processes(init: u32, group: Option<&Group>) -> io::Result<Vec<u32>> {
    let status = fs::read_to_string(format!("/proc/{init}/status"))?;
    let number = status.lines().find_map(|line| line.strip_prefix("NSpid:")?.split_ascii_whitespace().last());
    match group {
        Some(group) if number != Some("1") => group.all_processes(),
        _ => Ok(members(&list(&fs::read_link(format!("/proc/{init}/ns/pid"))?)?)),
    }
}

/// How many processes there are in the container whose first process is `init`, and what they have used of the CPUs, in
/// clock ticks: as a program, and in the kernel on its behalf.
pub(crate) fn usage(init: u32, group: Option<&Group>) -> io::Result<Usage> {
    let mut usage = Usage::default();
    for pid in processes(init, group)? {
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let Some((_, rest)) = stat.rsplit_once(')') else { continue };
        let fields: Vec<u64> = rest.split_ascii_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
        // utime, stime, and those of children that are gone: fields 14 to 17, where `fields` begins with the third.
        let field = |number: usize| fields.get(number - 3).copied().unwrap_or(0);
        usage.processes += 1;
        usage.user += field(14) + field(16);
        usage.system += field(15) + field(17);
    }
    Ok(usage)
}

/// What the processes of a container have used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub processes: u64,
    /// In clock ticks.
    pub user: u64,
    pub system: u64,
}

fn list(namespace: &std::path::Path) -> io::Result<Vec<Process>> {
    let names = fs::read_dir("/proc")?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(names.filter_map(|pid| list_one(pid, namespace)).collect())
}

/// What `/proc` says of a living process.
fn list_one(pid: u32, namespace: &std::path::Path) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in parentheses, in which anything may stand.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    let parent = fields.next()?.parse().ok()?;
    let inside = fs::read_link(format!("/proc/{pid}/ns/pid")).is_ok_and(|link| link == namespace);
    Some(Process { pid, parent, inside })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descendants_of_those_inside_belong_to_them() {
        let process = |pid, parent, inside| Process { pid, parent, inside };
        let processes = [
            process(1, 0, false),
            process(13, 12, false),
            process(10, 1, true),
            process(11, 1, true),
            process(12, 10, false),
            process(20, 1, false),
        ];
        assert_eq!(members(&processes), [10, 11, 12, 13]);
    }
}
