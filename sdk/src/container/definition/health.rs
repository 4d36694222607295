//! How it is known whether a container works.

use super::Definition;
use crate::image::HealthCheck;

impl<D> Definition<D> {
    /// Runs a command in the container now and then, which says by its exit code whether the container works. Default: that
    /// of its image.
    ///
    /// What is left open is as the image says, if that has a check. [`HealthCheck::none`] takes the image's away.
    /// [`Container::health`](crate::Container::health) tells how it goes.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use plywood::{Container, Engine, image::HealthCheck};
    /// # fn main() -> plywood::Result<()> {
    /// # let engine = Engine::open_default()?;
    /// let check = HealthCheck::cmd(["pg_isready"]).interval(Duration::from_millis(200));
    /// let db = Container::of("postgres:16").health(check).start(&engine)?;
    /// db.wait_healthy(Duration::from_secs(30))?;
    /// # Ok(()) }
    /// ```
    #[doc(alias = "HEALTHCHECK")]
    #[doc(alias = "--health-cmd")]
    pub fn health(mut self, check: HealthCheck) -> Self {
        self.settings.health = Some(check);
        self
    }
}
