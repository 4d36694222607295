//! The network a container sees.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};

/// The network a container sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum NetworkMode {
    /// A network of its own with a loopback interface, reached from the host program alone. The default.
    #[default]
    Private,
    /// The network of the host, all of it.
    Host,
    /// A network of its own in which nothing is up.
    None,
}

impl NetworkMode {
    /// The network Docker is told of: it knows none that is ours.
    pub(crate) fn docker_name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Private | Self::None => "none",
        }
    }

    /// What a `NetworkMode` that we or Docker recorded means to us.
    pub(crate) fn of_docker(name: &str) -> Self {
        if name == "host" { Self::Host } else { Self::Private }
    }
}

impl fmt::Display for NetworkMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Private => "private",
            Self::Host => "host",
            Self::None => "none",
        })
    }
}

impl FromStr for NetworkMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "private" => Ok(Self::Private),
            "host" => Ok(Self::Host),
            "none" => Ok(Self::None),
            _ => Err(Error::new(
                ErrorKind::InvalidArgument,
                format_args!("unknown network {text:?} (there are private, host and none)"),
            )),
        }
    }
}
