//! The companion binary at a terminal: the test holds the other end, and types.

#![allow(clippy::unwrap_used)]

mod bench;

use std::fs::File;
use std::io::Write;
use std::process::Stdio;

use bench::seat::Seat;
use bench::{Bench, Running, require_busybox};
use rustix::process::Signal;
use rustix::termios::{Winsize, tcsetwinsize};

/// A container called `web` that waits.
fn waiting(bench: &Bench) -> Running {
    let running = bench.start(&["run", "--rm", "--name", "web", "-e", "A=1", "box:1", "sleep", "1000"]);
    bench.await_running("web");
    running
}

#[test]
fn a_shell_in_a_running_container_has_the_callers_terminal() {
    require_busybox!();
    let bench = Bench::with_image();
    let _web = waiting(&bench);
    let mut seat = Seat::new(bench.command(&["exec", "-it", "web", "sh"]));
    seat.wait_for("# ");
    assert!(seat.is_raw());
    seat.type_in("busybox tty; busybox stty size; echo $TERM\n");
    seat.wait_for("/dev/pts/0\r\n30 90\r\nxterm\r\n");
    // Ctrl-C ends the command in the foreground, and neither the shell nor plywood.
    // What says so is in the foreground already.
    seat.type_in("sh -c 'echo star\"\"ted; exec sleep 1000'\n");
    seat.wait_for("started");
    seat.type_in("\x03");
    seat.wait_for("# ");
    seat.type_in("echo \"code $?\"; exit 7\n");
    seat.wait_for("\ncode 130");
    assert_eq!(seat.end(), 7);
}

#[test]
fn the_terminal_follows_the_size_of_the_callers() {
    require_busybox!();
    let bench = Bench::with_image();
    let script = "echo ready; until [ \"$(busybox stty size)\" = '11 22' ]; do sleep 0.05; done; echo resized";
    let mut seat = Seat::new(bench.command_at_its_terminal(&["run", "-it", "--rm", "box:1", "sh", "-c", script]));
    seat.wait_for("ready");
    tcsetwinsize(&seat.master, Winsize { ws_row: 11, ws_col: 22, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    seat.wait_for("resized");
    assert_eq!(seat.end(), 0);
}

#[test]
fn the_terminal_is_given_back_when_plywood_is_told_to_end() {
    require_busybox!();
    let bench = Bench::with_image();
    let _web = waiting(&bench);
    for (signal, arguments) in [
        (Signal::TERM, &["exec", "-it", "web", "sh"][..]),
        (Signal::HUP, &["exec", "-it", "web", "cat"]),
        (Signal::TERM, &["run", "-it", "--rm", "box:1", "sh"]),
        (Signal::TERM, &["run", "-it", "--rm", "box:1", "cat"]),
    ] {
        let mut seat = Seat::new(bench.command(arguments));
        // The echo of the container's terminal: what is typed arrives.
        seat.type_in("typed");
        seat.wait_for("typed");
        seat.wait_for_raw();
        seat.signal(signal);
        let code = seat.end();
        assert!(code > 128, "{arguments:?}: {code}");
    }
    // Those that have a terminal go on.
    assert_eq!(bench.ok(&["ps", "-q", "-f", "ancestor=box:1"]).lines().count(), 3);
}

#[test]
fn a_container_that_was_created_with_a_terminal_is_started_at_one() {
    require_busybox!();
    let bench = Bench::with_image();
    bench.ok(&["create", "-it", "--name", "later", "box:1", "sh"]);
    let document = &bench.json(&["inspect", "later"])[0]["Config"];
    assert_eq!([&document["Tty"], &document["OpenStdin"]], [true, true]);
    for code in [6, 7] {
        let mut seat = Seat::new(bench.command(&["start", "-ai", "later"]));
        seat.wait_for("# ");
        seat.type_in(&format!("busybox stty size; exit {code}\n"));
        seat.wait_for("30 90");
        assert_eq!(seat.end(), code);
    }
}

#[test]
fn a_command_that_does_not_exist_leaves_the_terminal_as_it_was() {
    require_busybox!();
    let bench = Bench::with_image();
    let _web = waiting(&bench);
    assert_eq!(Seat::new(bench.command(&["exec", "-it", "web", "nothing"])).end(), 127);
    assert_eq!(Seat::new(bench.command(&["run", "-it", "--rm", "box:1", "/bin"])).end(), 126);
}

#[test]
fn a_terminal_is_typed_into_from_a_terminal_only() {
    require_busybox!();
    let bench = Bench::with_image();
    let (code, message) = bench.fails(&["run", "-it", "--rm", "box:1", "sh"]);
    assert_eq!(code, 125);
    assert!(message.contains("standard input is not a terminal"), "{message}");
    // Without input it needs none.
    assert_eq!(bench.ok(&["run", "-t", "--rm", "box:1", "busybox", "tty"]), "/dev/pts/0\r\n");
}

#[test]
fn the_log_of_a_terminal_is_standard_output() {
    require_busybox!();
    let bench = Bench::with_image();
    bench.ok(&["run", "-t", "--name", "tt", "box:1", "sh", "-c", "echo err >&2"]);
    let line: serde_json::Value = serde_json::from_str(&bench.ok(&["logs", "--format", "json", "tt"])).unwrap();
    assert_eq!((line["stream"].as_str(), line["log"].as_str().map(str::trim_end)), (Some("stdout"), Some("err")));
    assert_eq!(bench.json(&["inspect", "tt"])[0]["Config"]["Tty"], true);
}

#[test]
fn exec_takes_dockers_options_and_gives_its_exit_codes() {
    require_busybox!();
    let bench = Bench::with_image();
    let _web = waiting(&bench);
    let script = "echo $A $B; pwd";
    let shown = bench.ok(&["exec", "-e", "B=2", "-w", "/dev", "web", "sh", "-c", script]);
    assert_eq!(shown, "1 2\n/dev\n");
    assert_eq!(bench.run(&["exec", "web", "sh", "-c", "exit 9"]).status.code(), Some(9));
    assert_eq!(bench.fails(&["exec", "web", "nothing"]).0, 127);
    assert_eq!(bench.fails(&["exec", "web", "/dev"]).0, 126);
    let (code, message) = bench.fails(&["exec", "none", "true"]);
    assert_eq!(code, 125, "{message}");
    bench.ok(&["exec", "-d", "web", "touch", "/made"]);
    // It is not waited for.
    let made = || bench.run(&["exec", "web", "sh", "-c", "test -e /made"]).status.success();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !made() {
        assert!(std::time::Instant::now() < deadline, "the detached command did nothing");
    }
    let mut piped = bench.command(&["exec", "-i", "web", "cat"]);
    let mut cat = piped.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    cat.stdin.take().unwrap().write_all(b"through").unwrap();
    assert_eq!(cat.wait_with_output().unwrap().stdout, b"through");
}

#[test]
fn a_detached_command_outlives_plywood_and_ends_with_the_container() {
    require_busybox!();
    let bench = Bench::with_image();
    let _web = waiting(&bench);
    bench.ok(&["exec", "-d", "web", "sleep", "2000"]);
    let processes = bench.json(&["top", "web", "--format", "json"]);
    let commands: Vec<_> = processes.as_array().unwrap().iter().map(|it| it["Command"].as_str().unwrap()).collect();
    assert_eq!(commands.iter().filter(|command| **command == "sleep 2000").count(), 1, "{commands:?}");
    let first = &processes[0];
    assert_eq!((first["Pid"].as_u64(), first["Uid"].as_u64()), (Some(1), Some(0)));
    let table = bench.ok(&["top", "web"]);
    assert!(table.starts_with("UID") && table.contains("sleep 2000"), "{table}");
}

#[test]
fn a_container_takes_another_name() {
    require_busybox!();
    let bench = Bench::with_image();
    for name in ["old", "other"] {
        bench.ok(&["create", "--name", name, "box:1"]);
    }
    let (code, message) = bench.fails(&["rename", "old", "other"]);
    assert!(code == 125 && message.contains("the name is taken"), "{message}");
    bench.ok(&["rename", "old", "new"]);
    assert_eq!(bench.json(&["inspect", "new"])[0]["Name"], "/new");
    assert_eq!(bench.fails(&["inspect", "old"]).0, 125);
    bench.ok(&["create", "--name", "old", "box:1"]);
}

#[test]
fn events_of_other_programs_are_seen_as_they_happen() {
    require_busybox!();
    let bench = Bench::with_image();
    let since = plywood::Timestamp::now().to_string();
    let mut events = bench.start(&["events", "--since", &since, "-f", "container=seen", "-f", "container=later"]);
    bench.ok(&["run", "--name", "seen", "box:1", "true"]);
    bench.ok(&["rename", "seen", "later"]);
    bench.ok(&["rm", "later"]);
    let lines: Vec<String> = (0..5).map(|_| events.read_line()).collect();
    let words: Vec<_> = lines.iter().map(|line| line.split(' ').nth(2).unwrap()).collect();
    assert_eq!(words, ["create", "start", "die", "rename", "destroy"], "{lines:?}");
    assert!(lines[2].ends_with("(exitCode=0, image=box:1, name=seen)"), "{lines:?}");
    assert!(lines[3].ends_with("(image=box:1, name=later, oldName=seen)"), "{lines:?}");
    // What is past is told again, and ends.
    let now = plywood::Timestamp::now().to_string();
    let past = bench.ok(&["events", "--since", &since, "--until", &now, "-f", "event=die", "--format", "json"]);
    let document: serde_json::Value = serde_json::from_str(&past).unwrap();
    assert_eq!((document["Action"].as_str(), document["Type"].as_str()), (Some("die"), Some("container")));
    assert_eq!(document["Actor"]["Attributes"]["name"], "seen");
}

#[test]
fn attaching_shows_what_is_written_from_now_on_and_gives_the_exit_code() {
    require_busybox!();
    let bench = Bench::with_image();
    let script = "trap 'echo told; exit 4' USR1; echo before; while :; do busybox sleep 0.05; done";
    let mut web = bench.start(&["run", "--name", "web", "box:1", "sh", "-c", script]);
    assert_eq!(web.read_line(), "before");
    let mut attached = bench.start(&["attach", "web"]);
    // A signal for plywood is one for the container, once it holds them back: the mask has a bit for each.
    let status = format!("/proc/{}/status", attached.0.id());
    let blocked = |status: String| {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap().trim().to_owned();
        u64::from_str_radix(&mask, 16).unwrap()
    };
    while blocked(std::fs::read_to_string(&status).unwrap()) >> (Signal::USR1.as_raw() - 1) & 1 == 0 {
        std::thread::yield_now();
    }
    attached.signal(Signal::USR1);
    assert_eq!(attached.read_line(), "told");
    assert_eq!(attached.end().0, 4);
    assert_eq!(web.end().0, 4);
    assert_eq!(bench.fails(&["attach", "web"]).0, 125);
}

#[test]
fn a_detached_shell_waits_for_whoever_attaches_and_is_left_by_its_keys() {
    require_busybox!();
    let bench = Bench::with_image();
    bench.ok(&["run", "-dit", "--rm", "--name", "shell", "box:1", "sh"]);
    let mut seat = Seat::new(bench.command(&["attach", "shell"]));
    seat.type_in("busybox stty size; X=kept\n");
    seat.wait_for("\n30 90\r\n");
    assert!(seat.is_raw());
    seat.type_in("\x10\x11");
    seat.wait_for("read escape sequence");
    assert_eq!(seat.end(), 0);
    let mut seat = Seat::new(bench.command(&["attach", "--detach-keys", "ctrl-a", "shell"]));
    seat.type_in("echo \"it is $X\"; exit 6\n");
    seat.wait_for("\nit is kept\r\n");
    assert_eq!(seat.end(), 6);
    while bench.run(&["inspect", "shell"]).status.success() {
        std::thread::yield_now();
    }
}

#[test]
fn a_detached_command_with_a_policy_is_started_again_and_takes_input_from_whoever_attaches() {
    require_busybox!();
    let bench = Bench::with_image();
    let script = "while read line; do echo \"got $line\"; [ \"$line\" = fail ] && exit 3; done";
    let policy = ["--restart", "on-failure:1"];
    bench.ok(&[&["run", "-di", "--name", "co"][..], &policy, &["box:1", "sh", "-c", script]].concat());
    for count in [0, 1] {
        let inspected = || bench.json(&["inspect", "co"]);
        let found = |document: &serde_json::Value| {
            let container = document.get(0).unwrap_or(document);
            (container["RestartCount"] == count && container["State"]["Status"] == "running").then_some(())
        };
        while found(&inspected()).is_none() {
            std::thread::yield_now();
        }
        let mut attached = bench.command(&["attach", "co"]);
        let mut attached = attached.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        attached.stdin.take().unwrap().write_all(b"fail\n").unwrap();
        let output = attached.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(3), &b"got fail\n"[..]));
    }
    assert_eq!(bench.ok(&["wait", "co"]), "3\n");
    bench.ok(&["rm", "co"]);
}

#[test]
fn a_shell_of_the_host_enters_a_container_that_has_one_program_and_nothing_else() {
    require_busybox!();
    let bench = Bench::new();
    let path = bench.path("bare.tar");
    let mut tar = tar::Builder::new(File::create(&path).unwrap());
    tar.append_path_with_name(bench::BUSYBOX, "busybox").unwrap();
    tar.into_inner().unwrap();
    bench.ok(&["import", path.to_str().unwrap(), "bare:1"]);
    let _bare = bench.start(&["run", "--rm", "--name", "bare", "-h", "inside", "bare:1", "/busybox", "sleep", "1000"]);
    bench.await_running("bare");
    assert_eq!(bench.fails(&["exec", "bare", "sh"]).0, 127);
    let shown = bench.ok(&["enter", "bare", "sh", "-c", "cat /proc/sys/kernel/hostname; ls"]);
    assert!(shown.starts_with("inside\n") && shown.contains("busybox\n"), "{shown}");
    let mut seat = Seat::new(bench.command(&["enter", "-e", "A=1", "bare"]));
    seat.wait_for_raw();
    seat.type_in("echo \"<$A>\"; tty; exit 5\n");
    seat.wait_for("<1>\r\n/dev/pts/0");
    assert_eq!(seat.end(), 5);
}

#[test]
fn a_container_is_among_the_processes_of_another_one_that_stays() {
    require_busybox!();
    let bench = Bench::with_image();
    bench.ok(&["run", "-d", "--name", "web", "box:1", "sleep", "1000"]);
    let arguments = ["run", "--rm", "--pid", "container:web", "box:1", "cat", "/proc/1/comm"];
    if rustix::process::geteuid().is_root() {
        assert_eq!(bench.ok(&arguments), "plywood-init\n");
    } else {
        let (code, message) = bench.fails(&arguments);
        assert!(code == 125 && message.contains("user namespace"), "{message}");
    }
    let (code, message) = bench.fails(&["run", "--rm", "--pid", "other", "box:1", "true"]);
    assert!(code == 125 && message.contains("unknown namespace \"other\""), "{message}");
}
