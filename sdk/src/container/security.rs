//! How the protection of the host is kept in `hostconfig.json`, in Docker's fields and words.

use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::Path;

use super::capability::{self, Capability};
use super::definition::{Seccomp, Security};
use super::host_config::{HostConfig, Ulimit};
use super::namespaces::NamespaceMode;
use super::network::CONTAINER;
use super::resource::Resource;
use crate::error::{Attempt, Error, ErrorKind, Fault, Result};
use crate::runtime::{Isolation, Limit, ProcessSpec, SeccompProfile};
use crate::sys::capability::{CapabilitySet, effective};
use crate::sys::namespace;
use crate::sys::probe::{Privilege, privilege};

/// No profile is larger: Docker's own has 14 KB.
const MAX_PROFILE: u64 = 1 << 20;

/// The namespace of shared memory and message queues, as errors name it.
const IPC: &str = "shared memory and message queues";

const NO_NEW_PRIVILEGES: &str = "no-new-privileges";

#[derive(Debug, thiserror::Error)]
enum SecurityFault {
    #[error("give it {0}: this program does not have that capability itself")]
    Lacking(Capability),
    #[error("read the seccomp profile {0:?}: it is larger than 1 MiB")]
    Large(std::path::PathBuf),
    #[error("security option {0:?} is unknown")]
    Option(String),
    #[error("set {0}: it is a parameter of the host, not of the container")]
    HostParameter(String),
    #[error("set {parameter}: the container has the {namespace} of {owner}")]
    NotItsOwn { parameter: String, namespace: &'static str, owner: &'static str },
    #[error("set the size of /dev/shm: it has none")]
    NoSharedMemory,
    #[error("limit {0}: the soft limit is above the hard one")]
    Limit(Resource),
    #[error("set the OOM score to {0}: it is -1000 to 1000")]
    OomScore(i32),
    #[error("invalid {0} {1:?}: it is empty, or holds white space or a control character")]
    Word(&'static str, String),
    #[error("invalid path {0:?}: it is absolute, and has no `..`")]
    Path(String),
    #[error("add groups to its user: in a container of an ordinary user one group exists")]
    OneGroup,
}

impl Fault for SecurityFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Lacking(_) => ErrorKind::PermissionDenied,
            Self::Large(_) => ErrorKind::LimitExceeded,
            Self::Option(_) | Self::OneGroup => ErrorKind::Unsupported,
            _ => ErrorKind::InvalidArgument,
        }
    }

    fn path(&self) -> Option<&Path> {
        match self {
            Self::Large(path) => Some(path),
            _ => None,
        }
    }
}

/// Writes what a definition wants into the container's files.
pub(super) fn record(security: &Security, host: &mut HostConfig) -> Result<()> {
    let names = |list: &[Capability]| {
        let names: Vec<String> = list.iter().map(Capability::to_string).collect();
        Some(names).filter(|names| !names.is_empty())
    };
    host.cap_add = names(&security.added);
    host.cap_drop = names(&security.dropped);
    let mut options = Vec::new();
    if security.allows_new_privileges {
        options.push(format!("{NO_NEW_PRIVILEGES}:false"));
    }
    match &security.seccomp {
        Seccomp::Default => {}
        Seccomp::Unconfined => options.push("seccomp=unconfined".to_owned()),
        Seccomp::Profile(text) => options.push(profile_option(text)?),
        Seccomp::File(path) => options.push(profile_option(&read(path)?)?),
    }
    host.security_opt = some(options);
    record_process(security, host)?;
    record_surroundings(security, host)
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}

fn record_process(security: &Security, host: &mut HostConfig) -> Result<()> {
    let mut ulimits = Vec::new();
    for (resource, (soft, hard)) in &security.limits {
        if soft > hard {
            return Err(SecurityFault::Limit(*resource).into());
        }
        // Docker's numbers are signed: -1 is no limit, and so is anything beyond.
        let signed = |value: u64| i64::try_from(value).unwrap_or(-1);
        ulimits.push(Ulimit { name: resource.to_string(), hard: signed(*hard), soft: signed(*soft) });
    }
    host.ulimits = some(ulimits);
    if let Some(score) = security.oom_score_adj {
        if !(-1000..=1000).contains(&score) {
            return Err(SecurityFault::OomScore(score).into());
        }
        host.oom_score_adj = score;
    }
    for group in &security.groups {
        word("group", group)?;
    }
    host.group_add = some(security.groups.clone());
    Ok(())
}

fn record_surroundings(security: &Security, host: &mut HostConfig) -> Result<()> {
    for (name, value) in &security.sysctls {
        check_sysctl(name, host)?;
        if value.contains('\0') {
            return Err(SecurityFault::Word("value", value.clone()).into());
        }
    }
    host.sysctls = Some(security.sysctls.clone()).filter(|sysctls| !sysctls.is_empty());
    if security.shm_size.is_some() {
        check_own("the size of /dev/shm", &host.ipc_mode, IPC)?;
        if host.ipc_mode == "none" {
            return Err(SecurityFault::NoSharedMemory.into());
        }
    }
    host.shm_size = security.shm_size.unwrap_or(host.shm_size);
    for path in security.masked_paths.iter().chain(&security.read_only_paths).flatten() {
        let is_plain = path.starts_with('/') && path.len() > 1 && !path.split('/').any(|part| part == "..");
        if !is_plain || path.contains('\0') {
            return Err(SecurityFault::Path(path.clone()).into());
        }
    }
    host.masked_paths = security.masked_paths.clone();
    host.readonly_paths = security.read_only_paths.clone();
    for (name, _) in &security.hosts {
        word("host name", name)?;
    }
    host.extra_hosts = some(security.hosts.iter().map(|(name, address)| format!("{name}:{address}")).collect());
    host.dns = some(security.dns.iter().map(IpAddr::to_string).collect());
    for search in &security.dns_search {
        word("domain", search)?;
    }
    for option in &security.dns_options {
        word("resolver option", option)?;
    }
    host.dns_search = some(security.dns_search.clone());
    host.dns_options = some(security.dns_options.clone());
    Ok(())
}

/// One word of a line in a file.
pub(super) fn word(what: &'static str, text: &str) -> Result<()> {
    match text.is_empty() || text.contains(|char: char| char.is_whitespace() || char.is_control()) {
        true => Err(SecurityFault::Word(what, text.to_owned()).into()),
        false => Ok(()),
    }
}

/// Only what belongs to a namespace of the container.
fn check_sysctl(name: &str, host: &HostConfig) -> Result<()> {
    const IPC_PARAMETERS: [&str; 8] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    let belongs = |mode: &str, namespace| check_own(name, mode, namespace);
    // Slashes and `..` would lead elsewhere in /proc.
    let is_plain = name.split('.').all(|part| !part.is_empty())
        && name.chars().all(|char| char.is_ascii_alphanumeric() || "._-".contains(char));
    match () {
        () if !is_plain => Err(SecurityFault::Word("parameter", name.to_owned()).into()),
        () if IPC_PARAMETERS.contains(&name) || name.starts_with("fs.mqueue.") => belongs(&host.ipc_mode, IPC),
        () if name == "kernel.domainname" => belongs(&host.uts_mode, "names"),
        () if name.starts_with("net.") => belongs(&host.network_mode, "network"),
        () => Err(SecurityFault::HostParameter(name.to_owned()).into()),
    }
}

/// Refuses to set what belongs to a namespace of somebody else.
fn check_own(parameter: &str, mode: &str, namespace: &'static str) -> Result<()> {
    let owner = match () {
        () if is_host(mode) => "the host",
        () if mode.starts_with(CONTAINER) => "another one",
        () => return Ok(()),
    };
    Err(SecurityFault::NotItsOwn { parameter: parameter.to_owned(), namespace, owner }.into())
}

/// Whether a mode that we record means the host's namespace.
fn is_host(mode: &str) -> bool {
    NamespaceMode::of_docker(mode) == NamespaceMode::Host
}

/// Which namespaces of the host it has, of those that it has for itself by default.
pub(super) fn host_namespaces(host: &HostConfig) -> u64 {
    let modes = [
        (&host.pid_mode, namespace::PID),
        (&host.ipc_mode, namespace::IPC),
        (&host.uts_mode, namespace::UTS),
        (&host.cgroupns_mode, namespace::CGROUP),
    ];
    modes.into_iter().filter(|(mode, _)| is_host(mode)).fold(0, |bits, (_, bit)| bits | bit)
}

/// How the container differs from the default isolation.
pub(super) fn isolation(host: &HostConfig, domainname: &str) -> Isolation {
    Isolation {
        masked_paths: host.masked_paths.clone(),
        read_only_paths: host.readonly_paths.clone(),
        shm_size: Some(host.shm_size).filter(|size| *size > 0),
        no_shared_memory: host.ipc_mode == "none",
        sysctls: host.sysctls.clone().into_iter().flatten().collect(),
        domainname: domainname.to_owned(),
    }
}

fn profile_option(text: &str) -> Result<String> {
    SeccompProfile::custom(text)?;
    Ok(format!("seccomp={text}"))
}

fn read(path: &Path) -> Result<String> {
    let attempt = || format!("read the seccomp profile {path:?}");
    let mut text = String::new();
    let file = File::open(path).attempt(attempt).map_err(|error| error.with_path(path))?;
    file.take(MAX_PROFILE + 1).read_to_string(&mut text).attempt(attempt).map_err(|error| error.with_path(path))?;
    match text.len() as u64 > MAX_PROFILE {
        true => Err(SecurityFault::Large(path.to_owned()).into()),
        false => Ok(text),
    }
}

/// Restricts a process as the container's files say.
pub(super) fn restrict(spec: &mut ProcessSpec, host: &HostConfig) -> Result<()> {
    let added = parse(host.cap_add.as_deref())?;
    spec.capabilities = capability::tweak(&added, &parse(host.cap_drop.as_deref())?);
    for option in host.security_opt.iter().flatten() {
        // Docker takes both signs.
        match option.split_once(['=', ':']).unwrap_or((option, "true")) {
            (NO_NEW_PRIVILEGES, "true") => spec.no_new_privileges = true,
            (NO_NEW_PRIVILEGES, "false") => spec.no_new_privileges = false,
            ("seccomp", "unconfined") => spec.seccomp = SeccompProfile::Unconfined,
            ("seccomp", "builtin") => spec.seccomp = SeccompProfile::Default,
            ("seccomp", text) => spec.seccomp = SeccompProfile::custom(text)?,
            _ => return Err(SecurityFault::Option(option.clone()).into()),
        }
    }
    for ulimit in host.ulimits.iter().flatten() {
        let resource: Resource = ulimit.name.parse()?;
        // Every negative number is no limit, as in Docker.
        let unsigned = |value: i64| u64::try_from(value).unwrap_or(u64::MAX);
        let (soft, hard) = (unsigned(ulimit.soft), unsigned(ulimit.hard));
        spec.limits.push(Limit { name: resource.name(), resource: resource.number(), soft, hard });
    }
    // 0 is what Docker writes when nothing was asked for.
    spec.oom_score_adj = Some(host.oom_score_adj).filter(|score| *score != 0);
    if host.privileged {
        spec.capabilities = CapabilitySet::ALL;
        spec.seccomp = SeccompProfile::Unconfined;
        return Ok(());
    }
    lacking(&added)
}

fn parse(names: Option<&[String]>) -> Result<Vec<Capability>> {
    names.unwrap_or_default().iter().map(|name| name.parse()).collect()
}

/// Refuses groups that would be left out.
pub(super) fn check_groups(groups: &[String]) -> Result<()> {
    match privilege() == Privilege::User && !groups.is_empty() {
        true => Err(SecurityFault::OneGroup.into()),
        false => Ok(()),
    }
}

/// What was asked for by name is given or refused. In a user namespace all are there to give.
fn lacking(added: &[Capability]) -> Result<()> {
    if privilege() == Privilege::User || added.is_empty() {
        return Ok(());
    }
    let own = effective().attempt(|| "read the capabilities of this process")?;
    let is_lacking =
        |capability: &&Capability| **capability != Capability::ALL && capability.set().within(own) != capability.set();
    match added.iter().find(is_lacking) {
        Some(capability) => Err(Error::from(SecurityFault::Lacking(*capability))),
        None => Ok(()),
    }
}
