//! Sixteen programs that do everything at once on one data root, and the store afterwards.
//!
//! Some seconds by default; `PLYWOOD_TEST_STRESS=60` goes on for that many.
//!
//! Taken out one by one, on purpose, what keeps the programs apart is missed here:
//!
//! | taken out | runs that failed | what they met |
//! |---|---|---|
//! | the lock of the store, around `repositories.json` | 3 of 3, in 3 s | tags of one's own that are lost, or are back |
//! | the locks of entries in the journal | 3 of 3, in 3 s | layers and containers that went while they were made |
//! | a sweep's look whether an entry has a holder | 3 of 3, in 3 s | the same, and containers without output |
//! | the lock of containers | 3 of 6 in 3 s, 1 of 1 in 20 s | one name twice; volumes that went from under a container |
//! | the lock of volumes | 1 of 3 in 3 s, 1 of 1 in 20 s | a volume that two have made |
//! | the lock of layers | 0 of 4, 20 s included | nothing: its gap lies between two calls, which `meetings.rs` goes into |

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use plywood::image::{ImportOptions, Source, Target};
use plywood::prune::{Kind, Options};
use plywood::{Container, Durability, Engine, ErrorKind, Layers};
use support::left::assert_sound;
use support::victim::{self, Victim};
use support::{Tarball, base, run, sh};

const PROGRAMS: usize = 16;

/// How many tags each program has for itself.
const OWN_TAGS: u32 = 4;

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

/// What one program has made for itself: nobody else touches it.
struct Own {
    name: String,
    tags: BTreeSet<u32>,
}

impl Own {
    fn reference(&self, number: u32) -> String {
        format!("{}:{number}", self.name)
    }

    /// Gives the shared image one more name, or takes one away.
    fn change(&mut self, engine: &Engine, number: u32) {
        let reference = self.reference(number);
        match self.tags.remove(&number) {
            true => engine.untag(&reference).unwrap(),
            false => {
                engine.tag("shared:1", &reference).unwrap();
                self.tags.insert(number);
            }
        }
    }

    /// What others have done to `repositories.json` has changed nothing of it.
    fn check(&self, engine: &Engine) {
        let shared = engine.image("shared:1").unwrap();
        let found: BTreeSet<_> = shared.references().iter().map(|reference| reference.familiar()).collect();
        for number in 0..OWN_TAGS {
            let (reference, expected) = (self.reference(number), self.tags.contains(&number));
            assert_eq!(found.contains(&reference), expected, "{reference} is a tag");
        }
    }
}

/// The work of one program: operations in an order of its own, on objects that others have too.
fn work(engine: &Engine, directory: &Path, mut random: u32) {
    let end = Instant::now() + length();
    let mut done = 0;
    let mut own = Own { name: format!("own-{random}"), tags: BTreeSet::new() };
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
            3 => {
                drop(expect("tag", engine.tag(&image, &format!("other:{number}"))));
                own.change(engine, number % OWN_TAGS);
            }
            4 => {
                expect("untag", engine.untag(&format!("other:{number}")));
                own.change(engine, number % OWN_TAGS);
            }
            5 | 6 => {
                let below = if which == 5 { "shared:1" } else { &image };
                let layers = Layers::new().from(below).context(directory).copy("source", format!("/{number}"));
                let options = plywood::build::Options::new().tag(format!("built:{number}"));
                expect("build", engine.build_with(&layers, &options));
            }
            7 => drop(expect("find or create a volume", engine.volume(&volume))),
            8 => {
                expect("remove a volume", engine.remove_volume(&volume));
                let volume = format!("held-{number}");
                let created = engine.create_volume(&volume, [("by".to_owned(), own.name.clone())].into());
                if let Some(created) = expect("create a volume", created) {
                    alone(directory, &volume, || assert_eq!(created.labels()["by"], own.name));
                    engine.remove_volume(&volume).unwrap();
                }
            }
            9 | 10 => {
                let definition = Container::of("shared:1").cmd(["sh"]).name(format!("name-{number}"));
                let mounted = expect("find a volume", engine.volume(&volume));
                let definition = mounted.iter().fold(definition, |it, volume| it.mount(volume.at("/data")));
                if let Some(container) = expect("create", definition.create(engine)) {
                    alone(directory, container.name(), || drop(engine.containers().unwrap()));
                    if let Some(volume) = mounted {
                        assert!(volume.path().is_dir(), "{volume:?} is gone while a container has it");
                    }
                }
                // Its layers stay as long as it does, whoever removes the image.
                if let Some(container) = expect("create", Container::of(image.as_str()).cmd(["none"]).create(engine)) {
                    container.export(std::io::sink()).unwrap();
                }
            }
            11 | 12 => {
                let output = Container::of("shared:1").cmd(["sh", "-c", "echo $((6 * 7))"]).output(engine).unwrap();
                assert_eq!(String::from_utf8_lossy(&output.stdout), "42\n");
            }
            13 => drop(expect("save", engine.save(&[&image], Target::writer(std::io::sink())))),
            14 => {
                let kinds = [Kind::Image, Kind::Volume, Kind::BuildCache][number as usize % 3];
                let options = Options::new().only([kinds]);
                let options = if kinds == Kind::Volume { options.without_label("by") } else { options };
                drop(expect("prune", engine.prune_with(&options)));
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
        own.check(engine);
    }
    victim::tell(format_args!("done {done}"));
}

/// Does something while this program has what is called so: nobody else has it then.
fn alone(directory: &Path, name: &str, act: impl FnOnce()) {
    let mark = directory.join(format!("{name}-is-taken"));
    let taken = File::create_new(&mark);
    assert!(taken.is_ok(), "two programs have {name}: {taken:?}");
    act();
    std::fs::remove_file(&mark).unwrap();
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
