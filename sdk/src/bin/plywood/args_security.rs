//! What `run` and `create` take about the protection of the host from the container.

use std::net::IpAddr;

use clap::Args;
use plywood::ByteSize;
use plywood::container::{Capability, Definition, Device, NamespaceMode, Resource, Seccomp, UserNamespace};

use crate::failure::{Failure, Outcome};

/// How far a container is isolated.
#[derive(Debug, Args)]
#[command(next_help_heading = "Isolation")]
pub struct Security {
    /// Add a capability; ALL adds every one
    #[arg(long, value_name = "CAPABILITY")]
    cap_add: Vec<String>,
    /// Drop a capability; ALL drops every one
    #[arg(long, value_name = "CAPABILITY")]
    cap_drop: Vec<String>,
    /// Whose users it has: host, or private for ids of its own
    #[arg(long, value_name = "MODE")]
    userns: Option<String>,
    /// Whose shared memory and message queues it has: private, shareable, none, host, or those of another one:
    /// `container:NAME`
    #[arg(long, value_name = "MODE")]
    pub ipc: Option<String>,
    /// Among whose processes its own are: private, host, or those of another one: `container:NAME`
    #[arg(long, value_name = "MODE")]
    pub pid: Option<String>,
    /// Whose host name it has: private or host
    #[arg(long, value_name = "MODE")]
    uts: Option<String>,
    /// From where it sees cgroups: private for its own, or host
    #[arg(long, value_name = "MODE")]
    cgroupns: Option<String>,
    /// Give it a device of the host
    #[arg(long, value_name = "HOST[:CONTAINER][:rwm]")]
    device: Vec<String>,
    /// no-new-privileges[=false], seccomp=PROFILE.json, seccomp=unconfined or systempaths=unconfined
    #[arg(long, value_name = "OPTION")]
    security_opt: Vec<String>,
    /// Limit each process: NAME=SOFT[:HARD], such as nofile=1024:2048; -1 is no limit
    #[arg(long, value_name = "LIMIT")]
    ulimit: Vec<String>,
    /// How readily the kernel kills it when memory runs out: -1000 to 1000
    #[arg(long, value_name = "SCORE", allow_negative_numbers = true)]
    oom_score_adj: Option<i32>,
    /// Add a group to the user's, by name or number
    #[arg(long, value_name = "GROUP")]
    group_add: Vec<String>,
    /// Set a kernel parameter of the container's namespaces
    #[arg(long, value_name = "NAME=VALUE")]
    sysctl: Vec<String>,
    /// The size of /dev/shm
    #[arg(long, value_name = "SIZE")]
    shm_size: Option<String>,
    /// The NIS domain name
    #[arg(long, value_name = "NAME")]
    domainname: Option<String>,
    /// Add a name to /etc/hosts
    #[arg(long, value_name = "NAME:ADDRESS")]
    add_host: Vec<String>,
    /// Ask this name server
    #[arg(long, value_name = "ADDRESS")]
    dns: Vec<String>,
    /// Look names up in this domain
    #[arg(long, value_name = "DOMAIN")]
    dns_search: Vec<String>,
    /// Set an option of the resolver
    #[arg(long, visible_alias = "dns-opt", value_name = "OPTION")]
    dns_option: Vec<String>,
}

impl Security {
    /// The definition with all of it.
    pub fn apply(&self, mut definition: Definition) -> Outcome<Definition> {
        for name in &self.cap_add {
            definition = definition.cap_add(name.parse::<Capability>()?);
        }
        for name in &self.cap_drop {
            definition = definition.cap_drop(name.parse::<Capability>()?);
        }
        if let Some(mode) = &self.userns {
            definition = definition.user_namespace(mode.parse::<UserNamespace>()?);
        }
        if let Some(mode) = &self.uts {
            definition = definition.uts_namespace(mode.parse::<NamespaceMode>()?);
        }
        if let Some(mode) = &self.cgroupns {
            definition = definition.cgroup_namespace(mode.parse::<NamespaceMode>()?);
        }
        for text in &self.device {
            definition = definition.device(text.parse::<Device>()?);
        }
        for option in &self.security_opt {
            definition = security_option(definition, option)?;
        }
        for text in &self.ulimit {
            definition = ulimit(definition, text)?;
        }
        if let Some(score) = self.oom_score_adj {
            definition = definition.oom_score_adj(score);
        }
        for group in &self.group_add {
            definition = definition.group_add(group);
        }
        for text in &self.sysctl {
            let Some((name, value)) = text.split_once('=') else {
                return Err(Failure::usage(format!("invalid --sysctl {text:?}: it is NAME=VALUE")));
            };
            definition = definition.sysctl(name, value);
        }
        self.surroundings(definition)
    }

    fn surroundings(&self, mut definition: Definition) -> Outcome<Definition> {
        if let Some(size) = &self.shm_size {
            definition = definition.shm_size(ByteSize::parse(size)?);
        }
        if let Some(name) = &self.domainname {
            definition = definition.domainname(name);
        }
        for text in &self.add_host {
            // An IPv6 address has colons too, and may stand in brackets.
            let parts = text.split_once([':', '=']).map(|(name, address)| (name, address.trim_matches(['[', ']'])));
            let Some((name, Ok(address))) = parts.map(|(name, address)| (name, address.parse::<IpAddr>())) else {
                return Err(Failure::usage(format!("invalid --add-host {text:?}: it is NAME:ADDRESS")));
            };
            definition = definition.add_host(name, address);
        }
        for text in &self.dns {
            let Ok(address) = text.parse::<IpAddr>() else {
                return Err(Failure::usage(format!("invalid --dns {text:?}: it is an IP address")));
            };
            definition = definition.dns(address);
        }
        for domain in &self.dns_search {
            definition = definition.dns_search(domain);
        }
        for option in &self.dns_option {
            definition = definition.dns_option(option);
        }
        Ok(definition)
    }
}

fn ulimit(definition: Definition, text: &str) -> Outcome<Definition> {
    let wrong = || Failure::usage(format!("invalid --ulimit {text:?}: it is NAME=SOFT[:HARD], numbers or -1"));
    let (name, limits) = text.split_once('=').ok_or_else(wrong)?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let number = |text: &str| match text {
        "-1" | "unlimited" => Ok(Resource::UNLIMITED),
        text => text.parse::<u64>().map_err(|_| wrong()),
    };
    Ok(definition.rlimit(name.parse()?, number(soft)?, number(hard)?))
}

fn security_option(definition: Definition, text: &str) -> Outcome<Definition> {
    Ok(match text.split_once(['=', ':']) {
        // As it is by default.
        None if text == "no-new-privileges" => definition,
        Some(("no-new-privileges", "true")) => definition,
        Some(("no-new-privileges", "false")) => definition.allow_new_privileges(),
        Some(("seccomp", "unconfined")) => definition.seccomp(Seccomp::Unconfined),
        Some(("seccomp", "builtin")) => definition.seccomp(Seccomp::Default),
        Some(("systempaths", "unconfined")) => definition.unmasked(),
        Some(("seccomp", path)) => definition.seccomp(Seccomp::File(path.into())),
        _ => {
            let why = "there is no-new-privileges[=false], seccomp=FILE, seccomp=unconfined and systempaths=unconfined";
            return Err(Failure::usage(format!("invalid --security-opt {text:?}: {why}")));
        }
    })
}
