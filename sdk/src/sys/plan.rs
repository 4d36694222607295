//! What a child does between clone and exec, as data: one flat, relocatable blob of system calls.
//!
//! ```text
//! header       magic, counts and offsets, 8 words of 32 bits
//! operations   one `Operation` each, in order
//! relocations  offsets of the 8-byte words that hold an offset and must hold an address
//! data         C strings, arrays of pointers, structs, buffers the kernel writes to
//! ```
//!
//! An argument is a number, an offset into the blob, or a register: the result of an earlier operation, such as a
//! descriptor. An operation may tolerate errors, and skip the next ones depending on its outcome; there are no loops.
//! Everything here is safe code that may allocate; `child.rs` walks the blob and may not.
//!
//! A blob means the same at any address and in any process, so that a helper process can replay it.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::layout::{
    EXEC, EXPECT, FAIL, FORK, GATE, Header, MAGIC, NO_REGISTER, NUMBER, OFFSET, Operation, PARENT, REGISTER, SPAWN,
    STORE,
};

mod structure;

pub(crate) use super::layout::ANY;
pub(crate) use structure::Word;

const HEADER: usize = size_of::<Header>();
const OPERATION: usize = size_of::<Operation>();

/// A place in the data, counted from its beginning while a plan is being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offset(u32);

/// The result of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Register(u8);

/// An argument of an operation.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Argument {
    /// Passed as it is.
    Number(u64),
    /// Passed as an address.
    Data(Offset),
    /// What an earlier operation returned.
    Result(Register),
}

impl From<i32> for Argument {
    fn from(number: i32) -> Self {
        // Sign-extended, as the compiler passes an `int` such as AT_FDCWD.
        Self::Number(i64::from(number) as u64)
    }
}

impl From<u32> for Argument {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u64> for Argument {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<Offset> for Argument {
    fn from(offset: Offset) -> Self {
        Self::Data(offset)
    }
}

impl From<Register> for Argument {
    fn from(register: Register) -> Self {
        Self::Result(register)
    }
}

/// An operation that was added, for setting what is skipped after it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Label(usize);

/// A plan being written.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    operations: Vec<Operation>,
    data: Vec<u8>,
    /// Offsets in `data` of words that hold an offset in `data`.
    pointers: Vec<u32>,
    /// Registers in use, one bit each.
    used: u64,
    step: u16,
    /// How many children have begun.
    children: u32,
    overflow: bool,
}

impl Plan {
    /// The register that holds the number of a pidfd of the parent, from the beginning.
    pub(crate) const PARENT: Register = Register(PARENT);

    /// Begins a step: what the next operations report when they fail.
    pub(crate) fn step(&mut self, step: u16) {
        self.step = step;
    }

    /// Adds data; its address is a multiple of 8.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Offset {
        self.data.resize(self.data.len().next_multiple_of(8), 0);
        let offset = self.here();
        self.data.extend_from_slice(bytes);
        offset
    }

    /// Adds `length` zeros for the kernel to write to.
    pub(crate) fn buffer(&mut self, length: usize) -> Offset {
        let offset = self.bytes(&[]);
        // Unoptimised, `resize` writes byte by byte: an eighth of a container's time.
        self.data.extend_from_slice(&vec![0; length]);
        offset
    }

    /// Adds numbers of 64 bits, such as a struct of the kernel.
    pub(crate) fn words(&mut self, words: &[u64]) -> Offset {
        let offset = self.bytes(&[]);
        self.data.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        offset
    }

    /// Adds numbers of 32 bits.
    pub(crate) fn halves(&mut self, halves: &[u32]) -> Offset {
        let offset = self.bytes(&[]);
        self.data.extend(halves.iter().flat_map(|half| half.to_ne_bytes()));
        offset
    }

    /// Adds a C string; `InvalidInput` if it holds a NUL.
    pub(crate) fn string(&mut self, text: impl AsRef<[u8]>) -> io::Result<Offset> {
        let offset = self.here();
        let text = text.as_ref();
        if text.contains(&0) {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        self.data.extend_from_slice(text);
        self.data.push(0);
        Ok(offset)
    }

    /// Adds a path of the host.
    pub(crate) fn path(&mut self, path: &Path) -> io::Result<Offset> {
        self.string(path.as_os_str().as_bytes())
    }

    /// Adds an array of addresses that ends with a null.
    pub(crate) fn pointers(&mut self, offsets: &[Offset]) -> Offset {
        let array = self.words(&[]);
        for offset in offsets {
            self.pointers.push(self.here().0);
            self.data.extend_from_slice(&u64::from(offset.0).to_ne_bytes());
        }
        self.data.extend_from_slice(&[0; 8]);
        array
    }

    /// Adds a system call.
    pub(crate) fn call(&mut self, number: libc::c_long, arguments: &[Argument]) -> Label {
        // Every number of x86_64 and aarch64 is below 2^31.
        self.push(number as u32, arguments)
    }

    /// Waits for the parent. Once it has asked to be killed with it, a child that gets past here has a parent.
    pub(crate) fn gate(&mut self) {
        self.push(GATE, &[(self.children + 1).into(), Self::PARENT.into()]);
    }

    /// Executes a program if it can be. Otherwise `found` takes the address of its path if the file is there; one that
    /// is there, and does not merely refuse to be executed, counts as a failure that ends the search.
    pub(crate) fn exec(&mut self, path: Offset, argv: Offset, envp: Offset, found: Register) -> Label {
        let label = self.push(EXEC, &[path.into(), argv.into(), envp.into()]);
        self.keep(label, found);
        label
    }

    /// Goes on in a child of the parent, which is thus in the pid namespace that was entered.
    pub(crate) fn fork(&mut self, clone_flags: u64) {
        self.push(FORK, &[clone_flags.into()]);
        self.children += 1;
    }

    /// Starts a process beside this child, a child of the parent too, with these clone flags: it walks what is added until
    /// [`on_success_go_on_here`](Self::on_success_go_on_here), which must end in an exec. Of the registers it may change
    /// none that is in use.
    pub(crate) fn spawn(&mut self, clone_flags: u64) -> Label {
        self.push(SPAWN, &[clone_flags.into()])
    }

    /// Ends with the error of `register`, or the one that [`exec`](Self::exec) remembered.
    pub(crate) fn fail(&mut self, register: Option<Register>) {
        self.push(FAIL, &[register.map_or(Argument::Number(0), Argument::Result)]);
    }

    /// Fails with `errno` unless the byte at `offset` is `value`.
    pub(crate) fn expect(&mut self, offset: Offset, value: u8, errno: i32) {
        self.push(EXPECT, &[offset.into(), u64::from(value).into(), errno.into()]);
    }

    /// Stores a register where the parent finds it.
    pub(crate) fn store(&mut self, offset: Offset, register: Register) {
        self.push(STORE, &[offset.into(), register.into()]);
    }

    /// Takes the result of an operation.
    pub(crate) fn keep(&mut self, label: Label, register: Register) {
        self.operations[label.0].destination = register.0;
    }

    /// Lets an operation fail with these errors.
    pub(crate) fn tolerate(&mut self, label: Label, errnos: &[i32]) {
        for (slot, errno) in self.operations[label.0].tolerated.iter_mut().zip(errnos) {
            *slot = *errno as u16;
        }
    }

    /// Leaves out what was added since, when the operation succeeds.
    pub(crate) fn on_success_go_on_here(&mut self, label: Label) {
        self.operations[label.0].skip_on_success = self.distance(label);
    }

    /// Leaves out what was added since, when the operation fails with a tolerated error.
    pub(crate) fn on_failure_go_on_here(&mut self, label: Label) {
        self.operations[label.0].skip_on_failure = self.distance(label);
    }

    /// A register that nothing uses.
    pub(crate) fn register(&mut self) -> Register {
        let number = self.used.trailing_ones();
        if number >= PARENT.into() {
            self.overflow = true;
            return Register(0);
        }
        self.used |= 1 << number;
        Register(number as u8)
    }

    /// Gives a register back.
    pub(crate) fn release(&mut self, register: Register) {
        self.used &= !(1 << register.0);
    }

    /// The finished blob; `InvalidInput` if the plan is too large.
    pub(crate) fn seal(self) -> io::Result<Blob> {
        let relocations = HEADER + self.operations.len() * OPERATION;
        let data = (relocations + self.pointers.len() * 4).next_multiple_of(8);
        let length = (data + self.data.len()).next_multiple_of(8);
        // Half the range of the offsets, so that none of the sums here can have wrapped.
        if self.overflow || length > i32::MAX as usize {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let shift = data as u32;
        let header = [
            MAGIC,
            self.operations.len() as u32,
            HEADER as u32,
            self.pointers.len() as u32,
            relocations as u32,
            shift,
            length as u32,
            0,
        ];
        let mut bytes = Vec::with_capacity(length);
        bytes.extend(header.iter().flat_map(|half| half.to_ne_bytes()));
        for operation in &self.operations {
            bytes.extend_from_slice(&operation.encode(shift));
        }
        let pointers: Vec<u32> = self.pointers.iter().map(|at| at + shift).collect();
        bytes.extend(pointers.iter().flat_map(|at| at.to_ne_bytes()));
        bytes.resize(data, 0);
        bytes.extend_from_slice(&self.data);
        bytes.extend_from_slice(&vec![0; length - bytes.len()]);
        for at in &pointers {
            add(&mut bytes, *at as usize, shift.into());
        }
        Ok(Blob { bytes, pointers, data: shift })
    }

    fn here(&self) -> Offset {
        Offset(u32::try_from(self.data.len()).unwrap_or(u32::MAX))
    }

    fn distance(&mut self, label: Label) -> u16 {
        let distance = u16::try_from(self.operations.len() - label.0 - 1);
        self.overflow |= distance.is_err();
        distance.unwrap_or(0)
    }

    fn push(&mut self, call: u32, arguments: &[Argument]) -> Label {
        let mut operation = Operation {
            call,
            step: self.step,
            destination: NO_REGISTER,
            kinds: [NUMBER; 6],
            unused: [0; 3],
            skip_on_success: 0,
            skip_on_failure: 0,
            tolerated: [0; 6],
            arguments: [0; 6],
        };
        for (at, argument) in arguments.iter().enumerate().take(6) {
            (operation.kinds[at], operation.arguments[at]) = match *argument {
                Argument::Number(number) => (NUMBER, number),
                Argument::Data(offset) => (OFFSET, offset.0.into()),
                Argument::Result(register) => (REGISTER, register.0.into()),
            };
        }
        self.operations.push(operation);
        Label(self.operations.len() - 1)
    }
}

impl Operation {
    /// Its bytes in the order of the fields; `shift` is where the data begins.
    fn encode(&self, shift: u32) -> [u8; OPERATION] {
        let mut bytes = [0; OPERATION];
        bytes[..4].copy_from_slice(&self.call.to_ne_bytes());
        bytes[4..6].copy_from_slice(&self.step.to_ne_bytes());
        bytes[6] = self.destination;
        bytes[7..13].copy_from_slice(&self.kinds);
        bytes[16..18].copy_from_slice(&self.skip_on_success.to_ne_bytes());
        bytes[18..20].copy_from_slice(&self.skip_on_failure.to_ne_bytes());
        for at in 0..6 {
            let (errno, argument) = (20 + at * 2, 32 + at * 8);
            bytes[errno..errno + 2].copy_from_slice(&self.tolerated[at].to_ne_bytes());
            let shift = if self.kinds[at] == OFFSET { u64::from(shift) } else { 0 };
            bytes[argument..argument + 8].copy_from_slice(&(self.arguments[at] + shift).to_ne_bytes());
        }
        bytes
    }
}

/// A finished plan. It is copied to where a child runs, and what the child has written is copied back.
#[derive(Debug)]
pub(crate) struct Blob {
    bytes: Vec<u8>,
    /// Offsets of the words that hold an offset and must hold an address.
    pointers: Vec<u32>,
    /// Where the data begins.
    data: u32,
}

impl Blob {
    /// How many bytes it has; a multiple of 8.
    pub(super) fn length(&self) -> usize {
        self.bytes.len()
    }

    /// Its bytes, without addresses.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its bytes with addresses in the arrays of pointers, for a copy at `base`.
    pub(super) fn relocated(&self, base: usize) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        for at in &self.pointers {
            add(&mut bytes, *at as usize, base as u64);
        }
        bytes
    }

    /// Takes over the bytes of a copy that a child has written to.
    pub(super) fn replace(&mut self, bytes: Vec<u8>) {
        self.bytes = bytes;
    }

    /// What a child has written to a buffer.
    pub(crate) fn read(&self, offset: Offset, length: usize) -> Vec<u8> {
        let start = (self.data + offset.0) as usize;
        self.bytes.get(start..start + length).unwrap_or_default().to_vec()
    }
}

/// Adds to the word at an offset.
fn add(bytes: &mut [u8], at: usize, amount: u64) {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    bytes[at..at + 8].copy_from_slice(&u64::from_ne_bytes(word).wrapping_add(amount).to_ne_bytes());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::mem::offset_of;

    use super::*;

    #[test]
    fn operations_are_written_as_the_child_reads_them() {
        assert_eq!((HEADER, OPERATION % 8), (32, 0));
        let operation = Operation {
            call: 0x0102_0304,
            step: 0x0506,
            destination: 7,
            kinds: [NUMBER, OFFSET, REGISTER, NUMBER, NUMBER, NUMBER],
            unused: [0; 3],
            skip_on_success: 8,
            skip_on_failure: 9,
            tolerated: [10, 11, 12, 13, 14, 15],
            arguments: [16, 17, 18, 19, 20, 21],
        };
        let bytes = operation.encode(0x100);
        let half = |at: usize| u16::from_ne_bytes(bytes[at..at + 2].try_into().unwrap());
        let word = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
        assert_eq!(bytes[offset_of!(Operation, destination)], 7);
        assert_eq!(bytes[offset_of!(Operation, kinds) + 1], OFFSET);
        assert_eq!(half(offset_of!(Operation, step)), 0x0506);
        assert_eq!(half(offset_of!(Operation, skip_on_success)), 8);
        assert_eq!(half(offset_of!(Operation, skip_on_failure)), 9);
        assert_eq!(half(offset_of!(Operation, tolerated) + 10), 15);
        let arguments = offset_of!(Operation, arguments);
        assert_eq!([word(arguments), word(arguments + 8), word(arguments + 40)], [16, 0x111, 21]);
    }

    #[test]
    fn pointers_hold_addresses_after_relocation() {
        let mut plan = Plan::default();
        let (a, b) = (plan.string("first").unwrap(), plan.string("second").unwrap());
        let array = plan.pointers(&[a, b]);
        plan.call(libc::SYS_getpid, &[]);
        let mut blob = plan.seal().unwrap();
        blob.replace(blob.relocated(0x10_0000));
        let pointers = blob.read(array, 24);
        let pointer = |n: usize| u64::from_ne_bytes(pointers[n * 8..n * 8 + 8].try_into().unwrap());
        assert_eq!(pointer(0), 0x10_0000 + u64::from(blob.data + a.0));
        assert_eq!(pointer(1), 0x10_0000 + u64::from(blob.data + b.0));
        assert_eq!(pointer(2), 0);
        assert_eq!(blob.read(b, 7), b"second\0");
    }

    #[test]
    fn a_string_with_a_nul_is_refused() {
        assert_eq!(Plan::default().string("a\0b").unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn more_results_than_registers_are_refused() {
        let mut plan = Plan::default();
        let first = plan.register();
        plan.release(first);
        for _ in 0..PARENT {
            plan.register();
        }
        assert!(!plan.overflow);
        plan.register();
        assert!(plan.seal().is_err());
    }
}
