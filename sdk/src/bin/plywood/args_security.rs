//! What `run` and `create` take about the protection of the host from the container.

use clap::Args;
use plywood::container::{Capability, Definition, Seccomp};

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
    /// no-new-privileges[=false], seccomp=unconfined or seccomp=PROFILE.json
    #[arg(long, value_name = "OPTION")]
    security_opt: Vec<String>,
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
        for option in &self.security_opt {
            definition = security_option(definition, option)?;
        }
        Ok(definition)
    }
}

fn security_option(definition: Definition, text: &str) -> Outcome<Definition> {
    Ok(match text.split_once(['=', ':']) {
        // As it is by default.
        None if text == "no-new-privileges" => definition,
        Some(("no-new-privileges", "true")) => definition,
        Some(("no-new-privileges", "false")) => definition.allow_new_privileges(),
        Some(("seccomp", "unconfined")) => definition.seccomp(Seccomp::Unconfined),
        Some(("seccomp", "builtin")) => definition.seccomp(Seccomp::Default),
        Some(("seccomp", path)) => definition.seccomp(Seccomp::File(path.into())),
        _ => {
            let why = "there is no-new-privileges[=false], seccomp=unconfined and seccomp=FILE";
            return Err(Failure::usage(format!("invalid --security-opt {text:?}: {why}")));
        }
    })
}
