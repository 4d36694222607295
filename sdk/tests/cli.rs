//! The companion binary, from outside: what it prints, and the exit codes it gives.

#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::process::Stdio;

mod bench;

use bench::{Bench, Running, require_busybox};

#[test]
fn a_command_runs_with_its_own_exit_code() {
    require_busybox!();
    let bench = Bench::with_image();
    assert_eq!(bench.ok(&["run", "--rm", "box:1"]), "default\n");
    let output = bench.run(&["run", "--rm", "box:1", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!(output.status.code(), Some(7));
    assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
    assert_eq!(bench.ok(&["ps", "-aq"]), "");
}

#[test]
fn exit_codes_are_those_of_docker() {
    require_busybox!();
    let bench = Bench::with_image();
    let foreign = bench.path("foreign");
    std::fs::create_dir_all(foreign.join("photos")).unwrap();
    for (arguments, code, part) in [
        (&["run", "--rm", "box:1", "nosuch"][..], 127, "no such command"),
        (&["run", "--rm", "box:1", "/bin"], 126, "/bin"),
        (&["run", "--rm", "nosuch:1"], 125, "hint: "),
        (&["run", "--rm", "--network", "blue", "box:1"], 125, "unknown network"),
        (&["run", "--rm", "--pid", "blue", "box:1"], 125, "unknown namespace"),
        (&["run", "--no-such-flag", "box:1"], 125, "--no-such-flag"),
        (&["run", "--restart", "always", "box:1"], 125, "--detach"),
        (&["run", "-d", "--restart", "sometimes", "box:1"], 125, "invalid restart policy"),
        (&["attach", "--detach-keys", "ctrl-", "x"], 125, "invalid --detach-keys"),
        (&["run", "--health-interval", "1s", "box:1"], 125, "--health-cmd"),
        (&["imgaes"], 125, "did you mean `plywood images`?"),
        (&["rm", "nosuch"], 125, "nosuch"),
        (&["inspect", "nosuch"], 125, "no container, image or volume"),
        (&["images", "--root", foreign.to_str().unwrap()], 125, "hint: name a new or empty directory"),
    ] {
        let (status, text) = bench.fails(arguments);
        assert_eq!(status, code, "{arguments:?}: {text}");
        assert!(text.starts_with("plywood: ") && text.contains(part), "{arguments:?}: {text}");
    }
    assert_eq!(bench.ok(&["ps", "-aq"]), "", "a container that could not start is gone");
}

#[test]
fn everything_after_the_image_belongs_to_the_command() {
    require_busybox!();
    let bench = Bench::with_image();
    let words = ["--rm", "-e", "A=1", "--", "--root", "/x", "--format", "json", "-h"];
    let printed = bench.ok(&[&["run", "--rm", "box:1", "echo"][..], &words].concat());
    assert_eq!(printed.trim_end(), words.join(" "));
}

#[test]
fn options_stand_before_or_after_names() {
    require_busybox!();
    let bench = Bench::with_image();
    let elsewhere = bench.path("other");
    let elsewhere = elsewhere.to_str().unwrap();
    assert_eq!(bench.json(&["--format", "json", "images"]), bench.json(&["images", "--format", "json"]));
    assert_eq!(bench.ok(&["images", "-q", "--root", elsewhere]), "");
    assert_eq!(bench.ok(&["--root", elsewhere, "images", "-q"]), "");
    bench.ok(&["create", "--name", "first", "box:1"]);
    assert_eq!(bench.ok(&["rm", "first", "--force"]), "first\n");
}

#[test]
fn settings_reach_the_process() {
    require_busybox!();
    let bench = Bench::with_image();
    std::fs::write(bench.path("file"), "# a remark\nA=file\nB=file\n").unwrap();
    let file = bench.path("file");
    let script = "echo $A $B $C $HOSTNAME; pwd; id -u";
    let mut command = bench.command(&["run", "--rm", "--env-file", file.to_str().unwrap(), "-e", "B=flag", "-e", "C"]);
    command.args(["-w", "/work", "-h", "web", "box:1", "sh", "-c", script]).env("C", "caller");
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "file flag caller web\n/work\n0\n");
    assert_eq!(bench.ok(&["run", "--rm", "--entrypoint", "/bin/echo", "box:1", "x"]), "x\n");
    assert_eq!(bench.run(&["run", "--rm", "--read-only", "box:1", "touch", "/x"]).status.code(), Some(1));
}

#[test]
fn published_ports_are_listed() {
    require_busybox!();
    let bench = Bench::with_image();
    let mut running =
        bench.start(&["run", "--rm", "-p", "80", "box:1", "sh", "-c", "httpd -p 80; echo ready; sleep 1000"]);
    assert_eq!(running.read_line(), "ready");
    let ports = bench.json(&["ps", "--format", "json"])[0]["Ports"].as_str().unwrap().to_owned();
    let address = ports.strip_suffix("->80/tcp").unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let answer = std::io::read_to_string(&mut stream).unwrap();
    assert!(answer.starts_with("HTTP/1.0 404") || answer.starts_with("HTTP/1.1 404"), "{answer}");
    bench.ok(&["run", "-d", "--name", "dns", "-p", "53/udp", "box:1", "sleep", "1000"]);
    let ports = bench.json(&["ps", "--filter", "name=dns", "--format", "json"])[0]["Ports"].to_string();
    assert!(ports.contains("->53/udp"), "{ports}");
    bench.ok(&["rm", "-f", "dns"]);
}

#[test]
fn volumes_outlive_their_containers() {
    require_busybox!();
    let bench = Bench::with_image();
    bench.ok(&["run", "--rm", "-v", "data:/data", "box:1", "sh", "-c", "echo kept > /data/f"]);
    assert_eq!(bench.ok(&["run", "--rm", "-v", "data:/d:ro", "box:1", "cat", "/d/f"]), "kept\n");
    let host = bench.path("");
    let bind = format!("type=bind,source={},target=/host,readonly", host.display());
    std::fs::write(bench.path("note"), "of the host\n").unwrap();
    assert_eq!(bench.ok(&["run", "--rm", "--mount", &bind, "box:1", "cat", "/host/note"]), "of the host\n");
    assert_eq!(bench.ok(&["volume", "ls", "-q"]), "data\n");
    bench.ok(&["create", "--name", "user", "-v", "data:/data", "box:1"]);
    let (code, text) = bench.fails(&["volume", "rm", "data"]);
    assert!(code == 125 && text.contains("\"user\""), "{text}");
    bench.ok(&["rm", "user"]);
    assert_eq!(bench.ok(&["volume", "rm", "data"]), "data\n");
    assert_eq!(bench.json(&["volume", "ls", "--format", "json"]), serde_json::json!([]));
}

#[test]
fn a_container_is_found_again_with_its_log_and_status() {
    require_busybox!();
    let bench = Bench::with_image();
    let code = bench.run(&["run", "--name", "web", "box:1", "sh", "-c", "echo one; echo two; exit 3"]).status.code();
    assert_eq!(code, Some(3));
    assert_eq!(bench.ok(&["ps", "-q"]), "");
    let table = bench.ok(&["ps", "-a"]);
    assert!(table.starts_with("CONTAINER ID   IMAGE   COMMAND "), "{table}");
    assert!(table.contains("Exited (3)") && table.contains("web"), "{table}");
    assert_eq!(bench.ok(&["logs", "web"]), "one\ntwo\n");
    assert_eq!(bench.ok(&["logs", "-n", "1", "web"]), "two\n");
    assert_eq!(bench.ok(&["wait", "web"]), "3\n");
    let details = bench.json(&["inspect", "web"]);
    assert_eq!(details[0]["Name"], "/web");
    assert_eq!(details[0]["State"]["ExitCode"], 3);
    let (code, text) = bench.fails(&["run", "--name", "web", "box:1"]);
    assert!(code == 125 && text.contains("web"), "{text}");
    let (code, text) = bench.fails(&["rmi", "box:1"]);
    assert!(code == 125 && text.contains("\"web\""), "{text}");
    assert_eq!(bench.ok(&["rm", "web"]), "web\n");
}

#[test]
fn a_created_container_is_started_in_the_foreground() {
    require_busybox!();
    let bench = Bench::with_image();
    let cid_file = bench.path("cid");
    let id =
        bench.ok(&["create", "--cidfile", cid_file.to_str().unwrap(), "--name", "later", "box:1", "echo", "hello"]);
    assert_eq!(std::fs::read_to_string(cid_file).unwrap(), id.trim_end());
    assert_eq!(bench.ok(&["start", "-a", "later"]), "hello\n");
    assert_eq!(bench.ok(&["start", "--attach", "later"]), "hello\n");
    assert_eq!(bench.ok(&["logs", "later"]), "hello\nhello\n");
}

#[test]
fn output_is_complete_and_input_is_handed_on() {
    require_busybox!();
    let bench = Bench::with_image();
    let expected: String = (1..=50_000).map(|number| format!("{number}\n")).collect();
    for arguments in [&["run", "--rm", "box:1", "seq", "50000"][..], &["run", "box:1", "seq", "50000"]] {
        assert!(bench.ok(arguments) == expected, "{arguments:?}");
    }
    let mut child = bench.command(&["run", "--rm", "-i", "box:1", "cat"]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"\x00\xffbytes").unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"\x00\xffbytes");
    assert_eq!(bench.ok(&["run", "--rm", "box:1", "cat"]), "", "without -i there is no input");
}

#[test]
fn output_streams_while_the_container_runs() {
    require_busybox!();
    let bench = Bench::with_image();
    for arguments in [&["run", "-i", "--name", "kept"][..], &["run", "-i", "--rm", "--name", "gone"]] {
        let mut command =
            bench.command(&[arguments, &["box:1", "sh", "-c", "echo ready; read line; echo $line"]].concat());
        let mut running = Running(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
        assert_eq!(running.read_line(), "ready");
        running.0.stdin.take().unwrap().write_all(b"go\n").unwrap();
        assert_eq!(running.end(), (0, "go\n".to_owned()));
    }
}

#[test]
fn a_signal_ends_the_container_and_rm_removes_it() {
    require_busybox!();
    let bench = Bench::with_image();
    let running = bench.start(&["run", "--rm", "--name", "sleeper", "box:1", "sleep", "1000"]);
    bench.await_running("sleeper");
    running.signal(rustix::process::Signal::INT);
    assert_eq!(running.end().0, 130, "the init passes it on");
    assert_eq!(bench.ok(&["ps", "-aq"]), "");
    let notes = std::fs::read_dir(bench.path("root/image/plywood/in-flight")).unwrap();
    let sessions = notes.filter(|note| note.as_ref().unwrap().file_name().to_string_lossy().starts_with("session-"));
    assert_eq!(sessions.count(), 0, "the store was closed, and need not be swept");
    for flag in ["--no-init", "--init=false"] {
        let running = bench.start(&["run", "--rm", "--name", "first", flag, "box:1", "sleep", "1000"]);
        bench.await_running("first");
        running.signal(rustix::process::Signal::INT);
        assert_eq!(running.end().0, 137, "a first process that does not listen is killed");
    }
    for (flags, number) in [(&["--init"][..], "2\n"), (&["--init=true"], "2\n"), (&["--no-init"], "1\n"), (&[], "2\n")]
    {
        let words = [&["run", "--rm"], flags, &["box:1", "sh", "-c", "echo $$"]].concat();
        assert_eq!(bench.ok(&words), number, "{flags:?}");
    }

    let script = "trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    let mut running = bench.start(&["run", "--rm", "box:1", "sh", "-c", script]);
    assert_eq!(running.read_line(), "ready");
    running.signal(rustix::process::Signal::TERM);
    assert_eq!(running.end(), (5, "bye\n".to_owned()));
}

#[test]
fn another_program_stops_kills_and_follows_a_container() {
    require_busybox!();
    let bench = Bench::with_image();
    let script = "echo ready; sleep 1000";
    let mut running = bench.start(&["run", "--name", "web", "box:1", "sh", "-c", script]);
    assert_eq!(running.read_line(), "ready");
    let follower = bench.start(&["logs", "-f", "web"]);
    let waiter = bench.start(&["wait", "web"]);
    let (code, text) = bench.fails(&["rm", "web"]);
    assert!(code == 125 && text.contains("it is running"), "{text}");
    assert_eq!(bench.json(&["ps", "--format", "json"])[0]["State"], "running");
    assert_eq!(bench.ok(&["stop", "-t", "60", "web"]), "web\n");
    assert_eq!(running.end().0, 143);
    assert_eq!(follower.end(), (0, "ready\n".to_owned()));
    assert_eq!(waiter.end(), (0, "143\n".to_owned()));
    assert_eq!(bench.ok(&["rm", "-f", "web"]), "web\n");
    assert_eq!(bench.ok(&["rm", "-f", "web"]), "", "one that is gone is no mistake with --force");
}

#[test]
fn limits_are_docker_flags_and_say_why_they_cannot_be() {
    require_busybox!();
    let bench = Bench::with_image();
    let flags = ["run", "--rm", "-m", "64m", "--cpus", "0.5", "--pids-limit", "7", "box:1"];
    let show = ["sh", "-c", "cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null"];
    let output = bench.run(&[&flags[..], &show].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    match rustix::process::geteuid().is_root() {
        true => assert_eq!(String::from_utf8_lossy(&output.stdout), "7\n", "{errors}"),
        // What was handed to the user decides.
        false => assert!(output.stdout == b"7\n" || errors.contains("limit memory to 64MiB: "), "{errors}"),
    }
    for (flags, message) in [
        (["--memory", "1m"], "limit memory to 1MiB: the least is 6MiB"),
        (["--memory-swap", "8m"], "limit memory and swap to 8MiB: that needs a limit of memory"),
        (["--pids-limit", "-2"], "invalid --pids-limit -2"),
        (["--cpus", "0"], "limit CPU time: the least is 0.01 CPUs"),
        (["--cpuset-cpus", "a"], "choose CPUs \"a\": they read like 0-2,4"),
        (["--device-read-bps", "1m"], "invalid --device-read-bps \"1m\": it reads DEVICE:RATE"),
    ] {
        let (code, text) = bench.fails(&["run", flags[0], flags[1], "box:1"]);
        assert!(code == 125 && text.contains(message), "{text}");
    }
}

#[test]
fn a_container_is_paused_measured_and_goes_on() {
    require_busybox!();
    let bench = Bench::with_image();
    let mut running = bench.start(&["run", "--name", "web", "box:1", "sh", "-c", "echo ready; exec sleep 1000"]);
    assert_eq!(running.read_line(), "ready");
    let rows = bench.ok(&["stats", "--no-stream"]);
    assert!(rows.starts_with("CONTAINER ID   NAME   CPU %   MEM USAGE / LIMIT"), "{rows}");
    let stats = bench.json(&["stats", "--no-stream", "--format", "json", "web"]);
    assert_eq!((&stats[0]["Name"], stats[0]["PIDs"]["Current"].as_u64()), (&"web".into(), Some(2)), "and the init");
    if !rustix::process::geteuid().is_root() && !bench.run(&["pause", "web"]).status.success() {
        return;
    }
    assert_eq!(bench.ok(&["pause", "web"]), "web\n");
    assert!(bench.ok(&["ps"]).contains("(Paused)"));
    assert_eq!(bench.json(&["inspect", "web"])[0]["State"]["Paused"], true);
    assert_eq!(bench.ok(&["unpause", "web"]), "web\n");
    assert_eq!(bench.json(&["ps", "--format", "json"])[0]["State"], "running");
    bench.ok(&["pause", "web"]);
    bench.ok(&["kill", "web"]);
    assert_eq!(running.end().0, 137);
    let (code, text) = bench.fails(&["pause", "web"]);
    assert!(code == 125 && text.contains("it is not running"), "{text}");
}

#[test]
fn archives_go_through_files_and_pipes() {
    require_busybox!();
    let bench = Bench::with_image();
    let id = bench.ok(&["images", "-q", "--no-trunc"]);
    let archive = bench.path("box.tar");
    bench.ok(&["save", "-o", archive.to_str().unwrap(), "box:1"]);
    let saved = bench.run(&["save", "box:1"]).stdout;
    assert!(saved == std::fs::read(&archive).unwrap(), "a pipe gets what a file gets");
    let other = Bench::new();
    for arguments in [&["load"][..], &["load", "-"], &["load", "-i", "-"]] {
        let mut command = other.command(arguments);
        let output = command.stdin(std::fs::File::open(&archive).unwrap()).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "Loaded image: box:1\n");
    }
    assert_eq!(other.ok(&["images", "-q", "--no-trunc"]), id);
    let mut import = other.command(&["import", "-", "piped:1"]);
    let output = import.stdin(std::fs::File::open(bench.path("rootfs.tar")).unwrap()).output().unwrap();
    assert!(output.status.success());
    let (code, text) = other.fails(&["load", "-i", bench.path("rootfs.tar").to_str().unwrap()]);
    assert!(code == 125 && text.contains("hint: use import"), "{text}");
}

#[test]
fn images_are_listed_tagged_and_removed() {
    require_busybox!();
    let bench = Bench::with_image();
    bench.ok(&["tag", "box:1", "registry.example:5000/team/box:2"]);
    let table = bench.ok(&["images"]);
    assert!(table.starts_with("REPOSITORY "), "{table}");
    assert!(table.contains("registry.example:5000/team/box   2 "), "{table}");
    assert_eq!(bench.ok(&["images", "-q", "box"]).lines().count(), 1);
    assert_eq!(bench.ok(&["images", "-q"]).lines().count(), 1);
    let history = bench.ok(&["history", "box:1"]);
    assert!(history.starts_with("IMAGE ") && history.contains("Imported from"), "{history}");
    assert_eq!(bench.json(&["inspect", "box:1"])[0]["RepoTags"][0], "box:1");
    assert_eq!(bench.ok(&["rmi", "box:1"]), "Untagged: box:1\n");
    let removed = bench.ok(&["rmi", "registry.example:5000/team/box:2"]);
    assert!(removed.contains("Deleted: sha256:"), "{removed}");
    assert_eq!(bench.json(&["images", "--format", "json"]), serde_json::json!([]));
}

#[test]
fn prune_says_what_would_go_and_then_removes_it() {
    require_busybox!();
    let bench = Bench::with_image();
    bench.ok(&["run", "--name", "ended", "-v", "data:/data", "box:1"]);
    let table = bench.ok(&["df"]);
    assert!(table.starts_with("TYPE "), "{table}");
    let planned = bench.json(&["prune", "--volumes", "--dry-run", "--format", "json"]);
    assert_eq!(bench.ok(&["ps", "-aq"]).lines().count(), 1, "a dry run removes nothing");
    let names: Vec<_> = planned["Objects"].as_array().unwrap().iter().map(|object| object["Name"].clone()).collect();
    assert_eq!(names, ["ended", "data"]);
    let report = bench.ok(&["prune"]);
    assert_eq!(bench.ok(&["volume", "ls", "-q"]), "data\n", "it has a name");
    bench.ok(&["prune", "--volumes"]);
    assert!(report.contains("ended") && report.contains("Total reclaimed space: "), "{report}");
    assert_eq!(bench.ok(&["ps", "-aq"]) + &bench.ok(&["volume", "ls", "-q"]), "");
    assert_eq!(bench.ok(&["images", "-q"]).lines().count(), 1, "a tagged image stays");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    require_busybox!();
    let bench = Bench::with_image();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = bench.command(&["images"]).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success());
    assert_eq!(output.stderr, b"");
    let mut running = bench.start(&["run", "--rm", "box:1", "yes"]);
    running.read_line();
    running.0.stdout = None;
    assert!(!running.0.wait().unwrap().success(), "the program's own write fails");
}

#[test]
fn diff_prints_letters_and_paths() {
    require_busybox!();
    let bench = Bench::with_image();
    bench.ok(&["run", "--name", "it", "box:1", "sh", "-c", "echo > /new"]);
    assert_eq!(bench.ok(&["diff", "it"]), "A /new\n");
    assert_eq!(bench.json(&["diff", "it", "--format", "json"]), serde_json::json!([{ "Path": "/new", "Kind": 1 }]));
    assert_eq!(bench.fails(&["diff", "nothing"]).0, 125);
}

#[test]
fn commit_and_export_give_images_that_run() {
    require_busybox!();
    let bench = Bench::with_image();
    bench.ok(&["run", "--name", "it", "box:1", "sh", "-c", "echo kept > /new"]);
    let id = bench.ok(&["commit", "-a", "me", "-m", "done", "-c", "CMD [\"cat\", \"/new\"]", "it", "box:2"]);
    assert!(id.starts_with("sha256:"), "{id}");
    assert_eq!(bench.ok(&["run", "--rm", "box:2"]), "kept\n");
    let tar = bench.path("it.tar");
    bench.ok(&["export", "-o", tar.to_str().unwrap(), "it"]);
    bench.ok(&["import", tar.to_str().unwrap(), "box:3"]);
    assert_eq!(bench.ok(&["run", "--rm", "box:3", "cat", "/new"]), "kept\n");
    assert_eq!(bench.run(&["export", "it"]).stdout, std::fs::read(&tar).unwrap());
}

#[test]
fn cp_copies_both_ways_and_as_a_tar() {
    require_busybox!();
    let bench = Bench::with_image();
    bench.ok(&["create", "--name", "it", "box:1"]);
    let (file, back) = (bench.path("file"), bench.path("back"));
    std::fs::write(&file, "content").unwrap();
    bench.ok(&["cp", file.to_str().unwrap(), "it:/bin/put"]);
    bench.ok(&["cp", "-a", "it:/bin/put", back.to_str().unwrap()]);
    assert_eq!(std::fs::read(&back).unwrap(), b"content");
    let tar = bench.run(&["cp", "it:/bin/put", "-"]).stdout;
    let mut input = bench.command(&["cp", "-", "it:/"]).stdin(Stdio::piped()).spawn().unwrap();
    input.stdin.take().unwrap().write_all(&tar).unwrap();
    assert!(input.wait().unwrap().success());
    assert!(bench.ok(&["diff", "it"]).contains("A /put\n"));
    let (code, said) = bench.fails(&["cp", "it:/none", "-"]);
    assert_eq!((code, said.contains("there is no \"/none\"")), (125, true), "{said}");
    assert_eq!(bench.fails(&["cp", "a", "b"]).0, 125);
}

#[test]
fn a_detached_container_is_there_for_the_commands_that_follow() {
    require_busybox!();
    let bench = Bench::with_image();
    let script = "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 60 & wait; done";
    let id = bench.ok(&["run", "-d", "--name", "served", "box:1", "sh", "-c", script]);
    let mut log = bench.start(&["logs", "-f", "served"]);
    assert_eq!((id.trim().len(), bench.fails(&["rm", "served"]).0), (64, 125));
    let net = |who: &[&str]| bench.ok(&[who, &["busybox", "stat", "-Lc%i", "/proc/self/ns/net"]].concat());
    assert_eq!(net(&["run", "--rm", "--network", "container:served", "box:1"]), net(&["exec", "served"]));
    assert_eq!(bench.ok(&["ps", "-q", "--no-trunc"]), id);
    assert_eq!(bench.ok(&["exec", "served", "echo", "here"]), "here\n");
    assert_eq!(log.read_line(), "ready");
    assert_eq!(bench.ok(&["restart", "served"]), "served\n");
    assert_eq!(log.read_line(), "bye");
    assert_eq!(log.end().0, 0);
    // It may not have set its trap yet.
    let mut log = bench.start(&["logs", "-f", "--tail", "1", "served"]);
    while log.read_line() != "ready" {}
    assert_eq!(bench.ok(&["stop", "served"]), "served\n");
    assert_eq!(bench.ok(&["wait", "served"]), "3\n");
    drop(log);
    assert_eq!(bench.ok(&["start", "served"]), "served\n");
    assert_eq!(bench.ok(&["ps", "-q", "--no-trunc"]), id);
    bench.ok(&["rm", "-f", "served"]);
    assert_eq!(bench.ok(&["ps", "-aq"]), "");
}

#[test]
fn the_health_of_a_container_is_shown() {
    require_busybox!();
    let bench = Bench::with_image();
    let flags = ["--health-cmd", "test -e /ok", "--health-interval", "10ms", "--health-retries", "1"];
    let rest = ["--name", "checked", "box:1", "sh", "-c", "touch /ok; echo ready; while :; do sleep 60; done"];
    let mut running = bench.start(&[&["run"][..], &flags, &rest].concat());
    assert_eq!(running.read_line(), "ready");
    let await_status = |wanted: &str| {
        let filter = format!("event=health_status: {wanted}");
        let mut events = bench.start(&["events", "--since", "1h", "--filter", &filter]);
        assert!(events.read_line().contains(&format!("health_status: {wanted} ")));
    };
    await_status("healthy");
    assert!(bench.ok(&["ps"]).contains("(healthy)"));
    bench.ok(&["exec", "checked", "busybox", "rm", "/ok"]);
    await_status("unhealthy");
    assert!(bench.ok(&["ps"]).contains("(unhealthy)"));
    assert_eq!(bench.json(&["inspect", "checked"])[0]["State"]["Health"]["Status"], "unhealthy");
    bench.ok(&["rm", "-f", "checked"]);
}
