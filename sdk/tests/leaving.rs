//! What becomes of a further command that was left at its terminal. A program of its own: it adopts what others orphan.

#![allow(clippy::unwrap_used)]

mod bench;

use std::collections::{BTreeMap, BTreeSet};

use bench::seat::Seat;
use bench::{Bench, require_busybox};
use rustix::process::{Pid, WaitOptions, set_child_subreaper, waitpid};

#[test]
fn a_further_command_that_was_left_by_keys_goes_on_without_anybody() {
    require_busybox!();
    let bench = Bench::with_image();
    bench.ok(&["run", "-d", "--name", "web", "box:1", "sh", "-c", "busybox mkfifo /go /done; exec sleep 1000"]);
    // The third part waits for somebody who reads more than a terminal holds.
    let script = "echo ready; cat /go; busybox tty; seq 1 100000; echo through > /done";
    // What it leaves becomes children of this program: the command, and whoever holds its terminal.
    set_child_subreaper(Some(Pid::INIT)).unwrap();
    let mut seat = Seat::new(bench.command(&["exec", "-it", "--detach-keys", "ctrl-p,d", "web", "sh", "-c", script]));
    seat.wait_for("ready");
    seat.wait_for_raw();
    seat.type_in("\x10d");
    seat.wait_for("read escape sequence");
    assert_eq!(seat.end(), 0);
    set_child_subreaper(None).unwrap();
    let left = children();
    assert_eq!(left.values().collect::<BTreeSet<_>>(), ["plywood-holder", "sh"].map(String::from).iter().collect());
    assert_eq!(bench.ok(&["exec", "web", "sh", "-c", "echo go > /go; cat /done"]), "through\n");
    for pid in left.into_keys() {
        let ended = waitpid(Pid::from_raw(pid), WaitOptions::empty()).unwrap().unwrap().1;
        assert_eq!(ended.exit_status(), Some(0));
    }
    bench.ok(&["rm", "-f", "web"]);
}

/// The children of this program, and what they are called.
fn children() -> BTreeMap<i32, String> {
    let ours = std::process::id().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let stat = |pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        (rest.split(' ').nth(2)? == ours).then(|| (pid, name.to_owned()))
    };
    pids.filter_map(stat).collect()
}
