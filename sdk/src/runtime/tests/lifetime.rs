//! From start to end: programs, output, signals, exec.

use std::fs::File;
use std::io::Write;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use rustix::process::{DumpableBehavior, dumpable_behavior};

use super::support::*;
use crate::ErrorKind;
use crate::runtime::{Input, Output, ProcessSpec, Sink, Stdio, exec, start};

#[test]
fn a_container_runs_and_reports_its_exit_code() {
    require_containers!();
    let tree = Tree::new();
    let done = tree.shell("echo out; echo err >&2; exit 7");
    assert_eq!(done.status.code(), 7, "{done:?}");
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("out\n", "err\n"));
    assert!(output(&tree.bundle(["true"])).unwrap().status.success());
    assert_eq!(output(&tree.bundle(["false"])).unwrap().status.code(), 1);
}

#[test]
fn a_killed_container_reports_the_signal() {
    require_containers!();
    let tree = Tree::new();
    let process = start_quiet(&tree.bundle(["sleep", "1000"])).unwrap();
    assert!(process.is_running());
    assert_eq!(process.wait_timeout(Duration::from_millis(1)), None);
    process.signal(libc::SIGKILL).unwrap();
    let status = process.wait();
    assert_eq!((status.code(), status.signal()), (137, Some(9)));
    assert_eq!(process.try_wait(), Some(status));
    assert_eq!(process.signal(libc::SIGTERM).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_program_that_cannot_be_executed_is_explained() {
    require_containers!();
    let tree = Tree::new();
    tree.script("bin/plain", "exit 0\n", 0o755);
    tree.script("bin/lost", "#!/opt/python3 -u\n", 0o755);
    tree.script("bin/locked", "#!/bin/sh\n", 0o600);
    tree.script("bin/empty", "", 0o755);
    let other = if cfg!(target_arch = "x86_64") { 183 } else { 62 };
    let mut elf = *b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\0\0\x01\0\0\0";
    elf[18] = other;
    std::fs::write(tree.path("lower/bin/foreign"), elf).unwrap();
    tree.script("etc/passwd", "", 0o644);
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(tree.path("lower/bin/foreign"), executable).unwrap();
    for (program, code, kind, message) in [
        ("nothing", 127, ErrorKind::NotFound, "no such command in the container (searched PATH /none:/bin)"),
        ("/bin/nothing", 127, ErrorKind::NotFound, "no such file in the container"),
        ("/bin/sh/x", 127, ErrorKind::NotFound, "no such file in the container"),
        ("lost", 127, ErrorKind::NotFound, "its interpreter \"/opt/python3\" does not exist in the container"),
        ("plain", 126, ErrorKind::Unsupported, "is neither a program nor a script"),
        ("empty", 126, ErrorKind::Unsupported, "is neither a program nor a script"),
        ("foreign", 126, ErrorKind::Unsupported, "and this machine is"),
        ("locked", 126, ErrorKind::PermissionDenied, "\"/bin/locked\" may not be executed by this user"),
        ("/etc", 126, ErrorKind::PermissionDenied, "\"/etc\" is a directory"),
        ("/etc/passwd", 126, ErrorKind::PermissionDenied, "may not be executed"),
    ] {
        let mut bundle = tree.bundle([program]);
        bundle.process.env = vec!["PATH=/none:/bin".into()];
        let error = start_quiet(&bundle).unwrap_err();
        assert!(error.to_string().starts_with(&format!("start {program:?}: ")), "{error}");
        assert!(error.to_string().contains(message), "{error}");
        assert_eq!((error.exit_code(), error.kind()), (Some(code), kind), "{error}");
    }
    let mut bundle = tree.bundle([""]);
    assert_eq!(start_quiet(&bundle).unwrap_err().kind(), ErrorKind::InvalidArgument);
    bundle.process = ProcessSpec::new(["sh", "a\0b"]);
    assert!(start_quiet(&bundle).unwrap_err().to_string().contains("holds a NUL"));
}

#[test]
fn large_output_is_captured_and_blocks_nobody() {
    require_containers!();
    let tree = Tree::new();
    let done = tree.shell("dd if=/dev/zero bs=1024 count=10240 2>/dev/null; echo end >&2");
    assert_eq!((done.stdout.len(), done.stderr.as_str()), (10 * 1024 * 1024, "end\n"));
}

#[test]
fn input_comes_from_a_pipe_and_output_goes_to_a_file() {
    require_containers!();
    let tree = Tree::new();
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let file = File::create(tree.path("out")).unwrap();
    let stdio = Stdio { stdin: Input::Fd(reader), stdout: Output::Fd(file.into()), stderr: Output::Null };
    let process = start(&tree.bundle(["cat"]), stdio, Box::new(|_| ())).unwrap();
    File::from(writer).write_all(b"through\n").unwrap();
    assert!(process.wait().success());
    assert_eq!(std::fs::read_to_string(tree.path("out")).unwrap(), "through\n");
}

#[test]
fn many_threads_start_containers_at_once() {
    require_containers!();
    let tree = Tree::new();
    let before = dumpable_behavior().unwrap();
    thread::scope(|scope| {
        for number in 0..50 {
            let mut bundle = tree.bundle(["sh", "-c", "echo $NUMBER; exit $NUMBER"]);
            let crate::runtime::Rootfs::Overlay { upper, work, .. } = &mut bundle.rootfs else { unreachable!() };
            (*upper, *work) = (tree.path(&format!("upper{number}")), tree.path(&format!("work{number}")));
            std::fs::create_dir(upper).unwrap();
            std::fs::create_dir(work).unwrap();
            bundle.process.env.push(format!("NUMBER={number}"));
            scope.spawn(move || {
                let done = output(&bundle).unwrap();
                assert_eq!((done.status.code(), done.stdout), (number, format!("{number}\n")));
            });
        }
    });
    // Tests that run beside this one in the same process may have it cleared at this moment.
    if std::env::var_os("NEXTEST").is_some() {
        assert_eq!(dumpable_behavior().unwrap(), before);
    }
}

#[test]
fn starting_leaves_the_host_program_as_it_was() {
    require_containers!();
    // Descriptors and flags belong to the process: only where no other test runs in it can they be compared.
    if std::env::var_os("NEXTEST").is_none() {
        return;
    }
    let tree = Tree::new();
    let files = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let mounts =
        || std::fs::read_to_string("/proc/self/mountinfo").unwrap().matches(tree.dir.path().to_str().unwrap()).count();
    tree.shell("true");
    let before = files();
    for user in [0, 1000] {
        let mut bundle = tree.bundle(["true"]);
        (bundle.process.user.uid, bundle.process.user.gid) = (user, user);
        assert!(output(&bundle).unwrap().status.success());
        start_quiet(&tree.bundle(["nothing"])).unwrap_err();
    }
    assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::Dumpable);
    assert_eq!(files(), before, "descriptors leak");
    assert_eq!(mounts(), 0);
}

#[test]
fn the_end_is_told_before_wait_returns_and_a_panic_stops_nobody() {
    require_containers!();
    struct Panics;
    impl Sink for Panics {
        fn write(&mut self, _: &[u8]) {
            panic!("in a sink");
        }
    }
    let tree = Tree::new();
    let (told, hear) = channel();
    let stdio = Stdio { stdin: Input::Null, stdout: Output::Sink(Box::new(Panics)), stderr: Output::Null };
    let bundle = tree.bundle(["sh", "-c", "echo; dd if=/dev/zero bs=1024 count=200; exit 3"]);
    let process = start(&bundle, stdio, Box::new(move |status| told.send(*status).unwrap())).unwrap();
    assert_eq!(process.wait().code(), 3);
    assert_eq!(hear.try_recv().unwrap().code(), 3);
    let process = start(&tree.bundle(["true"]), Stdio::null(), Box::new(|_| panic!("in a callback"))).unwrap();
    assert!(process.wait().success());
    assert!(tree.shell("true").status.success());
}

#[test]
fn exec_joins_the_container() {
    require_containers!();
    let tree = Tree::new();
    let process = start_quiet(&tree.bundle(["sleep", "1000"])).unwrap();
    let done = exec_shell(
        &process,
        "hostname; echo $$ >/tmp/pid; cat /proc/1/comm; ls /proc/self/fd; grep -c . /proc/self/mounts >/dev/null; pwd; exit 5",
    );
    assert_eq!(done.status.code(), 5, "{done:?}");
    assert_eq!(done.stdout, "box\nplywood-init\n0\n1\n2\n3\n/\n", "{done:?}");
    let inside: u32 = std::fs::read_to_string(tree.path("upper/tmp/pid")).unwrap().trim().parse().unwrap();
    assert!((2..100).contains(&inside), "a number of the container's own pid namespace: {inside}");
    for kind in ["mnt", "pid", "ipc", "uts", "net", "cgroup", "user"] {
        let line = format!("readlink /proc/1/ns/{kind}; readlink /proc/self/ns/{kind}");
        let done = exec_shell(&process, &line);
        let (first, second) = done.stdout.split_once('\n').unwrap();
        assert_eq!(first, second.trim(), "{done:?}");
        let host = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        assert_eq!(host.to_str() == Some(first), kind == "user" && is_root(), "{kind}");
    }
    for name in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "SigBlk"] {
        let line = format!("grep {name}: /proc/2/status; grep {name}: /proc/self/status");
        let done = exec_shell(&process, &line);
        let (first, second) = done.stdout.split_once('\n').unwrap();
        assert_eq!(first, second.trim_end(), "{done:?}");
    }
    // The init may do no more than what it started; only signals it blocks, to wait for them.
    for name in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters"] {
        let done = exec_shell(&process, &format!("grep ^{name}: /proc/1/status; grep ^{name}: /proc/2/status"));
        let (init, payload) = done.stdout.split_once('\n').unwrap();
        assert!(init.starts_with(name), "{done:?}");
        assert_eq!(init, payload.trim_end(), "{done:?}");
    }
    let error = exec(&process, &ProcessSpec::new(["nothing"]), Stdio::null()).unwrap_err();
    assert_eq!(error.exit_code(), Some(127), "{error}");
    let mut spec = ProcessSpec::new(["/bin/true"]);
    spec.cwd = at("/proc/self/fd/0");
    let error = exec(&process, &spec, Stdio::null()).unwrap_err();
    assert!(error.to_string().starts_with("use the working directory \"/proc/self/fd/0\""), "{error}");
    process.signal(libc::SIGKILL).unwrap();
    let _ = process.wait();
    let error = exec(&process, &ProcessSpec::new(["/bin/true"]), Stdio::null()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

#[test]
fn a_background_process_of_exec_does_not_hold_up_wait() {
    require_containers!();
    let tree = Tree::new();
    let process = start_quiet(&tree.bundle(["sleep", "1000"])).unwrap();
    let done = exec_shell(&process, "sleep 1000 & echo started");
    assert_eq!((done.status.code(), done.stdout.as_str()), (0, "started\n"));
    process.signal(libc::SIGKILL).unwrap();
    let _ = process.wait();
}

#[test]
fn r34_a_container_that_is_killed_while_processes_join_is_an_error_or_a_killed_process() {
    require_containers!();
    let tree = Tree::new();
    let process = start_quiet(&tree.bundle(["sleep", "1000"])).unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10 {
                    match exec(&process, &ProcessSpec::new(["/bin/true"]), Stdio::null()) {
                        Ok(joined) => assert!([0, 137].contains(&joined.wait().code())),
                        Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}"),
                    }
                }
            });
        }
        process.signal(libc::SIGKILL).unwrap();
    });
    assert_eq!(process.wait().signal(), Some(9));
}

#[test]
fn all_of_this_works_as_an_ordinary_user_too() {
    require_containers!();
    if !is_root() {
        return;
    }
    use std::os::unix::process::CommandExt;
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o1777)).unwrap();
    let program = dir.path().join("tests");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut tests = std::process::Command::new(&program);
    tests.args(["runtime::tests::", "--test-threads", "4"]).current_dir(dir.path()).env("TMPDIR", dir.path());
    let done = tests.env_remove("NEXTEST").uid(NOBODY).gid(NOBODY).output().unwrap();
    let text = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && text.contains("test result: ok."), "{text}");
}

/// The overflow id, as which nobody is logged in.
const NOBODY: u32 = 65534;

#[test]
fn the_end_of_the_container_ends_everything_in_it() {
    require_containers!();
    let tree = Tree::new();
    let done = tree.shell("sleep 1000 & sleep 1000 & echo started; exit 0");
    assert_eq!((done.status.code(), done.stdout.as_str()), (0, "started\n"));
}

/// What the name of a test that acts as a host program is told by.
const HOST: &str = "PLYWOOD_TEST_HOST";

/// Runs a test of this file as a program of its own, which takes the part of a host program.
fn host_program(test: &str) -> std::process::Command {
    let mut program = std::process::Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", "--nocapture", &format!("runtime::tests::lifetime::{test}")]).env(HOST, "1");
    program
}

#[test]
fn a_container_ends_with_a_killed_host_program() {
    require_containers!();
    if std::env::var_os(HOST).is_some() {
        let tree = Tree::new();
        let process = start_quiet(&tree.bundle(["sleep", "1000"])).unwrap();
        std::fs::write("pid", process.pid().to_string()).unwrap();
        std::io::stderr().write_all(b"started").unwrap();
        let _ = process.wait();
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut host = host_program("a_container_ends_with_a_killed_host_program");
    host.current_dir(dir.path()).env("TMPDIR", dir.path()).stderr(std::process::Stdio::piped());
    let mut host = host.stdout(std::process::Stdio::null()).spawn().unwrap();
    std::io::Read::read_exact(&mut host.stderr.take().unwrap(), &mut [0; 7]).unwrap();
    let pid: i32 = std::fs::read_to_string(dir.path().join("pid")).unwrap().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    let container = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
    host.kill().unwrap();
    host.wait().unwrap();
    let mut ended = [rustix::event::PollFd::new(&container, rustix::event::PollFlags::IN)];
    let limit = rustix::event::Timespec { tv_sec: 10, tv_nsec: 0 };
    let ended = rustix::event::poll(&mut ended, Some(&limit)).unwrap();
    open_closed(dir.path());
    assert_eq!(ended, 1, "the container is still there");
}

#[test]
fn c13_a_host_program_that_ignores_the_end_of_its_children_sees_their_exit_codes() {
    require_containers!();
    if std::env::var_os(HOST).is_some() {
        crate::sys::wait::ignore_children();
        let tree = Tree::new();
        for code in [0, 3, 200] {
            assert_eq!(tree.shell(&format!("exit {code}")).status.code(), code);
        }
        let process = start_quiet(&tree.bundle(["sleep", "1000"])).unwrap();
        process.signal(libc::SIGKILL).unwrap();
        assert_eq!(process.wait().signal(), Some(9));
        return;
    }
    // An older kernel forgets: the code is 255 then.
    if !crate::sys::wait::keeps_ends() {
        return;
    }
    let test = "c13_a_host_program_that_ignores_the_end_of_its_children_sees_their_exit_codes";
    let done = host_program(test).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}
