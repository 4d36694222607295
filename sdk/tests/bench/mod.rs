//! A companion binary to be run, on a data root of its own.

#![allow(dead_code, clippy::unwrap_used)] // each test program uses a part

pub mod seat;

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

pub const BUSYBOX: &str = "/bin/busybox";
const APPLETS: [&str; 12] =
    ["sh", "echo", "cat", "sleep", "true", "env", "pwd", "id", "yes", "seq", "touch", "hostname"];

/// Returns, after saying why, unless containers can be started here.
macro_rules! require_busybox {
    () => {
        if !std::path::Path::new($crate::bench::BUSYBOX).exists() {
            let reason = format!("{}, a static busybox, is not installed", $crate::bench::BUSYBOX);
            assert!(std::env::var_os("PLYWOOD_TEST_STRICT").is_none_or(|it| it != "1"), "{reason}");
            std::io::Write::write_all(&mut std::io::stderr(), format!("skipped: {reason}\n").as_bytes()).unwrap();
            return;
        }
    };
}
pub(crate) use require_busybox;

/// A data root of its own, and the tar of a root filesystem with busybox.
pub struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    /// With the image `box:1`.
    pub fn with_image() -> Self {
        let bench = Self::new();
        bench.ok(&["import", bench.rootfs().to_str().unwrap(), "box:1", "-c", "CMD [\"echo\", \"default\"]"]);
        bench
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn rootfs(&self) -> PathBuf {
        let path = self.path("rootfs.tar");
        let mut tar = tar::Builder::new(std::fs::File::create(&path).unwrap());
        let mut directory = tar::Header::new_gnu();
        directory.set_entry_type(tar::EntryType::Directory);
        directory.set_mode(0o755);
        directory.set_size(0);
        tar.append_data(&mut directory, "bin", std::io::empty()).unwrap();
        tar.append_path_with_name(BUSYBOX, "bin/busybox").unwrap();
        for applet in APPLETS {
            let mut link = tar::Header::new_gnu();
            link.set_entry_type(tar::EntryType::Symlink);
            link.set_size(0);
            tar.append_link(&mut link, format!("bin/{applet}"), "busybox").unwrap();
        }
        tar.into_inner().unwrap();
        path
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        // A runner that has moved the tests says at run time where the binary is.
        let moved = std::env::var_os("NEXTEST_BIN_EXE_plywood");
        let mut command = Command::new(moved.unwrap_or_else(|| env!("CARGO_BIN_EXE_plywood").into()));
        command.args(arguments).env("PLYWOOD_ROOT", self.path("root")).stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What it prints, if it succeeds.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Its exit code and what it says.
    pub fn fails(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run(arguments);
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(arguments)).unwrap()
    }

    /// The same with a terminal that the kernel takes for the program's own, so that it is told when that changes or goes.
    pub fn command_at_its_terminal(&self, arguments: &[&str]) -> Command {
        let plain = self.command(arguments);
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(plain.get_program()).args(plain.get_args());
        command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command
    }

    /// The number on the host of the process of a container that runs this.
    pub fn pid_of(&self, container: &str, command: &str) -> i32 {
        let processes = self.json(&["top", container, "--format", "json"]);
        let found = processes.as_array().unwrap().iter().find(|process| process["Command"] == command);
        found.unwrap_or_else(|| panic!("no {command:?} in {processes}"))["HostPid"]
            .as_i64()
            .unwrap()
            .try_into()
            .unwrap()
    }

    pub fn start(&self, arguments: &[&str]) -> Running {
        let mut command = self.command(arguments);
        Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Waits until a container of this name runs.
    pub fn await_running(&self, name: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.ok(&["ps", "-q", "-f", &format!("name={name}")]).is_empty() {
            assert!(Instant::now() < deadline, "{name} does not run");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Bench {
    /// The kernel makes overlay's work directories inaccessible: an ordinary user's `TempDir` fails at them.
    fn drop(&mut self) {
        let ids = self.run(&["ps", "-aq"]).stdout;
        let ids = String::from_utf8_lossy(&ids);
        let ids: Vec<&str> = ids.lines().collect();
        if !ids.is_empty() {
            self.run(&[&["rm", "-f"], &ids[..]].concat());
        }
    }
}

/// A plywood in the background, killed if the test fails.
pub struct Running(pub Child);

impl Running {
    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.0), signal).unwrap();
    }

    /// Its exit code and what it has printed; what it complained of is shown if the test fails.
    pub fn end(mut self) -> (i32, String) {
        let mut text = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        let code = self.0.wait().unwrap().code().unwrap();
        if let Some(errors) = &mut self.0.stderr {
            std::io::copy(errors, &mut std::io::stderr()).unwrap();
        }
        (code, text)
    }

    pub fn read_line(&mut self) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        while self.0.stdout.as_mut().unwrap().read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
