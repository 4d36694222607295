//! Freezing, thawing and killing all processes of a group.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::PATIENCE;
use super::group::{Group, write};

/// Version 1 has no event for what it is asked for.
const PAUSE: Duration = Duration::from_millis(1);

/// How often processes are killed that version 1 lists: each time those that were born meanwhile.
const ROUNDS: u32 = 1_000;

/// The file that freezes a group.
enum Freezer {
    V1(PathBuf),
    V2(PathBuf),
}

impl Group {
    fn freezer(&self) -> Option<Freezer> {
        if let Some(unified) = &self.unified {
            return Some(Freezer::V2(unified.clone()));
        }
        let legacy = self.legacy.iter().find(|legacy| legacy.path.join("freezer.state").exists())?;
        Some(Freezer::V1(legacy.path.join("freezer.state")))
    }

    /// Asks the kernel to freeze its processes, now and as they join.
    pub(crate) fn begin_freeze(&self) -> io::Result<()> {
        match self.freezer() {
            Some(Freezer::V2(path)) => write(&path.join("cgroup.freeze"), "1"),
            Some(Freezer::V1(state)) => write(&state, "FROZEN"),
            None => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Waits until all of its processes stand still.
    pub(crate) fn wait_until_frozen(&self) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        match self.freezer() {
            Some(Freezer::V2(path)) => wait_for(&path.join("cgroup.events"), "frozen 1", deadline),
            Some(Freezer::V1(state)) => loop {
                if fs::read_to_string(&state)?.trim() == "FROZEN" {
                    return Ok(());
                }
                if Instant::now() >= deadline {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                thread::sleep(PAUSE);
                // Once more for those that were born meanwhile, as the kernel's documentation has it.
                write(&state, "FROZEN")?;
            },
            None => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Lets its processes go on.
    pub(crate) fn thaw(&self) -> io::Result<()> {
        match self.freezer() {
            Some(Freezer::V2(path)) => write(&path.join("cgroup.freeze"), "0"),
            Some(Freezer::V1(state)) => write(&state, "THAWED"),
            None => Ok(()),
        }
    }

    /// Whether it was asked to freeze.
    pub(crate) fn is_frozen(&self) -> bool {
        let read = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
        match self.freezer() {
            Some(Freezer::V2(path)) => read(path.join("cgroup.freeze")).trim() == "1",
            Some(Freezer::V1(state)) => matches!(read(state).trim(), "FROZEN" | "FREEZING"),
            None => false,
        }
    }

    /// Whether the kernel kills all of its processes at once, those too that are born meanwhile: since Linux 5.14, with
    /// version 2.
    pub(crate) fn can_kill(&self) -> bool {
        self.unified.as_ref().is_some_and(|path| path.join("cgroup.kill").exists())
    }

    /// Kills all of its processes, frozen or not.
    pub(super) fn kill(&self) -> io::Result<()> {
        if let Some(unified) = &self.unified {
            return match write(&unified.join("cgroup.kill"), "1") {
                // Gone with the last process. The kernel has had the file since Linux 5.14.
                Err(error) if error.kind() == io::ErrorKind::NotFound && !unified.exists() => Ok(()),
                killed => killed,
            };
        }
        for legacy in &self.legacy {
            let state = legacy.path.join("freezer.state");
            for _ in 0..ROUNDS {
                let Ok(text) = fs::read_to_string(legacy.path.join("cgroup.procs")) else { break };
                let pids: Vec<i32> = text.lines().filter_map(|line| line.parse().ok()).collect();
                if pids.is_empty() {
                    break;
                }
                pids.into_iter().for_each(|pid| kill_member(&legacy.path, pid));
                if state.exists() {
                    write(&state, "THAWED")?;
                }
                thread::sleep(PAUSE);
            }
        }
        Ok(())
    }

    /// Waits until a directory of it holds no process.
    pub(super) fn wait_until_empty(&self, path: &Path, deadline: Instant) -> io::Result<()> {
        if self.unified.as_deref() == Some(path) {
            return match wait_for(&path.join("cgroup.events"), "populated 0", deadline) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                waited => waited,
            };
        }
        loop {
            match fs::read_to_string(path.join("tasks")) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Ok(tasks) if tasks.is_empty() => return Ok(()),
                _ if Instant::now() >= deadline => return Err(io::ErrorKind::TimedOut.into()),
                _ => thread::sleep(PAUSE),
            }
        }
    }
}

/// Kills a process that a group lists, unless its number has gone to another meanwhile.
fn kill_member(group: &Path, pid: i32) {
    let Some(number) = Pid::from_raw(pid) else { return };
    let Ok(process) = pidfd_open(number, PidfdFlags::empty()) else { return };
    let lists = |text: String| text.lines().any(|line| line == pid.to_string());
    if fs::read_to_string(group.join("cgroup.procs")).is_ok_and(lists) {
        // One that has ended needs no signal.
        let _ = pidfd_send_signal(&process, Signal::KILL);
    }
}

/// Waits until `cgroup.events` has this line; the kernel says when it changes.
fn wait_for(path: &Path, line: &str, deadline: Instant) -> io::Result<()> {
    let file = fs::File::open(path)?;
    let mut buffer = [0; 256];
    loop {
        // Read at the start each time: reading is also what arms the next event.
        let read = match rustix::io::pread(&file, &mut buffer, 0) {
            // Removed while we looked.
            Err(rustix::io::Errno::NODEV) => return Err(io::ErrorKind::NotFound.into()),
            read => read?,
        };
        if String::from_utf8_lossy(&buffer[..read]).lines().any(|found| found == line) {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let left = Timespec::try_from(left).ok();
        match poll(&mut [PollFd::new(&file, PollFlags::PRI)], left.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
