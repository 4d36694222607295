//! Filters for system calls: [`seccomp(2)`](https://man7.org/linux/man-pages/man2/seccomp.2.html).
//!
//! A [`Policy`] says what each call of each architecture is answered; [`compile`] makes a program for the kernel of it.
//! Loading it into a child is an operation of a plan.
//!
//! ```text
//! numbers.rs  names of system calls → numbers, per architecture (syscalls.txt)
//! tree.rs     policy → instructions
//! ```

mod numbers;
mod tree;

pub(crate) use numbers::{Architecture, number};
pub(crate) use tree::compile;

/// `SECCOMP_SET_MODE_FILTER`.
pub(crate) const SET_MODE_FILTER: u32 = 1;
/// `SECCOMP_FILTER_FLAG_LOG`: what is not allowed goes to the audit log.
pub(crate) const FLAG_LOG: u32 = 1 << 1;
/// `SECCOMP_FILTER_FLAG_SPEC_ALLOW`: no mitigation against speculative store bypass.
pub(crate) const FLAG_SPEC_ALLOW: u32 = 1 << 2;

/// Size of a `struct sock_filter`, in bytes.
pub(crate) const INSTRUCTION_SIZE: usize = 8;

/// What a call is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Verdict {
    /// It is executed.
    Allow,
    /// It is executed, and the audit log says so.
    Log,
    /// It fails with this errno.
    Errno(u16),
    /// The thread gets `SIGSYS`.
    Trap,
    /// A tracer decides; without one it fails with `ENOSYS`.
    Trace(u16),
    /// The thread ends.
    KillThread,
    /// The process ends.
    KillProcess,
}

impl Verdict {
    /// Whether the call is executed.
    pub(crate) fn lets_pass(self) -> bool {
        matches!(self, Self::Allow | Self::Log)
    }

    /// `SECCOMP_RET_*`, with its data.
    fn code(self) -> u32 {
        match self {
            Self::KillProcess => 0x8000_0000,
            Self::KillThread => 0,
            Self::Trap => 0x0003_0000,
            Self::Errno(errno) => 0x0005_0000 | u32::from(errno),
            Self::Trace(message) => 0x7ff0_0000 | u32::from(message),
            Self::Log => 0x7ffc_0000,
            Self::Allow => 0x7fff_0000,
        }
    }
}

/// How an argument is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Comparison {
    NotEqual,
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
    /// Equal after this mask.
    Masked(u64),
}

/// How much of an argument is compared: all of its register, or what a call that takes an `int` looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Width {
    Whole,
    LowHalf,
}

/// What holds for one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Condition {
    /// 0 to 5.
    pub argument: u8,
    pub comparison: Comparison,
    pub value: u64,
    pub width: Width,
}

/// One answer; it counts when all conditions hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Rule {
    pub conditions: Vec<Condition>,
    pub verdict: Verdict,
}

/// What the calls of one architecture are answered.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub architecture: Architecture,
    /// By number. A rule without conditions comes before the others; of several that hold the first counts.
    pub rules: std::collections::BTreeMap<u32, Vec<Rule>>,
}

/// What a filter shall do.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    /// The calls without a rule that holds.
    pub default: Verdict,
    /// The calls with a number that nobody knew when this was written.
    pub unknown: Verdict,
    pub tables: Vec<Table>,
    /// The calls of all other architectures.
    pub foreign: Verdict,
}

/// The program does not fit into what the kernel takes: 4096 instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong(pub usize);

#[cfg(all(test, target_arch = "x86_64"))]
pub(crate) mod probe;
#[cfg(test)]
pub(crate) mod tests;
