//! Waiting until a container is ready: by what can be seen, and not by guesses.

#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use plywood::container::{Ready, State};
use plywood::{Base, Container, Engine, ErrorKind, Image, Layers};
use support::{PROGRAMS, engine, image, sh};

/// What never comes is waited for this long, where the test is about that.
const SHORT: Duration = Duration::from_millis(100);

/// The test image with an interpreter that can listen.
fn perl(engine: &Engine) -> Image {
    engine.build(&Layers::new().from(Base::host([PROGRAMS.as_slice(), &["perl"]].concat()))).unwrap()
}

/// Listens on a port with so many further connections, each of which runs `answer` on the socket C.
fn server(kind: u8, port: u16, answer: &str) -> String {
    format!(
        "$| = 1; socket(S, 2, {kind}, 0) or die; bind(S, pack('S n x4 x8', 2, {port})) or die; \
         {{ {} }} while (accept(C, S)) {{ {answer}; close(C) }}",
        if kind == 1 { "listen(S, 9) or die" } else { "sleep 60" }
    )
}

#[test]
fn complaint_races_a_port_is_ready_once_something_listens_on_it() {
    let engine = engine();
    let script = server(1, 5432, "syswrite(C, 'ok')");
    let container =
        Container::of(&perl(&engine)).cmd(["perl", "-e", &script]).ready(Ready::port(5432)).start(&engine).unwrap();
    // Refused a moment earlier.
    assert!(container.connect(5432).is_ok());
}

#[test]
fn a_port_of_udp_is_ready_once_something_receives_there() {
    let engine = engine();
    let port = plywood::spec::ExposedPort::parse("53/udp").unwrap();
    let script = server(2, 53, "");
    let container =
        Container::of(&perl(&engine)).cmd(["perl", "-e", &script]).ready(Ready::port(port)).start(&engine).unwrap();
    let tables = container.exec(["cat", "/proc/net/udp"]).output().unwrap();
    assert!(String::from_utf8_lossy(&tables.stdout).contains(":0035 "));
}

#[test]
fn lines_of_a_log_are_counted_by_stream() {
    let engine = engine();
    let script = "echo ready; echo ready >&2; echo not yet; echo ready >&2; echo done; sleep 60";
    let ready = Ready::log("ready").stderr().count(2);
    let container = sh(&image(&engine), script).ready(ready).start(&engine).unwrap();
    container.wait_ready(Ready::log_where(|line| line == "done").stdout()).unwrap();
    let error = container.wait_ready(Ready::log("ready").stdout().count(2).timeout(SHORT)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let text = error.to_string();
    assert!(
        text.contains("2 log lines of stdout with \"ready\": there were 1, and its last line is \"done\""),
        "{text}"
    );
}

#[test]
fn only_lines_of_this_start_count() {
    let engine = engine();
    let container =
        sh(&image(&engine), "[ -e /once ] || { touch /once; echo ready; }; sleep 60").start(&engine).unwrap();
    container.wait_ready(Ready::log("ready")).unwrap();
    assert!(!container.stop(Duration::ZERO).unwrap().success());
    container.start().unwrap();
    let error = container.wait_ready(Ready::log("ready").timeout(SHORT)).unwrap_err();
    assert!(error.to_string().contains("it has written nothing"), "{error}");
}

#[test]
fn http_is_ready_with_the_right_status_and_body() {
    let engine = engine();
    let answer = "sysread(C, $_, 9999); $n++; syswrite(C, $n < 3 ? \"HTTP/1.1 503 Busy\\r\\n\\r\\n\" \
                  : /^GET .health / ? \"HTTP/1.1 200 OK\\r\\n\\r\\nup $n\" : \"HTTP/1.1 404 None\\r\\n\\r\\n\")";
    let definition = Container::of(&perl(&engine)).cmd(["perl", "-e", &server(1, 80, answer)]);
    let container = definition.ready(Ready::http(80, "/health").body("up")).start(&engine).unwrap();
    container.wait_ready(Ready::http(80, "/other").status(404)).unwrap();
    let error = container.wait_ready(Ready::http(80, "/other").timeout(SHORT)).unwrap_err();
    assert!(error.to_string().contains("HTTP /other on port 80: the status was 404"), "{error}");
    let error = container.wait_ready(Ready::http(80, "/health").body("down").timeout(SHORT)).unwrap_err();
    assert!(error.to_string().contains("the status was 200, without \"down\" in the body"), "{error}");
    let error = container.wait_ready(Ready::http(80, "/a b").timeout(SHORT)).unwrap_err();
    assert!(error.to_string().contains("is no path of a request"), "{error}");
}

#[test]
fn commands_files_and_functions_are_asked_until_they_say_yes() {
    let engine = engine();
    let image = image(&engine);
    let script = "sleep 0.05; echo yes > /ready; sleep 60";
    let container = sh(&image, script).ready(Ready::exec(["sh", "-c", "[ -e /ready ]"])).start(&engine).unwrap();
    container.wait_ready(Ready::file("/ready")).unwrap();
    drop(container);
    let container = sh(&image, script).ready(Ready::file("/ready")).start(&engine).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let ready = Ready::when(move |container| {
        assert_eq!(container.state().unwrap(), State::Running);
        match counter.fetch_add(1, Ordering::Relaxed) {
            2 => Ok(()),
            count => Err(format!("only {count}")),
        }
    });
    container.wait_ready(ready).unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}

#[test]
fn conditions_are_combined() {
    let engine = engine();
    let image = image(&engine);
    let never = || Ready::file("/never");
    let seen = || Ready::from(Ready::log("hello"));
    let definition = sh(&image, "echo hello; sleep 60");
    let container = definition.clone().ready(Ready::any([never(), seen()])).ready(seen()).start(&engine).unwrap();
    container.wait_ready(Ready::all([seen(), Ready::exec(["true"])])).unwrap();
    // A part that is too late drops out of the one and ends the other.
    container.wait_ready(Ready::any([never().timeout(Duration::ZERO), seen()])).unwrap();
    let error = container.wait_ready(Ready::all([never().timeout(SHORT), seen()])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let error = container.wait_ready(Ready::any([never(), Ready::exec(["false"])]).timeout(SHORT)).unwrap_err();
    let text = error.to_string();
    assert!(text.ends_with("(file \"/never\": it is not there; command [\"false\"]: exit code 1)"), "{text}");
}

#[test]
fn complaint_died_waiting_for_a_container_that_has_already_died_is_an_error_at_once() {
    let engine = engine();
    let script = "echo starting; echo 'no space in /data' >&2; exit 3";
    let definition = sh(&image(&engine), script).name("db").ready(Ready::port(5432));
    let error = definition.start(&engine).unwrap_err();
    assert_eq!((error.kind(), error.exit_code()), (ErrorKind::Failed, Some(3)));
    let text = error.to_string();
    assert!(text.starts_with("start container \"db\" ") && text.contains("it ended with exit code 3 after"), "{text}");
    assert!(text.ends_with("before it was ready (waiting for port 5432/tcp)"), "{text}");
    let whole = format!("{error:?}");
    assert!(whole.contains("the last lines of its log:\n") && whole.contains("    no space in /data"), "{whole}");
    assert!(engine.containers().unwrap().is_empty());
}

#[test]
fn a_container_that_is_killed_while_it_is_waited_for_says_by_what() {
    let engine = engine();
    let definition = sh(&image(&engine), "sleep 60").ready(Ready::when(|container| {
        container.kill(plywood::container::Signal::KILL).map_err(|error| error.to_string())?;
        Err("not yet".to_owned())
    }));
    let error = definition.start(&engine).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    let text = error.to_string();
    assert!(text.contains("it was killed by SIGKILL after"), "{text}");
    assert!(text.ends_with("(waiting for a condition of the program)"), "{text}");
}

#[test]
fn what_never_comes_says_what_was_seen_last() {
    let engine = engine();
    let definition = sh(&image(&engine), "echo working on it; sleep 60").name("slow");
    let error = definition.ready(Ready::port(80).timeout(SHORT)).start(&engine).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let text = error.to_string();
    assert!(text.contains("it was not ready after"), "{text}");
    assert!(text.ends_with("(port 80/tcp: nothing listens on it, nor on any other port)"), "{text}");
    assert!(engine.containers().unwrap().is_empty());
}

#[test]
fn a_command_that_hangs_is_ended_in_time() {
    let engine = engine();
    let container = sh(&image(&engine), "sleep 60").start(&engine).unwrap();
    let error = container.wait_ready(Ready::exec(["sleep", "60"]).timeout(SHORT)).unwrap_err();
    assert!(error.to_string().contains("it has not ended in time"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

#[test]
fn a_container_that_was_never_started_is_not_waited_for() {
    let engine = engine();
    let container = sh(&image(&engine), "true").create(&engine).unwrap();
    assert_eq!(container.wait_ready(Ready::file("/")).unwrap_err().kind(), ErrorKind::InvalidArgument);
}
