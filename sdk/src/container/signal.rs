//! Signals by name and number.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Fault, Result};

/// A signal to a container's process.
///
/// The first process of a container gets only the signals it has a handler for, and [`KILL`](Self::KILL).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signal(i32);

/// The names that mean the same number everywhere Linux runs but on machines nobody builds any more.
const NAMES: [(&str, i32); 31] = [
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("TRAP", libc::SIGTRAP),
    ("ABRT", libc::SIGABRT),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("STKFLT", libc::SIGSTKFLT),
    ("CHLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("VTALRM", libc::SIGVTALRM),
    ("PROF", libc::SIGPROF),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("PWR", libc::SIGPWR),
    ("SYS", libc::SIGSYS),
];

/// signal(7): the highest number of the kernel, and the real-time signals that the C libraries leave to programs.
const HIGHEST: i32 = 64;
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=HIGHEST;

#[derive(Debug, thiserror::Error)]
enum SignalFault {
    #[error("invalid signal {0:?}: neither a name such as SIGTERM nor a number from 1 to {HIGHEST}")]
    Unknown(String),
}

impl Fault for SignalFault {
    fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidArgument
    }
}

impl Signal {
    /// Asks to end.
    pub const TERM: Self = Self(libc::SIGTERM);
    /// Ends, unasked.
    pub const KILL: Self = Self(libc::SIGKILL);
    /// What the terminal sends for Ctrl-C.
    pub const INT: Self = Self(libc::SIGINT);
    /// What the terminal sends for Ctrl-\\.
    pub const QUIT: Self = Self(libc::SIGQUIT);
    /// By custom: read the configuration again.
    pub const HUP: Self = Self(libc::SIGHUP);
    /// For the program to define.
    pub const USR1: Self = Self(libc::SIGUSR1);
    /// For the program to define.
    pub const USR2: Self = Self(libc::SIGUSR2);

    /// The signal of this number.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) if there is no such signal.
    pub fn new(number: i32) -> Result<Self> {
        if (1..=HIGHEST).contains(&number) {
            Ok(Self(number))
        } else {
            Err(SignalFault::Unknown(number.to_string()).into())
        }
    }

    /// Its number.
    pub fn number(self) -> i32 {
        self.0
    }

    pub(crate) fn to_rustix(self) -> Option<rustix::process::Signal> {
        rustix::process::Signal::from_named_raw(self.0)
    }
}

/// Prints `SIGTERM`; a real-time signal as `SIGRTMIN+1`, another one as its number.
impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => write!(f, "SIG{name}"),
            None if self.0 == *REAL_TIME.start() => f.write_str("SIGRTMIN"),
            None if REAL_TIME.contains(&self.0) => write!(f, "SIGRTMIN+{}", self.0 - REAL_TIME.start()),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Reads `SIGTERM`, `TERM`, `term` or `15`.
impl FromStr for Signal {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fault = || Error::from(SignalFault::Unknown(text.to_owned()));
        if let Ok(number) = text.parse::<i32>() {
            return Self::new(number).map_err(|_| fault());
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Ok(Self(*number));
        }
        let number = if let Some(rest) = name.strip_prefix("RTMIN") {
            offset(rest, '+').map(|offset| REAL_TIME.start() + offset)
        } else if let Some(rest) = name.strip_prefix("RTMAX") {
            offset(rest, '-').map(|offset| REAL_TIME.end() - offset)
        } else {
            None
        };
        number.filter(|number| REAL_TIME.contains(number)).map(Self).ok_or_else(fault)
    }
}

fn offset(text: &str, sign: char) -> Option<i32> {
    if text.is_empty() { Some(0) } else { text.strip_prefix(sign)?.parse().ok().filter(|offset| *offset >= 0) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_and_numbers_are_read() {
        for (text, number) in
            [("SIGTERM", 15), ("term", 15), ("15", 15), ("SIGRTMIN+3", 37), ("RTMAX-1", 63), ("SIGRTMIN", 34)]
        {
            assert_eq!(text.parse::<Signal>().unwrap().number(), number, "{text}");
        }
        for text in ["", "SIG", "0", "65", "-1", "SIGFOO", "RTMIN+99", "RTMIN+-1", "15 "] {
            assert_eq!(text.parse::<Signal>().unwrap_err().kind(), ErrorKind::InvalidArgument, "{text:?}");
        }
    }

    #[test]
    fn what_is_printed_reads_back() {
        for number in 1..=HIGHEST {
            let signal = Signal::new(number).unwrap();
            assert_eq!(signal.to_string().parse::<Signal>().unwrap(), signal);
        }
    }
}
