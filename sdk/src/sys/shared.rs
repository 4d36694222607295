//! Network namespaces that containers join, and bridges between them.
//!
//! ```text
//! the user namespace that owns all of them; root has none
//! ├── bridge      plywood0 ─┬─ c2 ────┐
//! │                         └─ c3 ──┐ │
//! ├── container                     │ └─ eth0  10.0.0.2
//! └── container                     └─── eth0  10.0.0.3
//! ```
//!
//! A namespace goes with its last process and descriptor, and takes its links along: nothing of it is on the host.

use std::fs::{self, File};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use rustix::process::{getegid, geteuid};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::clone::{self, map_single};
use super::helper::high;
use super::inside::visit;
use super::netlink::{Link, Route};
use super::network::{bring_up_loopback, leave};
use super::userns::{self, Ids, create_with};
use super::{namespace, within};

/// What makes up for capabilities that a container has not got where another user namespace owns the network: ports
/// below 1024 are for everybody.
const FIRST_PORT: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";

/// Of links in networks that are new: the kernel numbers its own from 1 on.
const NUMBER: u32 = 1000;

/// The bits of an address that all containers of a bridge have in common.
pub(crate) const BITS: u8 = 16;

/// A network that containers join.
#[derive(Debug)]
pub(crate) struct SharedNetwork {
    pub namespace: OwnedFd,
    /// An ordinary user's.
    pub owner: Option<Arc<Owner>>,
}

/// The user namespace to which a network belongs, and who this user is in it.
#[derive(Debug)]
pub(crate) struct Owner {
    pub namespace: OwnedFd,
    pub uid: u32,
    pub gid: u32,
}

impl Owner {
    fn get() -> io::Result<Option<Arc<Self>>> {
        let namespace = match userns::ids() {
            Ids::Host => return Ok(None),
            Ids::Many(several) => several.fd.try_clone()?,
            Ids::One(_) => create_with(|pid| map_single(pid, 0, 0)).map_err(clone::Failure::into_io)?,
        };
        Ok(Some(Arc::new(Self { namespace: high(namespace)?, uid: 0, gid: 0 })))
    }
}

impl SharedNetwork {
    /// A new one, with a loopback interface.
    pub(crate) fn create() -> io::Result<Self> {
        Self::create_with(Owner::get()?, || Ok(()))
    }

    /// That in which a process is; its number must still be its own afterwards.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        let namespace = high(File::open(format!("/proc/{pid}/ns/net"))?.into())?;
        let owner = match userns::ids() {
            Ids::Host => None,
            _ => {
                let owner = high(namespace::owner(&namespace)?)?;
                let (uid, gid) = within::run(&owner, || (geteuid().as_raw(), getegid().as_raw()))?;
                Some(Arc::new(Owner { namespace: owner, uid, gid }))
            }
        };
        Ok(Self { namespace, owner })
    }

    fn create_with(owner: Option<Arc<Owner>>, furnish: impl FnOnce() -> io::Result<()> + Send) -> io::Result<Self> {
        let namespace = visit(owner.as_ref().map(|owner| &owner.namespace), || {
            leave()?;
            bring_up_loopback()?;
            // Where it cannot be written to, a program that wants such a port is told by the kernel.
            let _ = fs::write(FIRST_PORT, "0");
            furnish()?;
            here()
        });
        Ok(Self { namespace: high(namespace?)?, owner })
    }
}

/// A network of containers that have one each.
#[derive(Debug)]
pub(crate) struct Bridge(SharedNetwork);

impl Bridge {
    pub(crate) fn create() -> io::Result<Self> {
        let make = || Route::open()?.add_bridge(Link { name: "plywood0", number: NUMBER });
        SharedNetwork::create_with(Owner::get()?, make).map(Self)
    }

    /// A network of this address, connected to the others.
    pub(crate) fn connect(&self, address: Ipv4Addr) -> io::Result<SharedNetwork> {
        let [.., high, low] = address.octets();
        let number = u16::from_be_bytes([high, low]);
        let name = format!("c{number}");
        let port = Link { name: &name, number: NUMBER + u32::from(number) };
        SharedNetwork::create_with(self.0.owner.clone(), || {
            let own = here()?;
            let peer = Link { name: "eth0", number: NUMBER };
            enter(&self.0.namespace)?;
            Route::open()?.add_pair(port, NUMBER, peer, own.as_fd())?;
            enter(&own)?;
            Route::open()?.bring_up(NUMBER, address, BITS)
        })
    }
}

/// The network of the calling thread.
fn here() -> io::Result<OwnedFd> {
    Ok(File::open("/proc/thread-self/ns/net")?.into())
}

fn enter(network: &OwnedFd) -> io::Result<()> {
    Ok(move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?)
}
