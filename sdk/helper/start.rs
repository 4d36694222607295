//! The first instructions, and what the compiler expects of a C library.

use core::arch::global_asm;

#[cfg(target_arch = "x86_64")]
global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {begin}",
    "ud2",
    begin = sym begin,
);

#[cfg(target_arch = "aarch64")]
global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, xzr",
    "mov x30, xzr",
    "mov x0, sp",
    "bl {begin}",
    "brk 1",
    begin = sym begin,
);

/// The kernel leaves the number of arguments at `stack`, and their addresses behind it.
extern "C" fn begin(stack: *const usize) -> ! {
    // SAFETY: the kernel has written it.
    let count = unsafe { stack.read() };
    if count == 0 {
        super::kernel::exit(127)
    }
    let first = stack.wrapping_add(1).cast::<*const u8>();
    // SAFETY: there is at least one argument.
    let name = unsafe { first.read() };
    let mut length = 0;
    // SAFETY: an argument ends with a zero byte.
    while unsafe { name.wrapping_add(length).read() } != 0 {
        length = length.wrapping_add(1);
    }
    // SAFETY: these bytes were read just now, and nobody writes to them.
    super::run(unsafe { core::slice::from_raw_parts(name, length) })
}

/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    let mut at = 0;
    while at < length {
        // SAFETY: the caller's areas have this length.
        let byte = unsafe { from.wrapping_add(at).read() };
        // SAFETY: as above.
        unsafe { to.wrapping_add(at).write(byte) };
        at = at.wrapping_add(1);
    }
    to
}

/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    if to.cast_const() <= from {
        // SAFETY: the caller's areas have this length, and `memcpy` goes upwards.
        return unsafe { memcpy(to, from, length) };
    }
    let mut at = length;
    while at > 0 {
        at = at.wrapping_sub(1);
        // SAFETY: the caller's areas have this length.
        let byte = unsafe { from.wrapping_add(at).read() };
        // SAFETY: as above.
        unsafe { to.wrapping_add(at).write(byte) };
    }
    to
}

/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, length: usize) -> *mut u8 {
    let mut at = 0;
    while at < length {
        // SAFETY: the caller's area has this length.
        unsafe { to.wrapping_add(at).write(byte as u8) };
        at = at.wrapping_add(1);
    }
    to
}

/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, length: usize) -> i32 {
    let mut at = 0;
    while at < length {
        // SAFETY: the caller's areas have this length.
        let a = unsafe { one.wrapping_add(at).read() };
        // SAFETY: as above.
        let b = unsafe { other.wrapping_add(at).read() };
        if a != b {
            return i32::from(a).wrapping_sub(i32::from(b));
        }
        at = at.wrapping_add(1);
    }
    0
}

/// What the core library names as the one that would unwind; nothing here does.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
