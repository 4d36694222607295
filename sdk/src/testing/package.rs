//! Where the server of a module comes from: an image, or a package of the host.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::container::Definition;
use crate::engine::Engine;
use crate::error::{Attempt as _, Error, ErrorKind, Result};
use crate::image::{Image, Layers};
use crate::spec::{Digest, Mount};

/// Where a server comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin<P = ()> {
    /// An image in the store which behaves as the official one.
    Image(String),
    /// The host's package, and where it lies.
    Package(P),
}

/// The host's package whose server is this program.
pub(super) fn installed(server: &str, program: &str, package: &str) -> Result<Origin> {
    match Path::new(program).is_file() {
        true => Ok(Origin::Package(())),
        false => Err(missing(server, program, package)),
    }
}

/// What is said if `place`, where the package has the server, is not there.
pub(super) fn missing(server: &str, place: &str, package: &str) -> Error {
    let message = format!("find {server} on this host: there is no {place}");
    Error::new(ErrorKind::NotFound, message).with_hint(format!("apt install {package}, or name an image"))
}

/// Mounts directories of the host, where they are, read-only.
pub(super) fn with_directories<P: AsRef<Path>>(
    definition: Definition,
    directories: impl IntoIterator<Item = P>,
) -> Definition {
    directories.into_iter().filter(|directory| directory.as_ref().is_dir()).fold(definition, |definition, directory| {
        let directory = directory.as_ref();
        definition.mount(Mount::bind(directory, directory.display().to_string()).read_only())
    })
}

/// The image of a package, which is made if there is none yet. `text` is what of plywood goes into it.
///
/// Its tag tells what an upgrade of the package or of plywood changes: so it is found without reading the programs.
pub(super) fn image(
    name: &str,
    program: &Path,
    text: &str,
    engine: &Engine,
    layers: impl FnOnce() -> Layers,
) -> Result<Image> {
    let program = fs::metadata(program).attempt(|| format!("read {program:?} of this host"))?;
    let text = Digest::of(text.as_bytes());
    let tag = format!("plywood-host/{name}-{:x}-{:x}-{}", program.mtime(), program.size(), text.short());
    match engine.image(&tag) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let built = engine.build(&layers())?;
            engine.tag(&built.id().to_string(), &tag)
        }
        found => found,
    }
}
