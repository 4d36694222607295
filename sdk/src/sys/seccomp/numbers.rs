//! Names and numbers of system calls.
//!
//! The table is our own, since the constants of a C library are those of the headers it was made with.

use std::sync::OnceLock;

/// Whose numbers a process uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Architecture {
    X86_64,
    /// 32-bit pointers in 64-bit mode: to the kernel x86_64 with a bit in the number.
    X32,
    X86,
    Aarch64,
    Arm,
}

/// The bit in the numbers of x32.
const X32_BIT: u32 = 0x4000_0000;

/// Where the private calls of arm begin.
const ARM_PRIVATE: u32 = 0x000f_0000;

impl Architecture {
    /// That of this program.
    pub(crate) const NATIVE: Self = if cfg!(target_arch = "aarch64") { Self::Aarch64 } else { Self::X86_64 };

    /// `AUDIT_ARCH_*`, as a filter sees it.
    pub(super) fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// The first number beyond those that are known, and where the next range of numbers begins.
    pub(super) fn unknown(self) -> Vec<(u32, u32)> {
        let first = |from: u32, to: u32| {
            let numbers = table().iter().filter_map(|(_, numbers)| numbers[self as usize]);
            numbers.filter(|number| (from..to).contains(number)).max().map_or(from, |newest| newest + 1)
        };
        match self {
            Self::X86_64 => vec![(first(0, X32_BIT), X32_BIT)],
            Self::X32 => vec![(first(X32_BIT, u32::MAX), u32::MAX)],
            Self::Arm => vec![(first(0, ARM_PRIVATE), ARM_PRIVATE), (first(ARM_PRIVATE, u32::MAX), u32::MAX)],
            Self::X86 | Self::Aarch64 => vec![(first(0, u32::MAX), u32::MAX)],
        }
    }

    /// The numbers that are its own among those of its audit value.
    pub(super) fn range(self) -> (u32, u32) {
        match self {
            Self::X86_64 => (0, X32_BIT),
            Self::X32 => (X32_BIT, u32::MAX),
            Self::X86 | Self::Aarch64 | Self::Arm => (0, u32::MAX),
        }
    }
}

/// The number of a system call, if the architecture has it.
pub(crate) fn number(architecture: Architecture, name: &str) -> Option<u32> {
    let at = table().binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
    table()[at].1[architecture as usize]
}

/// One system call: its numbers in the order of [`Architecture`].
type Row = (&'static str, [Option<u32>; 5]);

fn table() -> &'static [Row] {
    static TABLE: OnceLock<Vec<Row>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let lines = include_str!("syscalls.txt").lines().filter(|line| !line.starts_with('#'));
        lines.filter_map(row).collect()
    })
}

fn row(line: &'static str) -> Option<Row> {
    let mut words = line.split(' ');
    let name = words.next()?;
    let mut numbers = [None; 5];
    for (slot, word) in numbers.iter_mut().zip(words) {
        *slot = word.parse().ok();
    }
    numbers[Architecture::X32 as usize] = numbers[Architecture::X32 as usize].map(|number| number | X32_BIT);
    Some((name, numbers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_c_library() {
        let native = |name| number(Architecture::NATIVE, name).map(i64::from);
        for (name, expected) in [
            ("read", libc::SYS_read),
            ("openat2", libc::SYS_openat2),
            ("clone3", libc::SYS_clone3),
            ("seccomp", libc::SYS_seccomp),
            ("zzz", -1),
        ] {
            assert_eq!(native(name).unwrap_or(-1), expected, "{name}");
        }
    }

    #[test]
    fn names_are_sorted_and_numbers_unique_but_for_one_alias() {
        let names: Vec<&str> = table().iter().map(|(name, _)| *name).collect();
        assert!(names.is_sorted() && names.len() > 450, "{}", names.len());
        for at in 0..5 {
            let mut numbers: Vec<u32> = table().iter().filter_map(|(_, numbers)| numbers[at]).collect();
            numbers.sort_unstable();
            let twice: Vec<u32> = numbers.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
            // arm_sync_file_range is another name of sync_file_range2 there.
            assert_eq!(twice, if at == Architecture::Arm as usize { vec![341] } else { vec![] });
        }
        assert_eq!(number(Architecture::X32, "ioctl"), Some(0x4000_0202));
        assert_eq!(number(Architecture::X86, "socketcall"), Some(102));
        assert_eq!(number(Architecture::Arm, "set_tls"), Some(983_045));
    }

    #[test]
    fn what_is_beyond_the_newest_call_is_unknown() {
        assert_eq!(Architecture::X86_64.unknown(), [(470, 0x4000_0000)]);
        assert_eq!(Architecture::X32.unknown(), [(0x4000_0224, u32::MAX)]);
        assert_eq!(Architecture::Arm.unknown(), [(470, 0xf0000), (0xf0006, u32::MAX)]);
    }
}
