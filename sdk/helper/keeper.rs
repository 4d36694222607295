//! The supervisor of a kept container, which outlives the program that started it.
//!
//! One per container. It sleeps until there is output, which it writes to the log, until somebody speaks to it
//! (`control.rs`), and until process 1 has ended. Then it writes down how (`report.rs`), and starts the container again
//! where its [`Policy`] says so (`restart.rs`), or removes the cgroup, and ends. The container's init tells how the
//! payload ended.
//!
//! | descriptor | what it is |
//! |---|---|
//! | 3 | the line to the init, which sends the payload's wait status |
//! | 4 | pidfd of the init |
//! | 5, 6 | standard output and error, or the terminal and nothing; they do not block |
//! | 7 | the log, open for appending |
//! | 8 | the directory of the container |
//! | 9 | the lock that says that somebody cares for the container; merely held |
//! | 10 | [`Orders`] |
//! | 11 | the lock that keeps dockerd out of the data root; merely held |
//! | 12 | the socket on which others speak to it |
//! | 13 | where input goes; `/dev/null` for nowhere |
//! | 14, 15 | the data root and what is to be removed there at the end, if it is |
//! | 16, 18 … 23 | what a further start takes (`restart.rs`), if there may be one |
//! | 17 | what says whether anybody uses the container (`idle.rs`), if it ends when nobody does |
//! | 24, 25 | the health check (`health.rs`), if there is one |
//! | 26 … | the listeners of published ports (`ports.rs`) |

use crate::control::{Clients, MOST};
use crate::health::Health;
use crate::idle::Idle;
use crate::kernel;
use crate::log::{Log, Time, decimal, put};
use crate::numbers::*;
use crate::orders::{self, Orders};
use crate::policy::Policy;
use crate::ports::Ports;
use crate::report::{self, Exit, Report, Run};
use crate::{cgroup, reaper, restart, tree};

const LINE: i32 = 3;
const PROCESS: i32 = 4;
const OUTPUTS: [i32; 2] = [5, 6];
const LOG: i32 = 7;
pub const DIRECTORY: i32 = 8;
const ORDERS: i32 = 10;
const CONTROL: i32 = 12;
const INPUT: i32 = 13;
const ROOT: i32 = 14;
const REMOVAL: i32 = 15;

/// The socket in the directory of the container.
const SOCKET: &[u8] = b"plywood.sock\0";

/// How much is read at a time, in bytes: a page of a pipe. More would stay in memory while nothing is written.
const BLOCK: usize = 4 * 1024;
/// How many descriptors are waited for before those of clients.
const BEFORE_CLIENTS: usize = 6;
/// How much an ended container may have left in a pipe, in blocks: what a pipe holds by default at most.
const LEFT: usize = (1024 * 1024) / BLOCK;

pub fn run() -> ! {
    kernel::block_signals();
    let Some(orders) = Orders::map(ORDERS) else { kernel::exit(1) };
    let limits = [orders.number(orders::LOG_SIZE), orders.number(orders::LOG_FILES)];
    let Some(log) = Log::new(LOG, DIRECTORY, orders.log_name(), limits) else { kernel::exit(1) };
    // Before the program goes on: whoever looks finds it under this name.
    kernel::name(b"plywood-keeper\0");
    // The one that was started ends, so that the program has no child of ours that it could wait for.
    match kernel::fork(0) {
        Ok(0) => {}
        Ok(_) => kernel::exit(0),
        Err(_) => kernel::exit(1),
    }
    let (pid, start_time) = (orders.number(orders::PID), orders.number(orders::START_TIME));
    let run = Some(Run { pid, start_time, started: None });
    let report = Report { run, exit: None, restarts: 0, restarting: false, failure: None };
    let mut keeper = Keeper {
        orders: &orders,
        log,
        clients: Clients::new(CONTROL),
        line: LINE,
        process: PROCESS,
        outputs: OUTPUTS,
        report,
        killed: out_of_memory(&orders),
        health: Health::new(&orders),
        idle: Idle::new(&orders),
        ports: Ports::new(&orders),
        is_cancelled: false,
        began: kernel::uptime(),
    };
    keeper.serve();
    keeper.idle.end();
    keeper.ports.close();
    cgroup::remove(groups(&orders));
    keeper.report.restarting = false;
    keeper.report.write(DIRECTORY, &orders);
    let _ = kernel::unlink(DIRECTORY, SOCKET.as_ptr().expose_provenance() as u64, 0);
    keeper.clients.answer();
    if orders.number(orders::REMOVED) != 0 || keeper.idle.has_ended() {
        remove();
        report::tell(&orders, b"destroy", None);
    }
    kernel::exit(0)
}

struct Keeper<'a> {
    orders: &'a Orders,
    log: Log<'a>,
    clients: Clients,
    line: i32,
    process: i32,
    outputs: [i32; 2],
    report: Report,
    /// How many processes of the container the kernel has killed because memory ran out.
    killed: u64,
    health: Option<Health<'a>>,
    idle: Idle,
    ports: Ports,
    /// Whether it is not to be started again.
    is_cancelled: bool,
    /// When the process was started, in milliseconds.
    began: u64,
}

impl Keeper<'_> {
    /// Serves the container until it has ended and is not started again.
    fn serve(&mut self) {
        let mut policy = Policy::new(self.orders);
        loop {
            if self.report.run.is_some() {
                self.attend();
                self.conclude();
            }
            let has_failed = self.report.failure.is_some() || self.report.exit.is_none_or(|exit| exit.code() != 0);
            let ran_for = kernel::uptime().wrapping_sub(self.began);
            let Some(pause) = policy.pause(has_failed, ran_for).filter(|_| !self.is_cancelled) else { return };
            self.report.restarting = true;
            self.report.write(DIRECTORY, self.orders);
            if !self.wait(pause) {
                return;
            }
            policy.count = policy.count.wrapping_add(1);
            self.report.restarts = policy.count;
            self.start();
        }
    }

    /// Passes output on until the process has ended.
    fn attend(&mut self) {
        let mut buffer = [0_u8; BLOCK];
        self.ports.begin(self.report.run, self.process, self.orders);
        self.health.iter_mut().for_each(Health::begin);
        self.is_cancelled |= self.clients.begin(self.input());
        self.answer();
        loop {
            let (listener, [a, b, c, d, e, f, g, h]) = self.clients.files();
            let busy = if self.has_terminal() { self.clients.busy() } else { [false; MOST] };
            let [stdout, stderr] = if busy.contains(&true) { [-1; 2] } else { self.outputs };
            let [x, y, z] = self.health.as_ref().map_or([-1; 3], Health::files);
            let left = self.health.as_ref().map_or(u64::MAX, Health::left);
            let left = left.min(self.idle.left()).min(self.ports.left());
            let (unused, ports) = (self.idle.file(), self.ports.file());
            let all = [stdout, stderr, self.process, unused, ports, listener, a, b, c, d, e, f, g, h, x, y, z];
            let mut all = all.map(|file| (file, POLLIN));
            for ((_, events), busy) in all.iter_mut().skip(BEFORE_CLIENTS).zip(busy) {
                *events |= if busy { POLLOUT } else { 0 };
            }
            let [stdout, stderr, ended, unused, lost, comes, heard @ .., begins, written, checked] =
                kernel::poll_events(all, left);
            for (stream, ready) in [stdout, stderr].into_iter().enumerate() {
                if ready {
                    self.take(stream, &mut buffer);
                }
            }
            self.hear(comes, heard);
            self.answer();
            if ended {
                break;
            }
            self.ports.go_on(lost, self.report.run, self.process, self.orders);
            if unused {
                self.is_cancelled = true;
                self.idle.ask(self.process, self.orders);
            }
            self.idle.insist(self.process);
            self.health.iter_mut().for_each(|health| health.go_on([begins, written, checked], self.process));
        }
        self.health.iter_mut().for_each(Health::end);
        for stream in 0..2 {
            let mut left = LEFT;
            while left > 0 && self.take(stream, &mut buffer) {
                left = left.wrapping_sub(1);
            }
            self.log.end(stream);
        }
    }

    fn hear(&mut self, comes: bool, heard: [bool; MOST]) {
        self.is_cancelled |= self.clients.hear(comes, heard, self.input());
    }

    /// Answers those who want an end, once nothing is to be started again.
    fn answer(&mut self) {
        if !self.report.restarting {
            self.clients.answer();
        }
    }

    fn has_terminal(&self) -> bool {
        self.orders.number(orders::TERMINAL) != 0
    }

    /// Where input goes.
    fn input(&self) -> i32 {
        if self.has_terminal() { self.outputs[0] } else { INPUT }
    }

    /// Reads once; whether there was something. An output at its end is closed.
    fn take(&mut self, stream: usize, buffer: &mut [u8]) -> bool {
        let Some(output) = self.outputs.get_mut(stream) else { return false };
        match kernel::read(*output, buffer) {
            Ok(read @ 1..) => {
                let bytes = buffer.get(..read).unwrap_or_default();
                self.log.write(stream, bytes);
                self.clients.pass_on(stream, bytes);
                true
            }
            Err(EAGAIN | EINTR) => false,
            _ => {
                self.log.end(stream);
                kernel::close(*output);
                *output = -1;
                false
            }
        }
    }

    /// Takes down how the process has ended.
    fn conclude(&mut self) {
        cgroup::kill(groups(self.orders));
        self.ports.end();
        let killed = out_of_memory(self.orders);
        let started = self.report.run.and_then(|run| run.started);
        let out_of_memory = killed > self.killed;
        let exit = Exit { status: status(self.line), out_of_memory, started, finished: Time::now() };
        self.killed = killed;
        // Only those that were started here are our children.
        while kernel::wait(-1, WNOHANG).is_some() {}
        kernel::close(self.line);
        kernel::close(self.process);
        (self.line, self.process) = (-1, -1);
        (self.report.run, self.report.exit) = (None, Some(exit));
        let (mut code, mut length) = ([0_u8; 20], 0);
        decimal(exit.code(), 1, &mut |digits| put(&mut code, &mut length, digits));
        report::tell(self.orders, b"die", Some((b"exitCode", code.get(..length).unwrap_or_default())));
        self.clients.end(exit.status, out_of_memory, self.orders.number(orders::REMOVED) != 0);
    }

    /// Waits for so many milliseconds; false if the container is not to be started again after all.
    fn wait(&mut self, pause: u64) -> bool {
        let until = kernel::uptime().wrapping_add(pause);
        while !self.is_cancelled {
            let left = until.saturating_sub(kernel::uptime());
            if left == 0 {
                return true;
            }
            let (listener, [a, b, c, d, e, f, g, h]) = self.clients.files();
            let all = [self.idle.file(), listener, a, b, c, d, e, f, g, h];
            let [unused, comes, heard @ ..] = kernel::poll_for(all, left);
            self.hear(comes, heard);
            if unused {
                self.is_cancelled = true;
                self.idle.ask(-1, self.orders);
            }
        }
        false
    }

    fn start(&mut self) {
        self.began = kernel::uptime();
        let started = restart::start(self.orders);
        self.report.restarting = false;
        match started {
            Ok(started) => {
                (self.line, self.process) = (started.line, started.process);
                if let Some(terminal) = started.terminal {
                    kernel::close(self.outputs[0]);
                    self.outputs[0] = terminal;
                }
                (self.report.run, self.report.failure) = (Some(started.run), None);
                report::tell(self.orders, b"start", None);
            }
            Err(failure) => self.report.failure = Some(failure),
        }
        self.report.write(DIRECTORY, self.orders);
    }
}

/// Calls with the cgroups of the container, by their letters.
fn groups(orders: &Orders) -> impl Fn(u8, &mut dyn FnMut(u64)) {
    |letter, work| orders.each(letter).for_each(|path| work(path.as_ptr().expose_provenance() as u64))
}

/// How the payload ended; as if killed, if the init was, and could not tell.
fn status(line: i32) -> i32 {
    let mut bytes = [0; 4];
    match kernel::read(line, &mut bytes) {
        Ok(4) => i32::from_ne_bytes(bytes),
        _ => SIGKILL as i32,
    }
}

/// How many processes of the container the kernel has killed because memory ran out.
fn out_of_memory(orders: &Orders) -> u64 {
    let Some(path) = orders.each(orders::MEMORY).next() else { return 0 };
    let Ok(file) = kernel::open(AT_FDCWD, path.as_ptr().expose_provenance() as u64, 0) else { return 0 };
    let mut buffer = [0_u8; 512];
    let read = kernel::read(file, &mut buffer).unwrap_or(0);
    kernel::close(file);
    let mut lines = buffer.get(..read).unwrap_or_default().split(|byte| *byte == b'\n');
    lines.find_map(|line| line.strip_prefix(b"oom_kill ")).map_or(0, kernel::parse)
}

/// Removes the container, as the reaper does it for a program. What is left the next program removes that opens the data
/// root: nobody holds the lock then.
fn remove() {
    let Some(size) = kernel::size_of_file(REMOVAL) else { return };
    let Some(base) = kernel::map_shared(REMOVAL, size) else { return };
    // SAFETY: the mapping has this size, stays, and nobody writes to it.
    let bytes = unsafe { core::slice::from_raw_parts(base.cast_const(), size) };
    let each = |work: &mut dyn FnMut(u8, u64)| {
        for order in bytes.split(|byte| *byte == 0) {
            if let [letter, text @ ..] = order {
                work(*letter, text.as_ptr().expose_provenance() as u64);
            }
        }
    };
    let mut trash = tree::Trash::new();
    reaper::discard(ROOT, each, &mut trash);
    restart::become_root_of_files();
    trash.empty();
    each(&mut |letter, path| {
        if letter == reaper::ENTRY {
            let _ = kernel::unlink(ROOT, path, 0);
        }
    });
}
