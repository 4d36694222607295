//! Layers: records, names and files.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::{Check, Object, Problem, names};
use crate::archive::Form;
use crate::error::{Attempt as _, ErrorKind, Result};
use crate::layer::Layer;
use crate::spec::digest::ChainId;
use crate::spec::id::CacheId;
use crate::sys::within::{ENTER, within};

/// What the overlay2 driver has beside its layers.
const LINKS: &str = "l";

impl Check<'_> {
    pub(super) fn layers(&mut self) -> Result<()> {
        let root = self.store.root();
        let parse = |name: &str| ChainId::parse(&format!("sha256:{name}")).ok();
        // Those that are on their way out are nobody's business.
        let chains = self.entries(&root.chains_dir(), |name| match name.ends_with("-removing") {
            true => Some(None),
            false => parse(name).map(Some),
        })?;
        let mut layers = Vec::new();
        for chain in chains.into_iter().flatten() {
            layers.extend(self.layer(&chain)?);
        }
        // The names of a layer are made of those below.
        layers.sort_by_key(|(_, below)| below.len());
        for (layer, below) in &layers {
            self.names_of(Object::Layer, layer.chain_id().as_str(), layer.cache_id(), below)?;
        }
        self.unreferenced()
    }

    /// Checks the record of a layer; gives the layer and the directories below it if it can be used.
    fn layer(&mut self, chain: &ChainId) -> Result<Option<(Layer, Vec<CacheId>)>> {
        let (store, name) = (self.store.layers(), chain.as_str());
        let directory = self.store.root().chain_dir(chain);
        if !self.is_directory(Object::Layer, name, &directory) {
            return Ok(None);
        }
        let read = self.read(Object::Layer, name, &directory, store.get(chain))?;
        let Some(layer) = read.flatten() else { return Ok(None) };
        let own = self.store.root().layer_dir(layer.cache_id());
        let files = store.driver().files(layer.cache_id())?;
        let is_there =
            (own == files || self.is_directory(Object::Layer, name, &own)) && self.is_tree(Object::Layer, name, &files);
        if !store.is_reproducible(&layer) {
            self.note(Object::Layer, name, &directory, Problem::Irreproducible);
        }
        match store.read_stack(layer.parent()) {
            Ok(below) => {
                let below = below.iter().map(|layer| layer.cache_id().clone()).collect();
                Ok(is_there.then_some((layer, below)))
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Corrupt | ErrorKind::LimitExceeded) =>
            {
                let parent = layer.parent().map(ToString::to_string).unwrap_or_default();
                self.note(Object::Layer, name, &directory, Problem::Missing(format!("layer {parent} below it")));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Checks the names by which Docker mounts a layer.
    pub(super) fn names_of(&mut self, object: Object, name: &str, id: &CacheId, below: &[CacheId]) -> Result<()> {
        let driver = self.store.layers().driver();
        let directory = self.store.root().layer_dir(id);
        let are_sound = self.read(object, name, &directory, driver.names_are_sound(id, below))?;
        if are_sound != Some(true) {
            self.mend(object, name, &directory, Problem::Names, || driver.restore_names(id, below));
        }
        Ok(())
    }

    /// Finds directories of layers that no record names, and names that lead to no directory.
    fn unreferenced(&mut self) -> Result<()> {
        let home = self.store.root().layers_dir();
        let known = self.store.layers().directories()?;
        let in_flight: HashSet<String> = self.store.root().entries()?.into_iter().collect();
        let is_known = |name: &str| {
            let id = CacheId::parse(name).ok();
            // Of a layer in the making, and of a guard, the journal knows the name; its init layer goes with it.
            let plain = name.strip_suffix("-init").unwrap_or(name);
            let is_in_flight = in_flight.contains(plain) || in_flight.contains(&format!("owner-{plain}"));
            name == LINKS || is_in_flight || id.is_some_and(|id| known.contains(&id))
        };
        let unknown = names(&home)?.into_iter().filter(|name| !is_known(name)).collect();
        self.unknown(&home, unknown);
        for path in self.store.layers().driver().dangling_names()? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            self.mend(Object::Directory, &name, &path, Problem::Dangling, || {
                std::fs::remove_file(&path).attempt(|| format!("remove {path:?}"))
            });
        }
        Ok(())
    }

    /// Compares the files of every layer with its digest and its size.
    pub(super) fn contents(&mut self) -> Result<()> {
        let store = self.store.layers();
        for layer in store.list()? {
            let directory = self.store.root().chain_dir(layer.chain_id());
            let diff = store.driver().files(layer.cache_id())?;
            // One that is gone meanwhile is no loss, and one with a gap below it is noted already.
            let _pin = store.pin(layer.chain_id());
            if !directory.exists() || !diff.is_dir() {
                continue;
            }
            let name = layer.chain_id().as_str();
            let read = store.tar(&layer, &mut std::io::sink());
            if self.read(Object::Layer, name, &diff, read)?.is_none() {
                continue;
            }
            let recorded = store.recorded_size(&layer)?;
            let actual = match store.driver().form() {
                Form::Changes => {
                    within(|| size_of_files(&diff)).attempt(|| ENTER)?.attempt(|| format!("read {diff:?}"))?
                }
                // A tree holds the layers below, too: the record is believed, if it is a number at all.
                Form::Whole => match recorded.trim().parse() {
                    Ok(size) => size,
                    Err(_) => {
                        let why = format!("its record says {recorded:?} for its size");
                        self.note(Object::Layer, name, &directory, Problem::Damaged(why));
                        continue;
                    }
                },
            };
            // Docker does not take a line end for part of a number.
            if recorded != actual.to_string() {
                let problem = Problem::Size { recorded, actual };
                self.mend(Object::Layer, name, &directory, problem, || store.record_size(&layer, actual));
            }
        }
        Ok(())
    }
}

/// The size of a layer as Docker counts it: everything but directories, each hard-linked file once.
fn size_of_files(tree: &Path) -> std::io::Result<u64> {
    let mut linked = HashSet::new();
    let mut pending = vec![tree.to_owned()];
    let mut bytes = 0;
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                pending.push(entry.path());
            } else if metadata.nlink() == 1 || linked.insert((metadata.dev(), metadata.ino())) {
                bytes += metadata.len();
            }
        }
    }
    Ok(bytes)
}
