//! Streams and terminals of containers that outlive their programs.

#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::time::Duration;

use plywood::container::{Action, RestartPolicy, State, Stdio};
use plywood::{Container, ErrorKind};
use support::place::Place;
use support::sh;

const PATIENCE: Duration = Duration::from_secs(10);

/// Reads up to a text.
fn read_to(from: &mut impl Read, wanted: &str) -> String {
    let mut shown = Vec::new();
    while !String::from_utf8_lossy(&shown).contains(wanted) {
        let mut byte = [0];
        let read = from.read(&mut byte).unwrap();
        assert!(read > 0, "{wanted:?} after {:?}", String::from_utf8_lossy(&shown));
        shown.push(byte[0]);
    }
    String::from_utf8(shown).unwrap()
}

fn log(container: &Container) -> Vec<String> {
    container.logs().read().unwrap().map(|line| line.text.trim_end_matches('\r').to_owned()).collect()
}

#[test]
fn its_input_goes_on_from_one_client_to_the_next() {
    let place = Place::new();
    let (engine, image) = place.engine();
    let script = "echo ready; while read line; do echo got $line; echo err $line >&2; done";
    let container = sh(&image, script).name("reader").stdin(Stdio::piped()).keep().start(&engine).unwrap();
    container.logs().follow().read().unwrap().next().unwrap();
    for word in ["one", "two"] {
        // As another program does it.
        let (other, _) = place.engine();
        let mut client = other.container("reader").unwrap().attach().unwrap();
        assert!(client.terminal.is_none());
        client.stdin.take().unwrap().write_all(format!("{word}\n").as_bytes()).unwrap();
        assert_eq!(read_to(&mut client.stdout, "\n"), format!("got {word}\n"));
        assert_eq!(read_to(&mut client.stderr, "\n"), format!("err {word}\n"));
    }
    let mut last = container.attach().unwrap();
    let _ended = container.stop(PATIENCE).unwrap();
    let mut rest = String::new();
    last.stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "", "it ends with the container");
    assert_eq!(container.attach().unwrap_err().kind(), ErrorKind::InvalidArgument);
    // Started again, it has an input again.
    container.start().unwrap();
    let mut client = container.attach().unwrap();
    client.stdin.take().unwrap().write_all(b"three\n").unwrap();
    read_to(&mut client.stdout, "got three\n");
    drop(client);
    container.kill_and_remove().unwrap();
}

#[test]
fn one_without_input_can_be_listened_to() {
    let place = Place::new();
    let (engine, image) = place.engine();
    let script = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 60 & wait; done";
    let container = sh(&image, script).keep().start(&engine).unwrap();
    container.logs().follow().read().unwrap().next().unwrap();
    let mut clients = [container.attach().unwrap(), container.attach().unwrap()];
    assert!(clients.iter().all(|client| client.stdin.is_none() && client.terminal.is_none()));
    let _ended = container.stop(PATIENCE).unwrap();
    for client in &mut clients {
        let mut text = String::new();
        client.stdout.read_to_string(&mut text).unwrap();
        assert_eq!(text, "bye\n");
    }
    container.remove().unwrap();
}

#[test]
fn its_terminal_is_there_for_any_program_and_has_the_size_that_one_gives_it() {
    let place = Place::new();
    let (engine, image) = place.engine();
    let script = "n=0; [ -e /n ] && read n < /n; n=$((n+1)); echo $n > /n; echo start $n; \
        while read line; do echo \"got <$line>\"; [ \"$line\" = end ] && exit 3; done";
    let definition = sh(&image, script).name("shell").tty_size(24, 80).keep();
    let container = definition.restart(RestartPolicy::OnFailure { retries: Some(1) }).start(&engine).unwrap();
    let (other, _) = place.engine();
    for start in ["start 1", "start 2"] {
        while !log(&container).contains(&start.to_owned()) || container.state().unwrap() != State::Running {
            std::thread::yield_now();
        }
        let mut client = other.container("shell").unwrap().attach().unwrap();
        let mut terminal = client.terminal.take().unwrap();
        assert!(client.stdin.is_none());
        assert_eq!(terminal.size().unwrap(), (24, 80), "{start}");
        terminal.resize(40, 132).unwrap();
        assert_eq!(other.container("shell").unwrap().attach().unwrap().terminal.unwrap().size().unwrap(), (40, 132));
        terminal.write_all(b"hello\n").unwrap();
        // What is typed is echoed.
        assert_eq!(read_to(&mut client.stdout, "<hello>\r\n"), "hello\r\ngot <hello>\r\n");
        terminal.write_all(b"end\n").unwrap();
        let mut rest = String::new();
        client.stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "end\r\ngot <end>\r\n");
    }
    while container.state().unwrap() != State::Exited {
        std::thread::yield_now();
    }
    assert_eq!(container.wait().unwrap().code(), 3);
    let wanted = ["start 1", "hello", "got <hello>", "end", "got <end>", "start 2"];
    assert_eq!(log(&container)[..6], wanted);
    container.remove().unwrap();
}

#[test]
fn one_that_is_begun_by_whoever_attaches_tells_everything_and_then_how_it_ended() {
    let place = Place::new();
    let (engine, image) = place.engine();
    // What ends at once has been written before anybody could ask for it.
    let mut container = sh(&image, "echo first; echo second >&2; exit 5").create(&engine).unwrap();
    let mut client = container.start_attached().unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    client.stdout.read_to_string(&mut out).unwrap();
    client.stderr.read_to_string(&mut err).unwrap();
    assert_eq!((out.as_str(), err.as_str()), ("first\n", "second\n"));
    assert_eq!(client.end.get().map(|status| status.code()), Some(5));
    assert_eq!(container.wait().unwrap().code(), 5);
    assert!(container.start_attached().unwrap().stdin.is_none());
    container.kill_and_remove().unwrap();

    // One that is removed then has gone by the time that this is known.
    let definition = sh(&image, "read line; echo \"<$line>\"").name("gone").stdin(Stdio::piped()).auto_remove();
    let mut client = definition.create(&engine).unwrap().start_attached().unwrap();
    client.stdin.take().unwrap().write_all(b"line\n").unwrap();
    assert_eq!(read_to(&mut client.stdout, "\n"), "<line>\n");
    assert_eq!(client.stdout.read(&mut [0]).unwrap(), 0);
    assert_eq!(client.end.get().map(|status| status.code()), Some(0));
    assert_eq!(engine.container("gone").unwrap_err().kind(), ErrorKind::NotFound);

    // One that cannot stay is no more than created after that.
    let mut container = sh(&image, "true").init(false).create(&engine).unwrap();
    assert_eq!(container.start_attached().unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(container.state().unwrap(), State::Created);
}

#[test]
fn one_that_is_to_be_removed_goes_with_its_end_even_if_nobody_looks() {
    let place = Place::new();
    let (engine, image) = place.engine();
    let mut events = engine.events().read().unwrap();
    let script = "mkdir /data/deep; echo x > /data/deep/file; chmod 000 /data/deep; exit 5";
    let definition = sh(&image, script).name("gone").mount(plywood::Mount::anonymous("/data")).keep().auto_remove();
    let container = definition.start(&engine).unwrap();
    let id = container.id().clone();
    drop(container);
    let destroyed = events.find(|event| event.action == Action::Destroy).unwrap();
    assert_eq!((&destroyed.id, destroyed.name.as_str()), (&id, "gone"));
    assert_eq!(engine.container("gone").unwrap_err().kind(), ErrorKind::NotFound);
    let entries = |path: &str| {
        let directory = std::fs::read_dir(place.root().join(path)).into_iter().flatten().flatten();
        directory.map(|entry| entry.file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(entries("containers"), Vec::<String>::new());
    assert_eq!(entries("volumes").iter().filter(|name| name.len() == 64).count(), 0);
    assert_eq!(entries("image/overlay2/layerdb/mounts"), Vec::<String>::new());
    assert_eq!(entries("image/plywood/in-flight").iter().filter(|name| name.starts_with("owner-")).count(), 0);
    assert_eq!(entries("image/plywood/trash"), Vec::<String>::new());

    // One that is stopped or killed goes too.
    for stop in [false, true] {
        let definition = sh(&image, "sleep 60").name("gone").keep().auto_remove();
        let container = definition.start(&engine).unwrap();
        let mut events = engine.events().read().unwrap();
        match stop {
            true => assert!(container.stop(PATIENCE).is_ok_and(|status| status.signal() == Some(15))),
            false => container.kill_and_remove().unwrap(),
        }
        events.find(|event| event.action == Action::Destroy).unwrap();
        assert_eq!(engine.container("gone").unwrap_err().kind(), ErrorKind::NotFound);
    }
}
