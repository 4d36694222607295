//! Running one test once more as a program of its own, to be killed or to panic.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// The variable that makes a test act as the victim; its value is the victim's directory.
pub(crate) const VARIABLE: &str = "PLYWOOD_TEST_VICTIM";

/// What the lines that a victim tells begin with; the test harness writes lines of its own.
const MARK: &str = "victim: ";

/// The directory of the victim, if this process is one.
pub fn directory() -> Option<PathBuf> {
    env::var_os(VARIABLE).map(PathBuf::from)
}

/// Tells the test that started this victim something.
#[allow(clippy::print_stdout)]
pub fn tell(text: impl std::fmt::Display) {
    println!("\n{MARK}{text}");
}

/// Waits to be killed.
pub fn wait() -> ! {
    loop {
        // May return at any time.
        std::thread::park();
    }
}

/// Runs the test `name` once more as a program of its own, which has [a directory](directory), to its end.
///
/// # Panics
/// With what that program wrote, if it fails.
pub fn alone(name: &str) {
    let program = env::current_exe().unwrap_or_else(|error| panic!("{error}"));
    alone_by(Command::new(program), name, &Directory::new());
}

/// As [`alone`], with this in its environment.
///
/// # Panics
/// With what that program wrote, if it fails.
pub fn alone_with(name: &str, variable: &str, value: &str) {
    let mut command = Command::new(env::current_exe().unwrap_or_else(|error| panic!("{error}")));
    command.env(variable, value);
    alone_by(command, name, &Directory::new());
}

/// As [`alone`], by a command that takes the program's arguments, with this directory.
///
/// # Panics
/// With what that program wrote, if it fails.
pub fn alone_by(mut command: Command, name: &str, directory: &Directory) {
    command.args([name, "--exact", "--nocapture"]).env(VARIABLE, directory.path()).env("TMPDIR", directory.path());
    let output = command.output().unwrap_or_else(|error| panic!("{error}"));
    assert!(output.status.success(), "{name}, alone: {}", String::from_utf8_lossy(&output.stderr));
}

/// A temporary directory for a victim; what it leaves there is removed too.
#[derive(Debug)]
pub struct Directory(tempfile::TempDir);

impl Directory {
    /// Makes one.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap_or_else(|error| panic!("{error}")))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Default for Directory {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // The kernel closes the working directory of an overlay to everybody but root.
        let mut found = vec![self.path().to_owned()];
        while let Some(path) = found.pop() {
            let _ = fs::set_permissions(&path, fs::Permissions::from_mode(0o700));
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            found.extend(entries.filter(|entry| entry.file_type().is_ok_and(|it| it.is_dir())).map(|it| it.path()));
        }
    }
}

/// A running victim; it is killed when this is dropped.
#[derive(Debug)]
pub struct Victim {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Victim {
    /// Runs the test `name` of this program as a victim with this directory, which also holds its temporary files.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(name: &str, directory: &Path) -> Self {
        let program = env::current_exe().unwrap_or_else(|error| panic!("{error}"));
        Self::start_by(Command::new(program), name, directory)
    }

    /// As [`start`](Self::start), by a command that takes the program's arguments.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start_by(mut command: Command, name: &str, directory: &Path) -> Self {
        command.args([name, "--exact", "--nocapture"]).env(VARIABLE, directory).env("TMPDIR", directory);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{error}"));
        let lines = BufReader::new(child.stdout.take().unwrap_or_else(|| panic!("no pipe")));
        Self { child, lines }
    }

    /// The next thing it tells; `None` once it has ended.
    pub fn hear(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            match self.lines.read_line(&mut line) {
                Ok(1..) => {}
                _ => return None,
            }
            if let Some(text) = line.trim_end().strip_prefix(MARK) {
                return Some(text.to_owned());
            }
        }
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its reaper, if it has one: a process that holds a descriptor of this one.
    pub fn reaper(&self) -> Option<u32> {
        let mark = format!("\nPid:\t{}\n", self.pid());
        let is_it = |pid: &u32| {
            let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
            read("comm") == "plywood-reaper\n" && read("fdinfo/4").contains(&mark)
        };
        let pids = fs::read_dir("/proc").ok()?.flatten();
        pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(is_it)
    }

    /// Kills its reaper.
    ///
    /// # Panics
    /// If it has none.
    pub fn kill_reaper(&self) {
        let reaper = self.reaper().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw);
        let reaper = reaper.unwrap_or_else(|| panic!("there is no reaper"));
        rustix::process::kill_process(reaper, rustix::process::Signal::KILL).unwrap_or_else(|error| panic!("{error}"));
        while fs::read_to_string(format!("/proc/{}/comm", reaper.as_raw_pid()))
            .is_ok_and(|it| it.starts_with("plywood-reaper"))
        {
            std::thread::yield_now();
        }
    }

    /// Kills it, as the kernel would.
    pub fn kill(mut self) {
        self.end();
    }

    /// Kills it; what it has told until then.
    pub fn kill_and_hear(mut self) -> Vec<String> {
        self.end();
        std::iter::from_fn(|| self.hear()).collect()
    }

    /// Waits for its end; whether its test passed.
    ///
    /// # Panics
    /// If it cannot be waited for.
    pub fn wait(mut self) -> bool {
        while self.hear().is_some() {}
        self.child.wait().unwrap_or_else(|error| panic!("{error}")).success()
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.end();
    }
}

/// Moments at which to kill a victim.
#[derive(Debug)]
pub struct Moments(u32);

impl Moments {
    /// Others in each run.
    pub fn new() -> Self {
        Self(std::process::id())
    }

    /// One before `end`. A linear congruence is random enough for that.
    pub fn next(&mut self, end: Duration) -> Duration {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        end.mul_f64(f64::from(self.0 >> 8) / f64::from(1_u32 << 24))
    }
}

impl Default for Moments {
    fn default() -> Self {
        Self::new()
    }
}

/// The supervisors of the containers in a data root: they hold its log.
///
/// What a supervisor has just forked is called as it is, and holds what it holds, until it says what it is.
pub fn keepers(root: &Path) -> Vec<u32> {
    let holds = |pid: &u32| {
        let log = fs::read_link(format!("/proc/{pid}/fd/7"));
        named(*pid, "plywood-keeper") && log.is_ok_and(|log| log.starts_with(root))
    };
    let holders: Vec<u32> = processes().filter(holds).collect();
    let forked = |pid: &u32| holders.iter().any(|holder| is_child(*pid, *holder));
    holders.iter().copied().filter(|pid| !forked(pid)).collect()
}

/// The process that forwards for a supervisor, once there is one.
pub fn forwarder(keeper: u32) -> u32 {
    loop {
        match processes().find(|pid| named(*pid, "plywood-ports") && is_child(*pid, keeper)) {
            Some(pid) => return pid,
            None => std::thread::yield_now(),
        }
    }
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn named(pid: u32, name: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim_end() == name)
}

/// Whether the process runs, and is a child of `parent`.
fn is_child(pid: u32, parent: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.contains(&format!("\nPPid:\t{parent}\n")) && !status.contains("\tZ (")
}

/// Kills a process.
///
/// # Panics
/// If it is not there.
pub fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    let pid = pid.unwrap_or_else(|| panic!("no process number"));
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap_or_else(|error| panic!("{error}"));
}

/// Waits until the process has ended, ten seconds at most; whether it has.
pub fn ends(pid: u32) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return true };
    let patience = Timespec { tv_sec: 10, tv_nsec: 0 };
    matches!(poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&patience)), Ok(1))
}
