//! The moment from which on a container outlives its program: one rename.
//!
//! ```text
//! containers/<container id>/plywood.json.undecided  ──►  plywood.json, which says that it is kept
//! ```
//!
//! Its process is there before, and so is the reaper of the program, which would end the process and remove a guard. It
//! leaves all as it is once the first of these files is gone. So whenever a program is killed, nothing is left of a
//! container that is being started, or it is kept and goes on.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::record::Record;
use super::store::{Store, to_json};
use crate::data_root::Durability;
use crate::error::{Attempt, Result};
use crate::spec::id::ContainerId;

/// A start of which is not decided yet that the container is kept; it never is if this is dropped.
#[derive(Debug)]
pub(super) struct Undecided {
    from: PathBuf,
    to: PathBuf,
    durability: Durability,
}

impl Undecided {
    /// Of a container in a store; there is no file yet.
    pub(super) fn of(store: &Store, id: &ContainerId) -> Self {
        let to = store.root().container_state(id);
        Self { from: to.with_extension("json.undecided"), to, durability: store.root().durability() }
    }

    /// The file that goes with the decision.
    pub(super) fn path(&self) -> &Path {
        &self.from
    }

    /// Makes the file.
    pub(super) fn begin(&self) -> Result<()> {
        self.open().map(drop)
    }

    /// Writes the record of a container that is kept from here on.
    pub(super) fn decide(self, record: &Record) -> Result<()> {
        let (from, to) = (&self.from, &self.to);
        let mut file = self.open()?;
        file.write_all(&to_json(record)?).attempt(|| format!("write {from:?}"))?;
        if self.durability == Durability::Full {
            file.sync_all().attempt(|| format!("sync {from:?}"))?;
        }
        fs::rename(from, to).attempt(|| format!("rename {from:?} to {to:?}"))
    }

    fn open(&self) -> Result<File> {
        let path = &self.from;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(path).attempt(|| format!("write {path:?}"))
    }
}

impl Drop for Undecided {
    fn drop(&mut self) {
        // Once that is decided there is none.
        let _ = fs::remove_file(&self.from);
    }
}
