//! Networks that several containers of a program have in common.

use std::fmt;
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Attempt, Error, ErrorKind, Result};
use crate::sys::shared::{Bridge, SharedNetwork};

/// The first two bytes of every address behind a bridge. Nothing leads out, so it cannot be somebody else's.
const PREFIX: [u8; 2] = [10, 0];

/// A network that several containers of this program have in common, and nobody else.
///
/// The containers find each other by name. Nothing on the host changes, no privilege is taken, and there is no way out. It
/// goes with the last container and the last value that holds it. Clones are the same network.
///
/// ```no_run
/// # use plywood::{Container, Engine, Network};
/// # fn main() -> plywood::Result<()> {
/// # let engine = Engine::open_default()?;
/// let network = Network::bridge()?;
/// let db = Container::of("postgres:16").name("db").network(&network).start(&engine)?;
/// let app = Container::of("app:1").env("DATABASE", "postgres://db:5432/").network(&network).start(&engine)?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[doc(alias = "docker network create")]
pub struct Network(Arc<Common>);

struct Common {
    kind: Kind,
    members: Mutex<Members>,
}

enum Kind {
    Shared(Arc<SharedNetwork>),
    Bridge(Bridge),
}

#[derive(Default)]
struct Members {
    /// The number of the last one.
    last: u16,
    list: Vec<Member>,
}

struct Member {
    number: u16,
    address: Ipv4Addr,
    names: Vec<String>,
    /// Its `/etc/hosts`, and what stands in there before the names of the members.
    hosts: PathBuf,
    text: String,
}

impl Network {
    /// One network namespace for all: each container sees the ports of the others at `127.0.0.1`, so no two may listen on
    /// the same. Blocks for about a millisecond.
    ///
    /// # Errors
    /// Where the kernel gives no network namespace.
    pub fn shared() -> Result<Self> {
        let created = SharedNetwork::create().attempt(|| CREATE)?;
        Ok(Self::new(Kind::Shared(Arc::new(created))))
    }

    /// A network namespace and an address for each, and a bridge between them, as other engines have it: all may listen on
    /// the same port. Up to 1023 containers at a time. Blocks for some milliseconds.
    ///
    /// # Errors
    /// Where the kernel gives no network namespace or has no bridges: the module `bridge` or `veth` may be missing.
    pub fn bridge() -> Result<Self> {
        let bridge = Bridge::create().attempt(|| CREATE);
        let bridge = bridge.map_err(|error| match error.kind() {
            ErrorKind::Unsupported => error.with_hint("load the modules `bridge` and `veth`, or use Network::shared()"),
            _ => error,
        });
        Ok(Self::new(Kind::Bridge(bridge?)))
    }

    fn new(kind: Kind) -> Self {
        Self(Arc::new(Common { kind, members: Mutex::default() }))
    }

    /// Lets a container in: `hosts` is its file, which begins with `text`, and the others will know it by `names`.
    pub(crate) fn join(&self, hosts: PathBuf, text: String, names: Vec<String>) -> Result<Seat> {
        let number = {
            let mut members = self.members();
            // The first is left to a gateway.
            members.last = members.last.max(1).checked_add(1).filter(|number| *number < u16::MAX).ok_or_else(full)?;
            members.last
        };
        let [high, low] = number.to_be_bytes();
        let (network, address) = match &self.0.kind {
            Kind::Shared(network) => (Arc::clone(network), Ipv4Addr::LOCALHOST),
            Kind::Bridge(bridge) => {
                let address = Ipv4Addr::from([PREFIX[0], PREFIX[1], high, low]);
                (
                    Arc::new(bridge.connect(address).attempt(|| "connect a container to the bridge of its network")?),
                    address,
                )
            }
        };
        let seat = Seat { common: Arc::clone(&self.0), number, network };
        let mut members = self.members();
        members.list.push(Member { number, address, names, hosts, text });
        let own = members.list.len() - 1;
        // What another container has made its own it keeps as it is, and one that is gone needs none.
        (0..own).for_each(|other| drop(members.tell(other)));
        let told = members.tell(own);
        drop(members);
        told.map(|()| seat)
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.0.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const CREATE: &str = "create a network for containers";

fn full() -> Error {
    Error::new(ErrorKind::Unavailable, "join a network: all its addresses were given away (create another one)")
}

impl Members {
    /// Writes the file of one: it is mounted in the container, so it stays the same file and is never empty.
    fn tell(&self, at: usize) -> Result<()> {
        let Member { hosts, text, .. } = &self.list[at];
        let mut text = text.clone();
        for member in &self.list {
            text.push_str(&format!("{}\t{}\n", member.address, member.names.join(" ")));
        }
        let write = || -> io::Result<()> {
            let file = File::options().write(true).open(hosts)?;
            file.write_all_at(text.as_bytes(), 0)?;
            file.set_len(text.len() as u64)
        };
        write().attempt(|| format!("write {hosts:?}"))
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.0.kind {
            Kind::Shared(_) => "shared",
            Kind::Bridge(_) => "bridge",
        };
        f.debug_struct("Network").field("kind", &kind).finish_non_exhaustive()
    }
}

/// The part of a container that runs in a network.
pub(crate) struct Seat {
    common: Arc<Common>,
    number: u16,
    pub(crate) network: Arc<SharedNetwork>,
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut members = self.common.members.lock().unwrap_or_else(PoisonError::into_inner);
        members.list.retain(|member| member.number != self.number);
        (0..members.list.len()).for_each(|other| drop(members.tell(other)));
    }
}
