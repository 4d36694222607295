//! Numbers of the kernel, under the names that the `libc` crate gives them.
#![allow(missing_docs, non_upper_case_globals)]

macro_rules! system_calls {
    ($($name:ident $x86_64:literal $aarch64:literal)*) => {
        $(pub const $name: i64 = if cfg!(target_arch = "x86_64") { $x86_64 } else { $aarch64 };)*
    };
}

system_calls! {
    SYS_read 0 63
    SYS_write 1 64
    SYS_close 3 57
    SYS_lseek 8 62
    SYS_mmap 9 222
    SYS_munmap 11 215
    SYS_rt_sigprocmask 14 135
    SYS_nanosleep 35 101
    SYS_ioctl 16 29
    SYS_socket 41 198
    SYS_connect 42 203
    SYS_shutdown 48 210
    SYS_setsockopt 54 208
    SYS_sendto 44 206
    SYS_recvfrom 45 207
    SYS_getsockopt 55 209
    SYS_getpid 39 172
    SYS_getppid 110 173
    SYS_recvmsg 47 212
    SYS_sendmsg 46 211
    SYS_socketpair 53 199
    SYS_listen 50 201
    SYS_accept4 288 242
    SYS_dup3 292 24
    SYS_splice 275 76
    SYS_epoll_create1 291 20
    SYS_epoll_ctl 233 21
    SYS_epoll_pwait 281 22
    SYS_close_range 436 436
    SYS_memfd_create 319 279
    SYS_pipe2 293 59
    SYS_pidfd_open 434 434
    SYS_setns 308 268
    SYS_clone 56 220
    SYS_execve 59 221
    SYS_wait4 61 260
    SYS_kill 62 129
    SYS_fcntl 72 25
    SYS_flock 73 32
    SYS_fchmod 91 52
    SYS_prctl 157 167
    SYS_futex 202 98
    SYS_getdents64 217 61
    SYS_exit_group 231 94
    SYS_openat 257 56
    SYS_unlinkat 263 35
    SYS_renameat 264 38
    SYS_clock_gettime 228 113
    SYS_fsync 74 82
    SYS_ftruncate 77 46
    SYS_fchmodat 268 53
    SYS_faccessat 269 48
    SYS_ppoll 271 73
    SYS_signalfd4 289 74
    SYS_prlimit64 302 261
    SYS_statx 332 291
    SYS_pidfd_send_signal 424 424
    SYS_clone3 435 435
    SYS_openat2 437 437
}

pub const AT_FDCWD: i32 = -100;
pub const FUTEX_WAIT: i32 = 0;
pub const SEEK_END: u64 = 2;
pub const PROT_READ: u64 = 1;
pub const PROT_WRITE: u64 = 2;
pub const MAP_SHARED: u64 = 1;
pub const MAP_PRIVATE: u64 = 2;
pub const MAP_ANONYMOUS: u64 = 0x20;
pub const MSG_NOSIGNAL: u64 = 0x4000;
pub const MSG_DONTWAIT: u64 = 0x40;
pub const AF_UNIX: u64 = 1;
pub const AF_INET: u64 = 2;
pub const AF_INET6: u64 = 10;
pub const IPPROTO_TCP: u64 = 6;
pub const TCP_NODELAY: u64 = 1;
pub const SO_ERROR: u64 = 4;
pub const SO_LINGER: u64 = 13;
pub const SHUT_WR: u64 = 1;
pub const SPLICE_F_MOVE: u64 = 1;
pub const SPLICE_F_NONBLOCK: u64 = 2;
pub const EPOLL_CTL_ADD: u64 = 1;
pub const EPOLL_CTL_DEL: u64 = 2;
pub const EPOLL_CTL_MOD: u64 = 3;
pub const EPOLLIN: u32 = 1;
pub const EPOLLOUT: u32 = 4;
pub const EPOLLRDHUP: u32 = 0x2000;
pub const EPOLLET: u32 = 1 << 31;
pub const SOCK_STREAM: u64 = 1;
pub const SOCK_DGRAM: u64 = 2;
pub const SOCK_SEQPACKET: u64 = 5;
pub const SOCK_NONBLOCK: u64 = 0o4000;
pub const SOCK_CLOEXEC: u64 = 0o2_000_000;
pub const MFD_CLOEXEC: u64 = 1;
pub const F_SETFL: u64 = 4;
pub const F_DUPFD_CLOEXEC: u64 = 1030;
pub const F_SETPIPE_SZ: u64 = 1031;
pub const FUTEX_WAKE: u64 = 1;
pub const CLONE_NEWUSER: u64 = 0x1000_0000;
pub const CLONE_NEWNET: u64 = 0x4000_0000;
pub const NS_GET_USERNS: u64 = 0xb701;
pub const PR_SET_NAME: u64 = 15;
pub const PR_SET_PDEATHSIG: u64 = 1;
pub const O_WRONLY: u64 = 1;
pub const O_RDWR: u64 = 2;
pub const O_CREAT: u64 = 0o100;
pub const O_TRUNC: u64 = 0o1000;
pub const O_APPEND: u64 = 0o2000;
pub const O_NONBLOCK: u64 = 0o4000;
pub const O_DIRECTORY: u64 = if cfg!(target_arch = "x86_64") { 0o200_000 } else { 0o40_000 };
pub const O_NOFOLLOW: u64 = if cfg!(target_arch = "x86_64") { 0o400_000 } else { 0o100_000 };
pub const AT_REMOVEDIR: u64 = 0x200;
pub const AT_EMPTY_PATH: u64 = 0x1000;
pub const STATX_INO: u64 = 0x100;
pub const LOCK_EX: u64 = 2;
pub const LOCK_NB: u64 = 4;
pub const LOCK_UN: u64 = 8;
pub const POLLIN: i16 = 1;
pub const POLLOUT: i16 = 4;
pub const SOL_SOCKET: u64 = 1;
pub const SCM_RIGHTS: u64 = 1;
pub const MSG_CMSG_CLOEXEC: u64 = 0x4000_0000;
pub const RLIMIT_NOFILE: u64 = 7;
pub const SIGKILL: u64 = 9;
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
pub const ENOMEM: i32 = 12;
pub const EACCES: i32 = 13;
pub const EBUSY: i32 = 16;
pub const ENOTDIR: i32 = 20;
pub const ENFILE: i32 = 23;
pub const EMFILE: i32 = 24;
pub const ETXTBSY: i32 = 26;
pub const ENOBUFS: i32 = 105;
pub const EISCONN: i32 = 106;
pub const ETIMEDOUT: i32 = 110;
pub const ECONNREFUSED: i32 = 111;
pub const EALREADY: i32 = 114;
pub const EINPROGRESS: i32 = 115;
