//! A service that runs.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::inputs::Inputs;
use crate::container::lease::Lease;
use crate::container::{Container, Definition, Ready, Snapshot};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::spec::exit_status::ExitStatus;

/// A kind of service: what runs, and when it answers.
///
/// ```
/// use plywood::container::{Definition, Ready};
/// use plywood::testing::Module;
/// use plywood::{Container, Engine};
///
/// /// An SMTP server that keeps what it is sent.
/// struct Mail;
///
/// impl Module for Mail {
///     fn definition(&self, _engine: &Engine) -> plywood::Result<Definition> {
///         Ok(Container::of("mailpit:1"))
///     }
///
///     fn ready(&self) -> Ready {
///         Ready::port(1025)
///     }
/// }
/// ```
pub trait Module: Send + Sync + 'static {
    /// The container that it runs in; its image is built or found first.
    ///
    /// # Errors
    /// If there is no image of it.
    fn definition(&self, engine: &Engine) -> Result<Definition>;

    /// When it answers.
    fn ready(&self) -> Ready;
}

/// A service that runs and answers. Clones are the same one; its container goes with the last of them.
pub struct Service<M> {
    shared: Arc<Shared<M>>,
}

struct Shared<M> {
    module: Arc<M>,
    container: Container,
    /// Of one that other programs use too; given back when the container is let go of.
    _lease: Option<Lease>,
}

impl<M: Module> Service<M> {
    /// Starts a new one, and returns when it answers.
    ///
    /// # Errors
    /// Those of [`start`](Definition::start).
    pub fn start(module: M, engine: &Engine) -> Result<Self> {
        let container = module.definition(engine)?.ready(module.ready()).start(engine)?;
        Ok(Self::of(Arc::new(module), container))
    }

    /// The one of this key that all programs on the data root share: started by the first who asks, and stopped and removed
    /// when the last has let go of it. Returns when it answers.
    ///
    /// The key and the container, with its image, tell whether it is the same. A program that is killed lets go of it, too;
    /// if it was the last, the service runs until the next program opens the data root.
    ///
    /// ```no_run
    /// use plywood::testing::{Generic, Service};
    /// use plywood::{Container, Engine};
    ///
    /// # fn main() -> plywood::Result<()> {
    /// let redis = Generic::new(Container::of("redis:7"), 6379);
    /// let cache = Service::shared("cache", redis, &Engine::open_default()?)?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Those of [`start`](Definition::start), and [`InvalidArgument`](ErrorKind::InvalidArgument) if the data root is
    /// [temporary](Engine::temp).
    pub fn shared(key: &str, module: M, engine: &Engine) -> Result<Self> {
        let definition = module.definition(engine)?;
        Self::of_all(key, "shared", module, definition, engine)
    }

    /// As [`shared`](Self::shared), but it goes on for at least this long when the last has let go of it, so that the next
    /// program finds it running; after twice that time it has been asked to end, and is removed. The first who asks for a key decides the time.
    ///
    /// That is the task of the container's supervisor, also when the last program was killed. It neither polls nor needs
    /// another program.
    ///
    /// # Errors
    /// As for [`shared`](Self::shared).
    pub fn shared_until_idle(key: &str, module: M, idle: Duration, engine: &Engine) -> Result<Self> {
        let mut definition = module.definition(engine)?;
        definition.settings.idle = Some(idle);
        Self::of_all(key, "idle", module, definition, engine)
    }

    /// The one of this key and kind.
    fn of_all(key: &str, kind: &str, module: M, definition: Definition, engine: &Engine) -> Result<Self> {
        let mut inputs = Inputs::new();
        inputs.add(key.as_bytes());
        inputs.add(definition.describe(engine)?.as_bytes());
        let name = format!("{kind}-{}", inputs.finish());
        let start = || definition.name(&name).keep().ready(module.ready()).start(engine);
        let (lease, container) = Lease::take(engine.store(), &name, start)?;
        // Its starter may have been killed before it did.
        container.wait_ready(module.ready())?;
        Ok(Self { shared: Arc::new(Shared { module: Arc::new(module), container, _lease: Some(lease) }) })
    }

    /// That of a container that was started.
    pub(super) fn of(module: Arc<M>, container: Container) -> Self {
        Self { shared: Arc::new(Shared { module, container, _lease: None }) }
    }

    /// What it is.
    pub fn module(&self) -> &M {
        &self.shared.module
    }

    /// Its container.
    pub fn container(&self) -> &Container {
        &self.shared.container
    }

    /// Where this program finds a path of the container. It leads through the container's process, and so to its mounts too;
    /// a socket there can be connected to.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) if it runs no more.
    pub fn path(&self, inside: &str) -> Result<PathBuf> {
        let pid = self.container().inspect()?.pid().ok_or_else(|| {
            Error::new(ErrorKind::InvalidArgument, format!("find {inside:?} of a container that is not running"))
        })?;
        Ok(PathBuf::from(format!("/proc/{pid}/root/{}", inside.trim_start_matches('/'))))
    }

    /// Asks it to end, and gives how it did.
    ///
    /// # Errors
    /// As for [`Container::stop`].
    pub fn stop(&self, timeout: Duration) -> Result<ExitStatus> {
        self.container().stop(timeout)
    }

    /// Stops it so that its files are complete, and freezes them.
    pub(super) fn freeze(self) -> Result<Snapshot> {
        const PATIENCE: Duration = Duration::from_secs(60);
        let status = self.stop(PATIENCE)?;
        let in_use = |_| Error::new(ErrorKind::InUse, "freeze it: the preparation has kept a clone of the service");
        let shared = Arc::try_unwrap(self.shared).map_err(in_use)?;
        if status.signal().is_some_and(|signal| signal == libc::SIGKILL) {
            let message =
                format!("stop it: it was killed after {} s, and its files may be incomplete", PATIENCE.as_secs());
            return Err(Error::new(ErrorKind::Timeout, message));
        }
        shared.container.snapshot()
    }
}

impl<M> Clone for Service<M> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<M: Module> fmt::Debug for Service<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Service").field(&self.shared.container).finish()
    }
}
