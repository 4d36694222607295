//! Signals: [`pidfd_send_signal(2)`](https://man7.org/linux/man-pages/man2/pidfd_send_signal.2.html) and the names.

use std::io;
use std::os::fd::AsFd;

use rustix::process::{Signal, pidfd_send_signal};

/// Number and name, without `SIG`, of every signal of x86_64 and aarch64 below the real-time ones.
const NAMES: [(i32, &str); 31] = [
    (libc::SIGHUP, "HUP"),
    (libc::SIGINT, "INT"),
    (libc::SIGQUIT, "QUIT"),
    (libc::SIGILL, "ILL"),
    (libc::SIGTRAP, "TRAP"),
    (libc::SIGABRT, "ABRT"),
    (libc::SIGBUS, "BUS"),
    (libc::SIGFPE, "FPE"),
    (libc::SIGKILL, "KILL"),
    (libc::SIGUSR1, "USR1"),
    (libc::SIGSEGV, "SEGV"),
    (libc::SIGUSR2, "USR2"),
    (libc::SIGPIPE, "PIPE"),
    (libc::SIGALRM, "ALRM"),
    (libc::SIGTERM, "TERM"),
    (libc::SIGSTKFLT, "STKFLT"),
    (libc::SIGCHLD, "CHLD"),
    (libc::SIGCONT, "CONT"),
    (libc::SIGSTOP, "STOP"),
    (libc::SIGTSTP, "TSTP"),
    (libc::SIGTTIN, "TTIN"),
    (libc::SIGTTOU, "TTOU"),
    (libc::SIGURG, "URG"),
    (libc::SIGXCPU, "XCPU"),
    (libc::SIGXFSZ, "XFSZ"),
    (libc::SIGVTALRM, "VTALRM"),
    (libc::SIGPROF, "PROF"),
    (libc::SIGWINCH, "WINCH"),
    (libc::SIGIO, "IO"),
    (libc::SIGPWR, "PWR"),
    (libc::SIGSYS, "SYS"),
];

/// First and last real-time signal, as the kernel counts them.
pub(crate) const REAL_TIME: (i32, i32) = (32, 64);

/// The number of `SIGTERM`, `term`, `15`, `SIGRTMIN+3`: what `STOPSIGNAL` and `docker kill` take.
pub(crate) fn number(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse() {
        return (1..=REAL_TIME.1).contains(&number).then_some(number);
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    // The C libraries keep the first two real-time signals for themselves.
    let (first, last) = (REAL_TIME.0 + 2, REAL_TIME.1);
    let real_time = |base: i32, sign: i32, offset: &str| {
        let offset = match offset.strip_prefix(if sign > 0 { '+' } else { '-' }) {
            None if offset.is_empty() => 0,
            None => return None,
            Some(digits) => digits.parse::<u8>().ok()?,
        };
        let number = base + sign * i32::from(offset);
        (first..=last).contains(&number).then_some(number)
    };
    if let Some(offset) = name.strip_prefix("RTMIN") {
        return real_time(first, 1, offset);
    }
    if let Some(offset) = name.strip_prefix("RTMAX") {
        return real_time(last, -1, offset);
    }
    NAMES.iter().find(|(_, known)| *known == name).map(|(number, _)| *number)
}

/// `SIGTERM` for 15; `None` for real-time signals.
pub(crate) fn name(number: i32) -> Option<String> {
    NAMES.iter().find(|(known, _)| *known == number).map(|(_, name)| format!("SIG{name}"))
}

/// Sends a signal to the process behind a pidfd; `ESRCH` once it has been waited for or is about to be.
#[doc(alias = "kill")]
pub(crate) fn send(pidfd: impl AsFd, number: i32) -> io::Result<()> {
    let signal = match Signal::from_named_raw(number) {
        Some(signal) => signal,
        None => return super::wait::send_real_time(pidfd.as_fd(), number),
    };
    Ok(pidfd_send_signal(pidfd, signal)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_found_by_name_and_number() {
        for (text, signal) in [
            ("SIGTERM", Some(15)),
            ("kill", Some(9)),
            ("15", Some(15)),
            ("RTMIN", Some(34)),
            ("SIGRTMIN+3", Some(37)),
            ("rtmax-1", Some(63)),
            ("RTMIN+99", None),
            ("RTMIN3", None),
            ("0", None),
            ("65", None),
            ("SIGNOTHING", None),
            ("", None),
        ] {
            assert_eq!(number(text), signal, "{text}");
        }
        assert_eq!(name(15).as_deref(), Some("SIGTERM"));
        assert_eq!(name(40), None);
    }
}
