//! What snapshots of containers and volumes do, as futures.

use std::sync::Arc;

use super::{Async, elsewhere};
use crate::container::remove::Force;
use crate::container::{Container, Snapshot};
use crate::engine::{Engine, TempVolume, VolumeSnapshot};
use crate::error::{Error, ErrorKind, Result};
use crate::volume::Volume;

impl<D: 'static> Async<Container<D>> {
    /// Freezes its file system, as [`Container::snapshot`] does. The container is consumed, so this must be its only clone.
    ///
    /// # Errors
    /// As for [`Container::snapshot`], and [`InUse`](ErrorKind::InUse) while there is a clone of this value.
    pub async fn snapshot(self) -> Result<Async<Snapshot<D>>> {
        let attempt = format!("take a snapshot of container {:?}", self.name());
        let Some(container) = Arc::into_inner(self.0) else {
            let message = format!("{attempt}: there is a clone of its asynchronous face (drop it first)");
            return Err(Error::new(ErrorKind::InUse, message));
        };
        elsewhere(move || container.snapshot()).await.map(Snapshot::aio)
    }
}

impl<D> Snapshot<D> {
    /// The same snapshot, with verbs that are awaited.
    pub fn aio(self) -> Async<Self> {
        Async::new(self)
    }
}

impl<D: 'static> Async<Snapshot<D>> {
    /// Starts a container that goes on from here, as [`Snapshot::fork`] does.
    ///
    /// # Errors
    /// As for [`Snapshot::fork`].
    pub async fn fork(&self) -> Result<Async<Container<D>>> {
        self.blocking(Snapshot::fork).await.map(Container::aio)
    }

    /// Lets it stay in the store when this program ends, under this name.
    ///
    /// # Errors
    /// As for [`Snapshot::persist`].
    pub async fn persist(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.blocking(move |snapshot| snapshot.persist(&name)).await
    }

    /// Removes it now, whether it was to stay or not.
    ///
    /// # Errors
    /// As for [`Snapshot::remove`].
    pub async fn remove(self) -> Result<()> {
        self.blocking(|snapshot| snapshot.handle().remove(Force::No)).await
    }
}

impl Volume {
    /// The same volume, with verbs that are awaited.
    pub fn aio(&self) -> Async<Self> {
        Async::new(self.clone())
    }
}

impl Async<Volume> {
    /// Freezes its content, as [`Volume::snapshot`] does. It takes a thread as long as there is content to copy.
    ///
    /// # Errors
    /// As for [`Volume::snapshot`].
    pub async fn snapshot(&self, engine: &Engine) -> Result<Async<VolumeSnapshot>> {
        let engine = engine.clone();
        self.blocking(move |volume| volume.snapshot(&engine)).await.map(VolumeSnapshot::aio)
    }

    /// Makes a volume that begins with its content, as [`Volume::fork`] does.
    ///
    /// # Errors
    /// As for [`Volume::fork`].
    pub async fn fork(&self, engine: &Engine) -> Result<TempVolume> {
        let engine = engine.clone();
        self.blocking(move |volume| volume.fork(&engine)).await
    }
}

impl VolumeSnapshot {
    /// The same snapshot, with verbs that are awaited. One that is to [stay](Self::persist) is told so before.
    pub fn aio(self) -> Async<Self> {
        Async::new(self)
    }
}

impl Async<VolumeSnapshot> {
    /// Makes a volume that begins as this, as [`VolumeSnapshot::fork`] does.
    ///
    /// # Errors
    /// As for [`VolumeSnapshot::fork`].
    pub async fn fork(&self) -> Result<TempVolume> {
        self.blocking(VolumeSnapshot::fork).await
    }
}
