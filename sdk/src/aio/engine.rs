//! What an engine does, as futures.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Async, elsewhere};
use crate::build;
use crate::container::{Container, Snapshot};
use crate::engine::{Engine, VolumeSnapshot};
use crate::error::Result;
use crate::image::{Image, ImageDefinition};
use crate::prune::{self, DiskUsage};
use crate::volume::Volume;

impl Engine {
    /// The same engine, with verbs that are awaited.
    pub fn aio(&self) -> Async<Self> {
        Async::new(self.clone())
    }
}

impl Async<Engine> {
    /// Opens a data root, as [`Engine::open`] does.
    ///
    /// # Errors
    /// As for [`Engine::open`].
    pub async fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        elsewhere(move || Engine::open(path)).await.map(Self::new)
    }

    /// Opens the user's data root, as [`Engine::open_default`] does.
    ///
    /// # Errors
    /// As for [`Engine::open`].
    pub async fn open_default() -> Result<Self> {
        elsewhere(Engine::open_default).await.map(Self::new)
    }

    /// Makes a data root of its own, as [`Engine::temp`] does.
    ///
    /// # Errors
    /// As for [`Engine::open`].
    pub async fn temp() -> Result<Self> {
        elsewhere(Engine::temp).await.map(Self::new)
    }

    /// Builds an image, as [`Engine::build`] does. It takes a thread as long as that lasts.
    ///
    /// # Errors
    /// As for [`Engine::build`].
    pub async fn build<D: ImageDefinition>(&self, definition: &D) -> Result<Image<D>> {
        self.build_with(definition, build::Options::new()).await
    }

    /// Builds an image with options, as [`Engine::build_with`] does.
    ///
    /// # Errors
    /// As for [`Engine::build`].
    pub async fn build_with<D: ImageDefinition>(&self, definition: &D, options: build::Options) -> Result<Image<D>> {
        let layers = definition.layers();
        let image = self.blocking(move |engine| engine.build_with(&layers, &options)).await?;
        Ok(image.of_definition())
    }

    /// The image of this name, as [`Engine::image`] finds it.
    ///
    /// # Errors
    /// As for [`Engine::image`].
    pub async fn image(&self, name: &str) -> Result<Image> {
        let name = name.to_owned();
        self.blocking(move |engine| engine.image(&name)).await
    }

    /// All images, the newest first.
    ///
    /// # Errors
    /// As for [`Engine::images`].
    pub async fn images(&self) -> Result<Vec<Image>> {
        self.blocking(Engine::images).await
    }

    /// The volume of this name, made if there is none.
    ///
    /// # Errors
    /// As for [`Engine::volume`].
    pub async fn volume(&self, name: &str) -> Result<Volume> {
        let name = name.to_owned();
        self.blocking(move |engine| engine.volume(&name)).await
    }

    /// Makes a volume with labels.
    ///
    /// # Errors
    /// As for [`Engine::create_volume`].
    pub async fn create_volume(&self, name: &str, labels: BTreeMap<String, String>) -> Result<Volume> {
        let name = name.to_owned();
        self.blocking(move |engine| engine.create_volume(&name, labels)).await
    }

    /// Makes a volume that stays, with the content of another. It takes a thread as long as there is content to copy.
    ///
    /// # Errors
    /// As for [`Engine::fork_volume`].
    pub async fn fork_volume(&self, from: &Volume, name: &str) -> Result<Volume> {
        let (from, name) = (from.clone(), name.to_owned());
        self.blocking(move |engine| engine.fork_volume(&from, &name)).await
    }

    /// All volumes, by name.
    ///
    /// # Errors
    /// As for [`Engine::volumes`].
    pub async fn volumes(&self) -> Result<Vec<Volume>> {
        self.blocking(Engine::volumes).await
    }

    /// Removes a volume and all that is in it.
    ///
    /// # Errors
    /// As for [`Engine::remove_volume`].
    pub async fn remove_volume(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.blocking(move |engine| engine.remove_volume(&name)).await
    }

    /// The snapshot of a container that was to stay, by its name.
    ///
    /// # Errors
    /// As for [`Engine::snapshot`].
    pub async fn snapshot(&self, name: &str) -> Result<Async<Snapshot>> {
        let name = name.to_owned();
        self.blocking(move |engine| engine.snapshot(&name)).await.map(Snapshot::aio)
    }

    /// The snapshot of a volume that was to stay, by its name.
    ///
    /// # Errors
    /// As for [`Engine::volume_snapshot`].
    pub async fn volume_snapshot(&self, name: &str) -> Result<Async<VolumeSnapshot>> {
        let name = name.to_owned();
        self.blocking(move |engine| engine.volume_snapshot(&name)).await.map(VolumeSnapshot::aio)
    }

    /// The container of this name or ID; no guard, as with [`Engine::container`].
    ///
    /// # Errors
    /// As for [`Engine::container`].
    pub async fn container(&self, name: &str) -> Result<Async<Container>> {
        let name = name.to_owned();
        self.blocking(move |engine| engine.container(&name)).await.map(Container::aio)
    }

    /// All containers, the newest first; no guards, as with [`Engine::containers`].
    ///
    /// # Errors
    /// As for [`Engine::containers`].
    pub async fn containers(&self) -> Result<Vec<Async<Container>>> {
        Ok(self.blocking(Engine::containers).await?.into_iter().map(Container::aio).collect())
    }

    /// Removes what nothing refers to.
    ///
    /// # Errors
    /// As for [`Engine::prune`].
    pub async fn prune(&self) -> Result<prune::Report> {
        self.blocking(Engine::prune).await
    }

    /// How much everything takes.
    ///
    /// # Errors
    /// As for [`Engine::disk_usage`].
    pub async fn disk_usage(&self) -> Result<DiskUsage> {
        self.blocking(Engine::disk_usage).await
    }
}
