//! Process 1: the helper in front of the payload, and the payload alone.

use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::support::*;
use crate::ErrorKind;
use crate::error::{Error, Result};
use crate::runtime::spawn::{Hooks, start_with};
use crate::runtime::{Bundle, Input, Output, Process, Sink, Stdio, start};

/// Passes on each line of output.
struct Lines(Sender<String>, String);

impl Sink for Lines {
    fn write(&mut self, bytes: &[u8]) {
        self.1.push_str(&String::from_utf8_lossy(bytes));
        while let Some((line, rest)) = self.1.split_once('\n') {
            // Nobody listens once the test is over.
            let _ = self.0.send(line.to_owned());
            self.1 = rest.to_owned();
        }
    }
}

fn start_talking(bundle: &Bundle) -> (Process, Receiver<String>) {
    let (sender, lines) = channel();
    let stdout = Output::Sink(Box::new(Lines(sender, String::new())));
    let stdio = Stdio { stdin: Input::Null, stdout, stderr: Output::Null };
    (start(bundle, stdio, Box::new(|_| ())).unwrap(), lines)
}

/// The two ways in which a payload begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Init,
    Alone,
}

const WAYS: [Way; 2] = [Way::Init, Way::Alone];

fn start_by(way: Way, bundle: &Bundle, stdio: Stdio) -> Result<Process> {
    let mut bundle = bundle.clone();
    bundle.init = way == Way::Init;
    start(&bundle, stdio, Box::new(|_| ()))
}

#[test]
fn signals_reach_the_payload_and_do_what_they_do_to_any_process() {
    require_containers!();
    let tree = Tree::new();
    let script = "trap 'echo one' USR1; trap 'echo two' HUP; echo ready; while :; do sleep 1000 & wait $!; done";
    let (process, lines) = start_talking(&tree.bundle(["sh", "-c", script]));
    assert_eq!(lines.recv().unwrap(), "ready");
    for (signal, answer) in [(libc::SIGUSR1, "one"), (libc::SIGHUP, "two"), (libc::SIGUSR1, "one")] {
        process.signal(signal).unwrap();
        assert_eq!(lines.recv().unwrap(), answer);
    }
    // Nothing waits for these: they end it, and the status says which.
    process.signal(libc::SIGWINCH).unwrap();
    process.signal(libc::SIGRTMIN() + 3).unwrap();
    let status = process.wait();
    assert_eq!((status.signal(), status.code()), (Some(libc::SIGRTMIN() + 3), 128 + libc::SIGRTMIN() + 3));
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGKILL] {
        let process = start_quiet(&tree.bundle(["sleep", "1000"])).unwrap();
        process.signal(signal).unwrap();
        assert_eq!(process.wait().signal(), Some(signal));
    }
}

#[test]
fn a_payload_alone_is_process_1_and_gets_only_what_it_handles() {
    require_containers!();
    let tree = Tree::new();
    let mut bundle = tree.bundle(["sh", "-c", "trap 'echo got; exit 4' USR1; echo $$; sleep 1000 & wait $!"]);
    bundle.init = false;
    let (process, lines) = start_talking(&bundle);
    assert_eq!(lines.recv().unwrap(), "1");
    process.signal(libc::SIGTERM).unwrap();
    process.signal(libc::SIGUSR1).unwrap();
    assert_eq!(process.wait().code(), 4, "SIGTERM was dropped");
}

#[test]
fn the_way_a_payload_ended_is_told_whatever_stands_in_front_of_it() {
    require_containers!();
    let tree = Tree::new();
    for way in WAYS {
        for (script, code, signal) in [
            ("exit 0", 0, None),
            ("exit 255", 255, None),
            ("exit 143", 143, None),
            // Process 1 cannot kill itself.
            ("kill -SEGV $$; kill -KILL $$; exit 12", if way == Way::Init { 139 } else { 12 }, Some(11)),
        ] {
            let status = start_by(way, &tree.bundle(["sh", "-c", script]), Stdio::null()).unwrap().wait();
            assert_eq!((status.code(), status.signal()), (code, signal.filter(|_| code == 139)), "{way:?} {script}");
        }
    }
}

#[test]
fn a_failed_execution_is_told_the_same_whatever_stands_in_front_of_it() {
    require_containers!();
    let tree = Tree::new();
    tree.script("bin/lost", "#!/opt/python3 -u\n", 0o755);
    tree.script("bin/plain", "exit 0\n", 0o755);
    tree.script("bin/locked", "#!/bin/sh\n", 0o600);
    for program in ["nothing", "/bin/nothing", "lost", "plain", "locked", "/etc"] {
        let error = |way| {
            let error = start_by(way, &tree.bundle([program]), Stdio::null()).unwrap_err();
            (error.to_string(), error.kind(), error.exit_code(), error.hint().map(str::to_owned))
        };
        let alone = error(Way::Alone);
        assert!(matches!(alone.2, Some(126 | 127)), "{alone:?}");
        assert_eq!(error(Way::Init), alone);
    }
    let mut bundle = tree.bundle(["true"]);
    bundle.process.args.push("x".repeat(1 << 20));
    for way in WAYS {
        let error = start_by(way, &bundle, Stdio::null()).unwrap_err();
        assert!(error.to_string().contains("argument list too long"), "{way:?}: {error:?}");
    }
}

#[test]
fn no_descriptor_but_the_standard_ones_reaches_the_payload() {
    require_containers!();
    let tree = Tree::new();
    let file = std::fs::File::open("/").unwrap();
    let leaks: Vec<_> = (0..40).map(|_| rustix::io::dup(file.as_fd()).unwrap()).collect();
    for way in WAYS {
        let output = Buffer::default();
        let process = start_by(way, &tree.bundle(["ls", "/proc/self/fd"]), stdio(&output, &output)).unwrap();
        assert!(process.wait().success());
        assert_eq!(output.text(), "0\n1\n2\n3\n", "{way:?}: the last one is of ls itself");
    }
    // The init keeps its end of the line, and the one it hears signals by; nothing of ours.
    let done =
        tree.shell("ls -l /proc/1/fd | grep -v total | wc -l; ls -l /proc/1/fd/3 | grep -c socket:; ls -l /proc/1/exe");
    assert_eq!(done.stdout.lines().take(2).collect::<Vec<_>>(), ["5", "1"], "{done:?}");
    assert!(done.stdout.contains("memfd:plywood-helper"), "{done:?}");
    drop(leaks);
}

#[test]
fn c16_orphans_are_reaped_by_the_init_and_only_by_it() {
    require_containers!();
    let tree = Tree::new();
    let zombies = "grep -q '^State:.Z' /proc/[0-9]*/status 2>/dev/null";
    for (init, wait) in [(true, "while"), (false, "until")] {
        let mut bundle = tree.bundle(["sleep", "1000"]);
        bundle.init = init;
        let process = start_quiet(&bundle).unwrap();
        // Each outer shell ends before its child, which then belongs to process 1.
        let orphans = "for n in 1 2 3 4 5; do sh -c '(sleep 0.01; exit 3) &'; done; sleep 0.1";
        let done = exec_shell(&process, &format!("{orphans}; {wait} {zombies}; do sleep 0.01; done; echo done"));
        assert_eq!(done.stdout, "done\n", "{done:?}");
        process.signal(libc::SIGKILL).unwrap();
        assert_eq!(process.wait().signal(), Some(9));
    }
}

#[test]
fn a_stopped_init_is_still_killed() {
    require_containers!();
    let tree = Tree::new();
    let process = start_quiet(&tree.bundle(["sleep", "1000"])).unwrap();
    process.signal(libc::SIGSTOP).unwrap();
    process.signal(libc::SIGTERM).unwrap();
    assert_eq!(process.wait_timeout(std::time::Duration::from_millis(50)), None, "nobody passes it on");
    process.signal(libc::SIGKILL).unwrap();
    assert_eq!(process.wait().signal(), Some(9));
}

#[test]
fn the_payload_begins_only_when_the_caller_has_done_its_part() {
    require_containers!();
    let tree = Tree::new();
    for init in [true, false] {
        let mut bundle = tree.bundle(["sh", "-c", "cat /proc/1/comm"]);
        bundle.init = init;
        let output = Buffer::default();
        let (mut created, mut program) = (0, None);
        let hooks = Hooks {
            created: Some(Box::new(|pid, _| {
                created = pid;
                Ok(())
            })),
            held: Some(Box::new(|held| {
                program = std::fs::read_link(format!("/proc/{}/exe", held.pid)).ok();
                assert_eq!(crate::sys::wait::try_reap(crate::sys::wait::open(held.pid).unwrap()).unwrap(), None);
                Ok(())
            })),
            ..Hooks::default()
        };
        let process = start_with(&bundle, stdio(&output, &output), hooks, Box::new(|_| ())).unwrap();
        assert!(process.wait().success());
        assert_eq!(created, process.pid());
        // The helper has left the memory of this program already, and is what the container begins with.
        assert!(program.unwrap().to_str().unwrap().contains("plywood-helper"));
        assert_eq!(output.text(), if init { "plywood-init\n" } else { "cat\n" });
    }
}

#[test]
fn a_caller_that_fails_leaves_no_process() {
    require_containers!();
    let tree = Tree::new();
    let refuse = |pid: &mut u32, at: u32| -> Result<()> {
        *pid = at;
        Err(Error::new(ErrorKind::Unavailable, "the caller refuses"))
    };
    for held in [true, false] {
        let mut pid = 0;
        let hooks = match held {
            true => Hooks { held: Some(Box::new(|held| refuse(&mut pid, held.pid))), ..Hooks::default() },
            false => Hooks { created: Some(Box::new(|at, _| refuse(&mut pid, at))), ..Hooks::default() },
        };
        let error = start_with(&tree.bundle(["true"]), Stdio::null(), hooks, Box::new(|_| ())).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.kind()), ("the caller refuses", ErrorKind::Unavailable));
        assert!(pid > 0 && !std::path::Path::new(&format!("/proc/{pid}")).exists());
    }
}
