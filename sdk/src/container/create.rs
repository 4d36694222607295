//! Creating: files, volumes, writable layer; then one rename.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;

use super::compose::compose;
use super::config::title;
use super::definition::Settings;
use super::events::Action;
use super::files;
use super::handle::Handle;
use super::reaper::Reaper;
use super::store::{CONFIG_FILE, Files, Store, to_json};
use crate::data_root::{Durability, InFlight, atomic};
use crate::error::{Attempt, Error, ErrorKind, Fault, Result};
use crate::image::Image;
use crate::layer::WritableLayer;
use crate::layer::view::View;
use crate::spec::id::ContainerId;
use crate::spec::name::{ContainerName, VolumeName};

/// How often another name is drawn before we give up: with ten thousand names taken, one draw in two still succeeds.
const DRAWS: usize = 64;

#[derive(Debug, thiserror::Error)]
enum CreateFault {
    #[error("the name is taken by container {id}")]
    Taken { id: String },
    #[error("image {reference:?} was removed meanwhile")]
    ImageGone { reference: String },
    #[error("volume {volume:?} is a snapshot, which nobody writes to")]
    Frozen { volume: String },
    #[error("no name is free")]
    NoName,
    #[error("a container of this ID exists")]
    Exists,
}

impl Fault for CreateFault {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Taken { .. } | Self::Exists => ErrorKind::AlreadyExists,
            Self::Frozen { .. } => ErrorKind::InvalidArgument,
            Self::ImageGone { .. } => ErrorKind::NotFound,
            Self::NoName => ErrorKind::Unavailable,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Taken { .. } => Some("remove that container or choose another name".to_owned()),
            Self::Frozen { .. } => Some("mount a fork of it".to_owned()),
            _ => None,
        }
    }
}

/// An error of ours with what was attempted before it, and everything a caller can act on kept.
#[derive(Debug, thiserror::Error)]
#[error("{attempt}: {error}")]
struct Attempted {
    attempt: String,
    error: Error,
}

impl Fault for Attempted {
    fn kind(&self) -> ErrorKind {
        self.error.kind()
    }

    fn path(&self) -> Option<&Path> {
        self.error.path()
    }

    fn hint(&self) -> Option<String> {
        self.error.hint().map(ToOwned::to_owned)
    }

    fn exit_code(&self) -> Option<u8> {
        self.error.exit_code()
    }
}

/// Puts what was attempted before an error: `start container "db" (postgres:16): …`.
pub(crate) fn attempted(attempt: String, error: Error) -> Error {
    let source = std::error::Error::source(&error).map(ToString::to_string);
    let attempted = Error::from(Attempted { attempt, error });
    match source {
        Some(source) => attempted.with_source(source),
        None => attempted,
    }
}

/// Creates a container. On failure nothing is left of it.
pub(crate) fn create<D>(store: &Store, image: &Image<D>, reference: &str, settings: &Settings) -> Result<Arc<Handle>> {
    let wanted = settings.name.as_deref();
    let title = match wanted {
        Some(name) => format!("create {}", title(name, reference)),
        None => format!("create a container of {reference}"),
    };
    let prepare = || -> Result<_> {
        let name = wanted.map(ContainerName::parse).transpose()?;
        let id = ContainerId::random()?;
        let own_name = name.clone().map_or_else(ContainerName::random, Ok)?;
        let files = compose(&id, &own_name, image, reference, store.root().driver(), settings)?;
        Ok((id, name, files))
    };
    let layer = |id: &ContainerId, files: &Files, owner: &mut InFlight| {
        hold_image(store, image, &files.config.config.image)?;
        store.layers().create_writable(id, image.chain_id(), owner)
    };
    let handle =
        prepare().and_then(|prepared| make(store, prepared, layer)).map_err(|error| attempted(title, error))?;
    if let Some(network) = &settings.network.network {
        let _ = handle.sockets.network.set(network.clone());
    }
    Ok(handle)
}

/// Everything about a container of this image that does not differ from one to the next, as text.
pub(crate) fn describe<D>(store: &Store, image: &Image<D>, settings: &Settings) -> Result<String> {
    let id = ContainerId::parse(&"0".repeat(64))?;
    let mut files = compose(&id, &ContainerName::parse("any")?, image, "", store.root().driver(), settings)?;
    for mount in files.config.mount_points.values_mut().filter(|mount| mount.is_anonymous_volume()) {
        mount.name.clear();
    }
    let parts =
        (&files.config.image, files.config.argv(), &files.config.config, &files.config.mount_points, &files.host);
    Ok(String::from_utf8_lossy(&to_json(&parts)?).into_owned())
}

/// Makes what was prepared, with the writable layer that `layer` makes.
pub(super) fn make(
    store: &Store,
    (id, name, mut files): (ContainerId, Option<ContainerName>, Files),
    layer: impl FnOnce(&ContainerId, &Files, &mut InFlight) -> Result<WritableLayer>,
) -> Result<Arc<Handle>> {
    let mut owner = store.own(&id)?;
    let reaper = Reaper::of_guard(store, &id, &files.config, &owner);
    match build(store, &id, name.as_ref(), &mut owner, &mut files, layer) {
        Ok(writable) => {
            store.mark_used(&files.config);
            let handle = Handle::owned(store, id, files, writable, owner, reaper);
            handle.tell(Action::Create);
            Ok(handle)
        }
        Err(error) => Err(give_up(store, &id, owner, error)),
    }
}

fn give_up(store: &Store, id: &ContainerId, owner: InFlight, error: Error) -> Error {
    match super::remove::erase(store, id) {
        Ok(()) => error,
        Err(failure) => {
            // Whoever opens the store next tries again.
            owner.hand_over();
            error.with_clean_up(failure)
        }
    }
}

fn build(
    store: &Store,
    id: &ContainerId,
    name: Option<&ContainerName>,
    owner: &mut InFlight,
    files: &mut Files,
    layer: impl FnOnce(&ContainerId, &Files, &mut InFlight) -> Result<WritableLayer>,
) -> Result<WritableLayer> {
    stage(store, id, name, files)?;
    let writable = layer(id, files, owner)?;
    populate(store, files, &writable)?;
    if !atomic::publish(&store.staged(id), &store.root().container_dir(id), Durability::Fast)? {
        return Err(CreateFault::Exists.into());
    }
    Ok(writable)
}

/// Takes the name, writes the files, and makes the volumes; from then on the volumes and the image count as used.
fn stage(store: &Store, id: &ContainerId, name: Option<&ContainerName>, files: &mut Files) -> Result<()> {
    let _held = store.lock_names()?;
    match name {
        Some(name) => claim(store, name)?,
        None => {
            let free = free_name(store, files.config.plain_name())?;
            files.config.name = format!("/{free}");
        }
    }
    let directory = store.staged(id);
    atomic::create_directory(&directory, 0o710)?;
    // Whoever looks for the users of an image or a volume reads it at any moment.
    let (unfinished, config) = (directory.join(".tmp-config.v2.json"), directory.join(CONFIG_FILE));
    write(&unfinished, &to_json(&files.config)?, 0o600)?;
    fs::rename(&unfinished, &config).attempt(|| format!("rename {unfinished:?} to {config:?}"))?;
    write(&directory.join("hostconfig.json"), &to_json(&files.host)?, 0o644)?;
    if let Some(record) = &files.record {
        write(&directory.join("plywood.json"), &to_json(record)?, 0o600)?;
        let contents = files::contents(record.network, &files.config.config.hostname, &files.host);
        for ((file, _), content) in files::MOUNTED.iter().zip(contents) {
            write(&directory.join(file), content.as_bytes(), 0o644)?;
        }
    }
    for mount in files.config.mount_points.values().filter(|mount| mount.is_volume()) {
        let name = VolumeName::parse(&mount.name)?;
        let volume = match mount.is_anonymous_volume() {
            true => store.volumes().get_or_create_anonymous(&name)?,
            false => store.volumes().get_or_create(&name)?,
        };
        if volume.is_snapshot() {
            return Err(CreateFault::Frozen { volume: mount.name.clone() }.into());
        }
    }
    Ok(())
}

/// Refuses a name that a container has, unless that container's program is dead.
fn claim(store: &Store, name: &ContainerName) -> Result<()> {
    if store.is_taken(name.as_str())?.is_none() {
        return Ok(());
    }
    store.settle()?;
    match store.is_taken(name.as_str())? {
        None => Ok(()),
        Some(id) => Err(CreateFault::Taken { id: id.short().to_owned() }.into()),
    }
}

fn free_name(store: &Store, first: &str) -> Result<String> {
    let mut name = first.to_owned();
    for _ in 0..DRAWS {
        if store.is_taken(&name)?.is_none() {
            return Ok(name);
        }
        name = ContainerName::random()?.as_str().to_owned();
    }
    Err(CreateFault::NoName.into())
}

/// Makes sure the image is still there. Whoever removes images looks for containers under the same lock, and finds ours.
fn hold_image<D>(store: &Store, image: &Image<D>, reference: &str) -> Result<()> {
    let _held = store.root().lock(crate::data_root::Lock::Store)?;
    if store.images().store().has(image.id()) {
        Ok(())
    } else {
        Err(CreateFault::ImageGone { reference: reference.to_owned() }.into())
    }
}

/// Fills empty volumes with what the image has in their place.
fn populate(store: &Store, files: &Files, writable: &WritableLayer) -> Result<()> {
    if files.config.volumes().next().is_none() {
        return Ok(());
    }
    let view = View::new(writable.below.clone(), store.layers().xattrs());
    for mount in files.config.mount_points.values().filter(|mount| mount.kind == "volume") {
        let name = VolumeName::parse(&mount.name)?;
        if let Some(volume) = store.volumes().get(&name)? {
            store.volumes().populate(&volume, &view, &mount.destination)?;
        }
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let write = || -> io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
        file.write_all(bytes)?;
        // A umask takes from the others, if anything.
        if mode & 0o077 == 0 { Ok(()) } else { file.set_permissions(fs::Permissions::from_mode(mode)) }
    };
    write().attempt(|| format!("write {path:?}"))
}
