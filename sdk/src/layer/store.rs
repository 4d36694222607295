//! The layer store: read-only layers, by ChainID.
//!
//! ```text
//! image/overlay2/layerdb/sha256/<chain-id>/
//! ├── diff                DiffID of this layer
//! ├── parent              ChainID of the layer below; absent for the lowest
//! ├── cache-id            directory under overlay2/
//! ├── size                bytes, decimal
//! └── tar-split.json.gz   what is needed to rebuild its tar from overlay2/<cache-id>/diff
//! ```
//!
//! A layer exists once this directory has been renamed into place; by then its files are complete and, where the store
//! is durable, on the disk. Readers need no lock. Of several who publish the same layer, one wins and all get its layer.
//!
//! Removal goes the other way: the directory is renamed to `<chain-id>-<random>-removing`, as dockerd does and finishes,
//! then the files go, then the directory. [`Lock::Layers`] is held where a layer gets a new user and where the users are
//! counted, so that nobody removes what another has just begun to build on.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::known::{Known, Stamp};
use super::staged::StagedLayer;
use super::view::View;
use super::{Layer, MAX_DEPTH, metadata, sweep};
use crate::archive::{ApplyOptions, Form, Limits, Ownership, XattrKind};
use crate::data_root::{DataRoot, InFlight, Lock, atomic, journal};
use crate::driver::{self, Driver};
use crate::error::{Attempt as _, ErrorKind, Fault, Result};
use crate::spec::digest::{ChainId, DiffId};
use crate::spec::id::{CacheId, ContainerId, random_hex64};

/// The layers of one data root. Cloning is cheap.
#[derive(Debug, Clone)]
pub(crate) struct LayerStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root: DataRoot,
    driver: Box<dyn Driver>,
    undecided: Mutex<Vec<InFlight>>,
    known: Known,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let undecided = self.undecided.get_mut().unwrap_or_else(PoisonError::into_inner);
        undecided.drain(..).for_each(InFlight::abandon);
    }
}

impl LayerStore {
    /// Opens the store and removes what processes that ended in the middle have left.
    ///
    /// # Errors
    /// Those of the driver that names the root's directories.
    pub(crate) fn open(root: &DataRoot) -> Result<Self> {
        let (root, driver) = (root.clone(), driver::open(root)?);
        let store = Self(Arc::new(Inner { root, driver, undecided: Mutex::default(), known: Known::default() }));
        *store.undecided() = sweep::sweep(&store)?;
        Ok(store)
    }

    /// The journal's entries of layers that processes published before they ended in the middle. Whether an image has
    /// come to use them, this store cannot say.
    ///
    /// They are handed over and not locked anew: see [`DataRoot::abandoned`].
    pub(crate) fn take_undecided(&self) -> Vec<InFlight> {
        std::mem::take(&mut *self.undecided())
    }

    /// Whether there are none of these.
    pub(crate) fn is_decided(&self) -> bool {
        self.undecided().is_empty()
    }

    fn undecided(&self) -> MutexGuard<'_, Vec<InFlight>> {
        self.0.undecided.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The data root the layers lie in.
    pub(crate) fn root(&self) -> &DataRoot {
        &self.0.root
    }

    /// The storage driver.
    pub(crate) fn driver(&self) -> &dyn Driver {
        &*self.0.driver
    }

    /// The namespace of overlay's extended attributes in this store.
    pub(crate) fn xattrs(&self) -> XattrKind {
        self.driver().xattrs()
    }

    /// How layers are written into this store: an ordinary user without further ids owns all files.
    pub(crate) fn apply_options(&self, limits: Limits) -> ApplyOptions {
        ApplyOptions {
            form: self.driver().form(),
            xattrs: self.xattrs(),
            ownership: Ownership::of_this_process(),
            limits,
        }
    }

    // ---- reading

    /// The layer on top of the stack `chain`; `None` if the store does not have it.
    ///
    /// # Errors
    /// `Corrupt` if its record is damaged.
    pub(crate) fn get(&self, chain: &ChainId) -> Result<Option<Layer>> {
        metadata::read_layer(&self.root().chain_dir(chain), chain)
    }

    /// The same of a layer whose digests are known, as an image's are from its configuration.
    pub(crate) fn get_known(&self, parent: Option<&ChainId>, diff_id: &DiffId) -> Result<Option<Layer>> {
        let chain = ChainId::of(parent, diff_id);
        metadata::read_known(&self.root().chain_dir(&chain), &chain, parent.cloned(), diff_id.clone())
    }

    /// Every layer with a sound record, in no order.
    pub(crate) fn list(&self) -> Result<Vec<Layer>> {
        let mut layers = Vec::new();
        for chain in self.chains()? {
            match self.get(&chain) {
                Ok(layer) => layers.extend(layer),
                Err(error) => tracing::debug!(layer = %chain, %error, "a layer is skipped"),
            }
        }
        Ok(layers)
    }

    /// The layers of a stack, the top one first.
    ///
    /// # Errors
    /// `NotFound` if `top` is not in the store, `Corrupt` if one below is not.
    pub(crate) fn stack(&self, top: Option<&ChainId>) -> Result<Vec<Layer>> {
        let Some(top) = top else { return Ok(Vec::new()) };
        let stamp = Stamp::of(&self.root().chain_dir(top));
        if let Some(known) = stamp.and_then(|stamp| self.0.known.get(top, stamp)) {
            return Ok(known.to_vec());
        }
        let layers = self.read_stack(Some(top))?;
        if let Some(stamp) = stamp {
            self.0.known.put(top, stamp, &layers);
        }
        Ok(layers)
    }

    /// The same, and never from memory.
    pub(crate) fn read_stack(&self, top: Option<&ChainId>) -> Result<Vec<Layer>> {
        let mut layers: Vec<Layer> = Vec::new();
        let mut next = top.cloned();
        while let Some(chain) = next {
            let layer = self.get(&chain)?.ok_or_else(|| match layers.last() {
                None => Refusal::Missing { chain: chain.clone() },
                Some(above) => Refusal::Gap { above: above.chain_id.clone(), chain: chain.clone() },
            })?;
            next = layer.parent.clone();
            layers.push(layer);
            if layers.len() > MAX_DEPTH {
                return Err(Refusal::TooDeep.into());
            }
        }
        Ok(layers)
    }

    /// The directories that, mounted over each other, show the stack; the top one first.
    pub(crate) fn lowers(&self, top: Option<&ChainId>) -> Result<Vec<PathBuf>> {
        let ids: Vec<CacheId> = self.stack(top)?.into_iter().map(|layer| layer.cache_id).collect();
        self.driver().lowers(&ids)
    }

    /// The program that mounts them, where it is not the kernel.
    pub(crate) fn program(&self) -> Option<&Path> {
        self.driver().program()
    }

    /// The tree that a layer above `parent` begins as a copy of; `None` if it begins empty.
    pub(super) fn base(&self, parent: Option<&ChainId>) -> Result<Option<PathBuf>> {
        match self.driver().form() {
            Form::Changes => Ok(None),
            Form::Whole => Ok(self.lowers(parent)?.pop()),
        }
    }

    /// The merged file system of a stack.
    pub(crate) fn view(&self, top: Option<&ChainId>) -> Result<View> {
        Ok(View::new(self.lowers(top)?, self.xattrs()))
    }

    /// The merged file system of a layer in the making and of those below it, as a process in it would see it.
    pub(crate) fn view_of(&self, staged: &StagedLayer) -> Result<View> {
        match self.driver().form() {
            Form::Changes => self.view_with_upper(staged.parent.as_ref(), staged.diff()),
            Form::Whole => Ok(View::new(vec![staged.diff().to_owned()], self.xattrs())),
        }
    }

    /// The merged file system of a stack with `upper` over it, as a process in it would see it.
    pub(crate) fn view_with_upper(&self, top: Option<&ChainId>, upper: &Path) -> Result<View> {
        let mut directories = vec![upper.to_owned()];
        directories.extend(self.lowers(top)?);
        Ok(View::new(directories, self.xattrs()))
    }

    // ---- writing

    /// Begins a layer above `parent`.
    ///
    /// # Errors
    /// `NotFound` if the store lacks `parent`, `LimitExceeded` if it is the last that fits.
    pub(crate) fn stage(&self, parent: Option<&ChainId>) -> Result<StagedLayer> {
        let cache_id = CacheId::random()?;
        let (entry, below) = self.register(&cache_id, parent)?;
        if below.len() >= MAX_DEPTH {
            return Err(Refusal::TooDeep.into());
        }
        StagedLayer::new(self, cache_id, parent.cloned(), entry, below.first().map(|layer| &layer.cache_id))
    }

    /// Notes in the journal that `id` is made above `parent`, which nobody removes from then on; gives the stack.
    pub(super) fn register(&self, id: &CacheId, parent: Option<&ChainId>) -> Result<(InFlight, Vec<Layer>)> {
        let _held = self.root().lock(Lock::Layers)?;
        let below = self.stack(parent)?;
        let mut entry = self.root().in_flight(id.as_str(), Duration::ZERO)?;
        if let Some(parent) = parent {
            entry.note(parent.as_str())?;
        }
        Ok((entry, below))
    }

    /// Keeps the layer from being removed until the result is dropped, as a container or a further layer would.
    pub(crate) fn pin(&self, chain: &ChainId) -> Result<InFlight> {
        let _held = self.root().lock(Lock::Layers)?;
        self.stack(Some(chain))?;
        self.root().pin(chain.as_str())
    }

    // ---- removal

    /// Removes a layer. Whether an image needs it, the caller knows.
    ///
    /// # Errors
    /// `NotFound` if there is none, `InUse` if a further layer, a container or a build stands on it.
    pub(crate) fn remove(&self, chain: &ChainId) -> Result<()> {
        let directory = self.root().chain_dir(chain);
        let doomed = {
            let _held = self.root().lock(Lock::Layers)?;
            if !directory.exists() {
                return Err(Refusal::Missing { chain: chain.clone() }.into());
            }
            if let Some(user) = self.user_of(chain)? {
                return Err(Refusal::Used { chain: chain.clone(), user }.into());
            }
            let random = random_hex64().attempt(|| "read random bytes")?;
            let doomed = self.root().chains_dir().join(format!("{}-{random}-removing", chain.hex()));
            std::fs::rename(&directory, &doomed).attempt(|| format!("remove {directory:?}"))?;
            // Before its files go: a record that comes back with the power would lead to nothing.
            let chains = self.root().chains_dir();
            atomic::sync_directory(&chains, self.root().durability()).attempt(|| format!("sync {chains:?}"))?;
            doomed
        };
        self.finish_removal(&doomed)
    }

    /// Removes the files of a layer whose record is renamed for removal, then the record.
    pub(super) fn finish_removal(&self, doomed: &Path) -> Result<()> {
        for cache_id in [metadata::read_cache_id(doomed)?, metadata::read_shared_init(doomed)?].into_iter().flatten() {
            self.driver().remove(&cache_id)?;
        }
        self.root().discard(doomed)
    }

    /// What stands on the layer: the words for a message.
    fn user_of(&self, chain: &ChainId) -> Result<Option<String>> {
        for other in self.chains()? {
            // A damaged record cannot tell; what it might stand on is not removed under it.
            match self.get(&other) {
                Ok(Some(layer)) if layer.parent.as_ref() == Some(chain) => {
                    return Ok(Some(format!("layer {}", other.short())));
                }
                Ok(_) => {}
                Err(error) => tracing::debug!(layer = %other, %error, "a layer is skipped"),
            }
        }
        for name in directory_names(&self.root().mounts_dir())? {
            let Ok(container) = ContainerId::parse(&name) else { continue };
            if metadata::read_mount(&self.root().layer_mounts(&container))?
                .is_some_and(|record| record.parent.as_ref() == Some(chain))
            {
                return Ok(Some(format!("container {}", container.short())));
            }
        }
        let notes = self.root().in_flight_notes()?;
        let entry = notes.iter().find(|(_, note)| note.lines().next() == Some(chain.as_str()));
        Ok(entry.map(|(name, _)| match journal::owned(name) {
            Some(container) => format!("container {}", container.short()),
            None => "a layer or container that is being made".to_owned(),
        }))
    }

    /// The ChainIDs that have a record, sound or not.
    pub(super) fn chains(&self) -> Result<Vec<ChainId>> {
        let names = directory_names(&self.root().chains_dir())?;
        // Others are on their way out, or not ours.
        Ok(names.iter().filter_map(|name| ChainId::parse(&format!("sha256:{name}")).ok()).collect())
    }
}

/// The names in a directory, in order.
pub(super) fn directory_names(directory: &Path) -> Result<Vec<String>> {
    let read = || -> io::Result<Vec<String>> {
        std::fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    };
    let mut names = read().attempt(|| format!("read directory {directory:?}"))?;
    names.sort_unstable();
    Ok(names)
}

#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("use layer {chain}: the store does not have it")]
    Missing { chain: ChainId },
    #[error("use layer {above}: the store lacks layer {chain} below it")]
    Gap { above: ChainId, chain: ChainId },
    #[error("add a layer: an image has at most {MAX_DEPTH} layers")]
    TooDeep,
    #[error("remove layer {chain}: {user} stands on it")]
    Used { chain: ChainId, user: String },
}

impl Fault for Refusal {
    fn kind(&self) -> ErrorKind {
        match self {
            Refusal::Missing { .. } => ErrorKind::NotFound,
            Refusal::Gap { .. } => ErrorKind::Corrupt,
            Refusal::TooDeep => ErrorKind::LimitExceeded,
            Refusal::Used { .. } => ErrorKind::InUse,
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            Refusal::TooDeep => Some("join several RUN or COPY instructions into one".to_owned()),
            Refusal::Gap { .. } => Some("remove the image and build or load it again".to_owned()),
            _ => None,
        }
    }
}
