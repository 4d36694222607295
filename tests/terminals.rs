//! What a terminal is for a process in a container, and for the program that holds its other end.

#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};

use plywood::container::{Definition, Stdio, Stream, Terminal};
use plywood::{Base, Engine, ErrorKind, Image, Layers};
use support::{engine, sh};

fn image(engine: &Engine) -> Image {
    let programs = ["sh", "cat", "stty", "tty", "ls", "stat", "env", "id", "sleep", "touch", "mount"];
    engine.build(&Layers::new().from(Base::host(programs))).unwrap()
}

/// A container with a terminal that the test reads.
fn with_terminal(image: &Image, script: &str) -> Definition {
    sh(image, script).tty().stdout(Stdio::piped())
}

/// Reads what the terminal shows until it shows this.
fn read_until(terminal: &mut Terminal, text: &str) -> String {
    let mut shown = String::new();
    while !shown.contains(text) {
        let mut block = [0; 1024];
        let read = terminal.read(&mut block).unwrap();
        assert!(read > 0, "it ended with {shown:?}");
        shown.push_str(&String::from_utf8_lossy(&block[..read]));
    }
    shown
}

fn read_to_end(terminal: &mut Terminal) -> String {
    let mut shown = String::new();
    terminal.read_to_string(&mut shown).unwrap();
    shown
}

#[test]
fn what_is_typed_is_echoed_and_read_line_by_line() {
    let engine = engine();
    let image = image(&engine);
    let container = with_terminal(&image, "read a; echo \"got <$a>\"; exit 3").start(&engine).unwrap();
    let mut terminal = container.take_terminal().unwrap();
    // 0x15, Ctrl-U, takes the line back.
    terminal.write_all(b"wrong\x15right\n").unwrap();
    let shown = read_to_end(&mut terminal);
    assert!(shown.contains("right\r\n") && shown.ends_with("got <right>\r\n"), "{shown:?}");
    assert_eq!(container.wait().unwrap().code(), 3);
    assert!(container.take_terminal().is_none(), "it was taken");
}

#[test]
fn the_terminal_has_the_size_that_was_asked_for_and_then_another() {
    let engine = engine();
    let image = image(&engine);
    let script = "trap 'stty size; exit' WINCH; stty size; while :; do read x; done";
    let container = with_terminal(&image, script).tty_size(40, 132).start(&engine).unwrap();
    let mut terminal = container.take_terminal().unwrap();
    assert_eq!(read_until(&mut terminal, "\n"), "40 132\r\n");
    terminal.resize(24, 80).unwrap();
    assert_eq!(terminal.size().unwrap(), (24, 80));
    // Some shells run the trap at once, others when the read is done.
    terminal.write_all(b"\n").unwrap();
    assert!(read_to_end(&mut terminal).contains("24 80\r\n"));
}

#[test]
fn control_c_reaches_the_foreground_process_and_nothing_else() {
    let engine = engine();
    let image = image(&engine);
    let container = with_terminal(&image, "trap : INT; echo ready; cat; echo \"ended: $?\"").start(&engine).unwrap();
    let mut terminal = container.take_terminal().unwrap();
    read_until(&mut terminal, "ready");
    // Whatever the shell does meanwhile: what is typed after the echo of this is for cat.
    terminal.write_all(b"line\n").unwrap();
    read_until(&mut terminal, "line\r\nline");
    terminal.write_all(b"\x03").unwrap();
    assert!(read_to_end(&mut terminal).contains("ended: 130"));
}

#[test]
fn the_terminal_is_the_one_of_the_session_and_the_console() {
    let engine = engine();
    let image = image(&engine);
    let script = "tty; echo controlling >/dev/tty; echo console >/dev/console; stat -c %t:%T /dev/console /dev/pts/0; \
                  ls -1 /dev/pts; env | while read l; do case $l in TERM=*) echo $l;; esac; done";
    let output = sh(&image, script).tty().output(&engine).unwrap();
    let shown = String::from_utf8(output.stdout).unwrap().replace("\r\n", " ");
    // 88:0, hexadecimal: the first of the container's own instance, in which there is no other.
    assert_eq!(shown, "/dev/pts/0 controlling console 88:0 88:0 0 ptmx TERM=xterm ");
    assert_eq!(output.stderr, b"");
}

#[test]
fn the_log_has_what_the_terminal_shows_as_standard_output() {
    let engine = engine();
    let image = image(&engine);
    let container = sh(&image, "echo out; echo err >&2; read typed; echo \"$typed\"").tty().start(&engine).unwrap();
    let mut terminal = container.take_terminal().unwrap();
    let refused = terminal.read(&mut [0]).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::Unsupported);
    terminal.write_all(b"typed\n").unwrap();
    let _ = container.wait().unwrap();
    let lines: Vec<_> = container.logs().read().unwrap().map(|line| (line.stream, line.text)).collect();
    for text in ["out", "err", "typed"] {
        let found = lines.iter().filter(|(stream, line)| *stream == Stream::Stdout && line.trim_end() == text);
        assert!(found.count() > 0, "{text} in {lines:?}");
    }
}

#[test]
fn all_output_is_there_when_the_wait_returns() {
    let engine = engine();
    let image = image(&engine);
    // More than a terminal holds, and the last words at the very end.
    let script =
        "i=0; while [ $i -lt 4000 ]; do echo 0123456789012345678901234567890123456789; i=$((i+1)); done; echo last";
    let output = sh(&image, script).tty().output(&engine).unwrap();
    assert_eq!(output.stdout.len(), 4000 * 42 + 6);
    assert!(output.stdout.ends_with(b"last\r\n"));
}

#[test]
fn a_further_process_has_a_terminal_of_its_own() {
    let engine = engine();
    let image = image(&engine);
    let container = sh(&image, "sleep 1000").start(&engine).unwrap();
    let shell = container.exec(["sh", "-c", "tty; stty size; read a; echo \"<$a>\"; exit 4"]);
    let process = shell.tty_size(5, 50).stdout(Stdio::piped()).start().unwrap();
    assert!(process.has_terminal());
    let mut terminal = process.take_terminal().unwrap();
    assert_eq!(read_until(&mut terminal, "50\r\n"), "/dev/pts/0\r\n5 50\r\n");
    terminal.write_all(b"x\n").unwrap();
    assert!(read_to_end(&mut terminal).ends_with("<x>\r\n"));
    assert_eq!(process.wait().code(), 4);
    let output = container.exec(["sh", "-c", "echo $TERM; echo >&2; exit 5"]).tty().output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (5, b"xterm\r\n\r\n".as_slice()));
    let error = container.exec(["nothing"]).tty().output().unwrap_err();
    assert_eq!(error.exit_code(), Some(127));
}

#[test]
fn the_terminal_belongs_to_the_user_of_the_process() {
    support::require_root!();
    let engine = engine();
    let image = image(&engine);
    let script = "stat -c %u $(tty); echo opened >/dev/stdout";
    let output = sh(&image, script).user("1000").tty().output(&engine).unwrap();
    assert_eq!(output.stdout, b"1000\r\nopened\r\n");
    let container = sh(&image, "sleep 1000").start(&engine).unwrap();
    let output = container.exec(["sh", "-c", script]).user("1001").tty().output().unwrap();
    assert_eq!(output.stdout, b"1001\r\nopened\r\n");
}

#[test]
fn a_container_that_puts_something_else_in_place_of_its_terminals_gets_none() {
    let engine = engine();
    let image = image(&engine);
    let script = "touch /file && mount --bind /file /dev/pts/ptmx && echo ready && read x";
    let container =
        sh(&image, script).privileged().stdin(Stdio::piped()).stdout(Stdio::piped()).start(&engine).unwrap();
    let mut ready = [0; 6];
    container.take_stdout().unwrap().read_exact(&mut ready).unwrap();
    let error = container.exec(["true"]).tty().output().unwrap_err();
    assert!(error.to_string().contains("open a terminal in the container"), "{error}");
    // The container itself is as it was.
    assert!(container.exec(["tty"]).output().unwrap().status.code() == 1);
}

#[test]
fn a_file_cannot_be_the_input_of_a_terminal() {
    let engine = engine();
    let image = image(&engine);
    let file = std::fs::File::open("/dev/null").unwrap();
    let error = sh(&image, "cat").tty().stdin(file.into()).start(&engine).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    assert!(engine.containers().unwrap().is_empty());
}

#[test]
fn a_container_keeps_its_terminal_when_it_is_started_again() {
    let engine = engine();
    let image = image(&engine);
    let container = sh(&image, "tty").tty_size(7, 70).create(&engine).unwrap();
    for _ in 0..2 {
        container.start().unwrap();
        assert!(container.wait().unwrap().success());
    }
    let document = serde_json::to_value(container.inspect().unwrap()).unwrap();
    assert_eq!(document["Config"]["Tty"], true);
    let lines: Vec<String> = container.logs().read().unwrap().map(|line| line.text).collect();
    assert_eq!(lines.iter().filter(|line| line.trim_end() == "/dev/pts/0").count(), 2, "{lines:?}");
}
