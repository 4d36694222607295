//! Images of what a package of the host holds.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::engine::Engine;
use crate::error::{Attempt as _, ErrorKind, Result};
use crate::image::{Image, Layers};
use crate::spec::Digest;

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
