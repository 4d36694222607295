//! Containers among the processes of the host, or of another container.

#![allow(clippy::unwrap_used)]

use std::fs::{metadata, read_to_string};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Duration;

use plywood::container::{Definition, NamespaceMode, RestartPolicy, Signal, Stdio, UserNamespace};
use plywood::{Container, Durability, Engine, ErrorKind, Image};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use support::place::Place;
use support::victim::{self, Victim};
use support::{engine, image, require_root, sh, text};

/// Leaves a process behind, tells its number, and waits for a word.
const LEAVE: &str = "(sleep 1000 & echo $!); read word";

/// Writes the number of the pid namespace that it is in.
const TELL: &str = "stat -L -c %i /proc/self/ns/pid";

fn host<D>(image: &Image<D>, script: &str) -> Definition<D> {
    sh(image, script).pid_namespace(NamespaceMode::Host)
}

/// Starts it; nothing where the kernel cannot end all of its processes for this user, which it says then.
fn started<D>(definition: Definition<D>, engine: &Engine) -> Option<Container<D>> {
    match definition.start(engine) {
        Err(error) if !support::is_root() => {
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            assert!(error.to_string().contains("let no process outlive a container"), "{error}");
            assert!(error.hint().is_some(), "{error}");
            None
        }
        container => Some(container.unwrap()),
    }
}

/// A process that lives, whatever becomes of its number.
fn process(pid: i32) -> OwnedFd {
    pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap()
}

fn ends(process: &OwnedFd) -> bool {
    let patience = Timespec { tv_sec: 20, tv_nsec: 0 };
    poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&patience)).unwrap() == 1
}

/// The number on the first line, to be read from a pipe.
fn number(from: &mut impl Read) -> i32 {
    let (mut line, mut byte) = (String::new(), [0]);
    while from.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
        line.push(char::from(byte[0]));
    }
    line.parse().unwrap()
}

#[test]
fn it_sees_and_signals_the_processes_of_the_host() {
    let engine = engine();
    let image = image(&engine);
    let Some(container) = started(host(&image, "sleep 1000"), &engine) else { return };
    let run = |script: &str| container.exec(["sh", "-c", script]).output().unwrap();
    let own = std::process::id();
    assert_eq!(text(run(TELL)).trim(), metadata("/proc/self/ns/pid").unwrap().ino().to_string());
    assert_eq!(text(run(&format!("cat /proc/{own}/comm"))), read_to_string("/proc/self/comm").unwrap());
    let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
    let killed = run(&format!("kill -TERM {}", child.id()));
    if !killed.status.success() {
        child.kill().unwrap();
    }
    assert_eq!(child.wait().unwrap().signal(), Some(15), "{killed:?}");
    // What is said of it is about its own ones.
    await_command(&container, "sleep 1000");
    let processes = container.top().unwrap();
    assert!(processes.len() <= 3 && processes.iter().all(|process| process.pid == process.host_pid), "{processes:?}");
    assert!(container.stats().unwrap().pids.current <= 3);
    assert_eq!(container.stop(Duration::from_secs(20)).unwrap().signal(), Some(15));
}

#[test]
fn with_users_of_its_own_it_sees_them_and_signals_none() {
    require_root!();
    let engine = engine();
    let image = image(&engine);
    let definition = host(&image, "cat /proc/1/comm; kill -0 1").user_namespace(UserNamespace::Private);
    let output = definition.output(&engine).unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), read_to_string("/proc/1/comm").unwrap());
    assert!(!output.status.success());
    let Some(container) = started(host(&image, "sleep 1000").user_namespace(UserNamespace::Private), &engine) else {
        return;
    };
    assert!(container.exec(["cat", "/proc/self/status"]).status().unwrap().success());
}

#[test]
fn nothing_of_it_outlives_it() {
    let engine = engine();
    let image = image(&engine);
    for init in [true, false] {
        for end in ["by itself", "killed", "stopped", "dropped"] {
            let definition = host(&image, LEAVE).init(init).stdin(Stdio::piped()).stdout(Stdio::piped());
            let Some(container) = started(definition, &engine) else { return };
            let left = process(number(&mut container.take_stdout().unwrap()));
            match end {
                "by itself" => {
                    container.take_stdin().unwrap().write_all(b"word\n").unwrap();
                    assert!(container.wait().unwrap().success());
                }
                "killed" => {
                    container.kill(Signal::KILL).unwrap();
                    assert_eq!(container.wait().unwrap().signal(), Some(9));
                }
                "stopped" => drop(container.stop(Duration::from_secs(20)).unwrap()),
                _ => drop(container),
            }
            assert!(ends(&left), "{end}, init: {init}");
        }
    }
}

#[test]
fn a_further_process_ends_with_it() {
    let engine = engine();
    let image = image(&engine);
    let Some(container) = started(host(&image, "sleep 1000"), &engine) else { return };
    let other = Engine::open(engine.path()).unwrap();
    let found = other.container(container.id().as_str()).unwrap();
    let mut left = Vec::new();
    for container in [&container, &found] {
        let exec = container.exec(["sh", "-c", LEAVE]).stdin(Stdio::piped()).stdout(Stdio::piped()).start().unwrap();
        left.push(process(number(&mut exec.take_stdout().unwrap())));
        drop(exec.take_stdin());
        let _ = exec.wait();
    }
    container.kill(Signal::KILL).unwrap();
    let _ = container.wait().unwrap();
    assert!(left.iter().all(ends));
}

#[test]
fn nothing_of_it_outlives_a_program_that_is_killed() {
    let name = "nothing_of_it_outlives_a_program_that_is_killed";
    if let Some(directory) = victim::directory() {
        let engine = Engine::open_with(directory.join("root"), Durability::Fast).unwrap();
        let image = image(&engine);
        let definition = host(&image, LEAVE).stdin(Stdio::piped()).stdout(Stdio::piped());
        let Some(container) = started(definition, &engine) else { return victim::tell("none") };
        victim::tell(number(&mut container.take_stdout().unwrap()));
        victim::wait();
    }
    let directory = victim::Directory::new();
    let mut victim = Victim::start(name, directory.path());
    let told = victim.hear().unwrap();
    if told == "none" {
        return;
    }
    let left = process(told.parse().unwrap());
    drop(victim);
    assert!(ends(&left));
    support::left::await_reaper(&directory.path().join("root"));
}

#[test]
fn nothing_of_a_kept_one_outlives_its_runs_or_its_keeper() {
    let place = Place::new();
    let (engine, image) = place.engine();
    let policy = RestartPolicy::OnFailure { retries: Some(1) };
    let script = "(sleep 1000 & echo $!); [ -e /second ] && exec sleep 1000; touch /second; exit 3";
    let Some(container) = started(host(&image, script).keep().restart(policy), &engine) else { return };
    let numbers =
        || -> Vec<i32> { container.logs().read().unwrap().map(|line| line.text.trim().parse().unwrap()).collect() };
    let (first, second) = loop {
        match numbers()[..] {
            [first, second] => break (first, second),
            _ => std::thread::yield_now(),
        }
    };
    // It was killed before that, and may be gone.
    let first = pidfd_open(Pid::from_raw(first).unwrap(), PidfdFlags::empty());
    assert!(first.is_err() || ends(&first.unwrap()));
    let second = process(second);
    let _ = container.stop(Duration::from_secs(20)).unwrap();
    assert!(ends(&second));
    container.remove().unwrap();
    // Whoever opens the data root next ends what nobody cares for.
    let container = started(host(&image, LEAVE).stdin(Stdio::piped()).keep(), &engine).unwrap();
    let left = process(container.logs().follow().read().unwrap().next().unwrap().text.trim().parse().unwrap());
    let [keeper] = victim::keepers(&place.root())[..] else { panic!("there is one supervisor") };
    let keeper = process(keeper.cast_signed());
    rustix::process::pidfd_send_signal(&keeper, rustix::process::Signal::KILL).unwrap();
    assert!(ends(&keeper));
    let _next = place.engine();
    assert!(ends(&left));
}

/// The commands of a container's processes.
fn commands(container: &Container) -> Vec<String> {
    container.top().unwrap().into_iter().map(|process| process.command).collect()
}

/// Waits until one of them is this: a shell comes before it.
fn await_command(container: &Container, command: &str) {
    while !commands(container).iter().any(|known| known == command) {
        std::thread::yield_now();
    }
}

#[test]
fn it_is_among_the_processes_of_another_one_and_ends_with_that() {
    require_root!();
    let engine = engine();
    let image = image(&engine);
    let web = sh(&image, "sleep 1001").start(&engine).unwrap();
    let beside = || {
        let script = "(sleep 1002 &); exec sleep 1003";
        let container = sh(&image, script).pid_namespace(&web).start(&engine).unwrap();
        await_command(&container, "sleep 1002");
        await_command(&container, "sleep 1003");
        container
    };
    let first = beside();
    let tell = |container: &Container, script: &str| text(container.exec(["sh", "-c", script]).output().unwrap());
    assert_eq!(tell(&first, TELL), tell(&web, TELL));
    assert_ne!(tell(&first, TELL).trim(), metadata("/proc/self/ns/pid").unwrap().ino().to_string());
    assert_eq!(tell(&first, "kill -0 1; cat /proc/1/comm"), "plywood-init\n");
    await_command(&web, "sleep 1003");
    let own = commands(&first);
    assert!(own.iter().all(|command| !command.contains("1001")), "{own:?}");
    drop(first);
    let left = commands(&web);
    assert!(left.iter().all(|command| command.contains("1001") || command == "[sh]"), "{left:?}");
    let second = beside();
    web.kill(Signal::KILL).unwrap();
    assert_eq!(second.wait().unwrap().signal(), Some(9));
}

#[test]
fn processes_that_it_cannot_be_among_are_refused() {
    let engine = engine();
    let image = image(&engine);
    let refused = |definition: Definition, kind: ErrorKind, message: &str| {
        let error = definition.start(&engine).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(message), "{error}");
    };
    let web = sh(&image, "sleep 1000").start(&engine).unwrap();
    let joins = || sh(&image, "true").pid_namespace(&web);
    let message = "its supervisor cannot join the processes of another one";
    refused(joins().keep().restart(RestartPolicy::Always), ErrorKind::Unsupported, message);
    if !support::is_root() {
        refused(joins(), ErrorKind::Unsupported, "user namespace");
        return;
    }
    refused(joins().user_namespace(UserNamespace::Private), ErrorKind::Unsupported, "user namespace");
    let mapped = sh(&image, "sleep 1000").user_namespace(UserNamespace::Private).start(&engine).unwrap();
    refused(sh(&image, "true").pid_namespace(&mapped), ErrorKind::Unsupported, "user namespace");
    let monitor = host(&image, "sleep 1000").start(&engine).unwrap();
    refused(sh(&image, "true").pid_namespace(&monitor), ErrorKind::InvalidArgument, "it has those of the host");
    web.kill(Signal::KILL).unwrap();
    let _ = web.wait().unwrap();
    refused(joins(), ErrorKind::InvalidArgument, "is not running");
}
