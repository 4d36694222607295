//! The kernel and its settings, this user's rights, and where all of it runs.

use std::path::{Path, PathBuf};

use super::Finding;
use crate::error::Error;
use crate::runtime;
use crate::sys::probe::{self, Privilege};
use crate::sys::userns::{self, Ids};

/// What was read and tried. The findings follow from it alone.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) privilege: Privilege,
    pub(super) release: String,
    /// Whether links stay inside a directory: openat2(2).
    pub(super) resolves_inside: bool,
    /// All namespaces of a container, tried.
    pub(super) namespaces: Result<(), Error>,
    /// `kernel.unprivileged_userns_clone`, `user.max_user_namespaces`, `kernel.apparmor_restrict_unprivileged_userns`.
    pub(super) userns_clone: Option<u64>,
    pub(super) max_user_namespaces: Option<u64>,
    pub(super) apparmor_restricts: Option<u64>,
    /// The file of this program.
    pub(super) program: PathBuf,
    /// How many users and groups containers have; else cause and remedy.
    pub(super) ids: Result<(u64, u64), (String, String)>,
    pub(super) cgroups: probe::CgroupVersion,
    /// A cgroup with limits, tried.
    pub(super) limits: Result<(), Error>,
    /// Those that root lacks.
    pub(super) lacking: Vec<&'static str>,
    pub(super) seccomp_actions: Option<String>,
    pub(super) container: Option<String>,
}

/// The oldest kernel that is tested, and the oldest that has every call.
const TESTED: (u32, u32) = (6, 1);
const OLDEST: (u32, u32) = (5, 11);

/// How many users and groups containers of this process have.
fn ids() -> Result<(u64, u64), (String, String)> {
    let sum = |ranges: &[userns::Range]| ranges.iter().map(|range| u64::from(range.count)).sum();
    match userns::ids() {
        Ids::Host => Ok((u64::from(u32::MAX), u64::from(u32::MAX))),
        Ids::Many(namespace) => Ok((sum(&namespace.map.uids), sum(&namespace.map.gids))),
        Ids::One(lack) => Err((lack.to_string(), lack.remedy())),
    }
}

/// Lets a program alone create user namespaces (apparmor.d(5)).
fn apparmor_profile(program: &Path) -> String {
    format!(
        "set it to 0 with sysctl, run as root, or save this as /etc/apparmor.d/plywood and load it with `sudo \
         apparmor_parser -r /etc/apparmor.d/plywood`:\n\
         abi <abi/4.0>,\n\
         include <tunables/global>\n\
         profile plywood {program:?} flags=(unconfined) {{\n  userns,\n}}"
    )
}

impl Facts {
    pub(super) fn gather() -> Self {
        Self {
            privilege: probe::privilege(),
            release: probe::kernel_release(),
            resolves_inside: probe::resolves_inside(),
            namespaces: runtime::try_namespaces(),
            userns_clone: probe::setting("kernel/unprivileged_userns_clone"),
            max_user_namespaces: probe::setting("user/max_user_namespaces"),
            apparmor_restricts: probe::setting("kernel/apparmor_restrict_unprivileged_userns"),
            program: std::env::current_exe().unwrap_or_default(),
            ids: ids(),
            cgroups: probe::cgroups(),
            limits: runtime::cgroup::try_limits(),
            lacking: match rustix::process::geteuid().is_root() {
                true => probe::lacking_capabilities(),
                false => Vec::new(),
            },
            seccomp_actions: probe::seccomp_actions(),
            container: probe::surroundings(),
        }
    }

    pub(super) fn is_root(&self) -> bool {
        self.privilege == Privilege::Root
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut findings = vec![self.kernel(), self.namespaces()];
        if !self.is_root() {
            findings.extend([self.user_namespaces(), self.subordinate_ids()]);
        }
        findings.extend([self.cgroups(), self.capabilities(), self.seccomp(), self.surroundings()]);
        findings
    }

    fn kernel(&self) -> Finding {
        let seen = format!("Linux {}", self.release);
        let subject = "kernel";
        match probe::parse_release(&self.release) {
            _ if !self.resolves_inside => Finding::missing(subject, seen)
                .because("openat2 does not work, with which paths are kept inside a container")
                .remedied("use Linux 6.1 or later, and no seccomp filter that refuses openat2"),
            Some(version) if version < OLDEST => Finding::missing(subject, seen)
                .because("it lacks overlay in user namespaces or the mount calls")
                .remedied("use Linux 6.1 or later"),
            Some(version) if version < TESTED => Finding::limited(subject, seen)
                .because("plywood is tested on Linux 6.1 and later")
                .remedied("use Linux 6.1 or later"),
            _ => Finding::ok(subject, seen),
        }
    }

    fn namespaces(&self) -> Finding {
        match &self.namespaces {
            Ok(()) => Finding::ok("namespaces", "mount, PID, IPC, UTS, network and cgroup namespaces can be created"),
            Err(error) => Finding::missing("namespaces", "they cannot be created").failed(error),
        }
    }

    fn user_namespaces(&self) -> Finding {
        let subject = "user namespaces";
        let refused = |cause: &str, remedy: &str| Finding::missing(subject, "refused").because(cause).remedied(remedy);
        match (&self.namespaces, self.userns_clone, self.max_user_namespaces, self.apparmor_restricts) {
            (Ok(()), ..) => Finding::ok(subject, "an ordinary user can create them"),
            (Err(_), Some(0), ..) => {
                refused("kernel.unprivileged_userns_clone is 0", "set it to 1 with sysctl, or run as root")
            }
            (Err(_), _, Some(0), _) => {
                refused("user.max_user_namespaces is 0", "raise it with sysctl, such as to 15000, or run as root")
            }
            (Err(_), _, _, Some(1)) => refused(
                "kernel.apparmor_restrict_unprivileged_userns is 1 (the default of Ubuntu since 23.10)",
                &apparmor_profile(&self.program),
            ),
            (Err(error), ..) => Finding::missing(subject, "refused").failed(error),
        }
    }

    fn subordinate_ids(&self) -> Finding {
        let subject = "subordinate ids";
        match &self.ids {
            Ok((users, groups)) => Finding::ok(subject, format!("containers have {users} users and {groups} groups")),
            Err((cause, remedy)) => Finding::limited(subject, "containers have one user and one group")
                .because(cause.clone())
                .remedied(remedy.clone()),
        }
    }

    fn cgroups(&self) -> Finding {
        match &self.limits {
            Ok(()) => Finding::ok("cgroups", self.cgroups.to_string()),
            Err(error) => Finding::limited("cgroups", self.cgroups.to_string()).failed(error),
        }
    }

    fn capabilities(&self) -> Finding {
        let subject = "capabilities";
        if !self.is_root() && self.lacking.contains(&"SYS_ADMIN") {
            return Finding::limited(subject, "root lacks CAP_SYS_ADMIN")
                .because("containers have users of their own, as those of an ordinary user")
                .remedied("start the program with it: in a container, run that with --cap-add");
        }
        if !self.is_root() {
            return Finding::ok(subject, "none are needed by an ordinary user");
        }
        if self.lacking.is_empty() {
            return Finding::ok(subject, "root has all that are needed");
        }
        let list = self.lacking.iter().map(|name| format!("CAP_{name}")).collect::<Vec<_>>().join(", ");
        let only_limits = self.lacking == ["SYS_RESOURCE"];
        let finding = match only_limits {
            true => Finding::limited(subject, format!("root lacks {list}"))
                .because("hard limits cannot be raised, and the OOM score not lowered"),
            false => Finding::limited(subject, format!("root lacks {list}"))
                .because("what needs them fails in starting containers or in making layers"),
        };
        finding.remedied("start the program with them: in a container, run that with --cap-add")
    }

    fn seccomp(&self) -> Finding {
        match &self.seccomp_actions {
            Some(actions) if actions.split_ascii_whitespace().any(|action| action == "errno") => {
                Finding::ok("seccomp", "filters on system calls are there")
            }
            _ => Finding::missing("seccomp", "none")
                .because("this kernel has no filters on system calls")
                .remedied("use a kernel built with CONFIG_SECCOMP_FILTER"),
        }
    }

    fn surroundings(&self) -> Finding {
        match &self.container {
            None => Finding::ok("surroundings", "no container around this program"),
            Some(what) => Finding::limited("surroundings", what.clone())
                .because("what is masked or refused there is masked or refused for its containers too")
                .remedied("if containers do not start, run what is around it privileged"),
        }
    }
}
