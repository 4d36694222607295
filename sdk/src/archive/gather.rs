//! Files behind descriptors into an archive: what `cp` takes out of a container, or off the host.
//!
//! The tree may belong to a container that changes it meanwhile. Each file is opened by name in its open directory,
//! without following a link, and what was opened is what is archived: no path is looked up twice.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{Mode, OFlags};

use crate::error::{Attempt as _, Result};
use crate::sys::fs::{self, DIRECTORY, DirEntry, FileKind, PATH_ONLY, READ, Xattr};

use super::fault::{ArchiveFault, text};
use super::is_overlay_state;
use super::pack::{Member, Packer};
use super::path::join;

/// Directories kept open on the way down; those above are opened again on the way up.
const OPEN_LEVELS: usize = 32;

/// File systems whose files are made up by the kernel when they are read: `f_type` of statfs(2). proc, sysfs, both
/// kinds of cgroup, devpts, mqueue, debugfs, tracefs, bpf, securityfs.
const OF_THE_KERNEL: [u64; 10] = [
    0x9fa0,
    0x6265_6572,
    0x0027_e0eb,
    0x6367_7270,
    0x1cd1,
    0x1980_0202,
    0x6462_6720,
    0x7472_6163,
    0xcafe_4a11,
    0x7363_6673,
];

/// Adds `file`, which may be opened by name only (`O_PATH`), and all below it, as `name`.
///
/// Directories of the kernel's own file systems (`/proc`, `/sys`) below it are archived empty.
///
/// # Errors
/// [`Unsupported`](crate::ErrorKind::Unsupported) if `file` itself is in one of them, or if a file changes while it is
/// read.
pub(crate) fn pack_tree<W: Write>(packer: &mut Packer<W>, file: &OwnedFd, name: &[u8]) -> Result<()> {
    let mut levels: Vec<Level> = Vec::new();
    let Some((top, device)) = add(packer, file, name, None)? else { return Ok(()) };
    levels.push(Level::new(name, top.try_clone().attempt(|| say("open", name))?, device)?);
    while let Some(level) = levels.last_mut() {
        let Some(next) = level.names.pop() else {
            levels.pop();
            continue;
        };
        let path = join(&level.path, next.name.as_bytes());
        let directory = match level.directory.take() {
            Some(directory) => directory,
            None => {
                let below = level.path[name.len()..].strip_prefix(b"/").unwrap_or(b".");
                fs::open_beneath(&top, below, DIRECTORY).attempt(|| say("open", &level.path))?
            }
        };
        let found = match fs::open_at(&directory, next.name.as_bytes(), PATH_ONLY) {
            // Removed since the directory was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            found => Some(found.attempt(|| say("open", &path))?),
        };
        let device = level.device;
        level.directory = Some(directory);
        let Some(found) = found else { continue };
        let Some((below, own_device)) = add(packer, &found, &path, Some(device))? else { continue };
        if let Some(far) = levels.len().checked_sub(OPEN_LEVELS).and_then(|at| levels.get_mut(at)) {
            far.directory = None;
        }
        levels.push(Level::new(&path, below, own_device)?);
    }
    Ok(())
}

/// A directory being listed.
struct Level {
    path: Vec<u8>,
    /// `None` while there are too many below it.
    directory: Option<OwnedFd>,
    device: u64,
    /// Sorted backwards: the next name is at the end.
    names: Vec<DirEntry>,
}

impl Level {
    fn new(path: &[u8], directory: OwnedFd, device: u64) -> Result<Self> {
        let mut names = fs::read_directory(&directory).attempt(|| say("list", path))?;
        names.sort_unstable_by(|a, b| b.name.cmp(&a.name));
        Ok(Self { path: path.to_vec(), directory: Some(directory), device, names })
    }
}

/// Adds one file; a directory that is to be gone into is given back open, with its device.
fn add<W: Write>(
    packer: &mut Packer<W>,
    file: &OwnedFd,
    path: &[u8],
    device_above: Option<u64>,
) -> Result<Option<(OwnedFd, u64)>> {
    let metadata = fs::stat(file).attempt(|| say("stat", path))?;
    let device = metadata.identity.0;
    let flags = match metadata.kind {
        FileKind::Regular => READ,
        FileKind::Directory => DIRECTORY,
        kind => {
            let target = match kind {
                FileKind::Symlink => fs::read_link_at(file, "").attempt(|| say("read link", path))?,
                _ => Vec::new(),
            };
            let member = Member::new(path, &metadata, &target, &[]);
            return packer.add(&member, || Ok(io::empty())).map(|()| None);
        }
    };
    // Links are not followed but this one of /proc, which leads to the very file that was looked at.
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    let flags = flags.difference(OFlags::NOFOLLOW);
    let opened = rustix::fs::open(link.as_str(), flags, Mode::empty()).attempt(|| say("open", path))?;
    let is_kernels = device_above != Some(device) && is_of_the_kernel(&opened).attempt(|| say("stat", path))?;
    if is_kernels && device_above.is_none() {
        return Err(ArchiveFault::layer(path, "the kernel makes up its content when it is read"));
    }
    let mut xattrs: Vec<Xattr> = fs::list_xattrs(&opened).attempt(|| say("read the attributes of", path))?;
    xattrs.retain(|(name, _)| !is_overlay_state(name) && name != b"security.selinux" && !name.contains(&b'='));
    let member = Member::new(path, &metadata, b"", &xattrs);
    if metadata.kind == FileKind::Regular {
        return packer.add(&member, || Ok(File::from(opened))).map(|()| None);
    }
    packer.add(&member, || Ok(io::empty()))?;
    Ok((!is_kernels).then_some((opened, device)))
}

fn is_of_the_kernel(file: &OwnedFd) -> io::Result<bool> {
    // The width and sign of the field depend on the architecture.
    #[allow(clippy::cast_sign_loss, clippy::unnecessary_cast)]
    let kind = rustix::fs::fstatfs(file)?.f_type as u64;
    Ok(OF_THE_KERNEL.contains(&kind))
}

fn say(verb: &str, path: &[u8]) -> String {
    format!("{verb} {:?}", text(OsStr::from_bytes(path).as_bytes()))
}
