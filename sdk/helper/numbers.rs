//! Numbers of the kernel, under the names that the `libc` crate gives them.
#![allow(missing_docs, non_upper_case_globals)]

macro_rules! system_calls {
    ($($name:ident $x86_64:literal $aarch64:literal)*) => {
        $(pub const $name: i64 = if cfg!(target_arch = "x86_64") { $x86_64 } else { $aarch64 };)*
    };
}

system_calls! {
    SYS_read 0 63
    SYS_close 3 57
    SYS_lseek 8 62
    SYS_mmap 9 222
    SYS_munmap 11 215
    SYS_rt_sigprocmask 14 135
    SYS_nanosleep 35 101
    SYS_sendto 44 206
    SYS_clone 56 220
    SYS_execve 59 221
    SYS_wait4 61 260
    SYS_kill 62 129
    SYS_fcntl 72 25
    SYS_prctl 157 167
    SYS_futex 202 98
    SYS_exit_group 231 94
    SYS_faccessat 269 48
    SYS_signalfd4 289 74
    SYS_clone3 435 435
    SYS_openat2 437 437
}

pub const AT_FDCWD: i32 = -100;
pub const FUTEX_WAIT: i32 = 0;
pub const SEEK_END: u64 = 2;
pub const PROT_READ: u64 = 1;
pub const PROT_WRITE: u64 = 2;
pub const MAP_SHARED: u64 = 1;
pub const MSG_NOSIGNAL: u64 = 0x4000;
pub const PR_SET_NAME: u64 = 15;
pub const O_CLOEXEC: u64 = 0o2_000_000;
pub const F_SETFD: u64 = 2;
pub const FD_CLOEXEC: u64 = 1;
pub const SIG_SETMASK: u64 = 2;
pub const SIGCHLD: i32 = 17;
pub const WNOHANG: u64 = 1;
pub const __WALL: u64 = 0x4000_0000;

pub const CLONE_VM: i32 = 0x100;
pub const CLONE_VFORK: u64 = 0x4000;
pub const CLONE_PARENT: i32 = 0x8000;
pub const CLONE_CHILD_CLEARTID: i32 = 0x0020_0000;

pub const ENOENT: i32 = 2;
pub const EINTR: i32 = 4;
pub const EAGAIN: i32 = 11;
pub const EACCES: i32 = 13;
pub const ENOTDIR: i32 = 20;
pub const ETXTBSY: i32 = 26;
pub const ETIMEDOUT: i32 = 110;
