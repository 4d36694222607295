//! The thread that forwards.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};

use super::tcp::{Link, Pipes, Progress, reset};
use super::udp::{LARGEST, Peer, Port, SILENCE};
use super::{Family, Upstream};

/// The key of the descriptor that tells of orders.
const ORDERS: u64 = 0;

/// After so many connections it is the next one's turn.
const TURN: u32 = 64;

/// How long nobody is let in after descriptors or memory have run out.
const STARVED: Duration = Duration::from_millis(50);

/// A port that is forwarded until this is dropped. What the container has sent still arrives.
#[derive(Debug)]
pub(crate) struct Forwarded {
    thread: Arc<Orders>,
    key: u64,
}

/// How the thread is told what to do.
#[derive(Debug)]
struct Orders {
    /// Of the program: a fork of it has no thread.
    process: u32,
    list: Mutex<Vec<Order>>,
    wake: OwnedFd,
}

enum Order {
    Begin(u64, Box<Entry>),
    End(u64),
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Begin(key, _) => write!(f, "Begin({key})"),
            Self::End(key) => write!(f, "End({key})"),
        }
    }
}

/// What has a key.
enum Entry {
    Door { listener: TcpListener, port: u16, upstream: Arc<dyn Upstream> },
    Link(Link),
    Port(Port),
    Peer(Peer),
}

pub(super) fn tcp(listener: TcpListener, port: u16, upstream: Arc<dyn Upstream>) -> io::Result<Forwarded> {
    listener.set_nonblocking(true)?;
    begin(Entry::Door { listener, port, upstream })
}

pub(super) fn udp(socket: UdpSocket, number: u16, upstream: Arc<dyn Upstream>) -> io::Result<Forwarded> {
    socket.set_nonblocking(true)?;
    begin(Entry::Port(Port { socket: Arc::new(socket), number, upstream, senders: HashMap::new() }))
}

fn begin(entry: Entry) -> io::Result<Forwarded> {
    let thread = thread()?;
    let key = next_key();
    thread.give(Order::Begin(key, Box::new(entry)));
    Ok(Forwarded { thread, key })
}

fn next_key() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(ORDERS + 1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Drop for Forwarded {
    fn drop(&mut self) {
        self.thread.give(Order::End(self.key));
    }
}

impl Orders {
    fn give(&self, order: Order) {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).push(order);
        // Its counter cannot run over.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    fn take(&self) -> Vec<Order> {
        let _ = rustix::io::read(&self.wake, &mut [0; 8]);
        std::mem::take(&mut *self.list.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The thread of this program.
fn thread() -> io::Result<Arc<Orders>> {
    static THREAD: Mutex<Option<Arc<Orders>>> = Mutex::new(None);
    let mut thread = THREAD.lock().unwrap_or_else(PoisonError::into_inner);
    let process = std::process::id();
    if let Some(orders) = thread.as_ref().filter(|orders| orders.process == process) {
        return Ok(Arc::clone(orders));
    }
    let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let orders = Arc::new(Orders { process, list: Mutex::default(), wake });
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &orders.wake, epoll::EventData::new_u64(ORDERS), epoll::EventFlags::IN)?;
    let mut state = State {
        epoll,
        orders: Arc::clone(&orders),
        entries: HashMap::new(),
        unfinished: Vec::new(),
        starved: Vec::new(),
        pipes: Pipes::default(),
        buffer: vec![0; LARGEST],
        peers: 0,
        swept: Instant::now(),
    };
    thread::Builder::new().name("plywood-ports".into()).spawn(move || state.run())?;
    Ok(Arc::clone(thread.insert(orders)))
}

/// What the thread knows.
struct State {
    epoll: OwnedFd,
    orders: Arc<Orders>,
    entries: HashMap<u64, Entry>,
    /// Connections that have more to move at once.
    unfinished: Vec<u64>,
    /// Listeners that let nobody in for a moment.
    starved: Vec<u64>,
    pipes: Pipes,
    buffer: Vec<u8>,
    /// How many entries are peers: they are looked after by the clock.
    peers: usize,
    swept: Instant,
}

impl State {
    fn run(&mut self) {
        let mut events = Vec::with_capacity(256);
        loop {
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), self.pause().as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                // Only a mistake of ours could be the reason; a loop without a pause would be worse than its end.
                Err(error) => return tracing::error!("published ports are not forwarded any more: {error}"),
            }
            for event in &events {
                match event.data.u64() {
                    ORDERS => self.obey(),
                    key => self.attend(key),
                }
            }
            for key in std::mem::take(&mut self.unfinished) {
                self.attend(key);
            }
            if events.is_empty() {
                self.let_in();
            }
            self.forget_the_silent();
        }
    }

    /// How long nothing happens at most.
    fn pause(&self) -> Option<Timespec> {
        let pause = match (self.unfinished.is_empty(), self.starved.is_empty(), self.peers) {
            (false, ..) => Duration::ZERO,
            (_, false, _) => STARVED,
            (_, _, 1..) => SILENCE / 4,
            _ => return None,
        };
        Timespec::try_from(pause).ok()
    }

    fn obey(&mut self) {
        for order in Arc::clone(&self.orders).take() {
            match order {
                Order::Begin(key, entry) => self.insert(key, *entry),
                Order::End(key) => self.end(key),
            }
        }
    }

    fn insert(&mut self, key: u64, entry: Entry) {
        if self.watch(key, &entry).is_ok() {
            self.peers += usize::from(matches!(entry, Entry::Peer(_)));
            self.entries.insert(key, entry);
        }
    }

    fn watch(&self, key: u64, entry: &Entry) -> Result<(), Errno> {
        let add = |fd: BorrowedFd<'_>, flags| epoll::add(&self.epoll, fd, epoll::EventData::new_u64(key), flags);
        match entry {
            Entry::Door { listener, .. } => add(listener.as_fd(), epoll::EventFlags::IN),
            Entry::Port(port) => add(port.socket.as_fd(), epoll::EventFlags::IN),
            Entry::Peer(peer) => add(peer.socket.as_fd(), epoll::EventFlags::IN),
            Entry::Link(link) => {
                // Told of changes only: whatever can be moved is moved at once.
                let flags =
                    epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
                add(link.client.as_fd(), flags)?;
                add(link.server.as_fd(), flags)
            }
        }
    }

    /// Closing a descriptor ends its watch: nothing has a copy of it.
    fn remove(&mut self, key: u64) -> Option<Entry> {
        let removed = self.entries.remove(&key)?;
        self.peers -= usize::from(matches!(removed, Entry::Peer(_)));
        Some(removed)
    }

    fn end(&mut self, door: u64) {
        if let Some(Entry::Port(port)) = self.remove(door) {
            for (peer, _) in port.senders.into_values() {
                self.remove(peer);
            }
        }
        self.starved.retain(|key| *key != door);
        for (key, entry) in &mut self.entries {
            if let Entry::Link(link) = entry
                && link.door == door
            {
                link.is_orphan = true;
                self.unfinished.push(*key);
            }
        }
    }

    fn attend(&mut self, key: u64) {
        // Taken out, so that it can change the others; it may have gone with an earlier event.
        let Some(mut entry) = self.entries.remove(&key) else { return };
        let stays = match &mut entry {
            Entry::Door { listener, port, upstream } => {
                self.accept(key, listener, *port, upstream);
                true
            }
            Entry::Link(link) => match link.go_on(&mut self.pipes) {
                Progress::Waits => true,
                Progress::More => {
                    self.unfinished.push(key);
                    true
                }
                Progress::Over => false,
            },
            Entry::Port(port) => {
                self.receive(key, port);
                true
            }
            Entry::Peer(peer) => peer.answer(&mut self.buffer),
        };
        if let Entry::Peer(Peer { port, sender, .. }) = &entry
            && let Some(Entry::Port(port)) = self.entries.get_mut(port)
        {
            // An answer shows that the sender is still of interest.
            match port.senders.get_mut(sender) {
                Some((_, heard)) if stays => *heard = Instant::now(),
                _ => drop(port.senders.remove(sender)),
            }
        }
        match stays {
            true => drop(self.entries.insert(key, entry)),
            false => self.peers -= usize::from(matches!(entry, Entry::Peer(_))),
        }
    }

    fn accept(&mut self, door: u64, listener: &TcpListener, port: u16, upstream: &Arc<dyn Upstream>) {
        for _ in 0..TURN {
            let client = match accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(client) => client,
                Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                    // It would tell of them again and again.
                    let _ = epoll::delete(&self.epoll, listener);
                    self.starved.push(door);
                    return;
                }
                // There are no more, or that one has gone again.
                Err(Errno::AGAIN) => return,
                Err(_) => continue,
            };
            let Some(link) = Link::open(client, door, port, &**upstream) else { continue };
            let key = next_key();
            let entry = Entry::Link(link);
            match self.watch(key, &entry) {
                Ok(()) => drop(self.entries.insert(key, entry)),
                Err(_) => {
                    if let Entry::Link(link) = entry {
                        reset(&link.client);
                    }
                }
            }
        }
    }

    /// Lets those in who have waited for descriptors.
    fn let_in(&mut self) {
        for key in std::mem::take(&mut self.starved) {
            if let Some(entry) = self.entries.get(&key)
                && self.watch(key, entry).is_err()
            {
                self.starved.push(key);
            }
        }
    }

    fn receive(&mut self, key: u64, port: &mut Port) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut received = Vec::new();
        port.receive(&mut buffer, |sender, datagram| received.push((sender, datagram.to_vec())));
        self.buffer = buffer;
        for (sender, datagram) in received {
            self.pass(key, port, sender, &datagram);
        }
    }

    /// What is not taken is lost, as datagrams are.
    fn pass(&mut self, key: u64, port: &mut Port, sender: SocketAddr, datagram: &[u8]) {
        let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
        if let Some((peer, heard)) = port.senders.get_mut(&sender) {
            *heard = Instant::now();
            let peer = *peer;
            if let Some(Entry::Peer(Peer { socket, .. })) = self.entries.get(&peer)
                && !socket.send(datagram).is_err_and(refused)
            {
                return;
            }
            // That was the answer to an earlier one; the server may be there now.
            self.remove(peer);
            port.senders.remove(&sender);
        }
        for family in [Family::V4, Family::V6] {
            let Ok(socket) = port.upstream.udp(family, port.number) else { continue };
            if socket.set_nonblocking(true).is_err() {
                continue;
            }
            let _ = socket.send(datagram);
            // On the loopback interface it is known at once that nobody is there.
            if socket.take_error().ok().flatten().is_some_and(refused) {
                continue;
            }
            if let Some((surplus, _)) = port.surplus().and_then(|sender| port.senders.remove(&sender)) {
                self.remove(surplus);
            }
            let peer = next_key();
            self.insert(peer, Entry::Peer(Peer { socket, port: key, sender, answers: Arc::clone(&port.socket) }));
            port.senders.insert(sender, (peer, Instant::now()));
            return;
        }
    }

    fn forget_the_silent(&mut self) {
        let now = Instant::now();
        if self.peers == 0 || now.saturating_duration_since(self.swept) < SILENCE / 4 {
            return;
        }
        self.swept = now;
        let mut silent = Vec::new();
        for entry in self.entries.values_mut() {
            if let Entry::Port(port) = entry {
                silent.extend(port.silent(now).iter().filter_map(|sender| port.senders.remove(sender)));
            }
        }
        for (peer, _) in silent {
            self.remove(peer);
        }
    }
}
