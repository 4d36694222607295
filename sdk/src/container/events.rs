//! What happens to containers: told by the programs that do it, read by any.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::handle::Handle;
use super::store::Store;
use crate::data_root::events::Told;
use crate::error::{Error, ErrorKind, Result};
use crate::spec::id::ContainerId;
use crate::spec::time::Timestamp;

/// Something that has happened to a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// When.
    pub time: Timestamp,
    /// What.
    pub action: Action,
    /// To which container.
    pub id: ContainerId,
    /// What it was called.
    pub name: String,
    /// The reference of its image, as it was given.
    pub image: String,
    /// By Docker's names: `exitCode` of [`Action::Die`], `signal` of [`Action::Kill`], `oldName` of [`Action::Rename`],
    /// `healthStatus` of [`Action::HealthStatus`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

/// What has happened, in Docker's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Action {
    /// It was created.
    Create,
    /// Its process was started.
    Start,
    /// Its process has ended. If its program was killed, this is told of what stays by the next one that opens the data
    /// root, and of what goes by the reaper.
    Die,
    /// It was sent a signal.
    Kill,
    /// It was asked to stop, and has.
    Stop,
    /// Its processes were frozen.
    Pause,
    /// They were thawed.
    Unpause,
    /// It was given another name.
    Rename,
    /// Its health check comes to something else than before.
    #[serde(rename = "health_status")]
    HealthStatus,
    /// It was removed.
    Destroy,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Start => "start",
            Self::Die => "die",
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Pause => "pause",
            Self::Unpause => "unpause",
            Self::Rename => "rename",
            Self::HealthStatus => "health_status",
            Self::Destroy => "destroy",
        })
    }
}

/// Whether a line tells of this container.
pub(super) fn is_of(line: &str, id: &ContainerId) -> bool {
    serde_json::from_str::<Event>(line).is_ok_and(|event| event.id == *id)
}

/// Which events to read; made by [`Engine::events`](crate::Engine::events). Default: those from now on, without an end.
#[derive(Debug, Clone)]
#[must_use = "nothing is read until `read` is called"]
pub struct Events {
    store: Store,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl Events {
    pub(crate) fn new(store: &Store) -> Self {
        Self { store: store.clone(), since: None, until: None }
    }

    /// Reads what has happened since this time as well, as far as it is kept: the last few thousand events.
    #[doc(alias = "--since")]
    pub fn since(mut self, time: Timestamp) -> Self {
        self.since = Some(time);
        self
    }

    /// Ends at this time.
    #[doc(alias = "--until")]
    pub fn until(mut self, time: Timestamp) -> Self {
        self.until = Some(time);
        self
    }

    /// Begins to read. What happens after this has returned is not missed.
    ///
    /// # Errors
    /// If the data root cannot be read or watched.
    pub fn read(&self) -> Result<EventStream> {
        let told = self.store.root().told(self.since.is_some())?;
        Ok(EventStream {
            told,
            since: self.since,
            until: self.until,
            over: false,
            error: None,
            _store: self.store.clone(),
        })
    }
}

/// Events, oldest first, of this program and of all others on the data root. Waits for the next one.
///
/// If nothing can be read any further it ends; the reason is told by [`error`](Self::error).
#[derive(Debug)]
pub struct EventStream {
    told: Told,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    over: bool,
    error: Option<crate::Error>,
    /// Keeps the data root open.
    _store: Store,
}

impl EventStream {
    /// Why it ended early, if it did.
    pub fn error(&self) -> Option<&crate::Error> {
        self.error.as_ref()
    }

    /// The next event that was told already; `None` if it is to be waited for, or [none follows](Self::is_over).
    pub(crate) fn available(&mut self) -> Option<Event> {
        while !self.over {
            let line = match self.told.next_line() {
                Ok(line) => line?,
                Err(error) => {
                    self.fail(error);
                    break;
                }
            };
            // A later version may tell of what this one does not know.
            let Ok(event) = serde_json::from_str::<Event>(&line) else { continue };
            if self.until.is_some_and(|until| event.time > until) {
                self.over = true;
            } else if self.since.is_none_or(|since| event.time >= since) {
                return Some(event);
            }
        }
        None
    }

    /// Whether none follows.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// None follows, for the time has come.
    pub(crate) fn finish(&mut self) {
        self.over = true;
    }

    /// None follows, for this reason.
    pub(crate) fn fail(&mut self, error: Error) {
        tracing::warn!("the events end early: {error}");
        self.error = Some(error);
        self.over = true;
    }

    /// What is to be watched for further ones.
    #[cfg(feature = "tokio")]
    pub(crate) fn told(&self) -> &Told {
        &self.told
    }

    /// How long there may be further ones; `None` if for ever.
    pub(crate) fn left(&self) -> Option<Duration> {
        self.until.map(|until| until.since(Timestamp::now()))
    }
}

impl Iterator for EventStream {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.available() {
                return Some(event);
            }
            if self.is_over() {
                return None;
            }
            // A time too far away for the clock is none.
            let deadline = self.left().and_then(|left| Instant::now().checked_add(left));
            match self.told.wait(deadline) {
                Ok(true) => {}
                Ok(false) => self.finish(),
                Err(error) => self.fail(error),
            }
        }
    }
}

impl Store {
    /// Tells what has happened to a container. That it cannot be told is no reason to fail.
    pub(super) fn tell(
        &self,
        id: &ContainerId,
        name: &str,
        image: &str,
        action: Action,
        attribute: Option<(&str, String)>,
    ) {
        let attributes = attribute.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let (name, image) = (name.to_owned(), image.to_owned());
        let event = Event { time: Timestamp::now(), action, id: id.clone(), name, image, attributes };
        let told = serde_json::to_string(&event).map_err(|error| error.to_string());
        if let Err(error) = told.and_then(|line| self.root().tell(&line).map_err(|error| error.to_string())) {
            tracing::debug!("that a container did {action} is not told: {error}");
        }
    }
}

/// The members of the JSON object that all events of a container have, for its supervisor or a reaper to tell them.
pub(super) fn members(id: &ContainerId, name: &str, image: &str) -> Result<String> {
    let (name, image, attributes) = (name.to_owned(), image.to_owned(), BTreeMap::new());
    let event = Event { time: Timestamp::now(), action: Action::Die, id: id.clone(), name, image, attributes };
    let value = serde_json::to_value(&event);
    let mut value = value.map_err(|error| Error::new(ErrorKind::InvalidArgument, "tell events").with_source(error))?;
    if let Some(members) = value.as_object_mut() {
        members.remove("time");
        members.remove("action");
    }
    let text = value.to_string();
    Ok(text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or_default().to_owned())
}

impl Handle {
    /// As [`members`] says.
    pub(super) fn event_members(&self) -> Result<String> {
        members(self.id(), self.name(), self.image())
    }

    /// Tells what has happened to it.
    pub(super) fn tell(&self, action: Action) {
        self.store().tell(self.id(), self.name(), self.image(), action, None);
    }

    /// The same, with one of Docker's attributes.
    pub(super) fn tell_with(&self, action: Action, key: &str, value: impl ToString) {
        self.store().tell(self.id(), self.name(), self.image(), action, Some((key, value.to_string())));
    }
}
