//! Sixteen programs that do everything at once on one data root, and the store afterwards.
//!
//! Some seconds by default; `PLYWOOD_TEST_STRESS=60` goes on for that many.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::{Duration, Instant};

use plywood::image::{ImportOptions, Source, Target};
use plywood::prune::{Kind, Options};
use plywood::{Container, Durability, Engine, ErrorKind, Layers};
use support::left::assert_sound;
use support::victim::{self, Victim};
use support::{Tarball, base, run, sh};

const PROGRAMS: usize = 16;

/// How long the programs go on.
fn length() -> Duration {
    let seconds = std::env::var("PLYWOOD_TEST_STRESS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(3))
}

fn open(directory: &Path) -> Engine {
    Engine::open_with(directory.join("root"), Durability::Fast).unwrap()
}

/// What may happen to one program because of the others: nothing else is an error that it may see.
fn expect<T>(what: &str, result: plywood::Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InUse | ErrorKind::AlreadyExists) => None,
        Err(error) => panic!("{what}: {error:?}"),
    }
}

/// The work of one program: operations in an order of its own, on objects that others have too.
fn work(engine: &Engine, directory: &Path, mut random: u32) {
    let end = Instant::now() + length();
    let mut done = 0;
    while Instant::now() < end {
        // A linear congruence; its high digits are random enough.
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (which, number) = (random >> 28, (random >> 24) & 3);
        let (image, volume) = (format!("image:{number}"), format!("volume-{number}"));
        match which {
            0 | 1 => {
                let tar = Tarball::new().directory("dir").file("dir/file", [number as u8; 5000]).bytes();
                let options = ImportOptions::new().reference(&image).overwrite();
                expect("import", engine.import_with(Source::reader(&tar[..]), &options));
            }
            2 => drop(expect("remove an image", engine.remove_image(&image))),
            3 => drop(expect("tag", engine.tag(&image, &format!("other:{number}")))),
            4 => drop(expect("untag", engine.untag(&format!("other:{number}")))),
            5 | 6 => {
                let layers = Layers::new().from("shared:1").context(directory).copy("source", format!("/{number}"));
                let options = plywood::build::Options::new().tag(format!("built:{number}"));
                expect("build", engine.build_with(&layers, &options));
            }
            7 => drop(expect("create a volume", engine.volume(&volume))),
            8 => drop(expect("remove a volume", engine.remove_volume(&volume))),
            9 | 10 => {
                let definition = Container::of("shared:1").cmd(["sh"]).name(format!("name-{number}"));
                let mounted = expect("find a volume", engine.volume(&volume));
                let definition = mounted.iter().fold(definition, |it, volume| it.mount(volume.at("/data")));
                drop(expect("create", definition.create(engine)));
            }
            11 | 12 => {
                let output = Container::of("shared:1").cmd(["sh", "-c", "echo $((6 * 7))"]).output(engine).unwrap();
                assert_eq!(String::from_utf8_lossy(&output.stdout), "42\n");
            }
            13 => drop(expect("save", engine.save(&[&image], Target::writer(std::io::sink())))),
            14 => {
                let kinds = [Kind::Image, Kind::Volume, Kind::BuildCache][number as usize % 3];
                drop(expect("prune", engine.prune_with(&Options::new().only([kinds]))));
            }
            _ => {
                engine.images().unwrap();
                engine.volumes().unwrap();
                for container in engine.containers().unwrap() {
                    expect("inspect", container.inspect());
                }
            }
        }
        done += 1;
    }
    victim::tell(format_args!("done {done}"));
}

#[test]
fn c05_many_programs_leave_a_whole_store() {
    if let Some(directory) = victim::directory() {
        std::panic::set_hook(Box::new(|info| victim::tell(info.to_string().replace('\n', " "))));
        work(&open(&directory), &directory, std::process::id());
        return;
    }
    let directory = victim::Directory::new();
    std::fs::write(directory.path().join("source"), "content").unwrap();
    let engine = open(directory.path());
    engine.build_with(&base(), &plywood::build::Options::new().tag("shared:1")).unwrap();
    let start = |_| Victim::start("c05_many_programs_leave_a_whole_store", directory.path());
    let victims: Vec<_> = (0..PROGRAMS).map(start).collect();
    let mut done = 0;
    let mut faults = Vec::new();
    for mut victim in victims {
        let told = victim.hear().unwrap_or_default();
        match told.strip_prefix("done ") {
            Some(count) => done += count.parse::<usize>().unwrap(),
            None => faults.push(told),
        }
    }
    assert!(faults.is_empty(), "programs met errors that the others cannot be the reason of: {faults:#?}");
    assert!(done >= PROGRAMS, "{done}");
    drop(engine);
    let engine = open(directory.path());
    assert!(engine.containers().unwrap().is_empty());
    assert_sound(&engine, "afterwards");
    let shared = engine.image("shared:1").unwrap();
    assert_eq!(run(&engine, &shared, "echo works"), "works\n");
    drop(sh(&shared, "true").create(&engine).unwrap());
}
