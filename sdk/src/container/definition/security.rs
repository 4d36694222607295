//! What a container may do, beyond or below the default.

use std::path::PathBuf;

use super::Definition;
use crate::container::capability::Capability;

/// What a definition says about the protection of the host.
#[derive(Debug, Clone, Default)]
pub(crate) struct Security {
    pub(crate) added: Vec<Capability>,
    pub(crate) dropped: Vec<Capability>,
    pub(crate) allows_new_privileges: bool,
    pub(crate) seccomp: Seccomp,
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
}
