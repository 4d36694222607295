//! Kept containers that are started again.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::time::Duration;

use plywood::container::{Action, RestartPolicy, Signal, State};
use plywood::{Container, Durability, Engine, Error, ErrorKind, Image};
use support::place::Place;
use support::victim::{self, Victim};
use support::{base, sh};

const PATIENCE: Duration = Duration::from_secs(10);

/// Says which start it is, and goes on as it is told.
fn counted(then: &str) -> String {
    format!("n=0; [ -e /n ] && read n < /n; n=$((n+1)); echo $n > /n; echo start $n; {then}")
}

/// Waits for a line of the log.
fn await_line(container: &Container, wanted: &str) {
    // A follower hears one process to its end.
    while !container.logs().read().unwrap().any(|line| line.text == wanted) {
        std::thread::yield_now();
    }
}

/// The end that follows the one that was recorded, once nothing follows any more.
fn settled(container: &Container) -> Result<State, Error> {
    loop {
        match container.state()? {
            State::Running | State::Restarting => std::thread::yield_now(),
            state => return Ok(state),
        }
    }
}

fn restarting(image: &Image, script: &str, policy: RestartPolicy) -> plywood::container::Definition {
    sh(image, &counted(script)).keep().restart(policy)
}

#[test]
fn on_failure_starts_it_again_as_often_as_it_may_and_all_of_it_is_in_the_log() {
    let place = Place::new();
    let (engine, image) = place.engine();
    let policy = RestartPolicy::OnFailure { retries: Some(2) };
    let events = engine.events().read().unwrap();
    let container = restarting(&image, "echo err >&2; exit 4", policy).name("flaky").start(&engine).unwrap();
    assert_eq!(settled(&container).unwrap(), State::Exited);
    assert_eq!(container.wait().unwrap().code(), 4);
    let details = container.inspect().unwrap();
    assert_eq!(details.restart_count(), 2);
    assert_eq!(details.restart_policy(), policy);
    assert!(details.started_at() <= details.finished_at());
    let document = serde_json::to_value(&details).unwrap();
    assert_eq!(document["RestartCount"], 2);
    let on_disk = serde_json::json!({ "Name": "on-failure", "MaximumRetryCount": 2 });
    assert_eq!(document["HostConfig"]["RestartPolicy"], on_disk);
    let lines: Vec<_> = container.logs().read().unwrap().map(|line| line.text).filter(|text| text != "err").collect();
    assert_eq!(lines, ["start 1", "start 2", "start 3"]);

    // Its supervisor has told what happened while nobody looked.
    let mut told = Vec::new();
    for event in events {
        let code = event.attributes.get("exitCode").cloned().unwrap_or_default();
        told.push((event.action, code));
        if told.iter().filter(|(action, _)| *action == Action::Die).count() == 3 {
            break;
        }
    }
    let (die, start) = ((Action::Die, "4".to_owned()), (Action::Start, String::new()));
    told.retain(|(action, _)| *action != Action::Create);
    // Which of the first two is told first is a race of two programs.
    told[..2].sort_by_key(|(action, _)| *action == Action::Die);
    assert_eq!(told, [start.clone(), die.clone(), start.clone(), die.clone(), start, die]);

    // The files that Docker reads say the same, once somebody owns it.
    let files = place.root().join(format!("containers/{}", container.id()));
    let text = fs::read_to_string(files.join("config.v2.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&config["RestartCount"], &config["State"]["Restarting"]), (&2.into(), &false.into()));
    assert!(!files.join("plywood-kept.json").exists() && !files.join("plywood.sock").exists());

    // A start by hand begins to count again.
    container.start().unwrap();
    assert_eq!(settled(&container).unwrap(), State::Exited);
    assert_eq!(container.inspect().unwrap().restart_count(), 2);
    container.remove().unwrap();
}

#[test]
fn one_that_succeeds_is_left_alone_by_on_failure() {
    let place = Place::new();
    let (engine, image) = place.engine();
    let policy = RestartPolicy::OnFailure { retries: None };
    let container = restarting(&image, "[ $n = 1 ] && exit 1; exit 0", policy).start(&engine).unwrap();
    assert_eq!(settled(&container).unwrap(), State::Exited);
    assert_eq!(container.wait().unwrap().code(), 0);
    assert_eq!(container.inspect().unwrap().restart_count(), 1);
    container.remove().unwrap();
}

#[test]
fn it_is_started_again_when_its_program_is_gone_and_a_stop_ends_that() {
    let serve = "trap 'exit 0' TERM; [ $n = 1 ] && exit 1; read name < /etc/hostname; echo $name; while :; do sleep 60 & wait; done";
    if let Some(directory) = victim::directory() {
        let engine = Engine::open_with(directory.join("root"), Durability::Fast).unwrap();
        let image = engine.build(&base()).unwrap();
        // Not before the program has gone.
        let wait = "until [ -e /go ]; do sleep 0.05; done;";
        let script = format!("{wait} {serve}");
        let definition = restarting(&image, &script, RestartPolicy::Always).name("web").hostname("there");
        let _container = definition.start(&engine).unwrap();
        victim::tell("runs");
        victim::wait();
    }
    let place = Place::new();
    let name = "it_is_started_again_when_its_program_is_gone_and_a_stop_ends_that";
    let mut victim = Victim::start(name, place.0.path());
    assert_eq!(victim.hear().unwrap(), "runs");
    victim.kill();
    let (engine, _) = place.engine();
    let container = engine.container("web").unwrap();
    let first = container.inspect().unwrap().pid().unwrap();
    assert!(container.exec(["touch", "/go"]).status().unwrap().success());
    await_line(&container, "there");
    let details = container.inspect().unwrap();
    assert_eq!((details.state(), details.restart_count()), (State::Running, 1));
    assert_ne!(details.pid(), Some(first));
    // It is the same container in every way: others run commands in it, in its namespaces and file system.
    let output = container.exec(["sh", "-c", "cat /n; cat /proc/1/comm; ls /proc/self/ns/net"]).output().unwrap();
    assert_eq!(support::text(output), "2\nplywood-init\n/proc/self/ns/net\n");
    assert_eq!(container.start().unwrap_err().kind(), ErrorKind::InUse);
    assert_eq!(engine.container("web").unwrap().remove().unwrap_err().kind(), ErrorKind::InUse);

    let status = container.stop(PATIENCE).unwrap();
    assert_eq!((status.code(), container.state().unwrap()), (0, State::Exited));
    let config = place.root().join(format!("containers/{}/config.v2.json", container.id()));
    let config: serde_json::Value = serde_json::from_str(&fs::read_to_string(config).unwrap()).unwrap();
    assert_eq!(config["HasBeenManuallyStopped"], true);
    container.start().unwrap();
    await_line(&container, "start 3");
    // A kill is meant as well.
    container.kill(Signal::KILL).unwrap();
    assert_eq!(container.wait().unwrap().signal(), Some(9));
    assert_eq!(settled(&container).unwrap(), State::Exited);
    container.remove().unwrap();
}

#[test]
fn one_that_waits_for_its_next_start_can_be_stopped_and_removed() {
    let place = Place::new();
    let (engine, image) = place.engine();
    for remove in [false, true] {
        let container = restarting(&image, "exit 1", RestartPolicy::UnlessStopped).name("loop").start(&engine).unwrap();
        while container.state().unwrap() != State::Restarting {
            std::thread::yield_now();
        }
        assert_eq!(engine.container("loop").unwrap().remove().unwrap_err().kind(), ErrorKind::InUse);
        let details = container.inspect().unwrap();
        let document = serde_json::to_value(&details).unwrap();
        assert_eq!(document["State"]["Running"], true, "as Docker says of one that is to be started again");
        if remove {
            engine.container("loop").unwrap().kill_and_remove().unwrap();
            assert_eq!(container.state().unwrap_err().kind(), ErrorKind::NotFound);
        } else {
            assert_eq!(container.stop(PATIENCE).unwrap().code(), 1);
            assert_eq!(container.state().unwrap(), State::Exited);
            container.remove().unwrap();
        }
    }
}

#[test]
fn limits_mounts_and_ids_are_those_of_the_first_start() {
    support::require_root!();
    let place = Place::new();
    let (engine, image) = place.engine();
    let look = "while read name value; do case $name in Cap*|NoNew*|Seccomp:|Uid:) echo $name $value;; esac; done \
        < /proc/self/status; while read a b c d target rest; do echo $target; done < /proc/self/mountinfo; \
        cat /proc/self/cgroup /proc/self/limits; exit 3";
    let container = restarting(&image, look, RestartPolicy::OnFailure { retries: Some(1) })
        .mount(plywood::Mount::tmpfs("/memory"))
        .mount(plywood::Mount::anonymous("/data"))
        .memory("64MiB");
    let container = container.start(&engine).unwrap();
    assert_eq!(settled(&container).unwrap(), State::Exited);
    let lines: Vec<_> = container.logs().read().unwrap().map(|line| line.text).collect();
    let second = lines.iter().position(|line| line == "start 2").unwrap();
    assert!(second > 20, "{lines:?}");
    assert_eq!(lines[1..second], lines[second + 1..]);
    container.remove().unwrap();
}

#[test]
fn a_start_that_fails_is_told_and_tried_again() {
    let place = Place::new();
    let (engine, image) = place.engine();
    let data = tempfile::tempdir().unwrap();
    let source = data.path().join("source");
    fs::create_dir(&source).unwrap();
    let script = "until [ -e /data/end ]; do sleep 0.05; done; exit 1";
    let definition = restarting(&image, script, RestartPolicy::Always).mount(plywood::Mount::bind(&source, "/data"));
    let container = definition.start(&engine).unwrap();
    let other = data.path().join("other");
    fs::rename(&source, &other).unwrap();
    fs::write(other.join("end"), "").unwrap();
    let error = loop {
        let document = serde_json::to_value(container.inspect().unwrap()).unwrap();
        match document["State"]["Error"].as_str() {
            Some("") | None => std::thread::yield_now(),
            Some(text) => break text.to_owned(),
        }
    };
    assert!(error.contains("start it again") && error.contains("/data") && error.contains("No such file"), "{error}");
    fs::remove_file(other.join("end")).unwrap();
    fs::rename(&other, &source).unwrap();
    await_line(&container, "start 2");
    assert_eq!(container.stop(PATIENCE).unwrap().signal(), Some(15));
    container.remove().unwrap();
}
