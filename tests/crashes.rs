//! A program that is killed before any of its changes to the disk, and one of which any such change fails: the store opens,
//! what is visible is whole, nothing is left over, and the operation can be done again.
//!
//! `PLYWOOD_TEST_CRASHES=all` tries each point of each operation; by default the long ones are sampled.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;
use std::process::Command;

use nix::errno::Errno;
use plywood::image::{ImportOptions, LoadOptions, Source, Target};
use plywood::{Base, Container, Durability, Engine, Layers};
use support::left::{assert_sound, visible};
use support::trace::Fate;
use support::{Tarball, Tmpfs, trace, victim};

/// How many points of one operation are tried.
const POINTS: usize = 24;

/// With what calls fail, in turn.
const ERRORS: [Errno; 6] = [Errno::ENOSPC, Errno::EIO, Errno::EMFILE, Errno::EINTR, Errno::ENOMEM, Errno::EDQUOT];

/// An operation, and the store it is done on.
struct Operation {
    /// The test that is run as the victim.
    test: &'static str,
    prepare: fn(&Engine, &Path),
    act: fn(&Engine, &Path),
    /// Whether its effect becomes visible at once; others leave a part of it.
    is_atomic: bool,
}

/// Only these ever end with `EINTR`.
fn may_be_interrupted(call: &trace::Call) -> bool {
    ["write", "copy_file_range"].contains(&call.name)
}

impl Operation {
    const fn new(test: &'static str, prepare: fn(&Engine, &Path), act: fn(&Engine, &Path)) -> Self {
        Self { test, prepare, act, is_atomic: true }
    }

    const fn in_parts(self) -> Self {
        Self { is_atomic: false, ..self }
    }

    fn check(self) {
        if let Some(directory) = victim::directory() {
            let engine = open(&directory.join("root"));
            trace::begin(&directory);
            (self.act)(&engine, &directory);
            return;
        }
        support::require_root!();
        let disk = Tmpfs::new(512);
        let base = disk.path().join("base");
        std::fs::create_dir(&base).unwrap();
        let engine = open(&base.join("root"));
        (self.prepare)(&engine, &base);
        let before = visible(&engine);
        drop(engine);
        let run = |fate| {
            let directory = disk.path().join("copy");
            assert!(Command::new("cp").args(["-a"]).args([&base, &directory]).status().unwrap().success());
            let trace = trace::run(self.test, &directory, fate);
            (directory, trace)
        };
        let (directory, whole) = run(None);
        assert!(whole.finished, "the operation fails by itself: {}", whole.errors);
        let after = visible(&open(&directory.join("root")));
        std::fs::remove_dir_all(directory).unwrap();
        let check = |number: usize, fate: Fate| {
            let (directory, trace) = run(Some((number, fate)));
            // Threads may have changed the order.
            let call = trace.calls.get(number).or(whole.calls.get(number));
            let at = format!("{}, {fate:?} at call {number} of {}, {call:?}", self.test, whole.calls.len());
            // An error that is told is what the victim panics with; nothing else may.
            let told = trace.errors.matches("panicked at ").count();
            assert_eq!(told, trace.errors.matches("panicked at tests/crashes.rs").count(), "{at}: {}", trace.errors);
            if let Fate::Fail(error) = fate {
                assert!(trace.finished || told == 1, "{at}: {}", trace.errors);
                let goes_on = error == Errno::EINTR && call.is_some_and(may_be_interrupted);
                assert!(trace.finished || !goes_on, "{at}: {}", trace.errors);
            }
            self.settled(&directory, &before, &after, &at);
            std::fs::remove_dir_all(directory).unwrap();
        };
        let points: Vec<usize> = (0..whole.calls.len()).step_by(step(whole.calls.len())).collect();
        points.iter().for_each(|number| check(*number, Fate::Kill));
        // What the victim says itself goes to a pipe; and if a file in the making cannot be removed, nobody can.
        let is_beside = |number: &&usize| {
            let call = &whole.calls[**number];
            let named = |mark| call.paths.iter().any(|path| path.to_string_lossy().contains(mark));
            named("pipe:") || call.name == "unlink" && named("/.tmp-")
        };
        let inside = points.iter().filter(|number| cfg!(target_arch = "x86_64") && !is_beside(number));
        for (number, error) in inside.zip(ERRORS.into_iter().cycle()) {
            let is_likely = error != Errno::EINTR || may_be_interrupted(&whole.calls[*number]);
            let error = if is_likely { error } else { Errno::EIO };
            check(*number, Fate::Fail(error));
        }
    }

    /// What a victim has left is the old state or the new one, and the operation leads from it to the new one.
    fn settled(&self, directory: &Path, before: &BTreeSet<String>, after: &BTreeSet<String>, at: &str) {
        let engine = open(&directory.join("root"));
        let seen = visible(&engine);
        match self.is_atomic {
            true => {
                assert!(seen == *before || seen == *after, "{at}: {seen:#?}, and not\n{before:#?} or\n{after:#?}")
            }
            false => {
                let parts: BTreeSet<_> = before.union(after).cloned().collect();
                assert!(seen.is_subset(&parts), "{at}: {seen:#?}");
                assert!(seen.is_superset(&before.intersection(after).cloned().collect()), "{at}: {seen:#?}");
            }
        }
        assert_sound(&engine, at);
        if seen != *after {
            (self.act)(&engine, directory);
            assert_eq!(visible(&engine), *after, "{at}, then once more");
            assert_sound(&engine, &format!("{at}, then once more"));
        }
    }
}

/// How far the points that are tried lie apart.
fn step(total: usize) -> usize {
    match std::env::var("PLYWOOD_TEST_CRASHES") {
        Ok(text) if text == "all" => 1,
        _ => total.div_ceil(POINTS),
    }
}

fn open(root: &Path) -> Engine {
    Engine::open_with(root, Durability::Fast).unwrap_or_else(|error| panic!("{error:?}"))
}

fn nothing(_: &Engine, _: &Path) {}

/// An image `app:1` of two layers.
fn app(engine: &Engine, directory: &Path) {
    let tar = Tarball::new().directory("dir").file("dir/file", "one").symlink("link", "dir/file").bytes();
    engine.import_with(Source::reader(&tar[..]), &ImportOptions::new().reference("base:1")).unwrap();
    std::fs::write(directory.join("source"), "two").unwrap();
    let layers = Layers::new().from("base:1").context(directory).copy("source", "/dir/");
    engine.build_with(&layers, &plywood::build::Options::new().tag("app:1")).unwrap();
}

/// An image `shell:1` that can be run.
fn shell(engine: &Engine, _: &Path) {
    let layers = Layers::new().from(Base::host(["sh"])).volume(["/data"]);
    engine.build_with(&layers, &plywood::build::Options::new().tag("shell:1")).unwrap();
}

#[test]
fn c01_c02_import() {
    Operation::new("c01_c02_import", nothing, |engine, _| {
        let tar = Tarball::new().directory("dir").file("dir/file", "one").hard_link("other", "dir/file").bytes();
        engine.import_with(Source::reader(&tar[..]), &ImportOptions::new().reference("new:1")).unwrap();
    })
    .check();
}

#[test]
fn c01_c02_load() {
    let prepare = |engine: &Engine, directory: &Path| {
        app(engine, directory);
        engine.save(&["app:1", "base:1"], Target::path(directory.join("archive.tar"))).unwrap();
        engine.remove_image("app:1").unwrap();
        engine.remove_image("base:1").unwrap();
        engine.prune().unwrap();
    };
    Operation::new("c01_c02_load", prepare, |engine, directory| {
        engine.load_with(directory.join("archive.tar").as_path(), &LoadOptions::new().overwrite()).unwrap();
    })
    .check();
}

#[test]
fn c01_c02_save() {
    Operation::new("c01_c02_save", app, |engine, directory| {
        engine.save(&["app:1"], Target::path(directory.join("archive.tar"))).unwrap();
    })
    .check();
}

#[test]
fn c01_c02_build() {
    Operation::new("c01_c02_build", app, |engine, directory| {
        let layers = Layers::new()
            .from("app:1")
            .context(directory)
            .copy("source", "/first")
            .copy("source", "/second")
            .cmd(["x"]);
        engine.build_with(&layers, &plywood::build::Options::new().tag("new:1")).unwrap();
    })
    .check();
}

#[test]
fn c01_c02_build_with_a_command() {
    Operation::new("c01_c02_build_with_a_command", shell, |engine, _| {
        let layers = Layers::new().from("shell:1").run("echo built > /file");
        engine.build_with(&layers, &plywood::build::Options::new().tag("new:1")).unwrap();
    })
    .check();
}

/// A volume with a file in a directory.
fn volume(engine: &Engine, _: &Path) {
    let volume = engine.volume("data").unwrap();
    std::fs::create_dir(volume.path().join("d")).unwrap();
    std::fs::write(volume.path().join("d/file"), "x").unwrap();
}

#[test]
fn c01_c02_fork_of_a_volume() {
    Operation::new("c01_c02_fork_of_a_volume", volume, |engine, _| {
        engine.fork_volume(&engine.volume("data").unwrap(), "copy").unwrap();
    })
    .check();
}

#[test]
fn c01_c02_snapshot_of_a_volume() {
    Operation::new("c01_c02_snapshot_of_a_volume", volume, |engine, _| {
        engine.volume("data").unwrap().snapshot(engine).unwrap().persist("base").unwrap();
    })
    .check();
}

#[test]
fn c01_c02_commit() {
    let prepare = |engine: &Engine, directory: &Path| {
        shell(engine, directory);
        let container =
            Container::of("shell:1").cmd(["sh", "-c", "echo x > /file"]).name("one").keep().start(engine).unwrap();
        assert!(container.wait().unwrap().success());
    };
    Operation::new("c01_c02_commit", prepare, |engine, _| {
        let container = engine.container("one").unwrap();
        container.commit().reference("new:1").run().unwrap();
    })
    .check();
}

#[test]
fn c01_c02_commit_of_moved_files() {
    let prepare = |engine: &Engine, directory: &Path| {
        shell(engine, directory);
        std::fs::write(directory.join("file"), "x").unwrap();
    };
    Operation::new("c01_c02_commit_of_moved_files", prepare, |engine, directory| {
        let container = Container::of("shell:1").cmd(["true"]).create(engine).unwrap();
        container.copy_in(directory.join("file"), "/").unwrap();
        container.into_commit().reference("new:1").run().unwrap();
    })
    .check();
}

#[test]
fn c01_c02_tag() {
    Operation::new("c01_c02_tag", app, |engine, _| drop(engine.tag("app:1", "new:1").unwrap())).check();
}

#[test]
fn c01_c02_remove_an_image() {
    Operation::new("c01_c02_remove_an_image", app, |engine, _| drop(engine.remove_image("app:1").unwrap())).check();
}

#[test]
fn c01_c02_create_and_drop() {
    Operation::new("c01_c02_create_and_drop", shell, |engine, _| {
        drop(Container::of("shell:1").cmd(["sh"]).name("one").create(engine).unwrap());
    })
    .check();
}

#[test]
fn c01_c02_create_to_keep() {
    Operation::new("c01_c02_create_to_keep", shell, |engine, _| {
        let volume = engine.volume("cache").unwrap();
        let container = Container::of("shell:1").cmd(["sh"]).name("one").mount(volume.at("/cache")).keep();
        drop(container.create(engine).unwrap());
    })
    .in_parts()
    .check();
}

#[test]
fn c01_c02_start_and_drop() {
    Operation::new("c01_c02_start_and_drop", shell, |engine, _| {
        let status = Container::of("shell:1").cmd(["sh", "-c", "echo x > /file"]).status(engine).unwrap();
        assert!(status.success());
    })
    .check();
}

#[test]
fn c01_c02_remove_a_container() {
    let prepare = |engine: &Engine, directory: &Path| {
        shell(engine, directory);
        drop(Container::of("shell:1").cmd(["sh"]).name("one").keep().create(engine).unwrap());
    };
    Operation::new("c01_c02_remove_a_container", prepare, |engine, _| {
        engine.container("one").unwrap().remove().unwrap()
    })
    .check();
}

#[test]
fn c01_c02_create_a_volume() {
    Operation::new("c01_c02_create_a_volume", nothing, |engine, _| {
        engine.create_volume("data", BTreeMap::from([("a".into(), "b".into())])).unwrap();
    })
    .check();
}

#[test]
fn c01_c02_remove_a_volume() {
    let prepare = |engine: &Engine, _: &Path| {
        let volume = engine.volume("data").unwrap();
        std::fs::write(volume.path().join("file"), "x").unwrap();
    };
    Operation::new("c01_c02_remove_a_volume", prepare, |engine, _| engine.remove_volume("data").unwrap()).check();
}

#[test]
fn c01_c02_prune() {
    let prepare = |engine: &Engine, directory: &Path| {
        app(engine, directory);
        engine.untag("app:1").unwrap();
        engine.volume("data").unwrap();
    };
    Operation::new("c01_c02_prune", prepare, |engine, _| {
        drop(engine.prune_with(&plywood::prune::Options::new().named_volumes()).unwrap());
    })
    .in_parts()
    .check();
}

#[test]
fn open_a_new_root() {
    if let Some(directory) = victim::directory() {
        trace::begin(&directory);
        drop(open(&directory.join("root")));
        return;
    }
    support::require_root!();
    let disk = Tmpfs::new(64);
    let total = {
        let directory = tempfile::tempdir_in(disk.path()).unwrap();
        trace::run("open_a_new_root", directory.path(), None).calls.len()
    };
    for last in (0..total).step_by(step(total)) {
        let directory = tempfile::tempdir_in(disk.path()).unwrap();
        trace::run("open_a_new_root", directory.path(), Some((last, Fate::Kill)));
        let engine = open(&directory.path().join("root"));
        assert_sound(&engine, &format!("before call {last} of {total}"));
        assert!(File::open(engine.path().join("volumes/metadata.db")).is_ok());
        app(&engine, directory.path());
    }
}
