//! Which namespaces a container shares with the host.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};

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
