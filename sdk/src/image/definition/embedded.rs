//! Files that a definition holds itself.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Files with their modes, held by the program: what `COPY --embed` and `ADD --embed` copy from.
///
/// `layers!` makes one while the program is compiled, so that the program needs none of the files when it runs. Paths are
/// relative, with `/` between their parts; directories above a file need not be named, and have mode 0755 then. Owners
/// and times are not kept: the files belong to root, and are from 1970.
///
/// ```
/// use plywood::image::{Copy, Embedded};
///
/// let files = Embedded::new().file("app.py", 0o644, b"print('hello')\n").link("main.py", "app.py");
/// let copy = Copy::of(["app.py", "main.py"]).to("/app/").embedded(files);
/// # assert_eq!(copy.embedded_files().unwrap().paths().collect::<Vec<_>>(), ["app.py", "main.py"]);
/// ```
#[derive(Clone, PartialEq, Eq, Default)]
#[doc(alias = "--embed")]
pub struct Embedded(Arc<BTreeMap<String, EmbeddedFile>>);

/// One of the files.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum EmbeddedFile {
    File { mode: u32, content: Cow<'static, [u8]> },
    Directory { mode: u32 },
    Link { target: String },
}

impl Embedded {
    /// No files yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file; of its mode at most 0o7777 counts.
    #[must_use]
    pub fn file(self, path: impl fmt::Display, mode: u32, content: impl Into<Cow<'static, [u8]>>) -> Self {
        self.with(path, EmbeddedFile::File { mode: mode & 0o7777, content: content.into() })
    }

    /// Adds a directory; of its mode at most 0o7777 counts.
    #[must_use]
    pub fn directory(self, path: impl fmt::Display, mode: u32) -> Self {
        self.with(path, EmbeddedFile::Directory { mode: mode & 0o7777 })
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn link(self, path: impl fmt::Display, target: impl fmt::Display) -> Self {
        self.with(path, EmbeddedFile::Link { target: target.to_string() })
    }

    pub(crate) fn with(mut self, path: impl fmt::Display, file: EmbeddedFile) -> Self {
        // A path that leads out of the tree would be found nowhere.
        let path = plywood_syntax::path::resolve("/", &path.to_string()).split_off(1);
        Arc::make_mut(&mut self.0).insert(path, file);
        self
    }

    /// The paths of all files, directories and links that were added, in their order.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &EmbeddedFile)> {
        self.0.iter().map(|(path, file)| (path.as_str(), file))
    }

    pub(crate) fn get(&self, path: &str) -> Option<&EmbeddedFile> {
        self.0.get(path)
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter()).finish()
    }
}

/// Without the content, which nobody wants to read there.
impl fmt::Debug for EmbeddedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { mode, content } => write!(f, "file of {} bytes, mode {mode:04o}", content.len()),
            Self::Directory { mode } => write!(f, "directory, mode {mode:04o}"),
            Self::Link { target } => write!(f, "link to {target:?}"),
        }
    }
}
