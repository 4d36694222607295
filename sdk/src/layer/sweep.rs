//! What processes that ended in the middle have left, removed at open.
//!
//! Three sources, each idempotent: records renamed for removal, objects in the journal whose maker is gone, and the
//! trash. Directories that nobody noted belong to others (BuildKit keeps its layers there) and stay.

use std::collections::HashSet;

use super::metadata;
use super::store::{LayerStore, directory_names};
use crate::data_root::InFlight;
use crate::error::Result;
use crate::spec::id::{CacheId, ContainerId};

/// Our own names have this many hexadecimal digits, and no other entry of the journal looks like that.
const CACHE_ID_LENGTH: usize = 64;

/// Removes the leftovers, and gives the entries of layers that are published. Only a store that cannot be read is an error: leftovers that resist are tried again next time.
pub(super) fn sweep(store: &LayerStore) -> Result<Vec<InFlight>> {
    for name in directory_names(&store.root().chains_dir())? {
        if name.ends_with("-removing") {
            report(&name, store.finish_removal(&store.root().chains_dir().join(&name)));
        }
    }
    let abandoned = store.root().abandoned(is_ours)?;
    let mut undecided = Vec::new();
    if !abandoned.is_empty() {
        let published = published(store);
        undecided
            .extend(abandoned.into_iter().filter_map(|(name, entry)| settle(store, &name, entry, published.as_ref())));
    }
    store.root().empty_trash()?;
    Ok(undecided)
}

/// The directories that records name.
#[derive(Default)]
struct Published {
    layers: HashSet<CacheId>,
    writable: HashSet<CacheId>,
}

/// What is published; `None` if a record cannot be read, and so nothing can be called unpublished.
fn published(store: &LayerStore) -> Option<Published> {
    let collect = || -> Result<Published> {
        let mut published = Published::default();
        for name in directory_names(&store.root().chains_dir())? {
            published.layers.extend(metadata::read_cache_id(&store.root().chains_dir().join(name))?);
        }
        for container in store.writable_ids()? {
            if let Some(record) = store.record(&container)? {
                published.writable.extend(record.init_id);
                published.writable.insert(record.mount_id);
            }
        }
        Ok(published)
    };
    report("records", collect())
}

/// Settles one entry of the journal: dropping it removes it. The entries of other modules are left to them.
fn is_ours(name: &str) -> bool {
    ["container-", "init-", "pin-", "import-", "template-", "lease-"].iter().any(|start| name.starts_with(start))
        || cache_id(name).is_some()
}

/// The layer whose entry is called so.
fn cache_id(name: &str) -> Option<CacheId> {
    CacheId::parse(name).ok().filter(|_| name.len() == CACHE_ID_LENGTH)
}

/// Removes what an entry is about, and gives it back if that is not ours to say.
fn settle(store: &LayerStore, name: &str, entry: InFlight, published: Option<&Published>) -> Option<InFlight> {
    let result = if let Some(id) = name.strip_prefix("container-") {
        ContainerId::parse(id).and_then(|id| remove_unfinished_container(store, &id))
    } else if let Some(id) = cache_id(name) {
        match published {
            None => {
                entry.abandon();
                return None;
            }
            Some(published) if published.layers.contains(&id) => return Some(entry),
            Some(published) if published.writable.contains(&id) => store.remove_unused_init(&id),
            Some(_) => remove_unpublished(store, &id),
        }
    } else if let Some(chain) = name.strip_prefix("init-") {
        store.remove_unfinished_init(chain, entry.left())
    } else {
        // A pin is nothing but the entry itself, and so are turns at templates and leases.
        Ok(())
    };
    if report(name, result).is_none() {
        entry.abandon();
    }
    None
}

fn remove_unpublished(store: &LayerStore, id: &CacheId) -> Result<()> {
    store.driver().remove(id)?;
    store.driver().remove(&id.init())?;
    store.root().discard(&store.root().write_set(id))
}

/// A container is created once its configuration is in place; before that, all of it goes.
fn remove_unfinished_container(store: &LayerStore, id: &ContainerId) -> Result<()> {
    if store.root().container_config(id).exists() {
        return Ok(());
    }
    store.remove_writable(id)?;
    store.root().discard(&store.root().container_dir(id))
}

fn report<T>(name: &str, result: Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::warn!(leftover = name, %error, "a leftover of an earlier process could not be removed");
            None
        }
    }
}
