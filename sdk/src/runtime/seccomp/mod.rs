//! Which system calls a container may make: profiles, and the filter that becomes of one.
//!
//! ```text
//! default.rs  Docker's default profile
//! json.rs     profiles of the user, in Docker's format
//! profile.rs  profile + capabilities + kernel → policy
//! ```
//!
//! `sys::seccomp` turns the policy into a program for the kernel. That costs a millisecond unoptimised, so it is done once
//! for each profile and set of capabilities.

mod default;
mod json;
mod profile;

use std::sync::{Arc, Mutex, PoisonError};

use self::profile::Surroundings;
use crate::error::{ErrorKind, Fault, Result};
use crate::sys::capability::CapabilitySet;
use crate::sys::seccomp::compile;

/// Which profile a process runs under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SeccompProfile {
    /// Docker's.
    Default,
    /// None: every call reaches the kernel.
    Unconfined,
    /// The user's, in Docker's JSON format.
    Custom(Arc<str>),
}

/// What is wrong with a profile.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProfileFault {
    #[error("use the seccomp profile: {0}")]
    Format(String),
    #[error("use the seccomp profile: it says both {0:?} and {1:?}")]
    Both(&'static str, &'static str),
    #[error("use the seccomp profile: unknown {0} {1:?}")]
    Word(&'static str, String),
    #[error("use the seccomp profile: an errno is 0 to 4095, not {0}")]
    Errno(u32),
    #[error("use the seccomp profile: a system call has arguments 0 to 5, not {0}")]
    Index(u8),
    #[error("use the seccomp profile: it asks for {0}, which plywood does not have")]
    Unsupported(&'static str),
    #[error("use the seccomp profile: it makes {0} instructions, and the kernel takes 4096")]
    Long(usize),
}

impl Fault for ProfileFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unsupported(_) => ErrorKind::Unsupported,
            Self::Long(_) => ErrorKind::LimitExceeded,
            _ => ErrorKind::InvalidArgument,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Format(_) => Some("profiles have the JSON format of Docker's `--security-opt seccomp=`".to_owned()),
            _ => None,
        }
    }
}

/// A filter ready to be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filter {
    /// An array of `struct sock_filter`.
    pub program: Arc<[u8]>,
    /// Of seccomp(2).
    pub flags: u32,
}

impl SeccompProfile {
    /// Checks a profile of the user.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) or [`Unsupported`](ErrorKind::Unsupported), with what is wrong.
    pub(crate) fn custom(text: impl Into<Arc<str>>) -> Result<Self> {
        let profile = Self::Custom(text.into());
        profile.filter(CapabilitySet::CONTAINER)?;
        Ok(profile)
    }

    /// The filter for a container with these capabilities; `None` if there is none.
    pub(super) fn filter(&self, capabilities: CapabilitySet) -> Result<Option<Filter>> {
        type Compiled = (SeccompProfile, CapabilitySet, Option<Filter>);
        static COMPILED: Mutex<Vec<Compiled>> = Mutex::new(Vec::new());
        if *self == Self::Unconfined {
            return Ok(None);
        }
        {
            // An entry is added as a whole: a panic elsewhere leaves none half-written.
            let compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
            let same = |(profile, set, _): &&Compiled| profile == self && *set == capabilities;
            if let Some((_, _, filter)) = compiled.iter().find(same) {
                return Ok(filter.clone());
            }
        }
        let filter = self.compile(capabilities)?;
        let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
        if compiled.len() >= MOST_COMPILED {
            compiled.remove(0);
        }
        compiled.push((self.clone(), capabilities, filter.clone()));
        Ok(filter)
    }

    fn compile(&self, capabilities: CapabilitySet) -> std::result::Result<Option<Filter>, ProfileFault> {
        let profile = match self {
            Self::Unconfined => None,
            Self::Default => Some(default::profile()),
            Self::Custom(text) => json::parse(text)?,
        };
        let Some(profile) = profile else { return Ok(None) };
        let policy = profile.policy(Surroundings { capabilities, kernel: running_kernel() });
        let program = compile(&policy).map_err(|too_long| ProfileFault::Long(too_long.0))?;
        Ok(Some(Filter { program: program.into(), flags: profile.flags }))
    }
}

/// How many filters are kept; a program that makes up profiles all the time shall not grow.
const MOST_COMPILED: usize = 16;

fn running_kernel() -> (u32, u32) {
    let name = rustix::system::uname();
    // One that does not say is the oldest that plywood runs on.
    name.release().to_str().ok().and_then(kernel_version).unwrap_or((6, 1))
}

/// `6.1.0-17-amd64`: the first two numbers.
fn kernel_version(text: &str) -> Option<(u32, u32)> {
    let (major, rest) = text.split_once('.')?;
    let minor = rest.split(|char: char| !char.is_ascii_digit()).next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests;
