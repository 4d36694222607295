//! What the supervisor writes down: [`FILE`] in the container's directory, and events.

use crate::kernel;
use crate::log::{Time, decimal, put};
use crate::numbers::*;
use crate::orders::{self, Orders};

/// How the container does, and the name of the file while it is written.
const FILE: &[u8] = b"plywood-kept.json\0";
const NEW: &[u8] = b"plywood-kept.json.new\0";

/// The longest file and event, in bytes: all but texts of the user, which are cut off, takes less than half.
const LONGEST: usize = 2048;

/// A process of the container.
#[derive(Clone, Copy)]
pub struct Run {
    pub pid: u64,
    pub start_time: u64,
    /// Not known of the first one, whose start the program records.
    pub started: Option<Time>,
}

/// How a process has ended.
#[derive(Clone, Copy)]
pub struct Exit {
    pub status: i32,
    pub out_of_memory: bool,
    pub started: Option<Time>,
    pub finished: Time,
}

/// How the container does.
#[derive(Clone, Copy)]
pub struct Report {
    /// The process that runs.
    pub run: Option<Run>,
    pub exit: Option<Exit>,
    pub restarts: u64,
    /// Whether there will be another process.
    pub restarting: bool,
    /// Step and errno of a start that failed, and the letter of the steps.
    pub failure: Option<(u64, u8)>,
}

impl Exit {
    /// The exit code: 128 and its number for a signal.
    pub fn code(&self) -> u64 {
        code(self.status)
    }
}

/// The exit code that stands for a wait status.
pub fn code(status: i32) -> u64 {
    match status & 0x7f {
        0 => (status >> 8 & 0xff) as u64,
        signal => (signal as u64).wrapping_add(128),
    }
}

type Out<'a> = &'a mut dyn FnMut(&[u8]);

impl Report {
    /// Writes it to a directory, by one rename.
    pub fn write(&self, directory: i32, orders: &Orders) {
        let (mut text, mut length) = ([0_u8; LONGEST], 0);
        self.print(orders, &mut |bytes| put(&mut text, &mut length, bytes));
        let (new, name) = (NEW.as_ptr().expose_provenance() as u64, FILE.as_ptr().expose_provenance() as u64);
        // Without a file the container counts as killed, which is all that is left to be said on a full disk.
        let Ok(file) = kernel::create(directory, new, O_TRUNC, 0o600) else { return };
        let is_durable = orders.number(orders::DURABLE) != 0;
        let is_written = kernel::write_all(file, text.get(..length).unwrap_or_default()).is_empty();
        if is_written && is_durable {
            kernel::sync(file);
        }
        kernel::close(file);
        if is_written && kernel::rename(directory, new, directory, name).is_ok() && is_durable {
            kernel::sync(directory);
        }
    }

    fn print(&self, orders: &Orders, out: Out<'_>) {
        out(b"{\"pid\":");
        decimal(orders.number(orders::PID), 1, out);
        out(b",\"start_time\":");
        decimal(orders.number(orders::START_TIME), 1, out);
        out(b",\"restarts\":");
        decimal(self.restarts, 1, out);
        out(if self.restarting { b",\"restarting\":true" } else { b",\"restarting\":false" });
        if let Some(run) = &self.run {
            out(b",\"run\":{\"pid\":");
            decimal(run.pid, 1, out);
            out(b",\"start_time\":");
            decimal(run.start_time, 1, out);
            time(b",\"started_at\":\"", run.started, out);
            out(b"}");
        }
        if let Some(exit) = &self.exit {
            out(b",\"exit\":{\"wait_status\":");
            decimal(exit.status as u32 as u64, 1, out);
            out(if exit.out_of_memory { b",\"out_of_memory\":true" } else { b",\"out_of_memory\":false" });
            time(b",\"started_at\":\"", exit.started, out);
            time(b",\"finished_at\":\"", Some(exit.finished), out);
            out(b"}");
        }
        if let Some((failure, letter)) = self.failure {
            out(b",\"failure\":{\"attempt\":\"");
            out(orders.each(letter).nth((failure >> 32) as usize).unwrap_or(b"start its process"));
            out(b"\",\"errno\":");
            decimal(failure & 0xffff_ffff, 1, out);
            out(b"}");
        }
        out(b"}\n");
    }
}

fn time(name: &[u8], time: Option<Time>, out: Out<'_>) {
    if let Some(time) = time {
        out(name);
        time.print(out);
        out(b"\"");
    }
}

/// Tells of an event, with an attribute.
pub fn tell(orders: &Orders, action: &[u8], attribute: Option<(&[u8], &[u8])>) {
    if let (Some(path), Some(members)) = (orders.each(orders::EVENTS).next(), orders.each(orders::EVENT).next()) {
        tell_in(path.as_ptr().expose_provenance() as u64, members, action, attribute);
    }
}

/// Tells of an event in this file; the members are those of the JSON object that every event of a container has.
pub fn tell_in(path: u64, members: &[u8], action: &[u8], attribute: Option<(&[u8], &[u8])>) {
    let (mut text, mut length) = ([0_u8; LONGEST], 0);
    let mut out = |bytes: &[u8]| put(&mut text, &mut length, bytes);
    out(b"{\"time\":\"");
    Time::now().print(&mut out);
    out(b"\",\"action\":\"");
    out(action);
    out(b"\",");
    out(members);
    if let Some((name, value)) = attribute {
        out(b",\"attributes\":{\"");
        out(name);
        out(b"\":\"");
        out(value);
        out(b"\"}");
    }
    out(b"}\n");
    if let Ok(file) = kernel::create(AT_FDCWD, path, O_APPEND, 0o600) {
        // One write, so that lines of several programs never mix.
        kernel::write(file, text.get(..length).unwrap_or_default());
        kernel::close(file);
    }
}
