//! Any service that listens on a port.

use super::service::Module;
use crate::container::{Definition, Ready};
use crate::engine::Engine;
use crate::error::Result;

/// A service of any container: it is ready when something listens on a TCP port in its network namespace.
///
/// ```no_run
/// use plywood::testing::{Generic, Service};
/// use plywood::{Container, Engine};
///
/// # fn main() -> plywood::Result<()> {
/// let engine = Engine::open_default()?;
/// let web = Service::start(Generic::new(Container::of("nginx:1.27"), 80), &engine)?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Generic {
    definition: Definition,
    port: u16,
}

impl Generic {
    /// A service that this container runs, on this TCP port.
    pub fn new(definition: Definition, port: u16) -> Self {
        Self { definition, port }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Module for Generic {
    fn definition(&self, _engine: &Engine) -> Result<Definition> {
        Ok(self.definition.clone())
    }

    fn ready(&self) -> Ready {
        Ready::port(self.port)
    }
}
