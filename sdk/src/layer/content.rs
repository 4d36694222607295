//! The content of layers: from tars and directories into the store, and back into tars.
//!
//! Whatever comes in is complete, counted and digested before its record is renamed into place.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use super::staged::{Imported, StagedLayer};
use super::store::LayerStore;
use super::writable::WritableLayer;
use super::{Layer, metadata};
use crate::archive::{self, Applied, ApplyOptions, Form, Limits, OnPiece};
use crate::data_root::{Durability, atomic};
use crate::error::{Attempt as _, ErrorKind, Fault, Result};
use crate::spec::digest::{ChainId, DiffId, Digester};
use crate::spec::id::CacheId;
use crate::sys;
use crate::sys::within::{ENTER, within};

/// How long to wait for someone else who imports the same layer: as long as that may reasonably take.
const IMPORT_PATIENCE: Duration = Duration::from_secs(30 * 60);

/// What a layer's tar is rebuilt from.
pub(super) const TAR_SPLIT: &str = "tar-split.json.gz";

impl LayerStore {
    /// Makes a layer of an uncompressed tar.
    ///
    /// With `expected` the tar is not read if the store has the layer, and must have that digest if not. Others who
    /// import the same layer at the same time are waited for.
    ///
    /// # Errors
    /// `Corrupt` if the tar has another digest than `expected`. Nothing is left behind.
    pub(crate) fn import(
        &self,
        parent: Option<&ChainId>,
        tar: &mut dyn Read,
        expected: Option<&DiffId>,
        options: &ApplyOptions,
    ) -> Result<Imported> {
        let chain = expected.map(|diff_id| ChainId::of(parent, diff_id));
        let _single = match &chain {
            Some(chain) => {
                let entry = self.root().in_flight(&format!("import-{}", chain.hex()), IMPORT_PATIENCE)?;
                if let Some(layer) = self.get(chain)? {
                    return Ok(Imported::known(layer));
                }
                Some(entry)
            }
            None => None,
        };
        let staged = self.stage(parent)?;
        let applied = self.written(&staged, |tar_split, on_piece| {
            archive::import_layer(tar, staged.diff(), tar_split, options, on_piece)
        })?;
        match expected {
            Some(expected) if *expected != applied.diff_id => {
                Err(Mismatch::Digest { expected: expected.clone(), found: applied.diff_id }.into())
            }
            _ => self.publish(staged, applied),
        }
    }

    /// Makes a layer of what lies in the staged directory.
    ///
    /// If the store has that layer already, the staged one is dropped and the existing one given.
    pub(crate) fn commit(&self, staged: StagedLayer) -> Result<Imported> {
        let options = self.apply_options(Limits::default());
        let applied = thread::scope(|scope| {
            // The disk writes while the processor digests, and has little left to do before the layer is published.
            let writing = thread::Builder::new().name("plywood-sync".into());
            let writing = writing.spawn_scoped(scope, || self.sync(&staged.cache_id));
            let applied = self.with_tar_split(&staged, |tar_split| {
                within(|| archive::digest_layer(staged.diff(), staged.base(), tar_split, None, &options))
                    .attempt(|| ENTER)?
            });
            // An error of the disk is told once.
            writing.map_or(Ok(Ok(())), thread::ScopedJoinHandle::join).unwrap_or(Ok(()))?;
            applied
        })?;
        self.publish(staged, applied)
    }

    /// Makes a layer of the files of a container that nobody will use again: they are moved; `None` if there are none.
    pub(crate) fn commit_moved(&self, layer: &WritableLayer) -> Result<Option<Imported>> {
        // The directory of a tree may be a file system of its own.
        if self.driver().form() == Form::Whole {
            return self.commit_copy(layer);
        }
        let staged = within(|| -> Result<Option<StagedLayer>> {
            if self.is_untouched(layer)? {
                return Ok(None);
            }
            let staged = self.stage(layer.parent.as_ref())?;
            let moved = std::fs::rename(&layer.upper, staged.diff());
            moved.attempt(|| format!("move {:?} to {:?}", layer.upper, staged.diff()))?;
            Ok(Some(staged))
        });
        staged.attempt(|| ENTER)??.map(|staged| self.commit(staged)).transpose()
    }

    /// Makes a layer of a container's own files, which stay as they are; `None` if there are none.
    ///
    /// # Errors
    /// `Unsupported` if a file changes while it is read.
    pub(crate) fn commit_copy(&self, layer: &WritableLayer) -> Result<Option<Imported>> {
        within(|| self.commit_copy_here(layer)).attempt(|| ENTER)?
    }

    fn commit_copy_here(&self, layer: &WritableLayer) -> Result<Option<Imported>> {
        if self.is_untouched(layer)? {
            return Ok(None);
        }
        let options = self.apply_options(Limits::default());
        let staged = self.stage(layer.parent.as_ref())?;
        let applied = self.written(&staged, |tar_split, on_piece| {
            archive::copy_layer(&layer.upper, layer.base(), staged.diff(), tar_split, &options, on_piece)
        })?;
        self.publish(staged, applied).map(Some)
    }

    /// Whether the container has not changed anything.
    fn is_untouched(&self, layer: &WritableLayer) -> Result<bool> {
        match layer.base() {
            Some(_) => Ok(self.changes_here(layer)?.is_empty()),
            None => {
                let attempt = || format!("read {:?}", layer.upper);
                let upper = sys::fs::open_directory(&layer.upper).attempt(attempt)?;
                Ok(sys::fs::read_directory(&upper).attempt(attempt)?.is_empty())
            }
        }
    }

    /// Makes the files and the tar-split of a layer; what is there already goes to the disk while the rest is made.
    fn written(
        &self,
        staged: &StagedLayer,
        make: impl FnOnce(&mut dyn Write, OnPiece<'_>) -> Result<Applied>,
    ) -> Result<Applied> {
        if self.root().durability() == Durability::Fast {
            return self.with_tar_split(staged, |tar_split| make(tar_split, &|| ()));
        }
        thread::scope(|scope| {
            // Pieces that come while the disk is busy are written together.
            let (wake, woken) = sync_channel(1);
            let writing = thread::Builder::new().name("plywood-sync".into());
            let writing =
                writing.spawn_scoped(scope, || woken.into_iter().try_for_each(|()| self.sync(&staged.cache_id)));
            let on_piece = || {
                let _ = wake.try_send(());
            };
            let applied = self.with_tar_split(staged, |tar_split| make(tar_split, &on_piece));
            drop(wake);
            // An error of the disk is told once.
            writing.map_or(Ok(Ok(())), thread::ScopedJoinHandle::join).unwrap_or(Ok(()))?;
            applied
        })
    }

    fn with_tar_split(
        &self,
        staged: &StagedLayer,
        make: impl FnOnce(&mut dyn Write) -> Result<Applied>,
    ) -> Result<Applied> {
        use std::os::unix::fs::PermissionsExt as _;
        let path = staged.write_set()?.join(TAR_SPLIT);
        let attempt = || format!("write {path:?}");
        let file = File::create_new(&path).attempt(attempt)?;
        file.set_permissions(std::fs::Permissions::from_mode(0o644)).attempt(attempt)?;
        let mut tar_split = BufWriter::new(file);
        let applied = make(&mut tar_split)?;
        tar_split.flush().attempt(attempt)?;
        Ok(applied)
    }

    /// Puts the record of a finished layer in place: from then on the layer exists.
    fn publish(&self, mut staged: StagedLayer, applied: Applied) -> Result<Imported> {
        let chain_id = ChainId::of(staged.parent.as_ref(), &applied.diff_id);
        let layer = Layer {
            chain_id,
            diff_id: applied.diff_id,
            parent: staged.parent.clone(),
            cache_id: staged.cache_id.clone(),
            size: applied.size,
        };
        let target = self.root().chain_dir(&layer.chain_id);
        let write_set = staged.write_set()?;
        staged.note(&layer.chain_id)?;
        loop {
            if let Some(existing) = self.get(&layer.chain_id)? {
                return Ok(Imported::known(existing));
            }
            self.driver().seal(&layer.cache_id)?;
            // The file system is synced as a whole just below.
            metadata::write_layer(&write_set, &layer, Durability::Fast)?;
            self.sync(&layer.cache_id)?;
            // If someone else was first and their layer is removed before it is read, it is our turn after all.
            if atomic::publish(&write_set, &target, self.root().durability())? {
                return Ok(staged.publish(layer));
            }
        }
    }

    /// Makes everything that was written survive a loss of power, where the store does; the layer tells the file system.
    pub(super) fn sync(&self, id: &CacheId) -> Result<()> {
        if self.root().durability() == Durability::Fast {
            return Ok(());
        }
        let attempt = || format!("sync {:?}", self.root().path());
        // Not the layer's own: that may let nobody but its owner in.
        let directory = sys::fs::open_directory(&self.root().layer_dir(id)).attempt(attempt)?;
        sys::fs::sync_file_system(directory).attempt(attempt)
    }

    /// Writes the tar of a layer, byte for byte the one its DiffID is the digest of.
    ///
    /// # Errors
    /// `Corrupt` if the layer's files no longer give that tar.
    pub(crate) fn tar(&self, layer: &Layer, out: &mut dyn Write) -> Result<()> {
        let diff = self.driver().files(&layer.cache_id)?;
        let path = self.root().chain_dir(&layer.chain_id).join(TAR_SPLIT);
        let mut out = Hashing { out, digester: Digester::new() };
        match File::open(&path) {
            Ok(file) => {
                archive::relay(&mut out, |out| archive::reassemble(&mut BufReader::new(file), &diff, out))?;
            }
            // Others may have left it out; for a layer of ours the tar follows from the files.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let options = self.apply_options(Limits::default());
                let base = self.base(layer.parent())?;
                archive::relay(&mut out, |out| {
                    archive::digest_layer(&diff, base.as_deref(), &mut io::sink(), Some(out), &options).map(drop)
                })?;
            }
            Err(error) => return Err(error).attempt(|| format!("open {path:?}")),
        }
        let digest = DiffId::from(out.digester.finish());
        if digest == layer.diff_id {
            Ok(())
        } else {
            Err(Mismatch::Altered { layer: layer.diff_id.clone(), diff }.into())
        }
    }
}

/// Passes bytes on and digests them.
struct Hashing<'a> {
    out: &'a mut dyn Write,
    digester: Digester,
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.digester.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[derive(Debug, thiserror::Error)]
enum Mismatch {
    #[error("import layer {expected}: the content has the digest {found}")]
    Digest { expected: DiffId, found: DiffId },
    #[error("read layer {layer}: the files in {diff:?} were changed since it was made")]
    Altered { layer: DiffId, diff: PathBuf },
}

impl Fault for Mismatch {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Corrupt
    }
    fn path(&self) -> Option<&Path> {
        match self {
            Mismatch::Altered { diff, .. } => Some(diff),
            Mismatch::Digest { .. } => None,
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            Mismatch::Altered { .. } => Some("remove the image and build or load it again".to_owned()),
            Mismatch::Digest { .. } => None,
        }
    }
}
