//! Which namespaces a container shares with the host, or with another container.

use std::fmt;
use std::str::FromStr;

use super::Container;
use super::ipc::IpcMode;
use super::network::CONTAINER;
use crate::error::{Error, ErrorKind};
use crate::spec::id::ContainerId;

/// Whether a container has a namespace of some kind for itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NamespaceMode {
    /// One of its own. The default.
    #[default]
    Private,
    /// That of the host, or rather of the program that starts it.
    Host,
}

impl NamespaceMode {
    /// What a mode means that we or Docker recorded.
    pub(super) fn of_docker(name: &str) -> Self {
        if name == "host" { Self::Host } else { Self::Private }
    }

    /// What Docker calls it where it has no other word than this one.
    pub(super) fn docker_name(&self) -> String {
        Some(self.to_string()).filter(|_| *self == Self::Host).unwrap_or_default()
    }
}

impl fmt::Display for NamespaceMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Private => "private",
            Self::Host => "host",
        })
    }
}

impl FromStr for NamespaceMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "private" => Ok(Self::Private),
            "host" => Ok(Self::Host),
            _ => Err(Error::new(
                ErrorKind::InvalidArgument,
                format_args!("unknown namespace {text:?} (there are private and host)"),
            )),
        }
    }
}

/// Whose namespace a container has, as [`Definition::ipc_namespace`](super::Definition::ipc_namespace) and
/// [`pid_namespace`](super::Definition::pid_namespace) take it: a mode, or another container, whose namespace it shares.
#[derive(Debug, Clone)]
pub struct NamespaceChoice<M>(Choice<M>);

#[derive(Debug, Clone)]
enum Choice<M> {
    Mode(M),
    Container(ContainerId),
}

impl<M: Default> Default for NamespaceChoice<M> {
    fn default() -> Self {
        Self(Choice::Mode(M::default()))
    }
}

impl From<NamespaceMode> for NamespaceChoice<NamespaceMode> {
    fn from(mode: NamespaceMode) -> Self {
        Self(Choice::Mode(mode))
    }
}

impl From<IpcMode> for NamespaceChoice<IpcMode> {
    fn from(mode: IpcMode) -> Self {
        Self(Choice::Mode(mode))
    }
}

impl<M, D> From<&Container<D>> for NamespaceChoice<M> {
    fn from(container: &Container<D>) -> Self {
        Self(Choice::Container(container.id().clone()))
    }
}

impl<M> NamespaceChoice<M> {
    /// What Docker calls it, given what it calls the mode.
    pub(super) fn docker_name(&self, of_mode: impl FnOnce(&M) -> String) -> String {
        match &self.0 {
            Choice::Mode(mode) => of_mode(mode),
            Choice::Container(container) => format!("{CONTAINER}{container}"),
        }
    }

    pub(super) fn is_of_container(&self) -> bool {
        matches!(self.0, Choice::Container(_))
    }
}

/// Whose users a container has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UserNamespace {
    /// Those of the host: root in the container is root of the host, restricted. The default for root; an ordinary user
    /// cannot have it.
    #[default]
    Host,
    /// Users of its own: root in the container is nobody on the host. What an ordinary user always has.
    Private,
}

impl fmt::Display for UserNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "host",
            Self::Private => "private",
        })
    }
}

impl FromStr for UserNamespace {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "host" => Ok(Self::Host),
            "private" => Ok(Self::Private),
            _ => Err(Error::new(
                ErrorKind::InvalidArgument,
                format_args!("unknown user namespace {text:?} (there are private and host)"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn modes_and_containers_are_named_as_docker_names_them() {
        let name = |choice: NamespaceChoice<NamespaceMode>| choice.docker_name(NamespaceMode::docker_name);
        assert_eq!(name(NamespaceMode::Private.into()), "");
        assert_eq!(name(NamespaceMode::Host.into()), "host");
        let id = ContainerId::random().unwrap();
        let other = NamespaceChoice(Choice::Container(id.clone()));
        assert!(other.is_of_container());
        assert_eq!(name(other), format!("container:{id}"));
    }
}
