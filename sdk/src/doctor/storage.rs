//! The file system of the data root, and overlay on it.

use std::fs;
use std::path::{Path, PathBuf};

use super::Finding;
use crate::engine::EngineOptions;
use crate::error::{Attempt, Result};
use crate::runtime::{self, Bundle, Rootfs};
use crate::sys::{self, probe};

/// Below it a build or a database soon fails.
const LITTLE: u64 = 1 << 30;

pub(super) fn findings(root: &Path, is_root: bool, options: &EngineOptions) -> Vec<Finding> {
    let Some(existing) = root.ancestors().find(|path| path.is_dir()) else {
        return vec![Finding::missing("data root", format!("{root:?}")).because("no directory above it exists")];
    };
    let trial = match Trial::new(existing) {
        Ok(trial) => trial,
        Err(error) => {
            let finding = Finding::missing("data root", format!("{root:?}"));
            return vec![finding.remedied("name another with PLYWOOD_ROOT, or give it to this user").failed(&error)];
        }
    };
    vec![data_root(root, &trial, is_root), overlay(&trial), fuse_overlayfs(&trial), driver(root, options)]
}

/// What can stand in for overlay. Nothing is missing without it.
fn fuse_overlayfs(trial: &Trial) -> Finding {
    let obstacle = probe::fuse_overlayfs_obstacle(&trial.directory);
    let finding = |what: String| Finding::ok("fuse-overlayfs", what);
    match (obstacle, probe::fuse_overlayfs()) {
        (None, Some(program)) => match trial.mount(Some(&program)) {
            Ok(()) => finding(format!("{} shows layers where it is asked for", program.display())),
            Err(error) => Finding::limited("fuse-overlayfs", "it cannot show layers on the data root's file system")
                .remedied("use another storage driver: overlay2, btrfs or vfs")
                .failed(&error),
        },
        (obstacle, _) => finding(format!("not to be had: {}", obstacle.unwrap_or_default())),
    }
}

/// The driver that the data root has or would get.
fn driver(root: &Path, options: &EngineOptions) -> Finding {
    match options.choice_at(root) {
        Ok(choice) => Finding::ok("storage driver", choice.to_string()),
        Err(error) => Finding::missing("storage driver", "none").failed(&error),
    }
}

fn data_root(root: &Path, trial: &Trial, is_root: bool) -> Finding {
    let subject = "data root";
    let kind = probe::file_system(&trial.directory);
    let seen = |free: u64| format!("{} on {kind}, {} MiB free", root.display(), free >> 20);
    let free = sys::fs::open_directory(&trial.directory).and_then(sys::fs::free_space).unwrap_or(0);
    if let Err(error) = trial.set_attribute(is_root) {
        return Finding::missing(subject, seen(free))
            .remedied("choose a data root on ext4, xfs or btrfs")
            .failed(&error);
    }
    match free {
        free if free < LITTLE => Finding::limited(subject, seen(free))
            .because("little space is left for images and containers")
            .remedied("free some, with `plywood prune` too, or choose another data root"),
        free => Finding::ok(subject, seen(free)),
    }
}

fn overlay(trial: &Trial) -> Finding {
    // What the engine passes it over for.
    let obstacle = match probe::overlay_is_missing() {
        true => Some("this kernel has no overlay file system".to_owned()),
        false => probe::overlay_obstacle(&trial.directory),
    };
    if let Some(why) = obstacle {
        return Finding::limited(
            "overlay",
            "none: new data roots get btrfs, which takes snapshots, or vfs, which copies",
        )
        .because(why)
        .remedied("load the kernel module with `modprobe overlay`, and have the data root on ext4, xfs or btrfs");
    }
    let one_by_one = match probe::overlay_takes_single_lowers() {
        true => "any number of layers",
        false => "layers by mount(2), as before Linux 6.7",
    };
    match trial.mount(None) {
        Ok(()) => Finding::ok("overlay", format!("mounted on the data root's file system, {one_by_one}")),
        Err(error) => Finding::missing("overlay", "it cannot be mounted on the data root's file system")
            .remedied("choose a data root on ext4, xfs or btrfs, not on another overlay or a network file system")
            .failed(&error),
    }
}

/// A directory for trying things; removed when dropped.
struct Trial {
    directory: PathBuf,
}

impl Trial {
    fn new(above: &Path) -> Result<Self> {
        let made = tempfile::Builder::new().prefix(".plywood-doctor-").tempdir_in(above);
        // Removed by ourselves: the kernel makes overlay's work directory inaccessible.
        let directory = made.attempt(|| format!("create a directory in {above:?}"))?.keep();
        Ok(Self { directory })
    }

    /// Sets an attribute as layers have it.
    fn set_attribute(&self, is_root: bool) -> Result<()> {
        let name = if is_root { "trusted.plywood" } else { "user.plywood" };
        let attempt = || format!("set the extended attribute {name} in {:?}", self.directory);
        let directory = sys::fs::open_directory(&self.directory).attempt(attempt)?;
        sys::fs::set_xattr(&directory, name, b"y").attempt(attempt)
    }

    /// Mounts layers as a container does, by this program or the kernel.
    fn mount(&self, program: Option<&Path>) -> Result<()> {
        let make = |name: &str| {
            let by = if program.is_some() { "fuse" } else { "overlay" };
            let path = self.directory.join(format!("{by}-{name}"));
            fs::create_dir(&path).attempt(|| format!("create {path:?}")).map(|()| path)
        };
        let (lowers, upper, work) = (vec![make("lower")?], make("upper")?, make("work")?);
        let rootfs = Rootfs::stack(program, lowers, [upper, work], false);
        runtime::mount_root(&Bundle::new(rootfs)).map(drop)
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        let (Some(above), Some(name)) = (self.directory.parent(), self.directory.file_name()) else { return };
        let removed = sys::fs::open_directory(above).and_then(|above| sys::fs::remove_tree(above, name));
        if let Err(error) = removed {
            tracing::warn!("{:?} could not be removed: {error}", self.directory);
        }
    }
}
