//! When a container is ready: a condition that `start` waits for.
//!
//! A condition is a value. Waiting for it is a loop of looks at the container, with pauses that grow from half a millisecond
//! to [some](watch) twenty; the end of the container's process ends a pause, and the loop. When nobody waits, nothing looks.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::Container;
use super::definition::Definition;
use super::handle::Handle;
use super::port::PortOf;
use crate::error::Result;
use crate::image::Layers;
use crate::logs::Stream;
use crate::spec::port::ExposedPort;

mod http;
mod log;
mod watch;

pub use http::HttpReady;
pub use log::LogReady;

/// What has to hold before a container of definition `D` counts as ready.
///
/// [`Definition::ready`] makes `start` wait for it. It is looked for until it holds, the container ends, or its
/// [timeout](Self::timeout) has passed.
///
/// ```no_run
/// # use plywood::{Container, Engine, layers};
/// use std::time::Duration;
/// use plywood::container::Ready;
///
/// layers! {
///     struct Db;
///     FROM "postgres:16";
///     EXPOSE 5432 as SQL;
/// }
///
/// # fn main() -> plywood::Result<()> {
/// # let engine = Engine::open_default()?;
/// let db = Container::of(&Db)
///     .ready(Ready::port(Db::SQL).timeout(Duration::from_secs(20)))
///     .ready(Ready::exec(["pg_isready"]))
///     .start(&engine)?;
/// # Ok(()) }
/// ```
#[must_use = "a condition does nothing until a definition has it"]
pub struct Ready<D = Layers> {
    condition: Condition,
    of: PhantomData<fn() -> D>,
}

/// A condition and its limit.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    kind: Kind,
    timeout: Option<Duration>,
}

#[derive(Clone)]
enum Kind {
    Port(ExposedPort),
    Log(log::Wanted),
    Http(http::Request),
    Exec(Vec<String>),
    File(String),
    Healthy,
    When(Probe),
    Any(Vec<Condition>),
    All(Vec<Condition>),
}

/// A caller's own condition: the words say what is missing yet.
type Probe = Arc<dyn Fn(&Arc<Handle>) -> Result<(), String> + Send + Sync>;

impl<D> Ready<D> {
    /// Something listens on a TCP port, or receives on a UDP port, in the container's network.
    ///
    /// The kernel is asked: no connection is made that the server would have to take.
    pub fn port(port: impl PortOf<D>) -> Self {
        Self::new(Kind::Port(port.choose().exposed()))
    }

    /// A line of the container's log, since its start, has this text in it.
    ///
    /// What goes to an inherited stream or a pipe is not in the log.
    pub fn log(text: impl Into<String>) -> LogReady<D> {
        let text = text.into();
        LogReady::new(format!("{text:?}"), Arc::new(move |line| line.contains(&text)))
    }

    /// A line of the container's log for which this says yes: a place for a regular expression.
    ///
    /// ```
    /// # use plywood::container::Ready;
    /// let ready: Ready = Ready::log_where(|line| line.starts_with("listening on ") && line.ends_with(" ready")).into();
    /// ```
    pub fn log_where(accepts: impl Fn(&str) -> bool + Send + Sync + 'static) -> LogReady<D> {
        LogReady::new("a certain text".to_owned(), Arc::new(accepts))
    }

    /// An HTTP request for this path on a TCP port is answered with a status from 200 to 399, unless told otherwise.
    pub fn http(port: impl PortOf<D>, path: impl Into<String>) -> HttpReady<D> {
        HttpReady::new(port.choose().exposed(), path.into())
    }

    /// A command in the container succeeds. It is run again and again until it does.
    pub fn exec<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> Self {
        Self::new(Kind::Exec(argv.into_iter().map(Into::into).collect()))
    }

    /// There is something at this path in the container.
    pub fn file(path: impl Into<String>) -> Self {
        Self::new(Kind::File(path.into()))
    }

    /// The container's [health check](Definition::health) says that it works.
    pub fn healthy() -> Self {
        Self::new(Kind::Healthy)
    }

    /// A function of the caller succeeds; its last error is what a timeout tells.
    ///
    /// It is called again and again, and must not take longer than the condition may.
    ///
    /// ```
    /// # use plywood::container::Ready;
    /// let ready: Ready = Ready::when(|container| container.connect(6379).map(drop));
    /// ```
    pub fn when<E: fmt::Display>(probe: impl Fn(&Container<D>) -> Result<(), E> + Send + Sync + 'static) -> Self {
        let probe = move |handle: &Arc<Handle>| {
            probe(&Container::observer(Arc::clone(handle))).map_err(|error| error.to_string())
        };
        Self::new(Kind::When(Arc::new(probe)))
    }

    /// One of these holds.
    pub fn any<R: Into<Self>>(conditions: impl IntoIterator<Item = R>) -> Self {
        Self::new(Kind::Any(conditions.into_iter().map(|ready| ready.into().condition).collect()))
    }

    /// Each of these has held at some moment.
    pub fn all<R: Into<Self>>(conditions: impl IntoIterator<Item = R>) -> Self {
        Self::new(Kind::All(conditions.into_iter().map(|ready| ready.into().condition).collect()))
    }

    /// How long after the start of waiting it has to hold. Default: a minute for the whole, no limit for a part of it.
    ///
    /// A part of [`all`](Self::all) that is too late ends the waiting; one of [`any`](Self::any) drops out.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.condition.timeout = Some(timeout);
        self
    }

    fn new(kind: Kind) -> Self {
        Self { condition: Condition { kind, timeout: None }, of: PhantomData }
    }
}

impl<D> Definition<D> {
    /// Makes `start` return when the container is ready. Default: once its process runs. Of several conditions all count.
    ///
    /// If the container ends before, or the time allowed has passed, `start` returns an error that says how it ended, or
    /// what was seen last, with the last lines of its log; the container is removed. The other verbs do not wait.
    #[doc(alias = "wait strategy")]
    #[doc(alias = "HEALTHCHECK")]
    pub fn ready(mut self, ready: impl Into<Ready<D>>) -> Self {
        let new = ready.into().condition;
        self.settings.ready = Some(match self.settings.ready.take() {
            None => new,
            Some(before) => Condition { kind: Kind::All(vec![before, new]), timeout: None },
        });
        self
    }
}

impl<D> Container<D> {
    /// Waits until the running container is ready.
    ///
    /// # Errors
    /// [`Failed`](crate::ErrorKind::Failed) if it ends before, [`Timeout`](crate::ErrorKind::Timeout) if the time allowed
    /// has passed, [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if it was never started.
    pub fn wait_ready(&self, ready: impl Into<Ready<D>>) -> Result<()> {
        let waited = self.handle().wait_ready(&ready.into().condition);
        waited.map_err(|error| super::create::attempted(format!("wait for {}", self.handle().title()), error))
    }
}

impl<D> Clone for Ready<D> {
    fn clone(&self) -> Self {
        Self { condition: self.condition.clone(), of: PhantomData }
    }
}

impl<D> fmt::Debug for Ready<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ready").field(&self.condition).finish()
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What is waited for, in words.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |f: &mut fmt::Formatter<'_>, parts: &[Condition], between: &str| {
            for (number, part) in parts.iter().enumerate() {
                write!(f, "{}{}", if number > 0 { between } else { "" }, part.kind)?;
            }
            Ok(())
        };
        match self {
            Self::Port(port) => write!(f, "port {port}"),
            Self::Log(wanted) => write!(f, "{wanted}"),
            Self::Http(request) => write!(f, "{request}"),
            Self::Exec(argv) => write!(f, "command {argv:?}"),
            Self::Healthy => f.write_str("its health check"),
            Self::File(path) => write!(f, "file {path:?}"),
            Self::When(_) => f.write_str("a condition of the program"),
            Self::Any(parts) => joined(f, parts, " or "),
            Self::All(parts) => joined(f, parts, " and "),
        }
    }
}
