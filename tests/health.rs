//! Health checks: run by whoever has started the container, known to all.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use plywood::container::{Action, Health, HealthStatus};
use plywood::image::{Command, HealthCheck};
use plywood::{Container, Engine, ErrorKind, Image};
use serde_json::Value;
use support::place::Place;
use support::{base, sh};

/// Longer than a test takes.
const LONG: Duration = Duration::from_secs(300);
const PATIENCE: Duration = Duration::from_secs(30);
/// So often that a test need not wait.
const OFTEN: Duration = Duration::from_millis(5);

/// Runs until it is killed.
const IDLE: &str = "while :; do sleep 60; done";

/// Works while there is a file.
fn check() -> HealthCheck {
    HealthCheck::cmd(["sh", "-c", "echo looked; [ -e /ok ]"]).interval(OFTEN).timeout(LONG).retries(2)
}

/// Waits for the events of a container until its health is of this kind.
fn await_health(engine: &Engine, container: &Container, wanted: impl Fn(&Health) -> bool) -> Health {
    let mut events = engine.events().read().unwrap();
    loop {
        if let Some(health) = container.health().unwrap().filter(&wanted) {
            return health;
        }
        while !matches!(events.next().unwrap().action, Action::HealthStatus | Action::Die) {}
    }
}

/// The health that Docker's file of a container tells.
fn recorded(root: &Path, container: &Container) -> Value {
    let file = root.join(format!("containers/{}/config.v2.json", container.id()));
    let config: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    config["State"]["Health"].clone()
}

/// How the health of a container has changed, by its events.
fn changes(engine: &Engine, container: &Container, since: plywood::Timestamp) -> Vec<String> {
    let events = engine.events().since(since).until(plywood::Timestamp::now()).read().unwrap();
    let of_it = events.filter(|event| event.id == *container.id() && event.action == Action::HealthStatus);
    of_it.map(|event| event.attributes["healthStatus"].clone()).collect()
}

#[test]
fn it_follows_what_the_command_says_and_everybody_knows() {
    let place = Place::new();
    let (engine, image) = place.engine();
    let since = plywood::Timestamp::now();
    let container = sh(&image, &format!(": > /ok; {IDLE}")).health(check()).start(&engine).unwrap();
    let other = Engine::open_with(place.root(), plywood::Durability::Fast).unwrap();
    let seen = other.container(container.name()).unwrap();
    container.wait_healthy(PATIENCE).unwrap();
    seen.wait_healthy(PATIENCE).unwrap();
    let healthy = container.health().unwrap().unwrap();
    assert_eq!((healthy.status, healthy.failing_streak), (HealthStatus::Healthy, 0));
    let result = &healthy.log[0];
    assert!(result.start <= result.end && result.exit_code == 0);
    assert_eq!(result.output, "looked\n");
    assert_eq!(serde_json::to_value(container.inspect().unwrap()).unwrap()["State"]["Health"]["Status"], "healthy");

    assert!(container.exec(["rm", "/ok"]).status().unwrap().success());
    let unhealthy = await_health(&other, &seen, |health| health.status == HealthStatus::Unhealthy);
    assert!(unhealthy.failing_streak >= 2 && unhealthy.log.len() <= 5);
    assert_eq!(unhealthy.log.last().unwrap().exit_code, 1);
    assert_eq!(recorded(&place.root(), &container)["Status"], "unhealthy");
    let error = container.wait_healthy(PATIENCE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert!(error.to_string().contains("exit code 1: looked"), "{error}");

    // It is not given up.
    assert!(container.exec(["touch", "/ok"]).status().unwrap().success());
    await_health(&other, &seen, |health| health.status == HealthStatus::Healthy);
    assert_eq!(changes(&engine, &container, since), ["healthy", "unhealthy", "healthy"]);
}

#[test]
fn one_that_takes_too_long_is_killed_and_has_failed() {
    let engine = support::engine();
    let image = support::image(&engine);
    let slow = HealthCheck::cmd(["sleep", "1000"]).interval(OFTEN).timeout(OFTEN).retries(1);
    let container = sh(&image, IDLE).health(slow).start(&engine).unwrap();
    let error = container.wait_healthy(PATIENCE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert!(error.to_string().contains("Health check exceeded timeout"), "{error}");
    assert_eq!(container.health().unwrap().unwrap().log[0].exit_code, -1);
    // One at most is not reaped yet or has begun since.
    let sleeps = container.top().unwrap().into_iter().filter(|process| process.command.contains("1000")).count();
    assert!(sleeps <= 1, "{sleeps}");
}

#[test]
fn one_that_cannot_be_run_has_failed_and_says_why() {
    let engine = support::engine();
    let image = support::image(&engine);
    let missing = HealthCheck::cmd(["/no/such"]).interval(OFTEN).retries(1);
    let container = sh(&image, IDLE).health(missing).start(&engine).unwrap();
    let error = container.wait_healthy(PATIENCE).unwrap_err();
    assert!(error.kind() == ErrorKind::Failed && error.to_string().contains("/no/such"), "{error}");
}

#[test]
fn failures_do_not_count_while_it_starts() {
    let engine = support::engine();
    let image = support::image(&engine);
    let patient = check().interval(LONG).start_period(LONG).start_interval(OFTEN);
    let container = sh(&image, IDLE).health(patient).start(&engine).unwrap();
    let full = || container.health().unwrap().filter(|health| health.log.len() == 5);
    let health = loop {
        if let Some(health) = full() {
            break health;
        }
        // Nobody tells of what does not change.
        std::thread::yield_now();
    };
    assert_eq!((health.status, health.failing_streak), (HealthStatus::Starting, 0));
    assert_eq!(container.wait_healthy(OFTEN).unwrap_err().kind(), ErrorKind::Timeout);
    assert!(container.exec(["touch", "/ok"]).status().unwrap().success());
    container.wait_healthy(PATIENCE).unwrap();
}

#[test]
fn an_image_brings_its_check_and_a_definition_takes_it_away() {
    let engine = support::engine();
    let checked = base().health_check(HealthCheck::cmd(Command::shell("true")).interval(OFTEN));
    let image: Image<plywood::Layers> = engine.build(&checked).unwrap();
    sh(&image, IDLE).start(&engine).unwrap().wait_healthy(PATIENCE).unwrap();
    let without = sh(&image, IDLE).health(HealthCheck::none()).start(&engine).unwrap();
    assert_eq!(without.health().unwrap(), None);
    assert_eq!(without.wait_healthy(PATIENCE).unwrap_err().kind(), ErrorKind::InvalidArgument);
    // Its shell runs it.
    let check = HealthCheck::cmd(Command::shell("true")).interval(OFTEN).retries(1);
    let image: Image<plywood::Layers> = engine.build(&base().shell(["false"]).health_check(check)).unwrap();
    let error = sh(&image, IDLE).start(&engine).unwrap().wait_healthy(PATIENCE).unwrap_err();
    assert!(error.to_string().contains("exit code 1"), "{error}");
}

#[test]
fn whoever_waits_hears_that_it_has_ended_and_a_new_start_begins_anew() {
    let engine = support::engine();
    let image = support::image(&engine);
    let container = sh(&image, "[ -e /ok ] || { : > /ok; exit 7; }; while :; do sleep 60; done");
    let container = container.health(check().interval(LONG)).start(&engine).unwrap();
    let error = container.wait_healthy(PATIENCE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert!(error.to_string().contains("code 7"), "{error}");
    assert_eq!(container.health().unwrap().unwrap().status, HealthStatus::Unhealthy);
    container.start().unwrap();
    assert_eq!(container.health().unwrap().unwrap().status, HealthStatus::Starting);
    let _ = container.stop(PATIENCE).unwrap();
    assert_eq!(container.health().unwrap().unwrap().status, HealthStatus::Unhealthy);
}

#[test]
fn a_container_that_is_kept_is_checked_without_its_program() {
    let place = Place::new();
    let (engine, image) = place.engine();
    let since = plywood::Timestamp::now();
    let kept = sh(&image, &format!(": > /ok; {IDLE}")).name("kept").health(check()).keep();
    drop(kept.start(&engine).unwrap());
    drop(engine);
    let other = Engine::open_with(place.root(), plywood::Durability::Fast).unwrap();
    let seen = other.container("kept").unwrap();
    seen.wait_healthy(PATIENCE).unwrap();
    let healthy = await_health(&other, &seen, |health| health.status == HealthStatus::Healthy);
    assert_eq!((healthy.log[0].exit_code, healthy.log[0].output.as_str()), (0, "looked\n"));
    assert!(seen.exec(["rm", "/ok"]).status().unwrap().success());
    let unhealthy = await_health(&other, &seen, |health| health.status == HealthStatus::Unhealthy);
    assert!(unhealthy.failing_streak >= 2 && unhealthy.log.len() <= 5);
    assert_eq!(unhealthy.log.last().unwrap().exit_code, 1);
    assert!(seen.exec(["touch", "/ok"]).status().unwrap().success());
    await_health(&other, &seen, |health| health.status == HealthStatus::Healthy);
    assert_eq!(changes(&other, &seen, since), ["healthy", "unhealthy", "healthy"]);
    let _ = seen.stop(PATIENCE).unwrap();
    assert_eq!(seen.health().unwrap().unwrap().status, HealthStatus::Unhealthy);
    assert_eq!(recorded(&place.root(), &seen)["Status"], "unhealthy");
    assert_eq!(recorded(&place.root(), &seen)["Log"].as_array().unwrap().len(), 5);
    assert!(!place.root().join(format!("containers/{}/plywood-health.json", seen.id())).exists());
    // It is checked anew, and what it says of a command that is not there stands in words.
    seen.start().unwrap();
    seen.wait_healthy(PATIENCE).unwrap();
    seen.kill_and_remove().unwrap();
    let missing = HealthCheck::cmd(["/no/such"]).interval(OFTEN).retries(1);
    let missing = sh(&image, IDLE).health(missing).keep().start(&other).unwrap();
    let error = missing.wait_healthy(PATIENCE).unwrap_err();
    assert!(error.to_string().contains("/no/such") && error.to_string().contains("o such file"), "{error}");
    missing.kill_and_remove().unwrap();
    let slow = HealthCheck::cmd(["sleep", "1000"]).interval(OFTEN).timeout(OFTEN).retries(1);
    let slow = sh(&image, IDLE).health(slow).keep().start(&other).unwrap();
    let error = slow.wait_healthy(PATIENCE).unwrap_err();
    assert!(error.to_string().contains("exceeded timeout"), "{error}");
    slow.kill_and_remove().unwrap();
}

/// What a supervisor of a container may take, in KiB.
const MEMORY: u64 = 64;

#[test]
fn the_supervisor_of_a_checked_container_stays_small() {
    let place = Place::new();
    let (engine, image) = place.engine();
    // Enough checks to fill what is kept of them, and then none for an hour.
    let script = "echo looked; n=0; while read -r line; do n=$((n + 1)); done </n; echo >>/n; [ $n -ge 8 ]";
    let hour = Duration::from_secs(3600);
    let check = HealthCheck::cmd(["sh", "-c", script]).interval(hour).start_period(hour).start_interval(OFTEN);
    let kept = sh(&image, &format!(": >/n; {IDLE}")).health(check).keep().start(&engine).unwrap();
    kept.wait_healthy(PATIENCE).unwrap();
    assert_eq!(kept.health().unwrap().unwrap().log.len(), 5);
    let [keeper] = support::victim::keepers(&place.root())[..] else { panic!("there is one supervisor") };
    let read = fs::read_to_string(format!("/proc/{keeper}/smaps_rollup")).unwrap();
    let pss = read.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    eprintln!("the supervisor takes {pss:?} KiB");
    assert!(pss.unwrap() <= MEMORY, "{read}");
    kept.kill_and_remove().unwrap();
}

#[test]
fn a_container_that_is_started_again_is_checked_again() {
    let place = Place::new();
    let (engine, image) = place.engine();
    let script = "[ -e /second ] && : > /ok; : > /second; echo ready; while :; do sleep 60; done";
    let policy = plywood::container::RestartPolicy::Always;
    let container = sh(&image, script).health(check().retries(1)).keep().restart(policy).start(&engine).unwrap();
    let first = await_health(&engine, &container, |health| health.status == HealthStatus::Unhealthy);
    assert_eq!(first.log.last().unwrap().exit_code, 1);
    // By a signal that is none of the user's, so that its policy acts.
    let pid = container.inspect().unwrap().pid().unwrap();
    support::victim::kill(pid);
    await_health(&engine, &container, |health| health.status == HealthStatus::Healthy);
    assert_ne!(container.inspect().unwrap().pid(), Some(pid));
    container.kill_and_remove().unwrap();
}

#[test]
fn a_start_waits_until_the_check_says_that_it_works() {
    let engine = support::engine();
    let image = support::image(&engine);
    let ready = sh(&image, &format!(": > /ok; {IDLE}")).health(check()).ready(plywood::container::Ready::healthy());
    let container = ready.start(&engine).unwrap();
    assert_eq!(container.health().unwrap().unwrap().status, HealthStatus::Healthy);
    let never = sh(&image, IDLE).health(check());
    let never = never.ready(plywood::container::Ready::healthy().timeout(Duration::from_millis(300)));
    let error = never.start(&engine).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("health check"), "{error}");
}
