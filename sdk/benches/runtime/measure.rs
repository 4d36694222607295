//! Measuring, and showing what was measured.

#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Candidates for one piece of work; the first is ours.
pub struct Table<'a> {
    title: &'static str,
    candidates: Vec<(String, Box<dyn FnMut() + 'a>)>,
}

impl<'a> Table<'a> {
    pub fn new(title: &'static str) -> Self {
        Self { title, candidates: Vec::new() }
    }

    pub fn add(&mut self, name: impl Into<String>, run: impl FnMut() + 'a) {
        self.candidates.push((name.into(), Box::new(run)));
    }

    pub fn print(mut self, rounds: usize) {
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

pub fn timed<T>(mut run: impl FnMut() -> T) -> Duration {
    let begin = Instant::now();
    let _ = run();
    begin.elapsed()
}

pub fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// What this program uses.
#[derive(Clone, Copy)]
pub struct Own {
    pub files: Count,
    pub threads: Count,
    /// Resident, in KiB.
    pub memory: Count,
    pub cpu: Duration,
}

#[derive(Clone, Copy)]
pub struct Count(u64);

impl Count {
    pub fn against(self, before: Self) -> String {
        format!("{} → {}", before.0, self.0)
    }
}

impl Own {
    pub fn now() -> Self {
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

/// What each of these processes has in memory in proportion (PSS), in KiB, under its name.
pub fn by_name(processes: &[u32]) -> BTreeMap<String, Vec<u64>> {
    let mut sizes = BTreeMap::<String, Vec<u64>>::new();
    for process in processes {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{process}/{file}")).unwrap_or_default();
        let size = read("smaps_rollup");
        let size = size.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB")?.parse().ok());
        // What has no memory is of the kernel, or has ended.
        if let Some(size) = size {
            sizes.entry(read("comm").trim_end().to_owned()).or_default().push(size);
        }
    }
    sizes
}
