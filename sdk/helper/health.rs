//! The health check of a kept container: its supervisor replays the plan of a further process.
//!
//! | descriptor | what it is |
//! |---|---|
//! | 24 | the plan of a process that joins the container |
//! | 25 | that of the check |
//!
//! A check that has begun is waited for like all else: for its start, its output and its end, for its timeout at most. How it
//! goes is written to [`FILE`] in the container's directory, in Docker's words.

use crate::keeper::DIRECTORY;
use crate::kernel;
use crate::log::{Time, decimal, put, quoted};
use crate::numbers::*;
use crate::orders::{self, Orders};
use crate::replay::{self, NOWHERE, Walk};
use crate::report;
use crate::restart;
use crate::socket;

const PLAN: i32 = 24;
const CHECK: i32 = 25;

/// What the helper is told: to become the payload.
const BECOME: u8 = 2;

/// How the health is, and the name of the file while it is written.
const FILE: &[u8] = b"plywood-health.json\0";
const NEW: &[u8] = b"plywood-health.json.new\0";

/// How many results are kept, and how much of what a check writes, in bytes, as in Docker.
const RESULTS: usize = 5;
const OUTPUT: usize = 4096;

/// Those that are kept, and the next one.
const PLACES: usize = RESULTS + 1;

/// The exit code of a check that has not ended by itself, in Docker's words.
const NO_CODE: i64 = -1;

/// How a check has ended.
struct Outcome {
    start: Time,
    end: Time,
    code: i64,
    /// Why there is no code: what has failed, 0 for the timeout, and the letter of the steps.
    failure: (u64, u8),
    /// How much it has written, in bytes.
    length: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Status {
    Starting,
    Healthy,
    Unhealthy,
}

/// A check that runs.
struct Running {
    walk: Option<Walk>,
    /// The end of this line says that it has begun; -1 once it has.
    line: i32,
    /// The copy of its plan, with the answer.
    answer: i32,
    output: i32,
    pid: i32,
    process: i32,
}

pub struct Health<'a> {
    orders: &'a Orders,
    /// All that are kept, in a ring: `count` have been written, the next one is being written.
    results: *mut Outcome,
    /// What they have written, one after the other, the oldest first: little takes one page, however many there are.
    texts: *mut u8,
    count: usize,
    status: Status,
    streak: u64,
    /// When the container was started, and when something is to be done, in milliseconds.
    began: u64,
    due: u64,
    checked_at: u64,
    running: Option<Running>,
}

impl<'a> Health<'a> {
    /// `None` if the container has no check.
    pub fn new(orders: &'a Orders) -> Option<Self> {
        if orders.number(orders::CHECK_RETRIES) == 0 {
            return None;
        }
        let results = kernel::map_private(PLACES * (size_of::<Outcome>() + OUTPUT))?;
        let texts = results.wrapping_add(PLACES * size_of::<Outcome>());
        let results = results.cast::<Outcome>();
        let (count, streak, began, due, checked_at) = (0, 0, 0, 0, 0);
        let status = Status::Starting;
        Some(Self { orders, results, texts, count, status, streak, began, due, checked_at, running: None })
    }

    /// The container has been started.
    pub fn begin(&mut self) {
        (self.status, self.streak, self.began) = (Status::Starting, 0, kernel::uptime());
        self.due = self.began.wrapping_add(self.pause());
        self.write();
    }

    /// The container has ended.
    pub fn end(&mut self) {
        self.give_up();
        self.status = Status::Unhealthy;
        self.write();
    }

    /// What to wait for, and for how many milliseconds at most.
    pub fn files(&self) -> [i32; 3] {
        self.running.as_ref().map_or([-1; 3], |running| [running.line, running.output, running.process])
    }

    pub fn left(&self) -> u64 {
        self.due.saturating_sub(kernel::uptime())
    }

    /// Goes on, after one of these files is ready or the time is over; `process` is the container's.
    pub fn go_on(&mut self, [begins, written, ended]: [bool; 3], process: i32) {
        if written {
            self.take_output();
        }
        if begins {
            self.has_begun();
        }
        if ended && let Some(running) = &self.running {
            let status = kernel::wait(running.pid, 0).map_or(0, |(_, status)| status);
            self.take_output();
            let code = report::code(status) as i64;
            self.conclude(code, (0, 0));
        }
        if self.left() > 0 {
            return;
        }
        match self.running {
            Some(_) => self.conclude(NO_CODE, (0, 0)),
            None => self.check(process),
        }
    }

    fn check(&mut self, process: i32) {
        self.checked_at = kernel::uptime();
        if is_paused(self.orders) {
            self.due = self.checked_at.wrapping_add(self.orders.number(orders::CHECK_INTERVAL));
            return;
        }
        self.due = self.checked_at.wrapping_add(self.orders.number(orders::CHECK_TIMEOUT));
        let now = Time::now();
        let next = self.next();
        (next.start, next.length) = (now, 0);
        match start(self.orders, process) {
            Some(running) => self.running = Some(running),
            None => self.conclude(NO_CODE, (NOWHERE, orders::CHECK_STEP)),
        }
    }

    /// Its program runs, or could not be executed.
    fn has_begun(&mut self) {
        let Some(running) = &mut self.running else { return };
        kernel::close(running.line);
        running.line = -1;
        let Some(walk) = running.walk.take() else { return };
        running.pid = walk.last();
        running.process = kernel::open_process(running.pid);
        let failure = walk.failure();
        walk.end();
        let failure = match failure {
            0 => (replay::failure(running.answer), orders::CHECK_PAYLOAD_STEP),
            failure => (failure, orders::CHECK_STEP),
        };
        if failure.0 != 0 {
            self.conclude(NO_CODE, failure);
        }
    }

    fn take_output(&mut self) {
        let Some(running) = &self.running else { return };
        let output = running.output;
        let text = self.text(self.count);
        let next = self.next();
        let mut beyond = [0; 512];
        // What does not fit is read as well: whoever writes it must not wait.
        loop {
            let room = text.get_mut(next.length..).unwrap_or_default();
            let fits = !room.is_empty();
            match kernel::read(output, if fits { room } else { &mut beyond }) {
                Ok(read @ 1..) if fits => next.length = next.length.wrapping_add(read),
                Ok(1..) => {}
                _ => break,
            }
        }
    }

    /// Takes down how a check has ended.
    fn conclude(&mut self, code: i64, failure: (u64, u8)) {
        self.give_up();
        let orders = self.orders;
        let before = self.status;
        let next = self.next();
        (next.end, next.code, next.failure) = (Time::now(), code, failure);
        self.count = self.count.wrapping_add(1);
        self.forget();
        let age = self.checked_at.wrapping_sub(self.began);
        if code == 0 {
            (self.status, self.streak) = (Status::Healthy, 0);
        } else if self.status != Status::Starting || age >= orders.number(orders::CHECK_START_PERIOD) {
            self.streak = self.streak.wrapping_add(1);
            if self.streak >= orders.number(orders::CHECK_RETRIES) {
                self.status = Status::Unhealthy;
            }
        }
        self.due = kernel::uptime().wrapping_add(self.pause());
        self.write();
        if self.status != before {
            report::tell(orders, b"health_status", Some((b"healthStatus", self.status.name())));
        }
    }

    /// Ends a check that runs, without a result.
    fn give_up(&mut self) {
        let Some(running) = self.running.take() else { return };
        let pid = if running.pid > 0 { running.pid } else { running.walk.as_ref().map_or(0, Walk::first) };
        if pid > 0 {
            kernel::kill(pid, SIGKILL as i32);
        }
        if let Some(walk) = running.walk {
            walk.end();
        }
        [running.line, running.answer, running.output, running.process].into_iter().for_each(kernel::close);
        // One that has not ended yet is waited for with the next one.
        while kernel::wait(-1, WNOHANG).is_some() {}
    }

    /// How long the next check is away, in milliseconds.
    fn pause(&self) -> u64 {
        let age = kernel::uptime().wrapping_sub(self.began);
        let is_starting = self.status == Status::Starting && age < self.orders.number(orders::CHECK_START_PERIOD);
        let which = if is_starting { orders::CHECK_START_INTERVAL } else { orders::CHECK_INTERVAL };
        self.orders.number(which)
    }

    fn next(&mut self) -> &'static mut Outcome {
        self.outcome(self.count)
    }

    fn outcome(&self, number: usize) -> &'static mut Outcome {
        let at = self.results.wrapping_add(number % PLACES);
        // SAFETY: the mapping holds as many, all zeros is a valid one, and one reference at a time is used.
        unsafe { &mut *at }
    }

    /// The room for what a result that is kept, or the next one, has written.
    fn text(&self, number: usize) -> &'static mut [u8] {
        let older = self.count.saturating_sub(RESULTS)..number;
        let at = older.fold(0_usize, |at, number| at.wrapping_add(self.outcome(number).length));
        // SAFETY: each takes `OUTPUT` bytes at most, and the mapping has as much for each; one reference at a time is used.
        unsafe { core::slice::from_raw_parts_mut(self.texts.wrapping_add(at), OUTPUT) }
    }

    /// Drops what the oldest result has written, whose place the next one takes.
    fn forget(&mut self) {
        let Some(oldest) = self.count.checked_sub(PLACES) else { return };
        let used = (oldest..self.count).fold(0_usize, |used, number| used.wrapping_add(self.outcome(number).length));
        let dropped = core::mem::take(&mut self.outcome(oldest).length);
        // SAFETY: the mapping holds what all of them have written; one reference at a time is used.
        let texts = unsafe { core::slice::from_raw_parts_mut(self.texts, used) };
        for at in dropped..used {
            let byte = texts.get(at).copied().unwrap_or_default();
            if let Some(place) = texts.get_mut(at.wrapping_sub(dropped)) {
                *place = byte;
            }
        }
    }

    /// Writes it to the directory, by one rename.
    fn write(&self) {
        let (new, name) = (NEW.as_ptr().expose_provenance() as u64, FILE.as_ptr().expose_provenance() as u64);
        let Ok(file) = kernel::create(DIRECTORY, new, O_TRUNC, 0o600) else { return };
        let (mut buffer, mut length, mut is_whole) = ([0_u8; 1024], 0_usize, true);
        let mut out = |bytes: &[u8]| {
            for piece in bytes.chunks(buffer.len()) {
                if length.wrapping_add(piece.len()) > buffer.len() {
                    is_whole &= kernel::write_all(file, buffer.get(..length).unwrap_or_default()).is_empty();
                    length = 0;
                }
                put(&mut buffer, &mut length, piece);
            }
        };
        self.print(&mut out);
        is_whole &= kernel::write_all(file, buffer.get(..length).unwrap_or_default()).is_empty();
        kernel::close(file);
        if is_whole {
            let _ = kernel::rename(DIRECTORY, new, DIRECTORY, name);
        }
    }

    fn print(&self, out: &mut dyn FnMut(&[u8])) {
        out(b"{\"pid\":");
        decimal(self.orders.number(orders::PID), 1, out);
        out(b",\"start_time\":");
        decimal(self.orders.number(orders::START_TIME), 1, out);
        out(b",\"Status\":\"");
        out(self.status.name());
        out(b"\",\"FailingStreak\":");
        decimal(self.streak, 1, out);
        out(b",\"Log\":[");
        for number in self.count.saturating_sub(RESULTS)..self.count {
            self.outcome(number).print(self.text(number), self.orders, out);
            out(if number.wrapping_add(1) == self.count { b"" } else { b"," });
        }
        out(b"]}\n");
    }
}

impl Status {
    fn name(self) -> &'static [u8] {
        match self {
            Self::Starting => b"starting",
            Self::Healthy => b"healthy",
            Self::Unhealthy => b"unhealthy",
        }
    }
}

impl Outcome {
    fn print(&self, text: &[u8], orders: &Orders, out: &mut dyn FnMut(&[u8])) {
        out(b"{\"Start\":\"");
        self.start.print(out);
        out(b"\",\"End\":\"");
        self.end.print(out);
        out(b"\",\"ExitCode\":");
        match (self.code, self.failure) {
            (NO_CODE, (0, _)) => out(b"-1,\"Output\":\"Health check exceeded timeout"),
            (NO_CODE, (failure, letter)) => {
                out(b"-1,\"Errno\":");
                decimal(failure & 0xffff_ffff, 1, out);
                out(b",\"Output\":\"");
                out(orders.each(letter).nth((failure >> 32) as usize).unwrap_or(b"start its process"));
            }
            (code, _) => {
                decimal(code as u64, 1, out);
                out(b",\"Output\":\"");
                quoted(text.get(..self.length).unwrap_or_default(), out);
            }
        }
        out(b"\"}");
    }
}

/// Begins a check in the container of this process.
fn start(orders: &Orders, process: i32) -> Option<Running> {
    let [line, theirs] = socket::pair(SOCK_STREAM)?;
    let answer = replay::copy(CHECK).unwrap_or(-1);
    let [output, input] = kernel::pipe().unwrap_or([-1, -1]);
    kernel::do_not_block(output);
    let files = [input, input, process, theirs, answer, restart::PROGRAM];
    let mut places = [(-1, NOWHERE); replay::PLACES];
    for (at, (place, file)) in places.iter_mut().zip(files).enumerate() {
        *place = (file, orders.number(orders::CHECK_PLACES.wrapping_add(at)));
    }
    let walk = Walk::begin(PLAN, &places, 0);
    if let Some(walk) = &walk {
        restart::join(orders, walk.first());
        kernel::send(line, &[BECOME]);
    }
    kernel::close(theirs);
    kernel::close(input);
    match walk {
        Some(walk) => {
            walk.go_on();
            Some(Running { walk: Some(walk), line, answer, output, pid: 0, process: -1 })
        }
        None => {
            [line, answer, output].into_iter().for_each(kernel::close);
            None
        }
    }
}

/// Whether the container stands still.
fn is_paused(orders: &Orders) -> bool {
    orders.each(orders::FROZEN).any(|path| {
        let Ok(file) = kernel::open(AT_FDCWD, path.as_ptr().expose_provenance() as u64, 0) else { return false };
        let word = kernel::read_byte(file);
        kernel::close(file);
        // `cgroup.freeze` of version 2 and `freezer.state` of version 1.
        matches!(word, Some(b'1' | b'F'))
    })
}
