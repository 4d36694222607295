//! The network a container sees.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, PoisonError};

use serde::{Deserialize, Serialize};

use super::Container;
use super::files;
use super::handle::{Handle, HandleFault};
use super::store::Files;
use crate::error::{Attempt, Error, ErrorKind, Fault, Result};
use crate::network::Network;
use crate::runtime::{self, Bundle};
use crate::spec::id::ContainerId;
use crate::sys::namespace;
use crate::sys::shared::SharedNetwork;

/// The network a container sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum NetworkMode {
    /// A network of its own with a loopback interface, reached from the host program alone. The default.
    #[default]
    Private,
    /// The network of the host, all of it.
    Host,
    /// A network of its own in which nothing is up.
    None,
}

impl NetworkMode {
    /// The network Docker is told of: it knows none that is ours.
    pub(crate) fn docker_name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Private | Self::None => "none",
        }
    }

    /// What a `NetworkMode` that we or Docker recorded means to us.
    pub(crate) fn of_docker(name: &str) -> Self {
        if name == "host" { Self::Host } else { Self::Private }
    }
}

impl fmt::Display for NetworkMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Private => "private",
            Self::Host => "host",
            Self::None => "none",
        })
    }
}

impl FromStr for NetworkMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "private" => Ok(Self::Private),
            "host" => Ok(Self::Host),
            "none" => Ok(Self::None),
            _ => Err(Error::new(
                ErrorKind::InvalidArgument,
                format_args!("unknown network {text:?} (there are private, host and none)"),
            )),
        }
    }
}

/// What [`Definition::network`](super::Definition::network) takes: a [`NetworkMode`], a [`Network`], or another container,
/// whose network it shares.
#[derive(Debug, Clone)]
pub struct NetworkChoice(Choice);

#[derive(Debug, Clone)]
pub(super) enum Choice {
    Mode(NetworkMode),
    Network(Network),
    Container(ContainerId),
}

impl From<NetworkMode> for NetworkChoice {
    fn from(mode: NetworkMode) -> Self {
        Self(Choice::Mode(mode))
    }
}

impl From<&Network> for NetworkChoice {
    fn from(network: &Network) -> Self {
        Self(Choice::Network(network.clone()))
    }
}

impl<D> From<&Container<D>> for NetworkChoice {
    fn from(container: &Container<D>) -> Self {
        Self(Choice::Container(container.id().clone()))
    }
}

/// What a definition says of the network.
#[derive(Debug, Clone, Default)]
pub(crate) struct NetworkSetting {
    pub(super) mode: NetworkMode,
    pub(super) network: Option<Network>,
    pub(super) container: Option<ContainerId>,
}

impl From<NetworkChoice> for NetworkSetting {
    fn from(NetworkChoice(choice): NetworkChoice) -> Self {
        match choice {
            Choice::Mode(mode) => Self { mode, ..Self::default() },
            Choice::Network(network) => Self { network: Some(network), ..Self::default() },
            Choice::Container(container) => Self { container: Some(container), ..Self::default() },
        }
    }
}

/// How Docker names what belongs to another container.
pub(super) const CONTAINER: &str = "container:";

impl NetworkSetting {
    pub(super) fn docker_name(&self) -> String {
        match &self.container {
            Some(container) => format!("{CONTAINER}{container}"),
            None => self.mode.docker_name().to_owned(),
        }
    }

    /// Whether it has that of others.
    pub(super) fn is_shared(&self) -> bool {
        self.network.is_some() || self.container.is_some()
    }
}

#[derive(Debug, thiserror::Error)]
enum JoinFault {
    #[error("join its network: that went with the program that made the container")]
    Gone,
    #[error("share the network of {0}: it has that of the host")]
    OfHost(String),
}

impl Fault for JoinFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Gone => ErrorKind::NotFound,
            Self::OfHost(_) => ErrorKind::InvalidArgument,
        }
    }

    fn hint(&self) -> Option<String> {
        matches!(self, Self::OfHost(_)).then(|| "choose NetworkMode::Host (--network host)".to_owned())
    }
}

impl Handle {
    /// Chooses what the container's processes will see.
    pub(super) fn join_network(&self, files: &Files, bundle: &mut Bundle) -> Result<()> {
        let record = files.record.as_ref();
        let mode = record.map_or_else(|| NetworkMode::of_docker(&files.host.network_mode), |record| record.network);
        bundle.network = match mode {
            NetworkMode::Private => runtime::NetworkMode::Private,
            NetworkMode::Host => runtime::NetworkMode::Host,
            NetworkMode::None => runtime::NetworkMode::None,
        };
        if let Some(id) = files.host.network_mode.strip_prefix(CONTAINER) {
            bundle.joined = Some(Arc::new(self.network_of(&ContainerId::parse(id)?)?));
        }
        if !record.is_some_and(|record| record.shares_network) {
            return Ok(());
        }
        let network = self.sockets.network.get().ok_or(JoinFault::Gone)?;
        let hosts = self.store().root().container_dir(self.id()).join(files::HOSTS);
        let (name, hostname) = (files.config.plain_name(), files.config.config.hostname.as_str());
        let names = [name].into_iter().chain(Some(hostname).filter(|hostname| *hostname != name));
        let seat = network.join(hosts, files::hosts(None, &files.host), names.map(str::to_owned).collect())?;
        bundle.joined = Some(Arc::clone(&seat.network));
        *self.sockets.seat.lock().unwrap_or_else(PoisonError::into_inner) = Some(seat);
        Ok(())
    }

    fn network_of(&self, id: &ContainerId) -> Result<SharedNetwork> {
        let other = self.store().handle(id)?;
        let first = other.first_process("share the network of")?;
        let network = namespace::foreign(first.pid()).and_then(|foreign| {
            let is_foreign = foreign & namespace::NETWORK != 0;
            is_foreign.then(|| SharedNetwork::of(first.pid())).transpose()
        });
        if !first.is_alive() {
            return Err(HandleFault::NotRunningTo { verb: "share the network of", title: other.title() }.into());
        }
        let network = network.attempt(|| format!("share the network of {}", other.title()))?;
        network.ok_or_else(|| JoinFault::OfHost(other.title()).into())
    }
}
