//! What a profile says, and what becomes of it for one container: a policy.

use crate::sys::capability::CapabilitySet;
use crate::sys::seccomp::{Architecture, Condition, Policy, Rule, Table, Verdict, number};

/// A profile, before capabilities, architecture and kernel are known.
#[derive(Debug, Clone)]
pub(super) struct Profile {
    /// The calls that no group names.
    pub default: Verdict,
    /// Whose calls it is about; the process ends at those of all others.
    pub architectures: Vec<Architecture>,
    /// Of seccomp(2).
    pub flags: u32,
    pub groups: Vec<Group>,
}

/// Some calls that are answered alike.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub names: Vec<String>,
    pub verdict: Verdict,
    /// All of which must hold.
    pub conditions: Vec<Condition>,
    /// It counts only where all of this is so.
    pub includes: Needs,
    /// It does not count where any of this is so.
    pub excludes: Needs,
}

/// Where a group counts.
#[derive(Debug, Clone, Default)]
pub(super) struct Needs {
    /// With or without `CAP_`.
    pub capabilities: Vec<String>,
    /// The native one, in the words of Go.
    pub architectures: Vec<String>,
    pub minimum_kernel: Option<(u32, u32)>,
}

/// What a profile is evaluated against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surroundings {
    /// The bounding set of the container.
    pub capabilities: CapabilitySet,
    pub kernel: (u32, u32),
}

impl Profile {
    /// The native architecture and those whose programs the kernel runs beside, as Docker has them.
    pub(super) fn native_family() -> Vec<Architecture> {
        match Architecture::NATIVE {
            Architecture::Aarch64 => vec![Architecture::Aarch64, Architecture::Arm],
            _ => vec![Architecture::X86_64, Architecture::X86, Architecture::X32],
        }
    }

    /// What holds for a container.
    pub(super) fn policy(&self, surroundings: Surroundings) -> Policy {
        // As runc does: a number that is newer than this program is one that a library tries and can do without.
        let unknown = if self.default.lets_pass() { self.default } else { Verdict::Errno(libc::ENOSYS as u16) };
        let counts = |group: &&Group| {
            group.verdict != self.default && !group.excludes.any(surroundings) && group.includes.all(surroundings)
        };
        let groups: Vec<&Group> = self.groups.iter().filter(counts).collect();
        let tables = self.architectures.iter().map(|architecture| table(*architecture, &groups)).collect();
        Policy { default: self.default, unknown, tables, foreign: Verdict::KillProcess }
    }
}

fn table(architecture: Architecture, groups: &[&Group]) -> Table {
    let mut rules = std::collections::BTreeMap::<u32, Vec<Rule>>::new();
    for group in groups {
        // Names that this architecture, or this program, does not know are passed over, as in Docker.
        for number in group.names.iter().filter_map(|name| number(architecture, name)) {
            rules.entry(number).or_default().extend(group.rules());
        }
    }
    Table { architecture, rules }
}

impl Group {
    /// Allows the calls of a list of names.
    pub(super) fn allow(names: &str) -> Self {
        Self {
            names: names.split_ascii_whitespace().map(str::to_owned).collect(),
            verdict: Verdict::Allow,
            conditions: Vec::new(),
            includes: Needs::default(),
            excludes: Needs::default(),
        }
    }

    fn rules(&self) -> Vec<Rule> {
        let rule = |conditions| Rule { conditions, verdict: self.verdict };
        let mut arguments: Vec<u8> = self.conditions.iter().map(|condition| condition.argument).collect();
        arguments.sort_unstable();
        // As runc does: conditions for the same argument are alternatives.
        match arguments.windows(2).any(|pair| pair[0] == pair[1]) {
            true => self.conditions.iter().map(|condition| rule(vec![*condition])).collect(),
            false => vec![rule(self.conditions.clone())],
        }
    }
}

impl Needs {
    fn all(&self, surroundings: Surroundings) -> bool {
        self.capabilities.iter().all(|name| has(surroundings, name))
            && (self.architectures.is_empty() || self.is_native())
            && self.minimum_kernel.is_none_or(|minimum| surroundings.kernel >= minimum)
    }

    fn any(&self, surroundings: Surroundings) -> bool {
        self.capabilities.iter().any(|name| has(surroundings, name))
            || self.is_native()
            || self.minimum_kernel.is_some_and(|minimum| surroundings.kernel >= minimum)
    }

    fn is_native(&self) -> bool {
        let native = if Architecture::NATIVE == Architecture::Aarch64 { "arm64" } else { "amd64" };
        self.architectures.iter().any(|name| name == native)
    }
}

fn has(surroundings: Surroundings, name: &str) -> bool {
    CapabilitySet::named(name).is_some_and(|set| set.within(surroundings.capabilities) == set)
}
