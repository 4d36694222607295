//! Removal of a tree.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::sys::within::within;

use super::{
    DIRECTORY, DirEntry, FileKind, PATH_ONLY, bytes, make_directory_at, open_at, read_directory, set_mode, stat,
};

/// Open directories at most at the same time; what lies deeper is moved up first.
const OPEN_LEVELS: usize = 32;

/// Removes `name` in `directory` with all that is below; it is no error if there is nothing.
///
/// Never follows a link, needs neither stack nor descriptors in proportion to the depth, and opens directories to their
/// owner that forbid reading or searching. A mount point below is an error (`EBUSY`).
pub(crate) fn remove_tree(directory: impl AsFd, name: &OsStr) -> io::Result<()> {
    let directory = directory.as_fd();
    match remove_here(directory, name) {
        // It may hold what belongs to further ids of this user.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => within(|| remove_here(directory, name))?,
        removed => removed,
    }
}

fn remove_here(directory: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    match rustix::fs::unlinkat(directory, bytes(name), AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        // Another file system may say so for a directory; the opening below decides.
        Err(Errno::ACCESS) => {}
        Err(error) => return Err(error.into()),
    }
    let base = match open_writable(directory, name) {
        Ok(base) => base,
        Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => return Ok(()),
        Err(error) => return Err(error),
    };
    empty(&base)?;
    match rustix::fs::unlinkat(directory, bytes(name), AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// One directory on the way down.
struct Level {
    name: OsString,
    directory: OwnedFd,
    entries: Vec<DirEntry>,
}

fn empty(base: &OwnedFd) -> io::Result<()> {
    let mut moved_up = 0u64;
    loop {
        let mut deeper = false;
        let mut levels: Vec<Level> = Vec::new();
        let mut entries = read_directory(base)?;
        loop {
            let Some(entry) = levels.last_mut().map_or(&mut entries, |level| &mut level.entries).pop() else {
                let Some(done) = levels.pop() else { break };
                let parent = levels.last().map_or(base.as_fd(), |level| level.directory.as_fd());
                remove_one(parent, &done.name, AtFlags::REMOVEDIR)?;
                continue;
            };
            let current = levels.last().map_or(base.as_fd(), |level| level.directory.as_fd());
            if entry.kind != FileKind::Directory {
                remove_one(current, &entry.name, AtFlags::empty())?;
            } else if levels.len() < OPEN_LEVELS {
                // An empty directory goes without being opened.
                if rustix::fs::unlinkat(current, bytes(&entry.name), AtFlags::REMOVEDIR).is_ok() {
                    continue;
                }
                let directory = open_writable(current, &entry.name)?;
                let entries = read_directory(&directory)?;
                levels.push(Level { name: entry.name, directory, entries });
            } else {
                move_up(current, &entry.name, base, &mut moved_up)?;
                deeper = true;
            }
        }
        if !deeper {
            return Ok(());
        }
    }
}

fn remove_one(directory: BorrowedFd<'_>, name: &OsStr, flags: AtFlags) -> io::Result<()> {
    match rustix::fs::unlinkat(directory, bytes(name), flags) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Moves a directory that lies too deep into a fresh directory of `base`, whose turn comes in the next round.
fn move_up(directory: BorrowedFd<'_>, name: &OsStr, base: &OwnedFd, counter: &mut u64) -> io::Result<()> {
    loop {
        let holder = format!(".plywood-removed-{counter}");
        *counter += 1;
        match make_directory_at(base, holder.as_str(), 0o700) {
            Ok(()) => {
                // Renaming a directory changes its `..`, for which it must be writable.
                drop(open_writable(directory, name)?);
                let holder = open_at(base, holder.as_str(), DIRECTORY)?;
                return Ok(rustix::fs::renameat(directory, bytes(name), holder, "x")?);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// Opens a directory in which names can be removed; its owner may have lost the permission, not the right to it.
fn open_writable(directory: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    match open_at(directory, bytes(name), DIRECTORY) {
        Ok(opened) => {
            if !rustix::process::geteuid().is_root() && stat(&opened)?.mode & 0o300 != 0o300 {
                set_mode(&opened, 0o700)?;
            }
            Ok(opened)
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            // fchmod(2) refuses an `O_PATH` descriptor; its link in /proc leads to the same directory.
            let named = open_at(directory, bytes(name), PATH_ONLY | OFlags::DIRECTORY)?;
            rustix::fs::chmod(format!("/proc/self/fd/{}", named.as_raw_fd()), Mode::from_raw_mode(0o700))?;
            open_at(directory, bytes(name), DIRECTORY)
        }
        Err(error) => Err(error),
    }
}
