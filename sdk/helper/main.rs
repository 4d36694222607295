//! The program that plywood runs beside and inside of containers: tiny, static, without a C library, without a heap.
//!
//! | first argument | what it is | file |
//! |---|---|---|
//! | `plywood-init` | process 1 of a container: starts the payload, passes signals on, reaps orphans | `init.rs` |
//! | `plywood-reaper` | removes what a program leaves when it is killed | `reaper.rs` |
//! | `plywood-holder` | holds the terminal of a command that its program has left to the container | `holder.rs` |
//! | `plywood-keeper` | writes the log of a kept container, how it ended, starts it again and has its ports | `keeper.rs`, `log.rs`, … |
//!
//! `sdk/build.rs` compiles it with the compiler of the SDK and for its target, the SDK carries it, and executes it from a
//! sealed memory file: no path leads to it, and nobody can write to it. The layout of plans and their interpreter are
//! the SDK's own files.
//!
//! # Safety
//! One thread, no allocation. What is unsafe is a system call whose pointers lead to what the caller borrows or owns.
#![no_std]
#![no_main]
#![no_builtins]

extern crate self as libc;

mod cgroup;
mod chunk;
mod control;
mod forward;
mod health;
mod holder;
mod idle;
mod init;
mod keeper;
mod kernel;
mod link;
mod log;
mod memory;
mod numbers;
mod orders;
mod policy;
mod ports;
mod reaper;
mod replay;
mod report;
mod restart;
mod socket;
mod start;
mod tcp;
mod tree;
mod udp;

#[path = "../src/sys/child.rs"]
#[allow(dead_code)]
mod child;
#[path = "../src/sys/layout.rs"]
#[allow(dead_code)]
mod layout;
#[path = "../src/logs/piece.rs"]
mod piece;

pub use numbers::*;

/// What a name in the first argument makes of this program.
fn run(name: &[u8]) -> ! {
    match name {
        b"/sbin/plywood-init" => init::run(),
        b"plywood-holder" => holder::run(),
        b"plywood-keeper" => keeper::run(),
        b"plywood-reaper" => reaper::run(),
        _ => kernel::exit(127),
    }
}

/// Nothing here panics: indexes are checked by `get`, and arithmetic wraps. The compiler asks for it all the same.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    kernel::exit(127)
}
