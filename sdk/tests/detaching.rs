//! The companion binary leaves what it runs at a terminal: by its keys, or because it is ended itself.

#![allow(clippy::unwrap_used)]

mod bench;

use bench::seat::{PATIENCE, Seat};
use bench::{Bench, require_busybox};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};

/// Ctrl-P and Ctrl-Q.
const KEYS: &str = "\x10\x11";

#[test]
fn a_container_that_was_left_by_keys_goes_on_and_has_its_terminal_again() {
    require_busybox!();
    let bench = Bench::with_image();
    let script = "read line; echo \"<$line>\"; exec sh";
    let mut seat = Seat::new(bench.command(&["run", "-it", "--name", "shell", "box:1", "sh", "-c", script]));
    // The first of the keys alone is any key.
    seat.type_in("a\x10b\n");
    seat.wait_for("<a\x10b>");
    seat.type_in("busybox stty size; X=kept; busybox tty\n");
    seat.wait_for("\n30 90\r\n/dev/pts/0\r\n");
    seat.type_in(KEYS);
    seat.wait_for("read escape sequence");
    assert_eq!(seat.end(), 0);
    let mut seat = Seat::new(bench.command(&["attach", "--detach-keys", "x,y", "shell"]));
    seat.type_in("echo \"it is $X\"\n");
    seat.wait_for("\nit is kept\r\n");
    seat.type_in("xy");
    assert_eq!(seat.end(), 0);
    let mut seat = Seat::new(bench.command(&["attach", "shell"]));
    seat.type_in("exit 6\n");
    assert_eq!(seat.end(), 6);
    let state = &bench.json(&["inspect", "shell"])[0]["State"];
    assert_eq!((&state["Status"], state["ExitCode"].as_i64()), (&"exited".into(), Some(6)));
    assert!(bench.ok(&["logs", "shell"]).contains("it is kept"));
    // And once more, with what it was made with.
    let mut seat = Seat::new(bench.command(&["start", "-ai", "--detach-keys", "q", "shell"]));
    seat.type_in("z\n");
    seat.wait_for("<z>");
    seat.type_in("q");
    assert_eq!(seat.end(), 0);
    assert_eq!(bench.json(&["inspect", "shell"])[0]["State"]["Running"], true);
}

#[test]
fn one_that_is_removed_at_its_end_has_gone_when_the_program_ends() {
    require_busybox!();
    let bench = Bench::with_image();
    for code in [3, 4] {
        let mut seat = Seat::new(bench.command(&["run", "-it", "--rm", "--name", "same", "box:1", "sh"]));
        seat.type_in(&format!("exit {code}\n"));
        assert_eq!(seat.end(), code);
    }
    let mut seat = Seat::new(bench.command(&["run", "-it", "--rm", "--name", "same", "box:1", "sh"]));
    seat.wait_for("# ");
    seat.type_in(KEYS);
    assert_eq!(seat.end(), 0);
    let mut seat = Seat::new(bench.command(&["attach", "same"]));
    seat.type_in("exit 5\n");
    assert_eq!(seat.end(), 5);
    assert_eq!(bench.fails(&["inspect", "same"]).0, 125);
    // Nor is anything left of one that could not be started.
    assert_eq!(Seat::new(bench.command(&["run", "-it", "--rm", "--name", "same", "box:1", "nothing"])).end(), 127);
    assert_eq!(bench.ok(&["ps", "-aq"]), "");
}

#[test]
fn everything_is_shown_from_the_first_byte_to_the_last_however_slowly_it_is_read() {
    require_busybox!();
    let bench = Bench::with_image();
    // More than all buffers on the way hold together.
    let script = "echo begin; seq 1 300000; echo end";
    let mut seat = Seat::new(bench.command(&["run", "-it", "--rm", "box:1", "sh", "-c", script]));
    let before = seat.wait_for("begin\r\n");
    assert_eq!(before, "");
    let shown = seat.wait_for("end\r\n");
    let wanted: String = (1..=300_000).map(|number| format!("{number}\r\n")).collect();
    assert!(shown == wanted, "{} bytes of {}", shown.len(), wanted.len());
    assert_eq!(seat.end(), 0);
}

#[test]
fn a_container_at_a_terminal_goes_on_when_the_program_is_ended_or_hung_up() {
    require_busybox!();
    let bench = Bench::with_image();
    for (name, signal) in [("killed", Some(Signal::KILL)), ("told", Some(Signal::HUP)), ("hung-up", None)] {
        let arguments = ["run", "-it", "--rm", "--name", name, "box:1", "sh"];
        let mut seat = Seat::new(bench.command_at_its_terminal(&arguments));
        seat.wait_for("# ");
        match signal {
            Some(signal) => {
                seat.signal(signal);
                seat.child.wait().unwrap();
            }
            None => {
                let code = seat.hang_up();
                assert_eq!(code, Some(128 + Signal::HUP.as_raw()));
            }
        }
        let mut seat = Seat::new(bench.command(&["attach", name]));
        seat.type_in("exit 7\n");
        assert_eq!(seat.end(), 7, "{name}");
    }
    assert_eq!(bench.ok(&["ps", "-aq"]), "");
}

#[test]
fn a_container_that_cannot_be_left_says_so_or_has_no_such_keys() {
    require_busybox!();
    let bench = Bench::with_image();
    let arguments = ["run", "-it", "--rm", "--init=false", "--detach-keys", "x", "box:1", "sh"];
    let mut seat = Seat::new(bench.command(&arguments));
    seat.wait_for("it is to outlive this program, and has no init");
    assert_eq!(seat.end(), 125);
    let mut seat =
        Seat::new(bench.command(&["run", "-it", "--rm", "--init=false", "box:1", "sh", "-c", "echo ready; cat"]));
    seat.wait_for("ready");
    seat.type_in(&format!("{KEYS}\n"));
    // What the terminal shows of these keys; then cat gives them back.
    seat.wait_for("^P");
    seat.wait_for("\x10");
    seat.type_in("\x04");
    assert_eq!(seat.end(), 0);
    let (code, message) = bench.fails(&["run", "-it", "--detach-keys", "ctrl-1", "box:1", "sh"]);
    assert!(code == 125 && message.contains("invalid --detach-keys \"ctrl-1\""), "{message}");
    assert_eq!(bench.ok(&["ps", "-aq"]), "");
}

#[test]
fn a_further_command_at_a_terminal_ends_when_the_program_is_killed() {
    require_busybox!();
    let bench = Bench::with_image();
    bench.ok(&["run", "-d", "--name", "web", "box:1", "sleep", "1000"]);
    for signal in [Signal::KILL, Signal::HUP] {
        let mut seat = Seat::new(bench.command(&["exec", "-it", "web", "sh"]));
        seat.wait_for("# ");
        let pid = Pid::from_raw(bench.pid_of("web", "sh")).unwrap();
        let command = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        seat.signal(signal);
        let ended = poll(&mut [PollFd::new(&command, PollFlags::IN)], Some(&PATIENCE)).unwrap();
        assert_eq!(ended, 1, "{signal:?}");
    }
}

#[test]
fn a_detached_command_may_have_a_terminal_of_nobody() {
    require_busybox!();
    let bench = Bench::with_image();
    bench.ok(&["run", "-d", "--name", "web", "box:1", "sh", "-c", "busybox mkfifo /done; exec sleep 1000"]);
    let script = "seq 1 100000; busybox tty > /done";
    bench.ok(&["exec", "-dt", "web", "sh", "-c", script]);
    assert_eq!(bench.ok(&["exec", "web", "cat", "/done"]), "/dev/pts/0\n");
}
