//! Containers that outlive the program that started them.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use plywood::container::{RestartPolicy, Signal, State, Stdio, Stream};
use plywood::{ByteSize, Container, Durability, Engine, ErrorKind, Mount};
use support::left::{await_reaper, left};
use support::place::Place;
use support::victim::{self, Victim, keepers, kill};
use support::{base, sh};

const PATIENCE: Duration = Duration::from_secs(10);

/// An engine on a victim's data root.
fn open(directory: &Path) -> Engine {
    Engine::open_with(directory.join("root"), Durability::Fast).unwrap()
}

/// Waits until the only supervisor has gone.
fn await_keeper(root: &Path) {
    for pid in keepers(root) {
        assert!(victim::ends(pid));
    }
}

/// What is in the journal, beside open data roots.
fn owned(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root.join("image/plywood/in-flight")).unwrap().flatten();
    let names = entries.map(|entry| entry.file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("owner-")).collect()
}

/// Runs until it is told to end, and says when it is told something.
const SERVE: &str =
    "trap 'echo bye; exit 7' TERM; trap 'echo heard' USR1; echo ready; while :; do sleep 60 & wait; done";

#[test]
fn c08_it_survives_its_program_and_any_other_has_all_of_it() {
    if let Some(directory) = victim::directory() {
        let engine = open(&directory);
        let image = engine.build(&base()).unwrap();
        let container = sh(&image, SERVE).name("served").keep().start(&engine).unwrap();
        container.logs().follow().read().unwrap().next().unwrap();
        victim::tell(container.inspect().unwrap().pid().unwrap());
        victim::wait();
    }
    let place = Place::new();
    let mut victim = Victim::start("c08_it_survives_its_program_and_any_other_has_all_of_it", place.0.path());
    let pid: u32 = victim.hear().unwrap().parse().unwrap();
    let reaper = victim.reaper();
    victim.kill();
    if let Some(reaper) = reaper {
        assert!(victim::ends(reaper), "and does nothing to what is kept");
    }

    let dockerd = fs::File::open(place.root().join("volumes/metadata.db")).unwrap();
    assert!(dockerd.try_lock().is_err(), "no dockerd starts while it runs");

    let engine = open(place.0.path());
    let container = engine.container("served").unwrap();
    assert_eq!(container.state().unwrap(), State::Running);
    assert_eq!(container.inspect().unwrap().pid(), Some(pid));
    assert!(container.try_wait().unwrap().is_none());
    assert_eq!(container.start().unwrap_err().kind(), ErrorKind::InUse);
    assert_eq!(engine.container("served").unwrap().remove().unwrap_err().kind(), ErrorKind::InUse);

    let mut lines = container.logs().follow().read().unwrap();
    assert_eq!(lines.next().unwrap().text, "ready");
    container.kill(Signal::USR1).unwrap();
    assert_eq!(lines.next().unwrap().text, "heard");
    assert_eq!(
        support::text(container.exec(["sh", "-c", "read name < /proc/1/comm; echo $name"]).output().unwrap()),
        "plywood-init\n"
    );

    // Nobody opens it who would take it for abandoned.
    let other = open(place.0.path());
    assert_eq!(other.container("served").unwrap().state().unwrap(), State::Running);

    let [keeper] = keepers(&place.root())[..] else { panic!("there is one supervisor") };
    let pss = fs::read_to_string(format!("/proc/{keeper}/smaps_rollup")).unwrap();
    let pss: u64 =
        pss.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB")?.parse().ok()).unwrap();
    eprintln!("the supervisor takes {pss} KiB");
    assert!(pss <= 64, "{pss} KiB");

    let status = other.container("served").unwrap().stop(PATIENCE).unwrap();
    assert_eq!((status.code(), status.signal()), (7, None));
    assert_eq!(lines.map(|line| line.text).collect::<Vec<_>>(), ["bye"]);
    assert_eq!(container.wait().unwrap(), status);
    assert_eq!(container.state().unwrap(), State::Exited);
    await_keeper(&place.root());
    container.remove().unwrap();
    assert_eq!(owned(&place.root()), Vec::<String>::new());
    assert!(!Path::new(&format!("/proc/{pid}")).exists() || victim::ends(pid));
    assert!(fs::read_dir(place.root().join("containers")).unwrap().next().is_none());
}

#[test]
fn an_end_that_nobody_sees_is_recorded() {
    let place = Place::new();
    {
        let (engine, image) = place.engine();
        let script = "[ -e /ran ] && while :; do sleep 60; done; : > /ran; echo out; echo err >&2; exit 3";
        drop(sh(&image, script).name("alone").keep().start(&engine).unwrap());
    }
    await_keeper(&place.root());
    let ended = std::time::SystemTime::now();
    let (engine, _) = place.engine();
    let container = engine.container("alone").unwrap();
    assert_eq!(container.state().unwrap(), State::Exited);
    assert_eq!(container.wait().unwrap().code(), 3);
    assert!(container.inspect().unwrap().finished_at().is_some_and(|at| at <= ended.into()));
    let mut lines: Vec<_> = container.logs().read().unwrap().map(|line| (line.stream, line.text)).collect();
    lines.sort_by_key(|(stream, _)| *stream == Stream::Stderr);
    assert_eq!(lines, [(Stream::Stdout, "out".to_owned()), (Stream::Stderr, "err".to_owned())]);
    // It is kept again when it is started again.
    container.start().unwrap();
    assert_eq!(keepers(&place.root()).len(), 1);
    assert_eq!(container.stop(PATIENCE).unwrap().signal(), Some(15));
    container.remove().unwrap();
}

#[test]
fn a_signal_that_ends_it_is_recorded_and_force_removes_it() {
    let place = Place::new();
    let (engine, image) = place.engine();
    let container = sh(&image, "kill -9 $$").keep().start(&engine).unwrap();
    let status = container.wait().unwrap();
    assert_eq!((status.code(), status.signal()), (137, Some(9)));
    container.remove().unwrap();

    let container = sh(&image, SERVE).name("served").keep().start(&engine).unwrap();
    let pid = container.inspect().unwrap().pid().unwrap();
    open(place.0.path()).container("served").unwrap().kill_and_remove().unwrap();
    assert!(!Path::new(&format!("/proc/{pid}")).exists() || victim::ends(pid));
    assert_eq!(container.state().unwrap_err().kind(), ErrorKind::NotFound);
    await_keeper(&place.root());
    assert_eq!(owned(&place.root()), Vec::<String>::new());
}

#[test]
fn without_its_supervisor_it_is_abandoned_and_the_next_program_kills_it() {
    let place = Place::new();
    let (engine, image) = place.engine();
    let container = sh(&image, SERVE).name("served").keep().start(&engine).unwrap();
    let pid = container.inspect().unwrap().pid().unwrap();
    let [keeper] = keepers(&place.root())[..] else { panic!("there is one supervisor") };
    kill(keeper);
    assert!(victim::ends(keeper));
    drop(engine);
    let next = open(place.0.path());
    assert!(!Path::new(&format!("/proc/{pid}")).exists() || victim::ends(pid));
    let found = next.container("served").unwrap();
    assert_eq!(found.state().unwrap(), State::Exited);
    assert_eq!(found.wait().unwrap().code(), 137);
    found.remove().unwrap();
}

#[test]
fn it_is_abandoned_though_a_child_of_some_thread_holds_the_locks_of_its_supervisor_for_a_moment() {
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
    const OWNER: i32 = 9;
    const CONTROL: i32 = 12;
    let place = Place::new();
    let (engine, image) = place.engine();
    let container = sh(&image, SERVE).name("served").keep().start(&engine).unwrap();
    // It has taken the socket over: what has come from the container it has written after that.
    assert_eq!(container.logs().follow().read().unwrap().next().unwrap().text, "ready");
    let pid = container.inspect().unwrap().pid().unwrap();
    let [keeper] = keepers(&place.root())[..] else { panic!("there is one supervisor") };
    let process = Pid::from_raw(keeper.cast_signed()).unwrap();
    let process = pidfd_open(process, PidfdFlags::empty()).unwrap();
    let held = [OWNER, CONTROL].map(|fd| pidfd_getfd(&process, fd, PidfdGetfdFlags::empty()).unwrap());
    kill(keeper);
    assert!(victim::ends(keeper));
    let child = std::thread::spawn(move || {
        // Until somebody looks whether the supervisor is there.
        let patience = rustix::event::Timespec { tv_sec: 10, tv_nsec: 0 };
        poll(&mut [PollFd::new(&held[1], PollFlags::IN)], Some(&patience)).unwrap()
    });
    let _next = open(place.0.path());
    assert_eq!(child.join().unwrap(), 1);
    assert!(!Path::new(&format!("/proc/{pid}")).exists() || victim::ends(pid));
    assert_eq!(container.wait().unwrap().code(), 137);
}

#[test]
fn its_log_is_what_a_program_would_have_written() {
    let place = Place::new();
    let (engine, image) = place.engine();
    let data = tempfile::tempdir().unwrap();
    let mut input: Vec<u8> = (0..=255).flat_map(|byte| [byte, b'x']).collect();
    input.extend_from_slice("\"quoted\" \\ and ä € 😀 \u{7f}\u{2028}\n\n".as_bytes());
    // No UTF-8: cut characters, surrogates, what is too long.
    input.extend_from_slice(b"\xf0\x9f\x98 \xe2\x82 \xed\xa0\x80 \xc0\xaf \xf8\x88\x80\x80\x80 \xf0\x9f\n");
    // Pieces, between characters and within what is none.
    input.extend_from_slice(&[b'a'; 16 * 1024 - 1]);
    input.extend_from_slice("ä€\n".as_bytes());
    input.extend_from_slice(&[1; 40 * 1024]);
    input.push(b'\n');
    input.extend_from_slice(&[0x80; 20 * 1024]);
    input.extend_from_slice("€".repeat(20_000).as_bytes());
    fs::write(data.path().join("input"), &input).unwrap();
    let definition = sh(&image, "cat /data/input; cat /data/input >&2").mount(Mount::bind(data.path(), "/data"));
    let raw = |container: &Container| {
        assert!(container.wait().unwrap().success());
        let id = container.id();
        let log = place.root().join(format!("containers/{id}/{id}-json.log"));
        let text = String::from_utf8(fs::read(log).unwrap()).unwrap();
        let strip = |line: &str| {
            let (line, time) = line.split_once(",\"time\":\"").unwrap();
            assert!(time.ends_with("Z\"}") && plywood::Timestamp::parse(&time[..time.len() - 2]).is_ok(), "{time}");
            line.to_owned()
        };
        let lines: Vec<String> = text.lines().map(strip).collect();
        let (out, err): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| line.ends_with("\"stdout\""));
        (out, err)
    };
    let ours = raw(&definition.start(&engine).unwrap());
    let kept = definition.keep().start(&engine).unwrap();
    let theirs = raw(&kept);
    assert!(ours.0.len() > 10 && ours.1.len() == ours.0.len());
    assert!(ours == theirs);
    kept.remove().unwrap();
}

#[test]
fn its_log_is_rotated() {
    let place = Place::new();
    let (engine, image) = place.engine();
    let script = "i=1000; while [ $i -lt 1200 ]; do echo line $i; i=$((i+1)); done";
    let limited = sh(&image, script).log_max_size(ByteSize::bytes(2000)).log_max_files(3).keep();
    let container = limited.start(&engine).unwrap();
    assert!(container.wait().unwrap().success());
    let id = container.id();
    let log = place.root().join(format!("containers/{id}/{id}-json.log"));
    let rotated = |number: u32| PathBuf::from(format!("{}.{number}", log.display()));
    for file in [log.clone(), rotated(1), rotated(2)] {
        let size = fs::metadata(&file).unwrap().len();
        assert!(size <= 2000 && (file == log || size > 1800), "{size}");
    }
    assert!(!rotated(3).exists());
    let lines: Vec<_> = container.logs().read().unwrap().map(|line| line.text).collect();
    let first = 1200 - lines.len();
    assert!(lines.len() > 40);
    assert_eq!(lines, (first..1200).map(|number| format!("line {number}")).collect::<Vec<_>>());
    container.remove().unwrap();
}

#[test]
fn one_that_survives_a_loss_of_power_can_be_kept() {
    let place = Place::new();
    let engine = Engine::open_with(place.root(), Durability::Full).unwrap();
    let image = engine.build(&base()).unwrap();
    let policy = RestartPolicy::OnFailure { retries: Some(1) };
    let container = sh(&image, "exit 3").keep().restart(policy).start(&engine).unwrap();
    while container.state().unwrap() != State::Exited {
        std::thread::yield_now();
    }
    assert_eq!(container.wait().unwrap().code(), 3);
    assert_eq!(container.inspect().unwrap().restart_count(), 1);
    container.remove().unwrap();
}

#[test]
fn what_cannot_be_kept_is_refused_and_nothing_is_left() {
    let place = Place::new();
    let (engine, image) = place.engine();
    let keep = sh(&image, "true").keep();
    let table = [
        (keep.clone().stdout(Stdio::inherit()), ErrorKind::InvalidArgument),
        (keep.clone().stdin(Stdio::inherit()), ErrorKind::InvalidArgument),
        (keep.clone().init(false), ErrorKind::InvalidArgument),
        (keep.clone().restart(RestartPolicy::Always).auto_remove(), ErrorKind::InvalidArgument),
        (keep.clone().cmd(["/no/such"]), ErrorKind::NotFound),
    ];
    for (definition, kind) in table {
        assert_eq!(definition.start(&engine).unwrap_err().kind(), kind);
    }
    assert!(engine.containers().unwrap().is_empty());
    assert_eq!(owned(&place.root()), Vec::<String>::new());
    let temporary = support::engine();
    let error = sh(&support::image(&temporary), "true").keep().start(&temporary).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    assert!(temporary.containers().unwrap().is_empty());
}

#[test]
fn its_cgroup_goes_with_it_and_says_whether_memory_ran_out() {
    support::require_root!();
    let place = Place::new();
    let (engine, image) = place.engine();
    // Waits until somebody has looked.
    let limited =
        sh(&image, "trap : USR1; echo ready; sleep 60 & wait; exec dd if=/dev/zero of=/dev/null bs=128M count=1");
    let container = limited.memory("16MiB").memory_swap("16MiB").keep().start(&engine).unwrap();
    container.logs().follow().read().unwrap().next().unwrap();
    let record = place.root().join(format!("containers/{}/plywood.json", container.id()));
    let record: serde_json::Value = serde_json::from_slice(&fs::read(record).unwrap()).unwrap();
    let groups: Vec<PathBuf> = serde_json::from_value(record["cgroup"].clone()).unwrap();
    assert!(!groups.is_empty() && groups.iter().all(|group| group.exists()), "{groups:?}");
    container.kill(Signal::USR1).unwrap();
    let status = container.wait().unwrap();
    assert!(status.is_oom_killed(), "{status}");
    assert_eq!(status.code(), 137);
    assert!(groups.iter().all(|group| !group.exists()), "{groups:?}");
    container.remove().unwrap();
}

/// How often a program is killed, in how many stores at the same time.
const KILLS: u32 = 200;
const STORES: u32 = 10;

#[test]
fn of_a_program_that_is_killed_at_any_moment_all_is_kept_or_nothing() {
    if let Some(directory) = victim::directory() {
        let engine = open(&directory);
        let image = engine.images().unwrap().remove(0);
        victim::tell("ready");
        loop {
            let kept = sh(&image, "echo ready; while :; do sleep 60; done").keep();
            let kept = if support::is_root() { kept.memory("64MiB") } else { kept };
            victim::tell(kept.start(&engine).unwrap().id());
        }
    }
    let mut moments = victim::Moments::new();
    std::thread::scope(|scope| {
        for _ in 0..STORES {
            let moments: Vec<_> = (0..KILLS / STORES).map(|_| moments.next(Duration::from_millis(40))).collect();
            scope.spawn(move || {
                let place = Place::new();
                let (engine, image) = place.engine();
                assert_eq!(support::run(&engine, &image, "echo once"), "once\n");
                drop((image, engine));
                moments.into_iter().for_each(|moment| killed_after(moment, &place));
            });
        }
    });
}

/// Kills a program that starts containers to be kept, and looks at what it has left.
fn killed_after(moment: Duration, place: &Place) {
    let name = "of_a_program_that_is_killed_at_any_moment_all_is_kept_or_nothing";
    let mut victim = Victim::start(name, place.0.path());
    victim.hear().unwrap();
    std::thread::sleep(moment);
    let told: Vec<String> = victim.kill_and_hear();
    let engine = open(place.0.path());
    // One that was made and not started is the reaper's, which may be at it still. A supervisor that has just begun has no
    // name yet; one that was not told to go on by its program is about to end, with its container.
    let is_running = |container: &Container| matches!(container.state(), Ok(State::Running));
    let deadline = Instant::now() + Duration::from_secs(10);
    let (containers, made) = loop {
        let (containers, made): (Vec<_>, Vec<_>) = engine.containers().unwrap().into_iter().partition(is_running);
        let keepers = keepers(&place.root());
        if keepers.len() == containers.len() {
            break (containers, made);
        }
        assert!(Instant::now() < deadline, "{keepers:?} {told:?} {containers:?} {made:?}");
        std::thread::yield_now();
    };
    assert!(!made.iter().any(|container| told.contains(&container.id().to_string())), "{told:?} {made:?}");
    let found: Vec<String> = containers.iter().map(|container| container.id().to_string()).collect();
    assert!(told.iter().all(|id| found.contains(id)), "{told:?} {found:?}");
    assert!(found.len() <= told.len() + 1, "{told:?} {found:?}");
    for container in made.into_iter().filter(|container| matches!(container.state(), Ok(State::Exited))) {
        // Unless the reaper is faster; what stays is found below.
        let removed = container.remove().map_err(|error| error.kind());
        assert!(matches!(removed, Ok(()) | Err(ErrorKind::NotFound | ErrorKind::InUse)), "{removed:?}");
    }
    let mut groups = Vec::new();
    for container in containers {
        let record = place.root().join(format!("containers/{}/plywood.json", container.id()));
        assert_eq!(container.state().unwrap(), State::Running);
        assert_eq!(container.logs().follow().read().unwrap().next().unwrap().text, "ready");
        let record: serde_json::Value = serde_json::from_slice(&fs::read(record).unwrap()).unwrap();
        groups.extend(
            serde_json::from_value::<Option<Vec<PathBuf>>>(record["cgroup"].clone()).unwrap().into_iter().flatten(),
        );
        assert!(container.exec(["true"]).status().unwrap().success());
        container.kill_and_remove().unwrap();
    }
    assert!(groups.iter().all(|group| !group.exists()), "{groups:?}");
    // What was in the making is the reaper's.
    await_reaper(&place.root());
    // It had not heard of one whose lock was made a moment ago. A process that was being started has a copy of the lock, and
    // may have outlived the program until after the store was opened: then the next one removes it.
    drop(open(place.0.path()));
    assert_eq!(owned(&place.root()), Vec::<String>::new(), "{told:?} {found:?}");
    assert_eq!(left(&place.root()), Vec::<String>::new());
    for keeper in keepers(&place.root()) {
        assert!(victim::ends(keeper));
    }
}
