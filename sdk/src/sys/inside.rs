//! Work in a network namespace: a socket belongs to the one in which it was made, wherever it is used afterwards.
//!
//! No thread of the program changes its network for it. Root's work is done by a thread of ours, which ends with it; an
//! ordinary user has no say in the namespace but in the user namespace that owns it, so there it is done by a child as in
//! [`within`](super::within).

use std::io;
use std::os::fd::OwnedFd;
use std::panic::resume_unwind;
use std::thread;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::visible::{Visibility, hold};
use super::within;

/// Where sockets are made.
#[derive(Debug)]
pub(crate) enum NetworkPlace {
    /// The network of this program.
    Here,
    /// Another one; which this program may join in this user namespace only, if it takes one.
    Namespace { network: OwnedFd, user: Option<OwnedFd> },
}

impl NetworkPlace {
    /// Does `work` there: something short, as an ordinary user's children may have to wait for it.
    #[doc(alias = "setns")]
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        let (network, user) = match self {
            Self::Here => return work(),
            Self::Namespace { network, user } => (network, user),
        };
        visit(user.as_ref(), || {
            move_into_link_name_space(std::os::fd::AsFd::as_fd(network), Some(LinkNameSpaceType::Network))?;
            work()
        })
    }
}

/// Does `work` where it may change the network it is in, which is nobody else's: in this user namespace, if it takes one.
pub(super) fn visit<T: Send>(user: Option<&OwnedFd>, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    match user {
        Some(user) => {
            // What is root of the container could look into the child otherwise, which has this program's memory.
            let _visibility = hold(Visibility::Hidden);
            within::run(user, work)?
        }
        None => thread::scope(|scope| {
            let visitor = thread::Builder::new().name("plywood-visit".into()).spawn_scoped(scope, work)?;
            visitor.join().unwrap_or_else(|panic| resume_unwind(panic))
        }),
    }
}

/// A socket of the network in which this is called.
pub(crate) fn socket(family: AddressFamily, kind: SocketType) -> io::Result<OwnedFd> {
    Ok(socket_with(family, kind, SocketFlags::CLOEXEC, None)?)
}
