//! How an engine opens its data root.

use std::path::Path;

use crate::data_root::Durability;
use crate::driver::{self, Choice, Request, StorageDriver};
use crate::error::Result;

/// The variable that names the storage driver of data roots that are new.
const DRIVER_VARIABLE: &str = "PLYWOOD_DRIVER";

/// How to open a data root: [`Engine::open_with`](super::Engine::open_with).
///
/// Default: what is done survives a loss of power, and plywood chooses the storage driver.
///
/// ```no_run
/// use plywood::{Durability, Engine, EngineOptions, StorageDriver};
///
/// # fn main() -> plywood::Result<()> {
/// let options = EngineOptions::new().durability(Durability::Fast).driver(StorageDriver::Vfs);
/// let engine = Engine::open_with("/srv/plywood", options)?;
/// assert_eq!(engine.driver().driver(), StorageDriver::Vfs);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Default)]
pub struct EngineOptions {
    durability: Durability,
    driver: Option<StorageDriver>,
}

impl EngineOptions {
    /// The default.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is to survive a loss of power. Default: [`Full`](Durability::Full).
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Takes this storage driver or none. Default: the one that the data root was written with; for a new one what the
    /// variable `PLYWOOD_DRIVER` names, else the best that works.
    #[doc(alias = "--storage-driver")]
    pub fn driver(mut self, driver: StorageDriver) -> Self {
        self.driver = Some(driver);
        self
    }

    /// The driver that an engine at `path` would have. Nothing is opened or made.
    pub(crate) fn choice_at(&self, path: &Path) -> Result<Choice> {
        driver::choose(path, &self.clone().into_parts()?.1)
    }

    /// The durability, and which driver is wanted.
    pub(super) fn into_parts(self) -> Result<(Durability, Request)> {
        let named = std::env::var(DRIVER_VARIABLE).ok().filter(|name| !name.is_empty());
        let preferred = named.map(|name| name.parse()).transpose()?.map(|driver| (DRIVER_VARIABLE, driver));
        Ok((self.durability, Request { required: self.driver, preferred }))
    }
}

impl From<Durability> for EngineOptions {
    fn from(durability: Durability) -> Self {
        Self::new().durability(durability)
    }
}
