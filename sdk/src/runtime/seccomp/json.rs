//! Profiles in Docker's format: the OCI's, with conditions on capabilities, architecture and kernel.

use serde::Deserialize;

use super::ProfileFault;
use super::profile::{Group, Needs, Profile};
use crate::sys::seccomp::{Architecture, Comparison, Condition, FLAG_LOG, FLAG_SPEC_ALLOW, Verdict, Width};

/// `MAX_ERRNO` of the kernel.
const LARGEST_ERRNO: u32 = 4095;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(default)]
    default_action: Option<String>,
    default_errno_ret: Option<u32>,
    #[serde(default)]
    arch_map: Option<Vec<Family>>,
    #[serde(default)]
    architectures: Option<Vec<String>>,
    #[serde(default)]
    flags: Option<Vec<String>>,
    #[serde(default)]
    listener_path: String,
    #[serde(default)]
    syscalls: Option<Vec<Calls>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Family {
    architecture: String,
    sub_architectures: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Calls {
    #[serde(default)]
    name: String,
    #[serde(default)]
    names: Option<Vec<String>>,
    action: String,
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<Argument>>,
    #[serde(default)]
    includes: Option<Filter>,
    #[serde(default)]
    excludes: Option<Filter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    index: u8,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Filter {
    #[serde(default)]
    caps: Option<Vec<String>>,
    #[serde(default)]
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

/// Reads a profile. `None` if it neither has a default nor names a call: that is none at all, as in Docker.
pub(super) fn parse(text: &str) -> Result<Option<Profile>, ProfileFault> {
    let document: Document = serde_json::from_str(text).map_err(|error| ProfileFault::Format(error.to_string()))?;
    let syscalls = document.syscalls.unwrap_or_default();
    let default = match document.default_action.as_deref() {
        None | Some("") if syscalls.is_empty() => return Ok(None),
        action => verdict(action.unwrap_or_default(), document.default_errno_ret)?,
    };
    if !document.listener_path.is_empty() {
        return Err(ProfileFault::Unsupported("a listener (listenerPath)"));
    }
    let architectures = match (document.architectures, document.arch_map) {
        (Some(listed), Some(map)) if !listed.is_empty() && !map.is_empty() => {
            return Err(ProfileFault::Both("architectures", "archMap"));
        }
        (Some(listed), _) if !listed.is_empty() => listed,
        (_, map) => {
            let native = map.unwrap_or_default().into_iter().find(|f| architecture(&f.architecture) == NATIVE);
            native.map(|f| [vec![f.architecture], f.sub_architectures.unwrap_or_default()].concat()).unwrap_or_default()
        }
    };
    let mut architectures: Vec<Architecture> = architectures.iter().filter_map(|name| architecture(name)).collect();
    architectures.retain(|other| Profile::native_family().contains(other));
    if !architectures.contains(&Architecture::NATIVE) {
        // A filter that leaves it out would end every program; the library that Docker uses adds it as well.
        architectures.insert(0, Architecture::NATIVE);
    }
    let mut flags = 0;
    for flag in document.flags.unwrap_or_default() {
        flags |= match flag.as_str() {
            "SECCOMP_FILTER_FLAG_LOG" => FLAG_LOG,
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => FLAG_SPEC_ALLOW,
            // The process that loads it has one thread.
            "SECCOMP_FILTER_FLAG_TSYNC" => 0,
            _ => return Err(ProfileFault::Word("flag", flag)),
        };
    }
    let groups = syscalls.into_iter().map(group).collect::<Result<_, _>>()?;
    Ok(Some(Profile { default, architectures, flags, groups }))
}

fn group(calls: Calls) -> Result<Group, ProfileFault> {
    let mut names = calls.names.unwrap_or_default();
    match (calls.name.is_empty(), names.is_empty()) {
        (false, false) => return Err(ProfileFault::Both("name", "names")),
        (false, true) => names.push(calls.name),
        (true, _) => {}
    }
    Ok(Group {
        names,
        verdict: verdict(&calls.action, calls.errno_ret)?,
        conditions: calls.args.unwrap_or_default().iter().map(condition).collect::<Result<_, _>>()?,
        includes: needs(calls.includes.unwrap_or_default())?,
        excludes: needs(calls.excludes.unwrap_or_default())?,
    })
}

fn verdict(action: &str, data: Option<u32>) -> Result<Verdict, ProfileFault> {
    let number = data.unwrap_or(libc::EPERM as u32);
    let small = u16::try_from(number).ok().filter(|number| u32::from(*number) <= LARGEST_ERRNO);
    Ok(match action {
        "SCMP_ACT_ALLOW" => Verdict::Allow,
        "SCMP_ACT_LOG" => Verdict::Log,
        "SCMP_ACT_ERRNO" => Verdict::Errno(small.ok_or(ProfileFault::Errno(number))?),
        "SCMP_ACT_TRACE" => Verdict::Trace(small.ok_or(ProfileFault::Errno(number))?),
        "SCMP_ACT_TRAP" => Verdict::Trap,
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Verdict::KillThread,
        "SCMP_ACT_KILL_PROCESS" => Verdict::KillProcess,
        "SCMP_ACT_NOTIFY" => return Err(ProfileFault::Unsupported("SCMP_ACT_NOTIFY")),
        other => return Err(ProfileFault::Word("action", other.to_owned())),
    })
}

fn condition(argument: &Argument) -> Result<Condition, ProfileFault> {
    if argument.index > 5 {
        return Err(ProfileFault::Index(argument.index));
    }
    let (comparison, value) = match argument.op.as_str() {
        "SCMP_CMP_NE" => (Comparison::NotEqual, argument.value),
        "SCMP_CMP_LT" => (Comparison::Less, argument.value),
        "SCMP_CMP_LE" => (Comparison::LessOrEqual, argument.value),
        "SCMP_CMP_EQ" => (Comparison::Equal, argument.value),
        "SCMP_CMP_GE" => (Comparison::GreaterOrEqual, argument.value),
        "SCMP_CMP_GT" => (Comparison::Greater, argument.value),
        "SCMP_CMP_MASKED_EQ" => (Comparison::Masked(argument.value), argument.value_two & argument.value),
        other => return Err(ProfileFault::Word("comparison", other.to_owned())),
    };
    Ok(Condition { argument: argument.index, comparison, value, width: Width::Whole })
}

fn needs(filter: Filter) -> Result<Needs, ProfileFault> {
    let minimum_kernel = match filter.min_kernel {
        None => None,
        Some(text) => Some(super::kernel_version(&text).ok_or(ProfileFault::Word("kernel version", text))?),
    };
    let (capabilities, architectures) = (filter.caps.unwrap_or_default(), filter.arches.unwrap_or_default());
    Ok(Needs { capabilities, architectures, minimum_kernel })
}

const NATIVE: Option<Architecture> = Some(Architecture::NATIVE);

/// Those of other machines than this program knows are none.
fn architecture(name: &str) -> Option<Architecture> {
    Some(match name {
        "SCMP_ARCH_X86_64" => Architecture::X86_64,
        "SCMP_ARCH_X32" => Architecture::X32,
        "SCMP_ARCH_X86" => Architecture::X86,
        "SCMP_ARCH_AARCH64" => Architecture::Aarch64,
        "SCMP_ARCH_ARM" => Architecture::Arm,
        _ => return None,
    })
}
