//! The cgroup of a container: when it gets one, what is written to it, and how refusals read.
//!
//! With version 2 every container has one where this program may make one: the process is born in it. With version 1 a
//! group costs a move per controller, so there is one only where a limit or statistics ask for it; a container that is
//! paused is moved into one then. One whose root may make device nodes, or may use a device in some ways only, has one
//! with either version, and rules for devices in it, or does not start. One without a pid namespace of its own has one that
//! can kill: nothing else ends all of its processes, whatever becomes of the first.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::bundle::{Bundle, BundleSource};
use super::limits::{Limits, Setting};
use crate::error::{Error, ErrorKind, Result};
use crate::spec::ExitStatus;
use crate::sys::capability::CapabilitySet;
use crate::sys::cgroup::device::{ANY_ACCESS, DeviceKind, MAKE, Rule};
use crate::sys::cgroup::{self, Group, Kind, Refused, Version};
use crate::sys::probe::{Privilege, privilege};

/// What a container asks of cgroups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cgroup {
    /// The last part of its path: the container's ID.
    pub name: String,
    pub limits: Limits,
    /// Whether it is to be counted what it uses, from the start.
    pub statistics: bool,
}

/// Devices that every container may use: null, zero, full, random, urandom, tty, console, ptmx, and pseudo-terminals.
const DEVICES: [(u32, Option<u32>); 9] = [
    (1, Some(3)),
    (1, Some(5)),
    (1, Some(7)),
    (1, Some(8)),
    (1, Some(9)),
    (5, Some(0)),
    (5, Some(1)),
    (5, Some(2)),
    (136, None),
];

const END_ALL: &str = "let no process outlive a container that shares the processes of others";

const RESTRICT_DEVICES: &str = "keep the devices of the host away";

/// Whether only rules for devices keep it from the host's: its root may make nodes that lead to them, or one that it has
/// may be used in some ways only. Others find no node.
fn needs_device_rules(bundle: &Bundle) -> bool {
    let makes_nodes = CapabilitySet::named("MKNOD").is_some_and(|it| it.within(bundle.process.capabilities) == it);
    let is_hosts = privilege() == Privilege::Root && bundle.user_namespace.is_none();
    let is_restricted = bundle.devices.iter().any(|(_, access)| *access != ANY_ACCESS);
    !bundle.privileged && (is_restricted || is_hosts && makes_nodes)
}

/// Makes the group of a container that is about to start, with all limits but those of memory.
///
/// # Errors
/// If a limit or statistics were asked for and cannot be had. Then there is no group.
pub(super) fn create(bundle: &Bundle) -> Result<Option<Group>> {
    let Some(cgroup) = &bundle.cgroup else { return Ok(None) };
    let needed = cgroup.limits.controllers();
    let wanted: Vec<_> = needed.iter().map(|(controller, _)| *controller).collect();
    let shares_pids = bundle.shares_pids();
    let is_asked_for = !needed.is_empty() || cgroup.statistics || needs_device_rules(bundle) || shares_pids;
    let kind = cgroup::kind().map_err(|error| Error::os("look for cgroups", error));
    if !is_asked_for && kind.as_ref().ok() != Some(&Kind::Unified) {
        return Ok(None);
    }
    let attempt = |controller: &str| {
        let limit = needed.iter().find(|(known, _)| *known == controller || controller.is_empty());
        match limit {
            Some((_, attempt)) => attempt.clone(),
            None if shares_pids => END_ALL.to_owned(),
            None if needs_device_rules(bundle) => RESTRICT_DEVICES.to_owned(),
            None => "keep statistics".to_owned(),
        }
    };
    let group = match Group::create(&cgroup.name, &wanted) {
        Ok(group) => group,
        Err(refused) if !is_asked_for => {
            tracing::debug!("a container has no cgroup of its own: {refused:?}");
            return Ok(None);
        }
        Err(refused) => return Err(explain(refused, kind?, attempt)),
    };
    match prepare(&group, bundle, &cgroup.limits) {
        Ok(()) => Ok(Some(group)),
        Err(error) => Err(discard(&group, error)),
    }
}

/// Removes a group that a container has not come to use.
pub(super) fn discard(group: &Group, error: Error) -> Error {
    match group.remove() {
        Ok(()) => error,
        Err(failure) => error.with_clean_up(Error::os("remove the cgroup of the container", failure)),
    }
}

fn prepare(group: &Group, bundle: &Bundle, limits: &Limits) -> Result<()> {
    if bundle.shares_pids() && !group.can_kill() {
        let why = "that takes a cgroup of version 2 that can kill its processes, and this host has none";
        let error = Error::new(ErrorKind::Unsupported, format_args!("{END_ALL}: {why}"));
        return Err(error.with_hint("mount -t cgroup2, with Linux 5.14 or later; or leave it its own pid namespace"));
    }
    apply(group, limits, |setting| setting.controller != "memory")?;
    // Who may use all devices of the host, and who may not make device nodes that lead to any, need no rules.
    if bundle.privileged || privilege() == Privilege::User {
        return Ok(());
    }
    let (usual, asked) = devices(bundle);
    match group.allow_devices(&usual, &asked) {
        Ok(true) => Ok(()),
        Ok(false) if needs_device_rules(bundle) => {
            let why = "the kernel refuses rules for devices by cgroup";
            Err(Error::new(ErrorKind::Unsupported, format_args!("{RESTRICT_DEVICES}: {why}")).with_hint(
                "they take BPF or a devices controller; or drop MKNOD, and let each device be used in all ways",
            ))
        }
        Ok(false) => {
            tracing::debug!("this kernel keeps no rules for devices by cgroup");
            Ok(())
        }
        Err(refused) => Err(explain(refused, Kind::None, |_| RESTRICT_DEVICES.to_owned())),
    }
}

/// The devices that every container has.
pub(super) fn default_devices() -> Vec<Rule> {
    let rule = |(major, minor)| Rule { kind: DeviceKind::Character, major: Some(major), minor, access: ANY_ACCESS };
    DEVICES.into_iter().map(rule).collect()
}

/// The devices that every container has, and those that are mounted into this one.
fn devices(bundle: &Bundle) -> (Vec<Rule>, Vec<Rule>) {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let (mut usual, mut asked) = (default_devices(), Vec::new());
    for mount in &bundle.mounts {
        let BundleSource::Bind(path) = &mount.source else { continue };
        // One that is missing is told when it is mounted.
        let Ok(found) = fs::metadata(path) else { continue };
        let kind = match found.file_type() {
            kind if kind.is_char_device() => DeviceKind::Character,
            kind if kind.is_block_device() => DeviceKind::Block,
            _ => continue,
        };
        let (major, minor) = (rustix::fs::major(found.rdev()), rustix::fs::minor(found.rdev()));
        let access = bundle.devices.iter().find(|(device, _)| device == path).map_or(ANY_ACCESS, |(_, access)| *access);
        let rule = Rule { kind, major: Some(major), minor: Some(minor), access };
        // One that every container has can be restricted too; its node is made inside the group.
        if access != ANY_ACCESS {
            let same = usual.iter_mut().filter(|known| Rule { access, ..**known } == rule);
            same.for_each(|known| known.access = access | MAKE);
        }
        asked.push(rule);
    }
    (usual, asked)
}

/// Limits memory. Only once the first process is a program of its own: until then it shares the memory of this one, which
/// the kernel would kill with it.
pub(super) fn limit_memory(group: &Group, limits: &Limits) -> Result<()> {
    apply(group, limits, |setting| setting.controller == "memory")
}

pub(super) fn apply(group: &Group, limits: &Limits, chosen: impl Fn(&Setting) -> bool) -> Result<()> {
    let version = |controller: &str| group.home(controller).map_or(Version::V2, |(version, _)| version);
    for setting in limits.settings(version).iter().filter(|setting| chosen(setting)) {
        match write(group, setting) {
            Err(_) if setting.is_default => {}
            written => written?,
        }
    }
    Ok(())
}

fn write(group: &Group, setting: &Setting) -> Result<()> {
    let Setting { attempt, controller, files, value, .. } = setting;
    let unsupported = |why: &str| Error::new(ErrorKind::Unsupported, format_args!("{attempt}: {why}"));
    let Some((_, home)) = group.home(controller) else {
        return Err(unsupported(&format!("its cgroup has no {controller} controller")));
    };
    let Some(path) = files.iter().map(|file| home.join(file)).find(|path| path.exists()) else {
        return Err(unsupported(&format!("this kernel has no {}", files.join(" or "))));
    };
    cgroup::write(&path, value).map_err(|error| {
        let (errno, error) = (error.raw_os_error(), Error::os(attempt, error).with_path(&path));
        match errno {
            Some(libc::EBUSY) if *controller == "memory" => error.with_hint("it uses more already: raise the limit"),
            Some(libc::EINVAL | libc::ERANGE | libc::EACCES | libc::ENODEV) if *controller == "cpuset" => {
                let all = fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
                error.with_hint(format_args!("the host has CPUs {}, and this program may have fewer", all.trim()))
            }
            Some(libc::ENODEV) => error.with_hint("only whole disks can be limited, no partitions"),
            _ => error,
        }
    })
}

/// Moves the first process of a container into the directories of version 1; it is born in that of version 2.
pub(super) fn join(group: &Group, pid: u32) -> Result<()> {
    group.join_legacy(pid, |_| true).map_err(explain_join)
}

/// Whether the memory of a group is limited: nothing that shares the memory of this program may be in it.
pub(super) fn is_memory_limited(group: &Group) -> bool {
    let Some((version, home)) = group.home("memory") else { return false };
    let read = |file: &str| fs::read_to_string(home.join(file)).unwrap_or_default();
    match version {
        Version::V2 => ["memory.max", "memory.high"].iter().any(|file| !["", "max"].contains(&read(file).trim())),
        // Unlimited is the largest number of pages.
        Version::V1 => read("memory.limit_in_bytes").trim().parse().is_ok_and(|limit: u64| limit < 1 << 60),
    }
}

/// Moves a further process of a container, while it waits, into all directories but the one that limits memory.
pub(super) fn join_early(group: &Group, pid: u32) -> Result<()> {
    let is_limited = is_memory_limited(group);
    let chosen = |names: &[String]| !is_limited || !names.iter().any(|name| name == "memory");
    group.join_legacy(pid, chosen).map_err(explain_join)
}

/// Moves it into the one that limits memory, once it shares no memory with this program any more; false if the container has
/// ended.
pub(super) fn join_late(group: &Group, pid: u32) -> Result<bool> {
    match group.join_all(pid) {
        Err(Refused::Os { error, .. }) if is_gone(&error) => Ok(false),
        joined => joined.map(|()| true).map_err(explain_join),
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ESRCH | libc::ENOENT | libc::ENODEV))
}

fn explain_join(refused: Refused) -> Error {
    match refused {
        Refused::Os { path, error } => {
            let errno = error.raw_os_error();
            let error = Error::os("move the process into the cgroup of the container", error).with_path(&path);
            match errno {
                Some(libc::EINVAL) => error.with_hint(
                    "the kernel takes no process with real-time priority into a cpu cgroup of version 1: start \
                     containers from a program with ordinary priority",
                ),
                _ => error,
            }
        }
        refused => explain(refused, Kind::None, |_| "join the cgroup of the container".to_owned()),
    }
}

/// Makes a group for limits on memory and processes, and removes it: whether such limits can be set, and if not, why.
pub(crate) fn try_limits() -> Result<()> {
    let name = format!("doctor-{}", std::process::id());
    let kind = cgroup::kind().unwrap_or(Kind::None);
    let attempt = |_: &str| "set limits".to_owned();
    let group = Group::create(&name, &["memory", "pids"]).map_err(|refused| explain(refused, kind, attempt))?;
    group.remove().map_err(|error| Error::os("remove a cgroup", error))
}

/// The error of a group that could not be made.
pub(super) fn explain(refused: Refused, kind: Kind, attempt: impl Fn(&str) -> String) -> Error {
    let refuse = |controller: &str, why: String| {
        Error::new(ErrorKind::Unsupported, format_args!("{}: {why}", attempt(controller)))
    };
    match refused {
        Refused::Missing { controller } => {
            refuse(controller, format!("this host has no {controller} controller for cgroups"))
                .with_hint(format_args!("mount it, or boot with cgroup_enable={controller}"))
        }
        Refused::NotDelegated if kind == Kind::Legacy => {
            refuse("", "this host has cgroups of version 1, which only root may use".to_owned())
                .with_hint("run the program as root, or boot with systemd.unified_cgroup_hierarchy=1")
        }
        Refused::NotDelegated if kind == Kind::None => {
            refuse("", "no cgroup file system is mounted".to_owned()).with_hint("mount -t cgroup2 none /sys/fs/cgroup")
        }
        Refused::NotDelegated => refuse("", "this program runs in no cgroup that was handed to its user".to_owned())
            .with_hint("start it by systemd-run --user --scope, or as root"),
        Refused::NotHandedDown { controller, group } => refuse(
            controller,
            format!("the cgroup {group:?} was handed to this user without the {controller} controller"),
        )
        .with_hint("name it in Delegate= of user@.service (systemctl edit user@.service)"),
        Refused::Occupied { controller, group } => refuse(
            controller,
            format!(
                "the cgroup {group:?} holds processes, and so the kernel lets it hand no {controller} controller down"
            ),
        )
        .with_hint("move them into a cgroup below it (DelegateSubgroup= of systemd does)"),
        Refused::Device { rule, group } => Error::new(
            ErrorKind::PermissionDenied,
            format_args!("{}: the cgroups above {group:?} may not use the device \"{rule}\"", attempt("")),
        )
        .with_hint("this program runs in a container itself: give that one the device"),
        Refused::Os { path, error } if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
            refuse("", "the cgroup file system is mounted read-only".to_owned())
                .with_path(path)
                .with_hint("this program runs in a container itself: give that one its cgroups writable")
        }
        Refused::Os { path, error } => Error::os(attempt(""), error).with_path(path),
    }
}

/// Whether the kernel killed a process of the group because memory ran out.
pub(super) fn is_oom_killed(group: &Group) -> bool {
    let text = memory_events(group).and_then(|path| fs::read_to_string(path).ok());
    text.and_then(|text| number(&text, "oom_kill")).is_some_and(|count| count > 0)
}

/// Where the kernel counts that.
pub(super) fn memory_events(group: &Group) -> Option<PathBuf> {
    let (version, home) = group.home("memory")?;
    Some(home.join(if version == Version::V1 { "memory.oom_control" } else { "memory.events" }))
}

/// The number on the line that begins with this word.
pub(super) fn number(text: &str, word: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(word)?.trim().parse().ok())
}

/// What becomes of the group of a container that has ended: what it tells, and its removal.
pub(super) fn conclude(group: Option<Group>, name: &str, status: ExitStatus) -> ExitStatus {
    // One that was paused by another program has got its group there.
    let Some(group) = group.or_else(|| Group::find_freezer(name)) else { return status };
    let status = if is_oom_killed(&group) { status.out_of_memory() } else { status };
    if let Err(error) = group.remove() {
        tracing::warn!("the cgroup of a container stays for now: {error}");
    }
    status
}

/// Kills what a dead program has left of a container, and removes its group. `recorded` are its directories, if known.
///
/// # Errors
/// If a process cannot be killed within two seconds.
pub(crate) fn sweep(name: &str, recorded: &[PathBuf]) -> Result<()> {
    let groups = [Group::open(name, recorded), Group::find(name)];
    for group in groups.into_iter().flatten() {
        group.remove().map_err(|error| Error::os("remove the cgroup of a container", error))?;
    }
    Ok(())
}

/// The group of a running container, whichever program runs it.
pub(crate) fn find(name: &str, recorded: &[PathBuf]) -> Option<Group> {
    Group::open(name, recorded).or_else(|| Group::find(name))
}

/// Freezes all processes of a container, and returns once they stand still.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) if it has no cgroup and cannot get one.
pub(crate) fn pause(name: &str, recorded: &[PathBuf], init: u32) -> Result<()> {
    let attempt = "pause the container";
    let group = match find(name, recorded) {
        Some(group) => group,
        None => {
            let group = Group::create_freezer(name);
            group.map_err(|refused| explain(refused, cgroup::kind().unwrap_or(Kind::None), |_| attempt.to_owned()))?
        }
    };
    let frozen = group.begin_freeze().map_err(|error| Refused::Os { path: "cgroup.freeze".into(), error });
    let frozen = frozen
        .and_then(|()| group.adopt(init))
        .and_then(|()| group.wait_until_frozen().map_err(|error| Refused::Os { path: "cgroup.events".into(), error }));
    match frozen {
        Ok(()) => Ok(()),
        Err(refused) => {
            // Half a container that stands still is worse than none.
            let _ = group.thaw();
            group.remove_if_empty();
            Err(explain(refused, Kind::None, |_| attempt.to_owned()))
        }
    }
}

/// Lets the processes of a container go on; one that is not paused is left as it is.
pub(crate) fn resume(name: &str, recorded: &[PathBuf]) -> Result<()> {
    let Some(group) = find(name, recorded) else { return Ok(()) };
    match group.thaw() {
        // Ended meanwhile.
        Err(error) if is_gone(&error) => Ok(()),
        thawed => thawed.map_err(|error| Error::os("resume the container", error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(refused: Refused, kind: Kind) -> (String, String, ErrorKind) {
        let error = explain(refused, kind, |controller| match controller {
            "" | "memory" => "limit memory to 64MiB".to_owned(),
            other => format!("limit {other}"),
        });
        (error.to_string(), error.hint().unwrap_or_default().to_owned(), error.kind())
    }

    #[test]
    fn a_limit_that_cannot_be_names_the_controller_the_cause_and_the_remedy() {
        let group = || PathBuf::from("/sys/fs/cgroup/mine");
        for (refused, kind, message, hint) in [
            (
                Refused::Missing { controller: "memory" },
                Kind::Unified,
                "limit memory to 64MiB: this host has no memory controller for cgroups",
                "boot with cgroup_enable=memory",
            ),
            (
                Refused::NotDelegated,
                Kind::Legacy,
                "limit memory to 64MiB: this host has cgroups of version 1, which only root may use",
                "run the program as root",
            ),
            (
                Refused::NotDelegated,
                Kind::Unified,
                "limit memory to 64MiB: this program runs in no cgroup that was handed to its user",
                "systemd-run --user --scope",
            ),
            (
                Refused::NotDelegated,
                Kind::None,
                "limit memory to 64MiB: no cgroup file system is mounted",
                "mount -t cgroup2",
            ),
            (
                Refused::NotHandedDown { controller: "cpu", group: group() },
                Kind::Unified,
                "limit cpu: the cgroup \"/sys/fs/cgroup/mine\" was handed to this user without the cpu controller",
                "Delegate=",
            ),
            (
                Refused::Occupied { controller: "memory", group: group() },
                Kind::Unified,
                "limit memory to 64MiB: the cgroup \"/sys/fs/cgroup/mine\" holds processes, and so the kernel lets it hand \
                 no memory controller down",
                "DelegateSubgroup=",
            ),
            (
                Refused::Os { path: group(), error: io::ErrorKind::ReadOnlyFilesystem.into() },
                Kind::Unified,
                "limit memory to 64MiB: the cgroup file system is mounted read-only",
                "its cgroups writable",
            ),
        ] {
            let (text, remedy, kind) = told(refused, kind);
            assert_eq!((text.as_str(), kind), (message, ErrorKind::Unsupported));
            assert!(remedy.contains(hint), "{remedy}");
        }
    }

    #[test]
    fn a_process_with_real_time_priority_is_explained() {
        let error = io::Error::from_raw_os_error(libc::EINVAL);
        let error = explain_join(Refused::Os { path: "/cpu/plywood/x/cgroup.procs".into(), error });
        assert!(error.hint().is_some_and(|hint| hint.contains("real-time priority")), "{error:?}");
    }

    #[test]
    fn numbers_stand_behind_whole_words() {
        let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!(number(text, "oom_kill"), Some(3));
        assert_eq!(number(text, "oom"), None);
    }
}
