//! Further processes in a running container, of the program that started it and of others.

#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::time::Duration;

use plywood::container::{Signal, Stdio};
use plywood::{Container, Engine, ErrorKind};
use support::{engine, image, sh, text};

/// A container that waits, and the same as a second program sees it.
fn waiting(engine: &Engine, image: &plywood::Image) -> (Container, Engine) {
    let container = sh(image, "sleep 1000").env("A", "1").env("B", "2").start(engine).unwrap();
    let other = Engine::open(engine.path()).unwrap();
    (container, other)
}

#[test]
fn another_program_runs_commands_in_a_container() {
    let engine = engine();
    let image = image(&engine);
    let (container, other) = waiting(&engine, &image);
    let found = other.container(container.id().as_str()).unwrap();
    let list = "cd /proc/self/ns; for n in mnt pid ipc uts net cgroup user; do stat -L -c \"$n %i\" $n; done; echo $A";
    let there = text(found.exec(["sh", "-c", list]).output().unwrap());
    let here = text(container.exec(["sh", "-c", list]).output().unwrap());
    assert_eq!(there, here);
    assert!(there.ends_with("1\n"));
    assert_eq!(found.exec(["nothing"]).output().unwrap_err().exit_code(), Some(127));
    container.kill(Signal::KILL).unwrap();
    let _ = container.wait().unwrap();
    let error = found.exec(["true"]).output().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    assert!(error.to_string().ends_with("it is not running"), "{error}");
}

#[test]
fn a_further_process_may_do_what_the_first_one_may_whoever_starts_it() {
    let engine = engine();
    let image = image(&engine);
    let list = "cat /proc/self/status; cat /proc/self/limits";
    let first = sh(&image, list).output(&engine).unwrap();
    let (container, other) = waiting(&engine, &image);
    let found = other.container(container.id().as_str()).unwrap();
    let matters = |text: &str| {
        let kept = ["Cap", "NoNewPrivs", "Seccomp", "Uid", "Gid", "Groups", "SigBlk", "SigIgn", "SigCgt", "Max"];
        let lines = text.lines().filter(|line| kept.iter().any(|word| line.starts_with(word)));
        lines.map(str::to_owned).collect::<Vec<_>>().join("\n")
    };
    let expected = matters(&text(first));
    assert!(expected.contains("NoNewPrivs:\t1"), "{expected}");
    for container in [&container, &found] {
        assert_eq!(matters(&text(container.exec(["sh", "-c", list]).output().unwrap())), expected);
    }
}

#[test]
fn variables_are_set_and_removed_and_privileges_given() {
    let engine = engine();
    let image = image(&engine);
    let (container, _other) = waiting(&engine, &image);
    let exec = container.exec(["sh", "-c", "echo \"${A-none} ${B-none} ${C-none}\""]).env("C", "3").env_remove("B");
    assert_eq!(text(exec.output().unwrap()), "1 none 3\n");
    let bounding = "while read name value; do case $name in CapBnd:) echo $value;; esac; done </proc/self/status";
    let few = text(container.exec(["sh", "-c", bounding]).output().unwrap());
    let many = text(container.exec(["sh", "-c", bounding]).privileged().output().unwrap());
    let set = |text: &str| u64::from_str_radix(text.trim(), 16).unwrap();
    assert!(set(&many) > set(&few), "{many} {few}");
    assert_eq!(text(container.exec(["pwd"]).workdir("/dev").output().unwrap()), "/dev\n");
}

#[test]
fn a_further_process_runs_beside_the_program() {
    let engine = engine();
    let image = image(&engine);
    let (container, _other) = waiting(&engine, &image);
    let cat = container.exec(["cat"]).stdin(Stdio::piped()).stdout(Stdio::piped()).start().unwrap();
    assert_eq!(cat.try_wait(), None);
    assert_eq!(cat.argv(), ["cat"]);
    assert!(cat.pid() > 1 && !cat.has_terminal());
    let (mut stdin, mut stdout) = (cat.take_stdin().unwrap(), cat.take_stdout().unwrap());
    stdin.write_all(b"through\n").unwrap();
    let mut read = [0; 8];
    stdout.read_exact(&mut read).unwrap();
    assert_eq!(&read, b"through\n");
    drop(stdin);
    assert!(cat.wait().success());
    let sleep = container.exec(["sleep", "1000"]).start().unwrap();
    assert_eq!(sleep.wait_timeout(Duration::from_millis(10)), None);
    sleep.kill(Signal::TERM).unwrap();
    assert_eq!(sleep.wait().signal(), Some(15));
    assert_eq!(sleep.kill(Signal::TERM).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn a_detached_process_uses_no_stream_of_the_program() {
    let engine = engine();
    let image = image(&engine);
    let (container, _other) = waiting(&engine, &image);
    let touch = container.exec(["touch", "/made"]).detach().start().unwrap();
    assert!(touch.wait().success());
    assert_eq!(text(container.exec(["ls", "/made"]).output().unwrap()), "/made\n");
    for refused in [
        container.exec(["true"]).detach().stdout(Stdio::piped()),
        container.exec(["true"]).detach().tty().stdout(Stdio::piped()),
    ] {
        assert_eq!(refused.start().unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
    // The container takes it along.
    let sleep = container.exec(["sleep", "1000"]).detach().start().unwrap();
    let bound = container.exec(["sleep", "1000"]).start().unwrap();
    assert_eq!(bound.leave().unwrap_err().kind(), ErrorKind::InvalidArgument);
    container.kill(Signal::KILL).unwrap();
    assert_eq!(sleep.wait().signal(), Some(9));
}

#[test]
fn the_processes_of_a_container_are_listed_by_every_program() {
    let engine = engine();
    let image = image(&engine);
    let (container, other) = waiting(&engine, &image);
    let beside = container.exec(["sh", "-c", "sleep 2000; :"]).start().unwrap();
    let found = other.container(container.id().as_str()).unwrap();
    // The shells may not have come as far as their sleeps.
    let expected = ["sleep 1000", "sh -c sleep 2000; :", "sleep 2000"];
    let processes = loop {
        let processes = found.top().unwrap();
        if expected.iter().all(|command| processes.iter().any(|process| process.command == *command)) {
            break processes;
        }
    };
    let by_command = |command: &str| processes.iter().find(|process| process.command == command).unwrap();
    let [first, shell, last] = expected.map(by_command);
    assert_eq!((processes[0].pid, processes[0].parent, first.uid), (1, 0, 0));
    assert_eq!((shell.parent, shell.host_pid), (0, beside.pid()));
    assert_eq!((last.parent, last.uid), (shell.pid, 0));
    assert!(processes[0].started_at <= last.started_at, "{processes:?}");
    container.kill(Signal::KILL).unwrap();
    let _ = container.wait().unwrap();
    assert_eq!(found.top().unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn a_container_is_found_under_its_new_name_only() {
    let engine = engine();
    let image = image(&engine);
    let container = sh(&image, "true").name("old").create(&engine).unwrap();
    let before = container.name();
    container.rename("new").unwrap();
    assert_eq!((before, container.name()), ("old", "new"));
    let other = Engine::open(engine.path()).unwrap();
    assert_eq!(other.container("new").unwrap().id(), container.id());
    assert_eq!(other.container("old").unwrap_err().kind(), ErrorKind::NotFound);
    let second = sh(&image, "sleep 1000").name("old").start(&engine).unwrap();
    let taken = second.rename("new").unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists, "{taken}");
    assert_eq!(second.rename("a/b").unwrap_err().kind(), ErrorKind::InvalidArgument);
    let foreign = other.container("old").unwrap().rename("mine").unwrap_err();
    assert_eq!(foreign.kind(), ErrorKind::InUse, "{foreign}");
    // What the program writes at the end of the process has the new name too.
    second.rename("later").unwrap();
    second.kill(Signal::KILL).unwrap();
    let _ = second.wait().unwrap();
    assert_eq!(other.container("later").unwrap().id(), second.id());
}

#[test]
fn attaching_gives_the_streams_from_now_on_and_the_log_keeps_them() {
    let engine = engine();
    let image = image(&engine);
    let script = "echo before; read a; echo \"out $a\"; echo err >&2; read b; echo last";
    let container = sh(&image, script).stdin(Stdio::piped()).start(&engine).unwrap();
    let before = container.logs().follow().read().unwrap().next().unwrap();
    assert_eq!(before.text, "before");
    let other = Engine::open(engine.path()).unwrap().container(container.id().as_str()).unwrap();
    assert_eq!(other.attach().unwrap_err().kind(), ErrorKind::Unsupported);
    let mut attached = container.attach().unwrap();
    assert!(attached.terminal.is_none() && container.take_stdin().is_none());
    let mut second = container.attach().unwrap();
    attached.stdin.take().unwrap().write_all(b"x\ny\n").unwrap();
    let (mut out, mut err, mut again) = (String::new(), String::new(), String::new());
    attached.stdout.read_to_string(&mut out).unwrap();
    attached.stderr.read_to_string(&mut err).unwrap();
    second.stdout.read_to_string(&mut again).unwrap();
    assert_eq!((out.as_str(), err.as_str(), again.as_str()), ("out x\nlast\n", "err\n", "out x\nlast\n"));
    assert!(container.wait().unwrap().success());
    assert_eq!(container.logs().read().unwrap().count(), 4);
    assert_eq!(container.attach().unwrap_err().kind(), ErrorKind::InvalidArgument);
    let piped = sh(&image, "sleep 1000").stdout(Stdio::piped()).stderr(Stdio::null()).start(&engine).unwrap();
    assert_eq!(piped.attach().unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn attaching_to_a_terminal_shows_it_and_types() {
    let engine = engine();
    let image = image(&engine);
    let container = sh(&image, "read a; echo \"<$a>\"").tty().start(&engine).unwrap();
    let mut attached = container.attach().unwrap();
    attached.terminal.as_mut().unwrap().write_all(b"typed\n").unwrap();
    let mut shown = String::new();
    attached.stdout.read_to_string(&mut shown).unwrap();
    assert!(shown.ends_with("<typed>\r\n"), "{shown:?}");
}

#[test]
fn a_shell_of_the_host_enters_a_container_whose_image_has_none() {
    let engine = engine();
    // Nothing but one program.
    let nothing = engine.build(&plywood::Layers::new().from(plywood::Base::host(["sleep"]))).unwrap();
    let container = Container::of(&nothing).cmd(["sleep", "1000"]).hostname("bare").start(&engine).unwrap();
    assert_eq!(container.exec(["sh"]).output().unwrap_err().exit_code(), Some(127));
    let before = text(sh(&image(&engine), "echo here").output(&engine).unwrap());
    assert_eq!(before, "here\n");
    let script = "pwd; cat /proc/sys/kernel/hostname; id -u; stat -c %F /container/proc; touch /container/made; ls /container/etc/..; \
                  cat /proc/1/comm; echo \"$PATH\" | grep -c bin; readlink /proc/self/ns/net";
    let other = Engine::open(engine.path()).unwrap();
    for container in [&container, &other.container(container.id().as_str()).unwrap()] {
        let shown = text(container.enter(["sh", "-c", script]).output().unwrap());
        assert!(shown.starts_with("/container\nbare\n0\ndirectory\n") && shown.contains("\nmade\n"), "{shown}");
    }
    // What it made in the container is there; its own root is nowhere.
    assert_eq!(container.inspect().unwrap().state(), plywood::container::State::Running);
    let own = text(container.enter(["ls", "/"]).output().unwrap());
    assert!(own.lines().any(|name| name == "container") && own.lines().any(|name| name == "usr"), "{own}");
    let mounts = text(container.enter(["cat", "/proc/1/mounts"]).output().unwrap());
    assert!(!mounts.contains("/container"), "{mounts}");
    // It may do what the container may.
    let status = text(container.enter(["cat", "/proc/self/status"]).output().unwrap());
    let first = text(container.enter(["cat", "/proc/1/status"]).output().unwrap());
    let line = |text: &str, name: &str| text.lines().find(|line| line.starts_with(name)).map(str::to_owned);
    for name in ["CapBnd", "NoNewPrivs", "Seccomp:"] {
        assert_eq!(line(&status, name), line(&first, name));
    }
    let terminal = container.enter(["sh", "-c", "stty size; exit 3"]).tty_size(9, 90).output().unwrap();
    assert_eq!((terminal.status.code(), terminal.stdout.as_slice()), (3, b"9 90\r\n".as_slice()));
    let error = container.enter(["no-such-program"]).output().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

#[test]
fn a_command_runs_in_a_container_that_is_to_stay_since_it_was_started() {
    let engine = engine();
    let mut container = sh(&image(&engine), "while :; do sleep 60; done").start(&engine).unwrap();
    container.persist().unwrap();
    assert_eq!(text(container.exec(["echo", "here"]).output().unwrap()), "here\n");
    container.kill_and_remove().unwrap();
}
