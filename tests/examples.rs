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
