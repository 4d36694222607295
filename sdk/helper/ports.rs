//! The published ports of a kept container: its supervisor holds the listeners, and a child of it, `plywood-ports`, forwards
//! what comes (`forward.rs`).
//!
//! | descriptor | what it is |
//! |---|---|
//! | 26 … | a listener of the host for each port, in the order in which the orders name the ports of the container |
//!
//! There is one child for each process of the container: it goes into the network of that, and sockets that it makes are
//! there, while the listeners stay in that of the host. It ends with the supervisor. When the container has ended it
//! lets go of the listeners, says so, passes on what the container had sent, and ends by itself.

use crate::forward;
use crate::kernel::{self, call};
use crate::log::{decimal, put};
use crate::numbers::*;
use crate::orders::{self, Orders};
use crate::report::Run;
use crate::socket;

/// The first listener.
pub const FIRST: i32 = 26;

/// Where the child has the process of the container, and the line to the supervisor.
const PROCESS: i32 = 3;
pub const LINE: i32 = 4;

/// What the child is told when the container has ended, and answers once it has let go of the listeners.
pub const END: u8 = b'e';

/// How long it may take to do so, in milliseconds; one that was stopped never does.
const PATIENCE: u64 = 1_000;

/// One that has ended sooner, in milliseconds, is not replaced at once: it may be unable to go where it is to.
const LIFE: u64 = 100;
/// But after so many milliseconds.
const PAUSE: u64 = 1_000;

pub struct Ports {
    count: i32,
    /// To the child; -1 if there is none.
    line: i32,
    pid: i32,
    /// When that was begun, in milliseconds.
    began: u64,
    /// When another one is to be begun; `u64::MAX` if there is one, or there is to be none.
    again: u64,
}

impl Ports {
    pub fn new(orders: &Orders) -> Self {
        Self { count: orders.each(orders::PORT).count() as i32, line: -1, pid: 0, began: 0, again: u64::MAX }
    }

    /// The container has a process: forwards to that, from now on.
    pub fn begin(&mut self, run: Option<Run>, process: i32, orders: &Orders) {
        let Some(run) = run.filter(|_| self.count > 0) else { return };
        if self.pid > 0 {
            // The last one has passed on what there was.
            let _ = kernel::wait(self.pid, WNOHANG);
        }
        self.again = kernel::uptime().wrapping_add(PAUSE);
        let Some([ours, theirs]) = socket::pair(SOCK_SEQPACKET) else { return };
        let supervisor = kernel::own_pid();
        match kernel::fork(0) {
            Ok(0) => forward(self.count, run.pid, [process, theirs], supervisor, orders),
            Ok(pid) => (self.line, self.pid, self.began, self.again) = (ours, pid as i32, kernel::uptime(), u64::MAX),
            Err(_) => kernel::close(ours),
        }
        kernel::close(theirs);
    }

    /// What to wait for: the end of the child.
    pub fn file(&self) -> i32 {
        self.line
    }

    /// For how many milliseconds nothing is to be done.
    pub fn left(&self) -> u64 {
        if self.again == u64::MAX { u64::MAX } else { self.again.saturating_sub(kernel::uptime()) }
    }

    /// Sees to it that there is a child while the container runs; `lost` if it has ended.
    pub fn go_on(&mut self, lost: bool, run: Option<Run>, process: i32, orders: &Orders) {
        if lost {
            let _ = kernel::wait(self.pid, 0);
            kernel::close(self.line);
            (self.line, self.pid) = (-1, 0);
            let has_lived = kernel::uptime().wrapping_sub(self.began) >= LIFE;
            self.again = kernel::uptime().wrapping_add(if has_lived { 0 } else { PAUSE });
        }
        if self.again <= kernel::uptime() {
            self.begin(run, process, orders);
        }
    }

    /// Its process has ended: who comes now waits for the next one.
    pub fn end(&mut self) {
        self.again = u64::MAX;
        if self.line < 0 {
            return;
        }
        kernel::send(self.line, &[END]);
        let [has_answered] = kernel::poll_for([self.line], PATIENCE);
        if !has_answered {
            // Its line is open, so it is still our child.
            kernel::kill(self.pid, SIGKILL as i32);
        }
        kernel::close(self.line);
        self.line = -1;
    }

    /// Gives the ports back to the host.
    pub fn close(&self) {
        (FIRST..FIRST.wrapping_add(self.count)).for_each(kernel::close);
    }
}

/// Closes all from one descriptor to another.
pub fn close_range(first: i32, last: u32) {
    // SAFETY: takes no pointer.
    let _ = unsafe { call(SYS_close_range, [first as u64, last.into(), 0, 0, 0, 0]) };
}

/// Returns to nobody.
fn forward(count: i32, pid: u64, files: [i32; 2], supervisor: u32, orders: &Orders) -> ! {
    kernel::name(b"plywood-ports\0");
    // The locks, pipes and callers of the supervisor are its own.
    let beyond = FIRST.wrapping_add(count);
    // SAFETY: takes no pointer.
    let copies = files.map(|file| unsafe { call(SYS_fcntl, [file as u64, F_DUPFD_CLOEXEC, beyond as u64, 0, 0, 0]) });
    for (copy, place) in copies.into_iter().zip([PROCESS, LINE]) {
        let Ok(copy) = copy else { kernel::exit(1) };
        // SAFETY: takes no pointer.
        let _ = unsafe { call(SYS_dup3, [copy, place as u64, O_CLOEXEC, 0, 0, 0]) };
    }
    close_range(LINE.wrapping_add(1), FIRST.wrapping_sub(1) as u32);
    close_range(beyond, u32::MAX);
    if join(pid).is_none() {
        kernel::exit(1)
    }
    kernel::close(PROCESS);
    // Not before: another user namespace undoes it.
    end_with_parent(true);
    // SAFETY: takes no pointer.
    if unsafe { call(SYS_getppid, [0; 6]) } != Ok(supervisor.into()) {
        kernel::exit(1)
    }
    forward::run(count, orders)
}

/// Whether this process ends when the supervisor does.
pub fn end_with_parent(ends: bool) {
    let signal = if ends { SIGKILL } else { 0 };
    // SAFETY: takes no pointer.
    let _ = unsafe { call(SYS_prctl, [PR_SET_PDEATHSIG, signal, 0, 0, 0, 0]) };
}

/// Goes into the network of the container's process.
fn join(pid: u64) -> Option<()> {
    let (mut path, mut length) = ([0_u8; 64], 0);
    put(&mut path, &mut length, b"/proc/");
    decimal(pid, 1, &mut |digits| put(&mut path, &mut length, digits));
    put(&mut path, &mut length, b"/ns/net");
    let network = kernel::open(AT_FDCWD, kernel::address(&path), 0).ok()?;
    // What was found under its number is of another process once it has ended.
    let [has_ended] = kernel::poll_for([PROCESS], 0);
    if has_ended {
        return None;
    }
    if !enter(network, CLONE_NEWNET) {
        // An ordinary user has no say there but in the user namespace that owns it.
        // SAFETY: takes no pointer.
        let owner = unsafe { call(SYS_ioctl, [network as u64, NS_GET_USERNS, 0, 0, 0, 0]) }.ok()?;
        if !enter(owner as i32, CLONE_NEWUSER) || !enter(network, CLONE_NEWNET) {
            return None;
        }
        kernel::close(owner as i32);
    }
    kernel::close(network);
    Some(())
}

fn enter(namespace: i32, kind: u64) -> bool {
    // SAFETY: takes no pointer.
    unsafe { call(SYS_setns, [namespace as u64, kind, 0, 0, 0, 0]) }.is_ok()
}
