//! Whether a data root is what it should be, and the repair of what can be repaired without a loss.
//!
//! | object | is checked | is repaired |
//! |---|---|---|
//! | layer | record, ChainID, layers below, files, digest, size, names for mounts | names, size |
//! | image | digest, layers, history, the image it was made from | the mention of an image that is gone |
//! | tag | that it leads to an image | by removal, if the image is gone |
//! | container | files, ID, name, writable layer, names for mounts, volumes | names, the mark of a volatile mount |
//! | volume | directory, our record, Docker's database | |
//! | entries that nothing known refers to | are counted | never: they may be somebody's |
//!
//! The structure is looked at under the locks of the store, so that nothing half made is taken for damage; the contents
//! of layers after that, each kept from removal meanwhile.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::container::store::Store;
use crate::data_root::Lock;
use crate::error::{Attempt as _, ErrorKind, Result};

mod containers;
mod finding;
mod images;
mod layers;
mod volumes;

pub use finding::{Finding, Object, Outcome, Problem};

/// How many unknown entries of a directory are told by name.
const EXAMPLES: usize = 3;

/// What to check, and whether to repair. Default: everything, and nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use]
pub struct Options {
    quick: bool,
    repair: bool,
}

/// What a check has found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    findings: Vec<Finding>,
}

impl Options {
    /// Checks everything, and repairs nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Leaves out what takes long: the digests and sizes of layers.
    pub fn quick(mut self) -> Self {
        self.quick = true;
        self
    }

    /// Repairs what can be repaired without a loss.
    pub fn repair(mut self) -> Self {
        self.repair = true;
        self
    }
}

impl Report {
    /// What was found: layers first, then what stands on them.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Whether nothing is damaged, or not any more.
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| !finding.is_damage() || finding.outcome == Outcome::Repaired)
    }
}

/// Checks a data root.
pub(crate) fn fsck(store: &Store, options: &Options) -> Result<Report> {
    store.settle()?;
    let mut check = Check { store, options, findings: Vec::new() };
    {
        let root = store.root();
        let held = root.lock(Lock::Store)?;
        let _others = [root.lock(Lock::Layers)?, root.lock(Lock::Containers)?, root.lock(Lock::Volumes)?];
        check.layers()?;
        check.images(&held)?;
        check.containers()?;
        check.volumes()?;
    }
    if !options.quick {
        check.contents()?;
    }
    check.findings.sort_by_key(Finding::object);
    Ok(Report { findings: check.findings })
}

/// A check under way.
struct Check<'a> {
    store: &'a Store,
    options: &'a Options,
    findings: Vec<Finding>,
}

impl Check<'_> {
    fn note(&mut self, object: Object, name: &str, path: &Path, problem: Problem) {
        let (name, path) = (name.to_owned(), path.to_owned());
        self.findings.push(Finding { object, name, path, problem, outcome: Outcome::Open });
    }

    /// Notes a problem, and does `repair` about it if that is asked for.
    fn mend(&mut self, object: Object, name: &str, path: &Path, problem: Problem, repair: impl FnOnce() -> Result<()>) {
        self.note(object, name, path, problem);
        let outcome = match self.options.repair.then(repair) {
            None => Outcome::Repairable,
            Some(Ok(())) => Outcome::Repaired,
            Some(Err(error)) => Outcome::Failed(error.to_string()),
        };
        if let Some(finding) = self.findings.last_mut() {
            finding.outcome = outcome;
        }
    }

    /// The value of a read; what is damaged is noted, and `None`.
    ///
    /// # Errors
    /// If it failed for another reason than the file: then nothing can be said about it.
    fn read<T>(&mut self, object: Object, name: &str, path: &Path, read: Result<T>) -> Result<Option<T>> {
        match read {
            Ok(value) => Ok(Some(value)),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::Corrupt | ErrorKind::NotFound | ErrorKind::InvalidArgument | ErrorKind::LimitExceeded
                ) =>
            {
                let path = error.path().unwrap_or(path).to_owned();
                self.note(object, name, &path, Problem::Damaged(error.to_string()));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a directory is one; that it is its owner's is checked, too.
    fn is_directory(&mut self, object: Object, name: &str, path: &Path) -> bool {
        let is_there = self.is_tree(object, name, path);
        if let Ok(metadata) = path.symlink_metadata()
            && is_there
            && is_foreign(&metadata)
        {
            self.note(object, name, path, Problem::Owner(metadata.uid()));
        }
        is_there
    }

    /// Whether a directory is one. What is in a layer may belong to anybody, and so may the root of it.
    fn is_tree(&mut self, object: Object, name: &str, path: &Path) -> bool {
        let problem = match path.symlink_metadata() {
            Ok(metadata) if metadata.is_dir() => return true,
            Ok(_) => Problem::NoDirectory,
            Err(_) => Problem::Missing("its directory".to_owned()),
        };
        self.note(object, name, path, problem);
        false
    }

    /// The entries of a directory, those that `parse` knows apart from those that it does not, which are noted together.
    fn entries<T>(&mut self, directory: &Path, parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>> {
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for name in names(directory)? {
            match parse(&name) {
                Some(value) => known.push(value),
                None => unknown.push(name),
            }
        }
        self.unknown(directory, unknown);
        Ok(known)
    }

    /// Notes entries of a directory that nothing known refers to.
    fn unknown(&mut self, directory: &Path, names: Vec<String>) {
        if !names.is_empty() {
            let root = self.store.root().path();
            let name = directory.strip_prefix(root).unwrap_or(directory).to_string_lossy().into_owned();
            let problem = Problem::Unknown { count: names.len(), examples: names.into_iter().take(EXAMPLES).collect() };
            self.note(Object::Directory, &name, directory, problem);
        }
    }
}

/// The names in a directory, sorted.
fn names(directory: &Path) -> Result<Vec<String>> {
    let read = || -> std::io::Result<Vec<String>> {
        std::fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    };
    let mut names = read().attempt(|| format!("read directory {directory:?}"))?;
    names.sort_unstable();
    Ok(names)
}

fn is_foreign(metadata: &Metadata) -> bool {
    metadata.uid() != rustix::process::geteuid().as_raw()
}
