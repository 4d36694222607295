//! A service that is prepared once.
//!
//! The hash of its inputs is the name of the snapshot. Whoever finds none takes the lock of that name and prepares it; those
//! who come meanwhile, in this program or another, wait for the lock and then find it. The snapshot is there once it has its
//! name and stays, so nobody ever sees half of one, and a preparation that is killed leaves nothing but a lock that is free.

use std::any::Any;
use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::inputs::Inputs;
use super::last_lines;
use super::service::{Module, Service};
use crate::container::Snapshot;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};

/// Changes when snapshots of earlier versions cannot be used any more.
const VERSION: &[u8] = b"1";

/// How long others may take to prepare.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// The label of templates and their forks; its value is the key.
const LABEL: &str = "plywood.template";

/// What went wrong, to be told again.
#[derive(Debug)]
struct Failure {
    kind: ErrorKind,
    message: String,
    cause: Option<String>,
}

impl Failure {
    fn error(&self) -> Error {
        let error = Error::new(self.kind, &self.message);
        match &self.cause {
            Some(cause) => error.with_source(cause.clone()),
            None => error,
        }
    }
}

type Preparation<M> = dyn Fn(&Service<M>) -> Result<(), Box<dyn StdError + Send + Sync>> + Send + Sync;

/// A service that is prepared once for each hash of its inputs, and forked for everybody who asks.
///
/// The inputs are the key, the container with its image, and what [`input`](Self::input) and [`files`](Self::files) add. When
/// one changes, it is prepared anew. What was prepared stays in the data root, for all programs and for later runs, until
/// [`prune`](Engine::prune) removes it.
///
/// ```no_run
/// use plywood::Engine;
/// use plywood::testing::{Postgres, Template};
///
/// # fn main() -> plywood::Result<()> {
/// # fn migrate(_url: &str) -> Result<(), std::io::Error> { Ok(()) }
/// let engine = Engine::open_default()?;
/// let users = Template::new("users", Postgres::default(), |db| migrate(&db.url())).files("migrations");
/// let (one, other) = (users.fork(&engine)?, users.fork(&engine)?);
/// # Ok(()) }
/// ```
pub struct Template<M> {
    key: String,
    module: Arc<M>,
    inputs: Vec<String>,
    files: Vec<PathBuf>,
    prepare: Box<Preparation<M>>,
    /// In this program, by the name of the snapshot.
    failed: Mutex<HashMap<String, Failure>>,
}

impl<M: Module> Template<M> {
    /// A template that prepares a service of `module` by `prepare`, which gets it running. It is stopped and frozen then.
    ///
    /// The key names it in messages, and keeps templates apart that have the same inputs.
    pub fn new<E: Into<Box<dyn StdError + Send + Sync>>>(
        key: impl Into<String>,
        module: M,
        prepare: impl Fn(&Service<M>) -> Result<(), E> + Send + Sync + 'static,
    ) -> Self {
        Self {
            key: key.into(),
            module: Arc::new(module),
            inputs: Vec::new(),
            files: Vec::new(),
            prepare: Box::new(move |service| prepare(service).map_err(Into::into)),
            failed: Mutex::default(),
        }
    }

    /// Adds a text to the inputs, such as the version of the code that prepares.
    pub fn input(mut self, text: impl Into<String>) -> Self {
        self.inputs.push(text.into());
        self
    }

    /// Adds a file, or all files below a directory: their names and contents.
    pub fn files(mut self, path: impl Into<PathBuf>) -> Self {
        self.files.push(path.into());
        self
    }

    /// Starts a service that goes on from the prepared one, which is prepared first if nobody has; returns when it answers.
    ///
    /// Waits for another program, or thread, that is preparing it, for 15 minutes at most.
    ///
    /// # Errors
    /// [`Failed`](ErrorKind::Failed) if the preparation has failed or panicked: everybody in this program gets the same
    /// error, and the next program tries it again. Those of [`Service::start`].
    pub fn fork(&self, engine: &Engine) -> Result<Service<M>> {
        let name = self.name(engine)?;
        loop {
            match self.prepared(engine, &name)?.fork() {
                // Pruned since it was found.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    if find(engine, &name)?.is_some() {
                        return Err(error);
                    }
                }
                container => {
                    let container = container?;
                    container.wait_ready(self.module.ready())?;
                    return Ok(Service::of(Arc::clone(&self.module), container));
                }
            }
        }
    }

    /// Which snapshot it is with its inputs as they are now.
    fn name(&self, engine: &Engine) -> Result<String> {
        let mut inputs = Inputs::new();
        inputs.add(VERSION);
        inputs.add(self.key.as_bytes());
        inputs.add(self.module.definition(engine)?.describe(engine)?.as_bytes());
        self.inputs.iter().for_each(|input| inputs.add(input.as_bytes()));
        self.files.iter().try_for_each(|path| inputs.add_tree(path))?;
        Ok(format!("template-{}", inputs.finish()))
    }

    fn prepared(&self, engine: &Engine, name: &str) -> Result<Snapshot> {
        if let Some(found) = find(engine, name)? {
            return Ok(found);
        }
        let _turn = engine.store().root().in_flight(name, PATIENCE)?;
        if let Some(found) = find(engine, name)? {
            return Ok(found);
        }
        if let Some(failure) = self.failed.lock().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Err(failure.error());
        }
        self.prepare(engine, name).map_err(|error| {
            let failure = Failure {
                kind: error.kind(),
                message: format!("prepare template {:?}: {error}", self.key),
                cause: error.source().map(ToString::to_string),
            };
            let error = failure.error();
            self.failed.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), failure);
            error
        })
    }

    fn prepare(&self, engine: &Engine, name: &str) -> Result<Snapshot> {
        let definition = self.module.definition(engine)?.label(LABEL, &self.key);
        let container = definition.ready(self.module.ready()).start(engine)?;
        let service = Service::of(Arc::clone(&self.module), container);
        let failed = |why: String| {
            let error = Error::new(ErrorKind::Failed, why);
            Err(match last_lines(service.container()) {
                Some(lines) => error.with_source(lines),
                None => error,
            })
        };
        match catch_unwind(AssertUnwindSafe(|| (self.prepare)(&service))) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return failed(error.to_string()),
            Err(panic) => return failed(format!("it panicked: {}", words(&*panic))),
        }
        let snapshot = service.freeze()?;
        snapshot.persist(name)?;
        Ok(snapshot)
    }
}

/// The snapshot of this name, if it is there.
fn find(engine: &Engine, name: &str) -> Result<Option<Snapshot>> {
    match engine.snapshot(name) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// What a panic says.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

impl<M> fmt::Debug for Template<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template").field("key", &self.key).finish_non_exhaustive()
    }
}
