//! What an operation has reported as done survives a loss of power: on a disk whose power is cut, and by the order of its
//! calls, as recorded, which leaves nothing to luck.
//!
//! A file's content is synced before the file gets a name by rename, and the directory of that name afterwards, before the
//! operation returns. syncfs(2) does both for everything before it. What goes takes the opposite way: the name of an image
//! is off the disk before its layers are touched, and that of a layer before its files are.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use plywood::image::{ImportOptions, LoadOptions, Source, Target};
use plywood::{Container, Durability, Engine, Layers};
use support::left::{assert_sound, visible};
use support::trace::{self, Call};
use support::{LoopDisk, Tarball, Tmpfs, victim};

/// What need not survive: who does what at this moment, what is made or goes, when an image was tagged, and the build
/// cache, which costs an execution.
const FLEETING: [&str; 5] = [
    "image/overlay2/imagedb/metadata",
    "image/overlay2/layerdb/tmp",
    "image/plywood",
    "image/plywood-cache",
    "image/plywood.lock",
];

/// What becomes lasting some time after it has got its name, if it does: containers are guards at first.
const LATER: [&str; 2] = ["containers", "image/overlay2/layerdb/mounts"];

/// What goes one after another: images, layers, files.
const GOING: [&str; 3] = ["image/overlay2/imagedb/content/sha256", "image/overlay2/layerdb/sha256", "overlay2"];

/// What a disk is known to hold, and what not.
#[derive(Default)]
struct Disk {
    root: PathBuf,
    /// Files with content that is in memory only.
    unsynced: BTreeSet<PathBuf>,
    /// Directories with names that are in memory only.
    unnamed: BTreeSet<PathBuf>,
    /// Directories from which names have gone in memory only.
    ungone: BTreeSet<PathBuf>,
    faults: Vec<String>,
}

impl Disk {
    fn replay(root: &Path, calls: &[Call]) -> Vec<String> {
        let mut disk = Self { root: root.to_owned(), ..Self::default() };
        calls.iter().for_each(|call| disk.apply(call));
        let content = disk.unsynced.iter().filter(|file| is_lasting(file));
        let content = content.map(|file| format!("{file:?} is not synced at the end"));
        let names =
            disk.unnamed.iter().map(|directory| format!("the names in {directory:?} are not synced at the end"));
        disk.faults.into_iter().chain(content).chain(names).collect()
    }

    fn apply(&mut self, call: &Call) {
        // An operation writes to its own store, and to an archive at most.
        let inside = |path: &PathBuf| path.strip_prefix(&self.root).ok().map(Path::to_owned);
        let paths: Vec<_> = call.paths.iter().filter_map(inside).collect();
        match (call.name, paths.as_slice()) {
            ("syncfs", _) => {
                self.unsynced.clear();
                self.unnamed.clear();
                self.ungone.clear();
            }
            ("fsync", [path]) => {
                self.unsynced.remove(path);
                self.unnamed.remove(path);
                self.ungone.remove(path);
            }
            ("write" | "openat", [path]) => {
                self.unsynced.insert(path.clone());
            }
            ("mkdir" | "symlink", [path]) => self.comes(path),
            ("unlink", [path]) => {
                self.unsynced.remove(path);
                self.goes(path);
            }
            ("rename", [from, to]) => self.moves(from, to),
            _ => {}
        }
    }

    fn moves(&mut self, from: &Path, to: &Path) {
        let below: Vec<_> = self.unsynced.iter().filter(|file| file.starts_with(from)).cloned().collect();
        for file in below {
            self.unsynced.remove(&file);
            if LATER.iter().any(|directory| to.starts_with(directory)) {
                let inside = file.strip_prefix(from).unwrap();
                self.unsynced.insert(if inside == Path::new("") { to.to_owned() } else { to.join(inside) });
            } else if is_lasting(to) {
                self.faults.push(format!("{file:?} is renamed to {to:?} before its sync"));
            }
        }
        self.unnamed.retain(|directory| !directory.starts_with(from));
        self.goes(from);
        self.comes(to);
    }

    fn comes(&mut self, path: &Path) {
        if is_lasting(path) && !path.to_string_lossy().ends_with("-removing") {
            self.unnamed.extend(path.parent().map(Path::to_owned));
        }
    }

    fn goes(&mut self, path: &Path) {
        let Some(directory) = path.parent() else { return };
        for pair in GOING.windows(2) {
            if directory == Path::new(pair[1]) && self.ungone.contains(Path::new(pair[0])) {
                self.faults.push(format!("{path:?} goes before what has gone from {:?} is off the disk", pair[0]));
            }
        }
        self.ungone.insert(directory.to_owned());
    }
}

fn is_lasting(path: &Path) -> bool {
    !FLEETING.iter().any(|directory| path.starts_with(directory))
}

/// Does `act` on a durable store, and replays its calls.
fn check(test: &str, prepare: fn(&Engine, &Path), act: fn(&Engine, &Path)) {
    if let Some(directory) = victim::directory() {
        let engine = Engine::open_with(directory.join("root"), Durability::Full).unwrap();
        trace::begin(&directory);
        act(&engine, &directory);
        return;
    }
    support::require_root!();
    let disk = Tmpfs::new(64);
    let root = disk.path().join("root");
    prepare(&Engine::open_with(&root, Durability::Fast).unwrap(), disk.path());
    let trace = trace::run(test, disk.path(), None);
    assert!(trace.finished, "the operation fails by itself");
    assert!(trace.calls.iter().any(|call| call.name == "rename"), "{:#?}", trace.calls);
    let faults = Disk::replay(&root, &trace.calls);
    assert!(faults.is_empty(), "{faults:#?} in\n{:#?}", trace.calls);
    cut(prepare, act);
}

/// Does `act` on a durable store, and cuts the power when it has returned.
fn cut(prepare: fn(&Engine, &Path), act: fn(&Engine, &Path)) {
    let disk = LoopDisk::ext4(96);
    let (root, directory) = (disk.path().join("root"), disk.path());
    let engine = Engine::open_with(&root, Durability::Full).unwrap();
    prepare(&engine, &directory);
    rustix::fs::syncfs(std::fs::File::open(&directory).unwrap()).unwrap();
    let before = visible(&engine);
    act(&engine, &directory);
    let after = visible(&engine);
    assert_ne!(before, after);
    let left = disk.after_a_loss_of_power();
    drop(engine);
    let engine = Engine::open_with(left.path().join("root"), Durability::Full).unwrap();
    assert_eq!(visible(&engine), after);
    assert_sound(&engine, "after a loss of power");
}

fn nothing(_: &Engine, _: &Path) {}

fn app(engine: &Engine, directory: &Path) {
    let tar = Tarball::new().directory("dir").file("dir/file", "one").bytes();
    engine.import_with(Source::reader(&tar[..]), &ImportOptions::new().reference("app:1")).unwrap();
    std::fs::write(directory.join("source"), "two").unwrap();
}

#[test]
fn c04_an_import_survives() {
    check("c04_an_import_survives", nothing, app);
}

#[test]
fn c04_a_load_survives() {
    let prepare = |engine: &Engine, directory: &Path| {
        app(engine, directory);
        engine.save(&["app:1"], Target::path(directory.join("archive.tar"))).unwrap();
        engine.remove_image("app:1").unwrap();
    };
    check("c04_a_load_survives", prepare, |engine, directory| {
        engine.load_with(directory.join("archive.tar").as_path(), &LoadOptions::new()).unwrap();
    });
}

#[test]
fn c04_a_build_survives() {
    check("c04_a_build_survives", app, |engine, directory| {
        let layers = Layers::new().from("app:1").context(directory).copy("source", "/first").cmd(["x"]);
        engine.build_with(&layers, &plywood::build::Options::new().tag("new:1")).unwrap();
    });
}

#[test]
fn c04_a_tag_survives() {
    check("c04_a_tag_survives", app, |engine, _| drop(engine.tag("app:1", "new:1").unwrap()));
}

#[test]
fn c04_a_removed_image_stays_away() {
    check("c04_a_removed_image_stays_away", app, |engine, _| drop(engine.remove_image("app:1").unwrap()));
}

#[test]
fn c04_a_volume_survives() {
    check("c04_a_volume_survives", nothing, |engine, _| {
        engine.volume("data").unwrap();
        engine.create_volume("other", [("a".into(), "b".into())].into()).unwrap();
    });
}

#[test]
fn c04_a_kept_container_survives() {
    check("c04_a_kept_container_survives", app, |engine, _| {
        drop(Container::of("app:1").cmd(["/file"]).name("one").keep().create(engine).unwrap());
    });
}

#[test]
fn c04_a_committed_image_survives() {
    let prepare = |engine: &Engine, directory: &Path| {
        app(engine, directory);
        let container = Container::of("app:1").cmd(["/file"]).name("one").keep().create(engine).unwrap();
        container.copy_in(directory.join("source"), "/copied").unwrap();
    };
    check("c04_a_committed_image_survives", prepare, |engine, _| {
        engine.container("one").unwrap().commit().reference("new:1").run().unwrap();
    });
}
