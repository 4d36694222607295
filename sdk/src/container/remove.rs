//! The end of a container: its process, its volumes without a name, its directory, its writable layer.
//!
//! In this order, so that what remains after an interruption still names what is to go. The journal entry of the owner
//! goes last.

use std::path::PathBuf;
use std::time::Duration;

use super::config::Config;
use super::debug::guards_keep;
use super::events::Action;
use super::handle::Handle;
use super::pause::recorded;
use super::record::Run;
use super::signal::Signal;
use super::store::{REMOVING, Store};
use crate::error::{Error, ErrorKind, Fault, Result};
use crate::runtime;
use crate::spec::exit_status::ExitStatus;
use crate::spec::id::ContainerId;
use crate::spec::name::VolumeName;

/// How long the kernel may take to end a killed container: long only if a process hangs in a device or a network mount.
pub(super) const KILL_PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
enum RemoveFault {
    #[error("remove {title}: it is running")]
    Running { title: String },
    #[error("end process {pid}: it was killed {} s ago and has not ended", KILL_PATIENCE.as_secs())]
    Unkillable { pid: u32 },
}

impl Fault for RemoveFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Running { .. } => ErrorKind::InUse,
            Self::Unkillable { .. } => ErrorKind::Timeout,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Running { .. } => Some("stop or kill it first".to_owned()),
            Self::Unkillable { .. } => Some("a process waits for a device or a network file system".to_owned()),
        }
    }
}

/// What becomes of the process of a container that is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Force {
    /// A running container is not removed.
    No,
    /// It is killed first.
    Yes,
}

impl Handle {
    /// Ends a guard: its container is removed, or stays in the store for whoever looks for what went wrong.
    pub(crate) fn let_go(&self) -> Result<()> {
        if !guards_keep() || self.lock().is_removed() {
            return self.remove(Force::Yes);
        }
        let _ended: ExitStatus = self.stop(Duration::ZERO)?;
        self.persist()
    }

    /// Removes the container. One that is removed already is fine.
    pub(crate) fn remove(&self, force: Force) -> Result<()> {
        let (mut entry, is_guard) = {
            let mut inner = self.lock();
            if inner.is_removed() {
                return Ok(());
            }
            if force == Force::No && inner.is_running() {
                return Err(RemoveFault::Running { title: self.title() }.into());
            }
            let record = inner.files.as_ref().and_then(|files| files.record.as_ref());
            let is_guard = record.is_some_and(|record| record.guard);
            match inner.owner.take() {
                Some(entry) => (entry, is_guard),
                None => {
                    drop(inner);
                    match self.adopt(force) {
                        // Its supervisor was faster.
                        Err(error) if force == Force::Yes && error.kind() == ErrorKind::NotFound => {
                            self.lock().set_removed();
                            return Ok(());
                        }
                        adopted => (adopted?, false),
                    }
                }
            }
        };
        if let Err(error) = self.end_process().and_then(|()| self.retire()) {
            // Still ours, as it is.
            self.lock().owner = Some(entry);
            return Err(error);
        }
        if !is_guard {
            // Whoever finds the entry abandoned goes on with it, as with that of a guard. On a full disk there may be no room for that word.
            let _ = entry.note(REMOVING);
        }
        if let Err(error) = erase(self.store(), self.id()) {
            entry.hand_over();
            return Err(error);
        }
        self.lock().set_removed();
        self.tell(Action::Destroy);
        drop(entry);
        Ok(())
    }

    /// Becomes the owner of a container that this program did not make, to remove it.
    fn adopt(&self, force: Force) -> Result<crate::data_root::InFlight> {
        if force == Force::Yes {
            self.end_restarts()?;
        }
        let files = self.files()?;
        if files.config.state.restarting && force == Force::No && self.store().is_owned(self.id())? {
            return Err(RemoveFault::Running { title: self.title() }.into());
        }
        let record = files.record;
        let is_kept = record.as_ref().is_some_and(|record| record.kept);
        if let Some(run) = record.and_then(|record| record.run).filter(Run::is_alive) {
            if force == Force::No {
                return Err(RemoveFault::Running { title: self.title() }.into());
            }
            end(&run, self.id(), &recorded(&self.files()?))?;
            if is_kept {
                // Its supervisor has a last word to write.
                let _: ExitStatus = self.recorded_end(&run)?;
            }
        }
        self.own()
    }

    /// Kills the process, if there is one, and waits for its end.
    fn end_process(&self) -> Result<()> {
        let Some(process) = self.process() else { return Ok(()) };
        if process.try_wait().is_some() {
            return Ok(());
        }
        match process.signal(Signal::KILL.number()) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // With version 1 a process that stands still does not end.
        self.thaw()?;
        match process.wait_timeout(KILL_PATIENCE) {
            Some(_) => Ok(()),
            None => Err(RemoveFault::Unkillable { pid: process.pid() }.into()),
        }
    }
}

/// Kills a process that no program of ours watches, and waits for its end. It may be paused.
pub(super) fn end(run: &Run, id: &ContainerId, cgroup: &[PathBuf]) -> Result<()> {
    if !run.signal(Signal::KILL)? {
        return Ok(());
    }
    runtime::cgroup::resume(id.as_str(), cgroup)?;
    if !run.wait(Some(KILL_PATIENCE))? {
        return Err(RemoveFault::Unkillable { pid: run.pid }.into());
    }
    Ok(())
}

/// Removes all of a container that has no process, in place or in the making. The caller owns it.
pub(super) fn erase(store: &Store, id: &ContainerId) -> Result<()> {
    for config in store.configs_of(id) {
        store.mark_used(&config);
        // Nobody else knows of them.
        remove_volumes(store, id, &config)?;
    }
    let mut failures = Vec::new();
    for directory in [store.root().container_dir(id), store.staged(id)] {
        failures.extend(store.root().discard(&directory).err());
    }
    failures.extend(store.layers().remove_writable(id).err());
    let mut failures = failures.into_iter();
    match failures.next() {
        None => Ok(()),
        Some(first) => Err(failures.fold(first, Error::with_clean_up)),
    }
}

/// Removes the volumes without a name, unless another container has come to use them.
fn remove_volumes(store: &Store, id: &ContainerId, config: &Config) -> Result<()> {
    let mut names = config.anonymous_volumes().filter_map(|name| VolumeName::parse(name).ok()).peekable();
    if names.peek().is_none() {
        return Ok(());
    }
    let _held = store.lock_names()?;
    let others = store.configs()?;
    for name in names {
        if others.iter().any(|(other, config)| other != id && config.volumes().any(|used| used == name.as_str())) {
            continue;
        }
        match store.volumes().remove(&name) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            removed => removed?,
        }
    }
    Ok(())
}
