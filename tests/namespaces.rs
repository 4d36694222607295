//! Which namespaces a container shares with the host.

#![allow(clippy::unwrap_used)]

use std::fs::{metadata, read_dir, read_to_string};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use plywood::container::{Definition, NamespaceMode, Output, UserNamespace};
use plywood::{ByteSize, Engine, ErrorKind};
use support::{engine, image, sh, text};

const NAMES: [&str; 3] = ["ipc", "uts", "cgroup"];

/// Writes the numbers of those that it is in.
const TELL: &str = "cd /proc/self/ns && stat -L -c %i ipc uts cgroup";

/// The numbers of those that a process is in.
fn of(process: &str) -> Vec<u64> {
    NAMES.iter().map(|name| metadata(format!("/proc/{process}/ns/{name}")).unwrap().ino()).collect()
}

fn told(output: Output) -> Vec<u64> {
    text(output).lines().map(|line| line.parse().unwrap()).collect()
}

fn shared(definition: Definition) -> Definition {
    let host = NamespaceMode::Host;
    definition.ipc_namespace(host).uts_namespace(host).cgroup_namespace(host)
}

/// Those of the first process and those that `exec` joins.
fn seen(definition: Definition, engine: &Engine) -> [Vec<u64>; 2] {
    let container = definition.start(engine).unwrap();
    let joined = told(container.exec(["sh", "-c", TELL]).output().unwrap());
    [of(&container.inspect().unwrap().pid().unwrap().to_string()), joined]
}

#[test]
fn they_are_its_own_or_the_hosts() {
    let engine = engine();
    let image = image(&engine);
    let [first, joined] = seen(sh(&image, "sleep 1000"), &engine);
    assert_eq!(first, joined);
    assert!(first.iter().zip(of("self")).all(|(own, host)| *own != host), "{first:?}");
    let host = [of("self"), of("self")];
    assert_eq!(seen(shared(sh(&image, "sleep 1000")), &engine), host);
    assert_eq!(seen(shared(sh(&image, "sleep 1000")).init(false), &engine), host);
    if support::is_root() {
        let private = shared(sh(&image, "sleep 1000")).user_namespace(UserNamespace::Private);
        assert_eq!(seen(private, &engine), host);
    }
}

#[test]
fn a_kept_container_shares_them_at_each_start() {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::open(directory.path()).unwrap();
    let image = image(&engine);
    let mut container = shared(sh(&image, "sleep 1000")).keep().create(&engine).unwrap();
    for _ in 0..2 {
        container.start_kept().unwrap();
        assert_eq!(told(container.exec(["sh", "-c", TELL]).output().unwrap()), of("self"));
        let _ = container.stop(Duration::ZERO).unwrap();
    }
    container.remove().unwrap();
}

#[test]
fn what_they_hold_is_the_hosts() {
    let engine = engine();
    let image = image(&engine);
    let file = tempfile::Builder::new().prefix("plywood-").tempfile_in("/dev/shm").unwrap();
    std::fs::write(file.path(), "shared\n").unwrap();
    let name = file.path().file_name().unwrap().to_str().unwrap();
    let script = format!("cat /dev/shm/{name} /proc/sys/kernel/hostname /etc/hostname; ls /sys/fs/cgroup");
    let done = text(shared(sh(&image, &script)).user("0").output(&engine).unwrap());
    let host = read_to_string("/proc/sys/kernel/hostname").unwrap();
    let groups = done.strip_prefix(&format!("shared\n{host}{host}")).unwrap_or_else(|| panic!("{done}"));
    // Groups come and go meanwhile.
    let mut known = read_dir("/sys/fs/cgroup").unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(known.any(|name| groups.lines().any(|line| line == name)), "{done}");
    let write = sh(&image, "mkdir /sys/fs/cgroup/plywood-x").cgroup_namespace(NamespaceMode::Host);
    let refused = write.output(&engine).unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("Read-only"), "{refused:?}");
}

#[test]
fn what_would_change_the_host_is_refused() {
    let engine = engine();
    let image = image(&engine);
    let shared = || shared(sh(&image, "true"));
    for (definition, message) in [
        (shared().hostname("x"), "set its host name: it has that of the host"),
        (shared().domainname("x"), "set its domain name: it has that of the host"),
        (shared().shm_size(ByteSize::mib(1)), "set the size of /dev/shm: the container has the shared memory"),
        (shared().sysctl("kernel.shmmax", "1"), "set kernel.shmmax: the container has the shared memory"),
        (shared().sysctl("kernel.domainname", "x"), "set kernel.domainname: the container has the names of the host"),
    ] {
        let error = definition.create(&engine).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains(message), "{error}");
    }
}
