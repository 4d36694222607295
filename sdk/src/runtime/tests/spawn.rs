//! Starting from a program whose threads do not hold still. The names begin with the cases of the design.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::thread;

use rustix::fs::{Mode, OFlags, open};

use super::support::*;
use crate::runtime::{Bundle, ProcessSpec, Rootfs, Stdio, exec};
use crate::sys::clone::heap::{heap_used_by_children, heap_used_on_purpose};

/// A container whose root is the tree's layer itself: the cheapest there is.
fn bare<const N: usize>(tree: &Tree, args: [&str; N]) -> Bundle {
    let mut bundle = Bundle::new(Rootfs::Directory(tree.path("lower")));
    bundle.process = ProcessSpec::new(args);
    bundle.process.env.push("PATH=/bin".into());
    bundle
}

#[test]
fn r35_a_child_neither_allocates_nor_waits_for_a_lock() {
    require_containers!();
    let tree = Tree::new();
    assert!(heap_used_on_purpose() > 0, "the watch sees nothing");
    let used = heap_used_by_children(|| {
        // Whoever locked one of these in a child would wait for ever.
        let (out, err) = (io::stdout().lock(), io::stderr().lock());
        let other = thread::scope(|scope| {
            let starts = || {
                for init in [true, false] {
                    let mut bundle = tree.bundle(["true"]);
                    bundle.init = init;
                    assert!(start_quiet(&bundle).unwrap().wait().success());
                    bundle.process.args = vec!["nothing".into()];
                    start_quiet(&bundle).unwrap_err();
                    bundle.process.cwd = at("/proc/self/fd/1");
                    start_quiet(&bundle).unwrap_err();
                }
                let process = start_quiet(&tree.bundle(["sleep", "1000"])).unwrap();
                assert!(exec(&process, &ProcessSpec::new(["/bin/true"]), Stdio::null()).unwrap().wait().success());
                exec(&process, &ProcessSpec::new(["/bin/nothing"]), Stdio::null()).unwrap_err();
                process.signal(libc::SIGKILL).unwrap();
                assert_eq!(process.wait().code(), 137);
            };
            scope.spawn(starts).join()
        });
        drop((out, err));
        other.unwrap();
    });
    assert_eq!(used, 0);
}

const THREADS: usize = 64;
const STARTERS: usize = 4;
const STARTS: usize = 1000;

/// What threads of a program do all the time: here, a little of it at every start.
struct Noise {
    starts: Mutex<usize>,
    more: Condvar,
    ended: AtomicBool,
}

impl Noise {
    fn start(&self) {
        *self.starts.lock().unwrap() += 1;
        self.more.notify_all();
    }

    fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
        self.start();
    }

    /// Allocates, frees and opens files that an exec would hand on.
    fn make(&self) {
        let (mut seen, mut kept) = (0, Vec::new());
        while !self.ended.load(Ordering::Relaxed) {
            let texts: Vec<String> = (0..20).map(|number| "x".repeat(number * 37)).collect();
            assert_eq!(texts.iter().map(String::len).sum::<usize>(), 37 * 190);
            kept.push(open("/dev/null", OFlags::RDONLY, Mode::empty()).unwrap());
            if kept.len() > 4 {
                kept.clear();
            }
            let mut starts = self.starts.lock().unwrap();
            while *starts == seen {
                starts = self.more.wait(starts).unwrap();
            }
            seen = *starts;
        }
    }
}

/// Descriptors, threads and children of this program.
fn counts() -> [usize; 3] {
    let names = |what: &str| std::fs::read_dir(format!("/proc/self/{what}")).unwrap();
    let children = names("task").map(|task| std::fs::read_to_string(task.unwrap().path().join("children")).unwrap());
    [names("fd").count(), names("task").count(), children.map(|text| text.split_whitespace().count()).sum()]
}

#[test]
fn c12_r35_a_thousand_containers_start_while_64_threads_allocate_and_open_files() {
    require_containers!();
    let tree = Tree::new();
    let list = || {
        let done = output(&bare(&tree, ["ls", "/proc/self/fd"])).unwrap();
        assert_eq!((done.status.code(), done.stdout.as_str()), (0, "0\n1\n2\n3\n"), "the last one is of ls itself");
    };
    // The second start begins the thread that makes networks ahead.
    list();
    list();
    let before = counts();
    let noise = Noise { starts: Mutex::new(0), more: Condvar::new(), ended: AtomicBool::new(false) };
    let left = AtomicUsize::new(STARTS);
    thread::scope(|scope| {
        let noisy: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| noise.make())).collect();
        let starters: Vec<_> = (0..STARTERS)
            .map(|_| {
                scope.spawn(|| {
                    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                        noise.start();
                        list();
                    }
                })
            })
            .collect();
        let all: Vec<_> = starters.into_iter().map(thread::ScopedJoinHandle::join).collect();
        noise.end();
        // Joined, and not merely done: only then the kernel has let go of them.
        assert!(noisy.into_iter().map(thread::ScopedJoinHandle::join).all(|ended| ended.is_ok()));
        assert!(all.iter().all(Result::is_ok));
    });
    // nextest runs each test in a process of its own; `cargo test` runs others beside it.
    if std::env::var_os("NEXTEST").is_some() {
        assert_eq!(counts(), before, "descriptors, threads, children");
    }
}
