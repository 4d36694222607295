//! The peers: other runtimes that are installed here, with the same programs in their root file systems.

#![allow(unsafe_code)]

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::docker::Docker;

/// A root file system and the OCI configuration beside it.
pub struct Bundle {
    directory: PathBuf,
    rootfs: PathBuf,
}

/// An OCI runtime.
#[derive(Clone, Copy)]
struct Runtime {
    name: &'static str,
    program: &'static str,
    options: &'static [&'static str],
}

/// As they are, and without cgroups where that is an option: we make none where nothing is limited.
const RUNTIMES: [Runtime; 3] = [
    Runtime { name: "crun", program: "crun", options: &[] },
    Runtime { name: "crun without cgroups", program: "crun", options: &["--cgroup-manager=disabled"] },
    Runtime { name: "runc", program: "runc", options: &[] },
];

type Run<'a> = Box<dyn FnMut() + 'a>;

impl Bundle {
    /// Copies the files of a layer, and adds what runtimes mount on.
    pub fn new(layer: &Path, rootfs: &Path) -> Self {
        fs::create_dir_all(rootfs).unwrap();
        let mut source = layer.as_os_str().to_owned();
        source.push("/.");
        must(Command::new("cp").arg("-a").arg(source).arg(rootfs));
        for name in ["proc", "sys", "dev"] {
            fs::create_dir_all(rootfs.join(name)).unwrap();
        }
        let directory = rootfs.parent().unwrap().to_owned();
        Self { directory, rootfs: rootfs.to_owned() }
    }

    /// Where a program is in the root file system.
    pub fn program(&self, name: &str) -> &'static str {
        let candidates: [(&str, [&str; 2]); 2] =
            [("true", ["/usr/bin/true", "/bin/true"]), ("sleep", ["/usr/bin/sleep", "/bin/sleep"])];
        let known = candidates.iter().find(|(known, _)| *known == name).unwrap();
        known.1.into_iter().find(|path| self.rootfs.join(&path[1..]).exists()).unwrap()
    }

    /// Makes an image of the root file system under this name; whether it succeeds.
    pub fn import(&self, docker: &Docker, name: &str) -> bool {
        let archive = self.directory.join("rootfs.tar");
        must(Command::new("tar").arg("-C").arg(&self.rootfs).arg("-cf").arg(&archive).arg("."));
        docker.succeeds(&["import", archive.to_str().unwrap(), name])
    }

    /// Start to exit of `true` by each runtime there is.
    pub fn runs(&self) -> Vec<(&'static str, Run<'_>)> {
        let mut runs: Vec<(&'static str, Run<'_>)> = Vec::new();
        runs.extend(self.bwrap(true).map(|run| ("bwrap", run)));
        for runtime in installed() {
            let bundle = self.configure(runtime, &[self.program("true")]);
            let run = move || must(runtime.command().args(["run", "--bundle"]).arg(&bundle).arg(any_id()));
            runs.push((runtime.name, Box::new(run)));
        }
        runs
    }

    pub fn bwrap(&self, own_network: bool) -> Option<Run<'_>> {
        is_installed("bwrap").then(|| {
            let run = move || {
                let mut command = Command::new("bwrap");
                command.args(["--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup"]);
                if own_network {
                    command.arg("--unshare-net");
                }
                command.arg("--bind").arg(&self.rootfs).arg("/").args(["--proc", "/proc", "--dev", "/dev"]);
                must(command.arg("--die-with-parent").arg(self.program("true")));
            };
            Box::new(run) as Run<'_>
        })
    }

    /// A container of each runtime that runs until it is dropped.
    pub fn running(&self) -> Vec<Running> {
        installed().map(|runtime| Running::new(self, runtime)).collect()
    }

    /// A bundle with the runtime's own default configuration, these arguments, and our root file system.
    fn configure(&self, runtime: Runtime, args: &[&str]) -> PathBuf {
        let bundle = self.directory.join(runtime.program);
        fs::create_dir_all(&bundle).unwrap();
        let file = bundle.join("config.json");
        let _ = fs::remove_file(&file);
        must(Command::new(runtime.program).arg("spec").current_dir(&bundle));
        let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        config["process"]["args"] = args.into();
        config["process"]["terminal"] = false.into();
        config["root"] = serde_json::json!({ "path": self.rootfs, "readonly": false });
        if let Some(process) = config["process"].as_object_mut() {
            // Raising a hard limit needs a capability that not every root has.
            process.remove("rlimits");
        }
        fs::write(file, serde_json::to_vec(&config).unwrap()).unwrap();
        bundle
    }
}

impl Runtime {
    fn command(self) -> Command {
        let mut command = Command::new(self.program);
        command.args(self.options);
        command
    }
}

/// A running container of a peer.
pub struct Running {
    runtime: Runtime,
    id: String,
    program: &'static str,
    child: Child,
}

impl Running {
    fn new(bundle: &Bundle, runtime: Runtime) -> Self {
        let directory = bundle.configure(runtime, &[bundle.program("sleep"), "3600"]);
        let id = any_id();
        let mut command = runtime.command();
        command.args(["run", "--bundle"]).arg(directory).arg(&id).stdin(Stdio::null());
        let child = command.process_group(0).spawn().unwrap();
        let running = Self { runtime, id, program: bundle.program("true"), child };
        // Nothing tells when it runs: the first exec that succeeds does.
        while !running.command().stderr(Stdio::null()).status().unwrap().success() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        running
    }

    fn command(&self) -> Command {
        let mut command = self.runtime.command();
        command.args(["exec", &self.id, self.program]).stdin(Stdio::null());
        command
    }

    /// Exec of `true` in it.
    pub fn exec(&self) -> (&'static str, impl FnMut() + '_) {
        (self.runtime.name, || must(&mut self.command()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.runtime.command().args(["delete", "--force", &self.id]).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }
}

/// crun refuses to run beside hybrid cgroups: this program and its children do not see the second kind.
pub fn hide_hybrid_cgroups() {
    // SAFETY: no other thread of this program exists yet.
    let unshared = unsafe { libc::unshare(libc::CLONE_NEWNS) };
    assert_eq!(unshared, 0, "unshare: {}", std::io::Error::last_os_error());
    let (none, flags) = (std::ptr::null(), libc::MS_REC | libc::MS_PRIVATE);
    // SAFETY: all strings outlive the call, and the others are not looked at.
    unsafe { libc::mount(none, c"/".as_ptr(), none, flags, none.cast()) };
    // SAFETY: the string outlives the call; where nothing is mounted there, nothing happens.
    unsafe { libc::umount2(c"/sys/fs/cgroup/unified".as_ptr(), libc::MNT_DETACH) };
}

/// The processes of this host.
pub fn processes() -> Vec<u32> {
    let names = fs::read_dir("/proc").unwrap().flatten();
    names.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn installed() -> impl Iterator<Item = Runtime> {
    RUNTIMES.into_iter().filter(|runtime| is_installed(runtime.program))
}

/// A name that no container of a peer has had.
fn any_id() -> String {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    format!("plywood-bench-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

fn is_installed(name: &str) -> bool {
    let found = |directory: PathBuf| directory.join(name).is_file();
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(found)
}

fn must(command: &mut Command) {
    let status = command.stdin(Stdio::null()).status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}
