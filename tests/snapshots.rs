//! Frozen containers and their forks: whatever lies in them, whoever ends first, and what Docker makes of them.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use plywood::container::{Container, Snapshot};
use plywood::prune::{Kind, Options as Prune};
use plywood::{Durability, Engine, ErrorKind, Image, Mount};
use support::dockerd::Dockerd;
use support::left::{leftovers, names};
use support::{engine, require_program, require_root, sh, text, victim};

/// Waits for orders, whatever it has prepared before.
const SERVE: &str = "[ -e /prepared ] || { %; : > /prepared; }; while :; do sleep 60; done";

/// A container that runs `script` once, and then stays.
fn prepared(engine: &Engine, image: &Image, script: &str, mount: Option<Mount>) -> Snapshot {
    let mut definition = sh(image, &SERVE.replace('%', script));
    if let Some(mount) = mount {
        definition = definition.mount(mount);
    }
    let container = definition.start(engine).unwrap();
    let wait = "until [ -e /prepared ]; do sleep 0.01; done";
    assert!(container.exec(["sh", "-c", wait]).status().unwrap().success());
    let _end = container.stop(Duration::from_secs(10)).unwrap();
    container.snapshot().unwrap()
}

/// An image with a volume, as those of databases have.
fn image(engine: &Engine) -> Image {
    let definition =
        support::base().run("mkdir -p /var/lib/db && echo old > /var/lib/db/old && ln -s /var/lib /lib-link");
    engine.build(&definition.volume("/var/lib/db")).unwrap()
}

fn read(container: &Container, path: &str) -> String {
    text(container.exec(["cat", path]).output().unwrap())
}

fn write(container: &Container, script: &str) {
    assert!(container.exec(["sh", "-c", script]).status().unwrap().success());
}

#[test]
fn forks_begin_as_the_snapshot_and_go_ways_of_their_own() {
    let engine = engine();
    let image = image(&engine);
    let script = "echo one > /file; rm /var/lib/db/old; mkdir -m 700 /var/lib/db/sub; echo row > /var/lib/db/sub/table";
    let snapshot = prepared(&engine, &image, script, None);
    assert!(engine.volumes().unwrap().is_empty(), "what was in the volume is in the layer");
    let forks: Vec<_> = (0..4).map(|_| snapshot.fork().unwrap()).collect();
    for (number, fork) in forks.iter().enumerate() {
        write(fork, &format!("echo {number} >> /var/lib/db/sub/table; echo {number} > /file; rm /prepared"));
    }
    for (number, fork) in forks.iter().enumerate() {
        assert_eq!(read(fork, "/var/lib/db/sub/table"), format!("row\n{number}\n"));
        assert_eq!(read(fork, "/file"), format!("{number}\n"));
        assert_eq!(text(fork.exec(["ls", "/var/lib/db"]).output().unwrap()), "sub\n", "what was deleted stays deleted");
        assert_eq!(text(fork.exec(["stat", "-c", "%a", "/var/lib/db/sub"]).output().unwrap()), "700\n");
        assert_eq!(read(fork, "/etc/hostname").trim(), fork.id().short());
    }
    assert_eq!(read(&snapshot.fork().unwrap(), "/file"), "one\n", "the snapshot stays as it is");
    drop(snapshot);
    assert_eq!(read(&forks[0], "/file"), "0\n", "the last fork keeps it");
    drop(forks);
    assert_eq!(leftovers(engine.path(), &[]), Vec::<String>::new());
}

#[test]
fn two_hundred_forks_at_once_are_each_their_own() {
    const THREADS: usize = 8;
    let engine = engine();
    let image = image(&engine);
    let snapshot = prepared(&engine, &image, "echo one > /var/lib/db/file", None);
    let forks: Vec<_> = std::thread::scope(|scope| {
        let fork = || (0..200 / THREADS).map(|_| snapshot.fork().unwrap()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(fork)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(forks.len(), 200);
    for (number, fork) in forks.iter().enumerate() {
        write(fork, &format!("echo {number} >> /var/lib/db/file"));
    }
    for (number, fork) in forks.iter().enumerate() {
        assert_eq!(read(fork, "/var/lib/db/file"), format!("one\n{number}\n"));
    }
    drop((forks, snapshot));
    assert_eq!(leftovers(engine.path(), &[]), Vec::<String>::new());
}

#[test]
fn a_volume_at_the_end_of_a_link_and_one_in_another_are_taken_in() {
    let engine = engine();
    let definition = support::base().run("mkdir -p /var/lib/db/in && ln -s /var/lib /link");
    let definition = definition.volume("/link/db").volume("/link/db/in").volume("/new/place");
    let image = engine.build(&definition).unwrap();
    let script = "echo a > /var/lib/db/a; echo b > /var/lib/db/in/b; echo c > /new/place/c";
    let snapshot = prepared(&engine, &image, script, None);
    let fork = snapshot.fork().unwrap();
    for (path, content) in [("/link/db/a", "a\n"), ("/var/lib/db/in/b", "b\n"), ("/new/place/c", "c\n")] {
        assert_eq!(read(&fork, path), content);
    }
}

#[test]
fn volumes_with_a_name_are_shared() {
    let engine = engine();
    let image = image(&engine);
    let volume = engine.volume("named").unwrap();
    let snapshot = prepared(&engine, &image, "echo x > /shared/x", Some(volume.at("/shared")));
    let (one, other) = (snapshot.fork().unwrap(), snapshot.fork().unwrap());
    write(&one, "echo y > /shared/x");
    assert_eq!(read(&other, "/shared/x"), "y\n");
}

#[test]
fn a_fork_can_be_frozen_again() {
    let engine = engine();
    let image = image(&engine);
    let first = prepared(&engine, &image, "echo 1 > /var/lib/db/log", None);
    let fork = first.fork().unwrap();
    write(&fork, "echo 2 >> /var/lib/db/log");
    let _end = fork.stop(Duration::from_secs(10)).unwrap();
    let second = fork.snapshot().unwrap();
    drop(first);
    let fork = second.fork().unwrap();
    assert_eq!(read(&fork, "/var/lib/db/log"), "1\n2\n");
    drop((second, fork));
    assert_eq!(leftovers(engine.path(), &[]), Vec::<String>::new());
}

#[test]
fn what_cannot_be_frozen_says_why() {
    let engine = engine();
    let image = image(&engine);
    let running = sh(&image, "while :; do sleep 60; done").name("running").start(&engine).unwrap();
    let refused = running.snapshot().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InUse);
    assert_eq!(refused.hint(), Some("stop it first, so that its files are complete"));
    assert!(refused.to_string().contains("take a snapshot of container \"running\""), "{refused}");
    let mut kept = sh(&image, "true").name("kept").create(&engine).unwrap();
    kept.persist().unwrap();
    assert_eq!(kept.snapshot().unwrap_err().kind(), ErrorKind::InUse);
    let refused = engine.snapshot("kept").unwrap_err();
    assert_eq!((refused.kind(), refused.to_string().contains("it is no snapshot")), (ErrorKind::InvalidArgument, true));
}

#[test]
fn what_is_frozen_neither_runs_nor_changes() {
    let engine = engine();
    let image = image(&engine);
    let snapshot = prepared(&engine, &image, ":", None);
    let frozen = engine.container(snapshot.name()).unwrap();
    assert_eq!(frozen.start().unwrap_err().hint(), Some("start a fork of it"));
    assert_eq!(frozen.copy_in("/etc/passwd", "/").unwrap_err().hint(), Some("use a fork of it"));
    let fork = snapshot.fork().unwrap();
    assert_eq!(frozen.kill_and_remove().unwrap_err().kind(), ErrorKind::InUse, "a fork stands on it");
    assert_eq!(fork.commit().run().unwrap_err().kind(), ErrorKind::Unsupported);
    let mut fork = fork;
    let refused = fork.persist();
    assert_eq!(refused.unwrap_err().hint(), Some("persist the snapshot before its fork"));
    fork.kill_and_remove().unwrap();
}

/// A store whose snapshot `base` was made by another program.
fn with_a_stayed_snapshot(root: &Path) -> Engine {
    let engine = Engine::open_with(root, Durability::Fast).unwrap();
    let image = image(&engine);
    prepared(&engine, &image, "echo x > /var/lib/db/x; rm /var/lib/db/old", None).persist("base").unwrap();
    drop(engine);
    Engine::open_with(root, Durability::Fast).unwrap()
}

#[test]
fn a_snapshot_that_stays_is_found_checked_and_pruned() {
    let directory = victim::Directory::new();
    let engine = with_a_stayed_snapshot(&directory.path().join("root"));
    let snapshot = engine.snapshot("base").unwrap();
    let fork = snapshot.fork().unwrap();
    assert_eq!(read(&fork, "/var/lib/db/x"), "x\n");
    assert!(engine.fsck().unwrap().findings().is_empty());
    let containers = Prune::new().only([Kind::Container]);
    assert!(engine.prune_with(&containers).unwrap().objects().is_empty(), "a fork stands on it");
    assert_eq!(engine.snapshot("base").unwrap().remove().unwrap_err().kind(), ErrorKind::InUse);
    // A fork may stay too.
    let mut fork = fork;
    write(&fork, "echo y >> /var/lib/db/x");
    let _end = fork.stop(Duration::from_secs(10)).unwrap();
    fork.persist().unwrap();
    let name = fork.name().to_owned();
    drop((fork, snapshot, engine));
    let engine = Engine::open_with(directory.path().join("root"), Durability::Fast).unwrap();
    assert_eq!(engine.fsck().unwrap().findings(), &[]);
    let again = engine.container(&name).unwrap();
    again.start().unwrap();
    assert_eq!(read(&again, "/var/lib/db/x"), "x\ny\n");
    let _end = again.stop(Duration::from_secs(10)).unwrap();
    let dry = engine.prune_with(&containers.clone().dry_run()).unwrap();
    let gone = engine.prune_with(&containers).unwrap();
    assert_eq!(dry.objects(), gone.objects());
    assert_eq!(gone.objects().len(), 2, "the fork, then what it stood on: {gone:?}");
    assert_eq!(leftovers(engine.path(), &[]), Vec::<String>::new());
}

#[test]
fn a_killed_program_leaves_neither_snapshot_nor_forks() {
    if let Some(directory) = victim::directory() {
        let engine = Engine::open_with(directory.join("root"), Durability::Fast).unwrap();
        let snapshot = prepared(&engine, &image(&engine), "echo x > /var/lib/db/x", None);
        let _forks = [snapshot.fork().unwrap(), snapshot.fork().unwrap()];
        victim::tell("ready");
        victim::wait();
    }
    let directory = victim::Directory::new();
    let mut program = victim::Victim::start("a_killed_program_leaves_neither_snapshot_nor_forks", directory.path());
    assert_eq!(program.hear().as_deref(), Some("ready"));
    drop(program);
    let engine = Engine::open_with(directory.path().join("root"), Durability::Fast).unwrap();
    let left = || (engine.containers().unwrap().len(), leftovers(engine.path(), &[]));
    // The reaper may still be at it.
    let patience = Instant::now() + Duration::from_secs(20);
    while left() != (0, Vec::new()) && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(left(), (0, Vec::new()));
}

#[test]
fn docker_sees_containers_that_do_not_run_and_reads_a_fork_that_stays() {
    require_root!();
    require_program!("dockerd");
    let directory = victim::Directory::new();
    let root = directory.path().join("root");
    let engine = Engine::open(&root).unwrap();
    let definition = support::base().run("mkdir -p /var/lib/db && echo old > /var/lib/db/old").volume("/var/lib/db");
    let image = engine.build(&definition).unwrap();
    let snapshot = prepared(&engine, &image, "echo x > /var/lib/db/x; rm /var/lib/db/old", None);
    snapshot.persist("base").unwrap();
    let mut fork = snapshot.fork().unwrap();
    write(&fork, "echo y > /y");
    let _end = fork.stop(Duration::from_secs(10)).unwrap();
    fork.persist().unwrap();
    fork.rename("fork").unwrap();
    let driver = engine.driver().driver().name();
    drop((fork, snapshot, engine));
    let docker = Dockerd::start(&directory.path().join("docker"), &[&root], driver);
    let listed = docker.docker(&root, &["ps", "-a", "--format", "{{.Names}}"]);
    assert_eq!(listed.lines().collect::<BTreeSet<_>>(), ["base", "fork"].into());
    let copy = directory.path().join("copy");
    docker.docker(&root, &["cp", "fork:/var/lib/db", copy.to_str().unwrap()]);
    assert_eq!(names(&copy), ["x".to_owned()].into());
    docker.docker(&root, &["rm", "fork"]);
    docker.docker(&root, &["rm", "base"]);
    docker.stop();
    let engine = Engine::open(&root).unwrap();
    assert!(engine.containers().unwrap().is_empty());
    let left: Vec<_> = leftovers(&root, &[]).into_iter().filter(|it| it != "volumes/backingFsBlockDev").collect();
    assert_eq!(left, Vec::<String>::new());
}
