//! Which namespaces a container shares with the host.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};

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
