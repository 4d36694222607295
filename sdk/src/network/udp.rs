//! Forwarded datagrams: each sender has a socket of its own, so that the answers find back.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Upstream;

/// A sender that has been silent for so long, both ways, is forgotten.
pub(super) const SILENCE: Duration = Duration::from_secs(60);

/// As many senders one port has; the one that has been silent longest goes for a further one.
const MOST: usize = 1024;

/// After so many datagrams it is the next one's turn.
const TURN: u32 = 64;

/// The largest datagram.
pub(super) const LARGEST: usize = 1 << 16;

/// A published port and its senders.
pub(super) struct Port {
    pub(super) socket: Arc<UdpSocket>,
    pub(super) number: u16,
    pub(super) upstream: Arc<dyn Upstream>,
    /// By address: the key of the peer, and when it was last heard.
    pub(super) senders: HashMap<SocketAddr, (u64, Instant)>,
}

/// One sender, seen from the other network.
pub(super) struct Peer {
    pub(super) socket: UdpSocket,
    pub(super) port: u64,
    pub(super) sender: SocketAddr,
    pub(super) answers: Arc<UdpSocket>,
}

impl Port {
    /// Takes datagrams; `pass` is given each with its sender.
    pub(super) fn receive(&self, buffer: &mut [u8], mut pass: impl FnMut(SocketAddr, &[u8])) {
        for _ in 0..TURN {
            match self.socket.recv_from(buffer) {
                Ok((length, sender)) => pass(sender, &buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Of an answer that could not be delivered.
                Err(_) => {}
            }
        }
    }

    /// Whoever has to go for a further sender.
    pub(super) fn surplus(&self) -> Option<SocketAddr> {
        if self.senders.len() < MOST {
            return None;
        }
        self.senders.iter().min_by_key(|(_, (_, heard))| *heard).map(|(sender, _)| *sender)
    }

    /// Whoever has been silent for too long.
    pub(super) fn silent(&self, now: Instant) -> Vec<SocketAddr> {
        let is_silent = |heard: &Instant| now.saturating_duration_since(*heard) >= SILENCE;
        self.senders.iter().filter(|(_, (_, heard))| is_silent(heard)).map(|(sender, _)| *sender).collect()
    }
}

impl Peer {
    /// Passes answers on; false if nobody is there any more.
    pub(super) fn answer(&self, buffer: &mut [u8]) -> bool {
        for _ in 0..TURN {
            match self.socket.recv(buffer) {
                // What the sender's socket does not take is lost, as datagrams are.
                Ok(length) => drop(self.answers.send_to(&buffer[..length], self.sender)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
        }
        true
    }
}
