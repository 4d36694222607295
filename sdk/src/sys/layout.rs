//! How a plan lies in memory: what `plan.rs` writes, and the interpreter in `child.rs` reads.
//!
//! The helper program (`sdk/helper/`) is built from this file and `child.rs` too, without the standard library.

/// One system call, laid out as the child reads it.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct Operation {
    /// A system call number of this machine, or one of the calls beginning with [`GATE`].
    pub call: u32,
    /// What the report says when it fails.
    pub step: u16,
    /// Register that takes the result, or the negative errno that was tolerated; [`NO_REGISTER`] for none.
    pub destination: u8,
    /// One of [`NUMBER`], [`OFFSET`] and [`REGISTER`] per argument.
    pub kinds: [u8; 6],
    pub unused: [u8; 3],
    /// Operations to leave out after success.
    pub skip_on_success: u16,
    /// Operations to leave out after a tolerated failure.
    pub skip_on_failure: u16,
    /// Errnos that do not end the child; [`ANY`] stands for all, 0 for none.
    pub tolerated: [u16; 6],
    pub arguments: [u64; 6],
}

/// The first bytes of a blob.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub magic: u32,
    pub operation_count: u32,
    pub operations: u32,
    pub relocation_count: u32,
    pub relocations: u32,
    pub data: u32,
    pub length: u32,
    pub unused: u32,
}

/// `PLY1`, of this machine's byte order.
pub(super) const MAGIC: u32 = u32::from_ne_bytes(*b"PLY1");

pub(super) const NUMBER: u8 = 0;
pub(super) const OFFSET: u8 = 1;
pub(super) const REGISTER: u8 = 2;

pub(super) const NO_REGISTER: u8 = u8::MAX;
/// How many results a child keeps.
pub(super) const REGISTERS: usize = 64;

/// Tolerates every error.
pub(crate) const ANY: i32 = u16::MAX as i32;

/// The register that begins with the number of a pidfd of the parent.
pub(super) const PARENT: u8 = REGISTERS as u8 - 1;

/// Waits until the parent has done its part for this child, or ends without a word if it gave up or is dead: `(number of
/// the child, pidfd of the parent)`.
pub(super) const GATE: u32 = 0x8000_0000;
/// `execve(path, argv, envp)`; a failure is remembered. A file that is there is put into the destination register, and
/// ends the search with `skip_on_failure` unless it only may not be executed.
pub(super) const EXEC: u32 = 0x8000_0001;
/// Goes on in a second child with these clone flags, and ends the first.
pub(super) const FORK: u32 = 0x8000_0002;
/// Ends with the negative errno of a register, or with what [`EXEC`] remembered if it is not one.
pub(super) const FAIL: u32 = 0x8000_0003;
/// Starts a process beside this child, with these clone flags: it walks the next operations, to the exec that ends them.
/// The child goes on behind them (`skip_on_success`) once that has become another program.
pub(super) const SPAWN: u32 = 0x8000_0006;
/// Fails with an errno unless a byte has a value: `(address, value, errno)`.
pub(super) const EXPECT: u32 = 0x8000_0004;
/// Stores a register: `(address, value)`.
pub(super) const STORE: u32 = 0x8000_0005;
