#![allow(clippy::unwrap_used, clippy::print_stderr)]
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use rustix::process::dumpable_behavior;

use super::*;
use crate::sys::clone::map_single;
use crate::sys::userns::create_with;

/// A namespace in which this user is 0: anybody can have one.
fn namespace() -> OwnedFd {
    create_with(|pid| map_single(pid, 0, 0)).unwrap()
}

fn effective_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[test]
fn work_is_done_in_the_namespace_and_hands_its_result_back() {
    let namespace = namespace();
    let before = (effective_user(), dumpable_behavior().unwrap());
    let text = String::from("borrowed");
    let link = std::fs::read_link("/proc/self/ns/user").unwrap();
    let (there, user, borrowed) = run(&namespace, || {
        (std::fs::read_link("/proc/self/ns/user").unwrap(), effective_user(), format!("{text} and new"))
    })
    .unwrap();
    assert_ne!(there, link);
    assert_eq!((user, borrowed.as_str()), (0, "borrowed and new"));
    assert_eq!((effective_user(), dumpable_behavior().unwrap()), before);
    assert_eq!(std::fs::read_link("/proc/self/ns/user").unwrap(), link);
}

#[test]
fn files_that_the_work_opens_stay_open_and_its_thread_local_storage_is_ours() {
    thread_local!(static COUNT: Cell<u32> = const { Cell::new(0) });
    let namespace = namespace();
    COUNT.set(1);
    let file = run(&namespace, || {
        COUNT.set(COUNT.get() + 1);
        std::fs::File::open("/proc/self/status").unwrap()
    })
    .unwrap();
    assert_eq!(COUNT.get(), 2);
    assert!(file.metadata().unwrap().is_file());
}

#[test]
fn a_panic_is_passed_on_and_the_thread_goes_on() {
    let namespace = namespace();
    let caught = catch_unwind(AssertUnwindSafe(|| run(&namespace, || -> () { panic!("inside") })));
    assert_eq!(*caught.unwrap_err().downcast_ref::<&str>().unwrap(), "inside");
    assert_eq!(run(&namespace, || 7).unwrap(), 7);
}

#[test]
fn a_backtrace_of_the_work_ends_at_its_first_frame() {
    let namespace = namespace();
    let trace = run(&namespace, || std::backtrace::Backtrace::force_capture().to_string()).unwrap();
    assert!(trace.contains("within"), "{trace}");
}

#[test]
fn work_may_start_threads_and_work_within_itself() {
    let namespace = namespace();
    let users = run(&namespace, || {
        let inner = run(&namespace, effective_user).unwrap();
        let spawned = thread::scope(|scope| scope.spawn(effective_user).join().unwrap());
        let nested = thread::scope(|scope| scope.spawn(|| run(&namespace, effective_user).unwrap()).join().unwrap());
        [inner, spawned, nested]
    })
    .unwrap();
    assert_eq!(users, [0, 0, 0]);
}

#[test]
fn a_descriptor_that_is_no_namespace_is_an_error_and_nothing_is_done() {
    let file = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
    let done = AtomicBool::new(false);
    let error = run(&file, || done.store(true, Ordering::Relaxed)).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    assert!(!done.load(Ordering::Relaxed));
}

#[test]
fn many_threads_may_do_so_at_once_while_others_allocate() {
    const THREADS: usize = 8;
    const ROUNDS: usize = 300;
    let namespace = namespace();
    let shared = Arc::new(Mutex::new(Vec::<String>::new()));
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    let texts: Vec<String> = (0..100).map(|number| "x".repeat(number)).collect();
                    assert_eq!(texts.iter().map(String::len).sum::<usize>(), 4950);
                }
            });
        }
        let workers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (namespace, shared) = (&namespace, Arc::clone(&shared));
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let sum = run(namespace, || {
                            shared.lock().unwrap().push(format!("{thread}-{round}"));
                            let sum = match round % 10 {
                                0 => thread::scope(|scope| {
                                    let below = scope.spawn(|| vec![1_usize; round].iter().sum::<usize>());
                                    below.join().unwrap()
                                }),
                                1 => {
                                    let caught = catch_unwind(|| -> usize { resume_unwind(Box::new(1_usize)) });
                                    caught.unwrap_err().downcast_ref::<usize>().map_or(0, |_| round)
                                }
                                _ => vec![1_usize; round].iter().sum(),
                            };
                            (sum, vec![thread; 1000])
                        })
                        .unwrap();
                        assert_eq!((sum.0, sum.1.len()), (round, 1000));
                    }
                })
            })
            .collect();
        let all = workers.into_iter().all(|worker| worker.join().is_ok());
        ended.store(true, Ordering::Relaxed);
        assert!(all);
    });
    let mut texts = shared.lock().unwrap().clone();
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), THREADS * ROUNDS);
}
