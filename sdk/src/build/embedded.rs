//! The files that a definition holds itself, as a tree to copy from.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::path::{Path, PathBuf};

use crate::error::{Attempt as _, Error, ErrorKind, Result};
use crate::image::{Embedded, EmbeddedFile};
use crate::sys::background::memory;
use crate::sys::fs::{FileKind, Metadata, Time, Xattr};

use super::context::MAX_LINKS;
use super::tree::{Entry, Tree};

/// The mode of directories that were not named.
const DIRECTORY_MODE: u32 = 0o755;

impl Tree for Embedded {
    fn title(&self) -> String {
        "the embedded files".to_owned()
    }

    fn resolve(&self, path: &Path) -> Result<Option<Entry>> {
        let text = path.to_str().and_then(plywood_syntax::path::clean_source);
        let Some(text) = text else { return Ok(None) };
        let mut ahead: VecDeque<String> = text.split('/').map(str::to_owned).collect();
        let mut here = String::new();
        for _ in 0..=MAX_LINKS {
            let Some(found) = self.enter(&mut here, &mut ahead) else { return Ok(None) };
            let Some(target) = found.link.as_deref() else { return Ok(Some(found)) };
            let target = String::from_utf8_lossy(target).into_owned();
            let directory = here.rsplit_once('/').map_or("", |(directory, _)| directory);
            let Some(next) = plywood_syntax::path::clean_source(&format!("{directory}/{target}"))
                .filter(|_| !target.starts_with('/'))
            else {
                let message = format!("{here:?} is a link to {target:?}, which is not among the embedded files");
                return Err(Error::new(ErrorKind::InvalidArgument, message));
            };
            let rest: Vec<String> = ahead.drain(..).collect();
            ahead = next.split('/').map(str::to_owned).chain(rest).collect();
            here.clear();
        }
        Err(Error::new(ErrorKind::InvalidArgument, format!("too many symbolic links at {path:?}")))
    }

    fn children(&self, directory: &Entry) -> Result<Vec<Entry>> {
        let above = directory.path.to_string_lossy().into_owned();
        let prefix = if above.is_empty() { above } else { format!("{above}/") };
        let below = self.paths().filter_map(|path| path.strip_prefix(&prefix)).filter(|rest| !rest.is_empty());
        let names: BTreeSet<&str> = below.map(|rest| rest.split('/').next().unwrap_or(rest)).collect();
        Ok(names.into_iter().filter_map(|name| self.entry(&format!("{prefix}{name}"))).collect())
    }

    fn open(&self, file: &Entry) -> Result<File> {
        let attempt = || format!("open the embedded file {:?}", file.path);
        match file.path.to_str().and_then(|path| self.get(path)) {
            Some(EmbeddedFile::File { content, .. }) => {
                let mut opened = memory("plywood-embedded", content).attempt(attempt)?;
                std::io::Seek::rewind(&mut opened).attempt(attempt)?;
                Ok(opened)
            }
            _ => Err(Error::new(ErrorKind::NotFound, format!("{}: it is not there", attempt()))),
        }
    }

    fn xattrs(&self, _: &Entry) -> Result<Vec<Xattr>> {
        Ok(Vec::new())
    }

    fn direct(&self, _: &Entry) -> Option<PathBuf> {
        None
    }
}

impl Embedded {
    /// Walks on until the path ends or a link is met, which is `here` then; what comes after it stays ahead.
    fn enter(&self, here: &mut String, ahead: &mut VecDeque<String>) -> Option<Entry> {
        let mut found = self.entry(here)?;
        while let Some(name) = ahead.pop_front() {
            if name.is_empty() {
                continue;
            }
            if !here.is_empty() {
                here.push('/');
            }
            here.push_str(&name);
            found = self.entry(here)?;
            if found.link.is_some() {
                break;
            }
        }
        Some(found)
    }

    /// What is at a path without links on its way.
    fn entry(&self, path: &str) -> Option<Entry> {
        let (kind, mode, size, link) = match self.get(path) {
            Some(EmbeddedFile::File { mode, content }) => (FileKind::Regular, *mode, content.len(), None),
            Some(EmbeddedFile::Directory { mode }) => (FileKind::Directory, *mode, 0, None),
            Some(EmbeddedFile::Link { target }) => (FileKind::Symlink, 0o777, target.len(), Some(target)),
            None => {
                let is_above = |other: &str| other.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
                let exists = path.is_empty() || self.paths().any(is_above);
                exists.then_some((FileKind::Directory, DIRECTORY_MODE, 0, None))?
            }
        };
        let metadata = Metadata {
            kind,
            mode,
            uid: 0,
            gid: 0,
            size: size as u64,
            links: 1,
            identity: (0, 0),
            device: (0, 0),
            modified: Time::default(),
            changed: Time::default(),
            blocks: 0,
        };
        Some(Entry::new(PathBuf::from(path), metadata, link.map(|target| target.clone().into_bytes())))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Read as _;

    use super::*;

    fn tree() -> Embedded {
        Embedded::new()
            .file("a/b/run", 0o755, b"#!/bin/sh\n")
            .directory("a/empty", 0o700)
            .link("a/again", "b/run")
            .link("inside", "a/b")
            .link("out", "/etc/passwd")
            .link("loop", "loop")
    }

    #[test]
    fn files_are_found_with_their_modes() {
        let tree = tree();
        let find = |path: &str| tree.resolve(Path::new(path)).unwrap();
        let run = find("./a//b/run").unwrap();
        assert_eq!((run.metadata.kind, run.metadata.mode, run.metadata.size), (FileKind::Regular, 0o755, 10));
        assert_eq!(find("a").unwrap().metadata.mode, 0o755);
        assert_eq!(find("a/empty").unwrap().metadata.mode, 0o700);
        assert_eq!(find("inside/run").unwrap().path, Path::new("a/b/run"));
        assert_eq!(find("a/again").unwrap().path, Path::new("a/b/run"));
        assert!(find("a/c").is_none() && find("a/b/run/x").is_none());
        let mut text = String::new();
        tree.open(&run).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "#!/bin/sh\n");
        let names: Vec<_> = tree.children(&find("a").unwrap()).unwrap().iter().map(Entry::name).collect();
        assert_eq!(names, ["again", "b", "empty"]);
        assert_eq!(tree.children(&find("").unwrap()).unwrap().len(), 4);
    }

    #[test]
    fn links_that_lead_nowhere_are_mistakes() {
        let error = tree().resolve(Path::new("out")).unwrap_err();
        assert_eq!(error.to_string(), "\"out\" is a link to \"/etc/passwd\", which is not among the embedded files");
        assert!(tree().resolve(Path::new("loop")).unwrap_err().to_string().contains("too many symbolic links"));
    }
}
