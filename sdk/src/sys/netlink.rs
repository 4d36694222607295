//! Links and addresses of the network of the calling thread: [`rtnetlink(7)`](https://man7.org/linux/man-pages/man7/rtnetlink.7.html).

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

/// `IFLA_*`, `IFLA_INFO_*`, `VETH_INFO_*` and `IFA_*` of the kernel's headers.
const NAME: u16 = 3;
const MASTER: u16 = 10;
const LINK_INFO: u16 = 18;
const NAMESPACE: u16 = 28;
const KIND: u16 = 1;
const DATA: u16 = 2;
const PEER: u16 = 1;
const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;

/// The attribute holds attributes.
const NESTED: u16 = 1 << 15;

/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// An answer is an error number behind a header, and the request behind that.
const ANSWER: usize = 4096;

/// A link that is made: its name, and its number, which the network must not have yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link<'a> {
    pub name: &'a str,
    pub number: u32,
}

/// Speaks to the kernel about one network.
#[derive(Debug)]
pub(crate) struct Route(OwnedFd);

impl Route {
    /// About that in which this is called.
    pub(crate) fn open() -> io::Result<Self> {
        // The first of netlink's protocols, NETLINK_ROUTE.
        Ok(Self(socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?))
    }

    /// Makes a bridge that is up.
    pub(crate) fn add_bridge(&self, bridge: Link<'_>) -> io::Result<()> {
        let mut request = Request::link(CREATE, bridge.number, true);
        request.attribute(NAME, bridge.name.as_bytes());
        request.nest(LINK_INFO, |info| info.attribute(KIND, b"bridge"));
        self.ask(request)
    }

    /// Makes a pair of links: one is up and a port of the bridge of this number, the other is in another network.
    pub(crate) fn add_pair(
        &self,
        port: Link<'_>,
        bridge: u32,
        peer: Link<'_>,
        network: BorrowedFd<'_>,
    ) -> io::Result<()> {
        // The kernel takes the number of the peer only if the port has one too.
        let mut request = Request::link(CREATE, port.number, true);
        request.attribute(NAME, port.name.as_bytes());
        request.attribute(MASTER, &bridge.to_ne_bytes());
        request.nest(LINK_INFO, |info| {
            info.attribute(KIND, b"veth");
            info.nest(DATA, |data| {
                data.nest(PEER, |other| {
                    other.about(peer.number, false);
                    other.attribute(NAME, peer.name.as_bytes());
                    other.attribute(NAMESPACE, &network.as_raw_fd().to_ne_bytes());
                });
            });
        });
        self.ask(request)
    }

    /// Gives a link an address, of which so many bits are those of its network, and brings it up.
    pub(crate) fn bring_up(&self, number: u32, address: Ipv4Addr, bits: u8) -> io::Result<()> {
        let mut request = Request::new(libc::RTM_NEWADDR, CREATE);
        // struct ifaddrmsg: family, bits, flags, scope, and the number of the link.
        request.0.extend([libc::AF_INET as u8, bits, 0, 0]);
        request.0.extend(number.to_ne_bytes());
        request.attribute(LOCAL, &address.octets());
        request.attribute(ADDRESS, &address.octets());
        self.ask(request)?;
        self.ask(Request::link(0, number, true))
    }

    fn ask(&self, request: Request) -> io::Result<()> {
        send(&self.0, &request.finish(), SendFlags::empty())?;
        let mut answer = [0; ANSWER];
        let (received, _) = recv(&self.0, &mut answer[..], RecvFlags::empty())?;
        let error = answer[..received].get(HEADER..HEADER + 4).and_then(|error| error.try_into().ok());
        match error.map(i32::from_ne_bytes) {
            Some(0) => Ok(()),
            Some(error) => Err(io::Error::from_raw_os_error(-error)),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// It must not be there yet.
const CREATE: u16 = (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;

struct Request(Vec<u8>);

impl Request {
    fn new(kind: u16, flags: u16) -> Self {
        let flags = flags | (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
        // The length is filled in at the end; the kernel needs neither a number of the message nor one of ours.
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 8]);
        Self(bytes)
    }

    fn link(flags: u16, number: u32, up: bool) -> Self {
        let mut request = Self::new(libc::RTM_NEWLINK, flags);
        request.about(number, up);
        request
    }

    /// `struct ifinfomsg`: family, type, the number of the link, its flags, and which of them are meant.
    fn about(&mut self, number: u32, up: bool) {
        let flags = if up { libc::IFF_UP as u32 } else { 0 };
        self.0.extend([0; 4]);
        for word in [number, flags, flags] {
            self.0.extend(word.to_ne_bytes());
        }
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.nest_as(kind, |request| request.0.extend(value));
    }

    fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        self.nest_as(kind | NESTED, fill);
    }

    /// `struct rtattr`: length and kind, the value, and what fills it up to a multiple of four bytes.
    fn nest_as(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.0.len();
        self.0.extend([0; 2]);
        self.0.extend(kind.to_ne_bytes());
        fill(self);
        let length = ((self.0.len() - start) as u16).to_ne_bytes();
        self.0[start..start + 2].copy_from_slice(&length);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn finish(self) -> Vec<u8> {
        let mut bytes = self.0;
        let length = (bytes.len() as u32).to_ne_bytes();
        bytes[..4].copy_from_slice(&length);
        bytes
    }
}
