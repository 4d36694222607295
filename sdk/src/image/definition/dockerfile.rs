//! A Dockerfile, read when the program runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plywood_syntax::checks;
use plywood_syntax::dockerfile;
use plywood_syntax::finding::{Finding, Severity};

use super::check::{Mistake, Mistakes};
use super::{ImageDefinition, Layers, read};
use crate::error::{Attempt as _, Error, ErrorKind, Result};

/// More than any Dockerfile that a person or a program writes.
const LONGEST: u64 = 16 * 1024 * 1024;

/// The definition that a Dockerfile holds.
///
/// It is checked by the rules of `layers!` as it is read; `dockerfile!` does the same when the program is compiled.
///
/// ```no_run
/// # use plywood::{image::Dockerfile, Engine};
/// # fn main() -> plywood::Result<()> {
/// let engine = Engine::open_default()?;
/// let file = Dockerfile::open("docker/Dockerfile")?;
/// for warning in file.warnings() {
///     eprintln!("{warning}");
/// }
/// let image = engine.build(&file)?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    layers: Layers,
    warnings: Vec<String>,
}

impl Dockerfile {
    /// Reads a file. The build context is its directory; [`build::Options::context`](crate::build::Options::context)
    /// names another. A file `<path>.dockerignore` comes before the `.dockerignore` of the context.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) and the like where it cannot be read, and
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) with all its mistakes, each with line and column.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let attempt = || format!("read the Dockerfile {path:?}");
        let size = fs::metadata(path).attempt(attempt)?.len();
        if size > LONGEST {
            let message = format!("{}: it has {size} bytes, and at most {LONGEST} are read", attempt());
            return Err(Error::new(ErrorKind::LimitExceeded, message).with_path(path));
        }
        let text = fs::read(path).attempt(attempt)?;
        let file = Self::read(&text, &path.display().to_string())?;
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let layers = file.layers.of_dockerfile(path).context(directory);
        Ok(Self { layers, ..file })
    }

    /// Reads text. It names no build context, so that a build takes the working directory.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) with all its mistakes, each with line and column.
    pub fn parse(text: &str) -> Result<Self> {
        Self::read(text.as_bytes(), "Dockerfile")
    }

    fn read(bytes: &[u8], name: &str) -> Result<Self> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned();
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            let message = format!("{name}:{line}:{column}: a byte that is not UTF-8");
            Error::new(ErrorKind::InvalidArgument, message)
        })?;
        let file = dockerfile::parse(text);
        let layers = read::layers(&file, &Arc::from(name));
        let (mut errors, warnings): (Vec<Finding>, Vec<Finding>) =
            file.check(None).into_iter().partition(|finding| finding.severity == Severity::Error);
        let is_wanted = |finding: &Finding| !checks::OFF.contains(&finding.name);
        let mistake = |finding: Finding| {
            let position = file.position(finding.place, finding.range.as_ref());
            let at = format!("{name}:{}:{}", position.line, position.column);
            Mistake { at, message: finding.message, help: finding.help }
        };
        // What stands in the place of something that only a comment can say may be a mistake, and the thing itself none.
        if !file.notes.is_empty() && layers.check().is_ok() {
            errors.retain(|finding| file.findings.contains(finding));
        }
        if !errors.is_empty() {
            return Err(Mistakes(errors.into_iter().map(mistake).collect()).into());
        }
        let warnings = warnings.into_iter().filter(is_wanted).map(|finding| mistake(finding).to_string()).collect();
        Ok(Self { layers, warnings })
    }

    /// Sets the directory that sources of `COPY` and `ADD` are relative to.
    #[must_use]
    pub fn context(mut self, directory: impl Into<PathBuf>) -> Self {
        self.layers = self.layers.context(directory);
        self
    }

    /// What probably was meant otherwise: a line each, with file, line and column.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

impl ImageDefinition for Dockerfile {
    fn layers(&self) -> Layers {
        self.layers.clone()
    }
}
