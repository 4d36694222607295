//! What may go at a moment.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::report::Kind;
use super::run::Run;
use crate::container::handle::Handle;
use crate::data_root::used;
use crate::error::{Error, Result};
use crate::image::Image;
use crate::spec::digest::ChainId;
use crate::spec::time::Timestamp;
use crate::volume::Volume;

/// An object that nothing refers to, and that the options let go.
pub(super) struct Candidate {
    pub what: What,
    /// When it was last used, as far as is known.
    pub used: Option<Timestamp>,
}

pub(super) enum What {
    Container(Arc<Handle>),
    Image(Image),
    Volume(Volume),
    Cache(CachePart),
}

/// Files of the build cache, and the layers that they know.
pub(super) struct CachePart {
    pub paths: Vec<PathBuf>,
    pub chains: Vec<ChainId>,
}

impl Run<'_> {
    pub(super) fn candidates(&self, kind: Kind) -> Result<Vec<Candidate>> {
        match kind {
            Kind::Container => self.containers(),
            Kind::Image => self.images(),
            Kind::Volume => self.volumes(),
            Kind::BuildCache => self.build_cache(),
        }
    }

    fn containers(&self) -> Result<Vec<Candidate>> {
        let mut found = Vec::new();
        for id in self.store.ids()? {
            // A snapshot goes after its forks, which may be snapshots themselves.
            let forks = self.store.layers().forks_of(&id)?;
            if self.gone.containers.contains(&id) || !forks.iter().all(|fork| self.gone.containers.contains(fork)) {
                continue;
            }
            let Ok(handle) = self.store.handle(&id) else { continue };
            let Ok((state, _)) = handle.state() else { continue };
            if state.is_running() || !handle.is_free()? {
                continue;
            }
            let Ok(files) = handle.files() else { continue };
            let created = Timestamp::parse(&files.config.created).ok();
            let used = files.config.state.finished().or(created);
            if self.filter.admits(created, used, &files.config.config.labels) {
                found.push(Candidate { what: What::Container(handle), used });
            }
        }
        Ok(found)
    }

    fn images(&self) -> Result<Vec<Candidate>> {
        let users: HashSet<String> = self.kept_configs()?.into_iter().map(|(_, config)| config.image).collect();
        let images = self.kept_images()?;
        let mut parents = HashSet::new();
        for image in &images {
            parents.extend(self.store.images().store().parent(image.id())?);
        }
        let is_free = |image: &Image| {
            (self.options.unused_images || image.references().is_empty())
                && !users.contains(image.id().as_str())
                && !parents.contains(image.id())
        };
        let candidate = |image: Image| {
            let used = used::last(&self.store.root().image_config(image.id()));
            let is_admitted = self.filter.admits(image.created(), used, &image.config().config.labels);
            is_admitted.then_some(Candidate { what: What::Image(image), used })
        };
        Ok(images.into_iter().filter(is_free).filter_map(candidate).collect())
    }

    fn volumes(&self) -> Result<Vec<Candidate>> {
        let configs = self.kept_configs()?;
        let mounted: HashSet<&str> = configs.iter().flat_map(|(_, config)| config.volumes()).collect();
        let candidate = |volume: Volume| {
            let used = used::last(&self.store.root().volume_dir(volume.name()));
            let is_admitted = self.filter.admits(volume.created(), used, volume.labels());
            let may_go = is_admitted
                && (self.options.named_volumes || volume.is_anonymous())
                && !mounted.contains(volume.name().as_str())
                && !self.gone.volumes.contains(volume.name())
                // It goes with its program.
                && self.store.volumes().is_guarded(volume.name()).is_ok_and(|is_guarded| !is_guarded);
            may_go.then_some(Candidate { what: What::Volume(volume), used })
        };
        Ok(self.store.volumes().list()?.into_iter().filter_map(candidate).collect())
    }

    /// The pieces of the build cache: each for itself where they compete, else all of them as one.
    fn build_cache(&self) -> Result<Vec<Candidate>> {
        let mut parts = Vec::new();
        for (path, record) in crate::build::cache::records(self.store.root())? {
            let used = used::last(&path);
            if self.filter.admits_unlabelled(Some(record.created), used) {
                parts.push((CachePart { paths: vec![path], chains: vec![record.chain_id] }, used));
            }
        }
        // What `RUN --mount=type=cache` keeps says not when it was made: it goes where no age is asked for.
        for path in entries(&crate::build::cache::mounts(self.store.root()))? {
            let used = used::last(&path);
            if self.filter.admits_unlabelled(None, used) {
                parts.push((CachePart { paths: vec![path], chains: Vec::new() }, used));
            }
        }
        if self.options.size.is_none() {
            let (mut paths, mut chains) = (Vec::new(), Vec::new());
            for (part, _) in parts {
                paths.extend(part.paths);
                chains.extend(part.chains);
            }
            // With everything goes what cannot be read, too.
            if self.filter.admits_unlabelled(None, None) {
                paths = entries(&self.store.root().build_cache_dir())?;
            }
            parts = vec![(CachePart { paths, chains }, None)];
        }
        parts.iter_mut().for_each(|(part, _)| part.paths.retain(|path| !self.gone.cache.contains(path)));
        parts.retain(|(part, _)| !part.paths.is_empty());
        Ok(parts.into_iter().map(|(part, used)| Candidate { what: What::Cache(part), used }).collect())
    }
}

/// What is in a directory; nothing, if it is not there.
fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let read =
        || -> std::io::Result<Vec<PathBuf>> { std::fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect() };
    match read() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(|error| Error::os(format_args!("read directory {directory:?}"), error)),
    }
}
