//! Reaching a container: connections that are made inside its network, so that nothing of the host takes part.
//!
//! No port of the host is used, no address, no firewall rule and no interface: a hundred containers may listen on the same
//! port. A connection is at its container's loopback interface, like one that a process in there makes.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_error};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, connect};

use super::Container;
use super::create::attempted;
use super::handle::Handle;
use super::port::PortOf;
use super::sockets::First;
use crate::error::{Attempt, ErrorKind, Fault, Result};
use crate::network;
use crate::spec::port::Protocol;
use crate::sys::fs::open_in_root;
use crate::sys::inside::socket;
use crate::sys::listening;

/// How long a Unix socket whose queue of connections is full is waited for.
const FULL_QUEUE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
enum ReachFault {
    #[error("nothing listens on it{}", .0)]
    Refused(Listening),
    #[error("a process in the container has it already")]
    Taken,
    #[error("nobody listens on it")]
    NobodyListens,
    #[error("it is a socket of another kind than a stream")]
    OtherKind,
    #[error("its queue of connections is full")]
    Full,
}

impl Fault for ReachFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused(_) | Self::NobodyListens | Self::Full => ErrorKind::Unavailable,
            Self::Taken => ErrorKind::InUse,
            Self::OtherKind => ErrorKind::InvalidArgument,
        }
    }
}

/// The ports that are listened on instead.
#[derive(Debug)]
pub(super) struct Listening(Vec<u16>);

impl From<BTreeSet<u16>> for Listening {
    fn from(ports: BTreeSet<u16>) -> Self {
        Self(ports.into_iter().collect())
    }
}

/// As many are told.
const TOLD: usize = 10;

impl std::fmt::Display for Listening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some((last, others)) = self.0.get(..self.0.len().min(TOLD)).and_then(<[u16]>::split_last) else {
            return f.write_str(", nor on any other port");
        };
        let others: Vec<String> = others.iter().map(u16::to_string).collect();
        let and = if others.is_empty() { "" } else { " and " };
        write!(f, " (but on {}{and}{last})", others.join(", "))
    }
}

impl<D> Container<D> {
    /// Connects to a TCP port of the running container, inside its network: no port of the host takes part.
    ///
    /// It goes to `127.0.0.1` in there, else to `::1`. The stream is like any other, and can be used anywhere. It blocks
    /// for as long as [`TcpStream::connect`] does, which is not long where both ends are the same host.
    ///
    /// ```no_run
    /// # use plywood::{Container, Engine, layers};
    /// layers! {
    ///     struct Web;
    ///     FROM "nginx:1.27";
    ///     EXPOSE 80 as HTTP;
    /// }
    /// # fn main() -> plywood::Result<()> {
    /// # let engine = Engine::open_default()?;
    /// let web = Container::of(&Web).start(&engine)?;
    /// let stream = web.connect(Web::HTTP)?;
    /// let same = web.connect(80)?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Unavailable`](ErrorKind::Unavailable) if nothing listens there; it names the ports on which something does.
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) if the container is not running or the port is not of TCP.
    pub fn connect(&self, port: impl PortOf<D>) -> Result<TcpStream> {
        self.handle().connect(port.choose().of(Protocol::Tcp)?)
    }

    /// A UDP socket inside the container's network, connected to a port of `127.0.0.1` in there.
    ///
    /// Nothing is sent by it. That nobody receives there is told by the second call that sends or receives.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) if the container is not running or the port is not of UDP.
    pub fn connect_udp(&self, port: impl PortOf<D>) -> Result<UdpSocket> {
        self.handle().connect_udp(port.choose().of(Protocol::Udp)?)
    }

    /// Listens on a TCP port of `127.0.0.1` inside the running container's network: its processes reach this program there.
    ///
    /// Port 0 is any that is free: [`local_addr`](TcpListener::local_addr) tells it. Nobody but the container can connect,
    /// unless it has the [network of the host](super::NetworkMode::Host).
    ///
    /// # Errors
    /// [`InUse`](ErrorKind::InUse) if a process in there has the port,
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) if the container is not running.
    pub fn listen(&self, port: impl PortOf<D>) -> Result<TcpListener> {
        self.handle().listen(port.choose().of(Protocol::Tcp)?)
    }

    /// Connects to a Unix socket of the running container, by its path in there.
    ///
    /// Symbolic links are resolved in the container. The path may be longer than the address of a socket can be.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if there is no such file, [`Unavailable`](ErrorKind::Unavailable) if nobody
    /// listens on it, [`InvalidArgument`](ErrorKind::InvalidArgument) if the container is not running or it is a socket
    /// for datagrams.
    pub fn connect_unix(&self, path: impl AsRef<Path>) -> Result<UnixStream> {
        self.handle().connect_unix(path.as_ref())
    }
}

impl Handle {
    pub(crate) fn connect(&self, port: u16) -> Result<TcpStream> {
        let first = self.first_process("connect to")?;
        let connected = self.try_connect(&first, port);
        connected.map_err(|error| attempted(format!("connect to port {port} of {}", self.title()), error))
    }

    fn try_connect(&self, first: &First, port: u16) -> Result<TcpStream> {
        let stream = self.tcp_socket(first)?;
        match connect_to(&stream, (Ipv4Addr::LOCALHOST, port)) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            connected => return connected.map(|()| TcpStream::from(stream)).attempt(|| "127.0.0.1"),
        }
        let listening = listening::tcp_ports(first.pid()).unwrap_or_default();
        if !listening.contains(&port) {
            return Err(ReachFault::Refused(Listening::from(listening)).into());
        }
        let place = self.network_place(first)?;
        let stream = place.within(|| socket(AddressFamily::INET6, SocketType::STREAM));
        let stream = stream.attempt(|| "make a socket in its network")?;
        connect_to(&stream, (Ipv6Addr::LOCALHOST, port)).attempt(|| "::1")?;
        Ok(TcpStream::from(stream))
    }

    pub(crate) fn connect_udp(&self, port: u16) -> Result<UdpSocket> {
        let first = self.first_process("connect to")?;
        let place = self.network_place(&first)?;
        let connected = place.within(|| {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.connect((Ipv4Addr::LOCALHOST, port))?;
            Ok(socket)
        });
        connected.attempt(|| format!("connect to port {port}/udp of {}", self.title()))
    }

    pub(crate) fn listen(&self, port: u16) -> Result<TcpListener> {
        let first = self.first_process("listen in")?;
        let listener = match self.network_place(&first)?.within(|| network::listen((Ipv4Addr::LOCALHOST, port).into()))
        {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(ReachFault::Taken.into()),
            listener => listener.attempt(|| "bind"),
        };
        listener.map_err(|error| attempted(format!("listen on port {port} of {}", self.title()), error))
    }

    fn connect_unix(self: &Arc<Self>, path: &Path) -> Result<UnixStream> {
        self.first_process("connect to")?;
        let connected = self.root().and_then(|root| {
            let directory = root.directory();
            match root.within(|| connect_in(directory, path))? {
                Err(Errno::CONNREFUSED) => Err(ReachFault::NobodyListens.into()),
                Err(Errno::PROTOTYPE) => Err(ReachFault::OtherKind.into()),
                Err(Errno::AGAIN) => Err(ReachFault::Full.into()),
                connected => connected.attempt(|| "its file"),
            }
        });
        connected.map_err(|error| attempted(format!("connect to {path:?} of {}", self.title()), error))
    }
}

/// Connects to the socket that a path in a root directory leads to.
fn connect_in(root: impl AsFd, path: &Path) -> Result<UnixStream, Errno> {
    let errno = |error: io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    let named = open_in_root(root, path, rustix::fs::OFlags::PATH).map_err(errno)?;
    let stream = socket(AddressFamily::UNIX, SocketType::STREAM).map_err(errno)?;
    // It is short, however long the path is, and leads to the file that was found.
    let address = SocketAddrUnix::new(format!("/proc/self/fd/{}", named.as_raw_fd()))?;
    set_socket_timeout(&stream, Timeout::Send, Some(FULL_QUEUE))?;
    while let Err(error) = connect(&stream, &address) {
        if error != Errno::INTR {
            return Err(error);
        }
    }
    set_socket_timeout(&stream, Timeout::Send, None)?;
    Ok(UnixStream::from(stream))
}

/// Connects, to the end, even if a signal comes in between.
fn connect_to(socket: &OwnedFd, (host, port): (impl Into<IpAddr>, u16)) -> io::Result<()> {
    match connect(socket, &SocketAddr::new(host.into(), port)) {
        // It goes on by itself, and cannot be asked for again.
        Err(Errno::INTR) => loop {
            match poll(&mut [PollFd::new(socket, PollFlags::OUT)], None) {
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                Ok(_) => return socket_error(socket)?.map_err(Into::into),
            }
        },
        connected => Ok(connected?),
    }
}
