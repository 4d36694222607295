//! The OCI runtime's command line: what becomes of a container from its making to its removal.

#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::io::{IoSliceMut, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};
use support::bundle::Bundle;
use support::{require_program, require_root};

/// Waits for what another process does.
fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !happened() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn wait_for_status(bundle: &Bundle, id: &str, status: &str) {
    wait_until(status, || bundle.state(id)["status"] == status);
}

macro_rules! bundle {
    () => {{
        require_root!();
        require_program!("busybox");
        Bundle::new()
    }};
}

#[test]
fn a_container_waits_for_its_start_and_is_removed_when_it_has_ended() {
    let mut bundle = bundle!();
    bundle.script("echo begun > /tmp/file; exec sleep 1000").set("/root/readonly", json!(false));
    bundle.set("/annotations", json!({ "a": "b" }));
    bundle.ok(&["create", "--pid-file", "pid", "one", "--bundle", "."]);
    let state = bundle.state("one");
    assert_eq!(
        (&state["status"], &state["ociVersion"], &state["id"]),
        (&json!("created"), &json!("1.2.0"), &json!("one"))
    );
    assert_eq!(
        (&state["bundle"], &state["annotations"]["a"]),
        (&json!(bundle.path().canonicalize().unwrap()), &json!("b"))
    );
    let pid = state["pid"].as_u64().unwrap();
    assert_eq!(fs::read_to_string(bundle.path().join("pid")).unwrap(), pid.to_string());
    let file = bundle.path().join("rootfs/tmp/file");
    assert!(!file.exists());
    assert!(bundle.fails(&["create", "one"]).contains(r#"container "one": one of this id exists"#));

    bundle.ok(&["start", "one"]);
    wait_until("the program begins", || fs::read_to_string(&file).is_ok_and(|text| text == "begun\n"));
    assert_eq!((&bundle.state("one")["status"], bundle.state("one")["pid"].as_u64()), (&json!("running"), Some(pid)));
    assert!(bundle.fails(&["start", "one"]).contains(r#"start container "one": it is running"#));
    assert!(bundle.fails(&["delete", "one"]).contains(r#"delete container "one": it is running"#));
    assert!(bundle.ok(&["list"]).contains("running"));

    bundle.ok(&["kill", "one", "KILL"]);
    wait_for_status(&bundle, "one", "stopped");
    assert_eq!(bundle.state("one")["pid"], 0);
    assert!(bundle.fails(&["kill", "one", "TERM"]).contains("container not running"));
    bundle.ok(&["delete", "one"]);
    assert!(bundle.fails(&["state", "one"]).contains("does not exist"));
    assert!(bundle.fails(&["delete", "one"]).contains("does not exist"));
    bundle.ok(&["delete", "--force", "one"]);
    assert_eq!(bundle.cgroups_left(), [""; 0].map(std::path::PathBuf::from));
}

#[test]
fn a_run_ends_with_the_code_of_its_program_and_leaves_nothing() {
    let mut bundle = bundle!();
    bundle.script("echo out; echo err >&2; exit 7");
    let output = bundle.call(&["run", "one"]);
    assert_eq!((output.status.code(), &*output.stdout, &*output.stderr), (Some(7), &b"out\n"[..], &b"err\n"[..]));
    assert_eq!(bundle.ok(&["list", "--quiet"]), "");
    bundle.script("kill -9 $$");
    // Process 1 is deaf to its own signals.
    assert_eq!(bundle.call(&["run", "one"]).status.code(), Some(0));
    assert!(bundle.cgroups_left().is_empty());
}

#[test]
fn hooks_run_in_their_order_with_the_state_on_standard_input() {
    let mut bundle = bundle!();
    let log = bundle.path().join("hooks");
    let hook = |name: &str, place: &str| {
        let script =
            format!("echo {name} $A $(sed -n 's/.*\"status\": \"\\(.*\\)\".*/\\1/p') {place} >> {}", log.display());
        json!([{ "path": "/bin/sh", "args": ["hook", "-c", script], "env": ["A=b", "PATH=/usr/bin:/bin"], "timeout": 20 }])
    };
    let namespace = "$(readlink /proc/self/ns/mnt)";
    for name in ["prestart", "createRuntime", "createContainer", "poststart", "poststop"] {
        bundle.config["hooks"][name] = hook(name, namespace);
    }
    // That one runs in the container, where the log is not.
    let script = "echo startContainer $(grep -c 'status.*created') $(hostname) $0 > /tmp/hook";
    bundle.config["hooks"]["startContainer"] = json!([{ "path": "/bin/sh", "args": ["sh", "-c", script, "inside"] }]);
    bundle.script("exec sleep 1000").set("/root/readonly", json!(false));
    bundle.ok(&["create", "one"]);
    let host = fs::read_link("/proc/self/ns/mnt").unwrap().display().to_string();
    let own = fs::read_link(format!("/proc/{}/ns/mnt", bundle.state("one")["pid"])).unwrap().display().to_string();
    let read = || fs::read_to_string(&log).unwrap();
    let made =
        format!("prestart b creating {host}\ncreateRuntime b creating {host}\ncreateContainer b creating {own}\n");
    assert_eq!(read(), made);
    bundle.ok(&["start", "one"]);
    let inside = fs::read_to_string(bundle.path().join("rootfs/tmp/hook")).unwrap();
    assert_eq!(inside, "startContainer 1 plywood inside\n");
    bundle.ok(&["delete", "--force", "one"]);
    assert_eq!(read(), format!("{made}poststart b running {host}\npoststop b stopped {host}\n"));
}

#[test]
fn a_hook_that_fails_or_takes_too_long_leaves_no_container() {
    let mut bundle = bundle!();
    for (stage, script, timeout, message) in [
        ("createRuntime", "exit 3", json!(null), "it exited with code 3"),
        ("createContainer", "exec sleep 1000", json!(1), "it took longer than 1 s"),
        ("prestart", "kill -9 $$", json!(null), "signal 9 ended it"),
    ] {
        let hook =
            json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin"], "timeout": timeout }]);
        bundle.set("/hooks", json!({ stage: hook }));
        let said = bundle.fails(&["create", "one"]);
        assert!(said.contains(&format!(r#"run the {stage} hook "/bin/sh": {message}"#)), "{said}");
        assert!(bundle.fails(&["state", "one"]).contains("does not exist"));
        assert!(bundle.cgroups_left().is_empty());
    }
    bundle.set("/hooks", json!({ "startContainer": [{ "path": "/nowhere" }] }));
    bundle.ok(&["create", "one"]);
    let said = bundle.fails(&["start", "one"]);
    assert!(said.contains(r#"run the startContainer hook "/nowhere": no such file or directory"#), "{said}");
    wait_for_status(&bundle, "one", "stopped");
}

#[test]
fn a_program_that_is_not_there_is_told_when_the_container_is_made() {
    let mut bundle = bundle!();
    for (program, message) in [
        ("nope", r#"start "nope": no such command in the container"#),
        ("/nope", r#"start "/nope": no such file in the container: executable file not found"#),
        ("/etc/data", r#"start "/etc/data": "/etc/data" may not be executed by this user: permission denied"#),
    ] {
        fs::write(bundle.path().join("rootfs/etc/data"), "").unwrap();
        bundle.set("/process/args", json!([program]));
        let said = bundle.fails(&["create", "one"]);
        assert!(said.contains(message), "{said}");
    }
    // One that is there and is no program is found out by its start.
    let file = bundle.path().join("rootfs/etc/data");
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    fs::write(&file, "data").unwrap();
    bundle.ok(&["create", "one"]);
    let said = bundle.fails(&["start", "one"]);
    assert!(said.contains("neither a program nor a script"), "{said}");
    wait_for_status(&bundle, "one", "stopped");
}

#[test]
fn errors_are_written_to_the_log_in_both_formats() {
    let bundle = bundle!();
    bundle.fails(&["--log", "json", "--log-format", "json", "state", "nope"]);
    let line: Value = serde_json::from_slice(&fs::read(bundle.path().join("json")).unwrap()).unwrap();
    assert_eq!(
        (&line["level"], &line["msg"]),
        (&json!("error"), &json!(r#"find container "nope": it does not exist"#))
    );
    bundle.fails(&["state", "nope", "--log", "text"]);
    let text = fs::read_to_string(bundle.path().join("text")).unwrap();
    assert!(text.ends_with("level=error msg=\"find container \\\"nope\\\": it does not exist\"\n"), "{text}");
}

#[test]
fn further_processes_join_the_container() {
    let mut bundle = bundle!();
    bundle.script("exec sleep 1000").set("/process/cwd", json!("/tmp"));
    bundle.ok(&["run", "--detach", "one"]);
    let output = bundle.call(&["exec", "one", "sh", "-c", "hostname; pwd; id -u; cat /proc/1/cmdline; exit 9"]);
    assert_eq!((output.status.code(), &*output.stdout), (Some(9), &b"plywood\n/tmp\n0\nsleep\x001000\0"[..]));
    let args = ["exec", "--user", "7:8", "-g", "9", "--env", "A=b", "--cwd", "/bin", "one", "sh", "-c"];
    let text = bundle.ok(&[&args[..], &["id -u; id -G; pwd; echo $A"]].concat());
    assert_eq!(text, "7\n8 9\n/bin\nb\n");
    let process = json!({ "args": ["sh", "-c", "echo $A > /dev/shm/file"], "cwd": "/", "env": ["A=c", "PATH=/bin"],
        "user": { "uid": 0, "gid": 0 } });
    fs::write(bundle.path().join("process.json"), process.to_string()).unwrap();
    bundle.ok(&["exec", "--process", "process.json", "--detach", "--pid-file", "pid", "one"]);
    assert!(fs::read_to_string(bundle.path().join("pid")).unwrap().parse::<u32>().is_ok());
    wait_until("the process writes", || bundle.call(&["exec", "one", "cat", "/dev/shm/file"]).stdout == b"c\n");
    assert!(bundle.fails(&["exec", "one", "nope"]).contains(r#"start "nope": no such command"#));

    bundle.ok(&["exec", "--detach", "one", "sleep", "1000"]);
    let pids: Vec<u32> = serde_json::from_str(&bundle.ok(&["ps", "--format", "json", "one"])).unwrap();
    assert_eq!(pids.len(), 2);
    assert!(bundle.ok(&["ps", "one"]).contains("sleep 1000"));
    let usage: Value = serde_json::from_str(&bundle.ok(&["events", "--stats", "one"])).unwrap();
    assert_eq!((&usage["type"], &usage["id"]), (&json!("stats"), &json!("one")));
    bundle.ok(&["kill", "--all", "one", "KILL"]);
    wait_for_status(&bundle, "one", "stopped");
    assert!(bundle.fails(&["exec", "one", "true"]).contains(r#"exec in container "one": it is stopped"#));
}

#[test]
fn a_paused_container_stands_still_and_can_be_killed() {
    let mut bundle = bundle!();
    bundle.script("exec sleep 1000");
    bundle.ok(&["run", "--detach", "one"]);
    assert!(bundle.fails(&["resume", "one"]).contains("it is running"));
    bundle.ok(&["pause", "one"]);
    assert_eq!(bundle.state("one")["status"], "paused");
    assert!(bundle.fails(&["exec", "one", "true"]).contains("it is paused"));
    bundle.ok(&["resume", "one"]);
    bundle.ok(&["exec", "one", "true"]);
    bundle.ok(&["pause", "one"]);
    bundle.ok(&["kill", "one", "KILL"]);
    wait_for_status(&bundle, "one", "stopped");
}

/// Takes a terminal out of a socket.
fn receive(listener: &UnixListener) -> OwnedFd {
    let (socket, _) = listener.accept().unwrap();
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut name = [0; 64];
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut name)], &mut control, RecvFlags::empty()).unwrap();
    assert!(received.bytes > 0);
    let mut fds = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    fds.next().unwrap().next().unwrap()
}

/// What a terminal shows until nobody has it open.
fn shown(terminal: OwnedFd) -> String {
    let mut bytes = Vec::new();
    // It ends with an error.
    let _ = fs::File::from(terminal).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn terminals_are_sent_over_the_console_socket() {
    let mut bundle = bundle!();
    bundle.set("/process/terminal", json!(true)).set("/process/consoleSize", json!({ "height": 7, "width": 77 }));
    bundle.set("/process/args", json!(["sh", "-c", "tty; ls -l /dev/console | cut -c1; sleep 0.1; exec sleep 1000"]));
    assert!(bundle.fails(&["create", "one"]).contains("no socket for its console"));
    let listener = UnixListener::bind(bundle.path().join("socket")).unwrap();
    bundle.ok(&["create", "--console-socket", "socket", "one"]);
    let terminal = receive(&listener);
    let size = rustix::termios::tcgetwinsize(&terminal).unwrap();
    assert_eq!((size.ws_row, size.ws_col), (7, 77));
    bundle.ok(&["start", "one"]);

    bundle.ok(&["exec", "--tty", "--console-socket", "socket", "--detach", "one", "tty"]);
    assert_eq!(shown(receive(&listener)), "/dev/pts/1\r\n");
    bundle.ok(&["kill", "one", "KILL"]);
    assert_eq!(shown(terminal), "/dev/pts/0\r\nc\r\n");
}

#[test]
fn the_runtime_tells_what_it_has() {
    let bundle = bundle!();
    let features: Value = serde_json::from_str(&bundle.ok(&["features"])).unwrap();
    assert_eq!((&features["ociVersionMin"], &features["ociVersionMax"]), (&json!("1.0.0"), &json!("1.2.0")));
    for (list, word) in [
        ("/hooks", "startContainer"),
        ("/mountOptions", "rro"),
        ("/linux/namespaces", "cgroup"),
        ("/linux/capabilities", "CAP_SYS_ADMIN"),
        ("/linux/seccomp/actions", "SCMP_ACT_ERRNO"),
    ] {
        let words = features.pointer(list).unwrap().as_array().unwrap();
        assert!(words.contains(&json!(word)), "{list}: {words:?}");
    }
    fs::create_dir(bundle.path().join("new")).unwrap();
    bundle.ok(&["spec", "--bundle", "new"]);
    let written: Value = serde_json::from_slice(&fs::read(bundle.path().join("new/config.json")).unwrap()).unwrap();
    assert_eq!(written["process"]["args"], json!(["sh"]));
    assert!(bundle.fails(&["spec", "--bundle", "new"]).contains("exists"));
}
