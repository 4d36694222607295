//! System calls, by what they are for.

use crate::child::{self, Frame};
use crate::log::{decimal, put};
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

/// Waits until one of these descriptors is ready; which of them are. -1 is none.
pub fn poll<const N: usize>(fds: [i32; N]) -> [bool; N] {
    poll_for(fds, u64::MAX)
}

/// The same, for so many milliseconds at most: none is ready then.
pub fn poll_for<const N: usize>(fds: [i32; N], milliseconds: u64) -> [bool; N] {
    poll_events(fds.map(|fd| (fd, POLLIN)), milliseconds)
}

/// The same for these events each.
pub fn poll_events<const N: usize>(fds: [(i32, i16); N], milliseconds: u64) -> [bool; N] {
    // struct pollfd: descriptor in 4 bytes, wanted and found events in 2 each.
    let mut polled = fds.map(|(fd, events)| u64::from(fd as u32) | (events as u64) << 32);
    let begin = (&raw mut polled).expose_provenance() as u64;
    let time = [milliseconds / 1000, milliseconds % 1000 * 1_000_000];
    let time = if milliseconds == u64::MAX { 0 } else { address(&time) };
    // SAFETY: the kernel writes to as many structs, which are ours, and reads the time; there is no mask.
    while unsafe { call(SYS_ppoll, [begin, N as u64, time, 0, 0, 0]) } == Err(EINTR) {}
    polled.map(|one| one >> 48 != 0)
}

/// Kills the process behind a descriptor.
pub fn kill_by_pidfd(pidfd: i32) {
    // SAFETY: no information is passed. It may have ended.
    let _ = unsafe { call(SYS_pidfd_send_signal, [pidfd as u64, SIGKILL, 0, 0, 0, 0]) };
}

/// Waits until the process behind a descriptor has ended.
pub fn wait_for_pidfd(pidfd: i32) {
    if pidfd >= 0 {
        poll([pidfd, -1]);
    }
}

/// Goes on in a copy of this process too, with these namespaces of its own; 0 there.
pub fn fork(namespaces: u64) -> Result<u64, i32> {
    // SAFETY: nothing is shared, and both go on with stacks of their own.
    unsafe { call(SYS_clone, [SIGCHLD as u64 | namespaces, 0, 0, 0, 0, 0]) }
}

/// The reading and the writing end of a pipe.
pub fn pipe() -> Option<[i32; 2]> {
    let mut ends = [-1_i32; 2];
    let address = (&raw mut ends).expose_provenance() as u64;
    // SAFETY: the kernel writes two numbers, which are ours.
    unsafe { call(SYS_pipe2, [address, O_CLOEXEC, 0, 0, 0, 0]) }.ok().map(|_| ends)
}

/// A descriptor of a child that has not been waited for.
pub fn open_process(pid: i32) -> i32 {
    // SAFETY: takes no pointer.
    unsafe { call(SYS_pidfd_open, [pid as u64, 0, 0, 0, 0, 0]) }.map_or(-1, |fd| fd as i32)
}

/// When a process was started, in clock ticks since the start of the machine: field 22 of `/proc/<pid>/stat`.
pub fn start_time(pid: i32) -> u64 {
    let (mut text, mut length) = ([0_u8; 512], 0);
    put(&mut text, &mut length, b"/proc/");
    decimal(pid as u64, 1, &mut |digits| put(&mut text, &mut length, digits));
    put(&mut text, &mut length, b"/stat");
    let Ok(file) = open(AT_FDCWD, address(&text), 0) else { return 0 };
    let read = read(file, &mut text).unwrap_or(0);
    close(file);
    // The second field is a name in parentheses, in which anything may stand.
    let rest = text.get(..read).unwrap_or_default().rsplit(|byte| *byte == b')').next().unwrap_or_default();
    rest.split(|byte| *byte == b' ').nth(20).map_or(0, parse)
}

/// The number that decimal digits are.
pub fn parse(digits: &[u8]) -> u64 {
    let add = |number: u64, digit: &u8| number.wrapping_mul(10).wrapping_add(u64::from(digit.wrapping_sub(b'0')));
    digits.iter().take_while(|byte| byte.is_ascii_digit()).fold(0, add)
}

/// Lets no read or write wait.
pub fn do_not_block(fd: i32) {
    // SAFETY: takes no pointer.
    let _ = unsafe { call(SYS_fcntl, [fd as u64, F_SETFL, O_NONBLOCK | O_RDWR, 0, 0, 0]) };
}

/// Allows as many open files as the host does; how many.
pub fn raise_file_limit() -> u64 {
    let mut limit = [0_u64; 2];
    let begin = (&raw mut limit).expose_provenance() as u64;
    // SAFETY: the kernel writes to the struct, which is ours.
    let read = unsafe { call(SYS_prlimit64, [0, RLIMIT_NOFILE, 0, begin, 0, 0]) };
    let raised = [limit[1], limit[1]];
    if read.is_ok() {
        // SAFETY: the kernel reads the struct.
        let _ = unsafe { call(SYS_prlimit64, [0, RLIMIT_NOFILE, address(&raised), 0, 0, 0]) };
    }
    limit[1]
}

/// Memory of this process alone, filled with zeros.
pub fn map_private(size: usize) -> Option<*mut u8> {
    let flags = MAP_PRIVATE | MAP_ANONYMOUS;
    // SAFETY: a new mapping, where there is room.
    let mapped = unsafe { call(SYS_mmap, [0, size as u64, PROT_READ | PROT_WRITE, flags, u64::MAX, 0]) };
    mapped.ok().map(|base| core::ptr::with_exposed_provenance_mut(base as usize))
}

/// The number of this process.
pub fn own_pid() -> u32 {
    // SAFETY: takes no pointer.
    unsafe { call(SYS_getpid, [0; 6]) }.unwrap_or(0) as u32
}

// Paths are addresses of texts that end with a zero byte and outlive the call: constants, and what a message holds.

/// Opens a path; for reading unless the flags say otherwise.
pub fn open(directory: i32, path: u64, flags: u64) -> Result<i32, i32> {
    let flags = flags | O_CLOEXEC | O_NONBLOCK;
    // SAFETY: the path is a C string.
    unsafe { call(SYS_openat, [directory as u64, path, flags, 0, 0, 0]) }.map(|fd| fd as i32)
}

/// Removes a name.
pub fn unlink(directory: i32, path: u64, flags: u64) -> Result<(), i32> {
    // SAFETY: the path is a C string.
    unsafe { call(SYS_unlinkat, [directory as u64, path, flags, 0, 0, 0]) }.map(drop)
}

/// Gives a file another name.
pub fn rename(directory: i32, path: u64, to: i32, name: u64) -> Result<(), i32> {
    // SAFETY: both paths are C strings.
    unsafe { call(SYS_renameat, [directory as u64, path, to as u64, name, 0, 0]) }.map(drop)
}

/// Sets the mode of an open file.
pub fn set_mode(fd: i32, mode: u64) {
    // SAFETY: takes no pointer. What cannot be changed shows when it is used.
    let _ = unsafe { call(SYS_fchmod, [fd as u64, mode, 0, 0, 0, 0]) };
}

/// Sets the mode of a directory.
pub fn set_mode_at(directory: i32, path: u64, mode: u64) {
    // SAFETY: the path is a C string. What cannot be changed shows when it is used.
    let _ = unsafe { call(SYS_fchmodat, [directory as u64, path, mode, 0, 0, 0]) };
}

/// Waits for the lock of a file; it ends with the last copy of the descriptor.
pub fn lock(fd: i32) -> bool {
    // SAFETY: takes no pointer.
    unsafe { call(SYS_flock, [fd as u64, LOCK_EX, 0, 0, 0, 0]) }.is_ok()
}

/// Locks a file if nobody else holds it.
pub fn lock_at_once(fd: i32) -> bool {
    // SAFETY: takes no pointer.
    unsafe { call(SYS_flock, [fd as u64, LOCK_EX | LOCK_NB, 0, 0, 0, 0]) }.is_ok()
}

/// Reads what there is; how many bytes.
pub fn read(fd: i32, buffer: &mut [u8]) -> Result<usize, i32> {
    let (begin, length) = (buffer.as_mut_ptr().expose_provenance() as u64, buffer.len() as u64);
    // SAFETY: the buffer is ours and has this size.
    unsafe { call(SYS_read, [fd as u64, begin, length, 0, 0, 0]) }.map(|read| read as usize)
}

/// Writes to a file in one call; what fails has no consequence but that.
pub fn write(fd: i32, bytes: &[u8]) {
    let (begin, length) = (bytes.as_ptr().expose_provenance() as u64, bytes.len() as u64);
    // SAFETY: the bytes are borrowed meanwhile.
    let _ = unsafe { call(SYS_write, [fd as u64, begin, length, 0, 0, 0]) };
}

/// Makes a file, or opens the one that is there, for writing.
pub fn create(directory: i32, path: u64, flags: u64, mode: u64) -> Result<i32, i32> {
    let flags = flags | O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW;
    // SAFETY: the path is a C string.
    unsafe { call(SYS_openat, [directory as u64, path, flags, mode, 0, 0]) }.map(|fd| fd as i32)
}

/// Writes all of the bytes to a file; what it did not take.
pub fn write_all(fd: i32, mut bytes: &[u8]) -> &[u8] {
    while !bytes.is_empty() {
        let (begin, length) = (bytes.as_ptr().expose_provenance() as u64, bytes.len() as u64);
        // SAFETY: the bytes are borrowed meanwhile.
        match unsafe { call(SYS_write, [fd as u64, begin, length, 0, 0, 0]) } {
            Ok(written @ 1..) => bytes = bytes.get(written as usize..).unwrap_or_default(),
            Err(EINTR) => {}
            _ => break,
        }
    }
    bytes
}

/// Makes a file empty.
pub fn truncate(fd: i32) {
    // SAFETY: takes no pointer.
    let _ = unsafe { call(SYS_ftruncate, [fd as u64, 0, 0, 0, 0, 0]) };
}

/// Waits until a file or directory would survive a loss of power.
pub fn sync(fd: i32) {
    // SAFETY: takes no pointer. What fails has been tried.
    let _ = unsafe { call(SYS_fsync, [fd as u64, 0, 0, 0, 0, 0]) };
}

/// Seconds since the start of 1970, and nanoseconds.
pub fn now() -> [i64; 2] {
    let mut time = [0_i64; 2];
    // SAFETY: the kernel writes to the struct, which is ours; clock 0 is the time of day.
    let _ = unsafe { call(SYS_clock_gettime, [0, (&raw mut time).expose_provenance() as u64, 0, 0, 0, 0]) };
    time
}

/// Milliseconds since the start of the machine, without those in which it slept.
pub fn uptime() -> u64 {
    let mut time = [0_u64; 2];
    // SAFETY: the kernel writes to the struct, which is ours; clock 1 is the monotonic one.
    let _ = unsafe { call(SYS_clock_gettime, [1, (&raw mut time).expose_provenance() as u64, 0, 0, 0, 0]) };
    time[0].wrapping_mul(1000).wrapping_add(time[1] / 1_000_000)
}

/// Does nothing for two milliseconds.
pub fn pause() {
    let time = [0_u64, 2_000_000];
    // SAFETY: the kernel reads the struct; the rest is not asked for.
    let _ = unsafe { call(SYS_nanosleep, [address(&time), 0, 0, 0, 0, 0]) };
}

/// Goes to the beginning of a directory.
pub fn rewind(directory: i32) {
    // SAFETY: takes no pointer.
    let _ = unsafe { call(SYS_lseek, [directory as u64, 0, 0, 0, 0, 0]) };
}

/// Reads entries of a directory; how many bytes.
pub fn entries(directory: i32, buffer: &mut [u8]) -> usize {
    let (begin, length) = (buffer.as_mut_ptr().expose_provenance() as u64, buffer.len() as u64);
    // SAFETY: the buffer is ours and has this size.
    unsafe { call(SYS_getdents64, [directory as u64, begin, length, 0, 0, 0]) }.unwrap_or(0) as usize
}

/// Whether an open directory is the one of a path.
pub fn is_same(fd: i32, directory: i32, path: u64) -> bool {
    let Ok(other) = open(directory, path, O_DIRECTORY) else { return false };
    let same = identity(fd) == identity(other);
    close(other);
    same
}

/// File system and number of an open file.
fn identity(fd: i32) -> Option<(u64, u64)> {
    // struct statx has 256 bytes: the number at 32, the device in two halves at 136.
    let mut found = [0_u64; 32];
    let begin = (&raw mut found).expose_provenance() as u64;
    let arguments = [fd as u64, address(b"\0"), AT_EMPTY_PATH, STATX_INO, begin, 0];
    // SAFETY: the kernel writes to the struct, which is ours.
    unsafe { call(SYS_statx, arguments) }.ok()?;
    Some((found[17], found[4]))
}

/// Whether a file holds these bytes.
pub fn file_holds(fd: i32, bytes: &[u8]) -> bool {
    let Some(size) = size_of_file(fd).filter(|size| *size > 0) else { return false };
    // SAFETY: a new mapping, where there is room.
    let mapped = unsafe { call(SYS_mmap, [0, size as u64, PROT_READ, MAP_PRIVATE, fd as u64, 0]) };
    let Ok(base) = mapped else { return true };
    let base = core::ptr::with_exposed_provenance_mut::<u8>(base as usize);
    // SAFETY: the mapping has this size; files of containers are replaced, and never truncated.
    let text = unsafe { core::slice::from_raw_parts(base, size) };
    let holds = (0..size).any(|at| text.get(at..).is_some_and(|rest| rest.starts_with(bytes)));
    // SAFETY: nothing refers to it any more.
    unsafe { unmap(base, size) };
    holds
}

/// What follows the last slash of a text.
pub fn last_name(path: u64) -> &'static [u8] {
    let text = text(path);
    text.rsplit(|byte| *byte == b'/').next().unwrap_or(text)
}

/// Whether two texts are equal.
pub fn equal(one: u64, other: u64) -> bool {
    other != 0 && text(one) == text(other)
}

pub fn text(path: u64) -> &'static [u8] {
    let begin = core::ptr::with_exposed_provenance::<u8>(path as usize);
    let mut length = 0;
    // SAFETY: it ends with a zero byte.
    while unsafe { begin.wrapping_add(length).read() } != 0 {
        length = length.wrapping_add(1);
    }
    // SAFETY: these bytes were read just now, and nobody writes to them while they are compared.
    unsafe { core::slice::from_raw_parts(begin, length) }
}
