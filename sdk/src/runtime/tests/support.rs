//! A root file system made on the spot, and short ways to run something in it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::error::Result;
use crate::runtime::{Bundle, Input, Output, Process, ProcessSpec, Rootfs, Sink, Stdio, exec, start};
use crate::spec::{ContainerPath, ExitStatus};
use crate::sys::probe::{Privilege, privilege};

const BUSYBOX: &str = "/bin/busybox";
const APPLETS: [&str; 24] = [
    "sh", "true", "false", "cat", "ls", "echo", "env", "pwd", "id", "sleep", "kill", "mount", "stat", "dd", "head",
    "grep", "touch", "mkdir", "hostname", "readlink", "test", "wc", "df", "ip",
];

/// Returns, after saying why, unless containers can be started here.
macro_rules! require_containers {
    () => {
        if let Some(reason) = $crate::runtime::tests::support::unmet() {
            assert!(std::env::var_os("PLYWOOD_TEST_STRICT").is_none_or(|it| it != "1"), "{reason}");
            std::io::Write::write_all(&mut std::io::stderr(), format!("skipped: {reason}\n").as_bytes()).unwrap();
            return;
        }
    };
}
pub(super) use require_containers;

pub(crate) fn unmet() -> Option<String> {
    (!Path::new(BUSYBOX).exists()).then(|| format!("{BUSYBOX}, a static busybox, is not installed"))
}

pub(super) fn is_root() -> bool {
    privilege() == Privilege::Root
}

/// Directories of a container: one layer with busybox, and a writable one.
pub(super) struct Tree {
    pub dir: tempfile::TempDir,
}

impl Drop for Tree {
    fn drop(&mut self) {
        open_closed(self.dir.path());
    }
}

/// Opens what is to be removed: the kernel closes the working directory of an overlay to everybody but root.
pub(super) fn open_closed(directory: &Path) {
    let mut found = vec![directory.to_owned()];
    while let Some(path) = found.pop() {
        let _ = fs::set_permissions(&path, fs::Permissions::from_mode(0o700));
        let entries = fs::read_dir(&path).into_iter().flatten().flatten();
        found.extend(entries.filter(|entry| entry.file_type().is_ok_and(|it| it.is_dir())).map(|it| it.path()));
    }
}

impl Tree {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let new = Self { dir };
        for name in ["lower/bin", "lower/etc", "lower/tmp", "upper", "work"] {
            fs::create_dir_all(new.path(name)).unwrap();
        }
        fs::copy(BUSYBOX, new.path("lower/bin/busybox")).unwrap();
        for applet in APPLETS {
            symlink("busybox", new.path("lower/bin").join(applet)).unwrap();
        }
        new
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn make_executable(&self, path: &str) {
        fs::set_permissions(self.path("lower").join(path), fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(super) fn script(&self, path: &str, text: &str, mode: u32) {
        fs::write(self.path("lower").join(path), text).unwrap();
        fs::set_permissions(self.path("lower").join(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    pub(super) fn bundle<const N: usize>(&self, args: [&str; N]) -> Bundle {
        let mut bundle = Bundle::new(Rootfs::Overlay {
            lowers: vec![self.path("lower")],
            upper: self.path("upper"),
            work: self.path("work"),
            volatile: false,
        });
        bundle.process = ProcessSpec::new(args);
        bundle.process.env.push("PATH=/bin".into());
        bundle.hostname = "box".into();
        bundle
    }

    /// Runs a shell script in a container.
    pub(super) fn shell(&self, script: &str) -> Run {
        output(&self.bundle(["sh", "-c", script])).unwrap()
    }
}

/// The bytes that a container writes to its standard output.
pub(super) fn output_bytes(bundle: &Bundle) -> Vec<u8> {
    let stdout = Buffer::default();
    let stdio = Stdio { stdin: Input::Null, stdout: stdout.sink(), stderr: Output::Null };
    let status = start(bundle, stdio, Box::new(|_| ())).unwrap().wait();
    assert!(status.success(), "{status:?}");
    stdout.0.lock().unwrap().clone()
}

#[derive(Debug)]
pub(super) struct Run {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

#[derive(Clone, Default)]
pub(super) struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    pub(super) fn sink(&self) -> Output {
        Output::Sink(Box::new(self.clone()))
    }
}

impl Sink for Buffer {
    fn write(&mut self, bytes: &[u8]) {
        self.0.lock().unwrap().extend_from_slice(bytes);
    }
}

pub(super) fn stdio(stdout: &Buffer, stderr: &Buffer) -> Stdio {
    Stdio { stdin: Input::Null, stdout: stdout.sink(), stderr: stderr.sink() }
}

pub(super) fn start_quiet(bundle: &Bundle) -> Result<Process> {
    start(bundle, Stdio::null(), Box::new(|_| ()))
}

fn collect(run: impl FnOnce(Stdio) -> Result<Process>) -> Result<Run> {
    let (stdout, stderr) = (Buffer::default(), Buffer::default());
    let status = run(stdio(&stdout, &stderr))?.wait();
    Ok(Run { status, stdout: stdout.text(), stderr: stderr.text() })
}

pub(super) fn output(bundle: &Bundle) -> Result<Run> {
    collect(|stdio| start(bundle, stdio, Box::new(|_| ())))
}

/// Runs a shell script in a running container.
pub(super) fn exec_shell(process: &Process, script: &str) -> Run {
    let mut spec = ProcessSpec::new(["/bin/sh", "-c", script]);
    spec.env.push("PATH=/bin".into());
    collect(|stdio| exec(process, &spec, stdio)).unwrap()
}

pub(super) fn at(path: &str) -> ContainerPath {
    ContainerPath::parse(path).unwrap()
}
