//! What a test asks for by the types of its parameters, and what is told when it fails.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::last_lines;
use super::service::{Module, Service};
use crate::container::debug::{ON_FAIL, failures_are_told, failures_stay};
use crate::container::{Container, ProcessInfo};
use crate::engine::{Engine, TempVolume};
use crate::error::Result;

/// What a function under [`#[plywood::test]`](crate::test) can have as a parameter: each test gets its own.
///
/// An [`Engine`], a [`Service`] of a module, a [`TempVolume`], and the types that
/// [`#[plywood::template]`](crate::template) declares.
#[diagnostic::on_unimplemented(
    message = "a test cannot be given a `{Self}`",
    label = "not a type that `#[plywood::template]` declares, a `Service<…>`, a `TempVolume` or an `Engine`",
    note = "implement `plywood::testing::FromTest` for a type of yours"
)]
pub trait FromTest: Sized {
    /// Makes one for this test.
    ///
    /// # Errors
    /// If it cannot be made: the test fails.
    fn from_test(test: &Test) -> Result<Self>;
}

/// A test that runs.
#[derive(Debug)]
pub struct Test {
    name: &'static str,
    engine: Engine,
    /// Kept until it is known how the test ended.
    watched: RefCell<Vec<Box<dyn Watched>>>,
}

/// Something whose container is looked at when the test has failed.
trait Watched: std::fmt::Debug {
    fn container(&self) -> &Container;
}

impl<M: Module> Watched for Service<M> {
    fn container(&self) -> &Container {
        self.container()
    }
}

impl Test {
    /// Its path, as the test harness shows it.
    pub fn name(&self) -> &str {
        self.name
    }

    /// The engine that is the default of this user: what is prepared lies there from one run to the next.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Shows the log of this service if the test fails.
    pub fn watch<M: Module>(&self, service: &Service<M>) {
        self.watched.borrow_mut().push(Box::new(service.clone()));
    }

    #[allow(clippy::print_stderr)]
    fn failed(self) {
        let keeps = failures_stay();
        for watched in self.watched.into_inner() {
            let container = watched.container();
            // To where the harness has the words of the test.
            let lines = last_lines(container).unwrap_or_else(|| "its log is empty".to_owned());
            eprintln!("container {:?} ({}): {lines}", container.name(), container.image());
            if failures_are_told() {
                eprintln!("{}", everything(container));
            }
            if keeps {
                match keep(&self.engine, container.name()) {
                    Ok(()) => eprintln!(
                        "  it stays: plywood --root {} enter {} sh",
                        self.engine.path().display(),
                        container.name()
                    ),
                    Err(error) => eprintln!("  it cannot stay: {error}"),
                }
                // A guard would remove it.
                std::mem::forget(watched);
            }
        }
        if !keeps {
            eprintln!("  with {ON_FAIL}=keep they stay, and run again; with dump all of them is told");
        }
    }
}

/// What a container is, and what it has done: its configuration, its processes, its whole log, its files.
fn everything(container: &Container) -> String {
    let mut text = String::new();
    let mut part = |heading: &str, lines: Result<Vec<String>>| {
        let lines = lines.unwrap_or_else(|error| vec![error.to_string()]);
        text.extend([format!("  {heading}:")].into_iter().chain(lines.iter().map(|line| format!("\n    {line}"))));
        text.push('\n');
    };
    let details = container.inspect().map(|details| serde_json::to_string_pretty(&details).unwrap_or_default());
    part("inspect", details.map(|json| json.lines().map(str::to_owned).collect()));
    let process = |it: &ProcessInfo| format!("{} {} {}", it.pid, it.uid, it.command);
    part("top", container.top().map(|processes| processes.iter().map(process).collect()));
    part("log", container.logs().read().map(|lines| lines.map(|line| line.text).collect()));
    part("diff", container.diff().map(|changes| changes.iter().map(ToString::to_string).collect()));
    text
}

/// Lets a container go on without this program: it is started again with the files that it has.
fn keep(engine: &Engine, name: &str) -> Result<()> {
    let mut container = engine.container(name)?;
    let _ended = container.stop(std::time::Duration::from_secs(10))?;
    container.persist()?;
    container.start_kept()
}

/// How a test may end.
pub trait Outcome {
    /// Whether it has failed.
    fn is_failure(&self) -> bool;
}

impl Outcome for () {
    fn is_failure(&self) -> bool {
        false
    }
}

impl<T, E> Outcome for Result<T, E> {
    fn is_failure(&self) -> bool {
        self.is_err()
    }
}

/// Runs a test: what [`#[plywood::test]`](crate::test) expands to.
///
/// # Panics
/// If the test does, or the default data root cannot be opened.
pub fn run<O: Outcome>(name: &'static str, body: impl FnOnce(&Test) -> O) -> O {
    let engine = Engine::open_default().unwrap_or_else(|error| panic!("{error:?}"));
    let test = Test { name, engine, watched: RefCell::default() };
    match catch_unwind(AssertUnwindSafe(|| body(&test))) {
        Ok(outcome) => {
            if outcome.is_failure() {
                test.failed();
            }
            outcome
        }
        Err(panic) => {
            test.failed();
            resume_unwind(panic)
        }
    }
}

/// A parameter of a test.
///
/// # Panics
/// If it cannot be made.
#[doc(hidden)]
pub fn parameter<T: FromTest>(test: &Test) -> T {
    T::from_test(test).unwrap_or_else(|error| panic!("{error:?}"))
}

impl FromTest for Engine {
    fn from_test(test: &Test) -> Result<Self> {
        Ok(test.engine().clone())
    }
}

impl<M: Module + Default> FromTest for Service<M> {
    fn from_test(test: &Test) -> Result<Self> {
        let service = Self::start(M::default(), test.engine())?;
        test.watch(&service);
        Ok(service)
    }
}

impl FromTest for TempVolume {
    fn from_test(test: &Test) -> Result<Self> {
        Self::new(test.engine())
    }
}
