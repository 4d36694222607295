//! A network namespace made ahead: [`network_namespaces(7)`](https://man7.org/linux/man-pages/man7/network_namespaces.7.html).
//!
//! The kernel takes half a millisecond for one, most of a bare container's time. So a thread of ours makes one and stays
//! in it until a container takes it over, and then makes the next; it sleeps in between. Nothing is left to clean up: the
//! namespace goes with the thread. It has no descriptors, and never sees those of this program.
//!
//! It begins with the second container of a program: many a program starts one only.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::thread::{UnshareFlags, gettid, unshare_unsafe};

use super::helper::high;

/// `CLOSE_RANGE_UNSHARE`: the table of descriptors is the thread's own from then on.
const CLOSE_RANGE_UNSHARE: libc::c_uint = 2;

/// Stack of the thread, in bytes.
const STACK: usize = 64 << 10;

/// What is known of the thread.
struct State {
    /// The process whose thread it is; a fork of it has none.
    process: u32,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No container has asked yet.
    Idle,
    /// One has: the next one finds a thread.
    Asked,
    /// A namespace is being made.
    Making,
    /// The thread of this number is in a fresh one.
    Ready(i32),
    /// It cannot be done here.
    Failed,
}

static STATE: Mutex<State> = Mutex::new(State { process: 0, stage: Stage::Idle });
static TAKEN: Condvar = Condvar::new();

/// A network namespace that nobody has used, with its loopback interface up; `None` if none is ready. It is no descriptor
/// that a child overwrites.
pub(crate) fn take() -> Option<OwnedFd> {
    let mut state = state();
    if state.process != std::process::id() {
        *state = State { process: std::process::id(), stage: Stage::Idle };
    }
    match state.stage {
        Stage::Idle => state.stage = Stage::Asked,
        Stage::Asked => {
            let made = thread::Builder::new().name("plywood-net".into()).stack_size(STACK).spawn(|| {
                if make_all().is_err() {
                    self::state().stage = Stage::Failed;
                }
            });
            state.stage = if made.is_ok() { Stage::Making } else { Stage::Failed };
        }
        Stage::Ready(thread) => {
            let taken = File::open(format!("/proc/self/task/{thread}/ns/net")).and_then(|file| high(file.into()));
            state.stage = if taken.is_ok() { Stage::Making } else { Stage::Failed };
            TAKEN.notify_one();
            return taken.ok();
        }
        Stage::Making | Stage::Failed => {}
    }
    None
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes one whenever the last was taken; ends with an error.
fn make_all() -> io::Result<()> {
    // SAFETY: this thread owns no descriptor and uses none of this program's; their table stays as it is for the others.
    if unsafe { libc::syscall(libc::SYS_close_range, 0, libc::c_uint::MAX, CLOSE_RANGE_UNSHARE) } < 0 {
        return Err(io::Error::last_os_error());
    }
    loop {
        leave()?;
        bring_up_loopback()?;
        let mut state = state();
        state.stage = Stage::Ready(gettid().as_raw_nonzero().get());
        let state = TAKEN.wait_while(state, |state| matches!(state.stage, Stage::Ready(_)));
        if state.unwrap_or_else(PoisonError::into_inner).stage != Stage::Making {
            return Ok(());
        }
    }
}

/// Gives the calling thread a network namespace of its own.
pub(super) fn leave() -> io::Result<()> {
    // SAFETY: only the network of this thread changes; sockets that it has stay where they were made.
    Ok(unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?)
}

pub(super) fn bring_up_loopback() -> io::Result<()> {
    // SAFETY: opens a socket.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just opened, and nobody else knows it.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // struct ifreq: 16 bytes of name, then the flags.
    let up = (libc::IFF_UP | libc::IFF_RUNNING) as u64;
    let request = [u64::from_ne_bytes(*b"lo\0\0\0\0\0\0"), 0, up, 0, 0];
    // SAFETY: the request is a whole struct ifreq, which the kernel reads.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, request.as_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
