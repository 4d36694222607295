//! How the protection of the host is kept in `hostconfig.json`, in Docker's fields and words.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::capability::{self, Capability};
use super::definition::{Seccomp, Security};
use super::host_config::HostConfig;
use crate::error::{Attempt, Error, ErrorKind, Fault, Result};
use crate::runtime::{ProcessSpec, SeccompProfile};
use crate::sys::capability::{CapabilitySet, effective};
use crate::sys::probe::{Privilege, privilege};

/// No profile is larger: Docker's own has 14 KB.
const MAX_PROFILE: u64 = 1 << 20;

const NO_NEW_PRIVILEGES: &str = "no-new-privileges";

#[derive(Debug, thiserror::Error)]
enum SecurityFault {
    #[error("give it {0}: this program does not have that capability itself")]
    Lacking(Capability),
    #[error("read the seccomp profile {0:?}: it is larger than 1 MiB")]
    Large(std::path::PathBuf),
    #[error("security option {0:?} is unknown")]
    Option(String),
}

impl Fault for SecurityFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Lacking(_) => ErrorKind::PermissionDenied,
            Self::Large(_) => ErrorKind::LimitExceeded,
            Self::Option(_) => ErrorKind::Unsupported,
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
    host.security_opt = Some(options).filter(|options| !options.is_empty());
    Ok(())
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
