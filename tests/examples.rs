//! Every example runs and prints what `fixtures/examples/<name>.txt` holds, where `[..]` stands for any text in a line.

#![allow(missing_docs, clippy::unwrap_used)]

use std::process::Command;

use support::{require_root, skip, workspace};

fn run(name: &str, args: &[&str]) {
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "-p", "plywood-examples", "--example", name, "--"])
        .args(args)
        .current_dir(workspace())
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {}\n{printed}\n{errors}", output.status);
    let expected = std::fs::read_to_string(workspace().join(format!("tests/fixtures/examples/{name}.txt"))).unwrap();
    for (number, (line, pattern)) in printed.lines().zip(expected.lines()).enumerate() {
        assert!(matches(line, pattern), "{name}, line {}:\n  {line}\nis not\n  {pattern}\n\n{printed}", number + 1);
    }
    assert_eq!(printed.lines().count(), expected.lines().count(), "{name}:\n{printed}");
}

/// Whether a line is like a pattern whose `[..]` match anything.
fn matches(line: &str, pattern: &str) -> bool {
    let mut parts = pattern.split("[..]");
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[test]
fn quickstart() {
    run("quickstart", &[]);
}

#[test]
fn dockerfile_as_code() {
    require_root!();
    match std::env::var("PLYWOOD_TEST_DEBIAN") {
        Ok(tar) => run("dockerfile_as_code", &[&tar]),
        Err(_) => skip("a Debian root filesystem (PLYWOOD_TEST_DEBIAN names its tar)"),
    }
}

#[test]
fn oci_runtime() {
    run("oci_runtime", &["--version"]);
}

/// Runs the tests of the example by `cargo <words>`, on a data root of their own.
fn run_database_tests(words: &[&str]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO"))
        .args(words)
        .args(["-p", "plywood-examples", "--test", "database_tests"])
        .env("PLYWOOD_ROOT", directory.path().join("root"))
        .current_dir(workspace())
        .output()
        .unwrap();
    let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{told}");
    told
}

#[test]
fn database_tests() {
    if let Err(error) = plywood::testing::Postgres::from_host() {
        return skip(error);
    }
    let told = run_database_tests(&["test"]);
    assert!(told.contains("30 passed; 0 failed"), "{told}");
    if support::has_program("cargo-nextest") {
        let told = run_database_tests(&["nextest", "run"]);
        assert!(told.contains("30 tests run: 30 passed"), "{told}");
    }
}

#[test]
fn every_example_has_a_test() {
    let text = include_str!("examples.rs");
    for entry in std::fs::read_dir(workspace().join("examples")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if let Some(name) = name.strip_suffix(".rs").filter(|name| *name != "lib") {
            assert!(text.contains(&format!("fn {name}()")), "the example {name} is not run by a test");
        }
    }
}
