//! Capabilities by their names: [`capabilities(7)`](https://man7.org/linux/man-pages/man7/capabilities.7.html).

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};
use crate::sys::capability::{self, CapabilitySet};

/// A part of the power of root, such as [`NET_ADMIN`](Self::NET_ADMIN); or all of it.
///
/// It parses from its name in any case, with or without `CAP_`, and prints as Docker writes it: `CAP_NET_ADMIN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability(&'static str);

impl Capability {
    /// Every one.
    pub const ALL: Self = Self("ALL");

    /// The set of it.
    pub(crate) fn set(self) -> CapabilitySet {
        if self == Self::ALL { CapabilitySet::ALL } else { CapabilitySet::named(self.0).unwrap_or_default() }
    }
}

macro_rules! capabilities {
    ($($name:ident)*) => {
        impl Capability {
            $(
                #[doc = concat!("`CAP_", stringify!($name), "`.")]
                pub const $name: Self = Self(stringify!($name));
            )*
        }
    };
}

capabilities! {
    AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER
    FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN NET_BIND_SERVICE
    NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP SETUID SYSLOG SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE
    SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG WAKE_ALARM
}

impl FromStr for Capability {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let name = text.to_ascii_uppercase();
        let name = name.strip_prefix("CAP_").unwrap_or(&name);
        if name == Self::ALL.0 {
            return Ok(Self::ALL);
        }
        capability::NAMES.iter().find(|known| **known == name).map(|known| Self(known)).ok_or_else(|| {
            let message = format!("invalid capability {text:?}: there is none of this name");
            Error::new(ErrorKind::InvalidArgument, message).with_hint("capabilities(7) lists them; ALL means every one")
        })
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ALL { f.write_str(self.0) } else { write!(f, "CAP_{}", self.0) }
    }
}

/// What a container may do, by Docker's rules: what is added wins over what is dropped, except that all but some can be
/// added, and all dropped but some.
pub(crate) fn tweak(added: &[Capability], dropped: &[Capability]) -> CapabilitySet {
    let union =
        |list: &[Capability]| list.iter().fold(CapabilitySet::NONE, |set, capability| set.with(capability.set()));
    let (all_added, all_dropped) = (added.contains(&Capability::ALL), dropped.contains(&Capability::ALL));
    match (all_added, all_dropped) {
        (true, true) => CapabilitySet::ALL,
        (true, false) => CapabilitySet::ALL.without(union(dropped)),
        (false, true) => union(added),
        (false, false) => CapabilitySet::CONTAINER.without(union(dropped)).with(union(added)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_capability_prints_as_docker_writes_it() {
        for text in ["NET_ADMIN", "net_admin", "CAP_NET_ADMIN", "cap_Net_Admin"] {
            assert_eq!(text.parse::<Capability>().unwrap(), Capability::NET_ADMIN);
        }
        assert_eq!(Capability::NET_ADMIN.to_string(), "CAP_NET_ADMIN");
        assert_eq!("all".parse::<Capability>().unwrap().to_string(), "ALL");
        let error = "CAP_EVERYTHING".parse::<Capability>().unwrap_err();
        assert_eq!(error.to_string(), "invalid capability \"CAP_EVERYTHING\": there is none of this name");
        assert_eq!(Capability::CHECKPOINT_RESTORE.set().bits(), 1 << 40);
    }

    #[test]
    fn adding_and_dropping_follow_docker() {
        use Capability as C;
        let bits = |added: &[C], dropped: &[C]| tweak(added, dropped).bits();
        assert_eq!(bits(&[], &[]), 0x8004_05fb);
        assert_eq!(bits(&[C::NET_RAW, C::MKNOD, C::AUDIT_WRITE], &[]), 0xa804_25fb, "Docker's own set");
        assert_eq!(bits(&[], &[C::ALL]), 0);
        assert_eq!(bits(&[C::CHOWN], &[C::ALL]), 1);
        assert_eq!(bits(&[C::CHOWN], &[C::CHOWN]), 0x8004_05fb);
        assert_eq!(bits(&[C::ALL], &[C::CHOWN]), u64::MAX - 1);
        assert_eq!(bits(&[], &[C::SETUID, C::SETGID]), 0x8004_053b);
    }
}
