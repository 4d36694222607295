//! Bundles for OCI runtimes: a root file system of busybox, and a configuration that a test changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// What busybox is called in a bundle.
const APPLETS: [&str; 26] = [
    "cat", "chmod", "cut", "echo", "env", "false", "grep", "hostname", "id", "ls", "mkdir", "mount", "ps", "pwd",
    "readlink", "rm", "sed", "sh", "sleep", "sort", "stat", "touch", "true", "tty", "wc", "od",
];

/// A bundle in a directory of its own, and a runtime whose containers are removed with it.
#[derive(Debug)]
pub struct Bundle {
    directory: TempDir,
    /// `config.json`, written before each command.
    pub config: Value,
}

/// The command line in front of the runtime, which is built with the tests.
///
/// # Panics
/// If it was not.
pub fn runtime() -> PathBuf {
    let test = std::env::current_exe().unwrap_or_else(|error| panic!("{error}"));
    let found = test.ancestors().map(|above| above.join("examples/oci_runtime")).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("build it: cargo build -p plywood-examples --example oci_runtime"))
}

impl Default for Bundle {
    fn default() -> Self {
        Self::new()
    }
}

impl Bundle {
    /// The default configuration with a short command.
    ///
    /// # Panics
    /// If the host has no static busybox, or no room.
    pub fn new() -> Self {
        let directory = TempDir::new().unwrap_or_else(|error| panic!("{error}"));
        let bin = directory.path().join("rootfs/bin");
        let made = fs::create_dir_all(&bin).and_then(|()| {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let busybox = std::env::split_paths(&path).map(|it| it.join("busybox")).find(|path| path.is_file());
            fs::copy(busybox.ok_or(std::io::ErrorKind::NotFound)?, bin.join("busybox"))?;
            for directory in ["proc", "dev", "sys", "tmp", "etc"] {
                fs::create_dir(directory_of(&bin).join(directory))?;
            }
            APPLETS.iter().try_for_each(|name| std::os::unix::fs::symlink("busybox", bin.join(name)))
        });
        made.unwrap_or_else(|error| panic!("a root file system of busybox: {error}"));
        let config = serde_json::from_str(&plywood::oci::default_config()).unwrap_or_else(|error| panic!("{error}"));
        let mut bundle = Self { directory, config };
        bundle.set("/linux/cgroupsPath", json!(bundle.cgroup()));
        bundle
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A cgroup that no other test uses.
    pub fn cgroup(&self) -> String {
        let name = self.path().file_name().unwrap_or_default().to_string_lossy().replace('.', "");
        format!("/plywood-test-{}-{name}/container", std::process::id())
    }

    /// Sets a property, by its JSON pointer; the object that holds it must be there.
    ///
    /// # Panics
    /// If it is not.
    pub fn set(&mut self, pointer: &str, value: Value) -> &mut Self {
        let (above, name) = pointer.rsplit_once('/').unwrap_or_default();
        match self.config.pointer_mut(above) {
            Some(Value::Object(object)) => object.insert(name.to_owned(), value),
            _ => panic!("there is no {above:?}"),
        };
        self
    }

    /// Adds to a list.
    ///
    /// # Panics
    /// If it is none.
    pub fn push(&mut self, pointer: &str, value: Value) -> &mut Self {
        match self.config.pointer_mut(pointer) {
            Some(Value::Array(list)) => list.push(value),
            _ => panic!("there is no list {pointer:?}"),
        }
        self
    }

    /// Lets the container run a script.
    pub fn script(&mut self, script: &str) -> &mut Self {
        self.set("/process/args", json!(["sh", "-c", script]))
    }

    /// A command of a runtime that has its state in the bundle.
    ///
    /// # Panics
    /// If the configuration cannot be written.
    pub fn command_of(&self, runtime: &Path, args: &[&str]) -> Command {
        fs::write(self.path().join("config.json"), self.config.to_string()).unwrap_or_else(|error| panic!("{error}"));
        let mut command = Command::new(runtime);
        let name = runtime.file_name().unwrap_or_default();
        command.arg("--root").arg(self.path().join("state").join(name)).args(args);
        command.current_dir(self.path()).stdin(Stdio::null());
        command
    }

    /// A command of our runtime.
    pub fn command(&self, args: &[&str]) -> Command {
        self.command_of(&runtime(), args)
    }

    /// Runs a command of our runtime to its end. It may leave a container behind, so what that writes is not waited for.
    ///
    /// # Panics
    /// If it cannot be run.
    pub fn call(&self, args: &[&str]) -> Output {
        let files =
            ["stdout", "stderr"].map(|name| self.path().join(format!("{name}-{}", args.join("-").replace('/', "_"))));
        let [stdout, stderr] = &files;
        let create = |path: &Path| fs::File::create(path).unwrap_or_else(|error| panic!("{error}"));
        let status = self.command(args).stdout(create(stdout)).stderr(create(stderr)).status();
        let status = status.unwrap_or_else(|error| panic!("{error}"));
        let read = |path: &Path| fs::read(path).unwrap_or_default();
        Output { status, stdout: read(stdout), stderr: read(stderr) }
    }

    /// The same for one that must succeed: what it wrote.
    ///
    /// # Panics
    /// If it fails.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.call(args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {}: {error}", output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The same for one that must fail: what it says.
    ///
    /// # Panics
    /// If it succeeds.
    pub fn fails(&self, args: &[&str]) -> String {
        let output = self.call(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Runs the container `id` to its end: what it wrote.
    ///
    /// # Panics
    /// If it fails.
    pub fn run(&self) -> String {
        self.ok(&["run", "one"])
    }

    /// The state of a container.
    ///
    /// # Panics
    /// If there is none.
    pub fn state(&self, id: &str) -> Value {
        serde_json::from_str(&self.ok(&["state", id])).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Whether anything is left of a container of this bundle: directories of its cgroup.
    pub fn cgroups_left(&self) -> Vec<PathBuf> {
        let cgroup = self.cgroup();
        let above = Path::new(&cgroup).parent().unwrap_or(Path::new("/"));
        let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path());
        let all = hierarchies.chain([PathBuf::from("/sys/fs/cgroup")]);
        all.map(|hierarchy| hierarchy.join(above.strip_prefix("/").unwrap_or(above))).filter(|it| it.exists()).collect()
    }
}

fn directory_of(bin: &Path) -> &Path {
    bin.parent().unwrap_or(bin)
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let output = self.command(&["list", "--quiet"]).output();
        let ids = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        for id in ids.lines() {
            let _ = self.command(&["delete", "--force", id]).status();
        }
        // Other runtimes leave the cgroups above those of their containers, and Podman that of its monitors.
        for above in self.cgroups_left() {
            let _ = Command::new("find").arg(&above).args(["-depth", "-type", "d", "-delete"]).output();
        }
    }
}
