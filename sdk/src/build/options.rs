//! How to build: what is not part of the definition.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::event::{Event, Listener};
use crate::container::NetworkMode;
use crate::container::resources::Resources;
use crate::spec::mount::Mount;
use crate::spec::platform::Platform;

/// How an image is built.
///
/// ```no_run
/// # use plywood::{build, Engine, Layers};
/// # fn main() -> plywood::Result<()> {
/// # let engine = Engine::open_default()?;
/// let definition = Layers::new().from("debian:12").run("make");
/// let options = build::Options::new().tag("app:latest").progress(|event| eprintln!("{event}"));
/// let image = engine.build_with(&definition, &options)?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Options {
    pub(super) context: Option<PathBuf>,
    pub(super) args: BTreeMap<String, String>,
    pub(super) mounts: Vec<Mount>,
    pub(super) secrets: BTreeMap<String, PathBuf>,
    pub(super) network: NetworkMode,
    pub(super) no_cache: bool,
    pub(super) tags: Vec<String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) target: Option<String>,
    pub(super) platform: Option<Platform>,
    pub(super) resources: Resources,
    /// The first limit that could not be read.
    pub(super) mistake: Option<String>,
    pub(super) listener: Listener,
}

impl Options {
    /// The defaults: the definition's own context, a private network, the build cache in use.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the sources of `COPY` and `ADD` beneath this directory.
    ///
    /// Default: the directory that the definition names; for `layers!`, the package root. A `.dockerignore` in it is
    /// obeyed.
    pub fn context(mut self, directory: impl Into<PathBuf>) -> Self {
        self.context = Some(directory.into());
        self
    }

    /// Gives an `ARG` its value.
    #[doc(alias = "--build-arg")]
    pub fn arg(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.args.insert(name.into(), value.into());
        self
    }

    /// Mounts something into every `RUN`. It is no part of the image, and neither is its mount point.
    ///
    /// The build cache knows such a mount by its target only: what the source holds does not make a step run again.
    pub fn mount(mut self, mount: Mount) -> Self {
        self.mounts.push(mount);
        self
    }

    /// Hands a file of the host to the `RUN`s that ask for it by `--mount=type=secret,id=…`.
    ///
    /// It is no part of the image or of the build cache.
    #[doc(alias = "--secret")]
    pub fn secret(mut self, id: impl Into<String>, file: impl Into<PathBuf>) -> Self {
        self.secrets.insert(id.into(), file.into());
        self
    }

    /// Chooses the network of every `RUN`. Default: [`NetworkMode::Private`]; package managers need the host's.
    ///
    /// A `RUN` that names its own network keeps it, except that `host` is granted only by this option.
    pub fn network(mut self, network: NetworkMode) -> Self {
        self.network = network;
        self
    }

    /// Executes every step, even where the build cache has its result.
    pub fn no_cache(mut self) -> Self {
        self.no_cache = true;
        self
    }

    /// Tags the image; may be given several times.
    #[doc(alias = "--tag")]
    pub fn tag(mut self, reference: impl Into<String>) -> Self {
        self.tags.push(reference.into());
        self
    }

    /// Labels the image, over what its definition says; may be given several times.
    #[doc(alias = "--label")]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// Builds this stage instead of the last one.
    #[doc(alias = "--target")]
    pub fn target(mut self, stage: impl Into<String>) -> Self {
        self.target = Some(stage.into());
        self
    }

    /// Builds for this platform. Default: the host's.
    ///
    /// It is written into the image and known to the definition as `TARGETPLATFORM`; programs of a `RUN` must still
    /// be ones that this kernel can execute.
    pub fn platform(mut self, platform: Platform) -> Self {
        self.platform = Some(platform);
        self
    }

    /// Calls a function for everything that happens, in the thread that builds.
    pub fn progress(mut self, callback: impl FnMut(&Event) + Send + 'static) -> Self {
        self.listener = Listener::new(callback);
        self
    }
}
