//! The end of a kept container that programs share, once none of them has used it for some time.
//!
//! | descriptor | what it is |
//! |---|---|
//! | 17 | the file of the lease, if it has an idle time; otherwise `/dev/null` |
//!
//! Each program that uses the container locks this file, shared, and writes a byte to it. A child of the supervisor waits
//! for the lock, gives it back, and sleeps for the time that the container may be idle. If somebody has the lock then, or
//! the file has grown, it begins again. Otherwise it ends, and leaves the lock to the supervisor, of which it is: whoever
//! comes now waits until the container has gone.

use crate::kernel;
use crate::numbers::*;
use crate::orders::{self, Orders};
use crate::ports::close_range;

const LEASE: i32 = 17;

/// How long a container that was asked to end may take, in milliseconds, until it is killed.
const GRACE: u64 = 10_000;

/// How long to wait until a lock that cannot be had is tried again, in milliseconds.
const PAUSE: u64 = 1_000;

pub struct Idle {
    /// The child, which ends when the container is to; -1 if there is none.
    child: i32,
    pid: i32,
    /// When the container is killed, in milliseconds.
    killed: u64,
    has_ended: bool,
}

impl Idle {
    pub fn new(orders: &Orders) -> Self {
        let time = orders.number(orders::IDLE);
        let mut idle = Self { child: -1, pid: 0, killed: u64::MAX, has_ended: false };
        if time == u64::MAX {
            return idle;
        }
        match kernel::fork(0) {
            Ok(0) => watch(time),
            Ok(pid) => (idle.child, idle.pid) = (kernel::open_process(pid as i32), pid as i32),
            // It is one without an idle time then.
            Err(_) => {}
        }
        idle
    }

    /// What to wait for.
    pub fn file(&self) -> i32 {
        self.child
    }

    /// For how many milliseconds.
    pub fn left(&self) -> u64 {
        match self.killed {
            u64::MAX => u64::MAX,
            killed => killed.saturating_sub(kernel::uptime()),
        }
    }

    /// Whether this was why the container has ended.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Nobody has used the container: its process is asked to end, if it has one.
    pub fn ask(&mut self, process: i32, orders: &Orders) {
        kernel::close(self.child);
        (self.child, self.has_ended) = (-1, true);
        signal(process, orders.number(orders::STOP_SIGNAL));
        self.killed = kernel::uptime().wrapping_add(GRACE);
    }

    /// Kills what was asked, and has not ended in time.
    pub fn insist(&mut self, process: i32) {
        if self.left() == 0 {
            signal(process, SIGKILL);
            self.killed = u64::MAX;
        }
    }

    /// Ends the child.
    pub fn end(&self) {
        if self.child >= 0 {
            kernel::kill(self.pid, SIGKILL as i32);
        }
    }
}

/// Returns to nobody: ends when the container is to.
fn watch(time: u64) -> ! {
    let parent = parent();
    // SAFETY: takes no pointer.
    let _ = unsafe { kernel::call(SYS_prctl, [PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0, 0]) };
    kernel::name(b"plywood-idle\0");
    // The locks and pipes that are the supervisor's go with it.
    close_range(3, LEASE.wrapping_sub(1) as u32);
    close_range(LEASE.wrapping_add(1), u32::MAX);
    while parent == self::parent() {
        if !kernel::lock(LEASE) {
            kernel::poll_for([-1], PAUSE);
            continue;
        }
        let used = kernel::size_of_file(LEASE);
        unlock();
        kernel::poll_for([-1], time);
        if kernel::lock_at_once(LEASE) && kernel::size_of_file(LEASE) == used {
            break;
        }
    }
    kernel::exit(0)
}

fn parent() -> u64 {
    // SAFETY: takes no pointer.
    unsafe { kernel::call(SYS_getppid, [0; 6]) }.unwrap_or(0)
}

fn unlock() {
    // SAFETY: takes no pointer.
    let _ = unsafe { kernel::call(SYS_flock, [LEASE as u64, LOCK_UN, 0, 0, 0, 0]) };
}

fn signal(process: i32, signal: u64) {
    // SAFETY: no information is passed. There may be no process.
    let _ = unsafe { kernel::call(SYS_pidfd_send_signal, [process as u64, signal, 0, 0, 0, 0]) };
}
