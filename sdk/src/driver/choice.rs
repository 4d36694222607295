//! Which driver a data root gets, and why.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::data_root::DRIVERS;
use crate::error::{Error, ErrorKind, Fault, Result};
use crate::sys::probe;

/// A storage driver: how the files of layers lie on disk.
///
/// The names are Docker's, and so are the directories.
#[doc(alias = "--storage-driver")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StorageDriver {
    /// A directory of changes per layer, laid over each other by the kernel.
    Overlay2,
    /// A whole tree per layer, a snapshot of the one below; for root, on btrfs.
    Btrfs,
    /// The directories of overlay2, laid over each other by a program; for kernels and file systems where overlay is not to
    /// be had. Taken only where it is asked for.
    FuseOverlayfs,
    /// A whole tree per layer, copied from the one below. It works everywhere, and takes time and space for it.
    Vfs,
}

impl StorageDriver {
    /// The best one first.
    const ALL: [Self; 4] = [Self::Overlay2, Self::Btrfs, Self::FuseOverlayfs, Self::Vfs];

    /// Its name in Docker, which names its directories too, such as `overlay2`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Overlay2 => "overlay2",
            Self::Btrfs => "btrfs",
            Self::FuseOverlayfs => "fuse-overlayfs",
            Self::Vfs => "vfs",
        }
    }

    /// Why it does not work in a data root at `path`; `None` if it does.
    fn obstacle(self, path: &Path) -> Option<String> {
        match self {
            Self::Overlay2 if probe::overlay_is_missing() => Some("this kernel has no overlay file system".to_owned()),
            Self::Overlay2 => probe::overlay_obstacle(path),
            Self::Btrfs if !rustix::process::geteuid().is_root() => {
                Some("only root may remove subvolumes of btrfs".to_owned())
            }
            Self::Btrfs => match probe::file_system(path).as_str() {
                "btrfs" => None,
                other => Some(format!("the data root is on {other}")),
            },
            Self::FuseOverlayfs => probe::fuse_overlayfs_obstacle(path),
            Self::Vfs => None,
        }
    }

    /// Why it is taken only where it is asked for, although it works.
    fn reservation(self) -> Option<String> {
        let why = "it is there to be asked for: a write to a hard link of the image may be lost with its container";
        (self == Self::FuseOverlayfs).then(|| why.to_owned())
    }

    /// What can be done about it.
    fn remedy(self) -> Option<String> {
        let remedy = match self {
            Self::Overlay2 => {
                "load the kernel module with `modprobe overlay`, and have the data root on ext4, xfs or btrfs"
            }
            Self::Btrfs => "have the data root on btrfs, and run as root",
            Self::FuseOverlayfs => "install Debian's package fuse-overlayfs, and let this user open /dev/fuse",
            Self::Vfs => return None,
        };
        Some(remedy.to_owned())
    }
}

impl fmt::Display for StorageDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for StorageDriver {
    type Err = Error;

    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) for a name that is none of these drivers'.
    fn from_str(name: &str) -> Result<Self> {
        let known = Self::ALL.into_iter().find(|driver| driver.name() == name);
        known.ok_or_else(|| Refusal::Unknown { name: name.to_owned() }.into())
    }
}

/// The storage driver of an engine, and why it is that one: [`Engine::driver`](crate::Engine::driver).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    driver: StorageDriver,
    reason: String,
    passed_over: Vec<PassedOver>,
}

impl Choice {
    /// The driver.
    pub fn driver(&self) -> StorageDriver {
        self.driver
    }

    /// Why it was chosen, for a person to read.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The better ones that do not work here; none if nobody looked, because the data root or the caller has decided.
    pub fn passed_over(&self) -> &[PassedOver] {
        &self.passed_over
    }
}

impl fmt::Display for Choice {
    /// In one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.driver, self.reason)?;
        self.passed_over.iter().try_for_each(|other| write!(f, "; not {}: {}", other.driver, other.why))
    }
}

/// A storage driver that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    driver: StorageDriver,
    why: String,
}

impl PassedOver {
    /// The driver.
    pub fn driver(&self) -> StorageDriver {
        self.driver
    }

    /// Why it does not work here, for a person to read.
    pub fn why(&self) -> &str {
        &self.why
    }
}

/// What is wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    /// By the caller: this one, or none.
    pub required: Option<StorageDriver>,
    /// By the environment, for data roots that are new: the name of the variable and the driver.
    pub preferred: Option<(&'static str, StorageDriver)>,
}

/// Chooses the driver for the data root at `path`, which need not exist yet.
///
/// One that has been written to keeps its driver, as in Docker: with another its images would seem to be gone.
///
/// # Errors
/// `Unsupported` if the driver does not work here, `InvalidArgument` if the data root was written with another one or with
/// several.
pub(crate) fn choose(path: &Path, request: &Request) -> Result<Choice> {
    let found = written_with(path);
    let place = path.ancestors().find(|path| path.is_dir()).unwrap_or(path);
    let taken = |driver: StorageDriver, reason: String| match driver.obstacle(place) {
        None => Ok(Choice { driver, reason, passed_over: Vec::new() }),
        Some(why) => Err(Refusal::Obstacle { path: path.to_owned(), driver, reason, why }.into()),
    };
    match (request.required, &found[..]) {
        (Some(driver), []) => taken(driver, "it was asked for".to_owned()),
        (Some(driver), found) if found.contains(&driver.name()) => taken(driver, "it was asked for".to_owned()),
        (Some(driver), _) => Err(Refusal::Other { path: path.to_owned(), driver, found: found.join(", ") }.into()),
        (None, [name]) => {
            let driver = name.parse().map_err(|error: Error| {
                let hint = "bring its images over with `docker save`, into another data root";
                Error::new(error.kind(), format!("open data root {path:?}")).with_source(error).with_hint(hint)
            })?;
            taken(driver, "the data root was written with it".to_owned())
        }
        (None, []) => match request.preferred {
            Some((variable, driver)) => taken(driver, format!("{variable} asks for it")),
            None => best(path, place),
        },
        (None, _) => Err(Refusal::Several { path: path.to_owned(), found: found.join(", ") }.into()),
    }
}

/// The best that works in `place`, for the data root at `path`.
fn best(path: &Path, place: &Path) -> Result<Choice> {
    let mut passed_over = Vec::new();
    for driver in StorageDriver::ALL {
        match driver.obstacle(place).or_else(|| driver.reservation()) {
            Some(why) => passed_over.push(PassedOver { driver, why }),
            None => return Ok(Choice { driver, reason: "it is the best that works here".to_owned(), passed_over }),
        }
    }
    Err(Refusal::None { path: path.to_owned() }.into())
}

/// The drivers whose directories have something in them. vfs counts only alone, as for dockerd: it is what others copy with.
fn written_with(path: &Path) -> Vec<&'static str> {
    let is_used = |name: &&str| std::fs::read_dir(path.join(name)).is_ok_and(|mut entries| entries.next().is_some());
    let mut found: Vec<&'static str> = DRIVERS.into_iter().filter(is_used).collect();
    if found.len() > 1 {
        found.retain(|name| *name != StorageDriver::Vfs.name());
    }
    found
}

#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("use storage driver {name:?}: plywood does not have it")]
    Unknown { name: String },
    #[error("open data root {path:?} with storage driver {driver}, because {reason}: {why}")]
    Obstacle { path: PathBuf, driver: StorageDriver, reason: String, why: String },
    #[error("open data root {path:?} with storage driver {driver}: it was written with {found}")]
    Other { path: PathBuf, driver: StorageDriver, found: String },
    #[error("open data root {path:?}: it was written with several storage drivers, {found}")]
    Several { path: PathBuf, found: String },
    #[error("open data root {path:?}: no storage driver works there")]
    None { path: PathBuf },
}

impl Fault for Refusal {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unknown { .. } | Self::Obstacle { .. } | Self::None { .. } => ErrorKind::Unsupported,
            Self::Other { .. } | Self::Several { .. } => ErrorKind::InvalidArgument,
        }
    }

    fn path(&self) -> Option<&Path> {
        match self {
            Self::Unknown { .. } => None,
            Self::Obstacle { path, .. }
            | Self::Other { path, .. }
            | Self::Several { path, .. }
            | Self::None { path } => Some(path),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { .. } => {
                let names = StorageDriver::ALL.map(StorageDriver::name);
                Some(format!("it has {}", names.join(", ")))
            }
            Self::Obstacle { driver, .. } => driver.remedy(),
            Self::Other { .. } => Some("leave the driver to plywood, or choose another data root".to_owned()),
            Self::Several { .. } => Some("ask for one of them".to_owned()),
            Self::None { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn root(used: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        used.iter().for_each(|name| std::fs::create_dir_all(root.path().join(name).join("x")).unwrap());
        root
    }

    fn required(driver: StorageDriver) -> Request {
        Request { required: Some(driver), preferred: None }
    }

    #[test]
    fn a_new_data_root_gets_the_best_that_works() {
        let root = root(&[]);
        let choice = choose(root.path(), &Request::default()).unwrap();
        assert_eq!(choice.to_string(), "overlay2: it is the best that works here");
        probe::force_missing_overlay(true);
        let choice = choose(root.path(), &Request::default()).unwrap();
        assert_eq!((choice.driver(), choice.passed_over().len()), (StorageDriver::Vfs, 3));
        let start =
            "vfs: it is the best that works here; not overlay2: this kernel has no overlay file system; not btrfs: ";
        assert!(choice.to_string().starts_with(start), "{choice}");
        assert!(choice.to_string().contains("; not fuse-overlayfs: "), "{choice}");
        let error = choose(root.path(), &required(StorageDriver::Overlay2)).unwrap_err();
        probe::force_missing_overlay(false);
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().ends_with("it was asked for: this kernel has no overlay file system"), "{error}");
        assert!(error.hint().unwrap().contains("modprobe overlay"));
        let preferred = Request { required: None, preferred: Some(("VARIABLE", StorageDriver::Vfs)) };
        assert_eq!(choose(root.path(), &preferred).unwrap().to_string(), "vfs: VARIABLE asks for it");
    }

    #[test]
    fn a_data_root_keeps_its_driver() {
        let kept = |used: &[&str], request: &Request| choose(root(used).path(), request).map(|choice| choice.driver());
        let (any, vfs) = (Request::default(), required(StorageDriver::Vfs));
        let preferred = Request { required: None, preferred: Some(("VARIABLE", StorageDriver::Overlay2)) };
        assert_eq!(kept(&["vfs"], &any).unwrap(), StorageDriver::Vfs);
        assert_eq!(kept(&["vfs"], &preferred).unwrap(), StorageDriver::Vfs);
        assert_eq!(kept(&["vfs", "overlay2"], &any).unwrap(), StorageDriver::Overlay2);
        let error = kept(&["overlay2"], &vfs).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().ends_with("with storage driver vfs: it was written with overlay2"), "{error}");
        let error = kept(&["aufs", "overlay2"], &any).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().ends_with("several storage drivers, overlay2, aufs"), "{error}");
        assert_eq!(
            kept(&["aufs", "overlay2"], &required(StorageDriver::Overlay2)).unwrap(),
            StorageDriver::Overlay2,
            "the caller decides"
        );
        assert_eq!(kept(&["zfs"], &any).unwrap_err().kind(), ErrorKind::Unsupported);
        probe::force_missing_overlay(true);
        let error = kept(&["overlay2"], &any).unwrap_err();
        probe::force_missing_overlay(false);
        assert!(error.to_string().contains("because the data root was written with it"), "{error}");
    }
}
