//! Two programs at once on one data root: the first stands still before one of its changes to the disk, each in turn, while
//! the second does all of its own, or waits for the first. Whatever they meet, both come to an end that each of them is
//! told truly, and the store is whole.
//!
//! With the lock of layers taken out on purpose, two of these fail: an image that is built again while it is removed.
//!
//! `PLYWOOD_TEST_CRASHES=all` tries each point of each operation; by default the long ones are sampled.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use plywood::prune::{Kind, Options};
use plywood::{Base, Container, Durability, Engine, ErrorKind, Image, Layers, Result};
use support::left::assert_sound;
use support::{Tmpfs, trace, victim};

/// How many points of one operation are tried.
const POINTS: usize = 40;

/// How long the second program has before it counts as waiting for the first, which then goes on.
const PATIENCE: Duration = Duration::from_millis(200);

/// How the lines of a victim begin whose operation was refused.
const REFUSED: &str = "refused: ";

/// What two programs do, and what must hold then; the third argument of `then` says for each whether it was done.
struct Meeting {
    /// The test that is run as the first program.
    test: &'static str,
    prepare: fn(&Engine),
    first: fn(&Engine) -> Result<()>,
    second: fn(&Engine) -> Result<()>,
    then: fn(&Engine, [bool; 2], &str),
}

impl Meeting {
    #[allow(clippy::print_stderr)]
    fn check(self) {
        if let Some(directory) = victim::directory() {
            let engine = open(&directory);
            trace::begin(&directory);
            if !done((self.first)(&engine)) {
                eprintln!("{REFUSED}the first");
            }
            return;
        }
        support::require_root!();
        let total = self.alone().0;
        let points = total.min(if std::env::var_os("PLYWOOD_TEST_CRASHES").is_some() { total } else { POINTS });
        (0..points).for_each(|number| self.at(number * total / points, total));
    }

    /// How many changes the first program makes when nobody is in its way, and its data root.
    fn alone(&self) -> (usize, Tmpfs) {
        let disk = self.disk();
        let trace = trace::run(self.test, disk.path(), None);
        assert!(trace.finished && !trace.errors.contains(REFUSED), "{}: {}", self.test, trace.errors);
        (trace.calls.len(), disk)
    }

    fn disk(&self) -> Tmpfs {
        let disk = Tmpfs::new(256);
        (self.prepare)(&open(disk.path()));
        disk
    }

    fn at(&self, number: usize, total: usize) {
        let disk = self.disk();
        let (engine, second) = (open(disk.path()), self.second);
        let (tell, hear) = mpsc::channel();
        let mut other = None;
        let trace = trace::meet(self.test, disk.path(), number, || {
            let (engine, tell) = (engine.clone(), tell.clone());
            other = Some(std::thread::spawn(move || tell.send(second(&engine)).unwrap()));
            // What it has told is looked at below.
            let end = std::time::Instant::now() + PATIENCE;
            while other.as_ref().is_some_and(|other| !other.is_finished()) && std::time::Instant::now() < end {
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let at = format!("{}, at call {number} of {total}, {:?}", self.test, trace.calls.get(number));
        assert!(trace.finished, "{at}: {}", trace.errors);
        // The threads of the first may have made fewer calls this time.
        let Some(other) = other else { return };
        other.join().unwrap();
        let is_done = [!trace.errors.contains(REFUSED), done(hear.recv().unwrap())];
        assert_sound(&engine, &at);
        (self.then)(&engine, is_done, &at);
    }
}

/// Whether it was done; else it says that the other program was first.
fn done(result: Result<()>) -> bool {
    match result {
        Ok(()) => true,
        Err(error) => {
            let is_known = matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InUse | ErrorKind::AlreadyExists);
            assert!(is_known, "{error:?}");
            false
        }
    }
}

fn open(directory: &Path) -> Engine {
    Engine::open_with(directory.join("root"), Durability::Fast).unwrap_or_else(|error| panic!("{error:?}"))
}

/// An image `shell:1` that can be run.
fn shell(engine: &Engine) {
    let layers = Layers::new().from(Base::host(["sh"]));
    engine.build_with(&layers, &plywood::build::Options::new().tag("shell:1")).unwrap();
    std::fs::write(engine.path().parent().unwrap().join("source"), "text").unwrap();
}

fn remove_image(engine: &Engine) -> Result<()> {
    engine.remove_image("shell:1").map(drop)
}

fn create(engine: &Engine) -> Result<()> {
    Container::of("shell:1").cmd(["sh", "-c", ":"]).name("one").keep().create(engine).map(drop)
}

fn build(engine: &Engine) -> Result<()> {
    let context = engine.path().parent().unwrap();
    let layers = Layers::new().from("shell:1").context(context).copy("source", "/file").cmd(["sh", "-c", ":"]);
    engine.build_with(&layers, &plywood::build::Options::new().tag("new:1")).map(drop)
}

/// Of an image without a name.
fn create_of_nameless(engine: &Engine) -> Result<()> {
    let image: Option<Image> = engine.images()?.pop();
    let Some(image) = image else { return engine.image("shell:1").map(drop) };
    Container::of(&image).cmd(["sh", "-c", ":"]).name("one").keep().create(engine).map(drop)
}

fn create_with_volume(engine: &Engine) -> Result<()> {
    let volume = engine.volume("data")?;
    let container = Container::of("shell:1").cmd(["sh", "-c", ": > /data/file"]).mount(volume.at("/data"));
    container.name("one").keep().create(engine).map(drop)
}

/// Whatever container is there can be started.
fn all_start(engine: &Engine, at: &str) {
    for mut container in engine.containers().unwrap() {
        container.start_kept().unwrap_or_else(|error| panic!("{at}: {error:?}"));
        let status = container.wait().unwrap_or_else(|error| panic!("{at}: {error:?}"));
        assert!(status.success(), "{at}: {status:?}");
    }
}

/// A container, or the removal of its image, but not both.
fn one_of_both(engine: &Engine, [first, second]: [bool; 2], at: &str) {
    assert_ne!(first, second, "{at}");
    assert_eq!(engine.images().unwrap().len(), engine.containers().unwrap().len(), "{at}");
    all_start(engine, at);
}

#[test]
fn an_image_is_removed_while_a_container_is_made_of_it() {
    let (test, then) = ("an_image_is_removed_while_a_container_is_made_of_it", one_of_both);
    Meeting { test, prepare: shell, first: create, second: remove_image, then }.check();
}

#[test]
fn a_container_is_made_of_an_image_that_is_being_removed() {
    let (test, then) = ("a_container_is_made_of_an_image_that_is_being_removed", one_of_both);
    Meeting { test, prepare: shell, first: remove_image, second: create, then }.check();
}

#[test]
fn an_image_is_removed_while_another_is_built_on_it() {
    let then = |engine: &Engine, [is_built, is_removed]: [bool; 2], at: &str| {
        assert!(is_built || is_removed, "{at}: both were refused");
        assert_eq!(engine.image("new:1").is_ok(), is_built, "{at}");
        assert_eq!(engine.image("shell:1").is_err(), is_removed, "{at}");
    };
    let test = "an_image_is_removed_while_another_is_built_on_it";
    Meeting { test, prepare: shell, first: build, second: remove_image, then }.check();
}

/// The same image once more, of the layer that is there, or of a new one.
fn build_again(engine: &Engine) -> Result<()> {
    let layers = Layers::new().from(Base::host(["sh"]));
    engine.build_with(&layers, &plywood::build::Options::new().tag("new:1")).map(drop)
}

/// The second name is there, and its image can be used.
fn new_is_whole(engine: &Engine, is_done: [bool; 2], at: &str) {
    assert_eq!(is_done, [true; 2], "{at}");
    let status = Container::of("new:1").cmd(["sh", "-c", ":"]).status(engine);
    assert!(status.unwrap_or_else(|error| panic!("{at}: {error:?}")).success(), "{at}");
}

#[test]
fn an_image_is_removed_while_it_is_built_again() {
    let (test, then) = ("an_image_is_removed_while_it_is_built_again", new_is_whole);
    Meeting { test, prepare: shell, first: build_again, second: remove_image, then }.check();
}

#[test]
fn an_image_is_built_again_while_it_is_removed() {
    let (test, then) = ("an_image_is_built_again_while_it_is_removed", new_is_whole);
    Meeting { test, prepare: shell, first: remove_image, second: build_again, then }.check();
}

#[test]
fn the_store_is_pruned_while_a_container_is_made_of_a_nameless_image() {
    let then = |engine: &Engine, [is_made, _]: [bool; 2], at: &str| {
        assert_eq!(engine.containers().unwrap().len(), usize::from(is_made), "{at}");
        all_start(engine, at);
    };
    let prepare = |engine: &Engine| {
        shell(engine);
        engine.untag("shell:1").unwrap();
    };
    // Not containers: one that has not run is pruned as soon as it is there.
    let second = |engine: &Engine| engine.prune_with(&Options::new().only([Kind::Image, Kind::BuildCache])).map(drop);
    let test = "the_store_is_pruned_while_a_container_is_made_of_a_nameless_image";
    Meeting { test, prepare, first: create_of_nameless, second, then }.check();
}

#[test]
fn a_volume_is_removed_while_a_container_is_made_with_it() {
    let prepare = |engine: &Engine| {
        shell(engine);
        engine.volume("data").unwrap();
    };
    let then = |engine: &Engine, [is_made, _]: [bool; 2], at: &str| {
        assert_eq!(engine.containers().unwrap().len(), usize::from(is_made), "{at}");
        all_start(engine, at);
    };
    let test = "a_volume_is_removed_while_a_container_is_made_with_it";
    Meeting { test, prepare, first: create_with_volume, second: |engine| engine.remove_volume("data"), then }.check();
}

#[test]
fn two_names_are_given_at_once() {
    let then = |engine: &Engine, is_done: [bool; 2], at: &str| {
        let found = ["a:1", "b:1"].map(|name| engine.image(name).is_ok());
        assert_eq!((is_done, found), ([true; 2], [true; 2]), "{at}");
    };
    let first = |engine: &Engine| engine.tag("shell:1", "a:1").map(drop);
    let second = |engine: &Engine| engine.tag("shell:1", "b:1").map(drop);
    Meeting { test: "two_names_are_given_at_once", prepare: shell, first, second, then }.check();
}
