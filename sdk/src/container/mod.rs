//! Containers: declared, created, started, watched, removed.
//!
//! A [`Definition`] says what is to run and reads like [`std::process::Command`]; [`Container::of`] begins one. Its verbs
//! `create`, `start`, `output` and `status` take an [`Engine`](crate::Engine). What comes back from the first two is a
//! [`Container`]: a guard that kills and removes it when dropped.

use std::fmt;
use std::marker::PhantomData;
use std::process::{ChildStderr, ChildStdin, ChildStdout};
use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::image::Layers;
use crate::spec::exit_status::ExitStatus;
use crate::spec::id::ContainerId;

mod attach;
mod changes;
mod capability;
mod commit;
mod compose;
pub(crate) mod config;
mod connect;
mod copy;
pub(crate) mod create;
pub(crate) mod debug;
mod definition;
mod enter;
mod environment;
mod events;
mod exec;
mod exec_process;
mod files;
pub(crate) mod handle;
mod health;
mod host_config;
mod inspect;
mod ipc;
mod keep;
pub(crate) mod lease;
mod logs;
mod names;
mod namespaces;
mod network;
mod pause;
mod pids;
mod port;
mod publish;
mod ready;
pub(crate) mod reaper;
mod record;
mod rename;
pub(crate) mod remove;
mod resource;
pub(crate) mod resources;
mod restart;
mod security;
mod root;
mod signal;
mod sockets;
mod snapshot;
mod start;
mod started;
mod state;
mod stats;
pub(crate) mod stdio;
mod stop;
pub(crate) mod store;
mod terminal;
mod top;
mod undecided;
mod used;
mod volumes;
pub(crate) mod user;

pub use crate::layer::changes::{Change, ChangeKind};
pub use crate::logs::Stream;
pub use crate::logs::read::LogLine;
pub use crate::runtime::stats::{Cpu, Io, Memory, Network, Pids, Stats};
pub use attach::{AttachedEnd, AttachedOutput, Attachment};
pub use capability::Capability;
pub use commit::Commit;
pub use copy::{Archive, CopyOptions};
pub use definition::{Definition, Device, ImageSource, Seccomp};
pub(crate) use definition::{ImageChoice, Settings};
pub use events::{Action, Event, EventStream, Events};
pub use exec::Exec;
pub use exec_process::ExecProcess;
pub use health::{Health, HealthResult, HealthStatus};
pub use inspect::{Details, Mounted};
pub use ipc::IpcMode;
pub use logs::{Lines, Logs};
pub use namespaces::{NamespaceChoice, NamespaceMode, UserNamespace};
pub use network::{NetworkChoice, NetworkMode};
pub use port::PortOf;
pub use publish::{HostAddress, Publish, PublishedPort};
pub use ready::{HttpReady, LogReady, Ready};
pub use resource::Resource;
pub use restart::RestartPolicy;
pub use signal::Signal;
pub use snapshot::Snapshot;
pub use state::State;
pub use stdio::{Output, Stdio};
pub use terminal::Terminal;
pub use top::ProcessInfo;

use handle::Handle;
use remove::Force;
use snapshot::Frozen;

/// A container in the store.
///
/// One that was created or started by this program is a guard: dropping it kills its process and removes the container,
/// with its volumes that have no name, within milliseconds. If the program is killed, its processes are too, and what it
/// leaves is removed at once by a helper process, its reaper. One that was found by its name is not: dropping it does
/// nothing.
#[must_use = "the container is removed when this is dropped"]
pub struct Container<D = Layers> {
    handle: Arc<Handle>,
    role: Role,
    definition: PhantomData<fn() -> D>,
    /// What it stands on, which goes after it.
    base: Option<Arc<Frozen>>,
}

/// What dropping a handle does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Guard,
    Observer,
}

impl Container {
    /// Begins the definition of a container of this image: a stored one, the definition of one (it is built first), or
    /// the reference of a stored one.
    pub fn of<S: ImageSource>(image: S) -> Definition<S::Definition> {
        Definition::new(image.choose())
    }
}

impl<D> Container<D> {
    pub(crate) fn guard(handle: Arc<Handle>) -> Self {
        Self { handle, role: Role::Guard, definition: PhantomData, base: None }
    }

    pub(crate) fn observer(handle: Arc<Handle>) -> Self {
        Self { handle, role: Role::Observer, definition: PhantomData, base: None }
    }

    pub(crate) fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }

    /// Its ID.
    pub fn id(&self) -> &ContainerId {
        self.handle.id()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.handle.name()
    }

    /// The reference of its image, as it was given.
    pub fn image(&self) -> &str {
        self.handle.image()
    }

    /// What it is doing now.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if it was removed.
    pub fn state(&self) -> Result<State> {
        self.handle.state().map(|(state, _)| state)
    }

    /// Everything about it, as it is now.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if it was removed.
    pub fn inspect(&self) -> Result<Details> {
        self.handle.inspect()
    }

    /// Starts a container that was created or has exited. Its output goes to the log.
    ///
    /// Its process ends with this program at the latest, unless the definition [keeps](Definition::keep) it.
    ///
    /// # Errors
    /// [`InUse`](crate::ErrorKind::InUse) if it is running. If the command does not exist or cannot be executed, the
    /// error's [`exit_code`](crate::Error::exit_code) is 127 or 126.
    pub fn start(&self) -> Result<()> {
        if self.handle.is_kept()? {
            return self.handle.start_again();
        }
        self.handle.start(&stdio::Streams { stdin: Stdio::null(), stdout: Stdio::log(), stderr: Stdio::log() })
    }

    /// Starts it with these standard streams; it ends with this program at the latest, kept or not.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub fn start_with(&self, stdin: Stdio, stdout: Stdio, stderr: Stdio) -> Result<()> {
        self.handle.start(&stdio::Streams { stdin, stdout, stderr })
    }

    /// Waits until its process has ended.
    ///
    /// Returns at once if it already has. The container is not removed, and its log is complete when this returns.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if it was removed meanwhile,
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if it was never started.
    pub fn wait(&self) -> Result<ExitStatus> {
        loop {
            if let Some(status) = self.handle.wait(None)? {
                return Ok(status);
            }
        }
    }

    /// Waits until its process has ended, for this time at most; `None` if it still runs.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<Option<ExitStatus>> {
        self.handle.wait(Some(timeout))
    }

    /// How its process ended, if it has.
    ///
    /// # Errors
    /// As for [`wait`](Self::wait).
    pub fn try_wait(&self) -> Result<Option<ExitStatus>> {
        self.handle.wait(Some(Duration::ZERO))
    }

    /// Sends its process a signal.
    ///
    /// Without an [init](Definition::init) it gets those only that it has a handler for, and [`Signal::KILL`].
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if it is not running.
    pub fn kill(&self, signal: Signal) -> Result<()> {
        self.handle.signal(signal)
    }

    /// Asks its process to end, kills it after `timeout`, and says how it ended.
    ///
    /// The signal is the definition's, else the image's, else `SIGTERM`. A container that is not running is left as it is.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if it was removed.
    pub fn stop(&self, timeout: Duration) -> Result<ExitStatus> {
        self.handle.stop(timeout)
    }

    /// Freezes all of its processes, and returns once they stand still. One that is paused is left as it is.
    ///
    /// Killing and stopping it work all the same; a signal of another kind arrives when it goes on.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if it is not running,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if it has no cgroup and cannot get one: as an ordinary user it takes
    /// version 2 and a cgroup that was handed to the user.
    #[doc(alias = "freezer")]
    pub fn pause(&self) -> Result<()> {
        self.handle.pause()
    }

    /// Lets a paused container go on. One that is not paused is left as it is.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if it is not running.
    #[doc(alias = "unpause")]
    pub fn resume(&self) -> Result<()> {
        self.handle.resume()
    }

    /// What it has used up to now, and what it may use.
    ///
    /// What its cgroup counts (memory, block devices) is there if it has one: see
    /// [`statistics`](Definition::statistics).
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if it is not running.
    pub fn stats(&self) -> Result<Stats> {
        self.handle.stats()
    }

    /// Begins a further process in the running container: program and arguments.
    pub fn exec<S: Into<String>>(&self, argv: impl IntoIterator<Item = S>) -> Exec {
        Exec::new(Arc::clone(&self.handle), argv.into_iter().map(Into::into).collect())
    }

    /// Copies a file or directory of the host into the container, by the rules of `docker cp`.
    ///
    /// * `path` is a directory: the source is put into it under its own name; of a source that ends in `/.` only what is
    ///   in it.
    /// * There is nothing: the source gets this name. The directory above must exist.
    /// * It is a file: a file replaces it, a directory does not.
    ///
    /// What is copied belongs to the container's root. A container that runs sees it at once, in its volumes and tmpfs
    /// mounts too; of one that does not, the layers, volumes and binds are mounted for that time. Symbolic links are
    /// resolved in the container, whatever it does meanwhile; those below the source are copied as links.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if the source or the directory for it does not exist,
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists) if a directory would replace a file or the reverse,
    /// [`InUse`](crate::ErrorKind::InUse) if it does not run and another program owns it.
    #[doc(alias = "docker cp")]
    pub fn copy_in(&self, host: impl AsRef<std::path::Path>, path: impl AsRef<str>) -> Result<()> {
        self.copy_in_with(host, path, CopyOptions::new())
    }

    /// The same with options.
    ///
    /// # Errors
    /// As for [`copy_in`](Self::copy_in), and [`PermissionDenied`](crate::ErrorKind::PermissionDenied) for an owner that
    /// this user cannot give a file.
    pub fn copy_in_with(
        &self,
        host: impl AsRef<std::path::Path>,
        path: impl AsRef<str>,
        options: CopyOptions,
    ) -> Result<()> {
        self.handle.copy_in(host.as_ref(), path.as_ref(), options)
    }

    /// Copies a file or directory of the container to the host, by the same rules as [`copy_in`](Self::copy_in).
    ///
    /// What is copied belongs to the caller.
    ///
    /// # Errors
    /// As for [`copy_in`](Self::copy_in), and [`Unsupported`](crate::ErrorKind::Unsupported) for files that the kernel makes
    /// up, below `/proc` and `/sys`.
    pub fn copy_out(&self, path: impl AsRef<str>, host: impl AsRef<std::path::Path>) -> Result<()> {
        self.copy_out_with(path, host, CopyOptions::new())
    }

    /// The same with options.
    ///
    /// # Errors
    /// As for [`copy_out`](Self::copy_out) and [`copy_in_with`](Self::copy_in_with).
    pub fn copy_out_with(
        &self,
        path: impl AsRef<str>,
        host: impl AsRef<std::path::Path>,
        options: CopyOptions,
    ) -> Result<()> {
        self.handle.copy_out(path.as_ref(), host.as_ref(), options)
    }

    /// Reads a file or directory of the container as a tar, in which it has its own name; what is in a directory if the
    /// path ends in `/.`.
    ///
    /// # Errors
    /// As for [`copy_out`](Self::copy_out); those of reading come from the reader.
    pub fn read_archive(&self, path: impl AsRef<str>) -> Result<Archive> {
        self.read_archive_with(path, CopyOptions::new())
    }

    /// The same with options; the owners are always those of the container.
    ///
    /// # Errors
    /// As for [`read_archive`](Self::read_archive).
    pub fn read_archive_with(&self, path: impl AsRef<str>, options: CopyOptions) -> Result<Archive> {
        self.handle.read_archive(path.as_ref(), options)
    }

    /// Extracts a tar, plain or compressed, in a directory of the container, with the owners that it names.
    ///
    /// Nothing is put through a symbolic link. What was extracted before a failure stays.
    ///
    /// # Errors
    /// As for [`copy_in`](Self::copy_in), and [`Corrupt`](crate::ErrorKind::Corrupt) for a malformed archive.
    pub fn write_archive(&self, path: impl AsRef<str>, archive: impl std::io::Read) -> Result<()> {
        self.handle.write_archive(path.as_ref(), archive)
    }

    /// Writes its whole file system as a tar, without what is mounted over it (volumes, binds, `/proc`).
    ///
    /// [`Engine::import`](crate::Engine::import) makes an image of it. A container that runs is not paused.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if it was removed, those of the writer, and
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if a file became shorter while it was read.
    pub fn export(&self, mut writer: impl std::io::Write) -> Result<()> {
        self.handle.export(&mut writer)
    }

    /// Begins a command of the *host* in the namespaces of the running container: a shell even where the image has none.
    ///
    /// The program and the usual ones beside it are copied into memory, which only this command and its children see
    /// as their root directory; the container's is at `/container`, where it starts. It runs as root of the container,
    /// with the container's restrictions, `/proc`, `/sys`, `/dev` and network. Nothing of the container changes by it,
    /// and no other file of the host is there.
    pub fn enter<S: Into<String>>(&self, argv: impl IntoIterator<Item = S>) -> Exec {
        Exec::entering(Arc::clone(&self.handle), argv.into_iter().map(Into::into).collect())
    }

    /// Begins to read what it has written.
    pub fn logs(&self) -> Logs {
        Logs::new(Arc::clone(&self.handle))
    }

    /// Its processes, as they are now, by number.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if it is not running,
    /// [`PermissionDenied`](crate::ErrorKind::PermissionDenied) if it is another user's.
    pub fn top(&self) -> Result<Vec<ProcessInfo>> {
        self.handle.top()
    }

    /// Gives it another name.
    ///
    /// # Errors
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists) if another container has it,
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if it is none, [`InUse`](crate::ErrorKind::InUse) while
    /// another program runs the container.
    pub fn rename(&self, name: &str) -> Result<()> {
        self.handle.rename(name)
    }

    /// Our end of its standard input, if that is a pipe and was not taken before. Dropping it ends the input.
    pub fn take_stdin(&self) -> Option<ChildStdin> {
        self.handle.lock().ends.stdin.take()
    }

    /// Our end of its standard output, if that is a pipe and was not taken before.
    pub fn take_stdout(&self) -> Option<ChildStdout> {
        self.handle.lock().ends.stdout.take()
    }

    /// Our end of its standard error, if that is a pipe and was not taken before.
    pub fn take_stderr(&self) -> Option<ChildStderr> {
        self.handle.lock().ends.stderr.take()
    }

    /// The host's end of its terminal, if it was started by this program with one, and was not taken before.
    pub fn take_terminal(&self) -> Option<Terminal> {
        self.handle.lock().ends.terminal.take()
    }

    /// Reads along what it writes from now on, beside the log, and takes what types into it.
    ///
    /// One of this program, or any that is [kept](Definition::keep), whichever program started it.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if it is not running or nothing goes to its log,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if another program runs it: its log can be followed.
    #[doc(alias = "docker attach")]
    pub fn attach(&self) -> Result<Attachment> {
        self.handle.attach()
    }

    /// Removes the container, with its volumes that have no name.
    ///
    /// # Errors
    /// [`InUse`](crate::ErrorKind::InUse) if it is running.
    pub fn remove(self) -> Result<()> {
        self.handle.remove(Force::No)
    }

    /// Kills its process if it runs, and removes the container.
    ///
    /// # Errors
    /// [`InUse`](crate::ErrorKind::InUse) if another program owns it.
    pub fn kill_and_remove(self) -> Result<()> {
        self.handle.remove(Force::Yes)
    }
}

impl<D> Drop for Container<D> {
    fn drop(&mut self) {
        if self.role == Role::Guard
            && let Err(error) = self.handle.let_go()
        {
            tracing::warn!("{} could not be removed: {error}", self.handle.title());
        }
    }
}

impl<D> fmt::Debug for Container<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Container").field("id", self.id()).field("name", &self.name()).finish_non_exhaustive()
    }
}
