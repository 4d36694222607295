//! The engine: one data root, and every verb that acts on it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::container::UserNamespace;
use crate::container::store::Store;
use crate::data_root::{DataRoot, Durability};
use crate::driver::{self, Choice};
use crate::error::{ErrorKind, Fault, Result};
use crate::image::images::Images;
use crate::layer::LayerStore;
use crate::volume::VolumeStore;

mod containers;
mod hygiene;
mod images;
mod options;
mod run;
mod temporary;
mod volume_guards;
mod volumes;

pub use options::EngineOptions;
use temporary::TemporaryRoot;
pub use volume_guards::{TempVolume, VolumeSnapshot};

/// The variable that names the data root of [`Engine::open_default`].
const ROOT_VARIABLE: &str = "PLYWOOD_ROOT";

/// The data root of root.
const SYSTEM_ROOT: &str = "/var/lib/plywood";

/// One data root, open: what declarations are handed to.
///
/// Cheap to clone, and usable from every thread at once; several programs may have one data root open. There is nothing
/// to shut down: containers belong to the [`Container`](crate::Container)s that hold them.
///
/// ```no_run
/// use plywood::{Container, Engine};
///
/// # fn main() -> plywood::Result<()> {
/// let engine = Engine::open_default()?;
/// let output = Container::of("debian:12").cmd(["uname", "-r"]).output(&engine)?;
/// println!("{}", String::from_utf8_lossy(&output.stdout));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Engine {
    store: Store,
    driver: Arc<Choice>,
    /// Of containers that do not say it.
    user_namespace: Option<UserNamespace>,
}

#[derive(Debug, thiserror::Error)]
#[error("open the default data root: neither PLYWOOD_ROOT nor XDG_DATA_HOME nor HOME says where it is")]
struct NoHome;

impl Fault for NoHome {
    fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidArgument
    }

    fn hint(&self) -> Option<String> {
        Some("set PLYWOOD_ROOT to a directory, or use Engine::open".to_owned())
    }
}

impl Engine {
    /// Opens the data root at `path`, making it if it does not exist.
    ///
    /// What earlier programs left behind when they were killed is removed: guarded containers, half-made layers.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) for a directory that holds something else,
    /// [`InUse`](ErrorKind::InUse) while a Docker daemon runs on it,
    /// [`PermissionDenied`](ErrorKind::PermissionDenied) if it belongs to another user or cannot be written,
    /// [`Unsupported`](ErrorKind::Unsupported) for a store in containerd's format, and where the storage driver it was
    /// written with does not work.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, EngineOptions::new())
    }

    /// Opens the data root at `path` with options; a [`Durability`] alone will do.
    ///
    /// # Errors
    /// As for [`open`](Self::open); [`InvalidArgument`](ErrorKind::InvalidArgument) too if it was written with another
    /// storage driver than is asked for, [`Unsupported`](ErrorKind::Unsupported) if that driver does not work there.
    pub fn open_with(path: impl AsRef<Path>, options: impl Into<EngineOptions>) -> Result<Self> {
        Self::assemble(path.as_ref(), options.into(), None)
    }

    /// Opens the user's data root: `$PLYWOOD_ROOT`; else, for root, `/var/lib/plywood`; else `$XDG_DATA_HOME/plywood` or
    /// `~/.local/share/plywood`.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_default() -> Result<Self> {
        Self::open(Self::default_path()?)
    }

    /// Where the user's data root is: what [`open_default`](Self::open_default) opens. It need not exist.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) if no variable says where it is.
    pub fn default_path() -> Result<PathBuf> {
        let is_root = rustix::process::geteuid().is_root();
        default_root(|name| std::env::var_os(name), is_root)
    }

    /// Makes a data root of its own under the directory for temporary files, and removes it when the last clone of the
    /// engine and the last container of it are gone.
    ///
    /// For tests and for images that need not last. Nothing in it survives a loss of power. What a killed program left of
    /// its own is removed by the next call.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn temp() -> Result<Self> {
        let root = TemporaryRoot::new(&std::env::temp_dir())?;
        let path = root.path().to_owned();
        Self::assemble(&path, Durability::Fast.into(), Some(root))
    }

    /// The same data root, where containers that do not say it themselves have [these users](crate::container::Definition::user_namespace).
    ///
    /// It counts when a container is created by this engine or a clone of it. What [`build`](Self::build) runs has the
    /// host's.
    #[doc(alias = "userns-remap")]
    pub fn user_namespace(mut self, user_namespace: UserNamespace) -> Self {
        self.user_namespace = Some(user_namespace);
        self
    }

    /// The directory of the data root.
    pub fn path(&self) -> &Path {
        self.store.root().path()
    }

    /// The storage driver, and why it is that one.
    #[doc(alias = "graphdriver")]
    pub fn driver(&self) -> &Choice {
        &self.driver
    }

    fn assemble(path: &Path, options: EngineOptions, temporary: Option<TemporaryRoot>) -> Result<Self> {
        let (durability, request) = options.into_parts()?;
        let choose = |path: &Path| driver::choose(path, &request).map(|choice| (choice.driver().name(), choice));
        let (root, choice) = DataRoot::open_with(path, durability, choose)?;
        let layers = LayerStore::open(&root)?;
        let images = Images::new(&root, &layers);
        let volumes = VolumeStore::open(&root);
        volumes.merge_labels()?;
        let temporary = temporary.map(|root| Box::new(root) as Box<dyn std::fmt::Debug + Send + Sync>);
        let store = Store::open(root, layers, images, volumes, temporary)?;
        Ok(Self { store, driver: Arc::new(choice), user_namespace: None })
    }

    /// The parts, for the rooms that work on them.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }
}

/// Where the user's data root is. The variables of the environment are asked for by name.
fn default_root(variable: impl Fn(&str) -> Option<std::ffi::OsString>, is_root: bool) -> Result<PathBuf> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(path) = set(ROOT_VARIABLE) {
        return Ok(path);
    }
    if is_root {
        return Ok(SYSTEM_ROOT.into());
    }
    // The base directory specification: a relative path is to be ignored.
    if let Some(data) = set("XDG_DATA_HOME").filter(|path| path.is_absolute()) {
        return Ok(data.join("plywood"));
    }
    match set("HOME").filter(|path| path.is_absolute()) {
        Some(home) => Ok(home.join(".local/share/plywood")),
        None => Err(NoHome.into()),
    }
}

#[cfg(test)]
mod tests;
