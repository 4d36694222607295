//! A program that is short of descriptors, showered with signals, or waits for one that dies.

#![allow(unsafe_code, clippy::unwrap_used)]

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use plywood::{Container, Durability, Engine};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::victim::{self, Victim};
use support::{base, image, sh};

fn open(directory: &Path) -> Engine {
    Engine::open_with(directory.join("root"), Durability::Fast).unwrap()
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Processes that have ended and that this one has not waited for.
fn zombies() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let children = tasks.map(|task| std::fs::read_to_string(task.path().join("children")).unwrap_or_default());
    let children: Vec<String> =
        children.flat_map(|list| list.split(' ').map(str::to_owned).collect::<Vec<_>>()).collect();
    let is_dead =
        |pid: &&String| std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "));
    children.iter().filter(|pid| !pid.is_empty()).filter(is_dead).count()
}

/// Waits until a count is what it was; a thread may still be about to close something.
fn settles(what: &str, before: usize, count: fn() -> usize) {
    let end = Instant::now() + Duration::from_secs(20);
    while count() != before {
        assert!(Instant::now() < end, "{what}: {} and not {before}", count());
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn c11_a_program_that_is_short_of_descriptors_is_told_and_leaks_none() {
    let Some(directory) = victim::directory() else {
        return victim::alone("c11_a_program_that_is_short_of_descriptors_is_told_and_leaks_none");
    };
    let engine = open(&directory);
    let image = image(&engine);
    let start = || Container::of(&image).cmd(["true"]).output(&engine);
    assert!(start().unwrap().status.success());
    settles("zombies", 0, zombies);
    let before = descriptors();
    let whole = getrlimit(Resource::Nofile);
    let mut refused = 0;
    for spare in 0.. {
        let limit = Rlimit { current: Some((before + spare) as u64), ..whole };
        setrlimit(Resource::Nofile, limit).unwrap();
        let result = start();
        setrlimit(Resource::Nofile, whole).unwrap();
        match result {
            Ok(output) => {
                assert!(output.status.success());
                break;
            }
            Err(error) => {
                assert!(error.to_string().contains("too many open files"), "with {spare} to spare: {error:?}");
                assert!(
                    error.hint().is_some_and(|hint| hint.contains("ulimit -n")),
                    "with {spare} to spare: {error:?}"
                );
                refused += 1;
            }
        }
        settles("descriptors", before, descriptors);
        settles("zombies", 0, zombies);
        assert!(engine.containers().unwrap().is_empty(), "with {spare} to spare");
    }
    assert!(refused > 5, "{refused} starts were refused");
    for _ in 0..10 {
        assert!(start().unwrap().status.success());
    }
    settles("descriptors", before, descriptors);
    // What could not be emptied for want of descriptors is when the store is opened.
    drop(engine);
    support::left::assert_sound(&open(&directory), "short of descriptors");
}

/// How often the handler has run.
static SIGNALS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count(_: i32) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
}

#[test]
fn c14_no_call_is_lost_to_signals() {
    let Some(directory) = victim::directory() else { return victim::alone("c14_no_call_is_lost_to_signals") };
    // Without SA_RESTART: every call that sleeps is interrupted.
    let action = SigAction::new(SigHandler::Handler(count), SaFlags::empty(), SigSet::empty());
    for signal in [Signal::SIGUSR1, Signal::SIGALRM] {
        // SAFETY: the handler adds to an atomic number, and nothing else.
        unsafe { sigaction(signal, &action) }.unwrap();
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let process = nix::unistd::getpid().as_raw();
            while !done.load(Ordering::Relaxed) {
                for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
                    let thread: i32 = task.file_name().to_str().unwrap().parse().unwrap();
                    for signal in [libc::SIGUSR1, libc::SIGALRM] {
                        // SAFETY: it sends a signal for which there is a handler; one to a thread that has ended fails.
                        unsafe { libc::syscall(libc::SYS_tgkill, process, thread, signal) };
                    }
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let work = std::panic::catch_unwind(|| {
            let engine = open(&directory);
            for number in 0..20 {
                let layers = base().run(format!("echo {number} > /number"));
                let image = engine.build(&layers).unwrap_or_else(|error| panic!("build {number}: {error:?}"));
                let output = sh(&image, "cat /number; sleep 0.01; exit 3").output(&engine).unwrap();
                assert_eq!((output.stdout, output.status.code()), (format!("{number}\n").into_bytes(), 3));
                let service = sh(&image, "read -r forever").stdin(plywood::container::Stdio::piped());
                let service = service.start(&engine).unwrap_or_else(|error| panic!("start {number}: {error:?}"));
                assert!(service.exec(["true"]).status().unwrap().success());
                let _ = service.stop(Duration::from_secs(30)).unwrap();
            }
            support::left::assert_sound(&engine, "among signals");
        });
        done.store(true, Ordering::Relaxed);
        work.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    assert!(SIGNALS.load(Ordering::Relaxed) > 100, "{SIGNALS:?}");
}

/// Not a test of its own: the program that holds all locks of a store until it is killed.
#[test]
fn holder() {
    let Some(directory) = victim::directory() else { return };
    let image = directory.join("root/image");
    let locks = ["plywood.lock", "plywood/locks/layers", "plywood/locks/containers", "plywood/locks/volumes"];
    let locks = locks.map(|name| std::fs::File::options().write(true).open(image.join(name)).unwrap());
    locks.iter().for_each(|lock| lock.lock().unwrap());
    victim::tell("holds");
    victim::wait();
}

#[test]
fn c06_who_waits_for_a_lock_gets_it_when_its_holder_is_killed() {
    let directory = victim::Directory::new();
    let engine = open(directory.path());
    let image = image(&engine);
    // Each lock has its file then.
    assert!(Container::of(&image).cmd(["true"]).output(&engine).unwrap().status.success());
    engine.volume("first").unwrap();
    let mut holder = Victim::start("holder", directory.path());
    assert_eq!(holder.hear().as_deref(), Some("holds"));
    std::thread::scope(|scope| {
        let creates = scope.spawn(|| Container::of(&image).cmd(["true"]).output(&engine).map(|output| output.status));
        let makes = scope.spawn(|| engine.volume("second").map(drop));
        let tags = scope.spawn(|| engine.tag(&image.id().to_string(), "tagged:1").map(drop));
        std::thread::sleep(Duration::from_millis(100));
        assert!(!creates.is_finished() && !makes.is_finished() && !tags.is_finished(), "nobody waits");
        holder.kill();
        assert!(creates.join().unwrap().unwrap().success());
        makes.join().unwrap().unwrap();
        tags.join().unwrap().unwrap();
    });
    support::left::assert_sound(&engine, "after its holder");
}

/// A program that waits for any child, all the time, as a shell or a supervisor does.
#[test]
fn c13_a_program_that_reaps_all_children_sees_every_exit_code() {
    let Some(directory) = victim::directory() else {
        return victim::alone("c13_a_program_that_reaps_all_children_sees_every_exit_code");
    };
    let (reaped, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                match nix::sys::wait::wait() {
                    Ok(_) => _ = reaped.fetch_add(1, Ordering::Relaxed),
                    Err(_) => std::thread::yield_now(),
                }
            }
        });
        let work = std::panic::catch_unwind(|| {
            let engine = open(&directory);
            let image = image(&engine);
            let service = sh(&image, "read -r forever").stdin(plywood::container::Stdio::piped());
            let service = service.start(&engine).unwrap();
            for code in 0..100 {
                let ended = sh(&image, &format!("exit {code}")).status(&engine).unwrap();
                assert_eq!(ended.code(), code);
                let ended = service.exec(["sh", "-c", &format!("exit {code}")]).status().unwrap();
                assert_eq!(ended.code(), code);
            }
            service.kill(plywood::container::Signal::KILL).unwrap();
            assert_eq!(service.wait().unwrap().signal(), Some(libc::SIGKILL));
            drop(service);
            // It does take what is for it.
            let before = reaped.load(Ordering::Relaxed);
            let mut other = std::process::Command::new("sleep").arg("0").spawn().unwrap();
            let end = Instant::now() + Duration::from_secs(20);
            while reaped.load(Ordering::Relaxed) == before {
                assert!(Instant::now() < end, "nobody has waited for {}", other.id());
                std::thread::yield_now();
            }
            assert_eq!(other.wait().unwrap_err().raw_os_error(), Some(libc::ECHILD));
            support::left::assert_sound(&engine, "among waits");
        });
        done.store(true, Ordering::Relaxed);
        work.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    settles("zombies", 0, zombies);
}
