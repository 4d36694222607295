//! Random damage to everything that is read: whatever comes of it, nothing panics, hangs or grows without end (C19).
//!
//! Each run makes the same changes; `PLYWOOD_TEST_DAMAGE=20` makes twenty times as many.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use plywood::image::{Dockerfile, LoadOptions, Source};
use plywood::{Durability, Engine, Image, ImageDefinition, Mount};
use support::{base, image, sh, victim};

/// Longer than anything that is read may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A generator of numbers that are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end.max(1) as u64).unwrap()
    }

    /// Bytes with one to four changes: a byte, a piece removed, doubled or moved, a cut, a word that means something.
    fn damaged(&mut self, bytes: &[u8]) -> Vec<u8> {
        const WORDS: [&[u8]; 14] = [
            b"null",
            b"-1",
            b"18446744073709551616",
            b"1e999",
            b"{}",
            b"[]",
            b"\"\"",
            b"../../etc",
            b"\0",
            b"\xff\xfe",
            b"${A:-${A}}",
            b"<<EOF",
            b"\\",
            b"\n",
        ];
        let mut bytes = bytes.to_vec();
        for _ in 0..1 + self.below(4) {
            let at = self.below(bytes.len() + 1);
            let end = (at + 1 + self.below(16)).min(bytes.len()).max(at);
            match self.below(6) {
                0 if at < bytes.len() => bytes[at] = u8::try_from(self.below(256)).unwrap(),
                1 => drop(bytes.drain(at..end)),
                2 => {
                    let piece = bytes[at..end].to_vec();
                    bytes.splice(at..at, piece.repeat(1 + self.below(40)));
                }
                3 => bytes.truncate(at),
                4 => {
                    let piece: Vec<u8> = bytes.drain(at..end).collect();
                    let to = self.below(bytes.len() + 1);
                    bytes.splice(to..to, piece);
                }
                _ => drop(bytes.splice(at..end, WORDS[self.below(WORDS.len())].iter().copied())),
            }
        }
        bytes
    }
}

fn rounds(count: usize) -> usize {
    count * std::env::var("PLYWOOD_TEST_DAMAGE").ok().and_then(|times| times.parse().ok()).unwrap_or(1)
}

/// What is read in time.
fn in_time<T>(what: impl std::fmt::Debug, work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let result = work();
    assert!(began.elapsed() < PATIENCE, "{what:?} took {:?}", began.elapsed());
    result
}

#[test]
fn c19_damaged_dockerfiles_and_references_are_read_or_refused() {
    let corpus = fs::read_to_string(support::workspace().join("tests/fixtures/lines.txt")).unwrap();
    let lines: Vec<String> =
        corpus.lines().filter_map(|line| line.get(2..)).map(|it| it.replace('\u{2424}', "\n")).collect();
    assert!(lines.len() > 100);
    let (mut numbers, mut read) = (Numbers(0x9e37_79b9_7f4a_7c15), 0);
    for _ in 0..rounds(3000) {
        let line = &lines[numbers.below(lines.len())];
        let text = numbers.damaged(line.as_bytes());
        let text = String::from_utf8_lossy(&text);
        let whole = if text.contains("FROM") { text.into_owned() } else { format!("FROM debian:12\n{text}") };
        if let Ok(file) = in_time(&whole, || Dockerfile::parse(&whole)) {
            read += 1;
            // What can be read can be printed, and says the same then.
            let printed = file.layers().to_string();
            Dockerfile::parse(&printed).unwrap_or_else(|error| panic!("{whole:?} as {printed:?}: {error:?}"));
        }
        for word in whole.split_whitespace() {
            if let Ok(reference) = plywood::Reference::parse(word) {
                assert_eq!(plywood::Reference::parse(&reference.to_string()).unwrap(), reference, "{word:?}");
            }
        }
    }
    assert!(read > 100, "{read} were read");
}

/// The small files of a store below a directory.
fn documents(directory: &Path) -> Vec<PathBuf> {
    let (mut found, mut pending) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(path) = pending.pop() {
        let metadata = path.symlink_metadata().unwrap();
        if metadata.is_dir() && path.file_name().is_none_or(|name| name != "diff") {
            pending.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if metadata.is_file() && (1..1 << 17).contains(&metadata.len()) {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn c19_a_store_with_a_damaged_document_opens_and_says_what_it_finds() {
    let directory = victim::Directory::new();
    let root = directory.path().join("root");
    {
        let engine = Engine::open_with(&root, Durability::Fast).unwrap();
        let image: Image = engine.build(&base().run("echo one >/file").label("a", "b")).unwrap();
        engine.tag(&image.id().to_string(), "test:1").unwrap();
        let made = sh(&image, "echo two >/file").name("ended").mount(Mount::volume("data", "/data"));
        let mut container = made.start(&engine).unwrap();
        assert!(container.wait().unwrap().success());
        container.persist().unwrap();
        engine.create_volume("labelled", [("k".to_owned(), "v".to_owned())].into()).unwrap();
    }
    let files: Vec<PathBuf> =
        ["image", "containers", "volumes"].iter().flat_map(|name| documents(&root.join(name))).collect();
    assert!(files.len() > 15, "{files:?}");
    let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
    for round in 0..rounds(120) {
        let file = &files[round % files.len()];
        let before = fs::read(file).unwrap();
        let damaged = numbers.damaged(&before);
        fs::write(file, &damaged).unwrap();
        let what = (file, String::from_utf8_lossy(&damaged).into_owned());
        in_time(&what, || {
            let Ok(engine) = Engine::open_with(&root, Durability::Fast) else { return };
            let _ = engine.images().map(|images| images.iter().map(|image| image.size()).sum::<u64>());
            for container in engine.containers().into_iter().flatten() {
                let _ = (container.state(), container.inspect(), container.diff());
                let _ = container.logs().read().map(Iterator::count);
            }
            let _ = (engine.volumes(), engine.disk_usage(), engine.fsck());
        });
        fs::write(file, before).unwrap();
    }
    let engine = Engine::open_with(&root, Durability::Fast).unwrap();
    let report = engine.fsck().unwrap();
    assert!(report.is_sound(), "reading has changed something: {report:#?}");
}

#[test]
fn c19_damaged_documents_of_an_archive_are_loaded_or_refused() {
    let engine = support::engine();
    let image = image(&engine);
    engine.tag(&image.id().to_string(), "saved:1").unwrap();
    let mut archive = Vec::new();
    engine.save(&["saved:1"], plywood::image::Target::writer(&mut archive)).unwrap();
    let small = |entry: &tar::Entry<'_, &[u8]>| entry.header().size().unwrap() < 1 << 16;
    let place = |entry: tar::Entry<'_, &[u8]>| {
        let start = usize::try_from(entry.raw_file_position()).unwrap();
        start..start + usize::try_from(entry.header().size().unwrap()).unwrap()
    };
    let entries: Vec<_> = tar::Archive::new(&archive[..])
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(small)
        .map(place)
        .collect();
    let mut numbers = Numbers(0x1234_5678_9abc_def1);
    let other = support::engine();
    for round in 0..rounds(120) {
        let range = entries[round % entries.len()].clone();
        let mut document = numbers.damaged(&archive[range.clone()]);
        // As long as it was: the archive around it stays whole.
        document.resize(range.len(), b' ');
        let mut damaged = archive.clone();
        damaged[range].copy_from_slice(&document);
        let text = String::from_utf8_lossy(&document).into_owned();
        let loaded = in_time(&text, || other.load_with(Source::reader(&damaged[..]), &LoadOptions::new().overwrite()));
        for image in loaded.into_iter().flatten() {
            let _ = other.remove_image(&image.image().id().to_string());
        }
    }
    assert!(other.fsck().unwrap().is_sound());
}
