//! Forwards the published ports of a kept container, as `sdk/src/network/forward.rs` does it for a program.
//!
//! All it knows is in memory of a size that is known from the start, which is used as far as there are connections:
//! [`MOST`] of them at once, or as many as there may be descriptors for. Who comes beyond waits in the queue of the listener.
//! Datagrams are the matter of `udp.rs`; their senders may take half of the descriptors.

use crate::kernel;
use crate::link::{CHANGES, Link, Pipes, Progress};
use crate::numbers::*;
use crate::orders::{self, Orders};
use crate::ports::{END, FIRST, LINE, end_with_parent};
use crate::tcp::{self, Event, Family};
use crate::udp::{self, Peers};

/// As many connections at once.
const MOST: u32 = 4096;

/// How many descriptors a connection takes at most: two sockets, and two pipes with something in them.
const FILES: u64 = 6;
/// How many it takes beside the connections and the listeners: standard streams, line, epoll, and pipes to spare.
const OTHERS: u64 = 48;

/// After so many new connections it is the next listener's turn.
const TURN: u32 = 64;

/// How long nobody is let in after descriptors or memory have run out, in milliseconds.
const STARVED: u64 = 50;

/// How long what an ended container had sent may take to go out, in milliseconds.
const REST: u64 = 10_000;

/// The keys: places of connections come first, then listeners.
const LINE_KEY: u64 = u64::MAX;
const DOORS: u64 = MOST as u64;
/// Then senders of datagrams.
const PEERS: u64 = 1 << 32;

/// No place.
const NONE: u32 = u32::MAX;

/// How many events are taken at once.
const EVENTS: usize = 64;

struct State<'a> {
    epoll: i32,
    orders: &'a Orders,
    /// How many listeners there are.
    doors: i32,
    links: *mut Link,
    room: u32,
    /// How many places have been used, the first one that is free again, and how many are not.
    used: u32,
    free: u32,
    open: u32,
    pipes: Pipes,
    peers: Peers,
    /// Whether the listeners are not listened to, and until when; `u64::MAX` for until there is room.
    shut: Option<u64>,
    /// When it ends at the latest, since the container has.
    end: Option<u64>,
}

/// Returns to nobody.
pub fn run(doors: i32, orders: &Orders) -> ! {
    let files = kernel::raise_file_limit().saturating_sub(OTHERS.wrapping_add(doors as u64));
    let datagrams = orders.each(orders::PORT).filter(|port| is_udp(port)).count() as u64;
    let senders = datagrams.wrapping_mul(udp::MOST.into()).min(files / 2).max(1);
    let room = (files.saturating_sub(senders) / FILES).clamp(1, MOST.into()) as u32;
    let links = kernel::map_private(size_of::<Link>().wrapping_mul(room as usize));
    let (Some(links), Ok(epoll)) = (links, tcp::epoll()) else { kernel::exit(1) };
    let Some(peers) = Peers::new(epoll, PEERS, senders as u32) else { kernel::exit(1) };
    let (links, pipes) = (links.cast::<Link>(), Pipes::new());
    let (used, free, open, shut, end) = (0, NONE, 0, None, None);
    let mut state = State { epoll, orders, doors, links, room, used, free, open, pipes, peers, shut, end };
    let watched = tcp::watch(epoll, EPOLL_CTL_ADD, LINE, EPOLLIN, LINE_KEY);
    if watched.is_err() || !state.watch_doors(EPOLL_CTL_ADD, EPOLLIN, |_| true) {
        kernel::exit(1)
    }
    state.forward()
}

impl State<'_> {
    fn forward(&mut self) -> ! {
        let mut events = [Event { what: 0, key: 0 }; EVENTS];
        loop {
            let found = tcp::wait(self.epoll, &mut events, self.pause());
            for Event { key, .. } in events.iter().take(found).copied() {
                match key {
                    LINE_KEY => self.obey(),
                    PEERS.. => self.peers.answer(key.wrapping_sub(PEERS) as u32),
                    DOORS.. => self.come(key.wrapping_sub(DOORS) as i32),
                    place => self.attend(place as u32),
                }
            }
            self.peers.forget_the_silent();
            if self.shut.is_some_and(|until| until <= kernel::uptime()) {
                self.let_in();
            }
            if self.end.is_some_and(|end| self.open == 0 || end <= kernel::uptime()) {
                self.leave()
            }
        }
    }

    /// How long nothing happens at most.
    fn pause(&self) -> Option<u64> {
        let until = self.end.into_iter().chain(self.shut).chain(self.peers.until()).min().filter(|until| *until < u64::MAX)?;
        // At least one, so that the time is over then.
        Some(until.saturating_sub(kernel::uptime()).max(1))
    }

    /// Hears the supervisor.
    fn obey(&mut self) {
        if kernel::read_byte(LINE) != Some(END) {
            kernel::exit(0)
        }
        // By way of the doors.
        self.peers.end();
        let _ = self.watch_doors(EPOLL_CTL_DEL, 0, |_| true);
        (FIRST..FIRST.wrapping_add(self.doors)).for_each(kernel::close);
        self.doors = 0;
        end_with_parent(false);
        kernel::send(LINE, &[END]);
        let _ = tcp::watch(self.epoll, EPOLL_CTL_DEL, LINE, 0, LINE_KEY);
        kernel::close(LINE);
        (self.shut, self.end) = (None, Some(kernel::uptime().wrapping_add(REST)));
        (0..self.used).for_each(|place| self.attend(place));
    }

    /// Ends; what has not gone out is cut off.
    fn leave(&mut self) -> ! {
        for place in 0..self.used {
            if let Some(link) = self.link(place) {
                link.abort();
            }
        }
        kernel::exit(0)
    }

    /// Whether those could be told whose ports are meant.
    fn watch_doors(&self, how: u64, what: u32, is_meant: impl Fn(&[u8]) -> bool) -> bool {
        let ports = self.orders.each(orders::PORT).zip(0..self.doors).filter(|(port, _)| is_meant(port));
        let watch = |door: i32| tcp::watch(self.epoll, how, FIRST.wrapping_add(door), what, DOORS.wrapping_add(door as u64));
        ports.fold(true, |all, (_, door)| all & watch(door).is_ok())
    }

    fn shut(&mut self, until: u64) {
        let _ = self.watch_doors(EPOLL_CTL_MOD, 0, |port| !is_udp(port));
        self.shut = Some(until);
    }

    fn let_in(&mut self) {
        let _ = self.watch_doors(EPOLL_CTL_MOD, EPOLLIN, |port| !is_udp(port));
        self.shut = None;
    }

    /// Somebody has come to a door.
    fn come(&mut self, door: i32) {
        let Some(port) = self.orders.each(orders::PORT).nth(door as usize) else { return };
        let number = kernel::parse(port) as u16;
        match is_udp(port) {
            // They may have been closed since the event.
            true if door < self.doors => self.peers.receive(door as u32, number),
            true => {}
            false => self.accept(door, number),
        }
    }

    fn accept(&mut self, door: i32, port: u16) {
        for _ in 0..TURN {
            // It may have been shut since the event.
            if self.shut.is_some() || door >= self.doors {
                return;
            }
            if self.open >= self.room {
                return self.shut(u64::MAX);
            }
            match tcp::accept(FIRST.wrapping_add(door)) {
                Ok(client) => self.begin(client, port),
                Err(EMFILE | ENFILE | ENOBUFS | ENOMEM) => return self.shut(kernel::uptime().wrapping_add(STARVED)),
                // There are no more, or that one has gone again.
                Err(EAGAIN) => return,
                Err(_) => {}
            }
        }
    }

    fn begin(&mut self, client: i32, port: u16) {
        let Some(link) = Link::open(client, port) else {
            tcp::reset(client);
            return kernel::close(client);
        };
        let place = match self.link_at(self.free) {
            Some(free) => core::mem::replace(&mut self.free, free.next),
            None => {
                let place = self.used;
                self.used = place.wrapping_add(1);
                place
            }
        };
        let server = link.server;
        // SAFETY: there is room for as many, and nobody refers to one that is free.
        unsafe { self.links.wrapping_add(place as usize).write(link) };
        self.open = self.open.wrapping_add(1);
        if [client, server].into_iter().any(|fd| tcp::watch(self.epoll, EPOLL_CTL_ADD, fd, CHANGES, place.into()).is_err()) {
            self.cut_off(place);
        }
    }

    /// A place that has been used, whether or not it is free.
    fn link_at(&self, place: u32) -> Option<&'static mut Link> {
        // SAFETY: it has been written; one reference at a time is used.
        (place < self.used).then(|| unsafe { &mut *self.links.wrapping_add(place as usize) })
    }

    /// A connection; `None` if it has gone with an earlier event.
    fn link(&self, place: u32) -> Option<&'static mut Link> {
        self.link_at(place).filter(|link| link.client >= 0)
    }

    fn attend(&mut self, place: u32) {
        let Some(link) = self.link(place) else { return };
        match link.go_on(self.end.is_some(), &mut self.pipes) {
            Progress::Waits => {}
            // It is told of again, after the others.
            Progress::More => {
                for fd in [link.client, link.server] {
                    let _ = tcp::watch(self.epoll, EPOLL_CTL_MOD, fd, CHANGES, place.into());
                }
            }
            Progress::Other => {
                let reached = link.reach(Family::V6);
                if !reached || tcp::watch(self.epoll, EPOLL_CTL_ADD, link.server, CHANGES, place.into()).is_err() {
                    self.cut_off(place);
                }
            }
            Progress::Over => self.close(place),
        }
    }

    fn cut_off(&mut self, place: u32) {
        if let Some(link) = self.link(place) {
            link.abort();
        }
        self.close(place);
    }

    fn close(&mut self, place: u32) {
        let Some(link) = self.link(place) else { return };
        link.close(&mut self.pipes);
        link.next = self.free;
        self.free = place;
        self.open = self.open.wrapping_sub(1);
        if self.shut == Some(u64::MAX) {
            self.let_in();
        }
    }
}

/// Whether datagrams come to a port, as the orders have it.
fn is_udp(port: &[u8]) -> bool {
    port.ends_with(b"/udp")
}
