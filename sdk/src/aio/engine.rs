//! What an engine does, as futures.

use std::path::Path;

use super::{Async, elsewhere};
use crate::build;
use crate::container::Container;
use crate::engine::Engine;
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
