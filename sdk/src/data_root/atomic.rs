//! One step or nothing: files by write, sync and rename; directories with their exact mode.
//!
//! A file in the making is called `.tmp-<name><random>`, lies beside its target as dockerd's do, and is locked by its
//! writer. [`sweep`] removes those whose writer is gone.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use super::Durability;
use crate::error::{Attempt as _, Error, ErrorKind, Result};

/// How dockerd, and so we, begin the names of unfinished files.
const UNFINISHED: &str = ".tmp-";

/// Writes `bytes` to `path` in one step: readers see the old content or the new, never a part, whatever ends the writer.
///
/// The directory must exist. `mode` holds whatever the umask. With [`Durability::Full`] the content survives a loss of
/// power once this returns.
pub(crate) fn write(path: &Path, bytes: &[u8], mode: u32, durability: Durability) -> Result<()> {
    // A sweep may take the new file for an abandoned one in the moment between its creation and its locking.
    let mut attempts = 3;
    loop {
        attempts -= 1;
        match try_write(path, bytes, mode, durability) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && attempts > 0 => {}
            result => return result.attempt(|| format!("write {path:?}")).map_err(|error| error.with_path(path)),
        }
    }
}

fn try_write(path: &Path, bytes: &[u8], mode: u32, durability: Durability) -> io::Result<()> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    };
    let prefix = format!("{UNFINISHED}{}", name.to_string_lossy());
    let mut file = tempfile::Builder::new().prefix(&prefix).tempfile_in(directory)?;
    let _ = file.as_file().try_lock();
    file.write_all(bytes)?;
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    if durability == Durability::Full {
        file.as_file().sync_all()?;
    }
    if durability == Durability::Full || !exchange(file.path(), path)? {
        file.persist(path).map_err(|failure| failure.error)?;
    } else if let Err(error) = std::fs::remove_file(file.path()) {
        // The old content. The new one is in place, and dropping the file tries once more.
        tracing::debug!("{:?} stays for now: {error}", file.path());
    } else {
        // There is nothing left to remove.
        let _ = file.into_temp_path().keep();
    }
    sync_directory(directory, durability)
}

/// Puts `new` in the place of `old`, and the other way round; whether both were there and the file system can.
///
/// A file system that takes care of programs without fsync(2), as ext4 does, writes a file to the disk that is renamed over
/// another: what need not survive a loss of power goes without.
#[doc(alias = "RENAME_EXCHANGE")]
fn exchange(new: &Path, old: &Path) -> io::Result<bool> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    match renameat_with(CWD, new, CWD, old, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Removes the unfinished files of writers that are gone from `directory`; a directory that is missing has none.
pub(crate) fn sweep(directory: &Path) -> io::Result<()> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes()) || !entry.file_type()?.is_file() {
            continue;
        }
        // The writer may have finished or removed it meanwhile: then there is nothing left to do.
        if File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
    Ok(())
}

/// Makes the directory `path` with exactly `mode`, whatever the umask. One that exists is left as it is.
pub(crate) fn create_directory(path: &Path, mode: u32) -> Result<()> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        // Where the umask took nothing away, there is nothing to put back.
        Ok(()) if path.metadata().is_ok_and(|made| made.permissions().mode() & 0o7777 == mode) => Ok(()),
        Ok(()) => std::fs::set_permissions(path, Permissions::from_mode(mode)),
        Err(error) => Err(error),
    }
    .attempt(|| format!("create directory {path:?}"))
    .map_err(|error| error.with_path(path))
}

/// Puts the directory `staged` at `target` in one step, if nothing is there.
///
/// Gives whether it did; if something is at `target`, `staged` stays where it was.
pub(crate) fn publish(staged: &Path, target: &Path, durability: Durability) -> Result<bool> {
    match std::fs::rename(staged, target) {
        Ok(()) => {}
        // rename(2) onto a directory that is not empty.
        Err(error) if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) => {
            return Ok(false);
        }
        Err(error) => return Err(error).attempt(|| format!("rename {staged:?} to {target:?}")),
    }
    if let Some(directory) = target.parent() {
        sync_directory(directory, durability).attempt(|| format!("sync {directory:?}"))?;
    }
    Ok(true)
}

/// Makes the entries of `directory` survive a loss of power, where that is asked for.
pub(crate) fn sync_directory(directory: &Path, durability: Durability) -> io::Result<()> {
    match durability {
        Durability::Full => File::open(directory)?.sync_all(),
        Durability::Fast => Ok(()),
    }
}

/// Opens a file of the store to read it; `None` if it does not exist.
///
/// # Errors
/// If it is anything but a file: a link would lead out of the store, and a pipe would let us wait for ever.
pub(crate) fn open_file(path: &Path) -> io::Result<Option<File>> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let no_file = |what| io::Error::new(io::ErrorKind::InvalidData, format!("it is {what}, not a file"));
    match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => Err(no_file("a link")),
        file => match file? {
            file if file.metadata()?.is_file() => Ok(Some(file)),
            _ => Err(no_file("something else")),
        },
    }
}

/// Reads a small text file of the store; `None` if it does not exist.
///
/// # Errors
/// `Corrupt` if it is larger than `max` or not UTF-8: nothing of that kind is ever written there.
pub(crate) fn read_text(path: &Path, max: usize) -> Result<Option<String>> {
    use io::Read as _;
    let opened = open_file(path).attempt(|| format!("open {path:?}")).map_err(|error| error.with_path(path))?;
    let Some(file) = opened else { return Ok(None) };
    // Mostly an ID: room for it and the end, so that two reads do.
    let mut bytes = Vec::with_capacity(max.min(256) + 1);
    // One byte more than allowed tells a file that is too large from one that just fits.
    file.take(max as u64 + 1).read_to_end(&mut bytes).attempt(|| format!("read {path:?}"))?;
    let corrupt = |why: &str| Error::new(ErrorKind::Corrupt, format_args!("read {path:?}: {why}")).with_path(path);
    if bytes.len() > max {
        return Err(corrupt(&format!("it is larger than {max} bytes")));
    }
    String::from_utf8(bytes).map(Some).map_err(|_| corrupt("it is not UTF-8"))
}
