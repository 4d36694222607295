//! The root directory of a container, as a descriptor.
//!
//! Of a container that runs it is the root of its first process, with everything that is mounted in there. Of one that
//! does not, its layers, volumes and binds are mounted for the time of use. What is done in it goes through descriptors
//! that were resolved inside it: the container may change anything meanwhile and leads nowhere else.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};

use super::handle::{Handle, Inner};
use super::start::storage;
use crate::data_root::{InFlight, Locked};
use crate::error::{Attempt, ErrorKind, Fault, Result};
use crate::runtime::{MountedRoot, Process, mount_root};
use crate::sys::namespace;
use crate::sys::probe::{Privilege, privilege};
use crate::sys::within::{ENTER, Place};

/// The root directory of a container, for as long as it is held.
#[derive(Debug)]
pub(super) enum Root {
    Running {
        directory: OwnedFd,
        /// That of a container of root's: files are there for its ids only.
        user_namespace: Option<OwnedFd>,
    },
    Idle(Arc<IdleRoot>),
}

/// What is mounted of a container that does not run: once, however many use it.
#[derive(Debug)]
pub(super) struct IdleRoot {
    mounted: MountedRoot,
    /// Keeps other programs from starting it; `None` if this program owns it anyway.
    _owner: Option<InFlight>,
    /// Keeps everybody from copying them while they may be written to.
    _volumes: Vec<Locked>,
}

#[derive(Debug, thiserror::Error)]
enum RootFault {
    #[error("it was started at this moment")]
    Starting,
    #[error("it is frozen")]
    Frozen,
}

impl Fault for RootFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Starting => ErrorKind::InUse,
            Self::Frozen => ErrorKind::Unsupported,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Starting => "try it again",
            Self::Frozen => "use a fork of it",
        };
        Some(hint.to_owned())
    }
}

impl Root {
    pub(super) fn directory(&self) -> BorrowedFd<'_> {
        match self {
            Self::Running { directory, .. } => directory.as_fd(),
            Self::Idle(idle) => idle.mounted.directory(),
        }
    }

    /// Where the container's files belong to whom they belong inside.
    pub(super) fn place(&self) -> Place<'_> {
        match self {
            Self::Running { user_namespace: Some(namespace), .. } => Place::Container(namespace),
            _ => Place::Store,
        }
    }

    /// Does `work` there.
    pub(super) fn within<T>(&self, work: impl FnOnce() -> T) -> Result<T> {
        self.place().within(work).attempt(|| ENTER)
    }
}

impl Handle {
    /// The root directory, whatever the container does.
    ///
    /// # Errors
    /// `InUse` if it does not run and another program owns it.
    pub(super) fn root(self: &Arc<Self>) -> Result<Root> {
        self.check_present()?;
        if let Some(process) = self.process().filter(Process::is_running) {
            let directory = of_process(process.pid());
            // It is the process behind the number only if that has not been freed meanwhile.
            if process.is_running() {
                return directory;
            }
        } else if let Some(run) = self.files()?.record.and_then(|record| record.run) {
            let _process = run.open()?;
            let directory = of_process(run.pid);
            if run.is_alive() {
                return directory;
            }
        }
        self.mount_idle().map(Root::Idle)
    }

    fn mount_idle(self: &Arc<Self>) -> Result<Arc<IdleRoot>> {
        // First: whoever copies them asks this handle whether the container runs.
        let volumes = self.store().hold_volumes(&self.files()?)?;
        let mut inner = self.lock();
        if inner.is_removed() {
            return Err(self.removed());
        }
        if inner.is_running() {
            return Err(RootFault::Starting.into());
        }
        if let Some(idle) = inner.idle_root() {
            return Ok(idle);
        }
        let owner = if inner.owner.is_none() { Some(self.own()?) } else { None };
        let files = match &inner.files {
            Some(files) => files.as_ref().clone(),
            None => self.store().read(self.id())?.ok_or_else(|| self.removed())?,
        };
        if files.record.as_ref().is_some_and(|record| record.frozen) {
            return Err(RootFault::Frozen.into());
        }
        let writable = self.store().layers().writable(self.id())?.ok_or_else(|| self.removed())?;
        let bundle = storage(self.store(), self.id(), &files, &writable)?;
        let idle = Arc::new(IdleRoot { mounted: mount_root(&bundle)?, _owner: owner, _volumes: volumes });
        inner.idle_root = Arc::downgrade(&idle);
        drop(inner);
        // So that all handles of this program see it.
        self.store().enlist(self);
        Ok(idle)
    }
}

impl Inner {
    /// What is mounted while the container does not run, if it is being used.
    pub(super) fn idle_root(&self) -> Option<Arc<IdleRoot>> {
        self.idle_root.upgrade()
    }
}

/// The root directory of a process, with all that is mounted in it.
///
/// The link of `/proc` leads into its mount namespace. It is followed once; nothing is looked up by this path again.
fn of_process(pid: u32) -> Result<Root> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(format!("/proc/{pid}/root"), flags, Mode::empty());
    let directory = opened.attempt(|| format!("open the root directory of process {pid}"))?;
    let attempt = || format!("open the user namespace of process {pid}");
    let is_shifted = privilege() == Privilege::Root && namespace::foreign(pid).attempt(attempt)? & namespace::USER != 0;
    let user_namespace = is_shifted.then(|| File::open(format!("/proc/{pid}/ns/user"))).transpose().attempt(attempt)?;
    Ok(Root::Running { directory, user_namespace: user_namespace.map(OwnedFd::from) })
}
