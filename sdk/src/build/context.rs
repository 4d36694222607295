//! The build context: the directory beneath which `COPY` and `ADD` find their sources.
//!
//! Everything is opened by openat2(2) from the directory's descriptor, beneath it and through no link; links are
//! followed here, one at a time, so that one that leads out of the context can be named. What `.dockerignore` excludes
//! is not there.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use plywood_syntax::ignore::Ignore;

use crate::error::{Attempt as _, ErrorKind, Fault, Result};
use crate::sys::fs::{self, FileKind, Xattr};

use super::tree::{Entry, Tree, is_excluded};

/// As many links as the kernel follows in one path.
pub(super) const MAX_LINKS: usize = 40;

/// More than any list that a person writes.
const MAX_IGNORE_FILE: u64 = 1024 * 1024;

/// An open build context.
#[derive(Debug)]
pub(super) struct Context {
    path: PathBuf,
    chosen: Chosen,
    directory: OwnedFd,
    ignore: Ignore,
    /// Where the rules are from.
    ignore_name: String,
}

/// Who has said which directory it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chosen {
    /// The definition, whose files may as well be part of the program.
    ByDefinition,
    /// Who builds it.
    ByCaller,
}

#[derive(Debug, thiserror::Error)]
enum ContextFault {
    #[error("the path leads out of {context:?}, the build context, through \"..\"")]
    Parent { context: PathBuf },
    #[error("{link:?} is a link to {target:?}, which is outside {context:?}, the build context")]
    Link { link: PathBuf, target: PathBuf, context: PathBuf },
    #[error("too many symbolic links at {path:?}")]
    Loop { path: PathBuf },
    #[error("build context {path:?} is not a directory")]
    NoDirectory { path: PathBuf },
    #[error("open the build context {path:?}: it is not there")]
    Missing { path: PathBuf },
    #[error(
        "open the build context {path:?}: it is not there (if it is the package directory that this program was compiled \
         in, put it back, name another one with build::Options::context, or {EMBED})"
    )]
    Gone { path: PathBuf },
}

/// How a program can do without the files of its package.
const EMBED: &str = "make the files part of the program with COPY --embed";

impl Fault for ContextFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Missing { .. } | Self::Gone { .. } => ErrorKind::NotFound,
            _ => ErrorKind::InvalidArgument,
        }
    }
}

impl Context {
    /// Opens the directory and reads its `.dockerignore`, or the file that comes before it where that exists.
    pub(super) fn open(path: &Path, chosen: Chosen, ignore_file: Option<&Path>) -> Result<Self> {
        let absolute = std::path::absolute(path).attempt(|| format!("find the build context {path:?}"))?;
        let directory = match fs::open_directory(&absolute) {
            Err(error) if error.raw_os_error() == Some(libc::ENOTDIR) => {
                return Err(ContextFault::NoDirectory { path: absolute }.into());
            }
            Err(error) if is_absent(&error) => {
                return Err(match chosen {
                    Chosen::ByDefinition => ContextFault::Gone { path: absolute }.into(),
                    Chosen::ByCaller => ContextFault::Missing { path: absolute }.into(),
                });
            }
            opened => opened.attempt(|| format!("open the build context {absolute:?}"))?,
        };
        let beside = ignore_file.filter(|file| file.is_file());
        let ignore_name = beside.and_then(Path::file_name).map_or(".dockerignore".into(), OsStr::to_string_lossy);
        let (ignore, ignore_name) = (Ignore::default(), ignore_name.into_owned());
        let mut context = Self { path: absolute, chosen, directory, ignore, ignore_name };
        let text = match beside {
            Some(file) => Some(read_ignore_file(File::open(file), file)?),
            None => context.ignore_file()?,
        };
        context.ignore = text.map(|text| Ignore::parse(&text)).unwrap_or_default();
        Ok(context)
    }

    /// The directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn ignore_file(&self) -> Result<Option<String>> {
        let Some(entry) = self.resolve(Path::new(".dockerignore"))?.filter(Entry::is_file) else { return Ok(None) };
        read_ignore_file(Ok(self.open(&entry)?), &self.path.join(".dockerignore")).map(Some)
    }

    /// The file of a path that has no links but perhaps its last component; `None` if there is none.
    fn entry(&self, path: PathBuf) -> Result<Option<Entry>> {
        let attempt = || format!("look at {:?} in the build context", path);
        let opened = if path.as_os_str().is_empty() {
            self.directory.try_clone()
        } else {
            fs::open_beneath(&self.directory, path.as_path(), fs::PATH_ONLY)
        };
        let file = match opened {
            Err(error) if is_absent(&error) => return Ok(None),
            opened => opened.attempt(attempt)?,
        };
        let metadata = fs::stat(&file).attempt(attempt)?;
        let link = match metadata.kind {
            FileKind::Symlink => Some(fs::read_link_at(&file, "").attempt(attempt)?),
            _ => None,
        };
        Ok(Some(Entry::new(path, metadata, link)))
    }

    /// Whether anything below an excluded directory is included again.
    fn includes_below(&self, directory: &Entry) -> Result<bool> {
        Ok(!self.children(directory)?.is_empty())
    }
}

impl Tree for Context {
    fn title(&self) -> String {
        format!("the build context {:?}", self.path)
    }

    fn advice(&self) -> String {
        match self.chosen {
            Chosen::ByDefinition => format!(" (put it there, or {EMBED})"),
            Chosen::ByCaller => String::new(),
        }
    }

    fn resolve(&self, path: &Path) -> Result<Option<Entry>> {
        let mut ahead: VecDeque<OsString> = path.components().filter_map(part).collect();
        let mut here = PathBuf::new();
        let mut found = self.entry(PathBuf::new())?;
        let mut links = 0;
        while let Some(name) = ahead.pop_front() {
            if name == ".." {
                if !here.pop() {
                    return Err(ContextFault::Parent { context: self.path.clone() }.into());
                }
                found = self.entry(here.clone())?;
                continue;
            }
            let next = here.join(&name);
            found = self.entry(next.clone())?;
            let Some(entry) = &found else { return Ok(None) };
            let Some(text) = &entry.link else {
                here = next;
                continue;
            };
            links += 1;
            if links > MAX_LINKS {
                return Err(ContextFault::Loop { path: next }.into());
            }
            let target = Path::new(OsStr::from_bytes(text));
            let depth = here.components().count();
            if target.is_absolute() || leads_above(target, depth) {
                let (target, context) = (target.to_owned(), self.path.clone());
                return Err(ContextFault::Link { link: next, target, context }.into());
            }
            for component in target.components().rev().filter_map(part) {
                ahead.push_front(component);
            }
            found = self.entry(here.clone())?;
        }
        Ok(found)
    }

    fn children(&self, directory: &Entry) -> Result<Vec<Entry>> {
        let attempt = || format!("read directory {:?} of the build context", directory.path);
        let opened = if directory.path.as_os_str().is_empty() {
            fs::open_at(&self.directory, ".", fs::DIRECTORY)
        } else {
            fs::open_beneath(&self.directory, directory.path.as_path(), fs::DIRECTORY)
        };
        let mut names = fs::read_directory(opened.attempt(attempt)?).attempt(attempt)?;
        names.sort_by(|a, b| a.name.cmp(&b.name));
        let mut children = Vec::new();
        for name in names {
            let Some(entry) = self.entry(directory.path.join(name.name))? else { continue };
            let is_wanted = !is_excluded(&self.ignore, &entry.path)
                || (entry.is_directory() && self.ignore.may_take_back() && self.includes_below(&entry)?);
            if is_wanted {
                children.push(entry);
            }
        }
        Ok(children)
    }

    fn refuses(&self, entry: &Entry) -> Option<String> {
        let line = self.ignore.excluded_by(&entry.path.to_string_lossy())?;
        let may_hold_more = entry.path.as_os_str().is_empty() || entry.is_directory() && self.ignore.may_take_back();
        (!may_hold_more).then(|| format!("it is excluded by {}, line {line}", self.ignore_name))
    }

    fn open(&self, file: &Entry) -> Result<File> {
        let opened = fs::open_beneath(&self.directory, file.path.as_path(), fs::READ);
        Ok(opened.attempt(|| format!("open {:?}", self.path.join(&file.path)))?.into())
    }

    fn xattrs(&self, _: &Entry) -> Result<Vec<Xattr>> {
        // What a checkout carries there depends on the machine; Docker leaves them out too.
        Ok(Vec::new())
    }

    fn direct(&self, entry: &Entry) -> Option<PathBuf> {
        self.ignore.is_empty().then(|| self.path.join(&entry.path))
    }
}

fn read_ignore_file(file: std::io::Result<File>, path: &Path) -> Result<String> {
    use std::io::Read as _;
    let mut text = Vec::new();
    let read = file.and_then(|file| file.take(MAX_IGNORE_FILE).read_to_end(&mut text));
    read.attempt(|| format!("read {path:?}"))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn part(component: Component<'_>) -> Option<OsString> {
    match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    }
}

/// Whether a relative path leaves the tree when it is followed from this depth, whatever is there.
fn leads_above(path: &Path, mut depth: usize) -> bool {
    path.components().any(|component| match component {
        Component::ParentDir if depth == 0 => true,
        Component::ParentDir => {
            depth -= 1;
            false
        }
        Component::Normal(_) => {
            depth += 1;
            false
        }
        _ => false,
    })
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR))
}

#[cfg(test)]
mod tests;
