//! A disk that is full: nothing half-made is visible, and the space comes back.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use plywood::container::Stdio;
use plywood::image::{ImportOptions, Limits, LoadOptions, Source, Target};
use plywood::{ByteSize, Container, Durability, Engine, ErrorKind, Image, Layers};
use support::left::{assert_sound, visible};
use support::{Tarball, Tmpfs, base, image, run, sh, text};

/// Enough for the test image twice over, and for little else.
const DISK: u64 = 24;

/// An engine on a small disk, with an image on it; the disk goes when both are gone.
fn engine_on(disk: &Tmpfs) -> (Engine, Image) {
    let engine = Engine::open_with(disk.path().join("root"), Durability::Fast).unwrap();
    let image = image(&engine);
    (engine, image)
}

/// More than the disk has left.
fn large() -> Vec<u8> {
    Tarball::new().file("small", "x").file("large", vec![b'x'; (DISK as usize) << 20]).bytes()
}

fn layer_directories(engine: &Engine) -> usize {
    fs::read_dir(engine.path().join("overlay2")).unwrap().count()
}

#[test]
fn c03_an_import_that_finds_the_disk_full_leaves_no_trace() {
    support::require_root!();
    let disk = Tmpfs::new(DISK);
    let (engine, image) = engine_on(&disk);
    let (free, directories) = (disk.free(), layer_directories(&engine));
    // With a reserve, and to the last byte.
    for reserve in [ByteSize::mib(4), ByteSize::bytes(0)] {
        let options = ImportOptions::new().reference("large:1").limits(Limits::default().free_space(reserve));
        let error = engine.import_with(Source::reader(&large()[..]), &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        assert_eq!(engine.images().unwrap().len(), 1);
        assert_eq!(engine.image("large:1").unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(layer_directories(&engine), directories);
        assert!(disk.free().abs_diff(free) < free / 100, "{} of {free} bytes came back", disk.free());
    }
    assert_eq!(run(&engine, &image, "echo still runs"), "still runs\n");
}

#[test]
fn a_build_that_finds_the_disk_full_leaves_no_trace() {
    support::require_root!();
    let disk = Tmpfs::new(DISK);
    let (engine, image) = engine_on(&disk);
    let context = tempfile::tempdir().unwrap();
    fs::write(context.path().join("large"), vec![b'x'; (DISK as usize) << 20]).unwrap();
    fs::write(context.path().join("large.tar"), large()).unwrap();
    let (free, directories) = (disk.free(), layer_directories(&engine));
    for (what, definition) in [
        ("RUN", base().run("dd if=/dev/zero of=/large bs=1048576 count=64")),
        ("COPY", base().context(context.path()).copy("large", "/large")),
        ("ADD", base().context(context.path()).add("large.tar", "/")),
    ] {
        let error = engine.build(&definition).unwrap_err();
        match what {
            // The program was told that the disk is full, and says so.
            "RUN" => assert_eq!(error.kind(), ErrorKind::Failed, "{error:?}"),
            _ => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}"),
        }
        let text = format!("{error:?}").to_lowercase();
        assert!(text.contains("no space left") || text.contains("bytes are left"), "{what}: {text}");
        assert_eq!(engine.images().unwrap().len(), 1, "{what}");
        assert_eq!(layer_directories(&engine), directories, "{what}");
        assert!(disk.free().abs_diff(free) < free / 100, "{what}: {} of {free} bytes came back", disk.free());
    }
    assert_eq!(run(&engine, &image, "echo still runs"), "still runs\n");
}

#[test]
fn a_container_that_fills_the_disk_takes_its_bytes_with_it() {
    support::require_root!();
    let disk = Tmpfs::new(DISK);
    let (engine, image) = engine_on(&disk);
    let free = disk.free();
    // Not before the start is written down, which takes a few bytes itself.
    let script = "read go; dd if=/dev/zero of=/large bs=65536";
    let fill = Container::of(&image).cmd(["sh", "-c", script]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let fill = fill.start(&engine).unwrap();
    fill.take_stdin().unwrap().write_all(b"go\n").unwrap();
    let mut said = String::new();
    fill.take_stderr().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("No space left on device"), "{said}");
    drop(fill);
    assert!(disk.free().abs_diff(free) < free / 100);
    // While the disk is full, a start fails or works; either way it is told, and the store opens again.
    fs::write(disk.path().join("ballast"), vec![0; free as usize]).unwrap_err();
    let started = Container::of(&image).cmd(["true"]).status(&engine);
    if let Err(error) = started {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    }
    assert!(engine.containers().unwrap().is_empty());
    fs::remove_file(disk.path().join("ballast")).unwrap();
    assert_eq!(run(&engine, &image, "echo still runs"), "still runs\n");
}

#[test]
fn a_fork_that_finds_the_disk_full_leaves_no_trace() {
    support::require_root!();
    let disk = Tmpfs::new(DISK);
    let (engine, image) = engine_on(&disk);
    let once = "[ -e /file ] && exec sleep 1000; echo frozen > /file";
    let container = sh(&image, once).start(&engine).unwrap();
    assert!(container.wait().unwrap().success());
    let snapshot = container.snapshot().unwrap();
    let (free, directories) = (disk.free(), layer_directories(&engine));
    let mut refused = 0;
    for (pages, files) in [(0, 0), (0, 99), (99, 0), (1, 1), (1, 9), (2, 9), (4, 9), (4, 19), (9, 9), (9, 29)] {
        disk.leave(pages, files);
        let forked = snapshot.fork().map(drop);
        disk.leave(free / 4096, 9999);
        if let Err(error) = forked {
            refused += 1;
            let text = format!("{error:?}").to_lowercase();
            assert!(error.kind() == ErrorKind::Unavailable && text.contains("no space left"), "{text}");
        }
        let left: Vec<_> = engine.containers().unwrap().iter().map(|left| left.id().clone()).collect();
        assert_eq!(left, [snapshot.id().clone()], "{pages} pages and {files} files were left");
        assert_eq!(layer_directories(&engine), directories, "{pages} pages and {files} files were left");
        let fork = snapshot.fork().unwrap();
        assert_eq!(text(fork.exec(["cat", "/file"]).output().unwrap()), "frozen\n");
    }
    assert!(refused > 2, "{refused}");
    drop(snapshot);
    assert_sound(&engine, "after the forks");
}

#[test]
fn an_archive_is_saved_whole_or_not_at_all() {
    support::require_root!();
    let disk = Tmpfs::new(2);
    let engine = support::engine();
    let image = image(&engine);
    let archive = disk.path().join("image.tar");
    fs::write(&archive, "what was there before").unwrap();
    let error = engine.save(&[&image.id().to_string()], Target::path(&archive)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert_eq!(fs::read_to_string(&archive).unwrap(), "what was there before");
    assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn a_container_goes_on_while_the_disk_is_full_and_its_log_when_it_is_not() {
    support::require_root!();
    let disk = Tmpfs::new(DISK);
    let (engine, image) = engine_on(&disk);
    let text = tempfile::NamedTempFile::new().unwrap();
    fs::write(text.path(), "a line that is said over and over\n".repeat(20_000)).unwrap();
    let script = "trap 'cat /etc/large; echo heard; : > /dev/shm/heard' USR1; trap 'exit 7' TERM; echo ready; \
                  while :; do sleep 60 & wait; done";
    let container = support::sh(&image, script)
        .mount(plywood::Mount::tmpfs("/dev/shm"))
        .mount(plywood::Mount::bind(text.path(), "/etc/large"));
    for container in [container.clone(), container.keep()] {
        let container = container.start(&engine).unwrap();
        let mut lines = container.logs().follow().read().unwrap();
        assert_eq!(lines.next().unwrap().text, "ready");
        let filler = disk.path().join("filler");
        let error = fs::write(&filler, vec![b'x'; (DISK as usize) << 20]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
        container.kill(plywood::container::Signal::USR1).unwrap();
        // It has written more than a pipe holds, so somebody takes it.
        let heard = ["sh", "-c", "while ! [ -e /dev/shm/heard ]; do :; done; rm /dev/shm/heard"];
        assert!(container.exec(heard).status().unwrap().success());
        fs::remove_file(filler).unwrap();
        container.kill(plywood::container::Signal::USR1).unwrap();
        assert!(lines.any(|line| line.text == "heard"));
        assert_eq!(container.stop(std::time::Duration::from_secs(10)).unwrap().code(), 7);
        container.remove().unwrap();
    }
}

/// What is done on a disk that is full at any point of it.
type Operation = fn(&Engine, &Path) -> plywood::Result<()>;

#[rustfmt::skip]
const OPERATIONS: &[(&str, Operation)] = &[
    ("import", |engine, _| {
        let tar = Tarball::new().directory("dir").file("dir/a", vec![b'a'; 9000]).file("dir/b", "b").symlink("c", "a").bytes();
        engine.import_with(Source::reader(&tar[..]), &ImportOptions::new().reference("new:1").limits(to_the_last())).map(drop)
    }),
    ("load", |engine, directory| {
        engine.load_with(directory.join("archive.tar").as_path(), &LoadOptions::new().overwrite().limits(to_the_last())).map(drop)
    }),
    ("build", |engine, directory| {
        let layers = Layers::new().from("app:1").context(directory).copy("source", "/first").copy("source", "/second");
        engine.build_with(&layers, &plywood::build::Options::new().tag("new:1")).map(drop)
    }),
    ("tag", |engine, _| engine.tag("app:1", "new:1").map(drop)),
    ("commit", |engine, _| engine.container("one")?.commit().reference("new:1").run().map(drop)),
    ("create a volume", |engine, _| engine.volume("new").map(drop)),
    ("create a container", |engine, _| Container::of("app:1").cmd(["x"]).name("new").keep().create(engine).map(drop)),
    ("remove a container", |engine, _| engine.container("one")?.remove()),
    ("remove a volume", |engine, _| engine.remove_volume("old")),
    ("remove an image", |engine, _| engine.remove_image("other:1").map(drop)),
    ("prune", |engine, _| engine.prune().map(drop)),
];

#[test]
fn c03_a_disk_that_is_full_at_any_point_leaves_a_whole_store() {
    support::require_root!();
    let (disk, outside) = (Tmpfs::new(DISK), tempfile::tempdir().unwrap());
    let root = disk.path().join("root");
    let engine = Engine::open_with(&root, Durability::Fast).unwrap();
    fs::write(outside.path().join("source"), "two").unwrap();
    let import = |name: &str, file: &str| {
        let tar = Tarball::new().directory("dir").file(file, "one").bytes();
        engine.import_with(Source::reader(&tar[..]), &ImportOptions::new().reference(name)).unwrap();
    };
    import("new:1", "loaded");
    engine.save(&["new:1"], Target::path(outside.path().join("archive.tar"))).unwrap();
    engine.remove_image("new:1").unwrap();
    import("app:1", "file");
    let mut points = 0;
    for (name, operation) in OPERATIONS {
        // First the content finds no room, then the names.
        for of_files in [false, true] {
            undo(&engine);
            if engine.image("other:1").is_err() {
                import("other:1", "removed");
            }
            if engine.container("one").is_err() {
                let one = Container::of("app:1").cmd(["x"]).name("one").keep().create(&engine).unwrap();
                one.copy_in(outside.path().join("source"), "/copied").unwrap();
            }
            drop(engine.volume("old").unwrap());
            let before = visible(&engine);
            let mut room = 0;
            loop {
                match of_files {
                    false => disk.leave(room, 1 << 20),
                    true => disk.leave(1 << 20, room),
                }
                let result = operation(&engine, outside.path());
                disk.leave(1 << 12, 1 << 12);
                let at = format!("{name} with room for {room} {}", if of_files { "files" } else { "pages" });
                assert_sound(&engine, &at);
                let Err(error) = result else { break };
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{at}: {error:?}");
                assert_eq!(visible(&engine), before, "{at}");
                // Where a reserve is kept, less than that is one point.
                room += if format!("{error:?}").contains("bytes are left") { 128 } else { 1 };
                points += 1;
                assert!(room < 2000, "{at}: {error:?}");
            }
        }
    }
    assert!(points > 100, "{points}");
}

/// Limits that keep no reserve.
fn to_the_last() -> Limits {
    Limits::default().free_space(ByteSize::bytes(0))
}

/// Takes back what an operation has made.
fn undo(engine: &Engine) {
    let _ = engine.remove_image("new:1");
    if let Ok(container) = engine.container("new") {
        container.remove().unwrap();
    }
    let _ = engine.remove_volume("new");
}
