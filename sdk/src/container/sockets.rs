//! Sockets made in the network of a container, to be used by this program.
//!
//! To go there takes a thread, or as an ordinary user a process. So each visit for a TCP socket makes twice as many as
//! the last one did, up to [`MOST`]: the next connections have theirs already.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::net::{AddressFamily, SocketType};

use super::handle::{Handle, HandleFault};
use super::publish::Ports;
use super::record::Run;
use crate::error::{Attempt, Result};
use crate::network::{Network, Seat};
use crate::runtime::Process;
use crate::sys::inside::{NetworkPlace, socket};
use crate::sys::namespace;
use crate::sys::probe::{Privilege, privilege};

/// As many are made at once.
const MOST: usize = 16;

/// What this program has in the network of a container, and for it.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    spares: Spares,
    pub(super) ports: Ports,
    /// That it joins at every start.
    pub(super) network: OnceLock<Network>,
    pub(super) seat: Mutex<Option<Seat>>,
}

impl Sockets {
    /// Lets go of the container's network.
    pub(super) fn clear(&self) {
        self.spares.lock().sockets.clear();
        self.ports.clear();
        self.seat.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// TCP sockets of IPv4 that nobody has used yet.
#[derive(Debug, Default)]
struct Spares(Mutex<Spare>);

#[derive(Debug, Default)]
struct Spare {
    /// Of which process they are, by number and start time.
    of: (u32, u64),
    /// As many are made by the next visit.
    next: usize,
    sockets: Vec<OwnedFd>,
}

impl Spares {
    fn lock(&self) -> MutexGuard<'_, Spare> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first process of a running container, whichever program runs it.
#[derive(Debug)]
pub(super) enum First {
    Ours(Process),
    Foreign(Run),
}

impl First {
    pub(super) fn pid(&self) -> u32 {
        match self {
            Self::Ours(process) => process.pid(),
            Self::Foreign(run) => run.pid,
        }
    }

    /// What was found under its number is about another process once it has ended.
    pub(super) fn is_alive(&self) -> bool {
        match self {
            Self::Ours(process) => process.is_running(),
            Self::Foreign(run) => run.is_alive(),
        }
    }

    fn identity(&self) -> (u32, u64) {
        match self {
            Self::Ours(process) => (process.pid(), process.start_time()),
            Self::Foreign(run) => (run.pid, run.start_time),
        }
    }
}

impl Handle {
    /// The first process.
    ///
    /// # Errors
    /// `InvalidArgument` if it is not running.
    pub(super) fn first_process(&self, verb: &'static str) -> Result<First> {
        match self.process().filter(Process::is_running) {
            Some(process) => Ok(First::Ours(process)),
            None => self.running(verb).map(|(_, run)| First::Foreign(run)),
        }
    }

    /// Where its processes have their network.
    pub(super) fn network_place(&self, first: &First) -> Result<NetworkPlace> {
        let pid = first.pid();
        let open = || File::open(format!("/proc/{pid}/ns/net")).map(OwnedFd::from);
        let foreign = namespace::foreign(pid).and_then(|foreign| {
            if foreign & namespace::NETWORK == 0 {
                return Ok(NetworkPlace::Here);
            }
            let network = open()?;
            let joins = foreign & namespace::USER != 0 && privilege() == Privilege::User;
            // It need not be that of the container, which may have joined a network.
            let user = if joins { Some(namespace::owner(&network)?) } else { None };
            Ok(NetworkPlace::Namespace { network, user })
        });
        if !first.is_alive() {
            return Err(HandleFault::NotRunningTo { verb: "reach", title: self.title() }.into());
        }
        foreign.attempt(|| format!("look at the network of process {pid}"))
    }

    /// A TCP socket of IPv4 in there.
    pub(super) fn tcp_socket(&self, first: &First) -> Result<OwnedFd> {
        let mut spare = self.sockets.spares.lock();
        if spare.of != first.identity() {
            *spare = Spare { of: first.identity(), next: 1, sockets: Vec::new() };
        }
        if let Some(socket) = spare.sockets.pop() {
            return Ok(socket);
        }
        let count = spare.next;
        let make = || socket(AddressFamily::INET, SocketType::STREAM);
        let made = self.network_place(first)?.within(|| Ok((make()?, (1..count).map_while(|_| make().ok()).collect())));
        let (socket, more) = made.attempt(|| "make a socket in its network")?;
        spare.sockets = more;
        spare.next = (2 * count).min(MOST);
        Ok(socket)
    }
}
