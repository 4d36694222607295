//! What starting, entering and keeping a container costs, beside the peers that are installed and the bare system calls.
//!
//! `cargo bench -p plywood --bench runtime`, as root. Candidates take turns (A B A B …) in one run, and what counts are
//! the ratios of medians: the machine's load moves all of them. `PLYWOOD_BENCH_ROUNDS` is how often each is measured
//! (default 40), `PLYWOOD_BENCH_DIR` where the data root and the peers' bundles lie (default: the temporary directory).
//! The store is `Durability::Fast`, as in tests.
#![allow(missing_docs, unsafe_code, missing_debug_implementations, clippy::print_stdout, clippy::unwrap_used)]

mod peers;
mod recipe;

use std::path::Path;
use std::time::{Duration, Instant};

use plywood::container::NetworkMode;
use plywood::{Container, Durability, Engine, Image, Layers};
use recipe::{Enter, Recipe};

/// How many containers one after another, and how many at once.
const IN_A_ROW: usize = 1000;
const IN_FLIGHT: usize = 200;

fn main() {
    if !rustix::process::geteuid().is_root() {
        println!("the peers need root: nothing is measured");
        return;
    }
    peers::hide_hybrid_cgroups();
    let rounds = std::env::var("PLYWOOD_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(40);
    let parent = std::env::var_os("PLYWOOD_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let directory = tempfile::Builder::new().prefix("plywood-bench-").tempdir_in(parent).unwrap();
    let scene = Scene::new(directory.path());
    println!("{rounds} rounds, medians; ratio: plywood against the candidate (below 1: plywood is faster)\n");
    scene.start_to_exit(rounds);
    scene.without_network(rounds);
    scene.exec(rounds);
    scene.in_a_row();
    scene.in_flight();
    scene.idle();
}

struct Scene {
    engine: Engine,
    image: Image,
    bundle: peers::Bundle,
    with_network: Recipe,
    without_network: Recipe,
}

impl Scene {
    fn new(directory: &Path) -> Self {
        let root = directory.join("root");
        let engine = Engine::open_with(&root, Durability::Fast).unwrap();
        let image = engine.build(&Layers::from_host(["sh", "sleep", "true"])).unwrap();
        let rootfs = directory.join("bundle/rootfs");
        let lower = engine.path().join("overlay2").join(image.layers()[0].cache_id().as_str()).join("diff");
        let bundle = peers::Bundle::new(&lower, &rootfs);
        let recipe = |name: &str, own_network| {
            let (upper, work) = (directory.join(name).join("upper"), directory.join(name).join("work"));
            [&upper, &work].into_iter().for_each(|path| std::fs::create_dir_all(path).unwrap());
            Recipe::new(&rootfs, &upper, &work, bundle.program("true"), own_network)
        };
        let (with_network, without_network) = (recipe("recipe", true), recipe("recipe-host", false));
        Self { engine, image, bundle, with_network, without_network }
    }

    fn start_to_exit(&self, rounds: usize) {
        let ours = || {
            assert!(Container::of(&self.image).cmd(["true"]).status(&self.engine).unwrap().success());
        };
        let created = Container::of(&self.image).cmd(["true"]).create(&self.engine).unwrap();
        let mut table = Table::new("start to exit of `true`, isolated by default (create, start, wait, remove)", ours);
        table.add("plywood, start and wait only", || {
            created.start().unwrap();
            assert!(created.wait().unwrap().success());
        });
        table.add("bare system calls", || self.with_network.run());
        for (name, run) in self.bundle.runs() {
            table.add(name, run);
        }
        table.print(rounds);
    }

    fn without_network(&self, rounds: usize) {
        let ours = || {
            let definition = Container::of(&self.image).cmd(["true"]).network(NetworkMode::Host);
            assert!(definition.status(&self.engine).unwrap().success());
        };
        let mut table = Table::new("the same with the network of the host", ours);
        table.add("bare system calls", || self.without_network.run());
        if let Some(run) = self.bundle.bwrap(false) {
            table.add("bwrap", run);
        }
        table.print(rounds);
    }

    fn exec(&self, rounds: usize) {
        let container = Container::of(&self.image).cmd(["sleep", "3600"]).start(&self.engine).unwrap();
        let running = self.bundle.running();
        let enter = Enter::new(container.inspect().unwrap().pid().unwrap(), self.bundle.program("true"));
        let mut table = Table::new("exec of `true` in a running container", || {
            assert!(container.exec(["true"]).status().unwrap().success());
        });
        table.add("bare system calls", || enter.run());
        for (name, exec) in running.iter().map(peers::Running::exec) {
            table.add(name, exec);
        }
        table.print(rounds);
    }

    fn in_a_row(&self) {
        let definition = Container::of(&self.image).cmd(["true"]);
        let one = || definition.status(&self.engine).unwrap();
        for _ in 0..20 {
            let _ = one();
        }
        let before = Own::now();
        let times: Vec<Duration> = (0..IN_A_ROW).map(|_| timed(&one)).collect();
        let after = Own::now();
        let (first, last) = (median(&times[..100]), median(&times[IN_A_ROW - 100..]));
        let rate = IN_A_ROW as f64 / times.iter().sum::<Duration>().as_secs_f64();
        println!("{IN_A_ROW} containers one after another: {rate:.0} a second");
        println!("  the last hundred against the first: {:.2}", last.as_secs_f64() / first.as_secs_f64());
        println!(
            "  descriptors {}, threads {}, memory {}\n",
            after.files.against(before.files),
            after.threads.against(before.threads),
            after.memory.against(before.memory)
        );
    }

    fn in_flight(&self) {
        let (engine, definition) = (&self.engine, Container::of(&self.image).cmd(["true"]));
        let begin = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..IN_FLIGHT {
                scope.spawn(|| assert!(definition.status(engine).unwrap().success()));
            }
        });
        let rate = IN_FLIGHT as f64 / begin.elapsed().as_secs_f64();
        println!("{IN_FLIGHT} containers at once: {rate:.0} a second\n");
    }

    fn idle(&self) {
        const COUNT: usize = 20;
        let before = peers::processes();
        let definition = Container::of(&self.image).cmd(["sleep", "3600"]);
        let containers: Vec<_> = (0..COUNT).map(|_| definition.start(&self.engine).unwrap()).collect();
        let ours = peers::processes() - before;
        let (cpu, begin) = (Own::now().cpu, Instant::now());
        std::thread::sleep(Duration::from_secs(3));
        let used = Own::now().cpu - cpu;
        println!("{COUNT} idle containers: {ours} processes more than before, the payloads included");
        println!("  processor time of this program: {used:?} in {:?}\n", begin.elapsed());
        drop(containers);
    }
}

/// Candidates for one piece of work; the first is ours.
struct Table<'a> {
    title: &'static str,
    candidates: Vec<(String, Box<dyn FnMut() + 'a>)>,
}

impl<'a> Table<'a> {
    fn new(title: &'static str, ours: impl FnMut() + 'a) -> Self {
        Self { title, candidates: vec![("plywood".to_owned(), Box::new(ours))] }
    }

    fn add(&mut self, name: impl Into<String>, run: impl FnMut() + 'a) {
        self.candidates.push((name.into(), Box::new(run)));
    }

    fn print(mut self, rounds: usize) {
        let mut times = vec![Vec::with_capacity(rounds); self.candidates.len()];
        // The first two warm caches and count for nothing.
        for round in 0..rounds + 2 {
            for ((_, run), times) in self.candidates.iter_mut().zip(&mut times) {
                let time = timed(run);
                if round >= 2 {
                    times.push(time);
                }
            }
        }
        println!("{}", self.title);
        let ours = median(&times[0]);
        for ((name, _), times) in self.candidates.iter().zip(&times) {
            let (median, best) = (median(times), times.iter().min().copied().unwrap_or_default());
            let ratio = ours.as_secs_f64() / median.as_secs_f64();
            println!("  {name:30} {:8.2} ms  (best {:7.2})  ratio {ratio:5.2}", ms(median), ms(best));
        }
        println!();
    }
}

fn timed<T>(mut run: impl FnMut() -> T) -> Duration {
    let begin = Instant::now();
    let _ = run();
    begin.elapsed()
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// What this program uses.
#[derive(Clone, Copy)]
struct Own {
    files: Count,
    threads: Count,
    /// Resident, in KiB.
    memory: Count,
    cpu: Duration,
}

#[derive(Clone, Copy)]
struct Count(u64);

impl Count {
    fn against(self, before: Self) -> String {
        format!("{} → {}", before.0, self.0)
    }
}

impl Own {
    fn now() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            Count(line.trim_start_matches(':').split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0))
        };
        let files = Count(std::fs::read_dir("/proc/self/fd").unwrap().count() as u64);
        let mut clock = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: writes to `clock`, which outlives the call.
        unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut clock) };
        let cpu = Duration::new(clock.tv_sec as u64, clock.tv_nsec as u32);
        Self { files, threads: field("Threads"), memory: field("VmRSS"), cpu }
    }
}
