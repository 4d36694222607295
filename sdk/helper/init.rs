//! Process 1 of a container.
//!
//! The plan of the container ends in the execution of this program, with the host program at the other end of a socket.
//! It waits for the host's word, starts the payload, passes every signal on to it, reaps whatever loses its parent, and
//! ends when the payload does, with its code; the kernel ends everything else in the container then.
//!
//! | direction | message |
//! |---|---|
//! | host → init | one byte: [`START`] or [`BECOME`]. The end of the stream: do nothing |
//! | init → host | one byte once the payload runs; the end of the stream instead: the answer in the plan tells why |
//! | init → host | the wait status of the payload, four bytes |
//!
//! Signals are blocked from before its first instruction on: process 1 is sent those only that it handles *or blocks*.

use crate::kernel;
use crate::memory::Plan;
use crate::numbers::*;

/// Where the plan of the container has put the socket, and the plan of the payload.
const HOST: i32 = 3;
const PLAN: i32 = 4;

/// Start the payload, and stay.
const START: u8 = 1;
/// Become the payload.
const BECOME: u8 = 2;

pub fn run() -> ! {
    kernel::block_signals();
    kernel::close_on_exec(HOST);
    kernel::name(b"plywood-init\0");
    let Some(word) = kernel::read_byte(HOST) else { kernel::exit(127) };
    let Some(mut plan) = Plan::map(PLAN) else { kernel::exit(127) };
    kernel::close(PLAN);
    match word {
        BECOME => plan.walk(),
        START => {}
        _ => kernel::exit(127),
    }
    let Ok(signals) = kernel::signals() else { kernel::exit(127) };
    let Some(payload) = plan.walk_in_child() else { kernel::exit(127) };
    kernel::send(HOST, &[START]);
    let status = attend(signals, payload);
    kernel::send(HOST, &status.to_ne_bytes());
    kernel::exit(code(status))
}

/// Serves the container until the payload has ended; its wait status.
fn attend(signals: i32, payload: i32) -> i32 {
    loop {
        // Only a descriptor that is none could be the reason for an error.
        let Ok(signal) = kernel::next_signal(signals) else { kernel::exit(127) };
        if signal != SIGCHLD {
            kernel::kill(payload, signal);
            continue;
        }
        // One signal may stand for many children.
        while let Some((pid, status)) = kernel::wait(-1, WNOHANG) {
            if pid == payload {
                return status;
            }
        }
    }
}

/// The exit code that stands for a wait status: 128 and the number of the signal, if one ended it.
fn code(status: i32) -> i32 {
    match status & 0x7f {
        0 => status >> 8 & 0xff,
        signal => signal.wrapping_add(128),
    }
}
