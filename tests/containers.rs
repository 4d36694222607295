//! What a container is for the program that runs it: its output, its surroundings, its end.

#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use plywood::container::{NetworkMode, Signal, State, Stdio, Stream};
use plywood::{Container, ErrorKind, Mount};
use support::{engine, image, run, sh, text};

#[test]
fn output_has_both_streams_and_the_exit_status() {
    let engine = engine();
    let image = image(&engine);
    let output = sh(&image, "echo out; echo err >&2; exit 7").output(&engine).unwrap();
    assert_eq!(output.status.code(), 7);
    assert!(!output.status.success());
    assert_eq!(output.stdout, b"out\n");
    assert_eq!(output.stderr, b"err\n");
    assert!(engine.containers().unwrap().is_empty());
}

#[test]
fn the_status_of_a_program_that_a_signal_ended_is_that_of_a_shell() {
    let engine = engine();
    // The first process of a container has no default actions, so a child of it is killed.
    let image = image(&engine);
    let output = sh(&image, "sh -c 'kill -TERM $$'; echo $?").output(&engine).unwrap();
    assert_eq!(output.stdout, b"143\n");
    let container = sh(&image, "while :; do sleep 60; done").start(&engine).unwrap();
    container.kill(Signal::KILL).unwrap();
    let status = container.wait().unwrap();
    assert_eq!((status.code(), status.signal()), (137, Some(9)));
}

#[test]
fn more_output_than_pipes_hold_never_blocks_the_program() {
    let engine = engine();
    let image = image(&engine);
    let script =
        "dd if=/dev/zero bs=1024 count=2048 2>/dev/null; dd if=/dev/zero bs=1024 count=1024 2>/dev/null | cat >&2";
    let output = sh(&image, script).output(&engine).unwrap();
    assert_eq!((output.stdout.len(), output.stderr.len()), (2 << 20, 1 << 20));
    // Started, with nobody reading: the output goes to the log.
    let container = sh(&image, "dd if=/dev/zero bs=1024 count=512 2>/dev/null; exit 3").start(&engine).unwrap();
    assert_eq!(container.wait().unwrap().code(), 3);
}

#[test]
fn input_is_a_pipe_where_the_definition_says_so() {
    let engine = engine();
    let image = image(&engine);
    let echo = sh(&image, "read a; echo \"<$a>\"; cat").stdin(Stdio::piped()).stdout(Stdio::piped());
    let container = echo.start(&engine).unwrap();
    let mut stdin = container.take_stdin().unwrap();
    let mut stdout = container.take_stdout().unwrap();
    stdin.write_all(b"one\ntwo\n").unwrap();
    drop(stdin);
    let mut read = String::new();
    stdout.read_to_string(&mut read).unwrap();
    assert_eq!(read, "<one>\ntwo\n");
    assert!(container.wait().unwrap().success());
    assert!(container.take_stdin().is_none(), "it was taken");
}

#[test]
fn each_namespace_is_its_own() {
    let engine = engine();
    let image = image(&engine);
    let list = "cd /proc/self/ns; for n in mnt pid ipc uts net cgroup user; do stat -L -c \"$n %i\" $n; done";
    let inside = run(&engine, &image, list);
    let mut own = 0;
    for line in inside.lines() {
        let (name, inode) = line.split_once(' ').unwrap();
        let host = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(format!("/proc/self/ns/{name}")).unwrap());
        // Root needs no user namespace.
        let is_own = inode != host.to_string();
        assert_eq!(is_own, name != "user" || !support::is_root(), "{name}");
        own += usize::from(is_own);
    }
    assert_eq!(own, if support::is_root() { 6 } else { 7 });
}

#[test]
fn a_container_sees_itself_and_nothing_of_the_host() {
    let engine = engine();
    let image = image(&engine);
    // The host's environment is not inherited: PATH alone is set in every test.
    let output = Container::of(&image).cmd(["env"]).hostname("inside").output(&engine).unwrap();
    let mut env: Vec<_> = str::from_utf8(&output.stdout).unwrap().lines().collect();
    env.sort_unstable();
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(env, ["HOME=/root", "HOSTNAME=inside", path]);
    let script = "echo $$; pwd; cat /proc/sys/kernel/hostname; ls -d /proc/[0-9]* | cat; ls /proc/self/fd";
    let seen = text(sh(&image, script).hostname("inside").output(&engine).unwrap());
    let lines: Vec<_> = seen.lines().collect();
    assert_eq!(lines[..3], ["2", "/", "inside"]);
    assert_eq!(lines[3..5], ["/proc/1", "/proc/2"], "the init, and the program");
    assert_eq!(lines[lines.len() - 4..], ["0", "1", "2", "3"], "ls has its directory open and nothing else");
}

#[test]
fn the_usual_file_systems_are_there() {
    let engine = engine();
    let image = image(&engine);
    let script = "for f in /proc /sys /dev /dev/pts /dev/shm /dev/mqueue; do stat -f -c '%n %T' $f; done;\
        echo x > /dev/null; head -c 4 /dev/zero | cat > /dev/shm/z; stat -c %s /dev/shm/z; head -c 0 /dev/urandom";
    assert_eq!(
        run(&engine, &image, script),
        "/proc proc\n/sys sysfs\n/dev tmpfs\n/dev/pts devpts\n/dev/shm tmpfs\n/dev/mqueue mqueue\n4\n"
    );
}

#[test]
fn a_private_network_has_a_loopback_and_nothing_else() {
    let engine = engine();
    let image = image(&engine);
    assert_eq!(run(&engine, &image, "ls /sys/class/net; cat /sys/class/net/lo/operstate"), "lo\nunknown\n");
    let host = sh(&image, "stat -L -c %i /proc/self/ns/net").network(NetworkMode::Host);
    let inode = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata("/proc/self/ns/net").unwrap());
    assert_eq!(text(host.output(&engine).unwrap()), format!("{inode}\n"));
}

#[test]
fn environment_and_directory_are_those_of_the_definition() {
    let engine = engine();
    let image = engine.build(&support::base().env("A", "image").env("B", "image").workdir("/work")).unwrap();
    let script = "echo \"$A $B $C $(pwd)\"";
    assert_eq!(run(&engine, &image, script), "image image  /work\n");
    let definition = sh(&image, script).env("A", "mine").env("C", "new").env_remove("B").workdir("/made/here");
    assert_eq!(text(definition.output(&engine).unwrap()), "mine  new /made/here\n");
}

#[test]
fn a_user_is_looked_up_in_the_passwd_of_the_container() {
    support::require_root!();
    let engine = engine();
    let passwd = "root:x:0:0::/root:/bin/sh\napp:x:1234:1235::/home/app:/bin/sh\n";
    let base = support::base()
        .instruction(plywood::image::Copy::inline(passwd).to("/etc/passwd"))
        .instruction(plywood::image::Copy::inline("root:x:0:\napp:x:1235:\nextra:x:77:app\n").to("/etc/group"));
    let image = engine.build(&base).unwrap();
    let script = "echo $(id -u) $(id -g) $(id -G) $HOME";
    for (user, expected) in [
        ("app", "1234 1235 1235 77 /home/app"),
        ("1234", "1234 1235 1235 77 /home/app"),
        ("app:extra", "1234 77 77 /home/app"),
        ("4242", "4242 0 0 /"),
        ("4242:4343", "4242 4343 4343 /"),
    ] {
        assert_eq!(text(sh(&image, script).user(user).output(&engine).unwrap()), format!("{expected}\n"), "{user}");
    }
    let error = sh(&image, script).user("ghost").output(&engine).unwrap_err();
    assert!(error.to_string().contains("ghost"), "{error}");
}

#[test]
fn exec_joins_the_running_container() {
    let engine = engine();
    let image = image(&engine);
    let container = sh(&image, "echo mine > /tmp/file; echo ready; while :; do sleep 60; done")
        .env("FROM", "definition")
        .start(&engine)
        .unwrap();
    assert_eq!(container.logs().follow().read().unwrap().next().unwrap().text, "ready");
    let script = "cat /tmp/file; echo $FROM $ADDED; pwd; echo oops >&2; exit 5";
    let output = container.exec(["sh", "-c", script]).env("ADDED", "yes").workdir("/tmp").output().unwrap();
    assert_eq!(str::from_utf8(&output.stdout), Ok("mine\ndefinition yes\n/tmp\n"));
    assert_eq!(output.stderr, b"oops\n");
    assert_eq!(output.status.code(), 5);
    // What it starts can be seen from the first process: they share the namespaces.
    let namespaces = container.exec(["sh", "-c", "cd /proc; stat -L -c %i 1/ns/pid self/ns/pid 1/ns/mnt self/ns/mnt"]);
    let inodes = text(namespaces.output().unwrap());
    let inodes: Vec<_> = inodes.lines().collect();
    assert_eq!((inodes[0], inodes[2]), (inodes[1], inodes[3]));
    let missing = container.exec(["no-such-program"]).output().unwrap_err();
    assert_eq!((missing.kind(), missing.exit_code()), (ErrorKind::NotFound, Some(127)));
    assert_eq!(container.state().unwrap(), State::Running);
    container.kill(Signal::KILL).unwrap();
    assert_eq!(container.wait().unwrap().signal(), Some(9));
    let ended = container.exec(["true"]).output().unwrap_err();
    assert_eq!(ended.kind(), ErrorKind::InvalidArgument);
    assert!(ended.to_string().ends_with("it is not running"), "{ended}");
}

#[test]
fn complaint_stop_asks_first_and_kills_after_the_grace_period() {
    let engine = engine();
    let image = image(&engine);
    let polite = "trap 'echo bye; exit 4' TERM; echo ready; while :; do sleep 60 & wait; done";
    let container = sh(&image, polite).start(&engine).unwrap();
    container.logs().follow().read().unwrap().next().unwrap();
    assert_eq!(container.stop(Duration::from_secs(60)).unwrap().code(), 4);
    let lines: Vec<_> = container.logs().read().unwrap().map(|line| line.text).collect();
    assert_eq!(lines, ["ready", "bye"]);

    let deaf = sh(&image, "trap '' TERM; echo ready; while :; do sleep 60; done").start(&engine).unwrap();
    deaf.logs().follow().read().unwrap().next().unwrap();
    let begun = Instant::now();
    let status = deaf.stop(Duration::from_millis(300)).unwrap();
    assert_eq!((status.code(), status.signal()), (137, Some(9)));
    assert!(begun.elapsed() >= Duration::from_millis(300));

    // A shell that waits in the foreground for a program, neither of which has a handler.
    let idle = sh(&image, "echo ready; sleep inf; true").start(&engine).unwrap();
    idle.logs().follow().read().unwrap().next().unwrap();
    assert_eq!(idle.stop(Duration::from_secs(600)).unwrap().signal(), Some(15), "the init passes the signal on");
    let stopped = sh(&image, "echo ready; sleep inf; true").start(&engine).unwrap();
    stopped.logs().follow().read().unwrap().next().unwrap();
    stopped.kill(Signal::new(19).unwrap()).unwrap();
    assert_eq!(stopped.stop(Duration::from_millis(50)).unwrap().signal(), Some(9), "a stopped init is killed");
    let alone = sh(&image, "echo ready; sleep inf; true").init(false).start(&engine).unwrap();
    alone.logs().follow().read().unwrap().next().unwrap();
    assert_eq!(alone.stop(Duration::from_millis(50)).unwrap().signal(), Some(9), "nobody listens");
    for (container, init) in [(&idle, true), (&alone, false)] {
        let path = engine.path().join(format!("containers/{}/hostconfig.json", container.id()));
        let host: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert_eq!(host["Init"], init);
    }

    let custom = sh(&image, "trap 'exit 9' USR1; echo ready; while :; do sleep 60 & wait; done")
        .stop_signal(Signal::USR1)
        .start(&engine)
        .unwrap();
    custom.logs().follow().read().unwrap().next().unwrap();
    assert_eq!(custom.stop(Duration::from_secs(60)).unwrap().code(), 9);
}

#[test]
fn waiting_ends_with_the_time_allowed() {
    let engine = engine();
    let image = image(&engine);
    let container = sh(&image, "while :; do sleep 60; done").start(&engine).unwrap();
    assert_eq!(container.try_wait().unwrap(), None);
    assert_eq!(container.wait_timeout(Duration::from_millis(50)).unwrap(), None);
    assert_eq!(container.state().unwrap(), State::Running);
    let refused = engine.container(container.name()).unwrap().remove().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InUse);
    container.kill_and_remove().unwrap();
    assert!(engine.containers().unwrap().is_empty());
}

#[test]
fn a_container_goes_from_created_over_running_to_exited_and_starts_again() {
    let engine = engine();
    let image = image(&engine);
    let definition = sh(&image, "read go; echo again >> /count; cat /count; exit 2").name("stages");
    let container = definition.create(&engine).unwrap();
    assert_eq!(container.state().unwrap(), State::Created);
    assert_eq!(container.wait().unwrap_err().kind(), ErrorKind::InvalidArgument);
    container.start_with(Stdio::piped(), Stdio::log(), Stdio::log()).unwrap();
    assert_eq!(container.state().unwrap(), State::Running);
    let details = container.inspect().unwrap();
    assert_eq!(details.name(), "stages");
    assert_eq!(details.command()[..2], ["sh", "-c"]);
    assert_eq!(details.image_id().as_ref(), Some(image.id()));
    assert!(std::path::Path::new(&format!("/proc/{}", details.pid().unwrap())).exists());
    assert_eq!(container.start().unwrap_err().kind(), ErrorKind::InUse);
    drop(container.take_stdin());
    assert_eq!(container.wait().unwrap().code(), 2);
    let details = container.inspect().unwrap();
    assert_eq!((details.state(), details.pid()), (State::Exited, None));
    assert_eq!(details.exit_status().unwrap().code(), 2);
    assert!(details.started_at().unwrap() <= details.finished_at().unwrap());
    container.start().unwrap();
    assert_eq!(container.wait().unwrap().code(), 2);
    let log: Vec<_> = container.logs().read().unwrap().map(|line| line.text).collect();
    assert_eq!(log, ["again", "again", "again"], "the writable layer lasts, and the log goes on");
    assert_eq!(engine.container("stages").unwrap().id(), container.id());
    assert_eq!(engine.container(container.id().short()).unwrap().name(), "stages");
}

#[test]
fn a_container_is_recorded_as_running_before_it_can_say_so() {
    let engine = engine();
    let image = image(&engine);
    let records = engine.path().join("containers");
    let script = "read name < /proc/sys/kernel/hostname; cat /records/$name*/plywood.json";
    let container = sh(&image, script).mount(Mount::bind(&records, "/records").read_only()).create(&engine).unwrap();
    container.start().unwrap();
    let status = container.wait().unwrap();
    let log: String = container.logs().read().unwrap().map(|line| line.text).collect();
    assert!(status.success(), "{log}");
    let seen: serde_json::Value = serde_json::from_str(&log).unwrap();
    assert!(seen["run"]["pid"].as_u64().is_some_and(|pid| pid > 0), "{log}");

    let container = Container::of(&image).cmd(["no-such-program"]).create(&engine).unwrap();
    assert_eq!(container.start().unwrap_err().exit_code(), Some(127));
    assert_eq!(container.state().unwrap(), State::Created);
    let record = std::fs::read_to_string(records.join(container.id().as_str()).join("plywood.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    assert!(record["run"].is_null(), "what did not begin is taken back: {record}");
}

#[test]
fn logs_are_in_the_format_of_json_file() {
    let engine = engine();
    let image = image(&engine);
    let container = sh(&image, "echo 'a \"quoted\" line'; echo err >&2; echo; printf end").start(&engine).unwrap();
    assert!(container.wait().unwrap().success());
    let id = container.id().as_str();
    let path = engine.path().join("containers").join(id).join(format!("{id}-json.log"));
    let file = std::fs::read_to_string(path).unwrap();
    let mut lines = Vec::new();
    for line in file.lines() {
        let json: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(json.as_object().unwrap().keys().collect::<Vec<_>>(), ["log", "stream", "time"], "{line}");
        let time = json["time"].as_str().unwrap();
        assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
        lines.push((json["stream"].as_str().unwrap().to_owned(), json["log"].as_str().unwrap().to_owned()));
    }
    let of = |stream: &str| -> Vec<&str> {
        lines.iter().filter(|(of, _)| of == stream).map(|(_, text)| text.as_str()).collect()
    };
    assert_eq!(of("stdout"), ["a \"quoted\" line\n", "\n", "end"]);
    assert_eq!(of("stderr"), ["err\n"]);
}

#[test]
fn logs_are_read_by_stream_and_from_the_end() {
    let engine = engine();
    let image = image(&engine);
    let script = "for i in 1 2 3 4 5; do echo $i; done; echo err >&2";
    let container = sh(&image, script).start(&engine).unwrap();
    let followed: Vec<_> = container.logs().stdout().follow().read().unwrap().map(|line| line.text).collect();
    assert_eq!(followed, ["1", "2", "3", "4", "5"], "a follower ends with the container");
    let read = |logs: plywood::container::Logs| -> Vec<String> { logs.read().unwrap().map(|line| line.text).collect() };
    assert_eq!(read(container.logs().stdout().tail(2)), ["4", "5"]);
    assert_eq!(read(container.logs().stderr()), ["err"]);
    let all: Vec<_> = container.logs().read().unwrap().collect();
    assert_eq!(all.len(), 6);
    assert_eq!(all.iter().filter(|line| line.stream == Stream::Stderr).count(), 1);
    assert_eq!(read(container.logs().since(all[5].time)).last(), Some(&all[5].text));
    assert_eq!(read(container.logs().until(all[0].time))[0], all[0].text);
}

#[test]
fn each_container_has_a_writable_layer_of_its_own_and_the_image_stays() {
    let engine = engine();
    let image = image(&engine);
    let before = run(&engine, &image, "cat /etc/passwd; ls /");
    let script = "echo mine > /etc/passwd; rm -r /tmp; mkdir /new; cat /etc/passwd; ls -d /tmp /new 2>&1 | cat";
    let output = sh(&image, script).output(&engine).unwrap();
    assert!(str::from_utf8(&output.stdout).unwrap().starts_with("mine\n"));
    assert_eq!(run(&engine, &image, "cat /etc/passwd; ls /"), before);
    let refused = sh(&image, "echo x > /file").read_only().output(&engine).unwrap();
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("Read-only file system"));
}

#[test]
fn an_entrypoint_takes_the_command_as_arguments() {
    let engine = engine();
    let base = support::base().entrypoint(["echo", "fixed"]).cmd(["default"]);
    let image = engine.build(&base).unwrap();
    let of = |definition: plywood::container::Definition| text(definition.output(&engine).unwrap());
    assert_eq!(of(Container::of(&image)), "fixed default\n");
    assert_eq!(of(Container::of(&image).cmd(["mine"])), "fixed mine\n");
    assert_eq!(of(Container::of(&image).entrypoint(["pwd"])), "/\n");
    assert_eq!(of(Container::of(&image).entrypoint([""; 0]).cmd(["echo", "alone"])), "alone\n");
}
