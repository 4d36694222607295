//! Every storage driver behaves alike: the same definitions, containers and checks on each of them.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use plywood::fsck::{self, Finding, Problem};
use plywood::image::Source;
use plywood::{Base, Durability, Engine, EngineOptions, ErrorKind, Image, Layers, StorageDriver};
use support::{Layout, LoopDisk, PROGRAMS, run, sh};

/// A data root of a driver.
struct Place {
    /// Unmounted before the directory goes.
    _disk: Option<LoopDisk>,
    _directory: tempfile::TempDir,
    root: PathBuf,
    driver: StorageDriver,
}

impl Place {
    fn new(driver: StorageDriver) -> Self {
        let directory = tempfile::Builder::new().prefix("plywood-driver").tempdir().unwrap();
        let disk = (driver == StorageDriver::Btrfs).then(|| LoopDisk::btrfs(512));
        let place = disk.as_ref().map_or_else(|| directory.path().to_owned(), LoopDisk::path);
        Self { root: place.join("root"), _disk: disk, _directory: directory, driver }
    }

    fn engine(&self) -> Engine {
        let options = EngineOptions::new().durability(Durability::Fast).driver(self.driver);
        Engine::open_with(&self.root, options).unwrap()
    }

    /// The directories of layers.
    fn layers(&self) -> BTreeSet<PathBuf> {
        let entries = fs::read_dir(Layout::at(&self.root).layers()).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| !path.ends_with("l")).collect()
    }
}

/// Each behaviour as a test of each driver.
macro_rules! on_every_driver {
    ($($behaviour:ident),* $(,)?) => {
        mod overlay2 {
            $(#[test] fn $behaviour() { support::require_root!(); super::$behaviour(&super::Place::new(plywood::StorageDriver::Overlay2)) })*
        }
        mod fuse_overlayfs {
            $(#[test] fn $behaviour() {
                support::require_root!();
                support::require_fuse_overlayfs!();
                super::$behaviour(&super::Place::new(plywood::StorageDriver::FuseOverlayfs))
            })*
        }
        mod btrfs {
            $(#[test] fn $behaviour() {
                support::require_root!();
                support::require_program!("mkfs.btrfs");
                super::$behaviour(&super::Place::new(plywood::StorageDriver::Btrfs))
            })*
        }
        mod vfs {
            $(#[test] fn $behaviour() { support::require_root!(); super::$behaviour(&super::Place::new(plywood::StorageDriver::Vfs)) })*
        }
    };
}

on_every_driver![
    layers_show_what_their_instructions_did,
    a_container_changes_its_own_files_only,
    a_commit_holds_what_has_changed,
    a_frozen_container_is_forked,
    images_move_between_drivers,
    what_is_removed_leaves_nothing,
    a_guard_that_is_to_stay_is_found_again,
    a_size_that_docker_cannot_read_is_mended,
];

/// Programs of the host.
fn base() -> Layers {
    let programs: Vec<_> = PROGRAMS.into_iter().chain(["chown"]).collect();
    Layers::new().from(Base::host(programs))
}

/// An image of every kind of change: new, replaced, deleted, hidden, linked, owned by somebody.
fn build(engine: &Engine) -> Image {
    let definition = base()
        .run("mkdir -p /data/in /opaque /gone && echo seed > /data/in/seed && echo old > /opaque/old && echo x > /gone/x")
        .run("echo one > /file && ln /file /hard && ln -s file /soft && mkdir /was-directory && echo x > /was-file")
        .run(
            "rm -r /gone /opaque /was-directory /was-file && mkdir /opaque /was-file && echo new > /opaque/new && \
             echo x > /was-directory && echo y > /was-file/y && chown 1234:4321 /data/in/seed && \
             chmod 4750 /data/in/seed",
        )
        .run("rm /hard && echo two > /file")
        .workdir("/work");
    engine.build(&definition).unwrap()
}

const LOOK: &str = "cat /file /soft /was-directory /was-file/y; stat -c '%u:%g %a %s' /data/in/seed; \
                    ls /opaque /work; \
                    ls /gone 2>/dev/null || echo gone";
const SEEN: &str = "two\ntwo\nx\ny\n1234:4321 4750 5\n/opaque:\nnew\n\n/work:\ngone\n";

fn layers_show_what_their_instructions_did(place: &Place) {
    let engine = place.engine();
    assert_eq!(engine.driver().driver(), place.driver);
    assert_eq!(engine.driver().reason(), "it was asked for");
    let image = build(&engine);
    assert_eq!(run(&engine, &image, LOOK), SEEN);
    // The mount points of a step are none of its changes.
    let hidden = run(&engine, &image, "ls -a /sys /proc/self >/dev/null && echo fine");
    assert_eq!(hidden, "fine\n");
    let names = names_in(&engine, &image.id().to_string());
    assert!(names.contains("was-file/y") && !names.contains("etc/hosts"), "{names:?}");
    let report = engine.fsck().unwrap();
    assert!(report.is_sound(), "{report:#?}");
    drop(engine);
    let reopened = Engine::open(&place.root).unwrap();
    assert_eq!(reopened.driver().driver(), place.driver, "the root keeps its driver");
    assert_eq!(reopened.driver().reason(), "the data root was written with it");
    let other = if place.driver == StorageDriver::Vfs { StorageDriver::Overlay2 } else { StorageDriver::Vfs };
    drop(reopened);
    let refused = Engine::open_with(&place.root, EngineOptions::new().driver(other)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
}

/// The names in the upper layers of an image, as it is saved.
fn names_in(engine: &Engine, image: &str) -> BTreeSet<String> {
    let mut saved = Vec::new();
    engine.save(&[image], plywood::image::Target::writer(&mut saved)).unwrap();
    let mut names = BTreeSet::new();
    for entry in tar::Archive::new(&saved[..]).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        if let Ok(inner) = tar::Archive::new(Cursor::new(bytes)).entries() {
            names.extend(inner.flatten().map(|entry| entry.path().unwrap().to_string_lossy().into_owned()));
        }
    }
    names
}

fn a_container_changes_its_own_files_only(place: &Place) {
    let engine = place.engine();
    let image = build(&engine);
    let script =
        "echo three > /file; rm /soft; mkdir /added; echo z > /added/z; chmod 700 /data; rm -r /opaque; touch /work";
    let mut container = sh(&image, script).start(&engine).unwrap();
    assert!(container.wait().unwrap().success());
    let changes: BTreeSet<_> = container.diff().unwrap().iter().map(ToString::to_string).collect();
    let expected = ["C /file", "D /soft", "A /added", "A /added/z", "C /data", "D /opaque"].map(str::to_owned);
    let expected: BTreeSet<_> = expected.into();
    assert_eq!(changes, expected);
    assert_eq!(run(&engine, &image, LOOK), SEEN, "the image is as it was");
    container.persist().unwrap();
    let untouched = sh(&image, "true").start(&engine).unwrap();
    assert!(untouched.wait().unwrap().success());
    assert_eq!(untouched.diff().unwrap(), []);
}

fn a_commit_holds_what_has_changed(place: &Place) {
    let engine = place.engine();
    let image = build(&engine);
    // The same size and time, so that only the content tells.
    let script = "touch -r /file /time; printf 'TWO\\n' > /file; touch -r /time /file; rm -r /opaque /time; \
                  chmod 711 /data; echo n > /new; ln /new /newer";
    let container = sh(&image, script).start(&engine).unwrap();
    assert!(container.wait().unwrap().success());
    let committed = container.commit().reference("committed:1").run().unwrap();
    assert_eq!(committed.layers().len(), image.layers().len() + 1);
    let look = "cat /file /newer; stat -c %h /new; ls -d /opaque 2>/dev/null || echo gone; stat -c %a /data";
    assert_eq!(run(&engine, &committed, look), "TWO\nn\n2\ngone\n711\n");
    assert_eq!(run(&engine, &image, LOOK), SEEN);
    let idle = sh(&image, "true").start(&engine).unwrap();
    assert!(idle.wait().unwrap().success());
    assert_eq!(idle.commit().run().unwrap().layers(), image.layers(), "nothing has changed");

    let digests = |image: &Image| image.layers().iter().map(|layer| layer.diff_id().clone()).collect::<Vec<_>>();
    engine.remove_image("committed:1").unwrap();
    let id = container.id().to_string();
    let moved = container.into_commit().reference("moved:1").run().unwrap();
    assert_eq!(digests(&moved), digests(&committed));
    assert_eq!(run(&engine, &moved, look), "TWO\nn\n2\ngone\n711\n");
    assert_eq!(engine.container(&id).unwrap_err().kind(), ErrorKind::NotFound, "it went into the image");
    let idle = idle.into_commit().run().unwrap();
    assert_eq!(idle.layers(), image.layers(), "nothing has changed");
    let running = sh(&image, "sleep 1000").start(&engine).unwrap();
    let id = running.id().to_string();
    assert_eq!(running.into_commit().run().unwrap_err().kind(), ErrorKind::InUse);
    assert_eq!(engine.container(&id).unwrap_err().kind(), ErrorKind::NotFound, "it went with the attempt");
    let report = engine.fsck().unwrap();
    assert!(report.is_sound(), "{report:#?}");
}

fn a_frozen_container_is_forked(place: &Place) {
    let engine = place.engine();
    let image = build(&engine);
    let script = "[ -e /frozen ] && { cat /file; echo fork > /file; rm -r /data; exit; }; \
                  echo frozen > /file; rm /soft; touch /frozen";
    let container = sh(&image, script).start(&engine).unwrap();
    assert!(container.wait().unwrap().success());
    let snapshot = container.snapshot().unwrap();
    for _ in 0..2 {
        let fork = snapshot.fork().unwrap();
        assert!(fork.wait().unwrap().success());
        let text: Vec<_> = fork.logs().read().unwrap().map(|line| line.text).collect();
        assert_eq!(text, ["frozen"]);
        let changes: BTreeSet<_> = fork.diff().unwrap().iter().map(ToString::to_string).collect();
        assert!(changes.contains("D /data") && changes.contains("C /file"), "{changes:?}");
        assert!(!changes.contains("D /soft"), "{changes:?}");
    }
}

fn images_move_between_drivers(place: &Place) {
    let engine = place.engine();
    let image = build(&engine);
    engine.tag(&image.id().to_string(), "moved:1").unwrap();
    let mut saved = Vec::new();
    engine.save(&["moved:1"], plywood::image::Target::writer(&mut saved)).unwrap();
    for driver in [StorageDriver::Overlay2, StorageDriver::FuseOverlayfs, StorageDriver::Vfs] {
        let other = Place::new(driver);
        let engine = other.engine();
        let loaded = engine.load(Source::reader(&saved[..])).unwrap();
        assert_eq!(loaded[0].image().id(), image.id());
        assert_eq!(run(&engine, &engine.image("moved:1").unwrap(), LOOK), SEEN, "{driver}");
        let sizes = |image: &Image| image.layers().iter().map(plywood::Layer::size).collect::<Vec<_>>();
        assert_eq!(sizes(&engine.image("moved:1").unwrap()), sizes(&image), "{driver}");
        let mut again = Vec::new();
        engine.save(&["moved:1"], plywood::image::Target::writer(&mut again)).unwrap();
        assert!(again == saved, "{driver}: it is saved as it came");
    }
}

fn what_is_removed_leaves_nothing(place: &Place) {
    let engine = place.engine();
    let before = place.layers();
    let image = build(&engine);
    let mut kept = sh(&image, "echo x > /file").name("kept").start(&engine).unwrap();
    assert!(kept.wait().unwrap().success());
    kept.persist().unwrap();
    let id = image.id().to_string();
    assert!(engine.remove_image(&id).is_err(), "a container stands on it");
    kept.remove().unwrap();
    let _ = engine.remove_image_and_references(&id).unwrap();
    engine.prune().unwrap();
    assert_eq!(place.layers(), before);
    assert!(engine.fsck().unwrap().is_sound());
}

fn a_guard_that_is_to_stay_is_found_again(place: &Place) {
    let engine = place.engine();
    let image = build(&engine);
    let mut container = sh(&image, "echo x >> /file").name("stays").start(&engine).unwrap();
    assert!(container.wait().unwrap().success());
    container.persist().unwrap();
    let expected: Vec<_> = container.diff().unwrap();
    drop((container, image, engine));
    let engine = place.engine();
    let container = engine.container("stays").unwrap();
    assert_eq!(container.diff().unwrap(), expected);
    assert!(expected.iter().all(|change| change.path() == Path::new("/file")), "{expected:?}");
    let report = engine.fsck().unwrap();
    assert!(report.is_sound(), "{report:#?}");
}

fn a_size_that_docker_cannot_read_is_mended(place: &Place) {
    let engine = place.engine();
    build(&engine);
    let records = place.root.join(Layout::of(&engine).image("layerdb/sha256"));
    let sizes: Vec<PathBuf> = fs::read_dir(records).unwrap().map(|entry| entry.unwrap().path().join("size")).collect();
    let before: Vec<String> = sizes.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    assert!(engine.fsck().unwrap().findings().is_empty());
    sizes.iter().zip(&before).for_each(|(path, size)| fs::write(path, format!("{size}\n")).unwrap());
    let report = engine.fsck().unwrap();
    let expected = |finding: &Finding| matches!(finding.problem(), Problem::Size { .. });
    assert!(report.findings().len() == sizes.len() && report.findings().iter().all(expected), "{report:#?}");
    assert!(engine.fsck_with(&fsck::Options::new().repair()).unwrap().is_sound());
    assert!(sizes.iter().map(|path| fs::read_to_string(path).unwrap()).eq(before));
}
