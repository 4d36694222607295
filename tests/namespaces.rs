//! Which namespaces a container shares with the host, or with another one.

#![allow(clippy::unwrap_used)]

use std::fs::{metadata, read_dir, read_to_string};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use plywood::container::{Definition, IpcMode, NamespaceMode, Output, RestartPolicy, Signal, UserNamespace};
use plywood::{ByteSize, Container, Engine, ErrorKind};
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
    definition.ipc_namespace(IpcMode::Host).uts_namespace(host).cgroup_namespace(host)
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

/// A container whose shared memory is there for others, with a file in it.
fn shareable(engine: &Engine) -> Container {
    let definition = sh(&image(engine), "sleep 1000").ipc_namespace(IpcMode::Shareable);
    let container = definition.start(engine).unwrap();
    assert!(container.exec(["sh", "-c", "echo mine > /dev/shm/a"]).status().unwrap().success());
    container
}

#[test]
fn shareable_memory_is_shared_with_those_that_are_given_it() {
    support::require_root!();
    let engine = engine();
    let image = image(&engine);
    let source = shareable(&engine);
    for init in [true, false] {
        let definition = sh(&image, "sleep 1000").init(init).ipc_namespace(&source);
        let container = definition.start(&engine).unwrap();
        let numbers = |container: &Container| of(&container.inspect().unwrap().pid().unwrap().to_string());
        let (own, others) = (numbers(&container), numbers(&source));
        assert_eq!(own[0], others[0]);
        assert!(own[1] != others[1] && own[2] != others[2], "{own:?} {others:?}");
        let script = "stat -L -c %i /proc/self/ns/ipc; cat /dev/shm/a; echo yours > /dev/shm/b; ls /dev/mqueue";
        assert_eq!(text(container.exec(["sh", "-c", script]).output().unwrap()), format!("{}\nmine\n", own[0]));
        assert_eq!(text(source.exec(["cat", "/dev/shm/b"]).output().unwrap()), "yours\n");
        let mounts = text(container.exec(["cat", "/proc/mounts"]).output().unwrap());
        let shared: Vec<_> = mounts.lines().filter(|line| line.contains(" /dev/shm tmpfs ")).collect();
        assert!(matches!(shared[..], [line] if line.contains("nosuid,nodev,noexec")), "{mounts}");
        // Names and files stay its own.
        assert_eq!(
            text(container.exec(["ls", "/"]).output().unwrap()),
            text(source.exec(["ls", "/"]).output().unwrap())
        );
        assert_eq!(
            text(container.exec(["cat", "/proc/sys/kernel/hostname"]).output().unwrap()),
            format!("{}\n", container.id().short())
        );
    }
    assert_eq!(text(source.exec(["cat", "/dev/shm/a"]).output().unwrap()), "mine\n");
}

#[test]
fn a_kept_container_shares_the_memory_of_one_that_runs() {
    support::require_root!();
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::open(directory.path()).unwrap();
    let source = shareable(&engine);
    let script = "cat /dev/shm/a; exec sleep 1000";
    let mut container = sh(&image(&engine), script).ipc_namespace(&source).keep().create(&engine).unwrap();
    for _ in 0..2 {
        container.start_kept().unwrap();
        assert_eq!(text(container.exec(["cat", "/dev/shm/a"]).output().unwrap()), "mine\n");
        let _ = container.stop(Duration::ZERO).unwrap();
    }
    drop(source);
    assert_eq!(container.start_kept().unwrap_err().kind(), ErrorKind::NotFound);
    container.remove().unwrap();
}

#[test]
fn memory_of_others_is_not_shared_against_their_will() {
    let engine = engine();
    let image = image(&engine);
    let refused = |source: &Container, definition: Definition, kind: ErrorKind, message: &str| {
        let error = definition.ipc_namespace(source).start(&engine).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(message), "{error}");
        assert!(error.hint().is_some(), "{error}");
    };
    let joins = || sh(&image, "true");
    for (mode, message) in [
        (IpcMode::Private, "it keeps it to itself"),
        (IpcMode::None, "it has none"),
        (IpcMode::Host, "it has that of the host"),
    ] {
        let closed = sh(&image, "sleep 1000").ipc_namespace(mode).start(&engine).unwrap();
        refused(&closed, joins(), ErrorKind::PermissionDenied, message);
    }
    let source = sh(&image, "sleep 1000").ipc_namespace(IpcMode::Shareable);
    if !support::is_root() {
        refused(&source.start(&engine).unwrap(), joins(), ErrorKind::Unsupported, "user namespace");
        return;
    }
    let mapped = source.user_namespace(UserNamespace::Private).start(&engine).unwrap();
    refused(&mapped, joins(), ErrorKind::Unsupported, "user namespace");
    let mapped = joins().user_namespace(UserNamespace::Private);
    let open = shareable(&engine);
    refused(&open, mapped, ErrorKind::Unsupported, "user namespace");
    let joined = sh(&image, "sleep 1000").ipc_namespace(&open).start(&engine).unwrap();
    refused(&joined, joins(), ErrorKind::PermissionDenied, "it has that of another one");
    let ended = shareable(&engine);
    ended.kill(Signal::KILL).unwrap();
    let _ = ended.wait().unwrap();
    let error = joins().ipc_namespace(&ended).start(&engine).unwrap_err();
    assert!(error.to_string().contains("is not running"), "{error}");
}

#[test]
fn without_shared_memory_there_is_none() {
    let engine = engine();
    let none = sh(&image(&engine), "test ! -e /dev/shm && ls -d /dev/mqueue").ipc_namespace(IpcMode::None);
    assert_eq!(text(none.output(&engine).unwrap()), "/dev/mqueue\n");
}

#[test]
fn what_belongs_to_the_memory_of_another_one_is_not_set() {
    let engine = engine();
    let image = image(&engine);
    let source = sh(&image, "true").ipc_namespace(IpcMode::Shareable).create(&engine).unwrap();
    let joins = || sh(&image, "true").ipc_namespace(&source);
    let message = "the container has the shared memory and message queues of another one";
    for (definition, message) in [
        (joins().shm_size(ByteSize::mib(1)), format!("set the size of /dev/shm: {message}")),
        (joins().sysctl("kernel.shmmax", "1"), format!("set kernel.shmmax: {message}")),
        (sh(&image, "true").ipc_namespace(IpcMode::None).shm_size(ByteSize::mib(1)), "it has none".into()),
        (joins().keep().restart(RestartPolicy::Always), "its supervisor cannot join the shared memory".into()),
    ] {
        let error = definition.create(&engine).unwrap_err();
        assert!(error.to_string().contains(&message), "{error}");
    }
}
