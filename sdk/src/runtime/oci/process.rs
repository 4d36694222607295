//! `process` of a configuration, as the runtime's own [`ProcessSpec`].

use super::config::{Capabilities, IoPriority, Personality, Process, Scheduler};
use super::fault::Fault;
use crate::error::Result;
use crate::runtime::bundle::{CapabilitySets, Limit, ProcessSpec, ResolvedUser};
use crate::runtime::script::Script;
use crate::runtime::seccomp::SeccompProfile;
use crate::spec::container_path::ContainerPath;
use crate::sys::capability::CapabilitySet;

/// Names and numbers of the limits; the C libraries declare the numbers differently.
const LIMITS: [(&str, u32); 16] = [
    ("RLIMIT_CPU", 0),
    ("RLIMIT_FSIZE", 1),
    ("RLIMIT_DATA", 2),
    ("RLIMIT_STACK", 3),
    ("RLIMIT_CORE", 4),
    ("RLIMIT_RSS", 5),
    ("RLIMIT_NPROC", 6),
    ("RLIMIT_NOFILE", 7),
    ("RLIMIT_MEMLOCK", 8),
    ("RLIMIT_AS", 9),
    ("RLIMIT_LOCKS", 10),
    ("RLIMIT_SIGPENDING", 11),
    ("RLIMIT_MSGQUEUE", 12),
    ("RLIMIT_NICE", 13),
    ("RLIMIT_RTPRIO", 14),
    ("RLIMIT_RTTIME", 15),
];

/// Scheduling policies, in the order of their numbers; 4 is none.
const POLICIES: [(&str, u32); 6] = [
    ("SCHED_OTHER", 0),
    ("SCHED_FIFO", 1),
    ("SCHED_RR", 2),
    ("SCHED_BATCH", 3),
    ("SCHED_IDLE", 5),
    ("SCHED_DEADLINE", 6),
];

const SCHEDULER_FLAGS: [(&str, u64); 7] = [
    ("SCHED_FLAG_RESET_ON_FORK", 1),
    ("SCHED_FLAG_RECLAIM", 2),
    ("SCHED_FLAG_DL_OVERRUN", 4),
    ("SCHED_FLAG_KEEP_POLICY", 8),
    ("SCHED_FLAG_KEEP_PARAMS", 16),
    ("SCHED_FLAG_UTIL_CLAMP_MIN", 32),
    ("SCHED_FLAG_UTIL_CLAMP_MAX", 64),
];

/// Classes of ioprio_set(2).
const IO_CLASSES: [(&str, u32); 3] = [("IOPRIO_CLASS_RT", 1), ("IOPRIO_CLASS_BE", 2), ("IOPRIO_CLASS_IDLE", 3)];

/// `IOPRIO_WHO_PROCESS`, and where the class begins.
const IO_PROCESS: i32 = 1;
const IO_CLASS_SHIFT: u32 = 13;

/// Domains of personality(2).
const PERSONALITIES: [(&str, u32); 2] = [("LINUX", 0), ("LINUX32", 8)];

pub(super) fn bad(property: &str, value: impl ToString, why: &str) -> Fault {
    Fault::Bad { property: property.to_owned(), value: value.to_string(), why: why.to_owned() }
}

fn find<T: Copy>(table: &[(&str, T)], property: &str, name: &str) -> Result<T, Fault> {
    let found = table.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    found.ok_or_else(|| bad(property, name, "there is no such"))
}

/// The process; it outlives the program that starts it.
pub(super) fn spec(process: &Process, seccomp: SeccompProfile) -> Result<ProcessSpec> {
    if process.args.is_empty() {
        return Err(Fault::Missing { property: "process.args" }.into());
    }
    if !process.cwd.starts_with('/') {
        return Err(bad("process.cwd", &process.cwd, "it must be an absolute path").into());
    }
    for (property, value) in
        [("process.apparmorProfile", &process.apparmor_profile), ("process.selinuxLabel", &process.selinux_label)]
    {
        // What is not to be confined needs nothing that a host could lack.
        if !value.is_empty() && value != "unconfined" {
            return Err(Fault::Unsupported { what: format!("{property} ({value})") }.into());
        }
    }
    if process.exec_cpu_affinity.is_some() {
        return Err(Fault::Unsupported { what: "process.execCPUAffinity".to_owned() }.into());
    }
    let (bounding, sets) = capabilities(process.capabilities.as_ref().unwrap_or(&Capabilities::default()))?;
    let mut spec = ProcessSpec::new(process.args.iter().cloned());
    spec.env.clone_from(&process.env);
    spec.cwd = ContainerPath::parse(&process.cwd)?;
    let user = &process.user;
    spec.user = ResolvedUser { uid: user.uid, gid: user.gid, groups: user.additional_gids.clone() };
    spec.group_is_supplementary = false;
    spec.umask = user.umask.unwrap_or(0o022);
    spec.capabilities = bounding;
    spec.capability_sets = Some(sets);
    spec.no_new_privileges = process.no_new_privileges;
    spec.ends_with_program = false;
    spec.seccomp = seccomp;
    spec.limits = process
        .rlimits
        .iter()
        .map(|limit| {
            let (name, resource) = LIMITS
                .into_iter()
                .find(|(name, _)| *name == limit.kind)
                .ok_or_else(|| bad("process.rlimits.type", &limit.kind, "there is no such limit"))?;
            Ok(Limit { name, resource, soft: limit.soft, hard: limit.hard })
        })
        .collect::<Result<_, Fault>>()?;
    spec.default_limits = false;
    spec.oom_score_adj = process.oom_score_adj;
    Ok(spec)
}

/// The bounding set and the others. Names that this program does not know are passed over with a word in the log, as
/// the specification wants it.
fn capabilities(sets: &Capabilities) -> Result<(CapabilitySet, CapabilitySets)> {
    let set = |names: &[String]| {
        names.iter().fold(CapabilitySet::NONE, |set, name| match CapabilitySet::named(name) {
            Some(one) => set.with(one),
            None => {
                tracing::warn!("there is no capability {name:?}");
                set
            }
        })
    };
    let (permitted, inheritable) = (set(&sets.permitted), set(&sets.inheritable));
    let (effective, ambient) = (set(&sets.effective), set(&sets.ambient));
    if effective.without(permitted) != CapabilitySet::NONE {
        return Err(bad("process.capabilities.effective", sets.effective.join(" "), "permitted lacks some").into());
    }
    if ambient.without(permitted.within(inheritable)) != CapabilitySet::NONE {
        let why = "permitted or inheritable lacks some";
        return Err(bad("process.capabilities.ambient", sets.ambient.join(" "), why).into());
    }
    Ok((set(&sets.bounding), CapabilitySets { effective, permitted, inheritable, ambient }))
}

/// Sets what the process has of its own before it gives up its privileges.
pub(super) fn prepare(script: &mut Script, process: &Process, personality: Option<&Personality>) -> Result<()> {
    if let Some(scheduler) = &process.scheduler {
        schedule(script, scheduler)?;
    }
    if let Some(IoPriority { class, priority }) = &process.io_priority {
        let class = find(&IO_CLASSES, "process.ioPriority.class", class)?;
        if *priority > 7 {
            return Err(bad("process.ioPriority.priority", priority, "it is 0 to 7").into());
        }
        script.step("set the I/O priority of the process");
        let value = class << IO_CLASS_SHIFT | priority;
        script.plan.call(libc::SYS_ioprio_set, &[IO_PROCESS.into(), 0.into(), value.into()]);
    }
    if let Some(Personality { domain, flags }) = personality {
        if !flags.is_empty() {
            return Err(bad("linux.personality.flags", flags.join(" "), "the specification has none").into());
        }
        let domain = find(&PERSONALITIES, "linux.personality.domain", domain)?;
        script.step("set the personality of the process");
        script.plan.call(libc::SYS_personality, &[domain.into()]);
    }
    Ok(())
}

fn schedule(script: &mut Script, scheduler: &Scheduler) -> Result<()> {
    let policy = find(&POLICIES, "process.scheduler.policy", &scheduler.policy)?;
    let mut flags = 0;
    for flag in &scheduler.flags {
        flags |= find(&SCHEDULER_FLAGS, "process.scheduler.flags", flag)?;
    }
    script.step(format!("schedule the process by {}", scheduler.policy)).hint =
        Some("this takes CAP_SYS_NICE, and a cgroup that has time for it");
    // struct sched_attr: size and policy, flags, nice and priority, runtime, deadline, period.
    let attributes = [
        48 | u64::from(policy) << 32,
        flags,
        u64::from(scheduler.nice as u32) | u64::from(scheduler.priority) << 32,
        scheduler.runtime,
        scheduler.deadline,
        scheduler.period,
    ];
    let attributes = script.plan.words(&attributes);
    script.plan.call(libc::SYS_sched_setattr, &[0.into(), attributes.into(), 0.into()]);
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn process(json: &str) -> Process {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_process_is_taken_over_as_it_is_written() {
        let process = process(
            r#"{"args":["sh"],"cwd":"/x","env":["A=b"],"user":{"uid":7,"gid":8,"umask":63,"additionalGids":[9]},
            "rlimits":[{"type":"RLIMIT_NOFILE","soft":10,"hard":20}],"noNewPrivileges":true,"oomScoreAdj":5,
            "capabilities":{"bounding":["CAP_KILL","CAP_CHOWN"],"permitted":["CAP_KILL"],"effective":["CAP_KILL"],
            "inheritable":["CAP_KILL"],"ambient":["CAP_KILL"]}}"#,
        );
        let spec = spec(&process, SeccompProfile::Unconfined).unwrap();
        assert_eq!(spec.user, ResolvedUser { uid: 7, gid: 8, groups: vec![9] });
        assert_eq!((spec.umask, spec.no_new_privileges, spec.oom_score_adj), (63, true, Some(5)));
        assert_eq!((spec.limits[0].resource, spec.limits[0].soft, spec.limits[0].hard), (7, 10, 20));
        let kill = CapabilitySet::named("KILL").unwrap();
        assert_eq!(spec.capability_sets.unwrap().ambient, kill);
        assert_eq!(spec.capabilities, kill.with(CapabilitySet::named("CHOWN").unwrap()));
        assert!(!spec.ends_with_program && !spec.default_limits);
    }

    #[test]
    fn what_is_wrong_with_a_process_is_named() {
        for (json, message) in [
            (r#"{"cwd":"/"}"#, "process.args is missing"),
            (r#"{"args":["x"],"cwd":"y"}"#, r#"process.cwd is "y": it must be an absolute path"#),
            (r#"{"args":["x"],"cwd":"/","rlimits":[{"type":"RLIMIT_X","soft":1,"hard":1}]}"#, "RLIMIT_X"),
            (r#"{"args":["x"],"cwd":"/","selinuxLabel":"a:b"}"#, "process.selinuxLabel (a:b)"),
            (r#"{"args":["x"],"cwd":"/","capabilities":{"effective":["CAP_KILL"]}}"#, "permitted lacks some"),
            (r#"{"args":["x"],"cwd":"/","capabilities":{"ambient":["CAP_KILL"]}}"#, "permitted or inheritable"),
        ] {
            let error = spec(&process(json), SeccompProfile::Unconfined).unwrap_err();
            assert!(error.to_string().contains(message), "{json}: {error}");
        }
    }
}
