//! Published ports: an address of the host that leads to a port of a container.
//!
//! They are held from before the process starts, forwarded by this program while it runs, or by the supervisor of a kept
//! container, and recorded where Docker has them: the wish in `HostConfig.PortBindings`, the addresses in
//! `NetworkSettings.Ports`.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rustix::net::{AddressFamily, SocketType};
use serde_json::{Map, Value, json};

use super::Container;
use super::config::Config;
use super::definition::Definition;
use super::handle::{Handle, HandleFault};
use super::network::NetworkMode;
use super::port::PortOf;
use super::record::Record;
use super::store::Files;
use crate::error::{Attempt, Error, ErrorKind, Fault, Result};
use crate::network::{Bound, Family, Forwarded, Upstream, bind};
use crate::spec::port::ExposedPort;
use crate::sys::inside::socket;

/// The key of the addresses in `NetworkSettings`.
const PORTS: &str = "Ports";

/// An address of the host at which a port is published: a port of `127.0.0.1`, or an address and a port. Port 0 is any that
/// is free.
///
/// ```
/// use plywood::container::HostAddress;
/// assert_eq!(HostAddress::from(8080).to_string(), "127.0.0.1:8080");
/// assert_eq!(HostAddress::from(([0, 0, 0, 0], 80)).to_string(), "0.0.0.0:80");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostAddress(SocketAddr);

impl From<u16> for HostAddress {
    fn from(port: u16) -> Self {
        Self(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }
}

impl From<SocketAddr> for HostAddress {
    fn from(address: SocketAddr) -> Self {
        Self(address)
    }
}

impl<A: Into<IpAddr>> From<(A, u16)> for HostAddress {
    fn from((address, port): (A, u16)) -> Self {
        Self(SocketAddr::new(address.into(), port))
    }
}

impl std::fmt::Display for HostAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A port of a running container, and where the host has it. It prints as `127.0.0.1:8080->80/tcp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublishedPort {
    /// Where it can be reached.
    pub address: SocketAddr,
    /// Where it leads to.
    pub port: ExposedPort,
}

impl std::fmt::Display for PublishedPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}->{}", self.address, self.port)
    }
}

/// A port to be published, as `-p` has it: `[[IP:]HOST:]PORT[/udp]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish {
    /// The address of the host.
    pub host: HostAddress,
    /// The port of the container.
    pub port: ExposedPort,
}

impl FromStr for Publish {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |why: &str| Error::from(PublishFault::Text { text: text.to_owned(), why: why.to_owned() });
        let (host, port) = text.rsplit_once(':').map_or((None, text), |(host, port)| (Some(host), port));
        let port = ExposedPort::parse(port).map_err(|error| wrong(&error.to_string()))?;
        let number = |text: &str| match text {
            "" => Ok(0),
            text => text.parse::<u16>().map_err(|_| wrong("the port of the host is no number up to 65535")),
        };
        let host = match host.map(|host| host.rsplit_once(':').map_or((None, host), |(ip, port)| (Some(ip), port))) {
            None => HostAddress::from(0),
            Some((None, host)) => HostAddress::from(number(host)?),
            Some((Some(ip), host)) => {
                let ip = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip);
                let ip: IpAddr = ip.parse().map_err(|_| wrong("the host is no address"))?;
                HostAddress::from((ip, number(host)?))
            }
        };
        Ok(Self { host, port })
    }
}

#[derive(Debug, thiserror::Error)]
enum PublishFault {
    #[error("publish {text:?}: {why}")]
    Text { text: String, why: String },
    #[error("publish {0}: it has the network of the host")]
    HostNetwork(ExposedPort),
    #[error("reach port {port} of {title} from the host: it is not published")]
    Unpublished { port: ExposedPort, title: String },
    #[error("the address {0} of its published port is none")]
    Recorded(String),
}

impl Fault for PublishFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Text { .. } | Self::HostNetwork(_) => ErrorKind::InvalidArgument,
            Self::Unpublished { .. } => ErrorKind::NotFound,
            Self::Recorded(_) => ErrorKind::Corrupt,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::HostNetwork(_) => "what it listens on is a port of the host already",
            Self::Unpublished { .. } => {
                "publish it in the definition, or use `connect`, which takes no port of the host"
            }
            Self::Text { .. } => "it reads [[IP:]HOST_PORT:]CONTAINER_PORT[/udp]",
            Self::Recorded(_) => return None,
        };
        Some(hint.to_owned())
    }
}

impl<D> Definition<D> {
    /// Publishes a port: what connects to an address of the host reaches the port of the container. Again for further ones.
    ///
    /// A number is a port of `127.0.0.1`, which nobody outside the host reaches; 0 is any that is free, and
    /// [`addr`](Container::addr) tells which. It is taken before the container starts, so that nobody else can have it, and
    /// forwarded by this program for as long as the container runs: no firewall rule, no privilege. A connection reaches the
    /// container from `127.0.0.1` inside. The ports of a [kept](Self::keep) container outlive this program.
    ///
    /// ```no_run
    /// # use plywood::{Container, Engine};
    /// # fn main() -> plywood::Result<()> {
    /// # let engine = Engine::open_default()?;
    /// let web = Container::of("nginx:1.27").publish(0, 80).start(&engine)?;
    /// println!("{}", web.url("http", 80)?); // http://127.0.0.1:41827
    /// # Ok(()) }
    /// ```
    #[doc(alias = "--publish")]
    #[doc(alias = "-p")]
    pub fn publish(mut self, host: impl Into<HostAddress>, port: impl PortOf<D>) -> Self {
        self.settings.published.push((host.into().0, port.choose().exposed()));
        self
    }
}

impl<D> Container<D> {
    /// Where the host has a published port of the running container.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if it is not published,
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) if the container is not running.
    #[doc(alias = "docker port")]
    pub fn addr(&self, port: impl PortOf<D>) -> Result<SocketAddr> {
        self.handle().published(port.choose().exposed())
    }

    /// The same as a URL: `http://127.0.0.1:41827`. An address that stands for all is named by that of the loopback interface.
    ///
    /// # Errors
    /// As for [`addr`](Self::addr).
    pub fn url(&self, scheme: &str, port: impl PortOf<D>) -> Result<String> {
        let mut address = self.addr(port)?;
        if address.ip().is_unspecified() {
            address.set_ip(if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
        }
        Ok(format!("{scheme}://{address}"))
    }
}

/// The published ports of a container that this program runs.
#[derive(Debug, Default)]
pub(super) struct Ports(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Taken, and not forwarded yet.
    bound: Vec<Bound>,
    forwarded: Vec<Forwarded>,
}

impl Ports {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives them back to the host.
    pub(super) fn clear(&self) {
        *self.lock() = State::default();
    }
}

impl Handle {
    /// Takes the ports of the host that the container is to have.
    pub(super) fn take_ports(&self, files: &Files) -> Result<()> {
        let wanted = wanted(files.host.port_bindings.as_ref())?;
        let bound = wanted.into_iter().map(|(address, port)| bind(address, port)).collect::<Result<Vec<_>>>()?;
        self.sockets.ports.lock().bound = bound;
        Ok(())
    }

    /// Forwards what comes in, from now on.
    pub(super) fn forward_ports(self: &Arc<Self>) -> Result<()> {
        let mut ports = self.sockets.ports.lock();
        for bound in std::mem::take(&mut ports.bound) {
            let port = bound.port;
            let forwarded = bound.forward(Arc::new(Inside(Arc::downgrade(self))));
            ports.forwarded.push(forwarded.attempt(|| format!("forward port {port}"))?);
        }
        Ok(())
    }

    /// Where the ports are, for our record and, in its shape, Docker's.
    pub(super) fn record_ports(&self, files: &mut Files) {
        let ports = self.sockets.ports.lock().bound.iter().map(|bound| (bound.address, bound.port)).collect();
        if let Some(record) = &mut files.record {
            record.publish(&mut files.config, ports);
        }
    }

    /// The sockets that the supervisor of a kept container forwards, and the ports of the container.
    pub(super) fn listeners(&self) -> Result<Vec<(OwnedFd, ExposedPort)>> {
        let ports = self.sockets.ports.lock();
        let sockets = ports.bound.iter().map(|bound| Ok((bound.socket()?, bound.port)));
        sockets.collect::<io::Result<_>>().attempt(|| "hand its ports over to a supervisor")
    }

    fn published(&self, port: ExposedPort) -> Result<SocketAddr> {
        if !self.state()?.0.is_running() {
            return Err(HandleFault::NotRunningTo { verb: "reach", title: self.title() }.into());
        }
        let found = published(&self.files()?).into_iter().find(|published| published.port == port);
        let unpublished = || PublishFault::Unpublished { port, title: self.title() }.into();
        found.map(|published| published.address).ok_or_else(unpublished)
    }
}

impl Record {
    /// Notes where the ports are.
    pub(super) fn publish(&mut self, config: &mut Config, ports: Vec<(SocketAddr, ExposedPort)>) {
        if !ports.is_empty() {
            config.network_settings.other.insert(PORTS.to_owned(), json!(bindings(&ports)));
        }
        self.ports = ports;
    }
}

/// Where a container that runs has its ports.
pub(super) fn published(files: &Files) -> Vec<PublishedPort> {
    let recorded = files.record.iter().flat_map(|record| &record.ports);
    recorded.map(|(address, port)| PublishedPort { address: *address, port: *port }).collect()
}

/// What is published is not, once the container has ended.
pub(super) fn forget(settings: &mut Map<String, Value>) {
    settings.remove(PORTS);
}

/// `PortBindings` of a definition.
pub(super) fn record(published: &[(SocketAddr, ExposedPort)], network: NetworkMode) -> Result<BTreeMap<String, Value>> {
    match published.first() {
        Some((_, port)) if network == NetworkMode::Host => Err(PublishFault::HostNetwork(*port).into()),
        _ => Ok(bindings(published)),
    }
}

/// By port, as Docker has them.
fn bindings(published: &[(SocketAddr, ExposedPort)]) -> BTreeMap<String, Value> {
    let mut bindings: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (address, port) in published {
        let binding = json!({ "HostIp": address.ip().to_string(), "HostPort": address.port().to_string() });
        bindings.entry(port.to_string()).or_default().push(binding);
    }
    bindings.into_iter().map(|(port, list)| (port, Value::Array(list))).collect()
}

/// Reads bindings as Docker writes them: an empty address is any, an empty port is one that is free.
fn wanted(bindings: Option<&BTreeMap<String, Value>>) -> Result<Vec<(SocketAddr, ExposedPort)>> {
    let mut found = Vec::new();
    for (port, list) in bindings.into_iter().flatten() {
        let port = ExposedPort::parse(port)?;
        for binding in list.as_array().into_iter().flatten() {
            let text = |key: &str| binding.get(key).and_then(Value::as_str).unwrap_or_default();
            let (ip, number) = (text("HostIp"), text("HostPort"));
            let wrong = || PublishFault::Recorded(format!("{ip}:{number}"));
            let ip = if ip.is_empty() { Ipv4Addr::UNSPECIFIED.into() } else { ip.parse().map_err(|_| wrong())? };
            let number = if number.is_empty() { 0 } else { number.parse().map_err(|_| wrong())? };
            found.push((SocketAddr::new(ip, number), port));
        }
    }
    Ok(found)
}

/// Where connections go to.
struct Inside(Weak<Handle>);

impl Inside {
    fn within<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        let handle = self.handle()?;
        let first = handle.first_process("reach")?;
        handle.network_place(&first)?.within(work)
    }

    fn handle(&self) -> io::Result<Arc<Handle>> {
        self.0.upgrade().ok_or_else(|| io::ErrorKind::ConnectionRefused.into())
    }
}

impl Upstream for Inside {
    fn tcp(&self, family: Family) -> io::Result<OwnedFd> {
        if family == Family::V6 {
            return self.within(|| socket(AddressFamily::INET6, SocketType::STREAM));
        }
        let handle = self.handle()?;
        Ok(handle.tcp_socket(&handle.first_process("reach")?)?)
    }

    fn udp(&self, family: Family, port: u16) -> io::Result<UdpSocket> {
        let loopback: IpAddr = match family {
            Family::V4 => Ipv4Addr::LOCALHOST.into(),
            Family::V6 => Ipv6Addr::LOCALHOST.into(),
        };
        self.within(|| {
            let socket = UdpSocket::bind((loopback, 0))?;
            socket.connect((loopback, port))?;
            Ok(socket)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ports_to_publish_are_read_as_docker_reads_them() {
        let table = [
            ("80", "127.0.0.1:0", "80/tcp"),
            ("8080:80", "127.0.0.1:8080", "80/tcp"),
            ("5353:53/udp", "127.0.0.1:5353", "53/udp"),
            ("0.0.0.0:8080:80", "0.0.0.0:8080", "80/tcp"),
            ("127.0.0.1::80", "127.0.0.1:0", "80/tcp"),
            ("[::1]:8080:80", "[::1]:8080", "80/tcp"),
        ];
        for (text, host, port) in table {
            let publish: Publish = text.parse().unwrap();
            assert_eq!((publish.host.to_string(), publish.port.to_string()), (host.to_owned(), port.to_owned()));
        }
        for (text, why) in [
            ("web", "invalid port \"web\": `web` is not a port: ports are numbers"),
            ("70000:80", "the port of the host is no number up to 65535"),
            ("host:1:80", "the host is no address"),
        ] {
            assert_eq!(text.parse::<Publish>().unwrap_err().to_string(), format!("publish {text:?}: {why}"));
        }
    }

    #[test]
    fn bindings_of_docker_are_read_back() {
        let bindings = BTreeMap::from([
            ("53/udp".to_owned(), json!([{ "HostIp": "::1", "HostPort": "53" }])),
            (
                "80/tcp".to_owned(),
                json!([{ "HostIp": "", "HostPort": "" }, { "HostIp": "127.0.0.1", "HostPort": "1" }]),
            ),
            ("81/tcp".to_owned(), Value::Null),
        ]);
        let read: Vec<_> = wanted(Some(&bindings)).unwrap().into_iter().map(|(a, b)| format!("{a} {b}")).collect();
        assert_eq!(read, ["[::1]:53 53/udp", "0.0.0.0:0 80/tcp", "127.0.0.1:1 80/tcp"]);
        let odd = BTreeMap::from([("80/tcp".to_owned(), json!([{ "HostIp": "here", "HostPort": "1" }]))]);
        assert_eq!(wanted(Some(&odd)).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
