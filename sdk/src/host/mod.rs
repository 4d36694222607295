//! Programs of the host as a base image: what `Base::host(["sh", "ls"])` names.
//!
//! ```text
//! program ──find on PATH──► ELF ──interpreter, needed libraries──► plan ──┬─► fingerprint (build cache)
//!                                                                        └─► tree: /usr/bin/ls, /lib -> usr/lib, …
//! ```
//!
//! Every file stands where the host has it, with the symbolic links on the way to it; directories are 0755, owned by
//! root (by the caller, where the caller is not root). With them come `/etc/passwd`, `/etc/group`, `/root`, `/tmp` and
//! the mount points `/dev`, `/proc`, `/run`, `/sys`. All times are one fixed moment, so equal files make equal layers.
//! Extended attributes, file capabilities among them, are not copied.

mod elf;
mod ld_cache;
mod loader;
mod plan;
mod refused;
#[cfg(test)]
mod tests;

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{PermissionsExt as _, fchown, lchown, symlink};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};

pub(crate) use self::plan::{HostFile, Plan, plan};
use crate::error::{Attempt as _, Result};
use crate::spec::{Digest, Digester};
use crate::sys::fs::copy_file;
use crate::sys::userns;
use crate::sys::within::{ENTER, within};

/// The time of every file: the start of 1980, the earliest that zip archives and their users accept.
const TIME: Timespec = Timespec { tv_sec: 315_532_800, tv_nsec: 0 };
/// The mode of the files that are made here.
const TEXT_MODE: u32 = 0o644;

/// A tree of host programs that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostBase {
    /// The value for `PATH` in the image's environment.
    pub(crate) search_path: String,
    /// Bytes of the regular files.
    pub(crate) bytes: u64,
}

/// Writes the tree of `programs` into `diff`, an empty directory.
///
/// On failure what was written stays; the caller removes the directory.
#[cfg(test)]
pub(crate) fn write_tree(programs: &[String], diff: &Path) -> Result<HostBase> {
    write(&plan(programs)?, diff)
}

/// The digest of what [`write_tree`] would write: paths, modes, link targets and contents.
#[cfg(test)]
pub(crate) fn fingerprint(programs: &[String]) -> Result<Digest> {
    plan(programs)?.fingerprint()
}

impl Plan {
    /// The digest of all paths, modes, link targets and contents.
    pub(crate) fn fingerprint(&self) -> Result<Digest> {
        use std::os::unix::ffi::OsStrExt as _;
        let mut digester = Digester::new();
        for (path, file) in &self.files {
            // Each part is preceded by its length or ended by NUL, so that no two plans have the same text.
            digester.update(path.as_os_str().as_bytes());
            digester.update(&[0]);
            match file {
                HostFile::Directory { mode } => digester.update(format!("d{mode:o}\0").as_bytes()),
                HostFile::Symlink { target } => {
                    digester.update(b"l");
                    digester.update(target.as_os_str().as_bytes());
                    digester.update(&[0]);
                }
                HostFile::Text(text) => digester.update(format!("t{}\0{text}", text.len()).as_bytes()),
                HostFile::Copy { mode, size } => {
                    digester.update(format!("f{mode:o} {size}\0").as_bytes());
                    let mut source = File::open(path).attempt(|| format!("read {path:?} of the host"))?;
                    io::copy(&mut source, &mut digester).attempt(|| format!("read {path:?} of the host"))?;
                }
            }
        }
        digester.update(self.search_path.as_bytes());
        Ok(digester.finish())
    }
}

pub(crate) fn write(plan: &Plan, diff: &Path) -> Result<HostBase> {
    within(|| write_here(plan, diff)).attempt(|| ENTER)?
}

fn write_here(plan: &Plan, diff: &Path) -> Result<HostBase> {
    let keeps_owners = userns::keeps_owners();
    let mut bytes = 0;
    for (path, file) in &plan.files {
        let place = diff.join(path.strip_prefix("/").unwrap_or(path));
        bytes += write_file(path, file, &place, keeps_owners).attempt(|| match file {
            HostFile::Copy { .. } => format!("copy {path:?} of the host to {place:?}"),
            _ => format!("create {place:?}"),
        })?;
    }
    // A directory's time changes with what is made in it: the innermost first.
    for path in plan.files.keys().rev().map(|path| path.strip_prefix("/").unwrap_or(path)).chain([Path::new("")]) {
        let place = diff.join(path);
        let times = Timestamps { last_access: TIME, last_modification: TIME };
        rustix::fs::utimensat(CWD, &place, &times, AtFlags::SYMLINK_NOFOLLOW)
            .attempt(|| format!("set the time of {place:?}"))?;
    }
    Ok(HostBase { search_path: plan.search_path.clone(), bytes })
}

/// Gives the bytes of a regular file.
fn write_file(path: &Path, file: &HostFile, place: &Path, keeps_owners: bool) -> io::Result<u64> {
    let create = || OpenOptions::new().write(true).create_new(true).open(place);
    // Changing the owner clears set-user-ID, so the mode comes last.
    let finish = |file: &File, mode: u32| {
        if keeps_owners {
            fchown(file, Some(0), Some(0))?;
        }
        // An ordinary user's copy would lend the user's own identity, not root's.
        file.set_permissions(Permissions::from_mode(if keeps_owners { mode } else { mode & 0o1777 }))
    };
    match file {
        HostFile::Directory { mode } => {
            fs::create_dir(place)?;
            finish(&File::open(place)?, *mode)?;
            Ok(0)
        }
        HostFile::Symlink { target } => {
            symlink(target, place)?;
            if keeps_owners {
                lchown(place, Some(0), Some(0))?;
            }
            Ok(0)
        }
        HostFile::Text(text) => {
            let mut copy = create()?;
            copy.write_all(text.as_bytes())?;
            finish(&copy, TEXT_MODE)?;
            Ok(text.len() as u64)
        }
        HostFile::Copy { mode, .. } => {
            let (source, copy) = (File::open(path)?, create()?);
            let bytes = source.metadata()?.len();
            // Unlike std's, it goes on after a signal.
            copy_file(&source, &copy, bytes)?;
            finish(&copy, *mode)?;
            Ok(bytes)
        }
    }
}
