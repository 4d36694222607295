//! Writable layers above that of a frozen container, which nobody writes to any more.
//!
//! ```text
//! fork:    <mount-id> ─┐
//! fork:    <mount-id> ─┴▶ <mount-id> of the frozen one ─▶ its init layer ─▶ the image's layers
//! ```
//!
//! Nothing is copied, and no digest is computed: the frozen layer has no record in `layerdb/sha256`, where Docker would look
//! for its digest; for Docker it is the layer of a container that does not run. A fork that is a guard needs no init layer of
//! its own; one that is to stay gets it, as every other, and Docker's names of directories lead through the frozen layer.

use std::path::Path;

use super::store::{LayerStore, directory_names};
use super::view::{NodeKind, View};
use super::writable::WritableLayer;
use super::{MAX_DEPTH, attributes, metadata};
use crate::archive::{Form, is_overlay_state};
use crate::data_root::{InFlight, Lock, atomic, journal};
use crate::error::{Attempt as _, ErrorKind, Fault, Result};
use crate::layer::metadata::MountRecord;
use crate::spec::id::{CacheId, ContainerId};
use crate::sys;
use crate::sys::within::{ENTER, within};

impl LayerStore {
    /// Makes the writable layer of a guard above that of the container `frozen`, as
    /// [`create_writable`](Self::create_writable) does above an image.
    ///
    /// A frozen one that is to stay has a record; only its owner asks for one that is a guard.
    ///
    /// # Errors
    /// `NotFound` if the frozen container is gone, `LimitExceeded` if too many stand on each other.
    pub(crate) fn fork_writable(
        &self,
        container: &ContainerId,
        frozen: &ContainerId,
        is_guard: bool,
        owner: &mut InFlight,
    ) -> Result<WritableLayer> {
        let (record, below) = {
            // Whoever removes the frozen one looks for its forks under the same lock, and takes its record away.
            let _held = self.root().lock(Lock::Layers)?;
            let recorded = metadata::read_mount(&self.root().layer_mounts(frozen))?;
            let base = if is_guard { self.record(frozen)? } else { recorded };
            let base = base.ok_or_else(|| Refusal::Gone { frozen: frozen.clone() })?;
            let parent = base.parent.as_ref().map(|chain| chain.as_str()).unwrap_or_default();
            owner.note(&format!("{parent}\n{frozen}"))?;
            let (mount_id, fork_of) = (CacheId::from(container), Some(frozen.clone()));
            let record = MountRecord { mount_id, init_id: None, parent: base.parent, fork_of };
            let below = self.below(&record)?;
            (record, below)
        };
        let Some(top) = below.first() else { return Err(Refusal::Gone { frozen: frozen.clone() }.into()) };
        match self.driver().create_unnamed(&record.mount_id, top) {
            Ok(()) => self.layer_of(record, below),
            Err(error) => Err(match self.remove_directories(&record) {
                Ok(()) => error,
                Err(failure) => error.with_clean_up(failure),
            }),
        }
    }

    /// The directories below a container's own and its init layer, top first.
    pub(super) fn below(&self, record: &MountRecord) -> Result<Vec<CacheId>> {
        let mut below = Vec::new();
        let (mut parent, mut fork_of) = (record.parent.clone(), record.fork_of.clone());
        while let Some(frozen) = fork_of {
            let base = self.record(&frozen)?.ok_or_else(|| Refusal::Gone { frozen: frozen.clone() })?;
            below.push(base.mount_id);
            below.extend(base.init_id);
            (parent, fork_of) = (base.parent, base.fork_of);
            if below.len() > MAX_DEPTH {
                return Err(Refusal::TooDeep.into());
            }
        }
        below.extend(self.stack(parent.as_ref())?.into_iter().map(|layer| layer.cache_id));
        // Its own directory and its init layer come on top, and a page of mount options holds no more short names.
        match below.len() > MAX_DEPTH && record.fork_of.is_some() {
            true => Err(Refusal::TooDeep.into()),
            false => Ok(below),
        }
    }

    /// The same of a container by its ID; nothing if it has no layer.
    pub(crate) fn below_container(&self, container: &ContainerId) -> Result<Vec<CacheId>> {
        self.record(container)?.map_or_else(|| Ok(Vec::new()), |record| self.below(&record))
    }

    /// The frozen container that a container stands on.
    pub(crate) fn fork_of(&self, container: &ContainerId) -> Result<Option<ContainerId>> {
        Ok(self.record(container)?.and_then(|record| record.fork_of))
    }

    /// Says that the layer of a container, which is there to stay, will not change any more.
    pub(crate) fn seal_writable(&self, container: &ContainerId) -> Result<()> {
        self.record(container)?.map_or(Ok(()), |record| self.driver().seal(&record.mount_id))
    }

    /// Lets nobody fork the container any more. Doing it again is fine.
    ///
    /// # Errors
    /// `InUse` if a container stands on it.
    pub(crate) fn retire(&self, frozen: &ContainerId) -> Result<()> {
        let _held = self.root().lock(Lock::Layers)?;
        if let Some(fork) = self.forks_of(frozen)?.into_iter().next() {
            return Err(Refusal::Forked { fork }.into());
        }
        self.root().discard(&self.root().layer_mounts(frozen))
    }

    /// The containers that stand on a frozen one.
    pub(crate) fn forks_of(&self, frozen: &ContainerId) -> Result<Vec<ContainerId>> {
        let mut forks = Vec::new();
        for name in directory_names(&self.root().mounts_dir())? {
            let Ok(id) = ContainerId::parse(&name) else { continue };
            // A damaged record tells nothing, and is for `fsck` to find.
            let record = metadata::read_mount(&self.root().layer_mounts(&id)).ok().flatten();
            forks.extend(record.filter(|record| record.fork_of.as_ref() == Some(frozen)).map(|_| id));
        }
        for (name, note) in self.root().in_flight_notes()? {
            let stands_on_it = note.lines().nth(1) == Some(frozen.as_str());
            forks.extend(journal::owned(&name).filter(|_| stands_on_it));
        }
        Ok(forks)
    }

    /// Makes `data` what the layer has at `target`, an absolute path of the container, and hides what is below it there.
    /// The directory is moved; where a layer is a volume of its own, it is copied, and shares its blocks.
    pub(crate) fn graft(&self, layer: &WritableLayer, target: &str, data: &Path) -> Result<()> {
        within(|| self.graft_here(layer, target, data)).attempt(|| ENTER)?
    }

    fn graft_here(&self, layer: &WritableLayer, target: &str, data: &Path) -> Result<()> {
        let merged = View::new(layer.stack(), self.xattrs());
        // Where links of the image lead, as at the mount.
        let path = merged.resolve(target)?.map_or_else(|| target.to_owned(), |node| node.path);
        let inside = |path: &str| layer.upper.join(path.trim_start_matches('/'));
        let ends = path.match_indices('/').skip(1).map(|(end, _)| &path[..end]);
        for above in ends.filter(|above| !inside(above).is_dir()) {
            let directory = inside(above);
            let node = merged.lookup(above)?.filter(|node| matches!(node.kind, NodeKind::Dir));
            atomic::create_directory(&directory, 0o755)?;
            node.map_or(Ok(()), |node| attributes::copy(&node, &directory))?;
        }
        let place = inside(&path);
        let attempt = || format!("move {data:?} to {place:?}");
        let directory = sys::fs::open_directory(data).attempt(attempt)?;
        if self.driver().form() == Form::Changes {
            self.xattrs().set_opaque(&directory).attempt(|| format!("make {data:?} opaque"))?;
        }
        // What the mount has covered there since the container was made.
        self.root().discard(&place)?;
        match std::fs::rename(data, &place) {
            // A layer that is a volume of its own.
            Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => {
                atomic::create_directory(&place, 0o700)?;
                let copied = sys::fs::open_directory(&place)
                    .and_then(|place| sys::fs::copy_tree(&directory, &place, |name| !is_overlay_state(name)));
                copied.attempt(attempt)?;
                self.root().discard(data)
            }
            renamed => renamed.attempt(attempt),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("use the files of the frozen container {}: it was removed", frozen.short())]
    Gone { frozen: ContainerId },
    #[error("container {} stands on its files", fork.short())]
    Forked { fork: ContainerId },
    #[error("fork a container: more than {MAX_DEPTH} layers stand on each other")]
    TooDeep,
}

impl Fault for Refusal {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Gone { .. } => ErrorKind::NotFound,
            Self::Forked { .. } => ErrorKind::InUse,
            Self::TooDeep => ErrorKind::LimitExceeded,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Gone { .. } => None,
            Self::Forked { .. } => Some("remove that container first".to_owned()),
            Self::TooDeep => Some("prepare an image with fewer layers, or fork fewer times over".to_owned()),
        }
    }
}
