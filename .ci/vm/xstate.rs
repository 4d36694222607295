//! Lets user-mode Linux run on processors with more registers than it knows, such as AMX: loaded before its C library.
//!
//! Linux takes the extended state of a traced process as a whole only (ptrace(2), `PTRACE_SETREGSET`, `NT_X86_XSTATE`),
//! and user-mode Linux sets as much as it has room for. What it leaves out stays as it is.

use std::ffi::{c_int, c_long, c_uint, c_void};

const SETREGSET: c_uint = 0x4205;
const GETREGSET: c_uint = 0x4204;
const XSTATE: usize = 0x202;
const ROOM: usize = 64 << 10;
/// Not on the stack, which is that of a kernel, and as small. There is one processor, and so one caller.
static mut WHOLE: [u64; ROOM / 8] = [0; ROOM / 8];

#[repr(C)]
struct Slice {
    base: *mut c_void,
    length: usize,
}

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
}

/// ptrace(2).
///
/// # Safety
/// That of the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ptrace(request: c_uint, pid: c_int, addr: usize, data: *mut c_void) -> c_long {
    const PTRACE: c_long = 101;
    unsafe {
        if request != SETREGSET || addr != XSTATE {
            // What is peeked at comes back by a pointer, where glibc gives it as the result.
            let mut word: c_long = 0;
            if matches!(request, 1..=3) {
                let result = syscall(PTRACE, c_long::from(request), c_long::from(pid), addr, &raw mut word);
                return if result < 0 { result } else { word };
            }
            return syscall(PTRACE, c_long::from(request), c_long::from(pid), addr, data);
        }
        let part = &*data.cast::<Slice>();
        let mut slice = Slice { base: (&raw mut WHOLE).cast(), length: ROOM };
        let got = syscall(PTRACE, c_long::from(GETREGSET), c_long::from(pid), addr, &raw mut slice);
        if got < 0 {
            return got;
        }
        std::ptr::copy_nonoverlapping(part.base.cast::<u8>(), slice.base.cast(), part.length.min(slice.length));
        syscall(PTRACE, c_long::from(request), c_long::from(pid), addr, &raw mut slice)
    }
}
