//! Ports of a container: `80/tcp`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Invalid, text_value};
use crate::error::Result;

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// `tcp`, `udp` or `sctp`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A port that an image declares or a container listens on: number and protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExposedPort {
    number: u16,
    protocol: Protocol,
}

impl ExposedPort {
    /// The port of this number.
    pub const fn new(number: u16, protocol: Protocol) -> Self {
        Self { number, protocol }
    }

    /// Reads `80` or `80/tcp`; without a protocol it is TCP.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) with the broken rule.
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = |why: String| Invalid::new("port", text, why);
        let ports = plywood_syntax::port::parse(text)
            .map_err(|problem| Invalid { hint: problem.help, ..invalid(problem.message) })?;
        if ports.first != ports.last {
            return Err(invalid("it is a range of ports".into()).into());
        }
        let protocol = match ports.protocol {
            "udp" => Protocol::Udp,
            "sctp" => Protocol::Sctp,
            _ => Protocol::Tcp,
        };
        Ok(Self { number: ports.first, protocol })
    }

    /// The number.
    pub const fn number(&self) -> u16 {
        self.number
    }

    /// The protocol.
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }
}

impl From<u16> for ExposedPort {
    fn from(number: u16) -> Self {
        Self::new(number, Protocol::Tcp)
    }
}

impl fmt::Display for ExposedPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol)
    }
}

text_value!(ExposedPort);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ports_are_read_and_printed_with_their_protocol() {
        for (text, printed) in [("80", "80/tcp"), ("53/udp", "53/udp"), ("1/SCTP", "1/sctp")] {
            assert_eq!(ExposedPort::parse(text).unwrap().to_string(), printed);
        }
    }

    #[test]
    fn what_is_not_a_port_is_refused_with_the_rule() {
        let table = [
            ("80800", "`80800` is not a port"),
            ("0", "`0` is not a port"),
            ("http", "`http` is not a port: ports are numbers"),
            ("8080:80", "`EXPOSE` takes the container's port only"),
            ("+80", "`+80` is not a port: ports are numbers"),
            ("80-90", "it is a range of ports"),
            ("80/upd", "unknown protocol `upd`"),
        ];
        for (text, why) in table {
            assert_eq!(ExposedPort::parse(text).unwrap_err().to_string(), format!("invalid port {text:?}: {why}"));
        }
    }
}
