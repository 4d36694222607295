//! Whether children leave the heap of this program alone.
//!
//! # Safety
//! The allocator of the unit tests is the system's, and looks who calls it.
#![allow(unsafe_code, clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::c_char;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use super::map_single;
use crate::sys::{userns, within};

struct Watched;

#[global_allocator]
static ALLOCATOR: Watched = Watched;

static IS_WATCHED: AtomicBool = AtomicBool::new(false);
static BY_CHILDREN: AtomicU32 = AtomicU32::new(0);

/// The thread that starts children, whose name they have until they are another program.
const SPAWNER: &str = "plywood-spawn";

/// How often children of the spawner have used the heap while `work` was done.
pub(crate) fn heap_used_by_children(work: impl FnOnce()) -> u32 {
    let before = BY_CHILDREN.load(Ordering::Relaxed);
    IS_WATCHED.store(true, Ordering::Relaxed);
    work();
    IS_WATCHED.store(false, Ordering::Relaxed);
    BY_CHILDREN.load(Ordering::Relaxed) - before
}

/// What is counted of a child that does use the heap: one of a thread of the spawner's name.
pub(crate) fn heap_used_on_purpose() -> u32 {
    let work = || {
        let namespace = userns::create_with(|pid| map_single(pid, 0, 0)).unwrap();
        assert_eq!(within::run(&namespace, || vec![1_u8; 100].len()).unwrap(), 100);
    };
    heap_used_by_children(|| thread::Builder::new().name(SPAWNER.into()).spawn(work).unwrap().join().unwrap())
}

/// Counts a call by a child of the spawner: the first thread of a process, with that thread's name.
///
/// Work in a user namespace is done by a child in the place of a thread, which may allocate (see
/// [`within`](crate::sys::within)) and has another name.
fn look() {
    if !IS_WATCHED.load(Ordering::Relaxed) || i64::from(rustix::process::getpid().as_raw_pid()) != thread() {
        return;
    }
    let mut name = [0_u8; 16];
    // SAFETY: the kernel writes 16 bytes at most.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr().cast::<c_char>()) };
    if name.starts_with(SPAWNER.as_bytes()) {
        BY_CHILDREN.fetch_add(1, Ordering::Relaxed);
    }
}

/// The number of the calling thread; the C library may remember another.
fn thread() -> i64 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::syscall(libc::SYS_gettid) }
}

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        look();
        // SAFETY: what our caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        look();
        // SAFETY: what our caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        look();
        // SAFETY: what our caller promises.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        look();
        // SAFETY: what our caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}
