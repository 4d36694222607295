//! What a container uses.

use super::handle::Handle;
use super::network::NetworkMode;
use super::pause::recorded;
use crate::error::Result;
use crate::runtime::stats::{self, Stats};

impl Handle {
    /// What it has used up to now, whichever program runs it.
    pub(crate) fn stats(&self) -> Result<Stats> {
        let (files, run) = self.running("measure")?;
        let network = files.record.as_ref().map(|record| record.network);
        let own_network = network != Some(NetworkMode::Host);
        let group = crate::runtime::cgroup::find(self.id().as_str(), &recorded(&files));
        stats::read(group.as_ref(), run.pid, own_network)
            .map_err(|error| super::create::attempted(format!("measure {}", self.title()), error))
    }
}
