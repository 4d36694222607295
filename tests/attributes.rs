//! Tests that are given what they ask for, and what is told when one fails.

#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

use plywood::Engine;
use support::{victim, workspace};

/// Whether a test of `given.rs` passes on this data root, and what was told.
fn given(name: &str, directory: &Path, on_fail: &str) -> (bool, String) {
    let mut command = Command::new(env!("CARGO"));
    command.args(["test", "--quiet", "-p", "plywood-tests", "--test", "given"]);
    command.args(cfg!(feature = "tokio").then_some("--features=tokio")).args(["--", name, "--exact"]);
    command.env("PLYWOOD_ROOT", directory.join("root")).env("PLYWOOD_ON_FAIL", on_fail).current_dir(workspace());
    let output = command.output().unwrap();
    let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.success(), told)
}

#[test]
fn parameters_are_made_for_each_test() {
    let directory = victim::Directory::new();
    for name in ["passes", "panics"] {
        let (passed, told) = given(name, directory.path(), "");
        assert!(passed && told.contains("1 passed"), "{told}");
    }
    let engine = Engine::open(directory.path().join("root")).unwrap();
    assert!(engine.volumes().unwrap().is_empty());
    let names: Vec<_> = engine.containers().unwrap().iter().map(|it| it.name().to_owned()).collect();
    assert!(matches!(names.as_slice(), [name] if name.starts_with("template-")), "{names:?}");
}

#[test]
fn a_test_that_fails_shows_the_last_words_of_its_containers() {
    let directory = victim::Directory::new();
    let (passed, told) = given("fails", directory.path(), "");
    assert!(!passed);
    for part in [
        "word is not what was wanted",
        "the last lines of its log:\n    serving",
        "with PLYWOOD_ON_FAIL=keep they stay",
    ] {
        assert!(told.contains(part), "{part:?} is not in {told}");
    }
    let (passed, told) = given("fails", directory.path(), "dump");
    assert!(!passed);
    for part in ["  inspect:\n    {", "  top:\n    1 0 ", "  log:\n    serving", "  diff:\n    "] {
        assert!(told.contains(part), "{part:?} is not in {told}");
    }
    let engine = Engine::open(directory.path().join("root")).unwrap();
    assert_eq!(engine.containers().unwrap().len(), 1, "the template");
}

#[test]
#[cfg(feature = "tokio")]
fn tests_that_wait_run_on_a_runtime() {
    let directory = victim::Directory::new();
    for name in ["waits", "waits_on_threads"] {
        let (passed, told) = given(name, directory.path(), "");
        assert!(passed && told.contains("1 passed"), "{told}");
    }
    let (passed, told) = given("waits_and_fails", directory.path(), "");
    assert!(!passed);
    for part in ["word is not what was wanted", "the last lines of its log:\n    serving"] {
        assert!(told.contains(part), "{part:?} is not in {told}");
    }
    let engine = Engine::open(directory.path().join("root")).unwrap();
    assert_eq!(engine.containers().unwrap().len(), 1, "the template");
}

#[test]
fn containers_of_a_failed_test_stay_on_request() {
    let directory = victim::Directory::new();
    let (_, told) = given("fails", directory.path(), "keep");
    let command = told.lines().find_map(|line| line.trim().strip_prefix("it stays: plywood --root ")).unwrap();
    let name = command.split(' ').rev().nth(1).unwrap();
    let engine = Engine::open(directory.path().join("root")).unwrap();
    let container = engine.container(name).unwrap();
    assert!(container.state().unwrap().is_running());
    let word = container.exec(["cat", "/word"]).output().unwrap();
    assert_eq!(support::text(word), "word\n");
    container.kill_and_remove().unwrap();
}
