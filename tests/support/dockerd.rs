//! Docker daemons of a test's own.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long a daemon may take to answer, or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the registry listens, in the namespace of the daemons.
pub const REGISTRY: &str = "localhost:5000";

/// The first process of the namespaces: it starts everything, and stops the daemons when its input ends.
const SCRIPT: &str = r#"
ip link set lo up
docker-registry serve "$1/registry.yml" >"$1/registry.log" 2>&1 &
cgroup=$2 settings=$1/none.json driver=$3 daemons=
shift 3
for root; do
    dockerd --data-root "$root" --exec-root "$root.exec" --pidfile "$root.pid" --host "unix://$root.sock" --bridge none \
        --config-file "$settings" --iptables=false --ip6tables=false --cgroup-parent "$cgroup" --storage-driver "$driver" >"$root.log" 2>&1 &
    daemons="$daemons $!"
done
read -r _
kill $daemons
wait $daemons
"#;

/// Docker daemons, one on each data root, and a registry, in mount, network, PID and IPC namespaces of their own.
///
/// They end when this is dropped, and with them every mount and process of theirs.
#[derive(Debug)]
pub struct Dockerd {
    namespaces: Child,
    directory: PathBuf,
    cgroup: String,
}

impl Dockerd {
    /// The programs that it takes.
    pub const PROGRAMS: [&str; 5] = ["dockerd", "containerd", "docker", "docker-registry", "unshare"];

    /// Starts a daemon with a storage driver on each of these data roots, which lie in `directory`; returns when all of
    /// them answer.
    ///
    /// # Panics
    /// If one does not.
    pub fn start(directory: &Path, roots: &[&Path], driver: &str) -> Self {
        let cgroup = format!("/plywood-dockerd-{}", std::process::id());
        let registry = directory.join("registry");
        let settings = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {registry:?}}}}}\nhttp: {{addr: {REGISTRY:?}}}\n"
        );
        let made = fs::create_dir_all(&registry)
            .and_then(|()| fs::write(directory.join("registry.yml"), settings))
            .and_then(|()| fs::write(directory.join("none.json"), "{}"));
        made.unwrap_or_else(|error| panic!("{error}"));
        let namespaces = Command::new("unshare")
            .args(["--mount", "--net", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc"])
            .args(["sh", "-c", SCRIPT, "dockerd"])
            .arg(directory)
            .args([&cgroup, driver])
            .args(roots)
            // A daemon in a container leaves AppArmor alone, whose profiles belong to the whole host.
            .env("container", "plywood-test")
            // What containerd writes about itself when it is slow to answer goes with the directory.
            .env("TMPDIR", directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("unshare: {error}"));
        let daemons = Self { namespaces, directory: directory.to_owned(), cgroup };
        for root in roots {
            daemons.await_answer(root);
        }
        daemons
    }

    fn await_answer(&self, root: &Path) {
        let deadline = Instant::now() + PATIENCE;
        while !self.try_docker(root, &["version"]).status.success() {
            let log = fs::read_to_string(root.with_extension("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "dockerd on {root:?} does not answer:\n{log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Runs `docker` against the daemon of this data root.
    ///
    /// # Panics
    /// If it cannot be run.
    pub fn try_docker(&self, root: &Path, arguments: &[&str]) -> Output {
        let mut host = root.as_os_str().to_owned();
        host.push(".sock");
        let debian = Path::new("/usr/bin/docker");
        Command::new(if debian.exists() { debian } else { Path::new("docker") })
            .arg("--config")
            .arg(self.directory.join("client"))
            .arg("--host")
            .arg(format!("unix://{}", host.display()))
            .args(arguments)
            .env_remove("DOCKER_HOST")
            .env_remove("DOCKER_CONTEXT")
            .env("DOCKER_BUILDKIT", "0")
            .output()
            .unwrap_or_else(|error| panic!("docker: {error}"))
    }

    /// Runs `docker` against the daemon of this data root: what it writes to standard output, without the last line end.
    ///
    /// # Panics
    /// If it fails.
    pub fn docker(&self, root: &Path, arguments: &[&str]) -> String {
        let output = self.try_docker(root, arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker {arguments:?}: {}: {error}", output.status);
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// What the daemon of this data root answers to a question of its interface, such as `/system/df`.
    ///
    /// # Panics
    /// If it does not.
    pub fn ask(&self, root: &Path, question: &str) -> serde_json::Value {
        let mut socket = root.as_os_str().to_owned();
        socket.push(".sock");
        let ask = || -> std::io::Result<String> {
            let mut stream = UnixStream::connect(&socket)?;
            write!(stream, "GET {question} HTTP/1.0\r\nHost: docker\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let answer = ask().unwrap_or_else(|error| panic!("{socket:?}: {error}"));
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
        body.and_then(|body| serde_json::from_str(body).ok()).unwrap_or_else(|| panic!("{question}: {answer}"))
    }

    /// Stops the daemons as an administrator does, and waits for their end.
    ///
    /// # Panics
    /// If they do not end.
    pub fn stop(mut self) {
        drop(self.namespaces.stdin.take());
        let deadline = Instant::now() + PATIENCE;
        while self.namespaces.try_wait().ok().flatten().is_none() {
            assert!(Instant::now() < deadline, "dockerd does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Removes the cgroup of its containers from every hierarchy.
    fn remove_cgroups(&self) {
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        for line in mounts.lines() {
            let mut fields = line.split(' ').skip(1);
            if let (Some(directory), Some("cgroup" | "cgroup2")) = (fields.next(), fields.next()) {
                let path = format!("{directory}{}", self.cgroup);
                let below = fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path());
                for path in below.filter(|path| path.is_dir()).chain([PathBuf::from(&path)]) {
                    let deadline = Instant::now() + Duration::from_secs(5);
                    // Its last process may not have been counted out yet.
                    while path.exists() && fs::remove_dir(&path).is_err() && Instant::now() < deadline {
                        std::thread::sleep(Duration::from_millis(10));
                    }
                }
            }
        }
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        // The kernel kills everything in the namespaces with their first process.
        let _ = self.namespaces.kill();
        let _ = self.namespaces.wait();
        self.remove_cgroups();
    }
}
