//! What one process may use: [`setrlimit(2)`](https://man7.org/linux/man-pages/man2/setrlimit.2.html).

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};

/// What a limit is about. Parses from Docker's name, such as `nofile`, and prints as it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Resource {
    /// Seconds of CPU time: `cpu`.
    CpuTime,
    /// Bytes of a file: `fsize`.
    FileSize,
    /// Bytes of data: `data`.
    Data,
    /// Bytes of a stack: `stack`.
    Stack,
    /// Bytes of a core dump: `core`.
    Core,
    /// Bytes in memory; without effect today: `rss`.
    ResidentSet,
    /// Processes of the user: `nproc`.
    Processes,
    /// Open files, and one more: `nofile`.
    OpenFiles,
    /// Bytes that are locked into memory: `memlock`.
    LockedMemory,
    /// Bytes of address space: `as`.
    AddressSpace,
    /// File locks; without effect today: `locks`.
    Locks,
    /// Signals that wait: `sigpending`.
    PendingSignals,
    /// Bytes in POSIX message queues: `msgqueue`.
    MessageQueues,
    /// 20 minus the lowest nice value: `nice`.
    Nice,
    /// The highest real-time priority: `rtprio`.
    RealtimePriority,
    /// Microseconds of real-time CPU without a blocking call: `rttime`.
    RealtimeTime,
}

/// In the order of their numbers, which x86 and arm share.
const ALL: [(Resource, &str); 16] = [
    (Resource::CpuTime, "cpu"),
    (Resource::FileSize, "fsize"),
    (Resource::Data, "data"),
    (Resource::Stack, "stack"),
    (Resource::Core, "core"),
    (Resource::ResidentSet, "rss"),
    (Resource::Processes, "nproc"),
    (Resource::OpenFiles, "nofile"),
    (Resource::LockedMemory, "memlock"),
    (Resource::AddressSpace, "as"),
    (Resource::Locks, "locks"),
    (Resource::PendingSignals, "sigpending"),
    (Resource::MessageQueues, "msgqueue"),
    (Resource::Nice, "nice"),
    (Resource::RealtimePriority, "rtprio"),
    (Resource::RealtimeTime, "rttime"),
];

impl Resource {
    /// No limit.
    pub const UNLIMITED: u64 = u64::MAX;

    /// `RLIMIT_*`.
    pub(crate) fn number(self) -> u32 {
        self as u32
    }

    pub(crate) fn name(self) -> &'static str {
        ALL[self as usize].1
    }
}

impl FromStr for Resource {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        ALL.iter().find(|(_, name)| *name == text).map(|(resource, _)| *resource).ok_or_else(|| {
            let names: Vec<&str> = ALL.iter().map(|(_, name)| *name).collect();
            let message = format!("invalid limit {text:?}: there is no resource of this name");
            Error::new(ErrorKind::InvalidArgument, message).with_hint(format_args!("there is {}", names.join(", ")))
        })
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    #[allow(clippy::unnecessary_cast)]
    fn numbers_are_those_of_the_kernel() {
        for (name, number) in [
            ("cpu", libc::RLIMIT_CPU as u32),
            ("nproc", libc::RLIMIT_NPROC as u32),
            ("nofile", libc::RLIMIT_NOFILE as u32),
            ("as", libc::RLIMIT_AS as u32),
            ("msgqueue", libc::RLIMIT_MSGQUEUE as u32),
            ("rttime", libc::RLIMIT_RTTIME as u32),
        ] {
            let resource: Resource = name.parse().unwrap();
            assert_eq!((resource.number(), resource.to_string().as_str()), (number, name));
        }
        assert_eq!("files".parse::<Resource>().unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
}
