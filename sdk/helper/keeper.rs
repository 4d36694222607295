//! The supervisor of a kept container, which outlives the program that started it.
//!
//! One per container. It sleeps until there is output, which it writes to the log, and until process 1 has ended; then it
//! writes down how, removes the cgroup, and ends. It has no child: the container's init tells how the payload ended.
//!
//! | descriptor | what it is |
//! |---|---|
//! | 3 | the line to the init, which sends the payload's wait status |
//! | 4 | pidfd of the init |
//! | 5, 6 | standard output and error; they do not block |
//! | 7 | the log, open for appending |
//! | 8 | the directory of the container |
//! | 9 | the lock that says that somebody cares for the container; merely held |
//! | 10 | [`Orders`] |
//! | 11 | the lock that keeps dockerd out of the data root; merely held |
//!
//! Its end is one file in the container's directory, [`END`], which the next program that looks merges into the others.

use crate::kernel;
use crate::log::{Log, Time, decimal, put};
use crate::numbers::*;

const LINE: i32 = 3;
const PROCESS: i32 = 4;
const OUTPUTS: [i32; 2] = [5, 6];
const LOG: i32 = 7;
const DIRECTORY: i32 = 8;
const ORDERS: i32 = 10;

/// `memory.events` or `memory.oom_control` of the container's cgroup.
const MEMORY: u8 = b'M';
/// Cgroup that goes.
const GROUP: u8 = b'G';
/// Cgroup above it, which goes with the last below it.
const ABOVE: u8 = b'P';

/// How the container ended, and its name while it is written.
const END: &[u8] = b"plywood-end.json\0";
const NEW: &[u8] = b"plywood-end.json.new\0";

/// How much is read at a time, in bytes.
const BLOCK: usize = 8 * 1024;
/// How much an ended container may have left in a pipe, in blocks: what a pipe holds by default at most.
const LEFT: usize = (1024 * 1024) / BLOCK;
/// How often a cgroup is tried: the kernel may take a moment to count the last process out.
const PATIENCE: usize = 100;

pub fn run() -> ! {
    kernel::block_signals();
    let Some(orders) = Orders::map() else { kernel::exit(1) };
    let limits = [orders.number(0), orders.number(1)];
    let Some(mut log) = Log::new(LOG, DIRECTORY, orders.texts().next().unwrap_or_default(), limits) else {
        kernel::exit(1)
    };
    // Before the program goes on: whoever looks finds it under this name.
    kernel::name(b"plywood-keeper\0");
    // The one that was started ends, so that the program has no child of ours that it could wait for.
    match kernel::fork() {
        Ok(0) => {}
        Ok(_) => kernel::exit(0),
        Err(_) => kernel::exit(1),
    }
    let mut outputs = OUTPUTS;
    let mut buffer = [0_u8; BLOCK];
    loop {
        let [stdout, stderr] = outputs;
        let [stdout, stderr, ended] = kernel::poll([stdout, stderr, PROCESS]);
        for (stream, (output, ready)) in outputs.iter_mut().zip([stdout, stderr]).enumerate() {
            if ready {
                take(&mut log, stream, output, &mut buffer);
            }
        }
        if ended {
            break;
        }
    }
    for (stream, output) in outputs.iter_mut().enumerate() {
        let mut left = LEFT;
        while *output >= 0 && left > 0 && take(&mut log, stream, output, &mut buffer) {
            left = left.wrapping_sub(1);
        }
        log.end(stream);
    }
    let out_of_memory = is_out_of_memory(&orders, &mut buffer);
    remove_groups(&orders);
    record(&orders, status(), out_of_memory);
    kernel::exit(0)
}

/// Reads once; whether there was something. An output at its end is closed.
fn take(log: &mut Log<'_>, stream: usize, output: &mut i32, buffer: &mut [u8]) -> bool {
    match kernel::read(*output, buffer) {
        Ok(read @ 1..) => {
            log.write(stream, buffer.get(..read).unwrap_or_default());
            true
        }
        Err(EAGAIN | EINTR) => false,
        _ => {
            log.end(stream);
            kernel::close(*output);
            *output = -1;
            false
        }
    }
}

/// How the payload ended; as if killed, if the init was, and could not tell.
fn status() -> i32 {
    let mut bytes = [0; 4];
    match kernel::read(LINE, &mut bytes) {
        Ok(4) => i32::from_ne_bytes(bytes),
        _ => SIGKILL as i32,
    }
}

/// Whether the kernel killed a process of the container because memory ran out.
fn is_out_of_memory(orders: &Orders, buffer: &mut [u8]) -> bool {
    orders.texts().any(|order| {
        let [MEMORY, path @ ..] = order else { return false };
        let Ok(file) = kernel::open(AT_FDCWD, path.as_ptr().expose_provenance() as u64, 0) else { return false };
        let read = kernel::read(file, buffer).unwrap_or(0);
        kernel::close(file);
        let mut lines = buffer.get(..read).unwrap_or_default().split(|byte| *byte == b'\n');
        lines.any(|line| line.strip_prefix(b"oom_kill ").is_some_and(|count| count != b"0"))
    })
}

fn remove_groups(orders: &Orders) {
    let mut tries = 0;
    let mut busy = true;
    while busy && tries < PATIENCE {
        if tries > 0 {
            kernel::pause();
        }
        busy = false;
        for order in orders.texts() {
            if let [GROUP | ABOVE, path @ ..] = order {
                let removed = kernel::unlink(AT_FDCWD, path.as_ptr().expose_provenance() as u64, AT_REMOVEDIR);
                busy |= removed == Err(EBUSY) && order.first() == Some(&GROUP);
            }
        }
        tries = tries.wrapping_add(1);
    }
}

/// Writes down how the container ended, by one rename.
fn record(orders: &Orders, status: i32, out_of_memory: bool) {
    let (mut text, mut length) = ([0_u8; 256], 0);
    let mut out = |bytes: &[u8]| put(&mut text, &mut length, bytes);
    out(b"{\"pid\":");
    decimal(orders.number(2), 1, &mut out);
    out(b",\"start_time\":");
    decimal(orders.number(3), 1, &mut out);
    out(b",\"wait_status\":");
    decimal(status as u32 as u64, 1, &mut out);
    out(if out_of_memory { b",\"out_of_memory\":true" } else { b",\"out_of_memory\":false" });
    out(b",\"finished_at\":\"");
    Time::now().print(&mut out);
    out(b"\"}\n");
    let (new, end) = (NEW.as_ptr().expose_provenance() as u64, END.as_ptr().expose_provenance() as u64);
    // Without a file the container counts as killed, which is all that is left to be said on a full disk.
    let Ok(file) = kernel::create(DIRECTORY, new, O_TRUNC, 0o600) else { return };
    let is_durable = orders.number(4) != 0;
    if !kernel::write_all(file, text.get(..length).unwrap_or_default()).is_empty() {
        return;
    }
    if is_durable {
        kernel::sync(file);
    }
    if kernel::rename(DIRECTORY, new, DIRECTORY, end).is_ok() && is_durable {
        kernel::sync(DIRECTORY);
    }
}

/// What the SDK says: five numbers of eight bytes (the size at which the log is rotated or 0, how many files are kept,
/// number and start time of the init, 1 if a loss of power is to be survived), then texts that end with a zero byte: the
/// name of the log, and orders of a letter and a path each.
struct Orders {
    bytes: &'static [u8],
}

impl Orders {
    const NUMBERS: usize = 5 * 8;

    fn map() -> Option<Self> {
        let size = kernel::size_of_file(ORDERS).filter(|size| *size > Self::NUMBERS)?;
        let base = kernel::map_shared(ORDERS, size)?;
        // SAFETY: the mapping has this size, stays, and nobody writes to it any more.
        Some(Self { bytes: unsafe { core::slice::from_raw_parts(base, size) } })
    }

    fn number(&self, at: usize) -> u64 {
        let bytes = self.bytes.get(at.wrapping_mul(8)..).and_then(|bytes| bytes.first_chunk::<8>());
        bytes.map_or(0, |bytes| u64::from_ne_bytes(*bytes))
    }

    /// Without their zero bytes, which follow them.
    fn texts(&self) -> impl Iterator<Item = &'static [u8]> {
        self.bytes.get(Self::NUMBERS..).unwrap_or_default().split(|byte| *byte == 0)
    }
}
