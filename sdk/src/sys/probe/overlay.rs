//! Whether overlay works on a file system.

use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::fs::StatVfsMountFlags;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen};

use super::file_system;
use crate::sys::fs;

/// Why overlay does not take changes in a directory; `None` if it does, or if it is for the first mount to find out.
pub(crate) fn overlay_obstacle(directory: &Path) -> Option<String> {
    let kind = file_system(directory);
    match kind.as_str() {
        "ext4" | "btrfs" | "tmpfs" => return None,
        // Linux, filesystems/overlayfs.rst: the upper file system is no other overlay and no NFS.
        "overlay" | "nfs" => return Some(format!("overlay cannot write to {kind}")),
        _ => {}
    }
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    attempt(directory).err().map(|error| format!("overlay cannot write to {kind}: {error}"))
}

/// Mounts an overlay, attached nowhere.
fn attempt(directory: &Path) -> io::Result<()> {
    let trial = tempfile::Builder::new().prefix(".tmp-overlay").tempdir_in(directory)?.keep();
    let mount = || -> io::Result<()> {
        let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        for (key, name) in [("lowerdir", "lower"), ("upperdir", "upper"), ("workdir", "work")] {
            let path = trial.join(name);
            std::fs::create_dir(&path)?;
            fsconfig_set_string(context.as_fd(), key, &path)?;
        }
        fsconfig_create(context.as_fd())?;
        let mounted = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
        // It mounts read-only, without an error, when it cannot use the work directory.
        match rustix::fs::fstatvfs(&mounted)?.f_flag.contains(StatVfsMountFlags::RDONLY) {
            true => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
            false => Ok(()),
        }
    };
    let mounted = mount();
    if let Some(name) = trial.file_name() {
        fs::remove_tree(fs::open_directory(directory)?, name)?;
    }
    mounted
}
