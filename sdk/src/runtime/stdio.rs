//! Standard input and output of a container process.

use std::fmt;
use std::os::fd::OwnedFd;

use crate::sys::tty::WindowSize;

/// Takes the output of a process, on the supervisor thread of the host program.
pub(crate) trait Sink: Send {
    /// Takes the next bytes. The process is not held up unless the pipe (64 KiB) is full; other containers are, so it
    /// must not wait for anything.
    fn write(&mut self, bytes: &[u8]);
    /// Nothing will follow.
    fn end(&mut self) {}
}

/// Where standard input comes from.
pub(crate) enum Input {
    /// The container's `/dev/null`.
    Null,
    /// The host program's own.
    Inherit,
    /// This file or pipe.
    Fd(OwnedFd),
    /// A new terminal, which takes the place of all three streams: the two others are left out.
    Terminal {
        /// How large it is at the start.
        size: WindowSize,
        /// Takes what it shows; without one, whoever reads from [`Process::terminal`](super::Process::terminal).
        output: Option<Box<dyn Sink>>,
    },
}

/// Where an output stream goes.
pub(crate) enum Output {
    /// The container's `/dev/null`.
    Null,
    /// The host program's own.
    Inherit,
    /// This file or pipe.
    Fd(OwnedFd),
    /// A pipe that the supervisor thread drains into the sink.
    Sink(Box<dyn Sink>),
}

/// The three standard streams.
#[derive(Debug)]
pub(crate) struct Stdio {
    /// Standard input.
    pub stdin: Input,
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
}

impl Stdio {
    /// All three are `/dev/null`.
    #[cfg(test)]
    pub(crate) fn null() -> Self {
        Self { stdin: Input::Null, stdout: Output::Null, stderr: Output::Null }
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "Null",
            Self::Inherit => "Inherit",
            Self::Fd(_) => "Fd",
            Self::Terminal { .. } => "Terminal",
        })
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "Null",
            Self::Inherit => "Inherit",
            Self::Fd(_) => "Fd",
            Self::Sink(_) => "Sink",
        })
    }
}
