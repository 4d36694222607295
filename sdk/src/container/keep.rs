//! Containers that outlive the program that starts them.
//!
//! ```text
//! containers/<container id>/
//! └── plywood-end.json   how a kept run has ended, written by its supervisor; merged into the other files, and removed,
//!                        by the next program that owns the container
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
use super::events::Action;
use super::handle::Handle;
use super::record::Run;
use super::start::{Lifetime, log_config};
use super::stdio::{Stdio, Streams};
use super::store::{Files, Store, read_json};
use super::{Container, Role};
use crate::data_root::Durability;
use crate::error::{Attempt, ErrorKind, Fault, Result};
use crate::logs::json_file::Writer;
use crate::runtime::{self, Keeper};
use crate::spec::id::ContainerId;
use crate::spec::time::Timestamp;

/// The file in the directory of a container, named in `sdk/helper/keeper.rs` too.
const END_FILE: &str = "plywood-end.json";

/// How a kept run has ended.
#[derive(Debug, Deserialize)]
struct End {
    pid: u32,
    start_time: u64,
    wait_status: i32,
    out_of_memory: bool,
    finished_at: Timestamp,
}

#[derive(Debug, thiserror::Error)]
enum KeepFault {
    #[error("it is to outlive this program, and its streams are to be this program's")]
    Streams,
    #[error("it is to outlive this program, and has no init")]
    NoInit,
    #[error("it is to outlive this program, and has a terminal")]
    Terminal,
    #[error("it is to outlive this program, and its data root is temporary")]
    Temporary,
}

impl Fault for KeepFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Terminal => ErrorKind::Unsupported,
            Self::Streams | Self::NoInit | Self::Temporary => ErrorKind::InvalidArgument,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Streams => "standard input can be null, the outputs null or log",
            Self::NoInit => "leave init on: it tells how the command has ended",
            Self::Terminal => "its log is there without one, and exec gives one to a further process",
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
    /// [init](super::Definition::init) or its data root is temporary, [`Unsupported`](ErrorKind::Unsupported) if it has a
    /// terminal.
    #[doc(alias = "--detach")]
    pub fn start_kept(&mut self) -> Result<()> {
        let log = Stdio::log();
        self.handle.start_kept(&Streams { stdin: Stdio::null(), stdout: log.clone(), stderr: log })?;
        self.observe();
        Ok(())
    }
}

impl Handle {
    /// Starts the container's process, which outlives this program.
    pub(crate) fn start_kept(self: &Arc<Self>, streams: &Streams) -> Result<()> {
        let start = || {
            self.check_kept(streams)?;
            {
                let mut inner = self.lock();
                if !inner.is_running() && inner.is_guard() {
                    self.complete(&mut inner)?;
                }
            }
            self.try_start(streams, Lifetime::Own)
        };
        start().map_err(|error| attempted(format!("start {}", self.title()), error))
    }

    /// Whether the container can outlive this program.
    pub(crate) fn check_kept(&self, streams: &Streams) -> Result<()> {
        let files = self.files()?;
        let fault = if !streams.are_nobodys() {
            KeepFault::Streams
        } else if files.config.config.tty {
            KeepFault::Terminal
        } else if files.host.init == Some(false) {
            KeepFault::NoInit
        } else if self.store().is_temporary() {
            KeepFault::Temporary
        } else {
            return Ok(());
        };
        Err(fault.into())
    }

    /// Whether its definition says that it outlives its program.
    pub(crate) fn is_kept(&self) -> Result<bool> {
        Ok(self.files()?.record.is_some_and(|record| record.kept))
    }

    /// What the supervisor needs, and the streams of the process.
    pub(super) fn keeper(&self, files: &Files, streams: &Streams) -> Result<(runtime::Stdio, Keeper)> {
        let (stdio, outputs) = streams.open_kept()?;
        let root = self.store().root();
        let (directory, log) = (root.container_dir(self.id()), root.container_log(self.id()));
        let config = log_config(files);
        let name = log.file_name().and_then(std::ffi::OsStr::to_str).unwrap_or_default();
        let owner = self.lock().owner.as_ref().map(|owner| owner.lock().try_clone_to_owned());
        let owner = owner.ok_or_else(|| self.removed())?.attempt(|| "duplicate the lock of a container")?;
        let keeper = Keeper {
            outputs,
            log_name: name.to_owned(),
            log: Writer::open(&log, config)?.into_file(),
            config,
            directory: File::open(&directory).attempt(|| format!("open {directory:?}"))?,
            owner,
            interlock: root.interlock()?,
            is_durable: root.durability() != Durability::Fast,
            cgroup: self.id().as_str().to_owned(),
        };
        Ok((stdio, keeper))
    }
}

/// Adds the end of a kept run to the files that name the run; whether there was one.
pub(super) fn merge(files: &mut Files, directory: &Path) -> Result<bool> {
    let Some(record) = files.record.as_mut() else { return Ok(false) };
    let Some(run) = record.run.clone().filter(|_| record.kept) else { return Ok(false) };
    let is_of = |end: &End, run: &Run| (end.pid, end.start_time) == (run.pid, run.start_time);
    let Some(end) = read_json::<End>(&directory.join(END_FILE))?.filter(|end| is_of(end, &run)) else {
        return Ok(false);
    };
    let status = runtime::kept_status(end.wait_status, end.out_of_memory);
    record.close(&run, &mut files.config, status, end.finished_at);
    Ok(true)
}

impl Store {
    /// Writes the end of a kept run where all ends are written. The caller owns the container.
    pub(super) fn settle_end(&self, id: &ContainerId) -> Result<()> {
        let path = self.root().container_dir(id).join(END_FILE);
        if !path.exists() {
            return Ok(());
        }
        if let Some((files, true)) = self.read_merged(id)? {
            self.write(id, &files)?;
            let code = files.config.state.exit_code.to_string();
            let (name, image) = (files.config.plain_name(), &files.config.config.image);
            self.tell(id, name, image, Action::Die, Some(("exitCode", code)));
        }
        std::fs::remove_file(&path).attempt(|| format!("remove {path:?}"))
    }
}
