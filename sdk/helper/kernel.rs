//! System calls, by what they are for.

use crate::child::{self, Frame};
use crate::numbers::*;

/// A system call; the result, or the errno.
///
/// # Safety
/// What the call itself requires.
pub unsafe fn call(number: i64, arguments: [u64; 6]) -> Result<u64, i32> {
    // SAFETY: the caller's promise.
    let result = unsafe { child::system_call(number as u32, arguments) } as i64;
    if result < 0 { Err(result.wrapping_neg() as i32) } else { Ok(result as u64) }
}

/// The address of something, as the kernel takes it.
pub fn address<T>(of: &T) -> u64 {
    core::ptr::from_ref(of).expose_provenance() as u64
}

/// Ends this process.
pub fn exit(code: i32) -> ! {
    loop {
        // SAFETY: takes no pointer.
        let _ = unsafe { call(SYS_exit_group, [code as u64, 0, 0, 0, 0, 0]) };
    }
}

/// Closes a descriptor that is this program's own.
pub fn close(fd: i32) {
    // SAFETY: takes no pointer.
    let _ = unsafe { call(SYS_close, [fd as u64, 0, 0, 0, 0, 0]) };
}

/// Keeps a descriptor from the programs that this process becomes.
pub fn close_on_exec(fd: i32) {
    // SAFETY: takes no pointer.
    let _ = unsafe { call(SYS_fcntl, [fd as u64, F_SETFD, FD_CLOEXEC, 0, 0, 0]) };
}

/// Reads one byte; `None` at the end of what there is.
pub fn read_byte(fd: i32) -> Option<u8> {
    let mut byte = 0_u8;
    loop {
        let address = (&raw mut byte).expose_provenance() as u64;
        // SAFETY: the kernel writes one byte, which is ours.
        match unsafe { call(SYS_read, [fd as u64, address, 1, 0, 0, 0]) } {
            Ok(1) => return Some(byte),
            Err(EINTR) => {}
            _ => return None,
        }
    }
}

/// Sends a message; without a signal if nobody listens any more.
pub fn send(fd: i32, message: &[u8]) {
    let (address, length) = (message.as_ptr().expose_provenance() as u64, message.len() as u64);
    // SAFETY: the bytes are borrowed meanwhile.
    while unsafe { call(SYS_sendto, [fd as u64, address, length, MSG_NOSIGNAL, 0, 0]) } == Err(EINTR) {}
}

/// How many bytes a file has.
pub fn size_of_file(fd: i32) -> Option<usize> {
    // SAFETY: takes no pointer.
    unsafe { call(SYS_lseek, [fd as u64, 0, SEEK_END, 0, 0, 0]) }.ok().map(|size| size as usize)
}

/// Maps a file so that what is written to it is seen by all who have it.
pub fn map_shared(fd: i32, size: usize) -> Option<*mut u8> {
    // SAFETY: a new mapping, where there is room.
    let mapped = unsafe { call(SYS_mmap, [0, size as u64, PROT_READ | PROT_WRITE, MAP_SHARED, fd as u64, 0]) };
    mapped.ok().map(|base| core::ptr::with_exposed_provenance_mut(base as usize))
}

/// Gives a mapping back.
///
/// # Safety
/// Nothing refers to it any more.
pub unsafe fn unmap(base: *mut u8, size: usize) {
    // SAFETY: the caller's promise.
    let _ = unsafe { call(SYS_munmap, [base.expose_provenance() as u64, size as u64, 0, 0, 0, 0]) };
}

/// Sets the name of this process, of at most 15 bytes and a zero.
pub fn name(name: &[u8]) {
    // SAFETY: the kernel reads up to 16 bytes, and no further than the zero.
    let _ = unsafe { call(SYS_prctl, [PR_SET_NAME, name.as_ptr().expose_provenance() as u64, 0, 0, 0, 0]) };
}

/// Blocks every signal that can be.
pub fn block_signals() {
    let all = u64::MAX;
    // SAFETY: the set has 8 bytes; the old one is not asked for.
    let _ = unsafe { call(SYS_rt_sigprocmask, [SIG_SETMASK, address(&all), 0, 8, 0, 0]) };
}

/// A descriptor from which blocked signals are read.
///
/// Not rt_sigtimedwait(2): while a process waits there, `/proc/<pid>/status` shows nothing as blocked, and who looks at
/// it takes a signal for one that has no effect.
pub fn signals() -> Result<i32, i32> {
    let all = u64::MAX;
    // SAFETY: the set has 8 bytes.
    unsafe { call(SYS_signalfd4, [u64::MAX, address(&all), 8, O_CLOEXEC, 0, 0]) }.map(|fd| fd as i32)
}

/// Waits for a signal, and takes it.
pub fn next_signal(signals: i32) -> Result<i32, i32> {
    // struct signalfd_siginfo has 128 bytes and begins with the number.
    let mut information = [0_u32; 32];
    let buffer = (&raw mut information).expose_provenance() as u64;
    loop {
        // SAFETY: the kernel writes at most 128 bytes, which are ours.
        match unsafe { call(SYS_read, [signals as u64, buffer, 128, 0, 0, 0]) } {
            Ok(_) => return Ok(information[0] as i32),
            Err(EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Sends a signal to a child that has not been waited for.
pub fn kill(pid: i32, signal: i32) {
    // SAFETY: takes no pointer. It may have ended: then there is nobody to tell.
    let _ = unsafe { call(SYS_kill, [pid as u64, signal as u64, 0, 0, 0, 0]) };
}

/// A child that has ended, and its wait status; any child for -1, and with `WNOHANG` only if there is one already.
pub fn wait(pid: i32, flags: u64) -> Option<(i32, i32)> {
    let mut status = 0_i32;
    loop {
        let address = (&raw mut status).expose_provenance() as u64;
        // SAFETY: the kernel writes four bytes, which are ours.
        match unsafe { call(SYS_wait4, [i64::from(pid) as u64, address, flags | __WALL, 0, 0, 0]) } {
            Ok(0) => return None,
            Ok(pid) => return Some((pid as i32, status)),
            Err(EINTR) => {}
            Err(_) => return None,
        }
    }
}

/// Starts a child that shares this memory and walks the plan of `frame`; returns once it is another program or gone.
///
/// By clone(2), since Docker's filter of system calls hides clone3(2).
///
/// # Safety
/// `stack_top` is aligned to 16 bytes and the end of memory that nobody uses; `frame` is complete.
pub unsafe fn vfork(stack_top: *mut u8, frame: *mut Frame) -> Result<i32, i32> {
    let flags = CLONE_VM as u64 | CLONE_VFORK | SIGCHLD as u64;
    let result: i64;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the child wakes with the stack pointer at the top of its own stack and never returns; it finds its frame in
    // a register that the kernel keeps.
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
            run = sym child::run,
            inlateout("rax") SYS_clone => result,
            in("rdi") flags,
            in("rsi") stack_top,
            in("rdx") 0,
            in("r10") 0,
            in("r8") 0,
            in("r12") frame,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    #[cfg(target_arch = "aarch64")]
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
            run = sym child::run,
            in("x8") SYS_clone,
            inlateout("x0") flags => result,
            in("x1") stack_top,
            in("x2") 0,
            in("x3") 0,
            in("x4") 0,
            in("x20") frame,
            lateout("x30") _,
        );
    }
    if result < 0 { Err(result.wrapping_neg() as i32) } else { Ok(result as i32) }
}
