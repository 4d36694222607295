//! Snapshots and forks of volumes, and volumes that go with their program.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::thread;
use std::time::Duration;

use plywood::prune::{Kind, Options as Prune};
use plywood::testing::TempVolume;
use plywood::{Durability, Engine, ErrorKind, Image, Volume};
use support::left::assert_sound;
use support::place::Place;
use support::victim::{self, Victim};
use support::{LoopDisk, engine, image, require_program, require_root, sh, text};

/// A volume in which a container has written a file.
fn filled(engine: &Engine, image: &Image, content: &str) -> Volume {
    let data = engine.volume("data").unwrap();
    let script = format!("umask 022; mkdir -p -m 700 /v/d; echo {content} > /v/d/file; ln -sf d/file /v/link");
    assert!(sh(image, &script).mount(data.at("/v")).status(engine).unwrap().success());
    data
}

/// What a container finds in the file.
fn found(engine: &Engine, image: &Image, volume: &Volume) -> String {
    text(sh(image, "cat /v/link").mount(volume.at("/v")).output(engine).unwrap())
}

#[test]
fn a_snapshot_stays_as_it_was_and_each_fork_goes_its_own_way() {
    let engine = engine();
    let image = image(&engine);
    let data = filled(&engine, &image, "then");
    let snapshot = data.snapshot(&engine).unwrap();
    filled(&engine, &image, "now");
    let forks: Vec<TempVolume> = thread::scope(|scope| {
        let fork = |number| {
            let (engine, image, snapshot) = (&engine, &image, &snapshot);
            move || {
                let fork = snapshot.fork().unwrap();
                let change = format!("cat /v/link; stat -c %a /v/d; echo {number} > /v/link");
                let changed = sh(image, &change).mount(fork.at("/v")).output(engine).unwrap();
                assert_eq!(text(changed), "then\n700\n");
                fork
            }
        };
        let threads: Vec<_> = (0..8).map(|number| scope.spawn(fork(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (number, fork) in forks.iter().enumerate() {
        assert_eq!(found(&engine, &image, fork), format!("{number}\n"));
    }
    // They go with this program, and by nothing else.
    let pruned = engine.prune_with(&Prune::new().only([Kind::Volume]).named_volumes()).unwrap();
    assert_eq!(pruned.objects().iter().map(|it| it.name()).collect::<Vec<_>>(), ["data"]);
    let again = snapshot.fork().unwrap();
    assert_eq!(found(&engine, &image, &again), "then\n", "whatever has become of the original");
    assert_eq!(engine.volumes().unwrap().len(), 10);
    drop((forks, again, snapshot));
    assert!(engine.volumes().unwrap().is_empty());
    assert_sound(&engine, "at the end");
}

#[test]
fn a_fork_of_a_fork_begins_as_that_one() {
    let engine = engine();
    let image = image(&engine);
    let first = filled(&engine, &image, "one").fork(&engine).unwrap();
    assert!(sh(&image, "echo two > /v/link").mount(first.at("/v")).status(&engine).unwrap().success());
    let snapshot = first.snapshot(&engine).unwrap();
    drop(first);
    assert_eq!(found(&engine, &image, &snapshot.fork().unwrap()), "two\n");
}

#[test]
fn a_snapshot_that_stays_is_found_and_nobody_mounts_it() {
    let place = Place::new();
    let (engine, image) = place.engine();
    let mut snapshot = filled(&engine, &image, "kept").snapshot(&engine).unwrap();
    let taken = snapshot.persist("data").unwrap_err();
    assert_eq!(taken.to_string(), "create volume \"data\": a volume of that name exists");
    snapshot.persist("base").unwrap();
    assert_eq!(snapshot.name().as_str(), "base");
    drop((snapshot, engine));

    let (engine, image) = place.engine();
    let snapshot = engine.volume_snapshot("base").unwrap();
    assert_eq!(fs::read_to_string(snapshot.path().join("link")).unwrap(), "kept\n");
    assert_eq!(found(&engine, &image, &snapshot.fork().unwrap()), "kept\n");
    let mount = engine.volume("base").unwrap().at("/v").read_only();
    let refused = sh(&image, "true").name("reader").mount(mount).create(&engine).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
    assert!(refused.to_string().contains("volume \"base\" is a snapshot"), "{refused}");
    assert_eq!(refused.hint(), Some("mount a fork of it"));
    let refused = engine.volume_snapshot("data").unwrap_err();
    assert_eq!(refused.to_string(), "fork volume \"data\": it is no snapshot");
    assert_eq!(engine.volume_snapshot("none").unwrap_err().kind(), ErrorKind::NotFound);
    let names = |engine: &Engine| -> Vec<_> {
        engine.volumes().unwrap().iter().map(|volume| volume.name().to_string()).collect()
    };
    assert_eq!(names(&engine), ["base", "data"]);
    assert_sound(&engine, "with a snapshot that stays");
    snapshot.remove().unwrap();
    assert_eq!(names(&engine), ["data"]);
}

#[test]
fn a_volume_to_which_a_container_may_write_is_not_copied() {
    let place = Place::new();
    let (engine, image) = place.engine();
    let data = filled(&engine, &image, "x");
    let writes = || sh(&image, "while :; do sleep 60; done").name("writer").mount(data.at("/v"));
    let refused = |why| {
        for error in [data.snapshot(&engine).map(drop).unwrap_err(), data.fork(&engine).map(drop).unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::InUse, "{why}");
            let expected = "copy volume \"data\": container \"writer\" mounts it, and may write to it";
            assert_eq!(error.to_string(), expected, "{why}");
            assert_eq!(error.hint(), Some("stop what mounts it first"));
        }
        assert_eq!(engine.volumes().unwrap().len(), 1, "nothing is left: {why}");
    };
    let guard = writes().start(&engine).unwrap();
    refused("it runs");
    drop(guard);
    let kept = writes().keep().start(&engine).unwrap();
    refused("it outlives its program");
    let _status = kept.stop(Duration::from_secs(10)).unwrap();
    assert_eq!(found(&engine, &image, &data.fork(&engine).unwrap()), "x\n", "one that is stopped writes nothing");
}

#[test]
fn forks_share_their_content_where_the_file_system_can() {
    require_root!();
    require_program!("mkfs.btrfs");
    let disk = LoopDisk::btrfs(256);
    let engine = Engine::open_with(disk.path().join("root"), Durability::Fast).unwrap();
    let data = engine.volume("data").unwrap();
    fs::write(data.path().join("large"), vec![7; 64 << 20]).unwrap();
    let snapshot = data.snapshot(&engine).unwrap();
    // Eight times as much as there is room for.
    let forks: Vec<_> = (0..32).map(|_| snapshot.fork().unwrap()).collect();
    fs::write(forks[0].path().join("large"), "small").unwrap();
    for fork in &forks[1..] {
        assert_eq!(fs::metadata(fork.path().join("large")).unwrap().len(), 64 << 20);
    }
    assert_eq!(fs::metadata(snapshot.path().join("large")).unwrap().len(), 64 << 20);
}

#[test]
fn a_killed_program_leaves_none_of_its_volumes_but_what_others_use() {
    if let Some(directory) = victim::directory() {
        let engine = Place::open(&directory);
        let image = image(&engine);
        let data = filled(&engine, &image, "x");
        let snapshot = data.snapshot(&engine).unwrap();
        let (fork, used) = (snapshot.fork().unwrap(), TempVolume::new(&engine).unwrap());
        let sleeps = |volume: &Volume| sh(&image, "sleep 600").mount(volume.at("/v"));
        let guard = sleeps(&fork).start(&engine).unwrap();
        let _kept = sleeps(&used).name("kept").keep().start(&engine).unwrap();
        victim::tell(format_args!("{} {}", used.name(), guard.id()));
        victim::wait();
    }
    let place = Place::new();
    let mut victim = Victim::start("a_killed_program_leaves_none_of_its_volumes_but_what_others_use", place.0.path());
    let told = victim.hear().unwrap();
    let (used, guard) = told.split_once(' ').unwrap();
    let names_of = |engine: &Engine| -> BTreeSet<String> {
        engine.volumes().unwrap().iter().map(|volume| volume.name().to_string()).collect()
    };
    // Who lives is left alone.
    assert_eq!(names_of(&Place::open(place.0.path())).len(), 4);
    victim.kill();
    // Its reaper removes the guard; the entry may be gone already.
    let entry = File::open(place.root().join(format!("image/plywood/in-flight/owner-{guard}")));
    let _removed = entry.map(|entry| entry.lock().unwrap());
    let engine = Place::open(place.0.path());
    assert_eq!(names_of(&engine), ["data", used].map(str::to_owned).into());
    engine.container("kept").unwrap().kill_and_remove().unwrap();
    drop(engine);
    let engine = Place::open(place.0.path());
    assert_eq!(names_of(&engine), ["data".to_owned()].into());
    assert_sound(&engine, "at the end");
}
