//! An image from what a container has become.

use std::io::Write;
use std::marker::PhantomData;
use std::sync::Arc;

use serde_json::Value;

use super::create::attempted;
use super::handle::Handle;
use super::remove::Force;
use super::state::State;
use super::{Container, Role};
use crate::error::{Error, ErrorKind, Fault, Result};
use crate::image::tags::Overwrite;
use crate::image::{Image, change, import};
use crate::layer::Layer;
use crate::spec::digest::ImageId;
use crate::spec::image_config::{Config, History, ImageConfig, RootFs};
use crate::spec::{Platform, Reference, Timestamp};

/// An image to be made from a container; made by [`Container::commit`](super::Container::commit).
///
/// Its layers are those of the container's image, with the container's own files as one more; its configuration is the
/// container's. What is in volumes, binds and tmpfs mounts does not belong to it. The container stays as it is.
#[derive(Debug, Clone)]
#[must_use = "nothing is made until `run` is called"]
pub struct Commit {
    handle: Arc<Handle>,
    reference: Option<String>,
    author: Option<String>,
    message: Option<String>,
    changes: Vec<String>,
    pauses: bool,
    /// The container, if its files are moved; it goes with this.
    consumed: Option<Arc<Container>>,
}

/// What earlier builders noted about their container, which is another one now.
const STALE: [&str; 6] =
    ["container", "container_config", "docker_version", "id", "parent", "moby.buildkit.buildinfo.v1"];

#[derive(Debug, thiserror::Error)]
#[error("it is a fork: the layer that it stands on belongs to no image")]
struct Fork;

impl Fault for Fork {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Unsupported
    }

    fn hint(&self) -> Option<String> {
        Some("make an image of what `export` writes, or commit before the snapshot".to_owned())
    }
}

impl<D> Container<D> {
    /// Begins an image from what the container has become.
    ///
    /// ```no_run
    /// # fn main() -> plywood::Result<()> {
    /// # let engine = plywood::Engine::open_default()?;
    /// let image = engine.container("web")?.commit().reference("web:tuned").message("more workers").run()?;
    /// println!("{}", image.id());
    /// # Ok(()) }
    /// ```
    pub fn commit(&self) -> Commit {
        Commit::new(Arc::clone(&self.handle))
    }

    /// Begins an image from what the container has become, which goes with it: its files are moved into the image, so that
    /// only their digest has to be computed. Storage drivers that keep whole trees copy them.
    ///
    /// The container must not run, and must be a guard of this program.
    ///
    /// ```no_run
    /// # fn main() -> plywood::Result<()> {
    /// # use plywood::{Container, Engine};
    /// # let engine = Engine::open_default()?;
    /// let prepared = Container::of("debian:12").cmd(["make", "install"]).start(&engine)?;
    /// prepared.wait()?;
    /// let image = prepared.into_commit().reference("installed:1").run()?;
    /// # Ok(()) }
    /// ```
    ///
    /// [`run`](Commit::run) fails with [`InUse`](ErrorKind::InUse) if it runs, is [kept](super::Definition::keep) or
    /// another program's, and with [`Unsupported`](ErrorKind::Unsupported) if root has given it a user namespace.
    pub fn into_commit(self) -> Commit {
        let mut commit = Commit::new(Arc::clone(&self.handle));
        let mut container = self;
        let role = std::mem::replace(&mut container.role, Role::Observer);
        let (handle, base) = (Arc::clone(&container.handle), container.base.take());
        commit.consumed = Some(Arc::new(Container { handle, role, definition: PhantomData, base }));
        commit
    }
}

impl Commit {
    pub(super) fn new(handle: Arc<Handle>) -> Self {
        Self { handle, reference: None, author: None, message: None, changes: Vec::new(), pauses: true, consumed: None }
    }

    /// Names the image; an image that has the name loses it. Default: the image has none.
    pub fn reference(mut self, reference: impl Into<String>) -> Self {
        self.reference = Some(reference.into());
        self
    }

    /// Says who made it.
    #[doc(alias = "--author")]
    pub fn author(mut self, author: impl Into<String>) -> Self {
        self.author = Some(author.into());
        self
    }

    /// Sets the remark in its history.
    #[doc(alias = "--message")]
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// Applies a Dockerfile instruction to the image's configuration: `CMD`, `ENTRYPOINT`, `ENV`, `EXPOSE`, `HEALTHCHECK`,
    /// `LABEL`, `ONBUILD`, `STOPSIGNAL`, `USER`, `VOLUME` or `WORKDIR`. May be given several times.
    #[doc(alias = "--change")]
    pub fn change(mut self, instruction: impl Into<String>) -> Self {
        self.changes.push(instruction.into());
        self
    }

    /// Lets a container that runs go on meanwhile: each file is read as it is at that moment.
    #[doc(alias = "--pause=false")]
    pub fn without_pause(mut self) -> Self {
        self.pauses = false;
        self
    }

    /// Makes the image. A container that has changed nothing gives one with the same layers.
    ///
    /// A container that runs stands still while its files are read, unless it cannot be [paused](super::Container::pause).
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) for a reference or an instruction that is none,
    /// [`NotFound`](ErrorKind::NotFound) if the container was removed, [`Unsupported`](ErrorKind::Unsupported) if it is a
    /// [fork](super::Snapshot::fork), or one of its files became shorter while it was read. Nothing is left behind.
    pub fn run(&self) -> Result<Image> {
        self.try_run().map_err(|error| attempted(format!("commit {}", self.handle.title()), error))
    }

    fn try_run(&self) -> Result<Image> {
        let store = self.handle.store();
        let (images, layers) = (store.images(), store.layers());
        let references: Vec<_> = self.reference.iter().map(|name| Reference::parse(name)).collect::<Result<_>>()?;
        let mut config = self.config()?;
        let writable = self.handle.layer()?;
        if layers.fork_of(self.handle.id())?.is_some() {
            return Err(Fork.into());
        }
        let layer = match &self.consumed {
            Some(_) => {
                let mut inner = self.handle.lock();
                self.handle.at_rest(&mut inner)?;
                layers.commit_moved(&writable)?
            }
            None => {
                let _standing = self.pauses.then(|| Standing::new(&self.handle));
                layers.commit_copy(&writable)?
            }
        };
        let _pin = layer.as_ref().map(|layer| layers.pin(layer.chain_id())).transpose()?;
        if let Some(layer) = &layer {
            config.rootfs.diff_ids.push(layer.diff_id().clone());
        }
        self.note(&mut config, layer.as_deref());
        let published = import::to_json(&config).and_then(|json| images.publish(&json, &references, Overwrite::Move));
        let image = published.map_err(|error| match layer {
            Some(layer) if layer.is_new() => match images.release(std::iter::once(layer.chain_id())) {
                Ok(_) => error,
                Err(failure) => error.with_clean_up(failure),
            },
            _ => error,
        })?;
        if self.consumed.is_some() {
            self.handle.remove(Force::Yes)?;
        }
        Ok(image)
    }

    /// The configuration of the container's image, with that of the container in it.
    fn config(&self) -> Result<ImageConfig> {
        let store = self.handle.store();
        let files = self.handle.files()?;
        let base = match ImageId::parse(&files.config.image) {
            Ok(id) => store.images().store().config(&id)?,
            // A container of no image.
            Err(_) => None,
        };
        let mut image = match base {
            Some(image) => image,
            // Removed in spite of the container: its layers are still there.
            None => {
                let stack = store.layers().stack(self.handle.layer()?.parent.as_ref())?;
                let mut image = ImageConfig::new(Platform::host());
                image.rootfs = RootFs::new(stack.iter().rev().map(|layer| layer.diff_id().clone()).collect());
                image
            }
        };
        STALE.iter().for_each(|key| drop(image.other.remove(*key)));
        let malformed = |error| Error::new(ErrorKind::Corrupt, "read its configuration").with_source(error);
        let process = serde_json::to_value(&files.config.config).map_err(malformed)?;
        image.config = serde_json::from_value::<Config>(process.clone()).map_err(malformed)?;
        for instruction in &self.changes {
            change::apply(&mut image.config, instruction)?;
        }
        image.other.insert("container".into(), Value::from(self.handle.id().as_str()));
        image.other.insert("container_config".into(), process);
        image.author = self.author.clone();
        Ok(image)
    }

    /// Adds the entry of the history.
    fn note(&self, image: &mut ImageConfig, layer: Option<&Layer>) {
        let created = Timestamp::now();
        let command = image.other.get("container_config").and_then(|config| config.get("Cmd"));
        let words = command.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let mut entry = History::layer(created, words.collect::<Vec<_>>().join(" "));
        entry.author = self.author.clone();
        entry.comment = self.message.clone();
        entry.empty_layer = layer.is_none();
        image.history.push(entry);
        image.created = Some(created);
    }
}

/// A container that stands still; it goes on when this is dropped.
struct Standing<'a>(Option<&'a Handle>);

impl<'a> Standing<'a> {
    /// One that does not run, is paused already, or cannot be paused is left as it is.
    fn new(handle: &'a Handle) -> Self {
        if !handle.state().is_ok_and(|(state, _)| state == State::Running) {
            return Self(None);
        }
        let paused = handle.pause();
        if let Err(error) = &paused {
            tracing::debug!("a container that is committed goes on meanwhile: {error}");
        }
        Self(paused.ok().map(|()| handle))
    }
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.map(Handle::resume) {
            tracing::warn!("a container that was committed stands still: {error}");
        }
    }
}

impl Handle {
    /// Writes the container's file system as an archive.
    pub(crate) fn export(&self, out: &mut dyn Write) -> Result<()> {
        let exported = self.layer().and_then(|layer| self.store().layers().export(&layer, out));
        exported.map_err(|error| attempted(format!("export {}", self.title()), error))
    }
}
