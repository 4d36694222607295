//! What users of other tools complain about, where no test of a module of plywood shows that it cannot happen.

#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

use plywood::{Base, Container, Layers};
use support::{PROGRAMS, base, engine, image, is_root, require_program, run, sh, text, victim};

/// A field of a process's `status`.
fn field(process: &str, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
    line.unwrap().to_owned()
}

#[test]
fn complaint_daemon_nobody_stands_between_a_program_and_its_container() {
    let engine = engine();
    let container = sh(&image(&engine), "exec sleep 1000").start(&engine).unwrap();
    let pid = container.inspect().unwrap().pid().unwrap().to_string();
    assert_eq!(field(&pid, "PPid"), std::process::id().to_string());
    container.kill_and_remove().unwrap();
    assert!(!fs::exists(format!("/proc/{pid}")).unwrap());
}

/// Nobody in particular.
const USER: u32 = 54_321;

#[test]
fn complaint_privileged_it_takes_no_privilege_whatsoever() {
    const NAME: &str = "complaint_privileged_it_takes_no_privilege_whatsoever";
    if victim::directory().is_some() || !is_root() {
        // What may be done by nobody is done: an image is built with a command, containers reach each other and forks begin.
        let engine = engine();
        let image = engine.build(&base().run("echo built > /built")).unwrap();
        assert_eq!(run(&engine, &image, "cat /built; id -u"), "built\n0\n");
        let bash = engine.build(&Layers::new().from(Base::host([PROGRAMS.as_slice(), &["bash"]].concat()))).unwrap();
        let container = Container::of(&bash).cmd(["sleep", "1000"]).start(&engine).unwrap();
        let listener = container.listen(80).unwrap();
        let asks = container.exec(["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/80"]).start().unwrap();
        drop(listener.accept().unwrap());
        assert!(asks.wait().success());
        assert!(container.stop(std::time::Duration::from_secs(60)).unwrap().signal().is_some());
        let fork = container.snapshot().unwrap().fork().unwrap();
        assert_eq!(text(fork.exec(["echo", "forked"]).output().unwrap()), "forked\n");
        return;
    }
    require_program!("setpriv");
    let directory = victim::Directory::new();
    // Where the tests lie is not everybody's to read.
    let program = directory.path().join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    chown(directory.path(), Some(USER), Some(USER)).unwrap();
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={USER}"), format!("--regid={USER}"), "--clear-groups".into()]);
    command.args(["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]).arg(&program);
    command.env_remove("PLYWOOD_ROOT").env("HOME", directory.path()).current_dir("/");
    victim::alone_by(command, NAME, &directory);
}
