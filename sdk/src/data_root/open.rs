//! Opening: recognise, lock, complete, tighten.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Access, AtFlags, CWD};

use super::{DataRoot, Durability, Inner, atomic, interlock, journal, lock};
use crate::error::{Attempt as _, ErrorKind, Fault, Result};

/// What dockerd, plywood and file systems put at the top of a data root.
const TOP: &[&str] = &[
    "aufs",
    "btrfs",
    "builder",
    "buildkit",
    "check-overlayfs-support",
    "containerd",
    "containers",
    "devicemapper",
    "engine-id",
    "fuse-overlayfs",
    "image",
    "lost+found",
    "network",
    "nuke-graph-directory.sh",
    "overlay",
    "overlay2",
    "plugins",
    "rootfs",
    "runtimes",
    "swarm",
    "tmp",
    "tmp-old",
    "trust",
    "vfs",
    "volumes",
    "zfs",
];

/// Docker's storage drivers.
pub(crate) const DRIVERS: [&str; 8] =
    ["overlay2", "fuse-overlayfs", "btrfs", "zfs", "aufs", "overlay", "devicemapper", "vfs"];

/// What they put into `image/`.
const IMAGE: &[&str] = &[
    "aufs",
    "btrfs",
    "devicemapper",
    "fuse-overlayfs",
    "overlay",
    "overlay2",
    "overlayfs",
    "plywood",
    "plywood-cache",
    "plywood.lock",
    "vfs",
    "zfs",
];

/// Every directory of the layout with its mode, parents first. `DRIVER` stands for the driver's name.
const LAYOUT: &[(&str, u32)] = &[
    ("image", 0o700),
    ("image/DRIVER", 0o700),
    ("image/DRIVER/distribution", 0o700),
    ("image/DRIVER/imagedb", 0o700),
    ("image/DRIVER/imagedb/content", 0o700),
    ("image/DRIVER/imagedb/content/sha256", 0o700),
    ("image/DRIVER/imagedb/metadata", 0o700),
    ("image/DRIVER/imagedb/metadata/sha256", 0o700),
    ("image/DRIVER/layerdb", 0o700),
    ("image/DRIVER/layerdb/mounts", 0o755),
    ("image/DRIVER/layerdb/sha256", 0o755),
    ("image/DRIVER/layerdb/tmp", 0o755),
    ("image/plywood", 0o700),
    ("image/plywood/events", 0o700),
    ("image/plywood/in-flight", 0o700),
    ("image/plywood/locks", 0o700),
    ("image/plywood/trash", 0o700),
    ("image/plywood-cache", 0o700),
    ("DRIVER", 0o710),
    ("containers", 0o710),
    ("volumes", 0o701),
];

/// The root's own mode.
const ROOT_MODE: u32 = 0o710;

pub(super) fn open<T>(
    path: &Path,
    durability: Durability,
    choose: impl FnOnce(&Path) -> Result<(&'static str, T)>,
) -> Result<(DataRoot, T)> {
    let path = std::path::absolute(path).attempt(|| format!("open data root {path:?}"))?;
    create(&path)?;
    recognise(&path)?;
    let (driver, chosen) = choose(&path)?;
    // Before anything else is written: a dockerd may be at work here.
    let volumes = path.join("volumes");
    if !volumes.exists() {
        require_writable(&path, &path)?;
        atomic::create_directory(&volumes, 0o701)?;
    }
    let interlock = lock::Locked::new(interlock::take(&path)?);
    tighten(&path, ROOT_MODE)?;
    let layout = LAYOUT.iter().map(|(relative, mode)| (path.join(relative.replace("DRIVER", driver)), *mode));
    for (directory, mode) in layout.chain([(super::layers_dir(&path, driver), 0o710)]) {
        match std::fs::symlink_metadata(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => atomic::create_directory(&directory, mode)?,
            _ => tighten(&directory, mode)?,
        }
        require_writable(&path, &directory)?;
    }
    let (session, crashed) = journal::session(&path)?;
    let gates = lock::Gates::default();
    let root = DataRoot(Arc::new(Inner { path, driver, durability, gates, _session: session, interlock }));
    super::ids::check(&root)?;
    if crashed {
        sweep(&root)?;
    }
    Ok((root, chosen))
}

fn create(path: &Path) -> Result<()> {
    if path.symlink_metadata().is_ok() {
        return Ok(());
    }
    let attempt = || format!("create data root {path:?}");
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).attempt(attempt)?;
    }
    atomic::create_directory(path, ROOT_MODE)
}

/// Refuses what is not a data root, or not one of ours.
fn recognise(path: &Path) -> Result<()> {
    let attempt = || format!("open data root {path:?}");
    let metadata = std::fs::metadata(path).attempt(attempt)?;
    if !metadata.is_dir() {
        return Err(Refusal::NotADirectory { path: path.to_owned() }.into());
    }
    let user = rustix::process::geteuid().as_raw();
    if metadata.uid() != user {
        return Err(Refusal::Owner { path: path.to_owned(), owner: metadata.uid(), user }.into());
    }
    let top = names(path).attempt(attempt)?;
    let image = match names(&path.join("image")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeSet::new(),
        names => names.attempt(attempt)?,
    };
    // A store that was used once may have gathered anything since; one without its marks must hold nothing else.
    let has_layers = image.iter().any(|driver| path.join("image").join(driver).join("layerdb").exists());
    let is_known = has_layers || ["image/plywood.lock", "image/plywood"].iter().any(|mark| path.join(mark).exists());
    if !is_known {
        let foreign = top.iter().find(|name| !TOP.contains(&name.as_str()));
        let foreign = foreign.or_else(|| image.iter().find(|name| !IMAGE.contains(&name.as_str())));
        if let Some(entry) = foreign {
            return Err(Refusal::Foreign { path: path.to_owned(), entry: entry.clone() }.into());
        }
    }
    // Docker 29 keeps fresh roots in containerd's format: images and layers are then recorded where we cannot see them.
    let has_layers = DRIVERS.iter().any(|driver| names(&path.join(driver)).is_ok_and(|names| !names.is_empty()));
    let containerd =
        ["rootfs/overlayfs", "image/overlayfs", "containerd/daemon/io.containerd.content.v1.content/blobs"];
    if !has_layers && containerd.iter().any(|mark| path.join(mark).exists()) {
        return Err(Refusal::Containerd { path: path.to_owned() }.into());
    }
    Ok(())
}

/// Takes away from `path` what `mode` does not allow; never adds a permission.
pub(super) fn tighten(path: &Path, mode: u32) -> Result<()> {
    let attempt = || format!("tighten the mode of {path:?}");
    let now = std::fs::metadata(path).attempt(attempt)?.permissions().mode() & 0o7777;
    if now & !mode != 0 {
        std::fs::set_permissions(path, Permissions::from_mode(now & mode)).attempt(attempt)?;
    }
    Ok(())
}

fn require_writable(root: &Path, directory: &Path) -> Result<()> {
    rustix::fs::accessat(CWD, directory, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)
        .attempt(|| format!("open data root {root:?}: write to {directory:?}"))
        .map_err(|error| error.with_path(directory))
}

/// Removes the unfinished files of a process that ended in the middle.
fn sweep(root: &DataRoot) -> Result<()> {
    let mut directories = vec![
        root.image_dir(),
        root.image_configs_dir(),
        root.own_dir(),
        root.build_cache_dir(),
        root.build_steps_dir(),
        root.volumes_dir(),
    ];
    for parent in [
        root.containers_dir(),
        root.volumes_dir(),
        root.image_dir().join("imagedb/metadata/sha256"),
        root.chains_dir(),
        root.mounts_dir(),
    ] {
        directories.extend(
            names(&parent).attempt(|| format!("read directory {parent:?}"))?.iter().map(|name| parent.join(name)),
        );
    }
    // Elsewhere the directory of a layer holds files of its image.
    if root.layers_dir() == root.driver_home() {
        let home = root.driver_home();
        directories
            .extend(names(&home).attempt(|| format!("read directory {home:?}"))?.iter().map(|name| home.join(name)));
    }
    for directory in directories.iter().filter(|directory| directory.is_dir()) {
        if let Err(error) = atomic::sweep(directory) {
            tracing::warn!(path = ?directory, %error, "unfinished files could not be removed");
        }
    }
    Ok(())
}

fn names(directory: &Path) -> io::Result<BTreeSet<String>> {
    std::fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("open data root {path:?}: it is not a directory")]
    NotADirectory { path: PathBuf },
    #[error("open data root {path:?}: it belongs to user {owner}, and this process runs as user {user}")]
    Owner { path: PathBuf, owner: u32, user: u32 },
    #[error("open data root {path:?}: {entry:?} in it is no part of a data root")]
    Foreign { path: PathBuf, entry: String },
    #[error("open data root {path:?}: Docker keeps its images there in containerd's format")]
    Containerd { path: PathBuf },
    #[error("open data root {path:?}: a Docker daemon is running on it")]
    Dockerd { path: PathBuf },
}

impl Fault for Refusal {
    fn kind(&self) -> ErrorKind {
        match self {
            Refusal::NotADirectory { .. } | Refusal::Foreign { .. } => ErrorKind::InvalidArgument,
            Refusal::Owner { .. } => ErrorKind::PermissionDenied,
            Refusal::Containerd { .. } => ErrorKind::Unsupported,
            Refusal::Dockerd { .. } => ErrorKind::InUse,
        }
    }
    fn path(&self) -> Option<&Path> {
        let (Refusal::NotADirectory { path }
        | Refusal::Owner { path, .. }
        | Refusal::Foreign { path, .. }
        | Refusal::Containerd { path }
        | Refusal::Dockerd { path }) = self;
        Some(path)
    }
    fn hint(&self) -> Option<String> {
        Some(match self {
            Refusal::NotADirectory { .. } | Refusal::Foreign { .. } => "name a new or empty directory".to_owned(),
            Refusal::Owner { owner, .. } => format!("run as user {owner} or choose another data root"),
            Refusal::Containerd { .. } => {
                "choose another data root and bring images over with `docker save`".to_owned()
            }
            Refusal::Dockerd { .. } => {
                "stop the daemon, or choose another data root and bring images over with `plywood load --from-docker`"
                    .to_owned()
            }
        })
    }
}
