//! A Docker daemon of a bench's own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A daemon in namespaces of its own, with no network but loopback; it ends, with all that runs below it, when this is
/// dropped.
pub struct Docker {
    daemon: Child,
    socket: PathBuf,
    cgroup: String,
}

impl Docker {
    /// `None` if there is none installed, or it does not start.
    pub fn start(directory: &Path) -> Option<Self> {
        let place = directory.join("docker");
        let _ = std::fs::remove_dir_all(&place);
        std::fs::create_dir(&place).unwrap();
        std::fs::write(place.join("none.json"), "{}").unwrap();
        let (socket, cgroup) = (place.join("socket"), format!("plywood-bench-{}", std::process::id()));
        let daemon = Command::new("unshare")
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
            .args(["--cgroup-parent", &format!("/{cgroup}")])
            .env("container", "plywood-bench")
            .env("TMPDIR", &place)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut docker = Self { daemon, socket, cgroup };
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline && docker.daemon.try_wait().ok()?.is_none() {
            if docker.succeeds(&["version"]) {
                return Some(docker);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        None
    }

    /// Runs `docker` with these arguments, and none of its output.
    pub fn succeeds(&self, arguments: &[&str]) -> bool {
        let mut command = Command::new("docker");
        command.arg("--host").arg(format!("unix://{}", self.socket.display())).args(arguments);
        command.env_remove("DOCKER_HOST").env_remove("DOCKER_CONTEXT");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        for line in mounts.lines() {
            let mut fields = line.split(' ').skip(1);
            if let (Some(hierarchy), Some("cgroup" | "cgroup2")) = (fields.next(), fields.next()) {
                let group = Path::new(hierarchy).join(&self.cgroup);
                let below = std::fs::read_dir(&group).into_iter().flatten().flatten().map(|entry| entry.path());
                for path in below.filter(|path| path.is_dir()).chain([group.clone()]) {
                    let deadline = Instant::now() + Duration::from_secs(5);
                    // Its last process may not have been counted out yet.
                    while path.exists() && std::fs::remove_dir(&path).is_err() && Instant::now() < deadline {
                        std::thread::sleep(Duration::from_millis(10));
                    }
                }
            }
        }
    }
}
