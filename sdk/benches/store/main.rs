//! What the store costs: loads, commits, saves, and data roots with a lot in them, beside tar and the peers that are installed.
//!
//! `cargo bench -p plywood --features zstd --bench store`, as root. Everything lies on a loop file system of its own, fresh for each
//! table, in a mount namespace that ends with this program. Candidates take turns, and what counts are the ratios of medians.
//! `PLYWOOD_BENCH_ROUNDS` is how often each is measured (default 5), `PLYWOOD_BENCH_DIR` where the file systems lie. The stores
//! are `Durability::Full`, as those of users are. `cargo bench --profile dev` shows the build that a user's manifest gives.
//! Arguments choose among the tables: `cargo bench -p plywood --bench store -- commits stacks`.
#![allow(missing_docs, unsafe_code, missing_debug_implementations, clippy::print_stdout, clippy::unwrap_used)]

mod archives;
mod disk;
mod peers;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use disk::Disk;
use plywood::{Container, Durability, Engine, Image, Layers};

/// A data root with a lot in it.
const IMAGES: usize = 1000;
const LAYERS_EACH: usize = 5;
const CONTAINERS: usize = 1000;

fn main() {
    if !rustix::process::geteuid().is_root() {
        println!("loop file systems need root: nothing is measured");
        return;
    }
    let rounds = std::env::var("PLYWOOD_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    disk::enter_own_namespace();
    let build = if cfg!(debug_assertions) { "without" } else { "with" };
    println!("{rounds} rounds, medians; a build {build} optimisation; ratio: plywood against the candidate\n");
    let chosen: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_chosen = |name: &str| chosen.is_empty() || chosen.iter().any(|chosen| chosen == name);
    for name in ["loads", "commits", "exports", "stacks", "crowd"].into_iter().filter(|name| is_chosen(name)) {
        match name {
            "loads" => loads(rounds),
            "commits" => commits(rounds),
            "exports" => exports(rounds),
            "stacks" => stacks(rounds),
            _ => crowd(rounds),
        }
    }
}

fn engine(root: &Path) -> Engine {
    Engine::open_with(root, Durability::Full).unwrap()
}

/// A number for each call, so that every measurement has a place of its own.
fn counter() -> impl FnMut() -> usize {
    let mut number = 0;
    move || {
        number += 1;
        number
    }
}

fn loads(rounds: usize) {
    let disk = Disk::new();
    let image = archives::image(disk.path());
    println!("load of an image of {} MB in {} files", image.bytes / 1_000_000, archives::FILES);
    for (form, archive) in &image.archives {
        let mut next = counter();
        let mut fresh = |kind: &str| disk.path().join(format!("{kind}-{form}-{}", next()));
        let mut table = Table::default();
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        let docker = peers::Docker::start(disk.path());
        for _ in 0..=rounds {
            let root = fresh("plywood");
            let opened = engine(&root);
            ours.push(timed(|| opened.load(archive).unwrap()));
            drop(opened);
            let target = fresh("tar");
            std::fs::create_dir(&target).unwrap();
            theirs.push(timed(|| peers::extract(&image.layer(form), &target)));
            disk::empty([&root, &target]);
        }
        let again = disk.path().join(format!("again-{form}"));
        let opened = engine(&again);
        let _ = opened.load(archive).unwrap();
        let already: Vec<_> = (0..=rounds).map(|_| timed(|| opened.load(archive).unwrap())).collect();
        let imported: Vec<_> = (0..=rounds)
            .map(|_| {
                let root = fresh("import");
                let opened = engine(&root);
                let time = timed(|| opened.import(image.layer(form)).unwrap());
                drop(opened);
                disk::empty([&root]);
                time
            })
            .collect();
        table.row("load", &ours);
        table.rate(image.bytes);
        table.row("tar -x", &theirs);
        table.row("import of its files", &imported);
        table.row("load, already there", &already);
        if let Some(docker) = docker {
            let loads: Option<Vec<_>> = (0..=rounds.min(2)).map(|_| docker.load(archive)).collect();
            loads.iter().for_each(|loads| table.row("docker load", loads));
        }
        table.print(form);
    }
}

fn commits(rounds: usize) {
    for (title, script) in [
        ("one file of 200 MB", "dd if=/dev/urandom of=/big bs=1000000 count=200 2>/dev/null".to_owned()),
        ("20,000 small files", archives::small_files_script(20_000)),
    ] {
        let disk = Disk::new();
        let engine = engine(&disk.path().join("root"));
        let image = programs(&engine);
        let made = |engine: &Engine| {
            let container = Container::of(&image).cmd(["sh", "-c", &script]).start(engine).unwrap();
            assert!(container.wait().unwrap().success());
            container
        };
        let (mut commits, mut moves, mut snapshots) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..=rounds {
            let container = made(&engine);
            commits.push(timed(|| container.commit().run().unwrap()));
            drop(container);
            let container = made(&engine);
            moves.push(timed(|| container.into_commit().run().unwrap()));
            let container = made(&engine);
            snapshots.push(timed(|| container.snapshot().unwrap()));
            engine.prune().unwrap();
        }
        let mut table = Table::default();
        table.row("commit, files moved", &moves);
        table.row("commit, files copied", &commits);
        table.row("snapshot, without a digest", &snapshots);
        table.print(&format!("commit of {title}"));
    }
}

fn exports(rounds: usize) {
    let disk = Disk::new();
    let archive = archives::image(disk.path());
    let engine = engine(&disk.path().join("root"));
    let loaded = engine.load(archive.archive("tar")).unwrap();
    let container = Container::of(loaded[0].image()).cmd(["/none"]).create(&engine).unwrap();
    let (saved, exported) = (disk.path().join("saved.tar"), disk.path().join("exported.tar"));
    let save: Vec<_> = (0..=rounds).map(|_| timed(|| engine.save(&["bench:1"], &saved).unwrap())).collect();
    let export: Vec<_> =
        (0..=rounds).map(|_| timed(|| container.export(std::fs::File::create(&exported).unwrap()).unwrap())).collect();
    let copy: Vec<_> = (0..=rounds).map(|_| timed(|| std::fs::copy(archive.archive("tar"), &saved).unwrap())).collect();
    let mut table = Table::default();
    table.row("save", &save);
    table.row("export of a container", &export);
    table.row("copy of the archive", &copy);
    table.print("save and export of the same image");
}

/// A container of an image with many layers, and of one with few.
fn stacks(rounds: usize) {
    let disk = Disk::new();
    let engine = engine(&disk.path().join("root"));
    let mut images = Vec::new();
    for layers in [3, 120] {
        let archive = disk.path().join(format!("{layers}.tar"));
        archives::many(&archive, 1, layers);
        images.push(engine.load(&archive).unwrap().remove(0).image().clone());
    }
    let create = |image: &Image| timed(|| Container::of(image).cmd(["/none"]).create(&engine).unwrap());
    let mut times = vec![Vec::new(); images.len()];
    for _ in 0..=rounds * 20 {
        for (image, times) in images.iter().zip(&mut times) {
            times.push(create(image));
        }
    }
    let mut table = Table::default();
    table.row("of 120 layers", &times[1]);
    table.row("of 3 layers", &times[0]);
    table.print("creation and removal of a container");
}

fn crowd(rounds: usize) {
    let disk = Disk::new();
    let root = disk.path().join("root");
    let archive = disk.path().join("many.tar");
    archives::many(&archive, IMAGES, LAYERS_EACH);
    let first = Engine::open_with(&root, Durability::Fast).unwrap();
    let image = first.load(&archive).unwrap().remove(0).image().clone();
    for _ in 0..CONTAINERS {
        Container::of(&image).cmd(["/none"]).create(&first).unwrap().persist().unwrap();
    }
    drop((first, image));
    let open: Vec<_> = (0..=rounds * 4).map(|_| timed(|| engine(&root))).collect();
    let opened = engine(&root);
    let before = resident();
    let images: Vec<_> = (0..=rounds).map(|_| timed(|| assert_eq!(opened.images().unwrap().len(), IMAGES))).collect();
    let containers: Vec<_> =
        (0..=rounds).map(|_| timed(|| assert_eq!(opened.containers().unwrap().len(), CONTAINERS))).collect();
    let once = resident();
    (0..10).for_each(|_| drop((opened.images().unwrap(), opened.containers().unwrap())));
    let mut table = Table::default();
    table.row("open", &open);
    table.row("list of the images", &images);
    table.row("list of the containers", &containers);
    table.print(&format!("a data root with {IMAGES} images, {} layers, {CONTAINERS} containers", IMAGES * LAYERS_EACH));
    println!("  resident memory: {before} KiB before, {once} after a list of each, {} after ten more\n", resident());
}

fn programs(engine: &Engine) -> Image {
    let image = engine.build(&Layers::from_host(["sh", "dd", "split", "seq", "mkdir"])).unwrap();
    // A prune leaves what has a name.
    engine.tag(&image.id().to_string(), "programs:1").unwrap()
}

/// Resident memory of this program, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Measurements of one thing in several ways; the first row is ours.
#[derive(Default)]
struct Table {
    rows: Vec<(String, Duration)>,
    bytes: Option<u64>,
}

impl Table {
    /// The first measurement warms caches and counts for nothing.
    fn row(&mut self, name: &str, times: &[Duration]) {
        self.rows.push((name.to_owned(), median(&times[1..])));
    }

    /// How much the first row moves.
    fn rate(&mut self, bytes: u64) {
        self.bytes = Some(bytes);
    }

    fn print(self, title: &str) {
        println!("{title}");
        let ours = self.rows[0].1.as_secs_f64();
        for (number, (name, time)) in self.rows.iter().enumerate() {
            let rate = self.bytes.filter(|_| number == 0);
            let rate = rate.map(|bytes| format!("  {:.0} MB/s", bytes as f64 / 1e6 / ours)).unwrap_or_default();
            let seconds = time.as_secs_f64();
            println!("  {name:30} {:9.2} ms  ratio {:6.2}{rate}", seconds * 1e3, ours / seconds);
        }
        println!();
    }
}

fn timed<T>(run: impl FnOnce() -> T) -> Duration {
    let begin = Instant::now();
    let made = run();
    let time = begin.elapsed();
    drop(made);
    time
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}

/// The archives of one image, by how they are compressed.
struct Archives {
    bytes: u64,
    archives: Vec<(&'static str, PathBuf)>,
    layers: Vec<(&'static str, PathBuf)>,
}

impl Archives {
    fn archive(&self, form: &str) -> &Path {
        &self.archives.iter().find(|(known, _)| *known == form).unwrap().1
    }

    fn layer(&self, form: &str) -> PathBuf {
        self.layers.iter().find(|(known, _)| *known == form).unwrap().1.clone()
    }
}
