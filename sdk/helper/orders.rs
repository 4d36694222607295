//! What the SDK tells the supervisor of a kept container, in a file in memory: `sdk/src/runtime/keep.rs` writes it.
//!
//! Numbers of eight bytes, in the order of the constants here, then texts that end with a zero byte: the name of the log,
//! and orders of a letter and a text each; those of cgroups are in `cgroup.rs`.

use crate::kernel;

/// The size at which the log is rotated, 0 for never, and how many files are kept.
pub const LOG_SIZE: usize = 0;
pub const LOG_FILES: usize = 1;
/// Number and start time of the init.
pub const PID: usize = 2;
pub const START_TIME: usize = 3;
/// 1 if a loss of power is to be survived.
pub const DURABLE: usize = 4;
/// [`ALWAYS`], [`ON_FAILURE`] or neither; and how often at most, 0 for as often as it takes.
pub const POLICY: usize = 5;
pub const RETRIES: usize = 6;
/// Namespaces that the first child of the plan is started with.
pub const NAMESPACES: usize = 7;
/// 1 if the container has a terminal.
pub const TERMINAL: usize = 8;
/// 1 if it is removed at its end.
pub const REMOVED: usize = 9;
/// For how many milliseconds nobody may have used it before it is stopped; `u64::MAX` for ever. By which signal.
pub const IDLE: usize = 10;
pub const STOP_SIGNAL: usize = 11;
/// The numbers that the plan knows these by: three streams, user namespace, line, plan of the payload, and the helper.
pub const PLACES: usize = 12;
/// Of the health check, in milliseconds; how many failures make the container unhealthy, 0 if it has no check.
pub const CHECK_INTERVAL: usize = PLACES + 7;
pub const CHECK_TIMEOUT: usize = CHECK_INTERVAL + 1;
pub const CHECK_START_PERIOD: usize = CHECK_INTERVAL + 2;
pub const CHECK_START_INTERVAL: usize = CHECK_INTERVAL + 3;
pub const CHECK_RETRIES: usize = CHECK_INTERVAL + 4;
/// The numbers that its plan knows these by: two outputs, the container's process, line, plan of the check, and the helper.
pub const CHECK_PLACES: usize = CHECK_INTERVAL + 5;
const NUMBERS: usize = (CHECK_PLACES + 6) * 8;

pub const ALWAYS: u64 = 1;
pub const ON_FAILURE: u64 = 2;

/// `memory.events` or `memory.oom_control` of the container's cgroup.
pub const MEMORY: u8 = b'M';
/// `cgroup.procs` of a cgroup that the container's process joins.
pub const JOIN: u8 = b'J';
/// What is written to `gid_map` and `uid_map` of a process in a user namespace of its own.
pub const GROUPS: u8 = b'g';
pub const USERS: u8 = b'u';
/// What is written to `oom_score_adj`.
pub const SCORE: u8 = b'O';
/// The file that events are told in, and the members of the JSON object that every event of this container has.
pub const EVENTS: u8 = b'V';
pub const EVENT: u8 = b'E';
/// What each step of the plan of the container and of that of the payload attempts, as it stands in a JSON string.
pub const STEP: u8 = b'1';
pub const PAYLOAD_STEP: u8 = b'2';
/// The same of the plans of the health check.
pub const CHECK_STEP: u8 = b'3';
pub const CHECK_PAYLOAD_STEP: u8 = b'4';
/// The port of the container that a listener leads to: `80/tcp`, `53/udp`.
pub const PORT: u8 = b'T';
/// A file that says whether the container is paused.
pub const FROZEN: u8 = b'Z';

pub struct Orders {
    bytes: &'static [u8],
}

impl Orders {
    pub fn map(file: i32) -> Option<Self> {
        let size = kernel::size_of_file(file).filter(|size| *size > NUMBERS)?;
        let base = kernel::map_shared(file, size)?;
        // SAFETY: the mapping has this size, stays, and nobody writes to it any more.
        Some(Self { bytes: unsafe { core::slice::from_raw_parts(base, size) } })
    }

    pub fn number(&self, at: usize) -> u64 {
        let bytes = self.bytes.get(at.wrapping_mul(8)..).and_then(|bytes| bytes.first_chunk::<8>());
        bytes.map_or(0, |bytes| u64::from_ne_bytes(*bytes))
    }

    /// Without their zero bytes, which follow them.
    fn texts(&self) -> impl Iterator<Item = &'static [u8]> {
        self.bytes.get(NUMBERS..).unwrap_or_default().split(|byte| *byte == 0)
    }

    pub fn log_name(&self) -> &'static [u8] {
        self.texts().next().unwrap_or_default()
    }

    /// The texts of the orders with a letter; a zero byte follows each.
    pub fn each(&self, letter: u8) -> impl Iterator<Item = &'static [u8]> {
        self.texts().skip(1).filter_map(move |order| match order {
            [first, text @ ..] if *first == letter => Some(text),
            _ => None,
        })
    }
}
