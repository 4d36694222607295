//! `plywood build`, from outside.

#![allow(clippy::unwrap_used)]

mod bench;

use std::io::Write as _;
use std::process::{Output, Stdio};

use bench::{Bench, require_busybox};

#[test]
fn a_dockerfile_is_built() {
    require_busybox!();
    let bench = Bench::with_image();
    let context = bench.path("context");
    std::fs::create_dir_all(&context).unwrap();
    let dockerfile = "FROM box:1 AS base\nARG WHO=nobody\nCOPY a.txt <<b.txt /dir/\nHello $WHO\nb.txt\n\
        RUN <<E\necho ran > /dir/c.txt\nE\nCMD cat /dir/*\nFROM base\nCMD echo last\n";
    std::fs::write(context.join("Dockerfile"), dockerfile).unwrap();
    std::fs::write(context.join("a.txt"), "a\n").unwrap();
    let path = context.to_str().unwrap();
    let built = bench.run(&["build", "-t", "app:1", path]);
    let told = String::from_utf8_lossy(&built.stderr).into_owned();
    assert!(built.status.success() && told.contains("[3/3] RUN"), "{told}");
    assert_eq!(bench.ok(&["run", "--rm", "app:1"]), "last\n");
    let flags = ["build", "-q", "--target", "base", "--build-arg", "WHO=you", "--label", "k=v"];
    let id = bench.ok(&[&flags[..], &["-t", "app:2", path]].concat());
    assert!(id.starts_with("sha256:"), "{id}");
    assert_eq!(bench.ok(&["run", "--rm", "app:2"]), "a\nHello you\nran\n");
    assert_eq!(bench.json(&["inspect", "app:2"])[0]["Config"]["Labels"]["k"], "v");
    std::fs::write(context.join("Bad"), "FROM box:1\nRNU x\nEXPOSE 0\n").unwrap();
    let (code, text) = bench.fails(&["build", "-f", context.join("Bad").to_str().unwrap(), path]);
    assert!(code == 125 && text.contains("Bad:2:1: unknown instruction `RNU`") && text.contains("Bad:3:8: "), "{text}");
}

/// The end of a program that was given this on its standard input.
fn run_with(bench: &Bench, arguments: &[&str], input: &[u8]) -> Output {
    let mut command = bench.command(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // One that refuses at once reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

#[test]
fn a_dockerfile_from_standard_input_is_built_without_a_context() {
    require_busybox!();
    let bench = Bench::with_image();
    let file = b"FROM box:1\nARG WHO\nRUN echo $WHO > /who\nCMD [\"cat\", \"/who\"]\n";
    let flags =
        ["--build-arg", "WHO=you", "--build-arg", "HTTP_PROXY=x", "--build-arg", "OTHER=1", "--build-arg", "A="];
    let built = run_with(&bench, &[&["build", "-t", "app:1"][..], &flags, &["-"]].concat(), file);
    let told = String::from_utf8_lossy(&built.stderr);
    let warning = "warning: build image: no ARG of what was built has asked for the arguments [A OTHER]\n";
    assert!(built.status.success() && told.contains(warning), "{told}");
    assert_eq!(bench.ok(&["run", "--rm", "app:1"]), "you\n");
    for (arguments, input, message) in [
        (&["build", "-"][..], &b"FROM box:1\nCOPY a /\n"[..], "COPY \"a\": not found"),
        (&["build", "-"], b"\x1f\x8b\x08\0", "read the Dockerfile from standard input: it is no text"),
        (&["build", "-f", "x", "-"], file, "--file names another one"),
        (&["build", "https://example.com/a.git"], b"", "\"https://example.com/a.git\": it is not fetched"),
    ] {
        let output = run_with(&bench, arguments, input);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(125) && told.contains(message), "{arguments:?}: {told}");
    }
}

#[test]
fn each_run_of_a_build_has_the_limits_of_docker_flags() {
    require_busybox!();
    let bench = Bench::with_image();
    let context = bench.path("context");
    std::fs::create_dir_all(&context).unwrap();
    let dockerfile =
        "FROM box:1\nRUN cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null > /seen; true\n";
    std::fs::write(context.join("Dockerfile"), dockerfile).unwrap();
    let path = context.to_str().unwrap();
    let flags = ["--memory", "64m", "--memory-swap", "-1", "--cpu-shares", "512", "--pids-limit", "7"];
    let quota = ["--cpu-quota", "50000", "--cpu-period", "100000"];
    let built = bench.run(&[&["build", "-t", "limited:1"][..], &flags, &quota, &[path]].concat());
    let errors = String::from_utf8_lossy(&built.stderr);
    // As an ordinary user what was handed to that decides.
    match built.status.success() {
        true => assert_eq!(bench.ok(&["run", "--rm", "limited:1", "cat", "/seen"]), "7\n"),
        false => {
            assert!(!rustix::process::geteuid().is_root() && errors.contains("limit memory to 64MiB: "), "{errors}");
        }
    }
    for (flags, message) in [
        (["--memory", "1m"], "limit memory to 1MiB: the least is 6MiB"),
        (["--memory-swap", "8m"], "limit memory and swap to 8MiB: that needs a limit of memory"),
        (["--cpuset-cpus", "a"], "choose CPUs \"a\": they read like 0-2,4"),
    ] {
        let (code, text) = bench.fails(&["build", flags[0], flags[1], path]);
        assert!(code == 125 && text.contains(message), "{text}");
    }
}
