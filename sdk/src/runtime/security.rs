//! What a container may not see, and what its processes may not do.

use crate::sys::capability::{self, CapabilitySet};
use crate::sys::plan::{ANY, Word};
use crate::sys::seccomp::{INSTRUCTION_SIZE, SET_MODE_FILTER};

use super::bundle::{CapabilitySets, Limit, ProcessSpec};
use super::script::Script;
use super::users::Users;
use crate::error::{Attempt, Result};

/// Most open files a process may ask for without raising its own limit, as Podman has it.
const OPEN_FILES: u64 = 1_048_576;

/// `_LINUX_CAPABILITY_VERSION_3`.
const CAPABILITY_VERSION: u32 = 0x2008_0522;

const KEYCTL_JOIN_SESSION_KEYRING: i32 = 1;

/// `PR_CAP_AMBIENT`, and its commands that add one and clear all.
const AMBIENT: i32 = 47;
const AMBIENT_RAISE: i32 = 2;
const AMBIENT_CLEAR_ALL: i32 = 4;

/// Gives up what the process shall not have, becomes its user, and gives up the rest.
pub(super) fn restrict(script: &mut Script, spec: &ProcessSpec, users: Users<'_>) -> Result<()> {
    limits(script, spec);
    bounding(script, spec.capabilities);
    // As root: a user's keys are few (kernel.keys.maxkeys), and the filter forbids the call.
    if spec.keyring {
        keyring(script);
    }
    if !spec.no_new_privileges {
        // Takes CAP_SYS_ADMIN then, which is given up below.
        load(script, spec)?;
    }
    if spec.capability_sets.is_some() {
        // Those of root are lost with the user otherwise.
        script.step("keep capabilities");
        script.plan.call(libc::SYS_prctl, &[libc::PR_SET_KEEPCAPS.into(), 1.into()]);
    }
    user(script, spec, users);
    let allowed = match users.are_mapped() {
        true => CapabilitySet::ALL,
        false => capability::effective().attempt(|| "read the capabilities of this process")?,
    };
    let wanted = match (spec.capability_sets, spec.user.uid) {
        (Some(sets), _) => sets,
        (None, 0) => CapabilitySets::effective(spec.capabilities),
        (None, _) => CapabilitySets::effective(CapabilitySet::NONE),
    };
    set_capabilities(script, wanted, allowed);
    script.step("end with the host program");
    let signal = if spec.ends_with_program { libc::SIGKILL } else { 0 };
    script.plan.call(libc::SYS_prctl, &[libc::PR_SET_PDEATHSIG.into(), signal.into()]);
    if spec.no_new_privileges {
        script.step("forbid new privileges");
        let zero = 0.into();
        script.plan.call(libc::SYS_prctl, &[libc::PR_SET_NO_NEW_PRIVS.into(), 1.into(), zero, zero, zero]);
    }
    Ok(())
}

/// Filters the system calls of the process: the last of all, so that few of ours have to be allowed. The helper is
/// filtered as well, since the payload could trace it.
pub(super) fn confine(script: &mut Script, spec: &ProcessSpec) -> Result<()> {
    if spec.no_new_privileges { load(script, spec) } else { Ok(()) }
}

fn load(script: &mut Script, spec: &ProcessSpec) -> Result<()> {
    // What is asked of the whole container, as in Docker: another user than root can still become root.
    let Some(filter) = spec.seccomp.filter(spec.capabilities)? else { return Ok(()) };
    script.step("load the seccomp profile").hint =
        Some("this kernel, or a filter around this program, forbids filters");
    let program = script.plan.bytes(&filter.program);
    // struct sock_fprog: a length of 16 bits, on a little-endian machine at the beginning of a word, and an address.
    let length = (filter.program.len() / INSTRUCTION_SIZE) as u64;
    let description = script.plan.structure(&[Word::Number(length), Word::Address(program)]);
    let arguments = [SET_MODE_FILTER.into(), filter.flags.into(), description.into()];
    script.plan.call(libc::SYS_seccomp, &arguments);
    Ok(())
}

fn limits(script: &mut Script, spec: &ProcessSpec) {
    let own = &spec.limits;
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let hard = files.maximum.unwrap_or(u64::MAX);
    // The C library declares the numbers as unsigned here and as signed there.
    #[allow(clippy::unnecessary_cast)]
    let (open_files, core) = (libc::RLIMIT_NOFILE as u32, libc::RLIMIT_CORE as u32);
    let defaults = [
        Limit { name: "nofile", resource: open_files, soft: hard.min(OPEN_FILES), hard },
        Limit { name: "core", resource: core, soft: 0, hard: 0 },
    ];
    let is_own = |limit: &&Limit| own.iter().any(|own| own.resource == limit.resource);
    let defaults = defaults.iter().filter(|limit| spec.default_limits && !is_own(limit));
    for limit in defaults.chain(own) {
        script.step(format!("set the limit {} of the process", limit.name)).hint =
            Some("no more than the hard limit of this program can be given without CAP_SYS_RESOURCE");
        let words = script.plan.words(&[limit.soft, limit.hard]);
        script.plan.call(libc::SYS_prlimit64, &[0.into(), limit.resource.into(), words.into(), 0.into()]);
    }
}

fn bounding(script: &mut Script, kept: CapabilitySet) {
    script.step("drop capabilities");
    for number in (0..=capability::last()).filter(|number| !kept.has(*number)) {
        script.plan.call(libc::SYS_prctl, &[libc::PR_CAPBSET_DROP.into(), number.into()]);
    }
}

fn user(script: &mut Script, spec: &ProcessSpec, users: Users<'_>) {
    let user = &spec.user;
    let hint = match users {
        Users::Host => None,
        Users::One | Users::Below { .. } => {
            Some("in a container of an ordinary user without subordinate ids one user and one group exist")
        }
        Users::Many(_) => Some("the subordinate ids of this user (/etc/subuid, /etc/subgid) do not reach that far"),
        Users::Shifted(_) | Users::Joined => Some("the ids of the container's user namespace do not reach that far"),
    };
    if users.have_groups() {
        let own = spec.group_is_supplementary.then_some(user.gid);
        let others = user.groups.iter().copied().filter(|group| Some(*group) != own);
        let groups: Vec<u32> = own.into_iter().chain(others).collect();
        script.step("set the groups of the process").hint = hint;
        let (count, groups) = (groups.len() as u64, script.plan.halves(&groups));
        script.plan.call(libc::SYS_setgroups, &[count.into(), groups.into()]);
    }
    script.step(format!("become group {} of the container", user.gid)).hint = hint;
    let gid = user.gid.into();
    script.plan.call(libc::SYS_setresgid, &[gid, gid, gid]);
    script.step(format!("become user {} of the container", user.uid)).hint = hint;
    let uid = user.uid.into();
    script.plan.call(libc::SYS_setresuid, &[uid, uid, uid]);
}

/// Leaves the keys of the host program behind.
fn keyring(script: &mut Script) {
    script.step("create the session keyring").hint = Some("raise kernel.keys.maxkeys");
    let arguments = [KEYCTL_JOIN_SESSION_KEYRING.into(), 0.into()];
    // A kernel without keys has none to leave behind; a filter around us that forbids the call hides them as well.
    script.attempt(libc::SYS_keyctl, &arguments, &[libc::ENOSYS, libc::EPERM]);
}

/// Sets all but the bounding set; of what this process does not have itself, nothing.
pub(super) fn set_capabilities(script: &mut Script, sets: CapabilitySets, allowed: CapabilitySet) {
    script.step("set the capabilities of the process");
    let header = script.plan.halves(&[CAPABILITY_VERSION, 0]);
    let data = [sets.effective, sets.permitted, sets.inheritable].map(|set| set.within(allowed).bits());
    // Twice 32 bits of each.
    let halves = [0, 32].into_iter().flat_map(|shift| data.map(|bits| (bits >> shift) as u32));
    let data = script.plan.halves(&halves.collect::<Vec<_>>());
    script.plan.call(libc::SYS_capset, &[header.into(), data.into()]);
    let (ambient, zero) = (AMBIENT.into(), 0.into());
    script.attempt(libc::SYS_prctl, &[ambient, AMBIENT_CLEAR_ALL.into(), zero, zero, zero], &[ANY]);
    let raised = sets.ambient.within(sets.permitted).within(sets.inheritable).within(allowed);
    for number in (0..=capability::last()).filter(|number| raised.has(*number)) {
        script.plan.call(libc::SYS_prctl, &[ambient, AMBIENT_RAISE.into(), number.into(), zero, zero]);
    }
}
