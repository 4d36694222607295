//! Containers that several programs share: each holds a lease, and the last one out ends the container.
//!
//! ```text
//! image/plywood/
//! ├── leases/<name>            locked, shared, by each program that uses the container of this name
//! └── in-flight/lease-<name>   held by the one that starts or ends it just then
//! ```
//!
//! One with an idle time is ended by its supervisor (`sdk/helper/idle.rs`), which sees the file unlocked, and as long as it
//! was, for that time.
//!
//! A lease goes with its program, however that ends. If the last one was killed, the container runs until the next program
//! opens the data root, which finds a file that nobody locks.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use super::Container;
use super::remove::Force;
use super::signal::Signal;
use super::store::{Files, Store};
use crate::data_root::{InFlight, atomic};
use crate::error::{Attempt as _, ErrorKind, Result};
use crate::runtime::Idle;

/// How long another program may take to start the container.
const START_PATIENCE: Duration = Duration::from_secs(10 * 60);

/// How long it may take to end it, and to wait for a turn to do so.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// The right to use a container that others use too.
#[derive(Debug)]
pub(crate) struct Lease {
    store: Store,
    name: String,
    file: File,
}

impl Lease {
    /// Takes a lease of the container called `name`, which `start` starts if it does not run, so that it outlives this
    /// program.
    pub(crate) fn take(
        store: &Store,
        name: &str,
        start: impl FnOnce() -> Result<Container>,
    ) -> Result<(Self, Container)> {
        let _turn = turn(store, name, START_PATIENCE)?;
        let file = open(store, name)?;
        file.lock_shared().attempt(|| format!("lock {:?}", path(store, name)))?;
        // That it was used, though for a moment only.
        let longer = file.metadata().and_then(|metadata| file.set_len(metadata.len() + 1));
        longer.attempt(|| format!("write to {:?}", path(store, name)))?;
        let container = match running(store, name) {
            Ok(Some(container)) => Ok(container),
            Ok(None) => start(),
            Err(error) => Err(error),
        };
        match container {
            Ok(container) => Ok((Self { store: store.clone(), name: name.to_owned(), file }, container)),
            Err(error) => {
                give_back(store, name, &file);
                Err(error)
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        match turn(&self.store, &self.name, STOP_PATIENCE) {
            Ok(_turn) => give_back(&self.store, &self.name, &self.file),
            // Somebody starts it, and so will end it.
            Err(error) => tracing::debug!("a lease of {:?} ends: {error}", self.name),
        }
    }
}

/// Unlocks the file, and ends the container if nobody else uses it. The caller has the turn.
fn give_back(store: &Store, name: &str, file: &File) {
    // By word, not by closing: a child of another thread may have a copy of the descriptor just now.
    let unlocked = file.unlock().attempt(|| format!("unlock {:?}", path(store, name)));
    if let Err(error) = unlocked.and_then(|()| end_if_unused(store, name)) {
        tracing::warn!("the shared container {name:?} stays for now: {error}");
    }
}

/// Ends the containers that nobody uses any more, and whose last user was killed.
pub(super) fn settle(store: &Store) -> Result<()> {
    let directory = store.root().leases_dir();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // Where somebody is at it, there is nothing to do.
        let Ok(_turn) = turn(store, &name, Duration::ZERO) else { continue };
        if let Err(error) = end_if_unused(store, &name) {
            tracing::warn!("the shared container {name:?} stays for now: {error}");
        }
    }
    Ok(())
}

fn end_if_unused(store: &Store, name: &str) -> Result<()> {
    let file = open(store, name)?;
    if file.try_lock().is_err() {
        return Ok(());
    }
    if let Some(container) = find(store, name)? {
        if container.state()?.is_running() {
            if idle_time(&container.handle().files()?).is_some() {
                return Ok(());
            }
            let _status = container.stop(STOP_PATIENCE)?;
        }
        container.handle().remove(Force::Yes)?;
    }
    // Whoever would lock it waits for the turn, and what is locked would stay in the trash.
    file.unlock().attempt(|| format!("unlock {:?}", path(store, name)))?;
    store.root().discard(&path(store, name))
}

fn idle_time(files: &Files) -> Option<Duration> {
    files.record.as_ref()?.idle.map(Duration::from_millis)
}

/// What tells a supervisor when its container ends because nobody uses it.
pub(super) fn idle(store: &Store, files: &Files, signal: impl Fn() -> Result<Signal>) -> Result<Option<Idle>> {
    let Some(time) = idle_time(files) else { return Ok(None) };
    let lease = open(store, files.config.plain_name())?;
    Ok(Some(Idle { lease, time, signal: signal()?.number() }))
}

/// The container of this name, if it runs. One that has ended is removed.
fn running(store: &Store, name: &str) -> Result<Option<Container>> {
    let Some(container) = find(store, name)? else { return Ok(None) };
    if container.state()?.is_running() {
        return Ok(Some(container));
    }
    container.handle().remove(Force::Yes)?;
    Ok(None)
}

fn find(store: &Store, name: &str) -> Result<Option<Container>> {
    match store.find(name).and_then(|id| store.handle(&id)) {
        Ok(handle) => Ok(Some(Container::observer(handle))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn turn(store: &Store, name: &str, patience: Duration) -> Result<InFlight> {
    store.root().in_flight(&format!("lease-{name}"), patience)
}

fn path(store: &Store, name: &str) -> PathBuf {
    store.root().leases_dir().join(name)
}

fn open(store: &Store, name: &str) -> Result<File> {
    atomic::create_directory(&store.root().leases_dir(), 0o700)?;
    let path = path(store, name);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    file.attempt(|| format!("open {path:?}"))
}
