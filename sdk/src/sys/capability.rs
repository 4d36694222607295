//! Capability sets: [`capabilities(7)`](https://man7.org/linux/man-pages/man7/capabilities.7.html).

use std::sync::OnceLock;
use std::{fmt, fs, io};

use rustix::thread::capabilities;

/// A set of capabilities, one bit each.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
#[doc(alias = "capset")]
pub(crate) struct CapabilitySet(u64);

/// Names in the order of their numbers, from `linux/capability.h` of 6.18.
pub(crate) const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

impl CapabilitySet {
    /// None.
    pub(crate) const NONE: Self = Self(0);
    /// Every one that is known, and those yet to come.
    pub(crate) const ALL: Self = Self(u64::MAX);
    /// What root in a container may do by default: Docker's set without `MKNOD`, `NET_RAW` and `AUDIT_WRITE`.
    pub(crate) const CONTAINER: Self = Self(0x8004_05fb);
    /// Docker's default.
    #[cfg(test)]
    pub(crate) const DOCKER: Self = Self(0xa804_25fb);

    /// One bit for each capability, at the place of its number.
    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    /// The capability of a name, with or without `CAP_`, in any case.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let name = name.to_ascii_uppercase();
        let name = name.strip_prefix("CAP_").unwrap_or(&name);
        NAMES.iter().position(|known| *known == name).map(|number| Self(1 << number))
    }

    /// Those with this number or a lower one.
    pub(crate) const fn up_to(last: u32) -> Self {
        Self(u64::MAX >> (63 - if last > 63 { 63 } else { last }))
    }

    /// Those in either.
    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that are not in `other`.
    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Those in both.
    pub(crate) const fn within(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether capability `number` is in it.
    pub(crate) const fn has(self, number: u32) -> bool {
        self.0 >> number & 1 == 1
    }
}

impl fmt::Debug for CapabilitySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(NAMES.iter().enumerate().filter(|(i, _)| self.0 >> i & 1 == 1).map(|(_, n)| n)).finish()
    }
}

/// What the calling thread may do now.
pub(crate) fn effective() -> io::Result<CapabilitySet> {
    Ok(CapabilitySet(capabilities(None)?.effective.bits()))
}

/// The highest number that this kernel knows.
pub(crate) fn last() -> u32 {
    static LAST: OnceLock<u32> = OnceLock::new();
    *LAST.get_or_init(|| {
        let text = fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap_or_default();
        // A kernel that does not say is one of those we know.
        text.trim().parse().unwrap_or(NAMES.len() as u32 - 1)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_default_is_dockers_without_mknod_net_raw_and_audit_write() {
        let dropped = ["MKNOD", "cap_net_raw", "CAP_AUDIT_WRITE"].map(|name| CapabilitySet::named(name).unwrap());
        let rest = dropped.into_iter().fold(CapabilitySet::DOCKER, CapabilitySet::without);
        assert_eq!(rest, CapabilitySet::CONTAINER);
        assert_eq!(rest.bits().count_ones(), 11);
        assert_eq!(CapabilitySet::named("SYS_EVERYTHING"), None);
    }
}
