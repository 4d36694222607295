//! All code between clone and exec: walks the blob of a [`Plan`](super::plan::Plan).
//!
//! # Safety
//! The child shares the memory of this process, where other threads hold locks and a C library believes to know who
//! runs. So nothing here calls the C library, allocates, locks, panics, drops or reads thread-local storage: system
//! calls are inline assembly, arithmetic wraps, and what is read comes from the [`Frame`] that the parent prepared and
//! keeps until the child is gone. The blob was written by `plan.rs`, whose offsets and registers are in range.
//!
//! The helper program (`sdk/helper/`) is built from this file too, without the standard library.
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::layout::{
    ANY, EXEC, EXPECT, FAIL, FORK, GATE, Header, NUMBER, OFFSET, Operation, REGISTER, REGISTERS, SPAWN, STORE,
};

/// What parent and child tell each other.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Control {
    /// `step << 32 | errno` of the operation that failed; 0 if none did.
    pub failure: AtomicU64,
    /// So many children may go on; [`GIVEN_UP`]: none.
    pub gate: AtomicU32,
    /// Not 0 while the child uses this memory; the kernel clears it, and wakes who waits, at its exec or exit.
    pub alive: AtomicU32,
    /// The same for the second child.
    pub second_alive: AtomicU32,
    /// Number of the second child, once there is one.
    pub second_pid: AtomicU32,
    /// The same two of a process beside the children.
    pub beside_alive: AtomicU32,
    pub beside_pid: AtomicU32,
    /// Descriptor of the first child in the parent, written by the kernel.
    pub pidfd: AtomicU32,
}

/// Stands in the gate when the parent has given up.
pub(super) const GIVEN_UP: u32 = u32::MAX;

/// What a child is given.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Frame {
    /// The relocated blob.
    pub blob: *mut u8,
    pub control: *const Control,
    /// For a second child: lowest address of its stack, and size.
    pub second_stack: usize,
    pub second_stack_size: usize,
    /// Results of operations; the second child goes on with those of the first.
    pub registers: [u64; REGISTERS],
    /// First operation of the child that begins.
    pub next: usize,
    /// `step << 32 | errno` that `EXEC` remembers.
    pub remembered: u64,
}

/// Errnos of a system call are -1 to -4095.
const LARGEST_ERRNO: u64 = 4095;

/// How often an `openat2` is tried: enough for a host that renames all the time, and an end for one that only does so.
const OPEN_ATTEMPTS: u32 = 10_000;

/// A program that was written a moment ago may still be open for writing in another child that is being started, which
/// has a copy of every descriptor until it has closed them: `ETXTBSY`. So it is tried again for a while.
const BUSY_ATTEMPTS: u32 = 100;
static BUSY_PAUSE: [u64; 2] = [0, 2_000_000];

/// How long a child waits for its parent before it looks whether there still is one. It is killed with its parent, unless
/// that died before it could ask for it.
static GATE_SECONDS: [u64; 2] = [1, 0];
static NO_TIME: [u64; 2] = [0, 0];

/// More than the functions that start a process have on a stack, unoptimised, and than the interpreter takes.
const FRAMES: u64 = 4096;

/// `struct clone_args` of Linux 5.7.
#[repr(C)]
#[derive(Debug, Default)]
pub(super) struct CloneArgs {
    pub flags: u64,
    pub pidfd: u64,
    pub child_tid: u64,
    pub parent_tid: u64,
    pub exit_signal: u64,
    pub stack: u64,
    pub stack_size: u64,
    pub tls: u64,
    pub set_tid: u64,
    pub set_tid_size: u64,
    pub cgroup: u64,
}

/// Walks the blob from `frame.next` on; the entry of a child on its own stack.
///
/// # Safety
/// `frame` and what it points to outlive the child, and nothing but the child writes to it.
pub(super) unsafe extern "C" fn run(frame: *mut Frame) -> ! {
    // SAFETY: the frame outlives the child, which alone writes to it.
    let frame = unsafe { &mut *frame };
    // SAFETY: the control block outlives the child; all of its fields are atomic.
    let control = unsafe { &*frame.control };
    // SAFETY: a sealed blob begins with its header, and is aligned to 8 bytes.
    let header = unsafe { &*frame.blob.cast::<Header>() };
    let operations = frame.blob.wrapping_add(header.operations as usize).cast::<Operation>();
    while frame.next < header.operation_count as usize {
        // SAFETY: `next` is below the number of operations that follow each other there, aligned to 8 bytes.
        let operation = unsafe { &*operations.wrapping_add(frame.next) };
        frame.next = frame.next.wrapping_add(1);
        step(frame, control, operation);
    }
    // A plan ends in exec or in a failure; one that does not has nothing to report.
    exit()
}

/// Runs one operation; returns if the next one shall follow.
fn step(frame: &mut Frame, control: &Control, operation: &Operation) {
    let a = [
        argument(frame, operation, 0),
        argument(frame, operation, 1),
        argument(frame, operation, 2),
        argument(frame, operation, 3),
        argument(frame, operation, 4),
        argument(frame, operation, 5),
    ];
    let [first, second, third, ..] = a;
    let result = match operation.call {
        GATE => return gate(control, first as u32, second),
        FORK => return fork(frame, control, operation, first),
        SPAWN => return spawn(frame, control, operation, first),
        FAIL if is_error(first) => fail(control, operation.step, first),
        FAIL => give_up(control, frame.remembered),
        EXPECT => {
            let address = core::ptr::with_exposed_provenance::<u8>(first as usize);
            // SAFETY: `Plan::expect` takes the offset of a byte in the blob.
            let found = unsafe { address.read_volatile() };
            if u64::from(found) == second { 0 } else { third.wrapping_neg() }
        }
        STORE => {
            let address = core::ptr::with_exposed_provenance_mut::<u64>(first as usize);
            // SAFETY: `Plan::store` takes the offset of a buffer of 8 bytes in the blob, aligned as all buffers are.
            unsafe { address.write_volatile(second) };
            return;
        }
        EXEC => return execute(frame, operation, first, second, third),
        number => patiently(number, a),
    };
    if !is_error(result) {
        set(frame, operation, result);
        frame.next = frame.next.wrapping_add(operation.skip_on_success as usize);
    } else if tolerates(operation, result.wrapping_neg() as u16) {
        set(frame, operation, result);
        frame.next = frame.next.wrapping_add(operation.skip_on_failure as usize);
    } else {
        fail(control, operation.step, result)
    }
}

/// A system call, again where the kernel asks for it: openat2(2) cannot tell whether `..` stays inside the root while
/// anything is renamed or mounted anywhere, and says `EAGAIN`.
fn patiently(number: u32, arguments: [u64; 6]) -> u64 {
    let mut left = OPEN_ATTEMPTS;
    loop {
        // SAFETY: the plan's author passes what this call takes; addresses point into the blob.
        let result = unsafe { system_call(number, arguments) };
        left = left.wrapping_sub(1);
        let asked = number == libc::SYS_openat2 as u32 && result.wrapping_neg() == libc::EAGAIN as u64;
        if !asked || left == 0 {
            return result;
        }
    }
}

fn argument(frame: &Frame, operation: &Operation, at: usize) -> u64 {
    let (Some(kind), Some(value)) = (operation.kinds.get(at), operation.arguments.get(at)) else { return 0 };
    match *kind {
        NUMBER => *value,
        OFFSET => (frame.blob.expose_provenance() as u64).wrapping_add(*value),
        REGISTER => match frame.registers.get(*value as usize) {
            Some(register) => *register,
            None => 0,
        },
        _ => 0,
    }
}

fn set(frame: &mut Frame, operation: &Operation, value: u64) {
    // NO_REGISTER is beyond the last one.
    if let Some(register) = frame.registers.get_mut(operation.destination as usize) {
        *register = value;
    }
}

fn is_error(result: u64) -> bool {
    result.wrapping_neg().wrapping_sub(1) < LARGEST_ERRNO
}

fn tolerates(operation: &Operation, errno: u16) -> bool {
    let [a, b, c, d, e, f] = operation.tolerated;
    let any = ANY as u16;
    a == any || a == errno || b == errno || c == errno || d == errno || e == errno || f == errno
}

/// Becomes a program, or remembers why not: rather that one may not be executed than that the next is not there.
///
/// A file that is there decides: what follows is left out, and its path is in the register. That holds for one that is
/// "not found" because its interpreter is not. Only one that may not be executed lets the search go on.
fn execute(frame: &mut Frame, operation: &Operation, path: u64, argv: u64, envp: u64) {
    let mut left = BUSY_ATTEMPTS;
    let result = loop {
        // SAFETY: path, argv and envp are a C string and null-terminated arrays in the blob.
        let result = unsafe { system_call(libc::SYS_execve as u32, [path, argv, envp, 0, 0, 0]) };
        if result.wrapping_neg() != libc::ETXTBSY as u64 || left == 0 {
            break result;
        }
        left = left.wrapping_sub(1);
        let pause = BUSY_PAUSE.as_ptr().expose_provenance() as u64;
        // SAFETY: the static time outlives the call.
        unsafe { system_call(libc::SYS_nanosleep as u32, [pause, 0, 0, 0, 0, 0]) };
    };
    let errno = result.wrapping_neg() as i32;
    let there = match errno {
        libc::ENOENT => {
            let here = i64::from(libc::AT_FDCWD) as u64;
            // SAFETY: the path is a C string in the blob.
            let found = unsafe { system_call(libc::SYS_faccessat as u32, [here, path, 0, 0, 0, 0]) };
            !is_error(found)
        }
        libc::ENOTDIR => false,
        _ => true,
    };
    if there {
        set(frame, operation, path);
    }
    if there || frame.remembered as u32 as i32 != libc::EACCES {
        frame.remembered = (u64::from(operation.step) << 32) | u64::from(errno as u32);
    }
    if there && errno != libc::EACCES {
        frame.next = frame.next.wrapping_add(operation.skip_on_failure as usize);
    }
}

/// Waits for the parent.
fn gate(control: &Control, child: u32, parent: u64) {
    loop {
        let open = control.gate.load(Ordering::Acquire);
        if open == GIVEN_UP {
            exit()
        }
        if open >= child {
            break;
        }
        let address = (&raw const control.gate).expose_provenance() as u64;
        let timeout = GATE_SECONDS.as_ptr().expose_provenance() as u64;
        let wait = libc::FUTEX_WAIT as u64;
        // SAFETY: the word and the static timeout outlive the call.
        let result = unsafe { system_call(libc::SYS_futex as u32, [address, wait, open.into(), timeout, 0, 0]) };
        if result.wrapping_neg() == libc::ETIMEDOUT as u64 && has_ended(parent) {
            exit()
        }
    }
    // It may have opened the gate and died before this child could ask to be killed with it.
    if has_ended(parent) {
        exit()
    }
}

/// Whether the process behind a pidfd has ended.
fn has_ended(pidfd: u64) -> bool {
    // struct pollfd: a descriptor, and 16 bits each of what is asked for and what is answered.
    let mut asked = [pidfd as u32, libc::POLLIN as u32];
    let (address, now) = (asked.as_mut_ptr().expose_provenance() as u64, NO_TIME.as_ptr().expose_provenance() as u64);
    // SAFETY: one struct and a static time, which outlive the call; the kernel writes to the struct's answer.
    let ready = unsafe { system_call(libc::SYS_ppoll as u32, [address, 1, now, 0, 0, 0]) };
    ready == 1
}

/// Starts the second child, which goes on, and ends.
fn fork(frame: &mut Frame, control: &Control, operation: &Operation, flags: u64) {
    control.second_alive.store(1, Ordering::Release);
    let args = CloneArgs {
        flags: flags | (libc::CLONE_VM | libc::CLONE_PARENT | libc::CLONE_CHILD_CLEARTID) as u64,
        child_tid: (&raw const control.second_alive).expose_provenance() as u64,
        stack: frame.second_stack as u64,
        stack_size: frame.second_stack_size as u64,
        ..CloneArgs::default()
    };
    // SAFETY: the frame and the second stack outlive the second child, and the first one ends without touching either.
    let result = unsafe { clone(&args, frame) };
    if is_error(result) {
        control.second_alive.store(0, Ordering::Release);
        fail(control, operation.step, result)
    }
    control.second_pid.store(result as u32, Ordering::Release);
    exit()
}

/// Starts a process beside this child, and goes on once that has become another program.
fn spawn(frame: &mut Frame, control: &Control, operation: &Operation, flags: u64) {
    let next = frame.next.wrapping_add(operation.skip_on_success as usize);
    control.beside_alive.store(1, Ordering::Release);
    // The stack of this child goes on below, out of the reach of what this one has there while it sleeps.
    let here = (&raw const next).expose_provenance() as u64 & !15;
    let args = CloneArgs {
        flags: flags
            | libc::CLONE_VFORK as u64
            | (libc::CLONE_VM | libc::CLONE_PARENT | libc::CLONE_CHILD_CLEARTID) as u64,
        child_tid: (&raw const control.beside_alive).expose_provenance() as u64,
        stack: here.wrapping_sub(2 * FRAMES),
        stack_size: FRAMES,
        ..CloneArgs::default()
    };
    // SAFETY: frame and stack outlive the process, and this one sleeps until that uses them no more.
    let result = unsafe { clone(&args, frame) };
    if is_error(result) {
        control.beside_alive.store(0, Ordering::Release);
        fail(control, operation.step, result)
    }
    control.beside_pid.store(result as u32, Ordering::Release);
    if control.failure.load(Ordering::Acquire) != 0 {
        exit()
    }
    frame.next = next;
}

fn fail(control: &Control, step: u16, result: u64) -> ! {
    give_up(control, (u64::from(step) << 32) | (result.wrapping_neg() & LARGEST_ERRNO))
}

fn give_up(control: &Control, failure: u64) -> ! {
    control.failure.store(failure, Ordering::Release);
    exit()
}

fn exit() -> ! {
    // SAFETY: ends this process; it has no other thread.
    unsafe { system_call(libc::SYS_exit_group as u32, [127, 0, 0, 0, 0, 0]) };
    // A filter that was loaded forbids it. An illegal instruction then: no handler is left, so the kernel ends it.
    #[cfg(target_arch = "x86_64")]
    // SAFETY: does not return.
    unsafe {
        core::arch::asm!("ud2", options(noreturn));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: does not return.
    unsafe {
        core::arch::asm!("udf #0", options(noreturn));
    }
}

/// Starts a child that runs [`run`] on its own stack, with the memory of this process; the caller goes on beside it.
///
/// The result is the number of the child or a negative errno.
///
/// # Safety
/// `args` asks for `CLONE_VM` and a stack; stack, frame and what `args` points to outlive the child.
pub(super) unsafe fn clone(args: &CloneArgs, frame: *mut Frame) -> u64 {
    let args = core::ptr::from_ref(args);
    let size = size_of::<CloneArgs>();
    #[cfg(target_arch = "x86_64")]
    {
        let result: u64;
        // SAFETY: the child wakes with the stack pointer at the page-aligned top of its own stack and never returns;
        // it finds its frame in a register that the kernel keeps.
        unsafe {
            core::arch::asm!(
                "syscall",
                "test rax, rax",
                "jnz 2f",
                "xor ebp, ebp",
                "mov rdi, r12",
                "call {run}",
                "ud2",
                "2:",
                run = sym run,
                inlateout("rax") libc::SYS_clone3 => result,
                in("rdi") args,
                in("rsi") size,
                in("r12") frame,
                lateout("rcx") _,
                lateout("r11") _,
            );
        }
        result
    }
    #[cfg(target_arch = "aarch64")]
    {
        let result: u64;
        // SAFETY: as above.
        unsafe {
            core::arch::asm!(
                "svc 0",
                "cbnz x0, 2f",
                "mov x29, xzr",
                "mov x0, x20",
                "bl {run}",
                "brk 1",
                "2:",
                run = sym run,
                in("x8") libc::SYS_clone3,
                inlateout("x0") args => result,
                in("x1") size,
                in("x20") frame,
                lateout("x30") _,
            );
        }
        result
    }
}

/// One system call; the result is negative for an errno.
///
/// # Safety
/// What the call itself requires.
#[inline(always)]
pub(super) unsafe fn system_call(number: u32, [a, b, c, d, e, f]: [u64; 6]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        let result: u64;
        // SAFETY: the kernel clobbers rcx and r11 besides the result.
        unsafe {
            core::arch::asm!(
                "syscall",
                inlateout("rax") u64::from(number) => result,
                in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
                lateout("rcx") _,
                lateout("r11") _,
                options(nostack),
            );
        }
        result
    }
    #[cfg(target_arch = "aarch64")]
    {
        let result: u64;
        // SAFETY: the kernel keeps all registers but the result.
        unsafe {
            core::arch::asm!(
                "svc 0",
                inlateout("x0") a => result,
                in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f,
                in("x8") u64::from(number),
                options(nostack),
            );
        }
        result
    }
}
