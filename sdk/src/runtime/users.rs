//! Whose ids a container has.

use std::os::fd::OwnedFd;

use super::bundle::Bundle;
use super::target::Target;
use crate::sys::namespace;
use crate::sys::userns::{self, Ids, Namespace};

/// Whose ids a container has.
#[derive(Debug, Clone, Copy)]
pub(super) enum Users<'a> {
    /// The host's.
    Host,
    /// One, in a user namespace of its own.
    One,
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
        match bundle.user_namespace.as_deref() {
            Some(namespace) => Users::Shifted(namespace),
            None => Users::get(),
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

    /// Whether a process has groups besides its own one.
    pub(super) fn have_groups(self) -> bool {
        !matches!(self, Self::One)
    }
}
