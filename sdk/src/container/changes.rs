//! What a container has changed of its image.

use super::Container;
use super::create::attempted;
use super::handle::Handle;
use crate::error::{ErrorKind, Fault, Result};
use crate::layer::WritableLayer;
use crate::layer::changes::Change;

#[derive(Debug, thiserror::Error)]
#[error("its writable layer is missing from the store")]
struct NoLayer;

impl Fault for NoLayer {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Corrupt
    }
}

impl<D> Container<D> {
    /// What it has changed of its image's file system, sorted by path, whether it runs or not.
    ///
    /// The same that `docker diff` tells: what is mounted over the file system (volumes, binds, `/proc`, `/etc/hosts`)
    /// does not count, a directory with a change in it does, and a file that was only opened for writing does not.
    ///
    /// ```no_run
    /// # fn main() -> plywood::Result<()> {
    /// # let engine = plywood::Engine::open_default()?;
    /// for change in engine.container("web")?.diff()? {
    ///     println!("{change}"); // C /var/log
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if it was removed.
    pub fn diff(&self) -> Result<Vec<Change>> {
        self.handle.changes()
    }
}

impl Handle {
    /// The changes, sorted by path; whatever the container does, and whoever owns it.
    pub(crate) fn changes(&self) -> Result<Vec<Change>> {
        let changes = self.layer().and_then(|layer| self.store().layers().changes(&layer));
        changes.map_err(|error| attempted(format!("compare {} with its image", self.title()), error))
    }

    /// The container's own layer, as the store knows it.
    pub(super) fn layer(&self) -> Result<WritableLayer> {
        self.check_present()?;
        Ok(self.store().layers().writable(self.id())?.ok_or(NoLayer)?)
    }
}
