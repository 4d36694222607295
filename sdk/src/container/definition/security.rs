//! What a container may do, beyond or below the default.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use super::Definition;
use crate::container::capability::Capability;
use crate::container::resource::Resource;
use crate::spec::byte_size::ByteSize;

/// What a definition says about the protection of the host.
#[derive(Debug, Clone, Default)]
pub(crate) struct Security {
    pub(crate) added: Vec<Capability>,
    pub(crate) dropped: Vec<Capability>,
    pub(crate) allows_new_privileges: bool,
    pub(crate) seccomp: Seccomp,
    /// Soft and hard.
    pub(crate) limits: BTreeMap<Resource, (u64, u64)>,
    pub(crate) oom_score_adj: Option<i32>,
    pub(crate) groups: Vec<String>,
    pub(crate) sysctls: BTreeMap<String, String>,
    /// In bytes.
    pub(crate) shm_size: Option<u64>,
    pub(crate) domainname: Option<String>,
    pub(crate) masked_paths: Option<Vec<String>>,
    pub(crate) read_only_paths: Option<Vec<String>>,
    pub(crate) hosts: Vec<(String, IpAddr)>,
    pub(crate) dns: Vec<IpAddr>,
    pub(crate) dns_search: Vec<String>,
    pub(crate) dns_options: Vec<String>,
}

/// Which system calls a container may make.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Seccomp {
    /// Docker's default profile, for the capabilities that the container has.
    #[default]
    Default,
    /// All of them: the whole kernel is open to attack.
    Unconfined,
    /// A profile in Docker's JSON format.
    Profile(String),
    /// The same, read from a file when the container is created.
    File(PathBuf),
}

impl<D> Definition<D> {
    /// Lets root in the container do more. What was dropped is added again.
    ///
    /// Default: `CHOWN DAC_OVERRIDE FOWNER FSETID KILL NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID SYS_CHROOT`; Docker
    /// adds `AUDIT_WRITE MKNOD NET_RAW`. Another user than root starts with none. Some system calls come with a
    /// capability. It is an error of `start` if this program does not have the capability itself; with
    /// [`Capability::ALL`] the container gets those that it has.
    #[doc(alias = "--cap-add")]
    pub fn cap_add(mut self, capability: Capability) -> Self {
        self.settings.security.added.push(capability);
        self
    }

    /// Lets root in the container do less. [`Capability::ALL`] leaves what is added.
    #[doc(alias = "--cap-drop")]
    pub fn cap_drop(mut self, capability: Capability) -> Self {
        self.settings.security.dropped.push(capability);
        self
    }

    /// Lets programs with the setuid bit or file capabilities raise privileges, as `sudo` and `su` must. Default: no program
    /// can.
    #[doc(alias = "no-new-privileges")]
    #[doc(alias = "--security-opt")]
    pub fn allow_new_privileges(mut self) -> Self {
        self.settings.security.allows_new_privileges = true;
        self
    }

    /// Which system calls its processes may make. Default: [`Seccomp::Default`]; a [privileged](Self::privileged) container
    /// may make all.
    ///
    /// A profile that cannot be applied is an error of `create` or `start`.
    #[doc(alias = "--security-opt")]
    pub fn seccomp(mut self, seccomp: Seccomp) -> Self {
        self.settings.security.seccomp = seccomp;
        self
    }

    /// Limits what one process may use. `soft` is where the kernel refuses or warns, `hard` how far a process may raise it
    /// itself; [`Resource::UNLIMITED`] is none.
    ///
    /// Default: the limits of the host program, at most 1048576 open files without raising, and no core dumps. More than
    /// the hard limit of the host program takes `CAP_SYS_RESOURCE`, and is an error of `start` without it.
    #[doc(alias = "--ulimit")]
    #[doc(alias = "setrlimit")]
    pub fn rlimit(mut self, resource: Resource, soft: u64, hard: u64) -> Self {
        self.settings.security.limits.insert(resource, (soft, hard));
        self
    }

    /// How readily the kernel kills it when memory runs out, -1000 (never) to 1000. Default: the host program's score.
    ///
    /// Less than that takes `CAP_SYS_RESOURCE`, and is an error of `start` without it.
    #[doc(alias = "--oom-score-adj")]
    pub fn oom_score_adj(mut self, score: i32) -> Self {
        self.settings.security.oom_score_adj = Some(score);
        self
    }

    /// Adds a group, by name or number, to those of the user.
    ///
    /// An ordinary user's container has one group only: it is an error of `start` there.
    #[doc(alias = "--group-add")]
    pub fn group_add(mut self, group: impl Into<String>) -> Self {
        self.settings.security.groups.push(group.into());
        self
    }

    /// Sets a parameter of the kernel in the container's namespaces: `kernel.shm…`, `kernel.msg…`, `kernel.sem`,
    /// `fs.mqueue.…` and, with a network of its own, `net.…`. All others would be the host's, and are an error of `create`.
    #[doc(alias = "--sysctl")]
    pub fn sysctl(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.security.sysctls.insert(name.into(), value.into());
        self
    }

    /// The size of `/dev/shm`. Default: 64 MiB.
    #[doc(alias = "--shm-size")]
    pub fn shm_size(mut self, size: impl Into<ByteSize>) -> Self {
        self.settings.security.shm_size = Some(size.into().as_u64());
        self
    }

    /// The NIS domain name in the container. Default: none.
    #[doc(alias = "--domainname")]
    pub fn domainname(mut self, name: impl Into<String>) -> Self {
        self.settings.security.domainname = Some(name.into());
        self
    }

    /// Hides these paths instead of the sensitive parts of `/proc` and `/sys`. What is not there is passed over.
    #[doc(alias = "MaskedPaths")]
    pub fn masked_paths<S: Into<String>>(mut self, paths: impl IntoIterator<Item = S>) -> Self {
        self.settings.security.masked_paths = Some(paths.into_iter().map(Into::into).collect());
        self
    }

    /// Shows and lets write all of `/proc`: what is hidden and read-only by default tells about the host and can change it.
    #[doc(alias = "systempaths=unconfined")]
    pub fn unmasked(self) -> Self {
        self.masked_paths([""; 0]).read_only_paths([""; 0])
    }

    /// Refuses writes to these paths instead of `/proc/sys` and others that change the host.
    #[doc(alias = "ReadonlyPaths")]
    pub fn read_only_paths<S: Into<String>>(mut self, paths: impl IntoIterator<Item = S>) -> Self {
        self.settings.security.read_only_paths = Some(paths.into_iter().map(Into::into).collect());
        self
    }

    /// Adds a name to its `/etc/hosts`.
    #[doc(alias = "--add-host")]
    pub fn add_host(mut self, name: impl Into<String>, address: impl Into<IpAddr>) -> Self {
        self.settings.security.hosts.push((name.into(), address.into()));
        self
    }

    /// Asks this name server. Default: the host's with the host's network, else none.
    #[doc(alias = "--dns")]
    pub fn dns(mut self, server: impl Into<IpAddr>) -> Self {
        self.settings.security.dns.push(server.into());
        self
    }

    /// Looks names without a dot up in this domain.
    #[doc(alias = "--dns-search")]
    pub fn dns_search(mut self, domain: impl Into<String>) -> Self {
        self.settings.security.dns_search.push(domain.into());
        self
    }

    /// Sets an option of the resolver, such as `ndots:2`.
    #[doc(alias = "--dns-option")]
    pub fn dns_option(mut self, option: impl Into<String>) -> Self {
        self.settings.security.dns_options.push(option.into());
        self
    }
}
