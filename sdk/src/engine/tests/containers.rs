//! What a container sees, what it gives back, and what is said when it cannot start.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use super::support::{engine, image, is_root, leftovers, require_containers, shell};
use crate::container::{NetworkMode, Signal, State, Stdio, Stream};
use crate::{Container, ErrorKind, Mount};

#[test]
fn output_gives_status_and_both_streams_and_leaves_nothing() {
    require_containers!();
    let (engine, image) = engine();
    let script = "echo out; echo err >&2; exit 3";
    let output = Container::of(&image).cmd(["sh", "-c", script]).output(&engine).unwrap();
    assert_eq!((output.status.code(), &*output.stdout, &*output.stderr), (3, &b"out\n"[..], &b"err\n"[..]));
    assert_eq!(leftovers(&engine), Vec::<String>::new());
}

#[test]
fn output_larger_than_a_pipe_does_not_block() {
    require_containers!();
    let (engine, image) = engine();
    let output = Container::of(&image)
        .cmd(["sh", "-c", "yes | head -c 3000000; yes | head -c 400000 >&2"])
        .output(&engine)
        .unwrap();
    assert_eq!((output.stdout.len(), output.stderr.len()), (3_000_000, 400_000));
}

#[test]
fn environment_directory_and_host_name_follow_definition_and_image() {
    require_containers!();
    let (engine, image) = engine();
    let output = Container::of(&image)
        .cmd(["sh", "-c", "env; pwd; hostname; cat /etc/hostname; grep box /etc/hosts"])
        .env("MODE", "test")
        .workdir("/made/for/it")
        .hostname("box")
        .output(&engine)
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = ["MODE=test", "FROM_IMAGE=1", "HOSTNAME=box", "HOME=/root", "PWD=/made/for/it", "/made/for/it", "box"];
    for line in lines {
        assert!(text.lines().any(|found| found == line), "{line} is missing:\n{text}");
    }
    assert!(text.contains("127.0.0.1\tbox\n") && text.contains("PATH=/usr/local/sbin:"));
    assert!(!text.contains("CARGO"), "the host's environment leaks:\n{text}");
}

#[test]
fn a_user_is_looked_up_in_the_container() {
    require_containers!();
    let (engine, image) = engine();
    let of = |user: &str| {
        Container::of(&image).cmd(["sh", "-c", "id -u; id -g; id -G; echo $HOME"]).user(user).output(&engine)
    };
    if is_root() {
        assert_eq!(of("app").unwrap().stdout, b"1000\n1000\n1000 50\n/srv\n");
        assert_eq!(of("app:staff").unwrap().stdout, b"1000\n50\n50\n/srv\n");
        assert_eq!(of("4242:7").unwrap().stdout, b"4242\n7\n7\n/\n");
    }
    assert!(of("root").unwrap().stdout.starts_with(b"0\n0\n"));
    for user in ["4294967296", "2147483648", "-1", "+0", " 0", "0x0", "nobody", ":0"] {
        let error = of(user).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{user}: {error}");
    }
    assert_eq!(leftovers(&engine), Vec::<String>::new());
}

#[test]
fn a_command_that_cannot_run_is_told_with_the_code_of_a_shell() {
    require_containers!();
    let (engine, _) = engine();
    let of = |command: &str| Container::of("busybox").name("db").cmd([command]).output(&engine).unwrap_err();
    let table = [
        ("missing", 127, ErrorKind::NotFound),
        ("/no/such/file", 127, ErrorKind::NotFound),
        ("/bin/plain", 126, ErrorKind::PermissionDenied),
        ("/etc", 126, ErrorKind::PermissionDenied),
    ];
    for (command, code, kind) in table {
        let error = of(command);
        assert_eq!((error.exit_code(), error.kind()), (Some(code), kind), "{command}: {error}");
        assert!(error.to_string().starts_with("start container \"db\" (busybox): "), "{error}");
    }
    let error = of("/bin/lost");
    assert!(error.to_string().contains("/no/such/interpreter"), "{error}");
    assert_eq!(of("/bin/headless").exit_code(), Some(126));
    assert_eq!(leftovers(&engine), Vec::<String>::new());
}

#[test]
fn mistakes_are_told_before_anything_is_made() {
    let (engine, image) = engine();
    let of = || Container::of(&image);
    let table = [
        (of().name("a"), ErrorKind::InvalidArgument),
        (of().name("a b"), ErrorKind::InvalidArgument),
        (of().env("A=B", "c"), ErrorKind::InvalidArgument),
        (of().hostname("box\n127.0.0.1 evil"), ErrorKind::InvalidArgument),
        (of().cmd(["sh", "a\0b"]), ErrorKind::InvalidArgument),
        (of().mount(Mount::bind("/no/such/source", "/x")), ErrorKind::NotFound),
        (of().mount(Mount::volume("x/../y", "/x")), ErrorKind::InvalidArgument),
        (of().mount(Mount::tmpfs("/")), ErrorKind::InvalidArgument),
    ];
    for (definition, kind) in table {
        let error = definition.create(&engine).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().starts_with("create "), "{error}");
    }
    let error = Container::of("nothing:1").output(&engine).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("nothing:1"), "{error}");
    assert_eq!(leftovers(&engine), Vec::<String>::new());
}

#[test]
fn an_image_without_a_command_needs_one() {
    let (engine, _) = engine();
    let bare = image(&engine, "bare", serde_json::json!({}));
    let error = Container::of(&bare).create(&engine).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.hint().is_some_and(|hint| hint.contains(".cmd(")), "{error:?}");
}

#[test]
fn a_container_runs_is_entered_and_stops() {
    require_containers!();
    let (engine, image) = engine();
    let script = "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.05; done";
    let web = Container::of(&image).name("web").cmd(["sh", "-c", script]).env("MODE", "x").start(&engine).unwrap();
    assert_eq!(web.state().unwrap(), State::Running);
    assert_eq!(web.logs().follow().read().unwrap().next().unwrap().text, "ready");
    let output =
        web.exec(["sh", "-c", "echo $MODE $EXTRA; pwd; exit 4"]).env("EXTRA", "y").workdir("/srv").output().unwrap();
    assert_eq!((output.status.code(), &*output.stdout), (4, &b"x y\n/srv\n"[..]));
    let found = engine.container("web").unwrap();
    assert_eq!(found.id(), web.id());
    assert!(found.exec(["true"]).output().unwrap().status.success());
    assert_eq!(engine.container(web.id().short()).unwrap().name(), "web");
    assert!(web.inspect().unwrap().pid().is_some());
    assert_eq!(web.stop(Duration::from_secs(20)).unwrap().code(), 7);
    assert_eq!(web.state().unwrap(), State::Exited);
    assert_eq!(web.logs().read().unwrap().map(|line| line.text).collect::<Vec<_>>(), ["ready", "bye"]);
    let error = web.exec(["true"]).output().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    assert_eq!(web.kill(Signal::HUP).unwrap_err().kind(), ErrorKind::InvalidArgument);
    web.remove().unwrap();
    assert_eq!(engine.container("web").unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn c16_stop_kills_what_does_not_listen_after_the_grace_period() {
    require_containers!();
    let (engine, image) = engine();
    let container = Container::of(&image)
        .cmd(["sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"])
        .start(&engine)
        .unwrap();
    container.logs().follow().read().unwrap().next().unwrap();
    let begun = Instant::now();
    let status = container.stop(Duration::from_millis(300)).unwrap();
    assert_eq!(status.signal(), Some(libc::SIGKILL));
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
}

#[test]
fn a_container_can_be_started_again_and_keeps_its_files() {
    require_containers!();
    let (engine, image) = engine();
    let container =
        Container::of(&image).cmd(["sh", "-c", "echo x >> /count; wc -l < /count"]).create(&engine).unwrap();
    assert_eq!(container.state().unwrap(), State::Created);
    assert_eq!(container.wait().unwrap_err().kind(), ErrorKind::InvalidArgument);
    for _ in 0..3 {
        container.start().unwrap();
        assert!(container.wait().unwrap().success());
    }
    assert_eq!(container.logs().read().unwrap().map(|line| line.text).collect::<Vec<_>>(), ["1", "2", "3"]);
    assert_eq!(container.logs().tail(1).read().unwrap().count(), 1);
}

#[test]
fn pipes_carry_what_is_written() {
    require_containers!();
    let (engine, image) = engine();
    let container = Container::of(&image)
        .cmd(["tr", "a-z", "A-Z"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .start(&engine)
        .unwrap();
    container.take_stdin().unwrap().write_all(b"hello").unwrap();
    let mut text = String::new();
    container.take_stdout().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "HELLO");
    assert!(container.take_stdin().is_none() && container.take_stderr().is_none());
    assert!(container.wait().unwrap().success());
}

#[test]
fn a_signal_that_ends_it_is_told() {
    require_containers!();
    let (engine, image) = engine();
    let container = Container::of(&image).cmd(["sleep", "100"]).start(&engine).unwrap();
    assert_eq!(container.try_wait().unwrap(), None);
    assert_eq!(container.wait_timeout(Duration::from_millis(20)).unwrap(), None);
    container.kill(Signal::KILL).unwrap();
    let status = container.wait().unwrap();
    assert_eq!((status.code(), status.signal()), (137, Some(9)));
    assert_eq!(container.inspect().unwrap().exit_status(), Some(status));
}

#[test]
fn the_log_tells_streams_apart() {
    require_containers!();
    let (engine, image) = engine();
    let container = Container::of(&image).cmd(["sh", "-c", "echo a; echo b >&2"]).start(&engine).unwrap();
    let all: Vec<_> = container.logs().follow().read().unwrap().collect();
    assert_eq!(all.len(), 2);
    let err: Vec<_> = container.logs().stderr().read().unwrap().collect();
    assert_eq!((err.len(), err[0].stream, &*err[0].text), (1, Stream::Stderr, "b"));
}

#[test]
fn mounts_are_seen_where_they_were_wished() {
    require_containers!();
    let (engine, image) = engine();
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), "host\n").unwrap();
    let script = "cat /b/file /f; touch /b/new 2>/dev/null || echo ro; grep -c ' /t tmpfs ' /proc/mounts; stat -c %a /t; echo x > /rw/x";
    let output = Container::of(&image)
        .cmd(["sh", "-c", script])
        .mount(Mount::bind(directory.path(), "/b").read_only())
        .mount(Mount::bind(directory.path().join("file"), "/f"))
        .mount(Mount::bind(directory.path(), "/rw"))
        .mount(Mount::tmpfs("/t").size("1MiB").mode(0o700))
        .output(&engine)
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "host\nhost\nro\n1\n700\n", "{:?}", output.stderr);
    assert_eq!(std::fs::read_to_string(directory.path().join("x")).unwrap(), "x\n");
}

#[test]
fn a_read_only_root_refuses_writes() {
    require_containers!();
    let (engine, image) = engine();
    let output = Container::of(&image).cmd(["touch", "/x"]).read_only().output(&engine).unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("Read-only"), "{output:?}");
}

#[test]
fn the_network_of_the_host_brings_its_files_and_name() {
    require_containers!();
    let (engine, image) = engine();
    let output =
        Container::of(&image).cmd(["cat", "/etc/hostname"]).network(NetworkMode::Host).output(&engine).unwrap();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), host);
}

#[test]
fn fifty_containers_run_at_once_from_threads() {
    require_containers!();
    let (engine, image) = engine();
    std::thread::scope(|scope| {
        for number in 0..50 {
            let (engine, image) = (&engine, &image);
            scope.spawn(move || {
                let command = ["sh".to_owned(), "-c".to_owned(), format!("echo {number} > /n; cat /n")];
                let output = Container::of(image).cmd(command).output(engine).unwrap();
                assert_eq!(output.stdout, format!("{number}\n").into_bytes());
            });
        }
    });
    assert_eq!(leftovers(&engine), Vec::<String>::new());
    assert_eq!(shell(&engine, "echo still"), "still\n");
}
