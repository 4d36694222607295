//! Signals by name and number.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Fault, Result};
use crate::sys::signal as names;

/// A signal to a container's process.
///
/// Without an [init](super::Definition::init) it gets only those it has a handler for, and [`KILL`](Self::KILL).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signal(i32);

/// The first real-time signal that the C libraries leave to programs.
const FIRST_REAL_TIME: i32 = names::REAL_TIME.0 + 2;

#[derive(Debug, thiserror::Error)]
enum SignalFault {
    #[error("invalid signal {text:?}: neither a name such as SIGTERM nor a number from 1 to {}", names::REAL_TIME.1)]
    Unknown { text: String },
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
        number.to_string().parse()
    }

    /// Its number.
    pub fn number(self) -> i32 {
        self.0
    }
}

/// Prints `SIGTERM`; a real-time signal as `SIGRTMIN+1`, another one as its number.
impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match names::name(self.0) {
            Some(name) => f.write_str(&name),
            None if self.0 == FIRST_REAL_TIME => f.write_str("SIGRTMIN"),
            None if self.0 > FIRST_REAL_TIME => write!(f, "SIGRTMIN+{}", self.0 - FIRST_REAL_TIME),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Reads `SIGTERM`, `TERM`, `term` or `15`.
impl FromStr for Signal {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        names::number(text).map(Self).ok_or_else(|| SignalFault::Unknown { text: text.to_owned() }.into())
    }
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
        for number in 1..=names::REAL_TIME.1 {
            let signal = Signal::new(number).unwrap();
            assert_eq!(signal.to_string().parse::<Signal>().unwrap(), signal);
        }
    }
}
