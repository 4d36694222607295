//! Forwarded datagrams, as in `sdk/src/network/udp.rs`: each sender has a socket of its own in the network of the container,
//! so that the answers find back.
//!
//! The senders are in memory of a size that is known from the start, as connections are: found by address in chains, and
//! used as far as there are senders.

use crate::kernel;
use crate::numbers::*;
use crate::ports::FIRST;
use crate::tcp::{self, Family, Name};

/// A sender that has been silent for so long, both ways, is forgotten, in milliseconds.
const SILENCE: u64 = 60_000;

/// As many senders one port has; the one that has been silent longest goes for a further one.
pub const MOST: u32 = 1024;

/// After so many datagrams it is the next one's turn.
const TURN: u32 = 64;

/// The largest datagram, in bytes.
const LARGEST: usize = 1 << 16;

/// How many chains there are.
const CHAINS: usize = 1024;

/// One sender.
struct Peer {
    /// In the network of the container; -1 while the place is free.
    socket: i32,
    door: u32,
    sender: Name,
    /// When something has come from it or for it.
    heard: u64,
    /// The next one of the chain, or the next free place: its number and one, 0 if there is none.
    next: u32,
}

/// The senders of all ports.
pub struct Peers {
    epoll: i32,
    /// The first key of theirs.
    keys: u64,
    buffer: *mut u8,
    places: *mut Peer,
    chains: *mut u32,
    room: u32,
    /// How many places have been used, the first one that is free again, and how many are not.
    used: u32,
    free: u32,
    open: u32,
    swept: u64,
}

impl Peers {
    /// With room for so many; `None` without memory.
    pub fn new(epoll: i32, keys: u64, room: u32) -> Option<Self> {
        let places = size_of::<Peer>().wrapping_mul(room as usize);
        let size = LARGEST.wrapping_add(places).wrapping_add(CHAINS.wrapping_mul(size_of::<u32>()));
        let buffer = kernel::map_private(size)?;
        let first = buffer.wrapping_add(LARGEST);
        let (places, chains) = (first.cast::<Peer>(), first.wrapping_add(places).cast::<u32>());
        let swept = kernel::uptime();
        Some(Self { epoll, keys, buffer, places, chains, room, used: 0, free: 0, open: 0, swept })
    }

    /// Passes on what has come to a door.
    pub fn receive(&mut self, door: u32, port: u16) {
        for _ in 0..TURN {
            match tcp::receive_from(FIRST.wrapping_add(door as i32), self.buffer, LARGEST) {
                Ok((length, sender)) => self.pass(door, port, sender, length),
                Err(EAGAIN) => return,
                // Of an answer that could not be delivered.
                Err(_) => {}
            }
        }
    }

    /// What is not taken is lost, as datagrams are.
    fn pass(&mut self, door: u32, port: u16, sender: Name, length: usize) {
        if let Some(place) = self.find(door, &sender)
            && let Some(peer) = self.peer(place)
        {
            peer.heard = kernel::uptime();
            if tcp::send(peer.socket, self.buffer, length) != Err(ECONNREFUSED) {
                return;
            }
            // That was the answer to an earlier one; the server may be there now.
            self.close(place);
        }
        for family in [Family::V4, Family::V6] {
            let Some(socket) = connected(family, port) else { continue };
            let _ = tcp::send(socket, self.buffer, length);
            // On the loopback interface it is known at once that nobody is there.
            if tcp::error(socket) != ECONNREFUSED {
                return self.open(socket, door, sender);
            }
            kernel::close(socket);
        }
    }

    /// Passes on what has come from the container for a sender.
    pub fn answer(&mut self, place: u32) {
        let Some(peer) = self.peer(place) else { return };
        peer.heard = kernel::uptime();
        for _ in 0..TURN {
            match tcp::receive_from(peer.socket, self.buffer, LARGEST) {
                Ok((length, _)) => tcp::send_to(FIRST.wrapping_add(peer.door as i32), self.buffer, length, &peer.sender),
                Err(EAGAIN) => return,
                Err(_) => return self.close(place),
            }
        }
    }

    /// Passes on the answers that there are, and forgets all.
    pub fn end(&mut self) {
        for place in 0..self.used {
            self.answer(place);
            self.close(place);
        }
    }

    /// When somebody may have been silent for too long.
    pub fn until(&self) -> Option<u64> {
        (self.open > 0).then_some(self.swept.wrapping_add(SILENCE / 4))
    }

    pub fn forget_the_silent(&mut self) {
        let now = kernel::uptime();
        if self.until().is_none_or(|until| now < until) {
            return;
        }
        self.swept = now;
        for place in 0..self.used {
            if self.peer(place).is_some_and(|peer| now.wrapping_sub(peer.heard) >= SILENCE) {
                self.close(place);
            }
        }
    }

    fn open(&mut self, socket: i32, door: u32, sender: Name) {
        let of_door = |place: &u32| self.peer(*place).is_some_and(|peer| peer.door == door);
        if self.open >= self.room {
            self.close_oldest(None);
        } else if self.open >= MOST && (0..self.used).filter(of_door).count() >= MOST as usize {
            self.close_oldest(Some(door));
        }
        let place = match self.place(self.free.wrapping_sub(1)) {
            Some(peer) => core::mem::replace(&mut self.free, peer.next).wrapping_sub(1),
            None => {
                let place = self.used;
                self.used = place.wrapping_add(1);
                place
            }
        };
        let first = self.chain(door, &sender);
        let peer = Peer { socket, door, sender, heard: kernel::uptime(), next: *first };
        *first = place.wrapping_add(1);
        // SAFETY: there is room for as many, and nobody refers to one that is free.
        unsafe { self.places.wrapping_add(place as usize).write(peer) };
        if self.open == 0 {
            self.swept = kernel::uptime();
        }
        self.open = self.open.wrapping_add(1);
        if tcp::watch(self.epoll, EPOLL_CTL_ADD, socket, EPOLLIN, self.keys.wrapping_add(place.into())).is_err() {
            self.close(place);
        }
    }

    fn close_oldest(&mut self, door: Option<u32>) {
        let all = (0..self.used).filter_map(|place| Some((place, self.peer(place)?)));
        let oldest = all.filter(|(_, peer)| door.is_none_or(|door| peer.door == door)).min_by_key(|(_, peer)| peer.heard);
        if let Some((place, _)) = oldest {
            self.close(place);
        }
    }

    fn close(&mut self, place: u32) {
        let Some(peer) = self.peer(place) else { return };
        let mut link = self.chain(peer.door, &peer.sender);
        while *link != place.wrapping_add(1) {
            let Some(before) = self.place(link.wrapping_sub(1)) else { break };
            link = &mut before.next;
        }
        *link = peer.next;
        kernel::close(peer.socket);
        (peer.socket, peer.next) = (-1, self.free);
        self.free = place.wrapping_add(1);
        self.open = self.open.wrapping_sub(1);
    }

    fn find(&self, door: u32, sender: &Name) -> Option<u32> {
        let mut next = *self.chain(door, sender);
        loop {
            let place = next.checked_sub(1)?;
            let peer = self.place(place)?;
            if peer.door == door && peer.sender == *sender {
                return Some(place);
            }
            next = peer.next;
        }
    }

    /// Where the chain of an address begins.
    fn chain(&self, door: u32, sender: &Name) -> &'static mut u32 {
        let add = |sum: u32, byte: &u8| sum.wrapping_mul(31).wrapping_add(u32::from(*byte));
        let chain = sender.bytes.iter().fold(door, add) as usize % CHAINS;
        // SAFETY: there are as many, zero at first; one reference at a time is used.
        unsafe { &mut *self.chains.wrapping_add(chain) }
    }

    /// A place that has been used, whether or not it is free.
    fn place(&self, place: u32) -> Option<&'static mut Peer> {
        // SAFETY: it has been written; one reference at a time is used.
        (place < self.used).then(|| unsafe { &mut *self.places.wrapping_add(place as usize) })
    }

    /// A sender; `None` if it has gone with an earlier event.
    fn peer(&self, place: u32) -> Option<&'static mut Peer> {
        self.place(place).filter(|peer| peer.socket >= 0)
    }
}

/// A socket whose datagrams go to a port of the loopback interface.
fn connected(family: Family, port: u16) -> Option<i32> {
    let socket = tcp::socket(family, SOCK_DGRAM).ok()?;
    if tcp::connect(socket, family, port).is_ok() {
        return Some(socket);
    }
    kernel::close(socket);
    None
}
