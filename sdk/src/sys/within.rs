//! Work on files that belong to further ids of this user: in the user namespace that has them.
//!
//! A thread of a program with several cannot join a user namespace. So the work is done by a child that shares memory
//! and descriptors with this process, in place of the calling thread: it inherits that thread's thread-local storage,
//! so that allocation, locks and panics work as if the thread itself did the work, while the thread waits, as after
//! vfork, on a word that the kernel clears when the child is gone.
//!
//! ```text
//! thread   clone3(VM | FILES) ── wait ──────────────────────── result
//! child       └─ setns(user) ── work on a stack of its own ── exit
//! ```
//!
//! In the namespace 0 is this user, who has all capabilities over files of its ids and none over those of others. What
//! the work may not do: start containers, or leave threads behind. `getpid()` tells another number there.
//!
//! # Safety
//! The child lives within the call: its stack, the job and what the work borrows outlive it. It makes the system calls
//! before and after the work by itself; those that the work makes go through the C library like the thread's own, of
//! which only one of the two runs at any time. Handlers of signals do not run meanwhile: the child blocks all, the thread
//! those that the program handles.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use rustix::thread::futex;

use super::child::CloneArgs;
use super::userns::{Ids, ids};
use super::visible::{Visibility, hold};
use super::wait;

/// What is attempted when the child cannot be made.
pub(crate) const ENTER: &str = "work in the user namespace of this user";

/// As large as that of a thread of the standard library; only what is used takes memory.
const STACK: usize = 2 << 20;
/// Below the stack, never mapped; as large as the largest page.
const GUARD: usize = 64 * 1024;

/// How long a child may take to go once its work is done; longer only if the work has left threads behind.
const PATIENCE: Duration = Duration::from_secs(1);

/// Does `work` where files may belong to all ids that this process has; a panic is passed on.
///
/// That is right here, unless this is an ordinary user with subordinate ids.
///
/// # Errors
/// Those of clone(2) and setns(2); nothing was done then.
pub(crate) fn within<T>(work: impl FnOnce() -> T) -> io::Result<T> {
    match ids() {
        Ids::Many(namespace) => run(&namespace.fd, work),
        _ => Ok(work()),
    }
}

/// Whose files are worked on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place<'a> {
    /// Those of the store, as [`within`] has them.
    Store,
    /// Those that a container of root's shows to its own user namespace, behind this descriptor.
    Container(&'a OwnedFd),
}

impl Place<'_> {
    /// Does `work` there, as root; a panic is passed on.
    ///
    /// # Errors
    /// As [`within`].
    pub(crate) fn within<T>(self, work: impl FnOnce() -> T) -> io::Result<T> {
        match self {
            Self::Store => within(work),
            Self::Container(namespace) => {
                // Becoming another user makes this program invisible: so it is for that time only.
                let _visibility = hold(Visibility::Hidden);
                run(namespace, work)
            }
        }
    }
}

/// Does `work` in the user namespace behind a descriptor.
pub(super) fn run<T>(namespace: &OwnedFd, work: impl FnOnce() -> T) -> io::Result<T> {
    if is_inside(namespace)? {
        return Ok(work());
    }
    let mut result = None;
    let mut work = Some(work);
    let mut body = || {
        if let Some(work) = work.take() {
            result = Some(catch_unwind(AssertUnwindSafe(work)));
        }
    };
    in_child(namespace, &mut body)?;
    match result {
        Some(Ok(value)) => Ok(value),
        Some(Err(panic)) => resume_unwind(panic),
        None => Err(io::Error::from_raw_os_error(libc::ECHILD)),
    }
}

/// Whether this is work in that namespace already: the kernel does not let one join where it is.
fn is_inside(namespace: &OwnedFd) -> io::Result<bool> {
    let (there, here) = (rustix::fs::fstat(namespace)?, rustix::fs::stat("/proc/self/ns/user")?);
    Ok((there.st_dev, there.st_ino) == (here.st_dev, here.st_ino))
}

/// What a child is given.
struct Job<'a> {
    work: *mut &'a mut dyn FnMut(),
    namespace: i32,
    /// Number of this process.
    parent: i32,
    /// Not 0 while the child uses this memory; the kernel clears it and wakes who waits.
    alive: AtomicU32,
    /// [`BEGUN`], [`DONE`], or the errno that kept it from beginning.
    state: AtomicI32,
    pidfd: AtomicU32,
}

/// The work has begun and not ended.
const BEGUN: i32 = -1;
/// The work has ended, with a result or a panic.
const DONE: i32 = -2;

fn in_child(namespace: &OwnedFd, work: &mut dyn FnMut()) -> io::Result<()> {
    let stack = Stack::new()?;
    let _masked = Masked::new()?;
    let mut work = work;
    let job = Job {
        work: &raw mut work,
        namespace: namespace.as_raw_fd(),
        parent: rustix::process::getpid().as_raw_nonzero().get(),
        alive: AtomicU32::new(1),
        state: AtomicI32::new(0),
        pidfd: AtomicU32::new(0),
    };
    let address = |word: &AtomicU32| std::ptr::from_ref(word).expose_provenance() as u64;
    // Neither CLONE_FS, with which no user namespace can be joined, nor CLONE_SETTLS: it is this thread to its libraries.
    let flags = libc::CLONE_VM | libc::CLONE_FILES | libc::CLONE_PIDFD | libc::CLONE_CHILD_CLEARTID;
    let args = CloneArgs {
        flags: flags as u64,
        pidfd: address(&job.pidfd),
        child_tid: address(&job.alive),
        stack: stack.lowest() as u64,
        stack_size: STACK as u64,
        ..CloneArgs::default()
    };
    // SAFETY: the arguments ask for CLONE_VM and a stack; stack, job and arguments outlive the child, which is waited for
    // just below.
    let cloned = unsafe { plywood_sys_within_clone(&args, size_of::<CloneArgs>(), begin, (&raw const job).cast()) };
    if cloned < 0 {
        return Err(io::Error::from_raw_os_error(-cloned as i32));
    }
    loop {
        let value = job.alive.load(Ordering::Acquire);
        if value == 0 {
            break;
        }
        // Not the private kind, since the kernel's is not.
        let _ = futex::wait(&job.alive, futex::Flags::empty(), value, None);
    }
    // SAFETY: the kernel has opened it for us, and nobody else knows it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(job.pidfd.load(Ordering::Acquire) as i32) };
    match job.state.load(Ordering::Acquire) {
        DONE => {
            free(pidfd);
            Ok(())
        }
        // Killed in the middle of work that may hold any lock of this program: as if the thread itself had been killed.
        BEGUN => std::process::abort(),
        errno => {
            free(pidfd);
            Err(io::Error::from_raw_os_error(if errno == 0 { libc::ECHILD } else { errno }))
        }
    }
}

/// Frees the number of a child that is going. One whose work has left threads behind goes with the last of them.
fn free(pidfd: OwnedFd) {
    static LEFT: Mutex<Vec<OwnedFd>> = Mutex::new(Vec::new());
    let timeout = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
    let gone = loop {
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => break false,
            Ok(ready) => break ready > 0,
        }
    };
    let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
    left.retain(|pidfd| matches!(wait::try_reap(pidfd), Ok(None)));
    match gone {
        // It has no status that anybody wants.
        true => drop(wait::try_reap(&pidfd)),
        false => left.push(pidfd),
    }
}

/// The child.
extern "C" fn begin(job: *const libc::c_void) -> ! {
    // SAFETY: the thread waits until this child is gone, and keeps the job until then.
    let job = unsafe { &*job.cast::<Job<'_>>() };
    let failed = enter(job);
    if failed == 0 {
        job.state.store(BEGUN, Ordering::Release);
        // SAFETY: nobody but this child uses the work while it is there, and the thread keeps it.
        let work = unsafe { &mut *job.work };
        work();
        job.state.store(DONE, Ordering::Release);
    } else {
        job.state.store(failed, Ordering::Release);
    }
    loop {
        // Only this thread: what the work may have left running keeps its stack.
        // SAFETY: ends the thread that makes the call; nothing on its stack is used any more.
        unsafe { system_call(libc::SYS_exit, [0; 4]) };
    }
}

/// The errno of what failed, or 0.
fn enter(job: &Job<'_>) -> i32 {
    let all = [u64::MAX];
    let mask = all.as_ptr().expose_provenance() as u64;
    // SAFETY: the mask of 8 bytes outlives the call; no old one is asked for.
    unsafe { system_call(libc::SYS_rt_sigprocmask, [libc::SIG_SETMASK as u64, mask, 0, 8]) };
    // SAFETY: takes two numbers.
    let joined = unsafe { system_call(libc::SYS_setns, [job.namespace as u64, libc::CLONE_NEWUSER as u64, 0, 0]) };
    if joined < 0 {
        return -joined as i32;
    }
    // An ordinary user is root there already, root of the host is nobody.
    for call in [libc::SYS_setresgid, libc::SYS_setresuid] {
        // SAFETY: takes three numbers.
        let became = unsafe { system_call(call, [0; 4]) };
        if became < 0 {
            return -became as i32;
        }
    }
    // Joining and becoming another user would have cleared it.
    // SAFETY: takes two numbers.
    unsafe { system_call(libc::SYS_prctl, [libc::PR_SET_PDEATHSIG as u64, libc::SIGKILL as u64, 0, 0]) };
    // SAFETY: takes nothing.
    let parent = unsafe { system_call(libc::SYS_getppid, [0; 4]) };
    // It has died before it could be said.
    if parent == i64::from(job.parent) { 0 } else { libc::ESRCH }
}

/// A stack with a guard below.
struct Stack(NonNull<libc::c_void>);

impl Stack {
    fn new() -> io::Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::STACK;
        // SAFETY: a new mapping, wherever there is room.
        let base = unsafe { mmap_anonymous(std::ptr::null_mut(), GUARD + STACK, protection, flags) }?;
        let stack = Self(NonNull::new(base).ok_or(io::ErrorKind::OutOfMemory)?);
        // SAFETY: within the mapping, which nothing uses yet.
        unsafe { mprotect(base, GUARD, MprotectFlags::empty()) }?;
        Ok(stack)
    }

    fn lowest(&self) -> usize {
        self.0.as_ptr().expose_provenance() + GUARD
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: our own mapping, whose child is gone. Failing would only leak it.
        let _ = unsafe { munmap(self.0.as_ptr(), GUARD + STACK) };
    }
}

/// Keeps the handlers of the program's signals from running on this thread; those that end the program still do.
struct Masked(libc::sigset_t);

impl Masked {
    fn new() -> io::Result<Self> {
        let mut handled = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: fills the set.
        unsafe { libc::sigemptyset(handled.as_mut_ptr()) };
        for number in 1..=super::signal::REAL_TIME.1 {
            let mut action = MaybeUninit::<libc::sigaction>::zeroed();
            // SAFETY: the struct is ours to be filled; no new action is given.
            if unsafe { libc::sigaction(number, std::ptr::null(), action.as_mut_ptr()) } != 0 {
                continue;
            }
            // SAFETY: all of its fields may be zero, as it was made.
            let action = unsafe { action.assume_init_ref() };
            if ![libc::SIG_DFL, libc::SIG_IGN].contains(&action.sa_sigaction) {
                // SAFETY: the set is initialised, the number is that of a signal.
                unsafe { libc::sigaddset(handled.as_mut_ptr(), number) };
            }
        }
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: both sets are ours; the first is initialised.
        let failed = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, handled.as_ptr(), before.as_mut_ptr()) };
        if failed != 0 {
            return Err(io::Error::from_raw_os_error(failed));
        }
        // SAFETY: the call has filled it.
        Ok(Self(unsafe { before.assume_init() }))
    }
}

impl Drop for Masked {
    fn drop(&mut self) {
        // SAFETY: the set is what the thread had before.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut()) };
    }
}

unsafe extern "C" {
    /// clone3(2) for a child that calls `begin(job)` on its stack; the result is its number or a negative errno.
    fn plywood_sys_within_clone(
        args: *const CloneArgs,
        size: usize,
        begin: extern "C" fn(*const libc::c_void) -> !,
        job: *const libc::c_void,
    ) -> i64;
}

// The child's first frame says that there is none above it, so that backtraces end there.
#[cfg(target_arch = "x86_64")]
std::arch::global_asm!(
    ".pushsection .text.plywood_sys_within_clone,\"ax\",@progbits",
    ".hidden plywood_sys_within_clone",
    ".globl plywood_sys_within_clone",
    ".type plywood_sys_within_clone,@function",
    "plywood_sys_within_clone:",
    ".cfi_startproc",
    "mov r8, rcx",
    "mov eax, 435",
    "syscall",
    "test rax, rax",
    "jz 2f",
    "ret",
    ".cfi_endproc",
    "2:",
    ".cfi_startproc",
    ".cfi_undefined rip",
    "xor ebp, ebp",
    "mov rdi, r8",
    "call rdx",
    "ud2",
    ".cfi_endproc",
    ".size plywood_sys_within_clone, . - plywood_sys_within_clone",
    ".popsection",
);

#[cfg(target_arch = "aarch64")]
std::arch::global_asm!(
    ".pushsection .text.plywood_sys_within_clone,\"ax\",@progbits",
    ".hidden plywood_sys_within_clone",
    ".globl plywood_sys_within_clone",
    ".type plywood_sys_within_clone,@function",
    "plywood_sys_within_clone:",
    ".cfi_startproc",
    "mov x8, #435",
    "svc 0",
    "cbz x0, 2f",
    "ret",
    ".cfi_endproc",
    "2:",
    ".cfi_startproc",
    ".cfi_undefined x30",
    "mov x29, xzr",
    "mov x0, x3",
    "blr x2",
    "brk 1",
    ".cfi_endproc",
    ".size plywood_sys_within_clone, . - plywood_sys_within_clone",
    ".popsection",
);

/// One system call; the result is negative for an errno.
///
/// # Safety
/// What the call itself requires.
#[inline(always)]
unsafe fn system_call(number: libc::c_long, [a, b, c, d]: [u64; 4]) -> i64 {
    #[cfg(target_arch = "x86_64")]
    {
        let result: i64;
        // SAFETY: the kernel clobbers rcx and r11 besides the result.
        unsafe {
            std::arch::asm!(
                "syscall",
                inlateout("rax") number => result,
                in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
                lateout("rcx") _,
                lateout("r11") _,
                options(nostack),
            );
        }
        result
    }
    #[cfg(target_arch = "aarch64")]
    {
        let result: i64;
        // SAFETY: the kernel keeps all registers but the result.
        unsafe {
            std::arch::asm!(
                "svc 0",
                inlateout("x0") a => result,
                in("x1") b, in("x2") c, in("x3") d,
                in("x8") number,
                options(nostack),
            );
        }
        result
    }
}

#[cfg(test)]
mod tests;
