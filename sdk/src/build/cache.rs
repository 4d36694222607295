//! The build cache: which layer a step made when it was last executed.
//!
//! ```text
//! image/plywood-cache/
//! ├── steps/<key>          one small file for each step: the layer, when it was made, what made it
//! └── mounts/<id>/         what `RUN --mount=type=cache` keeps
//! ```
//!
//! A key is the digest of the stack below, the instruction, the environment that reaches it and the content of its
//! sources: bytes, modes, owners, link targets, never times. A record is written by rename and proves nothing by
//! itself: it counts only while the store has its layer.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::data_root::{DataRoot, Durability, atomic, used};
use crate::error::{Attempt as _, Result};
use crate::layer::{Layer, LayerStore};
use crate::spec::{ChainId, Digest, Digester, Timestamp};

use super::tree::field;

/// Changes when the meaning of a key does, so that old records are not found.
const VERSION: &str = "plywood build cache 1";

/// A record has some hundred bytes and the text of an instruction.
const MAX_RECORD: usize = 1024 * 1024;

/// The records of a data root.
#[derive(Debug)]
pub(super) struct Cache<'a> {
    layers: &'a LayerStore,
    /// Whether records are read; they are written anyway.
    is_read: bool,
}

/// What a step made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The stack with its layer.
    pub chain_id: ChainId,
    /// When it was executed.
    pub created: Timestamp,
    /// The instruction, for people.
    pub step: String,
}

/// A key in the making.
#[derive(Debug)]
pub(super) struct Key(Digester);

impl Key {
    /// The key of a step of this kind on a stack.
    pub(super) fn new(kind: &str, parent: Option<&ChainId>) -> Self {
        let mut key = Self(Digester::new());
        key.text(VERSION);
        key.text(kind);
        key.text(parent.map_or("scratch", ChainId::as_str));
        key
    }

    pub(super) fn text(&mut self, text: impl AsRef<str>) {
        field(&mut self.0, text.as_ref().as_bytes());
    }

    pub(super) fn list<S: AsRef<str>>(&mut self, texts: impl IntoIterator<Item = S>) {
        let mut count: u64 = 0;
        for text in texts {
            self.text(text);
            count += 1;
        }
        field(&mut self.0, &count.to_le_bytes());
    }

    /// For content of any length.
    pub(super) fn digester(&mut self) -> &mut Digester {
        &mut self.0
    }

    pub(super) fn finish(self) -> Digest {
        self.0.finish()
    }
}

impl<'a> Cache<'a> {
    pub(super) fn new(layers: &'a LayerStore, is_read: bool) -> Self {
        Self { layers, is_read }
    }

    /// The layer that a step made, if the store still has it.
    pub(super) fn get(&self, key: &Digest) -> Option<(Layer, Record)> {
        if !self.is_read {
            return None;
        }
        let path = self.layers.root().build_steps_dir().join(key.hex());
        let found = read(&path).and_then(|record| match record {
            Some(record) => Ok(self.layers.get(&record.chain_id)?.map(|layer| (layer, record))),
            None => Ok(None),
        });
        if matches!(found, Ok(Some(_))) {
            used::mark(&path);
        }
        // A damaged record costs an execution, not the build.
        found.unwrap_or_else(|error| {
            tracing::warn!(%key, %error, "a record of the build cache cannot be used");
            None
        })
    }

    /// Notes what a step made under a key that says so differently, if that is not known yet.
    pub(super) fn put_new(&self, key: &Digest, record: &Record) -> Result<()> {
        match self.layers.root().build_steps_dir().join(key.hex()).exists() {
            true => Ok(()),
            false => self.put(key, record),
        }
    }

    /// Notes what a step made.
    pub(super) fn put(&self, key: &Digest, record: &Record) -> Result<()> {
        let directory = self.layers.root().build_steps_dir();
        atomic::create_directory(&self.layers.root().build_cache_dir(), 0o700)?;
        atomic::create_directory(&directory, 0o700)?;
        let json =
            serde_json::to_vec(record).map_err(std::io::Error::from).attempt(|| "print a record of the build cache")?;
        // A record lost with the power costs an execution: not worth a sync.
        atomic::write(&directory.join(key.hex()), &json, 0o600, Durability::Fast)
    }
}

/// Where the directories of `RUN --mount=type=cache` are.
pub(crate) fn mounts(root: &DataRoot) -> PathBuf {
    root.build_cache_dir().join("mounts")
}

fn read(path: &std::path::Path) -> Result<Option<Record>> {
    let Some(text) = atomic::read_text(path, MAX_RECORD)? else { return Ok(None) };
    let record = serde_json::from_str(&text).map_err(std::io::Error::from);
    record.map(Some).attempt(|| format!("read {path:?}"))
}

/// The layers that the build cache knows, whether the store has them or not: what a prune keeps or removes with it.
pub(crate) fn records(root: &DataRoot) -> Result<Vec<(PathBuf, Record)>> {
    let directory = root.build_steps_dir();
    let attempt = || format!("read directory {directory:?}");
    let entries = match std::fs::read_dir(&directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.attempt(attempt)?,
    };
    let mut records = Vec::new();
    for entry in entries {
        let path = entry.attempt(attempt)?.path();
        // One that cannot be read is none; a prune removes the whole directory.
        records.extend(read(&path).ok().flatten().map(|record| (path, record)));
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: &str, texts: &[&str], list: &[&str]) -> Digest {
        let mut key = Key::new(kind, None);
        texts.iter().for_each(|text| key.text(text));
        key.list(list);
        key.finish()
    }

    #[test]
    fn keys_tell_apart_what_reads_alike() {
        let keys = [
            key("run", &["ab", "c"], &[]),
            key("run", &["a", "bc"], &[]),
            key("run", &["abc"], &[]),
            key("run", &["abc"], &[""]),
            key("run", &[], &["abc"]),
            key("copy", &["ab", "c"], &[]),
        ];
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[index + 1..].contains(key), "key {index} occurs twice");
        }
        assert_eq!(key("run", &["ab", "c"], &[]), keys[0]);
    }

    #[test]
    fn keys_depend_on_the_stack_below() {
        let parent = ChainId::from(Digest::of(b"layer"));
        assert_ne!(Key::new("run", None).finish(), Key::new("run", Some(&parent)).finish());
    }
}
