//! Whose ids a container has.

use std::os::fd::OwnedFd;

use super::bundle::{Bundle, NetworkMode};
use super::target::Target;
use crate::sys::namespace;
use crate::sys::shared::Owner;
use crate::sys::userns::{self, Ids, Namespace};

/// Whose ids a container has.
#[derive(Debug, Clone, Copy)]
pub(super) enum Users<'a> {
    /// The host's.
    Host,
    /// One, in a user namespace of its own.
    One,
    /// One, in a user namespace of its own below the one that owns the network that it joins.
    Below { owner: &'a Owner, network: &'a OwnedFd, uid: u32, gid: u32 },
    /// Those of this user namespace.
    Many(&'a OwnedFd),
    /// Those of this user namespace of root's, while the files belong to the host's ids.
    Shifted(&'a Namespace),
    /// Those of a container of root's that is joined.
    Joined,
}

impl Users<'_> {
    /// Of this process's containers.
    pub(super) fn get() -> Users<'static> {
        match userns::ids() {
            Ids::Host => Users::Host,
            Ids::Many(namespace) => Users::Many(&namespace.fd),
            Ids::One(_) => Users::One,
        }
    }

    /// Of this container.
    pub(super) fn of(bundle: &Bundle) -> Users<'_> {
        let joined = bundle.joined.as_deref();
        let owner = joined.and_then(|network| Some((network.owner.as_deref()?, &network.namespace)));
        match (bundle.user_namespace.as_deref(), Users::get(), owner) {
            (Some(namespace), ..) => Users::Shifted(namespace),
            // It has the same ids, and may be another program's.
            (None, Users::Many(_), Some((owner, _))) => Users::Many(&owner.namespace),
            (None, Users::One, Some((owner, network))) => {
                let user = &bundle.process.user;
                Users::Below { owner, network, uid: user.uid, gid: user.gid }
            }
            (None, users, _) => users,
        }
    }

    /// Of a container that runs.
    pub(super) fn joined(target: &Target<'_>) -> Self {
        match (target.namespaces() & namespace::USER, Users::get()) {
            (0, _) => Users::Host,
            (_, Users::Host) => Users::Joined,
            (_, users) => users,
        }
    }

    /// Whether they are those of a user namespace.
    pub(super) fn are_mapped(self) -> bool {
        !matches!(self, Self::Host)
    }

    /// Whether the network is theirs to be set up, and to be shown by a file system.
    pub(super) fn own_network(self, bundle: &Bundle) -> bool {
        bundle.network != NetworkMode::Host && (bundle.joined.is_none() || matches!(self, Self::Host | Self::Many(_)))
    }

    /// Whether a process has groups besides its own one.
    pub(super) fn have_groups(self) -> bool {
        !matches!(self, Self::One | Self::Below { .. })
    }
}
