//! Whether a program can take overlay's place.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, XattrFlags, access, fsetxattr};

use super::{Privilege, file_system, privilege};

/// The program `fuse-overlayfs`, if it is in `PATH`.
pub(crate) fn fuse_overlayfs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut found = std::env::split_paths(&path).map(|directory| directory.join("fuse-overlayfs"));
    found.find(|path| path.is_absolute() && path.is_file() && access(path, Access::EXEC_OK).is_ok())
}

/// Why it cannot show layers in a directory; `None` if it can, or if it is for the first mount to find out.
pub(crate) fn fuse_overlayfs_obstacle(directory: &Path) -> Option<String> {
    if fuse_overlayfs().is_none() {
        return Some("there is no program fuse-overlayfs".to_owned());
    }
    if let Err(error) = File::options().read(true).write(true).open("/dev/fuse") {
        return Some(format!("this user cannot open /dev/fuse: {error}"));
    }
    match takes_attributes(directory) {
        Ok(()) => None,
        Err(error) => Some(format!("{} takes no extended attributes: {error}", file_system(directory))),
    }
}

/// Whether layers can say there what they hide.
fn takes_attributes(directory: &Path) -> io::Result<()> {
    let name = match privilege() {
        Privilege::Root => "trusted.plywood",
        Privilege::User => "user.plywood",
    };
    Ok(fsetxattr(tempfile::tempfile_in(directory)?, name, b"y", XattrFlags::empty())?)
}
