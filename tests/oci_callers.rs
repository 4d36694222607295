//! Podman and containerd run containers with our OCI runtime.

#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use support::bundle::{Bundle, runtime};
use support::{require_program, require_root};

/// Podman with everything of its own: what it keeps, its configuration, and a cgroup.
struct Podman {
    bundle: Bundle,
}

impl Podman {
    fn new() -> Self {
        let bundle = Bundle::new();
        // What it takes for granted is more than a root without CAP_SYS_RESOURCE may have.
        let configuration = "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n\
            [engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\nlock_type = \"file\"\n";
        fs::write(bundle.path().join("containers.conf"), configuration).unwrap();
        let [root, runroot] = ["root", "runroot"].map(|name| bundle.path().join(name));
        let storage = format!("[storage]\ndriver = \"vfs\"\ngraphroot = {root:?}\nrunroot = {runroot:?}\n");
        fs::write(bundle.path().join("storage.conf"), storage).unwrap();
        Self { bundle }
    }

    fn command(&self, args: &[&str]) -> Command {
        let own = |name: &str| self.bundle.path().join(name);
        let mut command = Command::new("podman");
        command.env("CONTAINERS_CONF", own("containers.conf")).env("CONTAINERS_STORAGE_CONF", own("storage.conf"));
        for option in ["root", "runroot", "tmpdir"] {
            command.arg(format!("--{option}")).arg(own(option));
        }
        command.arg("--runtime").arg(runtime()).args(args);
        command
    }

    fn call(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// What it writes when it succeeds.
    fn ok(&self, args: &[&str]) -> String {
        let output = self.call(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs the bundle's root file system.
    fn run(&self, options: &[&str], command: &[&str]) -> Output {
        let cgroup = self.bundle.cgroup();
        let parent = Path::new(&cgroup).parent().unwrap();
        let mut podman = self.command(&["run", "--network", "none", "--cgroup-parent"]);
        podman.arg(parent).args(options).arg("--rootfs").arg(self.bundle.path().join("rootfs"));
        podman.args(command).output().unwrap()
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = self.command(&["rm", "--all", "--force", "--time", "0"]).output();
    }
}

#[test]
fn podman_runs_containers_with_it() {
    require_root!();
    require_program!("busybox");
    require_program!("podman");
    let podman = Podman::new();
    let output = podman.run(&["--rm"], &["sh", "-c", "echo out; id -u; exit 5"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*output.stdout), (Some(5), &b"out\n0\n"[..]), "{said}");
    // Its words for what is not there, and its code.
    let output = podman.run(&["--rm"], &["nope"]);
    assert_eq!(output.status.code(), Some(127), "{}", String::from_utf8_lossy(&output.stderr));
    let script = "tty; [ -c /dev/console ] && echo it";
    let output = podman.run(&["--rm", "--tty"], &["sh", "-c", script]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "/dev/pts/0\r\nit\r\n");
    let limits = ["--rm", "--memory=32m", "--user=7:8", "--cap-drop=all", "--read-only", "--read-only-tmpfs=false"];
    let script = "id -u; grep CapBnd /proc/self/status; touch /x 2>&1; cd /sys/fs/cgroup; \
        cat memory.max memory/memory.limit_in_bytes 2>/dev/null";
    let output = podman.run(&limits, &["sh", "-c", script]);
    let expected = "7\nCapBnd:\t0000000000000000\ntouch: /x: Read-only file system\n33554432\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn podman_looks_after_a_container_of_it() {
    require_root!();
    require_program!("busybox");
    require_program!("podman");
    let podman = Podman::new();
    let output = podman.run(&["--detach", "--name", "one"], &["sleep", "1000"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let status = || podman.ok(&["inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", "one"]);
    assert_eq!(status(), "running 0\n");
    let output = podman.call(&["exec", "--user", "7", "one", "sh", "-c", "id -u; cat /proc/1/cmdline; exit 9"]);
    assert_eq!((output.status.code(), &*output.stdout), (Some(9), &b"7\nsleep\x001000\0"[..]));
    podman.ok(&["pause", "one"]);
    assert_eq!(status(), "paused 0\n");
    podman.ok(&["unpause", "one"]);
    podman.ok(&["kill", "one"]);
    podman.ok(&["wait", "one"]);
    assert_eq!(status(), "exited 137\n");
    podman.ok(&["rm", "one"]);
}

/// A containerd with everything of its own, also `/run`, where its shims want to be; then `ctr` by the name of `ctr`.
const CONTAINERD: &str = r#"
mount -t tmpfs none /run
cat > "$1/containerd.toml" <<END
version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs", "io.containerd.internal.v1.opt"]
END
containerd --config "$1/containerd.toml" --root "$1/containerd" --state /run/c --address /run/c.sock 2> "$1/log" &
containerd=$!
trap 'kill $containerd; wait $containerd' EXIT
ctr() { command ctr --address /run/c.sock "$@"; }
tries=0
until ctr version > /dev/null 2>&1; do
  tries=$((tries + 1))
  if [ $tries -gt 100 ]; then cat "$1/log"; exit 99; fi
  sleep 0.1
done
"#;

#[test]
fn containerd_runs_containers_with_it() {
    require_root!();
    require_program!("busybox");
    require_program!("containerd");
    let bundle = Bundle::new();
    let script = format!(
        r#"{CONTAINERD}
        run() {{ ctr run --rootfs --runc-binary "$runtime" --cgroup "$cgroup" "$@"; }}
        runtime=$2 cgroup=$3 rootfs=$1/rootfs out=$1/out
        # ctr loses what is written by a command that ends before ctr has opened its pipe, with any quick runtime: each
        # command waits until its output, of so many bytes, was seen.
        wait='until [ -e /seen ]; do sleep 0.05; done'
        seen() {{
            until [ "$(wc -c < "$out")" -ge "$1" ]; do sleep 0.05; done
            : > "$rootfs/seen"; wait $!; code=$?; rm "$rootfs/seen"; cat "$out"; echo "code $code"
        }}
        : > "$out"; run --rm "$rootfs" one sh -c "echo out; id -u; $wait; exit 6" > "$out" 2>/dev/null & seen 6
        run --detach "$rootfs" two sleep 1000; echo "code $?"
        ctr task exec --exec-id x two sh -c "cat /proc/1/cmdline; $wait; exit 9" > "$out" 2>/dev/null & seen 11
        status() {{ ctr task ls | grep two | grep -o '[A-Z]*$'; }}
        status; ctr task pause two; status; ctr task resume two; status
        ctr task kill --signal KILL two
        until [ "$(status)" = STOPPED ]; do sleep 0.05; done
        ctr task rm two 2>/dev/null; ctr container rm two
        run --rm "$rootfs" three nope 2>&1 | grep -o 'executable file not found'
        ctr container rm three; ctr container ls --quiet | wc -l
        "#
    );
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script, "sh"])
        .arg(bundle.path())
        .arg(runtime())
        .arg(bundle.cgroup())
        .output()
        .unwrap();
    let expected = "out\n0\ncode 6\ncode 0\nsleep\u{0}1000\u{0}code 9\nRUNNING\nPAUSED\nRUNNING\n\
        executable file not found\n0\n";
    let said = String::from_utf8_lossy(&output.stderr);
    let log = fs::read_to_string(bundle.path().join("log")).unwrap_or_default();
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{said}\n{log}");
    assert!(bundle.cgroups_left().is_empty());
}
