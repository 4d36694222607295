//! What a container has changed of its image.

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
