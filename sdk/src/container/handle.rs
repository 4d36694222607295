//! What all handles of one container in this program share.
//!
//! A program that owns a container (it made or started it) knows its files and watches its process; one that has merely
//! found it reads the files each time it is asked and looks at the process by its ID and start time.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::config;
use super::events::Action;
use super::pause::running_state;
use super::reaper::Reaper;
use super::record::{Record, Run, lost};
use super::rename::Name;
use super::restart::LastWord;
use super::root::IdleRoot;
use super::snapshot::Frozen;
use super::sockets::Sockets;
use super::state::State;
use super::stdio::{Ends, Streams, Tee};
use super::store::{Files, Store};
use crate::data_root::InFlight;
use crate::error::{Error, ErrorKind, Fault, Result};
use crate::layer::WritableLayer;
use crate::runtime::Process;
use crate::spec::exit_status::ExitStatus;
use crate::spec::id::ContainerId;
use crate::spec::time::Timestamp;

/// How long the owner of a process in another program may take to record its end.
const RECORD_PATIENCE: Duration = Duration::from_secs(10);
const RECORD_PAUSE: Duration = Duration::from_millis(5);

/// A container, seen from this program.
pub(crate) struct Handle {
    store: Store,
    id: ContainerId,
    name: Name,
    image: String,
    inner: Mutex<Inner>,
    /// In its network.
    pub(super) sockets: Sockets,
}

/// What changes.
#[derive(Debug)]
pub(super) struct Inner {
    /// Held while this program owns the container.
    pub(super) owner: Option<InFlight>,
    /// Known, and not only on disk, while this program owns the container.
    pub(super) files: Option<Box<Files>>,
    pub(super) writable: Option<WritableLayer>,
    pub(super) phase: Phase,
    /// Its file system, mounted for a copy while it does not run.
    pub(super) idle_root: Weak<IdleRoot>,
    /// What is done if this program is killed.
    pub(super) reaper: Reaper,
    pub(super) ends: Ends,
    /// What a frozen one stands on, which goes after it.
    pub(super) base: Option<Arc<Frozen>>,
    /// Whether it is removed as soon as its process has ended: then its end is not worth a file.
    pub(super) one_shot: bool,
}

/// Where this program has got with a container.
#[derive(Debug)]
pub(super) enum Phase {
    /// No process of this program.
    Idle,
    /// Between the call that starts the process and its return; how the process ended, if it was faster than we.
    Starting(Option<ExitStatus>),
    /// Started by this program. It may have ended since.
    Started(Process),
    Removed,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum HandleFault {
    #[error("use {title}: it was removed")]
    Removed { title: String },
    #[error("use {title}: another program owns it")]
    Owned { title: String },
    #[error("wait for {title}: it has never been started")]
    NeverStarted { title: String },
    #[error("send {title} a signal: it is not running")]
    NotRunning { title: String },
    #[error("{verb} {title}: it is not running")]
    NotRunningTo { verb: &'static str, title: String },
}

impl Fault for HandleFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Removed { .. } => ErrorKind::NotFound,
            Self::Owned { .. } => ErrorKind::InUse,
            Self::NeverStarted { .. } | Self::NotRunning { .. } | Self::NotRunningTo { .. } => {
                ErrorKind::InvalidArgument
            }
        }
    }
}

impl Handle {
    /// The handle of a container that this program makes.
    pub(super) fn owned(
        store: &Store,
        id: ContainerId,
        files: Files,
        writable: WritableLayer,
        owner: InFlight,
        reaper: Reaper,
    ) -> Arc<Self> {
        let mut handle = Self::observed(store, id, &files);
        let inner = handle.inner.get_mut().unwrap_or_else(PoisonError::into_inner);
        inner.owner = Some(owner);
        inner.reaper = reaper;
        inner.files = Some(Box::new(files));
        inner.writable = Some(writable);
        let handle = Arc::new(handle);
        store.enlist(&handle);
        handle
    }

    /// The handle of a container that was found.
    pub(super) fn observed(store: &Store, id: ContainerId, files: &Files) -> Self {
        let inner = Inner {
            owner: None,
            files: None,
            writable: None,
            phase: Phase::Idle,
            idle_root: Weak::new(),
            reaper: Reaper::default(),
            ends: Ends::default(),
            base: None,
            one_shot: false,
        };
        Self {
            store: store.clone(),
            id,
            name: Name::new(files.config.plain_name()),
            image: files.config.config.image.clone(),
            inner: Mutex::new(inner),
            sockets: Sockets::default(),
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn id(&self) -> &ContainerId {
        &self.id
    }

    pub(crate) fn name(&self) -> &str {
        self.name.last()
    }

    /// What it is called from now on.
    pub(super) fn call(&self, name: &str) {
        self.name.follow(name);
    }

    pub(crate) fn image(&self) -> &str {
        &self.image
    }

    /// How messages name it.
    pub(crate) fn title(&self) -> String {
        config::title(self.name(), &self.image)
    }

    /// The files as they are now.
    pub(crate) fn files(&self) -> Result<Files> {
        let inner = self.lock();
        if inner.is_removed() {
            return Err(self.removed());
        }
        if let Some(files) = &inner.files {
            return Ok(Files::clone(files));
        }
        drop(inner);
        self.store.read(&self.id)?.ok_or_else(|| self.removed())
    }

    /// The process, if this program started it.
    pub(crate) fn process(&self) -> Option<Process> {
        match &self.lock().phase {
            Phase::Started(process) => Some(process.clone()),
            _ => None,
        }
    }

    /// What the container is doing, and how it last ended.
    pub(crate) fn state(&self) -> Result<(State, Option<ExitStatus>)> {
        let inner = self.lock();
        match &inner.phase {
            Phase::Removed => return Err(self.removed()),
            Phase::Starting(_) => return Ok((State::Running, None)),
            Phase::Started(process) => {
                // Its end is written down before anybody is told: then that is the next thing to happen.
                let is_over = inner.record().is_some_and(|record| record.run.is_none());
                return Ok(match if is_over { Some(process.wait()) } else { process.try_wait() } {
                    Some(status) => (State::Exited, Some(status)),
                    None if process.group().is_some_and(|group| group.is_frozen()) => (State::Paused, None),
                    None => (State::Running, None),
                });
            }
            Phase::Idle => {}
        }
        drop(inner);
        let mut files = self.files()?;
        // The word about a kept container that has just ended is a moment away; then it may run again, and end again.
        while let Some(run) = files.record.as_ref().filter(|record| record.kept).and_then(|record| record.run.clone()) {
            if run.is_alive() {
                // Not asked again: it may end any moment, and be started again.
                return Ok((running_state(&files), None));
            }
            let status = self.recorded_end(&run)?;
            files = self.files()?;
            if files.record.as_ref().and_then(|record| record.run.as_ref()) == Some(&run) {
                return Ok((State::Exited, Some(status)));
            }
        }
        Ok(match state_of(&files) {
            // Its supervisor was killed.
            (State::Restarting, status) if !self.store.is_owned(&self.id)? => (State::Exited, status),
            state => state,
        })
    }

    /// Our ends of the streams, taken out.
    pub(crate) fn ends(&self) -> Ends {
        std::mem::take(&mut self.lock().ends)
    }

    /// Starts the container's process; the caller removes the container when it has ended.
    pub(crate) fn run_once(self: &Arc<Self>, streams: &Streams) -> Result<()> {
        self.lock().one_shot = true;
        self.start(streams)
    }

    /// Makes this program the owner of the container.
    pub(super) fn own(&self) -> Result<InFlight> {
        let entry = match self.store.own(&self.id) {
            Err(error) if error.kind() == ErrorKind::Timeout => {
                return Err(Error::from(HandleFault::Owned { title: self.title() }).with_source(error));
            }
            entry => entry?,
        };
        if !self.store.root().container_config(&self.id).exists() {
            return Err(self.removed());
        }
        self.store.settle_end(&self.id)?;
        Ok(entry)
    }

    /// Whether no program holds the container.
    pub(crate) fn is_free(&self) -> Result<bool> {
        if self.lock().owner.is_some() {
            return Ok(false);
        }
        match self.own() {
            // Looked at, and given back at once.
            Ok(_entry) => Ok(true),
            Err(error) if matches!(error.kind(), ErrorKind::InUse | ErrorKind::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Waits until the process has ended, whichever program runs it; `None` if it has not within the time.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> Result<Option<ExitStatus>> {
        if let Some(process) = self.process() {
            let status = match timeout {
                None => Some(process.wait()),
                Some(timeout) => process.wait_timeout(timeout),
            };
            if status.is_some() {
                // Taken out first: joining a thread under the lock would keep everybody else waiting.
                let tees = self.lock().ends.take_tees();
                tees.into_iter().for_each(Tee::join);
            }
            return Ok(status);
        }
        let record = self.files()?.record;
        let Some(run) = record.as_ref().and_then(|record| record.run.clone()) else {
            return match state_of(&self.files()?) {
                (State::Created, _) => Err(HandleFault::NeverStarted { title: self.title() }.into()),
                (_, status) => {
                    self.settle_end()?;
                    Ok(status)
                }
            };
        };
        // One that is removed at its end leaves no record of that.
        let last_word = self.last_word()?;
        if !run.wait(timeout)? {
            return Ok(None);
        }
        let status = match last_word.and_then(LastWord::status) {
            Some(status) => status,
            None => self.recorded_end(&run)?,
        };
        self.settle_end()?;
        Ok(Some(status))
    }

    /// Readable once the process has ended; `None` if none runs.
    #[cfg(feature = "tokio")]
    pub(crate) fn pidfd(&self) -> Result<Option<std::os::fd::OwnedFd>> {
        let run = self.files()?.record.and_then(|record| record.run);
        run.map_or(Ok(None), |run| run.open())
    }

    /// Waits for the program that owns the process to record its end.
    pub(super) fn recorded_end(&self, run: &Run) -> Result<ExitStatus> {
        let deadline = std::time::Instant::now() + RECORD_PATIENCE;
        loop {
            // Asked before the record is read: whoever lets go of it has written that.
            let is_owned = self.store.is_owned(&self.id)?;
            let record = self.files()?.record;
            match record {
                Some(record) if record.run.as_ref() == Some(run) => {}
                Some(record) => return Ok(record.exit.map_or_else(lost, |exit| exit.status)),
                None => return Ok(lost()),
            }
            // Its owner may have been killed with it.
            if !is_owned || std::time::Instant::now() >= deadline {
                return Ok(lost());
            }
            std::thread::sleep(RECORD_PAUSE);
        }
    }

    /// Sends a signal to the process, whichever program runs it. A paused one that is to be killed goes on first.
    pub(crate) fn signal(&self, signal: super::Signal) -> Result<()> {
        if self.is_final(signal)? {
            let was_restarting = self.state()?.0 == State::Restarting;
            self.end_restarts()?;
            if was_restarting && !self.state()?.0.is_running() {
                return Ok(());
            }
        }
        self.send(signal)?;
        if signal == super::Signal::KILL { self.thaw() } else { Ok(()) }
    }

    fn send(&self, signal: super::Signal) -> Result<()> {
        let not_running = || Error::from(HandleFault::NotRunning { title: self.title() });
        if let Some(process) = self.process() {
            match process.signal(signal.number()) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Err(not_running()),
                sent => sent?,
            }
        } else {
            let run = self.files()?.record.and_then(|record| record.run).ok_or_else(not_running)?;
            if !run.signal(signal)? {
                return Err(not_running());
            }
        }
        self.tell_with(Action::Kill, "signal", signal.number());
        Ok(())
    }

    /// Records the end of the process. Called on the supervisor thread, before anybody's wait returns.
    pub(super) fn ended(&self, status: ExitStatus) {
        self.sockets.clear();
        let mut inner = self.lock();
        match &mut inner.phase {
            Phase::Starting(early) => *early = Some(status),
            Phase::Started(_) => self.record_end(&mut inner, status),
            Phase::Idle | Phase::Removed => {}
        }
    }

    pub(super) fn record_end(&self, inner: &mut Inner, status: ExitStatus) {
        inner.reaper.has_none();
        let Some(files) = &mut inner.files else { return };
        let Some(record) = &mut files.record else { return };
        let Some(run) = record.run.clone() else { return };
        record.close(&run, &mut files.config, status, Timestamp::now());
        let is_guard = record.guard;
        self.tell_with(Action::Die, "exitCode", status.code());
        // If the disk is full, whoever opens the store next finds out by itself.
        if !inner.one_shot
            && let Err(error) = self.store.write(&self.id, files)
        {
            tracing::warn!("the end of {} could not be recorded: {error}", self.title());
        }
        if !is_guard {
            inner.disown();
        }
    }

    /// Refuses if the container was removed.
    pub(super) fn check_present(&self) -> Result<()> {
        match self.lock().is_removed() || !self.store.root().container_config(&self.id).exists() {
            true => Err(self.removed()),
            false => Ok(()),
        }
    }

    pub(super) fn removed(&self) -> Error {
        HandleFault::Removed { title: self.title() }.into()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // What is in there is replaced piece by piece, each of which is sound: a panic elsewhere does no harm.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    pub(super) fn is_removed(&self) -> bool {
        matches!(self.phase, Phase::Removed)
    }

    /// Whether it is ours, and goes with us.
    pub(super) fn is_guard(&self) -> bool {
        self.record().is_some_and(|record| record.guard)
    }

    /// Whether it is ours, and does not run any more.
    pub(super) fn is_frozen(&self) -> bool {
        self.record().is_some_and(|record| record.frozen)
    }

    fn record(&self) -> Option<&Record> {
        self.files.as_ref()?.record.as_ref()
    }

    /// What we know and Docker does not, while it is ours.
    pub(super) fn record_mut(&mut self) -> Option<&mut Record> {
        self.files.as_mut()?.record.as_mut()
    }

    pub(super) fn is_running(&self) -> bool {
        match &self.phase {
            Phase::Starting(_) => true,
            Phase::Started(process) => process.try_wait().is_none(),
            Phase::Idle | Phase::Removed => false,
        }
    }

    /// Nothing of ours is left that would have to end: anybody may start or remove it.
    pub(super) fn disown(&mut self) {
        self.owner = None;
        self.files = None;
        self.writable = None;
    }

    /// The supervisor of a kept container has it from here on: its lock stays, and so does the entry.
    pub(super) fn hand_over(&mut self) {
        if let Some(owner) = self.owner.take() {
            owner.hand_over();
        }
        self.disown();
    }

    /// After a start that failed: what is to stay anyway is anybody's again.
    pub(super) fn give_back(&mut self) {
        let record = self.files.as_ref().and_then(|files| files.record.as_ref());
        if record.is_none_or(|record| !record.guard) {
            self.disown();
        }
    }

    pub(super) fn set_removed(&mut self) {
        self.phase = Phase::Removed;
        self.reaper = Reaper::default();
        self.files = None;
        self.writable = None;
    }
}

/// What the files of a container say, checked against the processes there are.
pub(crate) fn state_of(files: &Files) -> (State, Option<ExitStatus>) {
    let state = &files.config.state;
    let recorded = || {
        let status = files.record.as_ref().and_then(|record| record.exit.as_ref()).map(|exit| exit.status);
        status.unwrap_or_else(|| ExitStatus::exited(state.exit_code))
    };
    match files.record.as_ref().and_then(|record| record.run.as_ref()) {
        Some(run) if run.is_alive() => (running_state(files), None),
        Some(_) => (State::Exited, Some(lost())),
        None if state.restarting => (State::Restarting, Some(recorded())),
        None if state.dead || state.removal_in_progress => (State::Dead, Some(recorded())),
        None if state.started().is_none() && files.record.as_ref().is_none_or(|record| record.exit.is_none()) => {
            (State::Created, None)
        }
        None => (State::Exited, Some(recorded())),
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("id", &self.id).field("name", &self.name()).finish_non_exhaustive()
    }
}
