//! What others take for the same.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Cost;
use crate::disk::run;

/// Unpacks a layer with `tar`.
pub fn extract(layer: &Path, target: &Path) {
    run("tar", ["-x".as_ref(), "-f".as_ref(), layer.as_os_str(), "-C".as_ref(), target.as_os_str()]);
}

/// The same, until it is on the disk.
pub fn extract_durably(layer: &Path, target: &Path) {
    extract(layer, target);
    sync(target);
}

/// Writes everything of the file system to the disk.
pub fn sync(path: &Path) {
    run("sync", ["-f".as_ref(), path.as_os_str()]);
}

/// Copies a file or a tree until it is on the disk.
pub fn copy_durably(from: &Path, to: &Path) {
    run("cp", ["-a".as_ref(), from.as_os_str(), to.as_os_str()]);
    sync(to);
}

/// Makes an archive of a tree with `tar`.
pub fn pack(tree: &Path, archive: &Path) {
    run("tar", ["-c".as_ref(), "-f".as_ref(), archive.as_os_str(), "-C".as_ref(), tree.as_os_str(), ".".as_ref()]);
}

/// A Docker daemon of our own, if there is one installed.
pub struct Docker {
    daemon: Child,
    socket: PathBuf,
}

impl Docker {
    pub fn start(directory: &Path) -> Option<Self> {
        let place = directory.join("docker");
        let _ = std::fs::remove_dir_all(&place);
        std::fs::create_dir(&place).unwrap();
        std::fs::write(place.join("none.json"), "{}").unwrap();
        let socket = place.join("socket");
        let mut daemon = Command::new("unshare")
            .args(["--mount", "--net", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc", "dockerd"])
            .args(["--bridge", "none", "--iptables=false", "--ip6tables=false", "--storage-driver", "overlay2"])
            .arg("--config-file")
            .arg(place.join("none.json"))
            .arg("--data-root")
            .arg(place.join("root"))
            .arg("--exec-root")
            .arg(place.join("exec"))
            .arg("--pidfile")
            .arg(place.join("pid"))
            .arg("--host")
            .arg(format!("unix://{}", socket.display()))
            .env("container", "plywood-bench")
            .env("TMPDIR", &place)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline && daemon.try_wait().ok()?.is_none() {
            if docker(&socket).arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status().ok()?.success() {
                return Some(Self { daemon, socket });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = daemon.kill();
        let _ = daemon.wait();
        None
    }

    /// Loads an image that it has not yet; `None` if this version does not read it.
    pub fn load(&self, archive: &Path) -> Option<Cost> {
        let quiet = |arguments: &[&str]| {
            let mut command = docker(&self.socket);
            command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap()
        };
        let begin = Instant::now();
        let loaded = quiet(&["load", "--input", archive.to_str().unwrap()]);
        let cost = Cost { wall: begin.elapsed(), processor: None };
        (loaded.success() && quiet(&["rmi", "bench:1"]).success()).then_some(cost)
    }
}

fn docker(socket: &Path) -> Command {
    let mut command = Command::new("docker");
    command.arg("--host").arg(format!("unix://{}", socket.display()));
    command.env_remove("DOCKER_HOST").env_remove("DOCKER_CONTEXT");
    command
}

impl Drop for Docker {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}
