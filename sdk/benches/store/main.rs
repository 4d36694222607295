//! What the store costs: loads, commits, saves, and data roots with a lot in them, beside tar and the peers that are installed.
//!
//! `cargo bench -p plywood --features zstd --bench store`, as root. Everything lies on a loop file system of its own, fresh for each
//! table, in a mount namespace that ends with this program. Candidates take turns, and what counts are the ratios of medians.
//! `PLYWOOD_BENCH_ROUNDS` is how often each is measured (default 5), `PLYWOOD_BENCH_DIR` where the file systems lie. The stores
//! are `Durability::Full`, as those of users are, unless a row says `Fast`; beside what is on the disk when it returns stands
//! what syncs as well. `processor` is the time of both in user and kernel, without that of the disk and of daemons.
//! For the build that a user's manifest gives, without the lines of this workspace: `cargo bench --profile dev
//! --config 'profile.dev.package.sha2.opt-level=0' --config 'profile.dev.package.zlib-rs.opt-level=0' --config
//! 'profile.dev.package.flate2.opt-level=0' --config 'profile.dev.package.tar.opt-level=0' -p plywood --bench store -- loads`.
//! Arguments choose among the tables: `cargo bench -p plywood --bench store -- commits stacks`.
#![allow(missing_docs, unsafe_code, missing_debug_implementations, clippy::print_stdout, clippy::unwrap_used)]

mod archives;
mod disk;
#[path = "../peers/docker.rs"]
mod docker;
mod peers;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use disk::Disk;
use docker::Docker;
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
        let again = engine(&disk.path().join(format!("again-{form}")));
        let _ = again.load(archive).unwrap();
        let docker = Docker::start(disk.path());
        let mut table = Table::default();
        table.rate(image.bytes);
        for _ in 0..=rounds {
            let roots = ["plywood", "fast", "import"].map(&mut fresh);
            let [full, fast, import] = roots.each_ref().map(|root| {
                let durability = if root == &roots[1] { Durability::Fast } else { Durability::Full };
                Engine::open_with(root, durability).unwrap()
            });
            let targets = ["tar", "tar-sync"].map(&mut fresh);
            targets.iter().for_each(|target| std::fs::create_dir(target).unwrap());
            let layer = image.layer(form);
            table.add("load", timed(|| full.load(archive).unwrap()));
            table.add("tar -x, then sync", timed(|| peers::extract_durably(&layer, &targets[1])));
            table.add("load, Fast", timed(|| fast.load(archive).unwrap()));
            table.add("tar -x", timed(|| peers::extract(&layer, &targets[0])));
            // Nothing of the others is left to write.
            peers::sync(disk.path());
            table.add("import of its files", timed(|| import.import(&*layer).unwrap()));
            table.add("load, already there", timed(|| again.load(archive).unwrap()));
            if let Some(cost) = docker.as_ref().and_then(|docker| peers::load(docker, archive)) {
                table.add("docker load", cost);
            }
            drop((full, fast, import));
            disk::empty(roots.iter().chain(&targets));
        }
        table.print(form);
    }
}

fn commits(rounds: usize) {
    type Script = fn(&Path) -> String;
    let scripts: [(_, Script); 2] =
        [("one file of 200 MB", archives::large_file_script), ("20,000 small files", archives::small_files_script)];
    for (title, script) in scripts {
        let disk = Disk::new();
        let engine = engine(&disk.path().join("root"));
        let image = programs(&engine);
        let in_container = script(Path::new("/"));
        let made = |engine: &Engine| {
            let container = Container::of(&image).cmd(["sh", "-c", &in_container]).start(engine).unwrap();
            assert!(container.wait().unwrap().success());
            container
        };
        let (bare, copy) = (disk.path().join("bare"), disk.path().join("copy"));
        let bare_made = || {
            std::fs::create_dir(&bare).unwrap();
            disk::run("sh", ["-c", &script(&bare)]);
        };
        let mut table = Table::default();
        for _ in 0..=rounds {
            let container = made(&engine);
            table.add("commit, files moved", timed(|| container.into_commit().run().unwrap()));
            bare_made();
            table.add("sync of the same files", timed(|| peers::sync(&bare)));
            disk::empty([&bare]);
            let container = made(&engine);
            table.add("commit, files copied", timed(|| container.commit().run().unwrap()));
            drop(container);
            bare_made();
            table.add("cp -a of the same, then sync", timed(|| peers::copy_durably(&bare, &copy)));
            disk::empty([&bare, &copy]);
            let container = made(&engine);
            table.add("snapshot, without a digest", timed(|| container.snapshot().unwrap()));
            engine.prune().unwrap();
        }
        table.print(&format!("commit of {title}"));
    }
}

fn exports(rounds: usize) {
    let disk = Disk::new();
    let archive = archives::image(disk.path());
    let engine = engine(&disk.path().join("root"));
    let loaded = engine.load(archive.archive("tar")).unwrap();
    let container = Container::of(loaded[0].image()).cmd(["/none"]).create(&engine).unwrap();
    let [saved, exported, copied, packed] =
        ["saved", "exported", "copied", "packed"].map(|name| disk.path().join(name));
    let tree = disk.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    peers::extract_durably(&archive.layer("tar"), &tree);
    let mut table = Table::default();
    for _ in 0..=rounds {
        table.add("save", timed(|| engine.save(&["bench:1"], &saved).unwrap()));
        table.add("copy of the archive, then sync", timed(|| peers::copy_durably(archive.archive("tar"), &copied)));
        let export = || container.export(std::fs::File::create(&exported).unwrap()).unwrap();
        table.add("export of a container", timed(export));
        table.add("tar -c of the same files", timed(|| peers::pack(&tree, &packed)));
        disk::empty([&saved, &exported, &copied, &packed]);
    }
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
    let mut table = Table::default();
    for _ in 0..=rounds * 20 {
        table.add("of 120 layers", create(&images[1]));
        table.add("of 3 layers", create(&images[0]));
    }
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
    [("open", open), ("list of the images", images), ("list of the containers", containers)]
        .into_iter()
        .for_each(|(name, costs)| costs.into_iter().for_each(|cost| table.add(name, cost)));
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

/// What one run took.
#[derive(Clone, Copy)]
struct Cost {
    wall: Duration,
    /// User and system time of this program and of those it has waited for; `None` if a daemon did the work.
    processor: Option<Duration>,
}

/// Measurements of one thing in several ways; the first row is ours.
#[derive(Default)]
struct Table {
    rows: Vec<(&'static str, Vec<Cost>)>,
    bytes: Option<u64>,
}

impl Table {
    fn add(&mut self, name: &'static str, cost: Cost) {
        match self.rows.iter_mut().find(|(known, _)| *known == name) {
            Some((_, costs)) => costs.push(cost),
            None => self.rows.push((name, vec![cost])),
        }
    }

    /// How much the first row moves.
    fn rate(&mut self, bytes: u64) {
        self.bytes = Some(bytes);
    }

    /// The first measurement of each row warms caches and counts for nothing.
    fn print(self, title: &str) {
        println!("{title}");
        let wall = |costs: &[Cost]| median(costs[1..].iter().map(|cost| cost.wall));
        let ours = wall(&self.rows[0].1).as_secs_f64();
        for (number, (name, costs)) in self.rows.iter().enumerate() {
            let rate = self.bytes.filter(|_| number == 0);
            let rate = rate.map(|bytes| format!("  {:.0} MB/s", bytes as f64 / 1e6 / ours)).unwrap_or_default();
            let seconds = wall(costs).as_secs_f64();
            let processor: Option<Vec<_>> = costs[1..].iter().map(|cost| cost.processor).collect();
            let processor = processor.map_or_else(
                || " ".repeat(24),
                |times| format!("  processor {:9.2} ms", median(times.into_iter()).as_secs_f64() * 1e3),
            );
            println!("  {name:30} {:9.2} ms{processor}  ratio {:6.2}{rate}", seconds * 1e3, ours / seconds);
        }
        println!();
    }
}

fn timed<T>(run: impl FnOnce() -> T) -> Cost {
    let (begin, before) = (Instant::now(), processor());
    let made = run();
    let cost = Cost { wall: begin.elapsed(), processor: Some(processor() - before) };
    drop(made);
    cost
}

/// User and system time of this program and of the children it has waited for.
fn processor() -> Duration {
    let times = [libc::RUSAGE_SELF, libc::RUSAGE_CHILDREN].map(|whose| {
        let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: the kernel writes no more than this structure.
        assert_eq!(unsafe { libc::getrusage(whose, usage.as_mut_ptr()) }, 0);
        // SAFETY: it was written, and is numbers only.
        let usage = unsafe { usage.assume_init() };
        [usage.ru_utime, usage.ru_stime]
    });
    let seconds = |time: &libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    times.as_flattened().iter().map(seconds).sum()
}

fn median(times: impl Iterator<Item = Duration>) -> Duration {
    let mut sorted: Vec<_> = times.collect();
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
