//! What is done to a process from outside, once it no longer shares memory with this program.

use std::fs;

use super::bundle::{CapabilitySets, ProcessSpec};
use crate::error::{Attempt, ErrorKind, Fault, Result};
use crate::sys::capability::{self, CapabilitySet};
use crate::sys::proc;
use crate::sys::wait::is_ending;

#[derive(Debug, thiserror::Error)]
enum OutsideFault {
    #[error("isolate the container: its process has {name} {found} instead of {expected}")]
    Loose { name: &'static str, found: String, expected: String },
}

impl Fault for OutsideFault {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Unsupported
    }

    fn hint(&self) -> Option<String> {
        Some("this kernel does not do what it is told; nothing was started".to_owned())
    }
}

/// Looks whether the kernel has restricted a process as it was told, before the payload's first instruction.
pub(super) fn verify(pid: u32, spec: &ProcessSpec) -> Result<()> {
    let path = format!("/proc/{pid}/status");
    let status = proc::read(&path).attempt(|| format!("read {path} of the container's process"))?;
    // One that was killed before it could restrict itself never becomes the payload.
    check(&status, spec).or_else(|loose| if is_ending(pid) { Ok(()) } else { Err(loose.into()) })
}

fn value<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"))
}

type Checked = std::result::Result<(), OutsideFault>;

fn loose(status: &str, name: &'static str, expected: String) -> Checked {
    let found = value(status, name).unwrap_or("nothing").to_owned();
    Err(OutsideFault::Loose { name, found, expected })
}

fn check(status: &str, spec: &ProcessSpec) -> Checked {
    if spec.no_new_privileges && value(status, "NoNewPrivs") != Some("1") {
        return loose(status, "NoNewPrivs", "1".to_owned());
    }
    let is_filtered = !matches!(spec.seccomp.filter(spec.capabilities), Ok(None));
    // 3: its filter is killing it.
    if is_filtered && !matches!(value(status, "Seccomp"), Some("2" | "3")) {
        return loose(status, "Seccomp", "2".to_owned());
    }
    let sets = spec.capability_sets.unwrap_or(CapabilitySets::effective(CapabilitySet::NONE));
    // Root has all that is in its bounding set once it has executed a program.
    let effective = if spec.user.uid == 0 { most(spec) } else { sets.effective };
    [("CapBnd", most(spec)), ("CapInh", sets.inheritable), ("CapEff", effective), ("CapAmb", sets.ambient)]
        .into_iter()
        .try_for_each(|(name, most)| check_set(status, name, most))
}

/// Fewer than asked for are no danger: the host program may lack some itself.
fn most(spec: &ProcessSpec) -> CapabilitySet {
    spec.capabilities.within(CapabilitySet::up_to(capability::last()))
}

fn check_set(status: &str, name: &'static str, most: CapabilitySet) -> Checked {
    let found = value(status, name).and_then(|text| u64::from_str_radix(text, 16).ok());
    match found.is_none_or(|found| found & !most.bits() != 0) {
        true => loose(status, name, format!("{:016x}", most.bits())),
        false => Ok(()),
    }
}

/// Sets how readily the kernel kills a process. Not from inside: it would count for all that share its memory.
pub(super) fn set_oom_score(pid: u32, spec: &ProcessSpec) -> Result<()> {
    let Some(score) = spec.oom_score_adj else { return Ok(()) };
    fs::write(format!("/proc/{pid}/oom_score_adj"), score.to_string())
        .attempt(|| format!("set the OOM score of the container to {score}"))
        .map_err(|error| error.with_hint("less than that of this program takes CAP_SYS_RESOURCE"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::error::Error;

    const STATUS: &str = "Name:\tx\nCapInh:\t0000000000000000\nCapPrm:\t00000000800405fb\nCapEff:\t00000000800405fb\n\
        CapBnd:\t00000000800405fb\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n";

    #[test]
    fn r29_a_restriction_that_is_missing_is_an_error() {
        let spec = ProcessSpec::new(["true"]);
        check(STATUS, &spec).unwrap();
        for (from, to, name) in [
            ("NoNewPrivs:\t1", "NoNewPrivs:\t0", "NoNewPrivs"),
            ("Seccomp:\t2", "Seccomp:\t0", "Seccomp"),
            ("Seccomp:\t2\n", "", "Seccomp"),
            ("CapInh:\t0000000000000000", "CapInh:\t0000000000000001", "CapInh"),
            ("CapBnd:\t00000000800405fb", "CapBnd:\t00000000a80425fb", "CapBnd"),
            ("CapEff:\t00000000800405fb", "CapEff:\t000001ffffffffff", "CapEff"),
        ] {
            let error = Error::from(check(&STATUS.replace(from, to), &spec).unwrap_err());
            assert!(error.to_string().contains(name), "{error}");
            assert_eq!(error.kind(), ErrorKind::Unsupported);
        }
        let mut user = ProcessSpec::new(["true"]);
        user.user.uid = 1000;
        assert!(check(STATUS, &user).unwrap_err().to_string().contains("CapEff"));
    }
}
