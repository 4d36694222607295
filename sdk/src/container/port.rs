//! A port of a container, as a caller names it.

use crate::error::{Error, ErrorKind, Fault};
use crate::spec::named::Port;
use crate::spec::port::{ExposedPort, Protocol};

/// What names a port of a container of definition `D`: a number, or a [`Port`] of `D`. That of another definition does not
/// compile.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no port of a container of `{D}`",
    label = "expected a number, or a port that `{D}` exposes"
)]
pub trait PortOf<D> {
    #[doc(hidden)]
    fn choose(self) -> ChosenPort;
}

/// The port that a [`PortOf`] means; a plain number is of the protocol that the verb speaks.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct ChosenPort {
    number: u16,
    protocol: Option<Protocol>,
}

impl<D> PortOf<D> for u16 {
    fn choose(self) -> ChosenPort {
        ChosenPort { number: self, protocol: None }
    }
}

impl<D> PortOf<D> for Port<D> {
    fn choose(self) -> ChosenPort {
        ChosenPort { number: self.number(), protocol: Some(self.protocol()) }
    }
}

impl<D> PortOf<D> for ExposedPort {
    fn choose(self) -> ChosenPort {
        ChosenPort { number: self.number(), protocol: Some(self.protocol()) }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("reach {port} of a container by {wanted}: it is declared for {}", port.protocol())]
struct WrongProtocol {
    port: ExposedPort,
    wanted: Protocol,
}

impl Fault for WrongProtocol {
    fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidArgument
    }

    fn hint(&self) -> Option<String> {
        match self.port.protocol() {
            Protocol::Tcp => Some("use `connect`".to_owned()),
            Protocol::Udp => Some("use `connect_udp`".to_owned()),
            _ => None,
        }
    }
}

impl ChosenPort {
    /// As it is, or TCP.
    pub(super) fn exposed(self) -> ExposedPort {
        ExposedPort::new(self.number, self.protocol.unwrap_or_default())
    }

    /// Its number, if it is of this protocol.
    pub(crate) fn of(self, wanted: Protocol) -> Result<u16, Error> {
        match self.protocol {
            Some(protocol) if protocol != wanted => {
                Err(WrongProtocol { port: ExposedPort::new(self.number, protocol), wanted }.into())
            }
            _ => Ok(self.number),
        }
    }
}
