//! Starts a kept container again: replays the plan that the SDK has started it with.
//!
//! | descriptor | what it is |
//! |---|---|
//! | 16 | the user namespace of the container's ids, if that is there before it; otherwise `/dev/null` |
//! | 18 | the plan of the container |
//! | 19 | that of the payload |
//! | 20 | this program |
//! | 21, 22, 23 | the container's ends of its streams; `/dev/null` for those it has not |
//!
//! Namespaces, mounts and the network are the plan's. The cgroup stays from one process to the next, with its limits.
//! The streams stay too, so that the log goes on; a terminal is a new one.

use crate::kernel;
use crate::log::{Time, decimal, put};
use crate::numbers::*;
use crate::orders::{self, Orders};
use crate::replay::{self, NOWHERE, Walk};
use crate::report::Run;
use crate::socket;

const USERS: i32 = 16;
const PLAN: i32 = 18;
const PAYLOAD: i32 = 19;
pub const PROGRAM: i32 = 20;
const STREAMS: [i32; 3] = [21, 22, 23];

/// What the init is told: to start the payload.
const START: u8 = 1;

/// A process of the container.
pub struct Started {
    pub run: Run,
    pub line: i32,
    pub process: i32,
    pub terminal: Option<i32>,
}

/// What a start takes, and must be closed after it.
struct Ends {
    ours: i32,
    theirs: i32,
    payload: i32,
    /// Our end of the socket over which a terminal comes, and theirs.
    terminal: [i32; 2],
}

impl Ends {
    fn new(orders: &Orders) -> Option<Self> {
        let [ours, theirs] = socket::pair(SOCK_STREAM)?;
        let payload = replay::copy(PAYLOAD).unwrap_or(-1);
        let terminal = match orders.number(orders::TERMINAL) {
            0 => [-1, -1],
            _ => socket::pair(SOCK_SEQPACKET | SOCK_NONBLOCK).unwrap_or([-1, -1]),
        };
        Some(Self { ours, theirs, payload, terminal })
    }

    /// Closes what is the child's alone.
    fn hand_over(&mut self) {
        let [_, terminal] = &mut self.terminal;
        for fd in [&mut self.theirs, terminal] {
            kernel::close(*fd);
            *fd = -1;
        }
    }

    fn close(&self) {
        let [ours, theirs] = self.terminal;
        [self.theirs, self.payload, ours, theirs].into_iter().for_each(kernel::close);
    }
}

/// Starts it; step and errno of what failed, and the letter of the steps.
pub fn start(orders: &Orders) -> Result<Started, (u64, u8)> {
    let unknown = (NOWHERE, orders::STEP);
    let mut ends = Ends::new(orders).ok_or(unknown)?;
    let started = begin(orders, &mut ends);
    ends.close();
    if started.is_err() {
        kernel::close(ends.ours);
    }
    started
}

fn begin(orders: &Orders, ends: &mut Ends) -> Result<Started, (u64, u8)> {
    let [stdin, stdout, stderr] = STREAMS;
    let stdin = if ends.terminal[1] < 0 { stdin } else { ends.terminal[1] };
    let files = [stdin, stdout, stderr, USERS, ends.theirs, ends.payload, PROGRAM];
    let mut places = [(-1, NOWHERE); replay::PLACES];
    for (at, (place, file)) in places.iter_mut().zip(files).enumerate() {
        *place = (file, orders.number(orders::PLACES.wrapping_add(at)));
    }
    let walk = Walk::begin(PLAN, &places, orders.number(orders::NAMESPACES)).ok_or((NOWHERE, orders::STEP))?;
    join(orders, walk.first());
    map(orders, walk.first());
    kernel::send(ends.ours, &[START]);
    ends.hand_over();
    walk.go_on();
    let began = kernel::read_byte(ends.ours);
    let pid = walk.last();
    let failure = walk.failure();
    walk.end();
    if began.is_none() {
        let _ = kernel::wait(pid, 0);
        return Err(match failure {
            0 => (replay::failure(ends.payload), orders::PAYLOAD_STEP),
            failure => (failure, orders::STEP),
        });
    }
    let terminal = (ends.terminal[0] >= 0).then(|| terminal(ends.terminal[0]));
    let run = Run { pid: pid as u64, start_time: kernel::start_time(pid), started: Some(Time::now()) };
    Ok(Started { run, line: ends.ours, process: kernel::open_process(pid), terminal })
}

/// What is done to a process from outside while it waits: its cgroups, and how readily it is killed.
pub fn join(orders: &Orders, pid: i32) {
    let (mut text, mut length) = ([0_u8; 24], 0);
    decimal(pid as u64, 1, &mut |digits| put(&mut text, &mut length, digits));
    let number = text.get(..length).unwrap_or_default();
    for path in orders.each(orders::JOIN) {
        write(path.as_ptr().expose_provenance() as u64, number);
    }
    if let Some(score) = orders.each(orders::SCORE).next() {
        write_of(number, b"/oom_score_adj\0", score);
    }
}

/// The ids of a namespace of its own.
fn map(orders: &Orders, pid: i32) {
    let (mut text, mut length) = ([0_u8; 24], 0);
    decimal(pid as u64, 1, &mut |digits| put(&mut text, &mut length, digits));
    let number = text.get(..length).unwrap_or_default();
    let files: [(u8, &[u8]); 2] = [(orders::GROUPS, b"/gid_map\0"), (orders::USERS, b"/uid_map\0")];
    for (letter, name) in files {
        let Some(value) = orders.each(letter).next() else { continue };
        if letter == orders::GROUPS {
            // A group map needs it: dropping a group could otherwise open what its members are denied.
            write_of(number, b"/setgroups\0", b"deny");
        }
        write_of(number, name, value);
    }
}

/// Writes to a file of a process.
fn write_of(number: &[u8], name: &[u8], value: &[u8]) {
    let (mut path, mut length) = ([0_u8; 64], 0);
    for part in [b"/proc/", number, name] {
        put(&mut path, &mut length, part);
    }
    write(kernel::address(&path), value);
}

fn write(path: u64, value: &[u8]) {
    // What fails shows in the container: in what it may do, or in a plan that fails.
    if let Ok(file) = kernel::open(AT_FDCWD, path, O_WRONLY) {
        kernel::write(file, value);
        kernel::close(file);
    }
}

/// The terminal that the plan has sent.
fn terminal(socket: i32) -> i32 {
    let mut byte = [0];
    let Some(message) = socket::receive(socket, &mut byte) else { return -1 };
    let [terminal, _] = message.files;
    kernel::do_not_block(terminal);
    terminal
}

/// Goes into the user namespace of the container's ids, where this program is root over all of its files.
pub fn become_root_of_files() {
    // SAFETY: takes no pointer. Where there is none this fails, and the files are our own.
    let _ = unsafe { kernel::call(SYS_setns, [USERS as u64, CLONE_NEWUSER, 0, 0, 0, 0]) };
}
