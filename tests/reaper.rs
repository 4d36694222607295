//! What a program that is killed leaves, although nobody opens its store again: nothing.

#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use plywood::{Container, Durability, Engine, Image};
use support::left::{await_reaper, left, names};
use support::victim::{self, Victim};
use support::{base, sh};

/// Opens a victim's store, with an image that declares a volume without a name.
fn open(directory: &Path) -> (Engine, Image) {
    let engine = Engine::open_with(directory.join("root"), Durability::Fast).unwrap();
    let image = engine.build(&base().volume(["/data"])).unwrap();
    (engine, image)
}

static KEPT: OnceLock<(Engine, Container)> = OnceLock::new();

/// Guards in variables and in a static, started and not; and what ends the program.
fn live(directory: &Path, end: impl FnOnce()) {
    let (engine, image) = open(directory);
    // A mode that keeps even the owner out, and a tree that is deep.
    let script = "mkdir -p /closed/in $(printf 'd/%.0s' 1 2 3 4 5 6 7 8 9 10 11 12); echo x > /closed/in/x; \
                  chmod 0 /closed; echo > /data/file; ln -s /etc /link; echo ready; while :; do sleep 60; done";
    let guard = sh(&image, script).name("guard").start(&engine).unwrap();
    guard.logs().follow().read().unwrap().next().unwrap();
    let created = sh(&image, "true").create(&engine).unwrap();
    let (_, fixed) = KEPT.get_or_init(|| (engine.clone(), sh(&image, script).start(&engine).unwrap()));
    for container in [&guard, fixed] {
        victim::tell(container.inspect().unwrap().pid().unwrap());
    }
    end();
    drop(created);
}

fn is_left_by(name: &str, end: impl FnOnce(Victim)) {
    let directory = victim::Directory::new();
    let root = directory.path().join("root");
    let mut victim = Victim::start(name, directory.path());
    let pids: Vec<u32> = (0..2).map(|_| victim.hear().unwrap().parse().unwrap()).collect();
    end(victim);
    let took = await_reaper(&root);
    assert!(pids.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists() || victim::ends(*pid)));
    assert_eq!(left(&root), Vec::<String>::new());
    assert!(names(&root.join("image/plywood/in-flight")).iter().all(|name| name.starts_with("session-")));
    assert!(took < Duration::from_secs(10), "{took:?}");
    let next = Engine::open_with(&root, Durability::Fast).unwrap();
    assert!(next.containers().unwrap().is_empty());
    assert_eq!(support::run(&next, &next.images().unwrap()[0], "echo works"), "works\n");
}

#[test]
fn c07_a_killed_program_leaves_nothing() {
    if let Some(directory) = victim::directory() {
        live(&directory, || victim::wait());
    }
    is_left_by("c07_a_killed_program_leaves_nothing", Victim::kill);
}

#[test]
fn complaint_static_a_program_that_exits_with_a_guard_in_a_static_leaves_nothing() {
    if let Some(directory) = victim::directory() {
        live(&directory, || std::process::exit(0));
    }
    is_left_by("complaint_static_a_program_that_exits_with_a_guard_in_a_static_leaves_nothing", |victim| {
        assert!(victim.wait())
    });
}

#[test]
fn a_program_that_panics_with_a_guard_in_a_static_leaves_nothing() {
    if let Some(directory) = victim::directory() {
        live(&directory, || panic!("as a failing test does"));
    }
    is_left_by("a_program_that_panics_with_a_guard_in_a_static_leaves_nothing", |victim| assert!(!victim.wait()));
}

#[test]
fn the_reaper_has_nothing_of_its_program_and_survives_its_signals() {
    if let Some(directory) = victim::directory() {
        live(&directory, || victim::wait());
    }
    is_left_by("the_reaper_has_nothing_of_its_program_and_survives_its_signals", |victim| {
        let reaper = victim.reaper().unwrap();
        let of = |pid: u32, name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap();
        let link = |name: &str| fs::read_link(format!("/proc/{reaper}/{name}")).unwrap();
        assert_eq!(link("cwd"), Path::new("/"));
        assert_eq!([0, 1, 2].map(|fd| link(&format!("fd/{fd}"))), ["/dev/null"; 3].map(std::path::PathBuf::from));
        // Behind the name in parentheses: state, parent, process group, session.
        let stat = |pid| -> Vec<String> {
            of(pid, "stat").rsplit_once(')').unwrap().1.split_whitespace().map(str::to_owned).collect()
        };
        let (own, its) = (stat(victim.pid()), stat(reaper));
        assert_ne!(its[1], victim.pid().to_string(), "it is nobody's child");
        assert!(own[2] != its[2] && own[3] != its[3]);
        assert!(of(reaper, "environ").is_empty());
        // Of its own: how much its share in the program's pages is, depends on how many others run that.
        let memory = of(reaper, "smaps_rollup");
        let own = memory.lines().find_map(|line| line.strip_prefix("Anonymous:")?.trim().strip_suffix(" kB"));
        let own: u64 = own.unwrap().parse().unwrap();
        assert!(own <= 48, "{own} KiB");
        for signal in [rustix::process::Signal::TERM, rustix::process::Signal::HUP, rustix::process::Signal::INT] {
            let pid = rustix::process::Pid::from_raw(reaper.cast_signed()).unwrap();
            rustix::process::kill_process(pid, signal).unwrap();
        }
        victim.kill();
    });
}

#[test]
fn a_volume_without_a_name_that_another_container_uses_stays() {
    if let Some(directory) = victim::directory() {
        let (engine, image) = open(&directory);
        let guard =
            sh(&image, "echo mine > /data/file; echo ready; while :; do sleep 60; done").start(&engine).unwrap();
        guard.logs().follow().read().unwrap().next().unwrap();
        victim::tell(engine.volumes().unwrap()[0].name());
        victim::wait();
    }
    let directory = victim::Directory::new();
    let root = directory.path().join("root");
    let mut victim = Victim::start("a_volume_without_a_name_that_another_container_uses_stays", directory.path());
    let name = victim.hear().unwrap();
    let engine = Engine::open_with(&root, Durability::Fast).unwrap();
    let volume = engine.find_volume(&name).unwrap().unwrap();
    let image = engine.images().unwrap().remove(0);
    let user = sh(&image, "true").mount(volume.at("/data")).create(&engine).unwrap();
    victim.kill();
    await_reaper_of(&root, user.id().as_str());
    assert_eq!(fs::read_to_string(volume.path().join("file")).unwrap(), "mine\n");
    assert_eq!(engine.containers().unwrap().len(), 1);
}

/// Waits for the reaper of a store in which this program has a container too.
fn await_reaper_of(root: &Path, own: &str) {
    let journal = root.join("image/plywood/in-flight");
    for name in names(&journal).iter().filter(|name| name.starts_with("owner-") && !name.ends_with(own)) {
        if let Ok(entry) = File::open(journal.join(name)) {
            entry.lock().unwrap();
        }
    }
}

/// How often a program is killed, in how many stores at the same time.
const KILLS: u32 = 200;
const STORES: u32 = 8;

#[test]
fn a_program_that_is_killed_at_any_moment_leaves_nothing() {
    if let Some(directory) = victim::directory() {
        let engine = Engine::open_with(directory.join("root"), Durability::Fast).unwrap();
        let image = engine.images().unwrap().remove(0);
        victim::tell("ready");
        loop {
            let one = sh(&image, "echo x > /file; while :; do sleep 60; done").start(&engine).unwrap();
            let _other = sh(&image, "true").create(&engine).unwrap();
            assert_eq!(support::run(&engine, &image, "echo once"), "once\n");
            drop(one);
        }
    }
    let mut moments = victim::Moments::new();
    std::thread::scope(|scope| {
        for _ in 0..STORES {
            let moments: Vec<_> = (0..KILLS / STORES).map(|_| moments.next(Duration::from_millis(40))).collect();
            scope.spawn(move || {
                let directory = victim::Directory::new();
                let (engine, image) = open(directory.path());
                // The first makes what all guards of an image share, and which stays.
                assert_eq!(support::run(&engine, &image, "echo once"), "once\n");
                drop((image, engine));
                let root = directory.path().join("root");
                for (round, moment) in moments.into_iter().enumerate() {
                    let name = "a_program_that_is_killed_at_any_moment_leaves_nothing";
                    let mut victim = Victim::start(name, directory.path());
                    // Now and then while it opens its store.
                    if round % 4 != 0 {
                        victim.hear().unwrap();
                    }
                    std::thread::sleep(moment);
                    victim.kill();
                    await_reaper(&root);
                    assert_eq!(left(&root), Vec::<String>::new());
                }
            });
        }
    });
}
