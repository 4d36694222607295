//! The runtime for bundles of the Open Container Initiative: a `config.json` and a root file system.
//!
//! This is the same runtime that [`Container`](crate::Container)s are started by, with another input: whoever judges OCI
//! runtimes can judge plywood, and Podman or containerd can use it. The example `oci_runtime` puts a command line in front.
//!
//! A container is made in two steps. [`Runtime::create`] makes its process, with all of its namespaces, mounts and
//! restrictions, up to the moment before its program begins; there it waits. [`Container::start`] lets it go on. The process
//! outlives the program that has made it, and belongs to whoever takes care of orphans then
//! (`PR_SET_CHILD_SUBREAPER`). Whatever program comes next finds the container by its ID, below the root directory.
//!
//! ```no_run
//! use plywood::oci::{Create, Runtime};
//!
//! fn main() -> plywood::Result<()> {
//!     let runtime = Runtime::open("/run/my-runtime")?;
//!     let container = runtime.create("web", "/bundles/web", &Create::new())?;
//!     container.start()?;
//!     println!("{}", container.state()?.to_json());
//!     container.kill("TERM", false)?;
//!     container.delete(true)
//! }
//! ```
//!
//! What a configuration asks for is done or refused, by an error of kind [`Unsupported`](crate::ErrorKind::Unsupported) that
//! names the property: nothing is passed over but what the specification says may be. It takes root.

mod config;
mod create;
mod devices;
mod exec;
mod fault;
mod features;
mod hooks;
mod kept;
mod lifecycle;
mod mounts;
mod options;
mod plan;
mod process;
mod resources;
mod state;
mod usage;

use std::fs;
use std::path::{Path, PathBuf};

use self::state::Directory;
use crate::error::{Attempt, Result};

pub use create::Create;
pub use exec::{Exec, Started};
pub use features::{default_config, features};
pub use state::{State, Status};

/// All containers below one directory.
#[derive(Debug, Clone)]
pub struct Runtime {
    root: PathBuf,
}

/// One of them, whichever program has made it.
#[derive(Debug, Clone)]
pub struct Container {
    id: String,
    directory: Directory,
}

impl Runtime {
    /// Uses this directory, which is made if it is missing; it should be one that is gone with the next boot.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn open(root: impl AsRef<Path>) -> Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let root = root.as_ref();
        let attempt = || format!("use the directory {root:?}");
        let root = std::path::absolute(root).attempt(attempt)?;
        // What is in it tells about containers, and leads into them.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&root).attempt(attempt)?;
        Ok(Self { root })
    }

    /// The container of this ID.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is none, [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if
    /// the text is no ID.
    pub fn container(&self, id: &str) -> Result<Container> {
        let directory = Directory::new(&self.root, id)?;
        match directory.path().is_dir() {
            true => Ok(Container { id: id.to_owned(), directory }),
            false => Err(fault::Fault::NoSuchContainer { id: id.to_owned() }.into()),
        }
    }

    /// The states of all containers, ordered by ID. One that is being made or removed meanwhile is left out.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn list(&self) -> Result<Vec<State>> {
        let entries = fs::read_dir(&self.root).attempt(|| format!("read {:?}", self.root))?;
        let ids = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut states: Vec<State> = ids.filter_map(|id| self.container(&id).ok()?.state().ok()).collect();
        states.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(states)
    }
}
