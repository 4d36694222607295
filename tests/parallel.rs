//! Many threads, many engines, one data root.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;

use plywood::container::{State, Stdio};
use plywood::{Durability, Engine, ErrorKind};
use support::{engine, image, run, sh};

const CONTAINERS: usize = 50;

#[test]
fn fifty_containers_run_at_once_from_the_threads_of_one_program() {
    let engine = engine();
    let image = image(&engine);
    let volume = engine.volume("common").unwrap();
    let (all_run, seen) = (Barrier::new(CONTAINERS + 1), Barrier::new(CONTAINERS + 1));
    thread::scope(|scope| {
        let threads: Vec<_> = (0..CONTAINERS)
            .map(|number| {
                let (engine, image, volume, all_run, seen) = (&engine, &image, &volume, &all_run, &seen);
                scope.spawn(move || {
                    let script = format!(
                        "echo {number} > /own; echo {number} > /common/{number}; read x; cat /own; exit {number}"
                    );
                    let definition = sh(image, &script).mount(volume.at("/common")).stdin(Stdio::piped());
                    let started = definition.start(engine);
                    all_run.wait();
                    seen.wait();
                    let container = started.unwrap();
                    let inside = container.exec(["cat", "/proc/sys/kernel/hostname"]).output().unwrap();
                    drop(container.take_stdin());
                    let status = container.wait().unwrap();
                    let log: Vec<_> = container.logs().read().unwrap().map(|line| line.text).collect();
                    assert_eq!(inside.stdout, format!("{}\n", container.id().short()).into_bytes());
                    assert_eq!((status.code(), log), (number as i32, vec![number.to_string()]));
                    container.id().to_string()
                })
            })
            .collect();
        all_run.wait();
        let states: Vec<_> = engine.containers().unwrap().iter().map(|container| container.state().unwrap()).collect();
        seen.wait();
        let ids: BTreeSet<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert_eq!(states, [State::Running; CONTAINERS]);
        assert_eq!(ids.len(), CONTAINERS);
    });
    assert!(engine.containers().unwrap().is_empty());
    let files: BTreeSet<_> =
        std::fs::read_dir(volume.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files.len(), CONTAINERS, "all of them wrote into the volume");
}

#[test]
fn threads_that_build_the_same_definition_get_the_same_image() {
    let engine = engine();
    let definition = support::base().run("echo built > /file").workdir("/work");
    let ids: BTreeSet<_> = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(|| engine.build(&definition).unwrap().id().to_string())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let image = engine.build(&definition).unwrap();
    assert_eq!(ids, BTreeSet::from([image.id().to_string()]), "each step was made once");
    assert_eq!(run(&engine, &image, "cat /file"), "built\n");
    let chains: BTreeSet<_> =
        engine.images().unwrap().iter().map(|image| image.layers()[0].chain_id().to_string()).collect();
    assert_eq!(chains.len(), 1, "the base is there once");
}

#[test]
fn one_of_many_threads_gets_the_name() {
    let engine = engine();
    let image = image(&engine);
    let results: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| sh(&image, "true").name("only").create(&engine))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let refused: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    assert_eq!(refused.len(), 7);
    for error in refused {
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
        assert!(error.to_string().contains("\"only\""), "{error}");
    }
}

#[test]
fn two_engines_on_one_data_root_see_the_same_things() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    let one = Engine::open_with(&root, Durability::Fast).unwrap();
    let two = Engine::open_with(&root, Durability::Fast).unwrap();
    let image = image(&one);
    one.tag(&image.id().to_string(), "app:1").unwrap();
    assert_eq!(two.image("app:1").unwrap(), image);
    let container = sh(&image, "while :; do sleep 60; done").name("seen").start(&one).unwrap();
    let seen = two.container("seen").unwrap();
    assert_eq!(seen.state().unwrap(), State::Running);
    assert_eq!(seen.inspect().unwrap().pid(), container.inspect().unwrap().pid());
    assert_eq!(two.remove_image("app:1").unwrap_err().kind(), ErrorKind::InUse);
    drop(seen);
    assert_eq!(container.state().unwrap(), State::Running, "a found handle is no guard");
    drop(container);
    assert_eq!(two.container("seen").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(two.remove_image("app:1").unwrap().image(), Some(image.id()));
    assert!(one.images().unwrap().is_empty());
}
