//! Records of processes that are no more: their number belongs to a stranger now, or the machine was started anew. The
//! names begin with the cases of the design.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use plywood::container::{Signal, State};
use plywood::{Container, Durability, Engine, ErrorKind};
use serde_json::{Value, json};
use support::victim::{self, Victim, keepers};
use support::{base, sh};

/// A process of the host that no container ever had; ended with the test.
struct Stranger(Child);

impl Stranger {
    fn new() -> Self {
        Self(Command::new("sleep").arg("1000").stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    }

    /// Field 22 of `/proc/<pid>/stat`.
    fn start_time(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().parse().unwrap()
    }

    /// Whether nobody has sent it a signal: any would have ended it or stopped it.
    fn is_unharmed(&mut self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        self.0.try_wait().unwrap().is_none() && !stat.contains(") T ")
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How the program that has gone had started the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Persisted,
    Kept,
}

fn open(directory: &Path) -> Engine {
    Engine::open_with(directory.join("root"), Durability::Fast).unwrap()
}

/// The program that has gone.
fn serve(directory: &Path, kind: Kind) -> ! {
    let engine = open(directory);
    let image = engine.build(&base()).unwrap();
    let web = sh(&image, "echo ready; while :; do sleep 60; done").name("web");
    let web = if kind == Kind::Kept { web.keep() } else { web };
    let mut web = web.start(&engine).unwrap();
    web.persist().unwrap();
    web.logs().follow().read().unwrap().next().unwrap();
    victim::tell(web.inspect().unwrap().pid().unwrap());
    victim::wait()
}

/// A store with the record of a process that nobody has seen end, and the container as another program has it.
struct Left {
    engine: Engine,
    web: Container,
    record: PathBuf,
    // The last to go.
    directory: victim::Directory,
}

impl Left {
    /// By a program that runs the test of this name.
    fn by(name: &str) -> Self {
        let directory = victim::Directory::new();
        let mut victim = Victim::start(name, directory.path());
        let pid: u32 = victim.hear().unwrap().parse().unwrap();
        let engine = open(directory.path());
        let web = engine.container("web").unwrap();
        assert_eq!(web.state().unwrap(), State::Running);
        let record = directory.path().join(format!("root/containers/{}/plywood.json", web.id()));
        let reaper = victim.reaper();
        // Whoever would record its end goes first.
        for keeper in keepers(&directory.path().join("root")) {
            victim::kill(keeper);
            assert!(victim::ends(keeper));
            victim::kill(pid);
        }
        victim.kill();
        assert!(victim::ends(pid));
        assert!(reaper.is_none_or(victim::ends));
        Self { engine, web, record, directory }
    }

    /// One that was started later, by the clock that the record has: no number is given out twice within its tick.
    fn stranger(&self) -> Stranger {
        let record: Value = serde_json::from_slice(&fs::read(&self.record).unwrap()).unwrap();
        loop {
            let stranger = Stranger::new();
            if stranger.start_time() > record["run"]["start_time"].as_u64().unwrap() {
                return stranger;
            }
        }
    }

    /// Changes the recorded run.
    fn forge(&self, change: impl FnOnce(&mut Value)) {
        let mut record: Value = serde_json::from_slice(&fs::read(&self.record).unwrap()).unwrap();
        assert!(record["run"]["pid"].is_u64(), "{record}");
        change(&mut record["run"]);
        fs::write(&self.record, record.to_string()).unwrap();
    }

    /// Nothing that is asked of the container reaches the stranger; and afterwards the container can be used again.
    fn leaves_alone(self, mut stranger: Stranger) {
        let Self { engine, web, directory, .. } = self;
        assert_eq!(web.state().unwrap(), State::Exited);
        assert_eq!(web.try_wait().unwrap().map(|status| status.code()), Some(137));
        assert_eq!(web.inspect().unwrap().pid(), None);
        assert_eq!(web.kill(Signal::KILL).unwrap_err().kind(), ErrorKind::InvalidArgument);
        assert_eq!(web.exec(["true"]).output().unwrap_err().kind(), ErrorKind::InvalidArgument);
        assert_eq!(web.top().unwrap_err().kind(), ErrorKind::InvalidArgument);
        assert_eq!(web.pause().unwrap_err().kind(), ErrorKind::InvalidArgument);
        assert_eq!(web.stop(Duration::ZERO).unwrap().code(), 137);
        assert!(stranger.is_unharmed());
        // Whoever opens the store next records the end.
        let next = open(directory.path());
        let again = next.container("web").unwrap();
        assert_eq!((again.state().unwrap(), again.wait().unwrap().code()), (State::Exited, 137));
        assert!(stranger.is_unharmed());
        again.start().unwrap();
        assert_eq!(again.state().unwrap(), State::Running);
        again.kill_and_remove().unwrap();
        assert!(stranger.is_unharmed());
        drop((engine, next));
    }

    /// The same, for one who removes it without having looked.
    fn goes_without(self, mut stranger: Stranger) {
        self.web.kill_and_remove().unwrap();
        assert!(stranger.is_unharmed());
        assert!(self.engine.containers().unwrap().is_empty());
    }
}

#[test]
fn c10_a_stranger_with_the_number_of_a_dead_process_gets_no_signal() {
    if let Some(directory) = victim::directory() {
        serve(&directory, Kind::Persisted);
    }
    let name = "c10_a_stranger_with_the_number_of_a_dead_process_gets_no_signal";
    for finish in [Left::leaves_alone, Left::goes_without] {
        let left = Left::by(name);
        let stranger = left.stranger();
        left.forge(|run| run["pid"] = json!(stranger.0.id()));
        finish(left, stranger);
    }
}

#[test]
fn c10_a_stranger_with_the_number_of_a_kept_process_gets_no_signal() {
    if let Some(directory) = victim::directory() {
        serve(&directory, Kind::Kept);
    }
    let name = "c10_a_stranger_with_the_number_of_a_kept_process_gets_no_signal";
    for finish in [Left::leaves_alone, Left::goes_without] {
        let left = Left::by(name);
        let stranger = left.stranger();
        left.forge(|run| run["pid"] = json!(stranger.0.id()));
        finish(left, stranger);
    }
}

#[test]
fn c09_after_the_machine_was_started_anew_nothing_runs_and_all_can_be_started() {
    if let Some(directory) = victim::directory() {
        serve(&directory, Kind::Persisted);
    }
    let left = Left::by("c09_after_the_machine_was_started_anew_nothing_runs_and_all_can_be_started");
    let stranger = Stranger::new();
    // Number and time since boot come again sooner or later.
    let (pid, start_time) = (stranger.0.id(), stranger.start_time());
    left.forge(|run| {
        run["boot_id"] = json!("7d6ab6a8-22e7-4fae-a7e6-9d2b8d4cbf0e");
        (run["pid"], run["start_time"]) = (json!(pid), json!(start_time));
    });
    left.leaves_alone(stranger);
}
