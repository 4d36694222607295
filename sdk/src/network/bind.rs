//! Ports of the host, held from before a container starts.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::Upstream;
use super::forward::{self, Forwarded};
use crate::error::{Error, ErrorKind, Fault, Result};
use crate::spec::port::{ExposedPort, Protocol};
use crate::sys::listening::{self, Holder};

/// A port of the host that is held and not forwarded yet.
#[derive(Debug)]
pub(crate) struct Bound {
    /// Where it is forwarded to.
    pub(crate) port: ExposedPort,
    /// Where it listens: never port 0.
    pub(crate) address: SocketAddr,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

/// As many connections may wait to be let in, at most: what the kernel allows by default (`net.core.somaxconn`). Those beyond
/// are dropped, and tried again after a second: the 128 of the standard library are soon there when many come at once.
const WAITING: i32 = 4096;

/// Listens on a TCP port for as many at once as the kernel allows.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    rustix::net::listen(&listener, WAITING)?;
    Ok(listener)
}

#[derive(Debug, thiserror::Error)]
#[error("publish {port} at {address}: {why}")]
struct BindFault {
    port: ExposedPort,
    address: SocketAddr,
    why: Why,
}

#[derive(Debug)]
enum Why {
    Taken(Option<Holder>),
    Privileged,
    Address,
    Protocol,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken(Some(Holder { pid, name })) => write!(f, "process {pid} ({name}) has it"),
            Self::Taken(None) => f.write_str("another program has it"),
            Self::Privileged => f.write_str("this user may not have a port that low"),
            Self::Address => f.write_str("the host has no such address"),
            Self::Protocol => f.write_str("only ports of TCP and UDP can be published"),
        }
    }
}

impl Fault for BindFault {
    fn kind(&self) -> ErrorKind {
        match self.why {
            Why::Taken(_) => ErrorKind::InUse,
            Why::Privileged => ErrorKind::PermissionDenied,
            Why::Address => ErrorKind::NotFound,
            Why::Protocol => ErrorKind::Unsupported,
        }
    }

    fn hint(&self) -> Option<String> {
        match self.why {
            Why::Taken(_) => Some("publish another port, or 0 for one that is free".to_owned()),
            Why::Privileged => Some(
                "publish one from 1024 on, or 0 for one that is free; net.ipv4.ip_unprivileged_port_start says which are low"
                    .to_owned(),
            ),
            Why::Address | Why::Protocol => None,
        }
    }
}

/// Takes a port of the host; port 0 is any that is free.
pub(crate) fn bind(address: SocketAddr, port: ExposedPort) -> Result<Bound> {
    let bound = match port.protocol() {
        Protocol::Tcp => listen(address).and_then(|it| Ok((it.local_addr()?, Socket::Tcp(it)))),
        Protocol::Udp => UdpSocket::bind(address).and_then(|it| Ok((it.local_addr()?, Socket::Udp(it)))),
        _ => return Err(BindFault { port, address, why: Why::Protocol }.into()),
    };
    let (actual, socket) = bound.map_err(|error| {
        let why = match error.kind() {
            io::ErrorKind::AddrInUse => Why::Taken(listening::holder(address.port(), port.protocol() == Protocol::Udp)),
            io::ErrorKind::PermissionDenied => Why::Privileged,
            io::ErrorKind::AddrNotAvailable => Why::Address,
            _ => return Error::os(format_args!("publish {port} at {address}"), error),
        };
        BindFault { port, address, why }.into()
    })?;
    Ok(Bound { port, address: actual, socket })
}

impl Bound {
    /// A copy of its socket, which does not block, for whoever forwards it beside this program.
    pub(crate) fn socket(&self) -> io::Result<OwnedFd> {
        match &self.socket {
            Socket::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                Ok(listener.try_clone()?.into())
            }
            Socket::Udp(socket) => {
                socket.set_nonblocking(true)?;
                Ok(socket.try_clone()?.into())
            }
        }
    }

    /// Begins to forward what comes in; ends when the result is dropped.
    pub(crate) fn forward(self, upstream: Arc<dyn Upstream>) -> io::Result<Forwarded> {
        let port = self.port.number();
        match self.socket {
            Socket::Tcp(listener) => forward::tcp(listener, port, upstream),
            Socket::Udp(socket) => forward::udp(socket, port, upstream),
        }
    }
}
