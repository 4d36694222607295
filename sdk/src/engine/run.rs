//! The terminal verbs of a container's definition.

use std::sync::Arc;

use super::Engine;
use crate::container::create::{attempted, create, describe};
use crate::container::handle::Handle;
use crate::container::stdio::Streams;
use crate::container::{Container, Definition, ImageChoice, Output, Settings, Stdio, Stream};
use crate::error::Result;
use crate::image::Image;
use crate::spec::exit_status::ExitStatus;
use crate::spec::reference::Reference;

impl<D> Definition<D> {
    /// Creates the container, without starting it.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if the image or the source of a bind mount does not exist,
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists) if the name is taken,
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for mistakes in the definition.
    #[doc(alias = "docker create")]
    pub fn create(&self, engine: &Engine) -> Result<Container<D>> {
        let mut container = Container::guard(self.make(engine)?);
        if self.settings.kept {
            container.handle().check_kept(&self.streams(Stdio::null(), Stdio::log()))?;
            container.persist()?;
        }
        Ok(container)
    }

    /// Creates and starts the container.
    ///
    /// Returns once its process runs, or once it is [ready](Self::ready). Standard output and error go to the log unless the definition says otherwise.
    ///
    /// # Errors
    /// As for [`create`](Self::create). If the command does not exist or cannot be executed, the error's
    /// [`exit_code`](crate::Error::exit_code) is 127 or 126. [`Failed`](crate::ErrorKind::Failed) if it ends before it is
    /// ready, [`Timeout`](crate::ErrorKind::Timeout) if it is not in time. Nothing is left of the container then.
    #[doc(alias = "docker run")]
    pub fn start(&self, engine: &Engine) -> Result<Container<D>> {
        let streams = self.streams(Stdio::null(), Stdio::log());
        let mut container = Container::guard(self.make(engine)?);
        match self.settings.kept {
            true => container.handle().start_kept(&streams)?,
            false => container.handle().start(&streams)?,
        }
        if let Some(condition) = &self.settings.ready {
            let ready = container.handle().wait_ready(condition);
            ready.map_err(|error| attempted(format!("start {}", container.handle().title()), error))?;
        }
        if self.settings.kept {
            container.observe();
        }
        Ok(container)
    }

    /// Runs the container to its end, gives what it wrote, and removes it.
    ///
    /// # Errors
    /// As for [`start`](Self::start). A program that fails is no error: its status tells.
    #[doc(alias = "docker run")]
    pub fn output(&self, engine: &Engine) -> Result<Output> {
        self.begin_output(engine)?.into_output()
    }

    /// Runs the container to its end, with the streams of the host program, and removes it.
    ///
    /// # Errors
    /// As for [`start`](Self::start). A program that fails is no error: its status tells.
    #[doc(alias = "docker run")]
    pub fn status(&self, engine: &Engine) -> Result<ExitStatus> {
        self.begin_status(engine)?.into_status()
    }

    /// Starts what [`output`](Self::output) runs.
    pub(crate) fn begin_output(&self, engine: &Engine) -> Result<Container<D>> {
        self.begin(engine, &self.streams(Stdio::null(), Stdio::captured()))
    }

    /// Starts what [`status`](Self::status) runs.
    pub(crate) fn begin_status(&self, engine: &Engine) -> Result<Container<D>> {
        self.begin(engine, &self.streams(Stdio::inherit(), Stdio::inherit()))
    }

    fn begin(&self, engine: &Engine, streams: &Streams) -> Result<Container<D>> {
        let container = Container::guard(self.make(engine)?);
        container.handle().run_once(streams)?;
        Ok(container)
    }

    fn make(&self, engine: &Engine) -> Result<Arc<Handle>> {
        let (image, reference) = self.image(engine)?;
        create(engine.store(), &image, &reference, &self.settings(engine))
    }

    /// Everything that makes its containers what they are when they start, as text.
    pub(crate) fn describe(&self, engine: &Engine) -> Result<String> {
        describe(engine.store(), &self.image(engine)?.0, &self.settings(engine))
    }

    fn settings(&self, engine: &Engine) -> Settings {
        let user_namespace = self.settings.user_namespace.or(engine.user_namespace);
        Settings { user_namespace, ..self.settings.clone() }
    }

    fn image(&self, engine: &Engine) -> Result<(Image, String)> {
        Ok(match &self.image {
            ImageChoice::Stored { image, reference } => {
                let images = engine.store().images();
                // What it is does not change; whether it is here does, and it may be of another store.
                let image = if images.store().has(image.id()) { image.clone() } else { images.need(image.id())? };
                (image, reference.clone())
            }
            ImageChoice::Named(name) => (engine.store().images().find(name)?, name.clone()),
            ImageChoice::Declared(layers) => {
                let image = engine.build(&**layers)?;
                let reference = image.references().first().map(Reference::familiar);
                let reference = reference.unwrap_or_else(|| image.id().short().to_owned());
                (image, reference)
            }
        })
    }

    fn streams(&self, stdin: Stdio, output: Stdio) -> Streams {
        let settings = &self.settings;
        Streams::new([&settings.stdin, &settings.stdout, &settings.stderr], stdin, output)
    }
}

impl<D> Container<D> {
    /// Waits for the end of one that was begun for its output, and lets it go.
    pub(crate) fn into_output(self) -> Result<Output> {
        let status = self.wait()?;
        let ends = self.handle().ends();
        let output = Output { status, stdout: ends.captured(Stream::Stdout), stderr: ends.captured(Stream::Stderr) };
        self.handle().let_go()?;
        Ok(output)
    }

    /// Waits for its end, and lets it go.
    pub(crate) fn into_status(self) -> Result<ExitStatus> {
        let status = self.wait()?;
        self.handle().let_go()?;
        Ok(status)
    }
}
