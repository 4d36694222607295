//! Containers that outlive the program that starts them.
//!
//! ```text
//! containers/<container id>/
//! ├── plywood-kept.json  how a kept container does, written by its supervisor: which process runs, how the last one ended;
//! │                      merged into the other files, and removed, by the next program that owns the container
//! ├── plywood-health.json  how its health check goes, written and removed by the same
//! └── plywood.sock       where its supervisor is spoken to, while there is one
//! ```
//!
//! The supervisor is a process of its own, the helper (`sdk/helper/keeper.rs`). It holds the container's `owner-` lock
//! while the container runs, so that nobody takes it for abandoned, and whoever reads the files sees the end as soon as
//! it is written. If the supervisor is killed, nobody takes the container's output any more: the container is abandoned
//! then, and the next program that opens the store kills it and records it as killed.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::create::attempted;
use super::handle::{Handle, Inner};
use super::health;
use super::lease;
use super::logs::log_config;
use super::reaper;
use super::record::{Record, Run};
use super::restart::RestartPolicy;
use super::start::{Lifetime, window_size};
use super::stdio::Streams;
use super::store::{Files, Store, read_json};
use super::{Attachment, Container, Role};
use crate::data_root::{Durability, events};
use crate::error::{Attempt, ErrorKind, Fault, Result};
use crate::layer::WritableLayer;
use crate::logs::json_file::Writer;
use crate::runtime::{self, Keeper};
use crate::spec::id::ContainerId;
use crate::spec::time::Timestamp;
use crate::sys::keeper;

/// The file in the directory of a container, written by `sdk/helper/report.rs`.
const KEPT_FILE: &str = "plywood-kept.json";

/// How a kept container does.
#[derive(Debug, Deserialize)]
struct Kept {
    /// The process that its supervisor was given.
    pid: u32,
    start_time: u64,
    restarts: u32,
    /// Whether there will be another process.
    restarting: bool,
    run: Option<KeptRun>,
    exit: Option<KeptExit>,
    failure: Option<Failure>,
}

#[derive(Debug, Deserialize)]
struct KeptRun {
    pid: u32,
    start_time: u64,
    started_at: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
struct KeptExit {
    wait_status: i32,
    out_of_memory: bool,
    started_at: Option<Timestamp>,
    finished_at: Timestamp,
}

/// A start that has failed.
#[derive(Debug, Deserialize)]
struct Failure {
    attempt: String,
    errno: i32,
}

/// What the file of a supervisor says of the run that is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Merged {
    /// Nothing.
    Nothing,
    /// It has a process.
    Runs,
    /// It has none.
    Ended,
}

#[derive(Debug, thiserror::Error)]
enum KeepFault {
    #[error("it is to outlive this program, and its streams are to be this program's")]
    Streams,
    #[error("it is to outlive this program, and has no init")]
    NoInit,
    #[error("it is to outlive this program, and its data root is temporary")]
    Temporary,
}

impl Fault for KeepFault {
    fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidArgument
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Streams => "standard input can be null or piped, the outputs null or log",
            Self::NoInit => "leave init on: it tells how the command has ended",
            Self::Temporary => "open a data root that stays",
        };
        Some(hint.to_owned())
    }
}

impl<D> Container<D> {
    /// Lets the container stay in the store, with its log and exit status, when this handle is dropped and when the
    /// program ends. Its process still ends with the program.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if it was removed.
    pub fn persist(&mut self) -> Result<()> {
        self.handle.persist()?;
        self.observe();
        Ok(())
    }

    pub(crate) fn observe(&mut self) {
        self.role = Role::Observer;
    }

    /// Starts it so that it outlives this program, as if [`keep`](super::Definition::keep) had declared it.
    ///
    /// The container stays in the store from here on, whatever becomes of this handle. Its output goes to the log.
    ///
    /// # Errors
    /// As for [`start`](Self::start), and [`InvalidArgument`](ErrorKind::InvalidArgument) if it has no
    /// [init](super::Definition::init) or its data root is temporary.
    #[doc(alias = "--detach")]
    pub fn start_kept(&mut self) -> Result<()> {
        self.handle.start_again()?;
        self.observe();
        Ok(())
    }

    /// The same, and takes part in its streams from the first byte on, as by [`attach`](Self::attach).
    ///
    /// # Errors
    /// As for [`start_kept`](Self::start_kept).
    pub fn start_attached(&mut self) -> Result<Attachment> {
        let attachment = self.handle.start_attached();
        if attachment.is_ok() {
            self.observe();
        }
        attachment
    }
}

impl Handle {
    /// Lets the container stay in the store when this program ends.
    pub(crate) fn persist(&self) -> Result<()> {
        let mut inner = self.lock();
        if inner.is_removed() {
            return Err(self.removed());
        }
        if !inner.is_guard() {
            return Ok(());
        }
        self.complete(&mut inner)?;
        let inner = &mut *inner;
        let is_running = inner.is_running();
        let Some(files) = &mut inner.files else { return Ok(()) };
        if let Some(record) = &mut files.record {
            record.guard = false;
        }
        self.store().write(self.id(), files)?;
        self.store().sync(self.id())?;
        inner.reaper.keep_files();
        if !is_running {
            inner.disown();
        }
        Ok(())
    }

    /// Gives a guard a writable layer of which it shares nothing with others: it may stay from here on.
    pub(super) fn complete(&self, inner: &mut Inner) -> Result<()> {
        self.check_base()?;
        self.store().layers().complete_writable(self.id())?;
        // What it stands on is another directory now.
        inner.writable = None;
        Ok(())
    }

    /// Starts the container's process, which outlives this program.
    pub(crate) fn start_kept(self: &Arc<Self>, streams: &Streams) -> Result<()> {
        self.start_to_stay(streams, Lifetime::Own)
    }

    pub(super) fn start_to_stay(self: &Arc<Self>, streams: &Streams, lifetime: Lifetime) -> Result<()> {
        let start = || {
            self.check_kept(streams)?;
            {
                let mut inner = self.lock();
                if !inner.is_running() && inner.is_guard() {
                    self.complete(&mut inner)?;
                }
            }
            self.try_start(streams, lifetime)
        };
        start().map_err(|error| attempted(format!("start {}", self.title()), error))
    }

    /// The same, with the streams that its definition has asked for.
    pub(crate) fn start_again(self: &Arc<Self>) -> Result<()> {
        let takes_input = self.files()?.config.config.open_stdin;
        self.start_kept(&Streams::kept(takes_input))
    }

    /// Whether the container can outlive this program.
    pub(crate) fn check_kept(&self, streams: &Streams) -> Result<()> {
        let files = self.files()?;
        let fault = if !streams.are_nobodys() {
            KeepFault::Streams
        } else if files.host.init == Some(false) {
            KeepFault::NoInit
        } else if self.store().is_temporary() {
            KeepFault::Temporary
        } else {
            return Ok(());
        };
        Err(fault.into())
    }

    /// Puts the end of a kept container where all ends are, unless somebody else is about to do that.
    pub(super) fn settle_end(&self) -> Result<()> {
        let directory = self.store().root().container_dir(self.id());
        if directory.join(KEPT_FILE).exists()
            && let Some((files, Merged::Ended)) = self.store().read_merged(self.id())?
            && !files.config.state.restarting
        {
            drop(self.own());
        }
        Ok(())
    }

    /// Whether its definition says that it outlives its program.
    pub(crate) fn is_kept(&self) -> Result<bool> {
        Ok(self.files()?.record.is_some_and(|record| record.kept))
    }

    /// What the supervisor needs, and the streams of the process.
    pub(super) fn keeper(
        &self,
        files: &Files,
        writable: &WritableLayer,
        streams: &Streams,
    ) -> Result<(runtime::Stdio, Keeper)> {
        let (stdio, outputs, input) = streams.open_kept(files.config.config.tty.then(|| window_size(files)))?;
        let root = self.store().root();
        let (directory, log) = (root.container_dir(self.id()), root.container_log(self.id()));
        let config = log_config(files);
        let is_removed = files.record.as_ref().is_some_and(|record| record.auto_remove);
        let idle = lease::idle(self.store(), files, || self.stop_signal())?;
        let name = log.file_name().and_then(std::ffi::OsStr::to_str).unwrap_or_default();
        let (owner, removal) = {
            let inner = self.lock();
            let owner = inner.owner.as_ref().ok_or_else(|| self.removed())?;
            let removal = match files.record.as_ref().is_some_and(Record::may_remove_itself) {
                true => Some(reaper::removal(self.store(), self.id(), &files.config, &writable.mount_id, owner)?),
                false => None,
            };
            (owner.lock().try_clone_to_owned().attempt(|| "duplicate the lock of a container")?, removal)
        };
        let directory = File::open(&directory).attempt(|| format!("open {directory:?}"))?;
        self.store().forget_kept(self.id())?;
        let keeper = Keeper {
            outputs,
            input,
            control: keeper::listen_in(&directory).attempt(|| "make the socket of a supervisor")?,
            check: health::resolve(self.store(), files, writable)?,
            restart: RestartPolicy::of(&files.host.restart_policy).resolve(),
            removal,
            ports: self.listeners()?,
            idle,
            is_removed,
            events: events::current(root),
            event: self.event_members()?,
            log_name: name.to_owned(),
            log: Writer::open(&log, config)?.into_file(),
            config,
            directory,
            owner,
            interlock: root.interlock()?,
            is_durable: root.durability() != Durability::Fast,
            cgroup: self.id().as_str().to_owned(),
        };
        Ok((stdio, keeper))
    }
}

/// Adds what the supervisor says of a kept run to the files that name the run.
pub(super) fn merge(files: &mut Files, directory: &Path) -> Result<Merged> {
    let Some(record) = files.record.as_mut() else { return Ok(Merged::Nothing) };
    let Some(first) = record.run.clone().filter(|_| record.kept) else { return Ok(Merged::Nothing) };
    let is_of = |kept: &Kept| (kept.pid, kept.start_time) == (first.pid, first.start_time);
    let kept = read_json::<Kept>(&directory.join(KEPT_FILE))?.filter(is_of);
    let kept_health = health::kept(directory, (first.pid, first.start_time))?;
    let Some(kept) = kept else {
        kept_health.into_iter().for_each(|health| health.record(&mut files.config.state));
        return Ok(Merged::Nothing);
    };
    let (cgroup, ports) = (std::mem::take(&mut record.cgroup), std::mem::take(&mut record.ports));
    if let Some(exit) = &kept.exit {
        let run = Run { started_at: exit.started_at.unwrap_or(first.started_at), ..first.clone() };
        let status = runtime::kept_status(exit.wait_status, exit.out_of_memory);
        record.close(&run, &mut files.config, status, exit.finished_at);
    }
    record.run = None;
    let state = &mut files.config.state;
    // It says that the container has ended, too.
    kept_health.into_iter().for_each(|health| health.record(state));
    state.restarting = kept.restarting;
    if let Some(failure) = &kept.failure {
        let why = std::io::Error::from_raw_os_error(failure.errno);
        state.error = format!("start it again: {}: {why}", failure.attempt);
    }
    files.config.restart_count = kept.restarts;
    if let Some(run) = &kept.run {
        let started_at = run.started_at.unwrap_or(first.started_at);
        record.run = Some(Run { pid: run.pid, start_time: run.start_time, started_at, ..first });
        state.started_at = started_at.to_string();
    }
    let is_over = record.run.is_none() && !kept.restarting;
    if !is_over {
        record.cgroup = cgroup;
        record.publish(&mut files.config, ports);
    }
    Ok(if record.run.is_some() { Merged::Runs } else { Merged::Ended })
}

impl Store {
    /// Writes the end of a kept run where all ends are written. The caller owns the container.
    pub(super) fn settle_end(&self, id: &ContainerId) -> Result<()> {
        if !self.root().container_dir(id).join(KEPT_FILE).exists() {
            return Ok(());
        }
        match self.read_merged(id)? {
            // Whoever ends the process records that.
            Some((_, Merged::Runs)) => return Ok(()),
            Some((mut files, Merged::Ended)) => {
                files.config.state.restarting = false;
                if let Some(record) = &mut files.record {
                    record.cgroup.clear();
                }
                self.write(id, &files)?;
            }
            Some((_, Merged::Nothing)) | None => {}
        }
        self.forget_kept(id)
    }

    /// Removes what the supervisor has written.
    pub(super) fn forget_kept(&self, id: &ContainerId) -> Result<()> {
        for name in [KEPT_FILE, health::KEPT_FILE] {
            let path = self.root().container_dir(id).join(name);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                removed => removed.attempt(|| format!("remove {path:?}"))?,
            }
        }
        Ok(())
    }
}
