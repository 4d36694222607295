//! Networks that containers have in common ([`shared`]), and published ports: what comes to a port of the host is forwarded
//! into a network that the host cannot reach.
//!
//! Of publishing: no firewall rule, no bridge and no process takes part. One thread of this program, begun with its first published port,
//! accepts, makes a socket where the [`Upstream`] has its network, and moves the bytes between the two with
//! [`splice(2)`](https://man7.org/linux/man-pages/man2/splice.2.html): they stay in the kernel. It sleeps while there is
//! nothing to move.
//!
//! ```text
//! client ── listener ┐                       ┌ socket of the container's network ── server
//!                    └── pipe, pipe (64 KiB) ┘   the other direction has two sockets' buffers and a pipe as well
//! ```
//!
//! A connection holds a pipe only while there is something in it. So a reader that is slow holds up its sender, with what the
//! pipe and the buffers of the sockets hold, and an idle connection costs two descriptors. The pipes of up to eight streams
//! hold 1 MiB, which fewer calls move.

mod bind;
mod forward;
mod shared;
mod tcp;
mod udp;

use std::io;
use std::net::UdpSocket;
use std::os::fd::OwnedFd;

pub(crate) use bind::{Bound, bind, listen};
pub(crate) use forward::Forwarded;
pub use shared::Network;
pub(crate) use shared::Seat;

/// Makes sockets in the network where connections go to.
pub(crate) trait Upstream: Send + Sync {
    /// A TCP socket that is not connected.
    fn tcp(&self, family: Family) -> io::Result<OwnedFd>;
    /// A UDP socket that is connected to a port of the loopback interface.
    fn udp(&self, family: Family, port: u16) -> io::Result<UdpSocket>;
}

/// Which of the two internets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}
