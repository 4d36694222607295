//! Guards: what dropping does, and what becomes of the containers of dead programs.

use std::fs::File;
use std::process::{Command, Stdio as HostStdio};
use std::time::{Duration, Instant};

use super::support::{engine, image, leftovers, require_containers};
use crate::container::State;
use crate::data_root::journal;
use crate::{Container, Engine, ErrorKind};

#[test]
fn dropping_a_guard_kills_what_would_not_listen_and_removes_it() {
    require_containers!();
    let (engine, image) = engine();
    let deaf = "trap '' TERM; echo ready; while :; do sleep 1000; done";
    let container = Container::of(&image).cmd(["sh", "-c", deaf]).start(&engine).unwrap();
    container.logs().follow().read().unwrap().next().unwrap();
    let pid = container.inspect().unwrap().pid().unwrap();
    drop(container);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    assert_eq!(leftovers(&engine), Vec::<String>::new());
}

#[test]
fn a_guard_outlives_its_engine_and_the_root_outlives_both() {
    require_containers!();
    let (engine, image) = engine();
    let path = engine.path().to_owned();
    let container = Container::of(&image).cmd(["sleep", "1000"]).start(&engine).unwrap();
    drop(engine);
    assert_eq!(container.state().unwrap(), State::Running);
    drop(container);
    assert!(!path.exists());
}

#[test]
fn a_guard_is_dropped_by_a_panic() {
    require_containers!();
    let (engine, image) = engine();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _container = Container::of(&image).cmd(["sleep", "1000"]).start(&engine).unwrap();
        std::panic::resume_unwind(Box::new("on purpose"));
    }));
    assert!(result.is_err());
    assert_eq!(leftovers(&engine), Vec::<String>::new());
}

#[test]
fn a_name_can_be_taken_once() {
    let (engine, image) = engine();
    let first = Container::of(&image).name("db").create(&engine).unwrap();
    let error = Container::of(&image).name("db").create(&engine).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    let expected =
        format!("create container \"db\" (busybox:latest): the name is taken by container {}", first.id().short());
    assert_eq!(error.to_string(), expected);
    drop(first);
    drop(Container::of(&image).name("db").create(&engine).unwrap());
}

#[test]
fn one_of_many_threads_gets_the_name() {
    let (engine, image) = engine();
    let made: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(|| Container::of(&image).name("only").create(&engine).ok())).collect();
        threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(made.len(), 1);
}

#[test]
fn a_persisted_container_stays_and_can_be_removed_by_name() {
    require_containers!();
    let (engine, image) = engine();
    let mut container =
        Container::of(&image).name("job").cmd(["sh", "-c", "echo done; exit 5"]).start(&engine).unwrap();
    container.persist().unwrap();
    assert_eq!(container.wait().unwrap().code(), 5);
    drop(container);
    let other = Engine::open(engine.path()).unwrap();
    let found = other.container("job").unwrap();
    assert_eq!((found.state().unwrap(), found.wait().unwrap().code()), (State::Exited, 5));
    assert_eq!(found.logs().read().unwrap().next().unwrap().text, "done");
    found.start().unwrap();
    assert_eq!(found.wait().unwrap().code(), 5);
    found.remove().unwrap();
    assert!(engine.containers().unwrap().is_empty());
    assert_eq!(leftovers(&engine), Vec::<String>::new());
}

#[test]
fn another_program_sees_signals_execs_and_waits_but_does_not_take_over() {
    require_containers!();
    let (engine, image) = engine();
    let container = Container::of(&image).name("web").cmd(["sleep", "1000"]).start(&engine).unwrap();
    // A second engine on the same root stands for another program: it knows nothing but the disk.
    let other = Engine::open(engine.path()).unwrap();
    let seen = other.container("web").unwrap();
    assert_eq!(seen.state().unwrap(), State::Running);
    assert!(seen.exec(["true"]).output().unwrap().status.success());
    assert_eq!(seen.start().unwrap_err().kind(), ErrorKind::InUse);
    assert_eq!(other.container("web").unwrap().remove().unwrap_err().kind(), ErrorKind::InUse);
    assert_eq!(seen.stop(Duration::from_secs(60)).unwrap().code(), 143);
    assert_eq!(container.wait().unwrap().code(), 143);
    assert_eq!(seen.state().unwrap(), State::Exited);
}

/// Not a test of its own: the program that the next tests kill.
#[test]
fn victim() {
    let Some(root) = std::env::var_os("PLYWOOD_TEST_VICTIM") else { return };
    let engine = Engine::open(root).unwrap();
    let script = "echo $$; while :; do sleep 1; done";
    let _guard = Container::of("busybox").name("guard").cmd(["sh", "-c", script]).start(&engine).unwrap();
    let mut stays = Container::of("busybox").name("stays").cmd(["sh", "-c", script]).start(&engine).unwrap();
    stays.persist().unwrap();
    std::io::Write::write_all(&mut std::io::stderr(), b"ready\n").unwrap();
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn containers_of_a_killed_program_are_gone_or_have_exited() {
    require_containers!();
    let (engine, _) = engine();
    image(&engine, "busybox", serde_json::json!({ "Cmd": ["sh"] }));
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["engine::tests::guards::victim", "--exact", "--nocapture"])
        .env("PLYWOOD_TEST_VICTIM", engine.path())
        .stdout(HostStdio::null())
        .stderr(HostStdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(victim.stderr.take().unwrap()));
    assert!(lines.map_while(Result::ok).any(|line| line.ends_with("ready")));
    let pids: Vec<_> =
        ["guard", "stays"].map(|name| engine.container(name).unwrap().inspect().unwrap().pid().unwrap()).to_vec();
    let entry = engine.store().root().entry_path(&journal::owner(engine.container("guard").unwrap().id()));
    victim.kill().unwrap();
    victim.wait().unwrap();
    // Even before anybody has opened the store anew, nothing is believed to run.
    let stays = engine.container("stays").unwrap();
    assert!(stays.wait_timeout(Duration::from_secs(5)).unwrap().is_some());
    let ended = |guard: Container| guard.wait_timeout(Duration::from_secs(5));
    match engine.container("guard").and_then(ended) {
        Ok(status) => assert!(status.is_some(), "still running"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "the reaper was faster"),
    }
    let other = Engine::open(engine.path()).unwrap();
    assert_eq!(other.container("guard").unwrap_err().kind(), ErrorKind::NotFound);
    let stays = other.container("stays").unwrap();
    assert_eq!((stays.state().unwrap(), stays.inspect().unwrap().exit_status().unwrap().code()), (State::Exited, 137));
    for pid in pids {
        // Whoever takes care of orphans may not have asked for it yet.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(stat.is_empty() || stat.contains(") Z "), "{stat}");
    }
    stays.remove().unwrap();
    // The reaper holds the guard's entry until it removes it, last of all.
    if let Ok(entry) = File::open(entry) {
        entry.lock().unwrap();
    }
    assert_eq!(leftovers(&engine), Vec::<String>::new());
}

#[test]
fn opening_the_store_disturbs_nobody_who_works_on_it() {
    let (engine, image) = engine();
    let until = Instant::now() + Duration::from_secs(2);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while Instant::now() < until {
                    drop(Container::of(&image).create(&engine).unwrap());
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                while Instant::now() < until {
                    drop(Engine::open(engine.path()).unwrap());
                }
            });
        }
    });
    assert_eq!(leftovers(&engine), Vec::<String>::new());
}

#[test]
fn forty_containers_leave_no_descriptor_and_no_thread() {
    require_containers!();
    let (engine, image) = engine();
    let count = |what: &str| std::fs::read_dir(format!("/proc/self/{what}")).unwrap().count();
    let run = || Container::of(&image).cmd(["true"]).output(&engine).unwrap().status.success();
    // The second start begins the thread that makes networks ahead.
    assert!(run() && run());
    let before = (count("fd"), count("task"));
    assert!((0..40).all(|_| run()));
    // nextest runs each test in a process of its own; `cargo test` runs others beside it.
    if std::env::var_os("NEXTEST").is_some() {
        assert_eq!((count("fd"), count("task")), before);
    }
}

#[test]
fn handles_go_from_thread_to_thread() {
    fn shared<T: Send + Sync>() {}
    shared::<Engine>();
    shared::<Container>();
    shared::<crate::container::Definition>();
    shared::<crate::container::Exec>();
}
