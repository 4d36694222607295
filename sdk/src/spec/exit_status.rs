//! How a container's process ended.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A shell reports signal n as this plus n.
const SIGNAL_BASE: i32 = 128;

/// The exit code of a process, the signal that ended it, and whether memory ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[must_use]
pub struct ExitStatus {
    code: i32,
    signal: Option<i32>,
    oom_killed: bool,
}

impl ExitStatus {
    /// It exited by itself.
    pub const fn exited(code: i32) -> Self {
        Self { code, signal: None, oom_killed: false }
    }

    /// A signal ended it; the code is 128 and the number of the signal.
    pub const fn signaled(signal: i32) -> Self {
        Self { code: SIGNAL_BASE + signal, signal: Some(signal), oom_killed: false }
    }

    /// The same, after the kernel killed it because memory ran out.
    pub const fn out_of_memory(mut self) -> Self {
        self.oom_killed = true;
        self
    }

    /// The exit code, 0 to 255; 128 + n if signal n ended the process.
    pub const fn code(&self) -> i32 {
        self.code
    }

    /// The signal that ended the process.
    pub const fn signal(&self) -> Option<i32> {
        self.signal
    }

    /// Whether the kernel killed a process of the container because memory ran out.
    #[doc(alias = "OOMKilled")]
    pub const fn is_oom_killed(&self) -> bool {
        self.oom_killed
    }

    /// Whether the exit code is 0.
    #[must_use]
    pub const fn success(&self) -> bool {
        self.code == 0
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.signal {
            Some(signal) => match signal_name(signal) {
                Some(name) => write!(f, "killed by {name}")?,
                None => write!(f, "killed by signal {signal}")?,
            },
            None => write!(f, "exit code {}", self.code)?,
        }
        match self.oom_killed {
            true => f.write_str(" (out of memory)"),
            false => Ok(()),
        }
    }
}

/// The names of the signals that end processes in practice.
fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGXFSZ => "SIGXFSZ",
        libc::SIGSYS => "SIGSYS",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_reads_as_a_clause() {
        assert_eq!(ExitStatus::exited(3).to_string(), "exit code 3");
        assert_eq!(ExitStatus::signaled(9).out_of_memory().to_string(), "killed by SIGKILL (out of memory)");
        assert_eq!(ExitStatus::signaled(40).to_string(), "killed by signal 40");
        assert_eq!(ExitStatus::signaled(15).code(), 143);
        assert!(ExitStatus::exited(0).success());
        assert!(!ExitStatus::signaled(15).success());
    }
}
