//! What starting, entering and keeping a container costs, beside the peers that are installed and the bare system calls.
//!
//! `cargo bench -p plywood --bench runtime`, as root. Candidates take turns (A B A B …) in one run, and what counts are
//! the ratios of medians: the machine's load moves all of them. `PLYWOOD_BENCH_ROUNDS` is how often each is measured
//! (default 40), `PLYWOOD_BENCH_DIR` where the data root and the peers' bundles lie (default: the temporary directory).
//! The store is `Durability::Fast`, as in tests. Arguments choose among the tables: `… --bench runtime -- exec memory`.
#![allow(missing_docs, unsafe_code, missing_debug_implementations, clippy::print_stdout, clippy::unwrap_used)]

#[path = "../peers/docker.rs"]
mod docker;
mod measure;
mod peers;
mod recipe;

use std::path::Path;
use std::time::{Duration, Instant};

use docker::Docker;
use measure::{Own, Table, median, timed};
use plywood::container::{Definition, NetworkMode, UserNamespace};
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
    let chosen: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    for name in ["start", "network", "exec", "row", "flight", "memory"] {
        if !chosen.is_empty() && !chosen.iter().any(|chosen| chosen == name) {
            continue;
        }
        match name {
            "start" => scene.start_to_exit(rounds),
            "network" => scene.without_network(rounds),
            "exec" => scene.exec(rounds),
            "row" => scene.in_a_row(),
            "flight" => scene.in_flight(),
            _ => scene.idle(),
        }
    }
}

struct Scene {
    engine: Engine,
    image: Image,
    bundle: peers::Bundle,
    docker: Option<Docker>,
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
        let docker = Docker::start(directory).filter(|docker| bundle.import(docker, "bench:1"));
        if docker.is_none() {
            println!("there is no Docker daemon to compare with");
        }
        let (with_network, without_network) = (recipe("recipe", true), recipe("recipe-host", false));
        Self { engine, image, bundle, docker, with_network, without_network }
    }

    fn of(&self, program: &[&str]) -> Definition {
        Container::of(&self.image).cmd(program.iter().copied())
    }

    /// The definition, and the same with what costs more.
    fn kinds(&self, program: &[&str]) -> [(&'static str, Definition); 4] {
        let plain = self.of(program);
        [
            ("plywood", plain.clone()),
            ("plywood, with a user namespace", plain.clone().user_namespace(UserNamespace::Private)),
            ("plywood, 100 processes at most", plain.clone().pids_limit(100)),
            ("plywood, 64 MiB of memory", plain.memory("64MiB")),
        ]
    }

    fn start_to_exit(&self, rounds: usize) {
        let created = self.of(&["true"]).create(&self.engine).unwrap();
        let mut table = Table::new("start to exit of `true`, isolated by default (create, start, wait, remove)");
        for (name, definition) in self.kinds(&["true"]) {
            table.add(name, move || assert!(definition.status(&self.engine).unwrap().success()));
        }
        table.add("plywood, start and wait only", || {
            created.start().unwrap();
            assert!(created.wait().unwrap().success());
        });
        table.add("bare system calls", || self.with_network.run());
        for (name, run) in self.bundle.runs() {
            table.add(name, run);
        }
        if let Some(docker) = &self.docker {
            let program = self.bundle.program("true");
            table.add("docker run", move || assert!(docker.succeeds(&["run", "--rm", "bench:1", program])));
        }
        table.print(rounds);
    }

    fn without_network(&self, rounds: usize) {
        let mut table = Table::new("the same with the network of the host");
        for (name, definition) in self.kinds(&["true"]).into_iter().take(2) {
            let definition = definition.network(NetworkMode::Host);
            table.add(name, move || assert!(definition.status(&self.engine).unwrap().success()));
        }
        table.add("bare system calls", || self.without_network.run());
        if let Some(run) = self.bundle.bwrap(false) {
            table.add("bwrap", run);
        }
        table.print(rounds);
    }

    fn exec(&self, rounds: usize) {
        let running = self.bundle.running();
        let kinds = self.kinds(&["sleep", "3600"]);
        let containers = kinds.map(|(name, definition)| (name, definition.start(&self.engine).unwrap()));
        let enter = Enter::new(containers[0].1.inspect().unwrap().pid().unwrap(), self.bundle.program("true"));
        let mut table = Table::new("exec of `true` in a running container");
        for (name, container) in &containers {
            table.add(*name, || assert!(container.exec(["true"]).status().unwrap().success()));
        }
        table.add("bare system calls", || enter.run());
        for (name, exec) in running.iter().map(peers::Running::exec) {
            table.add(name, exec);
        }
        if let Some(docker) = &self.docker {
            let [program, sleep] = ["true", "sleep"].map(|name| self.bundle.program(name));
            assert!(docker.succeeds(&["run", "--detach", "--name", "idle", "bench:1", sleep, "3600"]));
            table.add("docker exec", move || assert!(docker.succeeds(&["exec", "idle", program])));
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
        let definition = self.of(&["sleep", "3600"]);
        for (kind, definition) in [("idle", definition.clone()), ("kept", definition.keep())] {
            // The first one brings what serves all of them.
            let first = definition.start(&self.engine).unwrap();
            let before = peers::processes();
            let containers: Vec<_> = (0..COUNT).map(|_| definition.start(&self.engine).unwrap()).collect();
            let ours = peers::processes().into_iter().filter(|process| !before.contains(process)).collect::<Vec<_>>();
            let (cpu, begin) = (Own::now().cpu, Instant::now());
            std::thread::sleep(Duration::from_secs(3));
            let (used, elapsed) = (Own::now().cpu - cpu, begin.elapsed());
            println!("{COUNT} {kind} containers, memory that is theirs in proportion (PSS)");
            for (name, sizes) in measure::by_name(&ours) {
                let each = sizes.iter().sum::<u64>() as f64 / sizes.len() as f64;
                println!("  {name:30} {} processes of {each:.0} KiB", sizes.len());
            }
            println!("  processor time of this program: {used:?} in {elapsed:?}\n");
            for container in containers.into_iter().chain([first]) {
                container.kill_and_remove().unwrap();
            }
        }
    }
}
