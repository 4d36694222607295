//! What the reaper of this program is told about its containers, for the case that the program is killed.
//!
//! It then kills the processes and removes the guards as [`erase`](super::remove) does. The reaper is a second line, the
//! kernel's parent-death signal being the first and the next program that opens the store the third: a container starts
//! without it, too, with a word in the log.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::config::Config;
use super::events;
use super::store::{CONFIG_FILE, Store};
use super::undecided::Undecided;
use crate::archive::Form;
use crate::data_root::{self, InFlight, Lock};
use crate::error::{Attempt, Result};
use crate::runtime;
use crate::spec::id::{CacheId, ContainerId};
use crate::spec::name::VolumeName;
use crate::sys::cgroup::Group;
use crate::sys::reaper::Registration;

/// What of one container the reaper knows.
#[derive(Debug, Default)]
pub(super) struct Reaper {
    /// The files of a guard; forgotten when this is dropped.
    files: Option<Registration>,
    /// The process.
    process: Option<Registration>,
    /// Where the container may get a cgroup; looked up once.
    cgroups: Option<Arc<[PathBuf]>>,
}

impl Reaper {
    /// Tells of a guard that is about to be made.
    pub(super) fn of_guard(store: &Store, id: &ContainerId, config: &Config, owner: &InFlight) -> Self {
        let cgroups: Arc<[PathBuf]> = Group::candidates(id.as_str()).into();
        let files = heard(tell_of_files(store, id, config, owner, &cgroups, None));
        Self { files, process: None, cgroups: Some(cgroups) }
    }

    /// Tells of a guard once more, which may be about to be kept, or is not after all.
    pub(super) fn tell_again(
        &mut self,
        store: &Store,
        id: &ContainerId,
        config: &Config,
        owner: &InFlight,
        undecided: Option<&Undecided>,
    ) {
        if self.files.is_some() {
            let cgroups = self.cgroups.get_or_insert_with(|| Group::candidates(id.as_str()).into());
            // What was said before is taken back after that.
            self.files = heard(tell_of_files(store, id, config, owner, cgroups, undecided));
        }
    }

    /// Prepares to tell of a process that is about to be started.
    pub(super) fn expect_process(
        &mut self,
        store: &Store,
        id: &ContainerId,
        config: &Config,
        undecided: Option<&Undecided>,
    ) -> Option<ProcessToBe> {
        self.process = None;
        let registration = heard(Registration::new().attempt(|| "start the reaper"))?;
        let cgroups = self.cgroups.get_or_insert_with(|| Group::candidates(id.as_str()).into());
        if self.files.is_none() {
            // Of a guard that is told already. The group is made before the process.
            let orders: Vec<_> = undecided.map(of_undecided).into_iter().chain(removals(cgroups)).collect();
            heard(registration.add(&borrowed(&orders), &[]).attempt(|| "tell the reaper of a cgroup"));
        }
        let others = undecided.map(of_undecided).into_iter().chain(told(store, id, config)).collect();
        Some(ProcessToBe { registration, cgroups: Arc::clone(cgroups), others })
    }

    /// Goes on with what was told of the process.
    pub(super) fn has_process(&mut self, process: Option<ProcessToBe>) {
        self.process = process.map(|process| process.registration);
    }

    /// The process has ended.
    pub(super) fn has_none(&mut self) {
        self.process = None;
    }

    /// The container is to stay.
    pub(super) fn keep_files(&mut self) {
        self.files = None;
    }
}

/// A process that is about to be started.
#[derive(Debug)]
pub(crate) struct ProcessToBe {
    registration: Registration,
    /// Where its container has a cgroup, or may get one when it is paused.
    cgroups: Arc<[PathBuf]>,
    /// What else there is to say.
    others: Vec<(u8, PathBuf)>,
}

impl ProcessToBe {
    /// One that is of no container, with a cgroup of this name.
    pub(crate) fn in_cgroup(name: &str) -> Option<Self> {
        let registration = heard(Registration::new().attempt(|| "start the reaper"))?;
        let cgroups: Arc<[PathBuf]> = Group::candidates(name).into();
        let orders: Vec<_> = removals(&cgroups).collect();
        // The group is made before the process.
        heard(registration.add(&borrowed(&orders), &[]).attempt(|| "tell the reaper of a cgroup"));
        Some(Self { registration, cgroups, others: Vec::new() })
    }

    /// Tells of it, once it is there.
    pub(crate) fn tell(&self, pidfd: BorrowedFd<'_>) {
        let mut orders: Vec<_> = self.others.iter().cloned().chain([(b'K', PathBuf::new())]).collect();
        orders.extend(self.cgroups.iter().map(|group| (b'Z', group.join("freezer.state"))));
        heard(self.registration.add(&borrowed(&orders), &[pidfd]).attempt(|| "tell the reaper of a process"));
    }
}

/// The files of a guard, and what it is that they stay if it is decided otherwise.
fn tell_of_files(
    store: &Store,
    id: &ContainerId,
    config: &Config,
    owner: &InFlight,
    cgroups: &[PathBuf],
    undecided: Option<&Undecided>,
) -> Result<Registration> {
    let root = File::open(store.root().path()).attempt(|| format!("open {:?}", store.root().path()))?;
    let registration = Registration::new().attempt(|| "start the reaper")?;
    let files = orders(store, id, config, &CacheId::from(id), owner);
    // The group is made before the process that is told of.
    let orders = undecided.map(of_undecided).into_iter().chain(files).chain(removals(cgroups));
    let orders: Vec<_> = orders.chain(told(store, id, config)).collect();
    registration.add(&borrowed(&orders), &[root.as_fd(), owner.lock()]).attempt(|| "tell the reaper of a container")?;
    Ok(registration)
}

/// Orders as the line takes them.
fn borrowed(orders: &[(u8, PathBuf)]) -> Vec<(u8, &[u8])> {
    orders.iter().map(|(letter, path)| (*letter, path.as_os_str().as_bytes())).collect()
}

/// Where and in what words its events are told.
fn told(store: &Store, id: &ContainerId, config: &Config) -> Vec<(u8, PathBuf)> {
    let root = store.root();
    // One that cannot be told of is no reason to fail.
    let members = events::members(id, config.plain_name(), &config.config.image).unwrap_or_default();
    vec![(b'W', data_root::events::current(root)), (b'M', members.into()), (b'Q', root.container_dir(id))]
}

fn of_undecided(undecided: &Undecided) -> (u8, PathBuf) {
    (b'U', undecided.path().to_owned())
}

/// What goes with a kept container that is removed at its end: its supervisor does it, in the same words.
pub(super) fn removal(
    store: &Store,
    id: &ContainerId,
    config: &Config,
    layer: &CacheId,
    owner: &InFlight,
) -> Result<runtime::Removal> {
    let root = File::open(store.root().path()).attempt(|| format!("open {:?}", store.root().path()))?;
    Ok(runtime::Removal { root, orders: orders(store, id, config, layer, owner) })
}

/// Of each cgroup, and of the one above it with the last of them.
fn removals(cgroups: &[PathBuf]) -> impl Iterator<Item = (u8, PathBuf)> {
    cgroups.iter().flat_map(|group| [b'G', b'P'].into_iter().zip(group.ancestors().map(Path::to_owned)))
}

fn heard<T>(told: Result<T>) -> Option<T> {
    told.inspect_err(|error| tracing::warn!("a kill of this program would leave something for a while: {error}")).ok()
}

/// What is to be removed, in the order of `erase`. The letters are explained in `sdk/helper/reaper.rs`.
fn orders(store: &Store, id: &ContainerId, config: &Config, layer: &CacheId, owner: &InFlight) -> Vec<(u8, PathBuf)> {
    let root = store.root();
    let mut orders = vec![(b'B', root.trash_dir())];
    let volumes: Vec<_> = config.anonymous_volumes().filter_map(|name| VolumeName::parse(name).ok()).collect();
    if !volumes.is_empty() {
        orders.push((b'L', root.lock_path(Lock::Containers)));
        orders.extend([root.containers_dir(), store.staging()].map(|directory| (b'S', directory)));
        orders.push((b'N', CONFIG_FILE.into()));
        orders.push((b'X', id.as_str().into()));
        orders.extend(volumes.iter().map(|name| (b'V', root.volume_dir(name))));
    }
    orders.extend([root.container_dir(id), store.staged(id)].map(|tree| (b'T', tree)));
    let layers = [layer.clone(), layer.init()].map(|layer| root.layer_dir(&layer));
    match store.layers().driver().form() {
        Form::Changes => {
            orders.push((b'l', root.links_dir()));
            orders.extend(layers.map(|layer| (b'D', layer)));
        }
        // What lies there are files of the container.
        Form::Whole => orders.extend(layers.map(|layer| (b'T', layer))),
    }
    orders.extend([root.layer_mounts(id), root.write_set(layer)].map(|tree| (b'T', tree)));
    orders.extend([root.entry_path(layer.as_str()), owner.path().to_owned()].map(|entry| (b'F', entry)));
    let relative = |path: PathBuf| path.strip_prefix(root.path()).map(Path::to_owned).unwrap_or(path);
    orders.into_iter().map(|(letter, path)| (letter, relative(path))).collect()
}
