//! The end of a process: [`waitid(2)`](https://man7.org/linux/man-pages/man2/waitid.2.html) on a pidfd.
//!
//! # Safety
//! Two calls through `libc`: one for signals that rustix has no name for, which is given no pointer but null, and one
//! that fills a struct of ours.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It exited with this code.
    Exited(i32),
    /// This signal ended it.
    Signaled(i32),
    /// Somebody else in this program waited for all its children and took the answer.
    Unknown,
}

impl End {
    /// What a wait status says, as waitpid(2) has it: the signal in the low bits, else the code above them.
    pub(crate) fn of_status(status: i32) -> Self {
        match status & 0x7f {
            0 => Self::Exited(status >> 8 & 0xff),
            signal => Self::Signaled(signal),
        }
    }
}

/// Waits for children of any kind: before its exec one of ours is no ordinary child, which sends `SIGCHLD`.
const WALL: u32 = libc::__WALL as u32;

/// How the process ended, if it has; frees its number.
pub(crate) fn try_reap(pidfd: impl AsFd) -> io::Result<Option<End>> {
    reap_with(pidfd.as_fd(), WaitIdOptions::EXITED | WaitIdOptions::NOHANG)
}

/// Waits for the end of a process and frees its number.
pub(crate) fn reap(pidfd: impl AsFd) -> io::Result<End> {
    loop {
        if let Some(end) = reap_with(pidfd.as_fd(), WaitIdOptions::EXITED)? {
            return Ok(end);
        }
    }
}

fn reap_with(pidfd: BorrowedFd<'_>, options: WaitIdOptions) -> io::Result<Option<End>> {
    let options = options | WaitIdOptions::from_bits_retain(WALL);
    loop {
        return match waitid(WaitId::PidFd(pidfd), options) {
            Ok(None) => Ok(None),
            Ok(Some(status)) => Ok(Some(match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => End::Exited(code),
                (None, Some(signal)) => End::Signaled(signal),
                (None, None) => End::Unknown,
            })),
            Err(rustix::io::Errno::INTR) => continue,
            // The program ignores SIGCHLD, so that the kernel frees the number at once, or waits for any child.
            Err(rustix::io::Errno::CHILD) => match exit_code_of_reaped(pidfd, &RELEASE_PATIENCE) {
                Ok(end) => Ok(Some(end)),
                Err(_) => Ok(Some(End::Unknown)),
            },
            Err(error) => Err(error.into()),
        };
    }
}

/// `struct pidfd_info` of Linux 6.13, whose last field is filled since 6.15.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup: u64,
    pid_to_fsgid: [u32; 11],
    exit_code: i32,
}

/// `PIDFD_INFO_EXIT`: how it ended.
const INFO_EXIT: u64 = 1 << 3;
/// `PIDFD_GET_INFO`, an ioctl that reads and writes 64 bytes: number 11 of group 0xff.
const GET_INFO: u32 = 3 << 30 | (size_of::<PidfdInfo>() as u32) << 16 | 0xff << 8 | 11;

/// How a process ended for which somebody else has waited: the kernel keeps it for those who have a pidfd.
///
/// Between the moment in which the other wait has taken the process and that in which the kernel lets go of it, it is
/// nobody's child any more, and how it ended is not kept yet.
fn exit_code_of_reaped(pidfd: BorrowedFd<'_>, patience: &Timespec) -> io::Result<End> {
    match kept_end(pidfd)? {
        Some(end) => Ok(end),
        None => {
            await_release(pidfd, patience)?;
            Ok(kept_end(pidfd)?.unwrap_or(End::Unknown))
        }
    }
}

fn kept_end(pidfd: BorrowedFd<'_>) -> io::Result<Option<End>> {
    let mut info = PidfdInfo { mask: INFO_EXIT, ..PidfdInfo::default() };
    // SAFETY: the request says that it takes and fills as many bytes as the struct has.
    let answer = unsafe { libc::ioctl(pidfd.as_raw_fd(), GET_INFO as _, &raw mut info) };
    if answer != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((info.mask & INFO_EXIT != 0).then(|| End::of_status(info.exit_code)))
}

/// How long the kernel may take to let go of a process for which somebody has waited. Linux 6.13 and 6.14 never say so.
const RELEASE_PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// Waits until the kernel has let go of a process: then its pidfd hangs up (Linux 6.15).
fn await_release(pidfd: BorrowedFd<'_>, patience: &Timespec) -> io::Result<()> {
    // No event but the hanging up: that it has ended is known.
    let mut fds = [PollFd::from_borrowed_fd(pidfd, PollFlags::empty())];
    loop {
        match poll(&mut fds, Some(patience)) {
            Err(rustix::io::Errno::INTR) => {}
            polled => return polled.map(drop).map_err(io::Error::from),
        }
    }
}

/// A pidfd. The number of a child that has not been waited for cannot have been given to another process; who opens one
/// of somebody else's looks afterwards whether it is the one that is meant.
pub(crate) fn open(pid: u32) -> io::Result<OwnedFd> {
    let pid =
        i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// When a process started, in clock ticks since boot: field 22 of `/proc/<pid>/stat`.
pub(crate) fn start_time(pid: u32) -> io::Result<u64> {
    field(&stat(pid)?, 22).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// Whether a process has ended, or has begun to: field 9 of `/proc/<pid>/stat`, the kernel's `PF_EXITING`.
pub(crate) fn is_ending(pid: u32) -> bool {
    const EXITING: u64 = 0x4;
    stat(pid).ok().and_then(|stat| field(&stat, 9)).is_none_or(|flags| flags & EXITING != 0)
}

fn stat(pid: u32) -> io::Result<String> {
    super::proc::read(&format!("/proc/{pid}/stat"))
}

/// A number in a `stat`, by its place in proc_pid_stat(5), which is beyond the second.
fn field(stat: &str, place: usize) -> Option<u64> {
    // The second field is the name in parentheses, which may hold spaces and parentheses itself.
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(place - 3)?.parse().ok()
}

/// Sends a signal that has no name.
pub(super) fn send_real_time(pidfd: BorrowedFd<'_>, number: i32) -> io::Result<()> {
    let no_information = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo_t asks for the one that kill(2) would send; the descriptor is open while borrowed.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), number, no_information, 0) };
    match sent {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Lets the kernel free our children's numbers by itself, as some programs do.
#[cfg(test)]
pub(crate) fn ignore_children() {
    // SAFETY: no handler is installed.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
}

/// Whether the kernel keeps how a process ended that somebody has waited for.
#[cfg(test)]
pub(crate) fn keeps_ends() -> bool {
    let mut release = rustix::system::uname().release().to_string_lossy().into_owned();
    release.truncate(release.find('-').unwrap_or(release.len()));
    let release: Vec<u32> = release.split('.').filter_map(|part| part.parse().ok()).collect();
    release >= vec![6, 15]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_start_time_is_found_behind_any_name() {
        let stat = "7 (a) b) c) S 1 7 7 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 4711 1024 3 18446744073709551615";
        assert_eq!((field(stat, 22), field(stat, 9)), (Some(4711), Some(4_194_304)));
        assert_eq!(field("7 (a", 22), None);
    }

    #[test]
    fn this_process_has_a_start_time() {
        assert!(start_time(std::process::id()).unwrap() > 0);
        assert!(!is_ending(std::process::id()) && is_ending(u32::MAX));
    }

    #[test]
    fn c13_an_end_is_known_although_the_kernel_keeps_it_a_moment_later() {
        if !keeps_ends() {
            return;
        }
        let mut child = std::process::Command::new("sh").args(["-c", "exit 40"]).spawn().unwrap();
        let pidfd = open(child.id()).unwrap();
        let mut ended = [PollFd::new(&pidfd, PollFlags::IN)];
        assert_eq!(poll(&mut ended, None).unwrap(), 1);
        // It has ended, and the kernel has not let go of it.
        assert_eq!(kept_end(pidfd.as_fd()).unwrap(), None);
        let patience = Timespec { tv_sec: 60, tv_nsec: 0 };
        let end = std::thread::scope(|scope| {
            let asking = scope.spawn(|| exit_code_of_reaped(pidfd.as_fd(), &patience));
            // So that it mostly asks before; it is right after, too.
            std::thread::sleep(std::time::Duration::from_millis(20));
            assert_eq!(child.wait().unwrap().code(), Some(40));
            asking.join().unwrap().unwrap()
        });
        assert_eq!(end, End::Exited(40));
    }
}
