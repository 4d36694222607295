//! Containers that are there already.

use super::Engine;
use crate::container::{Container, Events, Snapshot};
use crate::error::{ErrorKind, Result};

impl Engine {
    /// Begins to read what happens to the containers of this data root, whichever program does it.
    ///
    /// ```no_run
    /// # fn main() -> plywood::Result<()> {
    /// # let engine = plywood::Engine::open_default()?;
    /// for event in engine.events().read()? {
    ///     println!("{} {} {}", event.time, event.action, event.name);
    /// }
    /// # Ok(()) }
    /// ```
    #[doc(alias = "docker events")]
    pub fn events(&self) -> Events {
        Events::new(&self.store)
    }

    /// All containers, by creation, the newest first: those of other programs and of Docker too.
    ///
    /// These handles are no guards: dropping one does nothing.
    ///
    /// # Errors
    /// If the data root cannot be read. A container that cannot be read is passed over.
    pub fn containers(&self) -> Result<Vec<Container>> {
        let mut found = Vec::new();
        for id in self.store.ids()? {
            let read = self.store.handle(&id).and_then(|handle| Ok((handle.files()?.config.created, handle)));
            match read {
                Ok(container) => found.push(container),
                // Removed since the directory was read.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => tracing::warn!("container {} is passed over: {error}", id.short()),
            }
        }
        found.sort_by(|(a, _), (b, _)| b.cmp(a));
        Ok(found.into_iter().map(|(_, handle)| Container::observer(handle)).collect())
    }

    /// The container of this name, this ID, or the one whose ID begins so.
    ///
    /// The handle is no guard: dropping it does nothing.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if there is none, [`InvalidArgument`](ErrorKind::InvalidArgument) if several IDs
    /// begin so.
    pub fn container(&self, name: &str) -> Result<Container> {
        let id = self.store.find(name)?;
        Ok(Container::observer(self.store.handle(&id)?))
    }

    /// The snapshot of this name that was to [stay](Snapshot::persist), by whichever program.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if there is none, [`InvalidArgument`](ErrorKind::InvalidArgument) if the container
    /// of that name is none.
    pub fn snapshot(&self, name: &str) -> Result<Snapshot> {
        let id = self.store.find(name)?;
        Snapshot::of(self.store.handle(&id)?)
    }
}
