//! Files, always relative to a directory descriptor.
//!
//! A path inside a root that somebody else filled is resolved by [openat2(2)] with `RESOLVE_IN_ROOT` (symbolic links
//! stay inside) or `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS` (there must be none), never by a path string from the host's
//! root. Extended attributes of what cannot be opened go through `/proc/self/fd/<directory>/<name>`, which is anchored
//! too.
//!
//! [openat2(2)]: https://man7.org/linux/man-pages/man2/openat2.2.html

mod copy;
mod copy_tree;
mod remove;
mod umask;
mod xattr;

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, RawDir, ResolveFlags, Timespec, Timestamps};
use rustix::path::Arg;

pub(crate) use copy::copy_file;
pub(crate) use copy_tree::copy_tree;
pub(crate) use remove::remove_tree;
pub(crate) use umask::own_umask;
pub(crate) use xattr::{Xattr, get_xattr_at, list_xattrs, list_xattrs_at, remove_xattr, set_xattr, set_xattr_at};

/// Flags of every descriptor that only names a file.
pub(crate) const PATH_ONLY: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Flags for reading a directory.
pub(crate) const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// Flags for reading a file that may turn out to be a pipe or a link.
pub(crate) const READ: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// How often openat2(2) is asked again when a rename elsewhere disturbed it (`EAGAIN`).
const RESOLVE_ATTEMPTS: u32 = 64;

/// What kind of file a name leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum FileKind {
    Regular,
    Directory,
    Symlink,
    CharDevice,
    BlockDevice,
    Fifo,
    Socket,
    /// The file system did not say; ask [`stat_at`].
    Unknown,
}

/// What [statx(2)](https://man7.org/linux/man-pages/man2/statx.2.html) tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Metadata {
    pub kind: FileKind,
    /// Permission bits with set-uid, set-gid and sticky: at most 0o7777.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    pub links: u64,
    /// Device and inode number: the identity of the file.
    pub identity: (u64, u64),
    /// Major and minor number of a device node.
    pub device: (u32, u32),
    pub modified: Time,
    /// When anything of the file was changed, be it an attribute; nobody can set it.
    pub changed: Time,
    /// Blocks of 512 bytes really occupied.
    pub blocks: u64,
}

/// Seconds since the epoch, possibly negative, and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Time {
    pub seconds: i64,
    pub nanoseconds: u32,
}

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DirEntry {
    pub name: OsString,
    pub kind: FileKind,
}

impl FileKind {
    fn of_mode(mode: u32) -> Self {
        match rustix::fs::FileType::from_raw_mode(mode) {
            rustix::fs::FileType::RegularFile => Self::Regular,
            rustix::fs::FileType::Directory => Self::Directory,
            rustix::fs::FileType::Symlink => Self::Symlink,
            rustix::fs::FileType::CharacterDevice => Self::CharDevice,
            rustix::fs::FileType::BlockDevice => Self::BlockDevice,
            rustix::fs::FileType::Fifo => Self::Fifo,
            rustix::fs::FileType::Socket => Self::Socket,
            rustix::fs::FileType::Unknown => Self::Unknown,
        }
    }
}

impl Metadata {
    fn of(stat: &rustix::fs::Stat) -> Self {
        // The casts widen or reinterpret: the types differ between architectures.
        #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss, clippy::cast_possible_truncation)]
        Self {
            kind: FileKind::of_mode(stat.st_mode),
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: stat.st_size as u64,
            links: stat.st_nlink as u64,
            identity: (stat.st_dev as u64, stat.st_ino as u64),
            device: (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)),
            modified: Time { seconds: stat.st_mtime as i64, nanoseconds: stat.st_mtime_nsec as u32 },
            changed: Time { seconds: stat.st_ctime as i64, nanoseconds: stat.st_ctime_nsec as u32 },
            blocks: stat.st_blocks as u64,
        }
    }

    /// Whether overlayfs takes this file for a whiteout: a character device 0/0.
    pub(crate) fn is_whiteout(&self) -> bool {
        self.kind == FileKind::CharDevice && self.device == (0, 0)
    }
}

/// Opens a directory by a path of our own (not one that an image chose).
pub(crate) fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, DIRECTORY, Mode::empty())?)
}

/// Opens `path` as a process would that has `root` as its root directory: links and `..` stay inside.
#[doc(alias = "openat2")]
pub(crate) fn open_in_root(root: impl AsFd, path: impl Arg + Copy, flags: OFlags) -> io::Result<OwnedFd> {
    resolve(root.as_fd(), path, flags, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
}

/// Opens `path` below `root` and fails with `ELOOP` on any symbolic link, with `EXDEV` on `..` out of it.
pub(crate) fn open_beneath(root: impl AsFd, path: impl Arg + Copy, flags: OFlags) -> io::Result<OwnedFd> {
    resolve(root.as_fd(), path, flags, ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS)
}

fn resolve(root: BorrowedFd<'_>, path: impl Arg + Copy, flags: OFlags, resolve: ResolveFlags) -> io::Result<OwnedFd> {
    let mut attempts = 0;
    loop {
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) if attempts < RESOLVE_ATTEMPTS => attempts += 1,
            result => return Ok(result?),
        }
    }
}

/// Opens `name`, one component, in `directory`; never follows a link.
pub(crate) fn open_at(directory: impl AsFd, name: impl Arg, flags: OFlags) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(directory, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?)
}

/// As [`open_at`], also for what its owner has made unreadable to himself: an ordinary user's container is root in its
/// namespace.
pub(crate) fn open_readable_at(directory: impl AsFd, name: &OsStr, flags: OFlags) -> io::Result<OwnedFd> {
    let directory = directory.as_fd();
    match open_at(directory, bytes(name), flags) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => readable_at(directory, name, flags, Ok),
        opened => opened,
    }
}

/// All attributes of an open file, which is `name` in `directory`, even if its owner has made it unreadable to himself.
pub(crate) fn list_readable_xattrs(file: impl AsFd, directory: impl AsFd, name: &OsStr) -> io::Result<Vec<Xattr>> {
    match list_xattrs(&file) {
        // The kernel looks at the mode for each attribute, not only when the file is opened.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let flags = if stat(&file)?.kind == FileKind::Directory { DIRECTORY } else { READ };
            readable_at(directory.as_fd(), name, flags, list_xattrs)
        }
        xattrs => xattrs,
    }
}

/// Opens a file and uses it at once; one that its owner may not read is made readable meanwhile.
fn readable_at<T>(
    directory: BorrowedFd<'_>,
    name: &OsStr,
    flags: OFlags,
    act: impl FnOnce(OwnedFd) -> io::Result<T>,
) -> io::Result<T> {
    let named = open_at(directory, bytes(name), PATH_ONLY)?;
    let metadata = stat(&named)?;
    // The link in /proc leads to the very file that was looked at.
    let link = format!("/proc/self/fd/{}", named.as_raw_fd());
    let mode = |mode: u32| rustix::fs::chmod(link.as_str(), Mode::from_raw_mode(mode));
    mode(metadata.mode | 0o500)?;
    let result = open_at(directory, bytes(name), flags).and_then(act);
    mode(metadata.mode)?;
    result
}

/// As [`open_beneath`], also for what its owner has made unreadable to himself.
pub(crate) fn open_readable_beneath(root: impl AsFd, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    match open_beneath(root.as_fd(), path, flags) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let (parent, name) = match path.iter().rposition(|byte| *byte == b'/') {
                Some(slash) => (&path[..slash], &path[slash + 1..]),
                None => (b".".as_slice(), path),
            };
            open_readable_at(open_beneath(root, parent, PATH_ONLY)?, OsStr::from_bytes(name), flags)
        }
        opened => opened,
    }
}

/// Creates the regular file `name` for writing; fails with `EEXIST` if anything has that name. The mode is subject to
/// the umask.
pub(crate) fn create_at(directory: impl AsFd, name: impl Arg, mode: u32) -> io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(directory, name, flags, Mode::from_raw_mode(mode))?)
}

/// Makes a directory; the mode is subject to the umask.
pub(crate) fn make_directory_at(directory: impl AsFd, name: impl Arg, mode: u32) -> io::Result<()> {
    Ok(rustix::fs::mkdirat(directory, name, Mode::from_raw_mode(mode))?)
}

/// Makes a symbolic link with this text.
pub(crate) fn make_symlink_at(target: impl Arg, directory: impl AsFd, name: impl Arg) -> io::Result<()> {
    Ok(rustix::fs::symlinkat(target, directory, name)?)
}

/// Makes a hard link; a symbolic link as the target is linked, not followed.
pub(crate) fn make_link_at(
    from: impl AsFd,
    from_name: impl Arg,
    directory: impl AsFd,
    name: impl Arg,
) -> io::Result<()> {
    Ok(rustix::fs::linkat(from, from_name, directory, name, AtFlags::empty())?)
}

/// Makes a device node or a named pipe; the mode is subject to the umask.
#[doc(alias = "mknod")]
pub(crate) fn make_node_at(
    directory: impl AsFd,
    name: impl Arg,
    kind: FileKind,
    mode: u32,
    device: (u32, u32),
) -> io::Result<()> {
    let kind = match kind {
        FileKind::CharDevice => rustix::fs::FileType::CharacterDevice,
        FileKind::BlockDevice => rustix::fs::FileType::BlockDevice,
        FileKind::Fifo => rustix::fs::FileType::Fifo,
        FileKind::Socket => rustix::fs::FileType::Socket,
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    };
    let device = rustix::fs::makedev(device.0, device.1);
    Ok(rustix::fs::mknodat(directory, name, kind, Mode::from_raw_mode(mode), device)?)
}

/// Makes a whiteout of overlayfs: the character device 0/0, which needs no privilege (Linux 5.8).
pub(crate) fn make_whiteout_at(directory: impl AsFd, name: impl Arg) -> io::Result<()> {
    make_node_at(directory, name, FileKind::CharDevice, 0, (0, 0))
}

/// Removes a name that is not a directory.
pub(crate) fn unlink_at(directory: impl AsFd, name: impl Arg) -> io::Result<()> {
    Ok(rustix::fs::unlinkat(directory, name, AtFlags::empty())?)
}

/// Removes a directory if it is empty.
pub(crate) fn remove_empty_at(directory: impl AsFd, name: impl Arg) -> io::Result<()> {
    match rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR) {
        Err(rustix::io::Errno::NOTEMPTY | rustix::io::Errno::EXIST) => Ok(()),
        removed => Ok(removed?),
    }
}

/// What an open file is.
pub(crate) fn stat(file: impl AsFd) -> io::Result<Metadata> {
    Ok(Metadata::of(&rustix::fs::fstat(file)?))
}

/// What a name is, itself: a link is not followed.
pub(crate) fn stat_at(directory: impl AsFd, name: impl Arg) -> io::Result<Metadata> {
    Ok(Metadata::of(&rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?))
}

/// The text of a symbolic link.
pub(crate) fn read_link_at(directory: impl AsFd, name: impl Arg) -> io::Result<Vec<u8>> {
    Ok(rustix::fs::readlinkat(directory, name, Vec::new())?.into_bytes())
}

/// Sets the permission bits of an open file, set-uid, set-gid and sticky included.
pub(crate) fn set_mode(file: impl AsFd, mode: u32) -> io::Result<()> {
    Ok(rustix::fs::fchmod(file, Mode::from_raw_mode(mode))?)
}

/// Sets the permission bits of a name that is known not to be a symbolic link.
pub(crate) fn set_mode_at(directory: impl AsFd, name: impl Arg, mode: u32) -> io::Result<()> {
    Ok(rustix::fs::chmodat(directory, name, Mode::from_raw_mode(mode), AtFlags::empty())?)
}

/// Sets the owner of an open file. Clears set-uid and set-gid: set the mode afterwards.
pub(crate) fn set_owner(file: impl AsFd, uid: u32, gid: u32) -> io::Result<()> {
    Ok(rustix::fs::fchown(file, Some(rustix::fs::Uid::from_raw(uid)), Some(rustix::fs::Gid::from_raw(gid)))?)
}

/// Sets the owner of a name; a link is not followed.
pub(crate) fn set_owner_at(directory: impl AsFd, name: impl Arg, uid: u32, gid: u32) -> io::Result<()> {
    let (uid, gid) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
    Ok(rustix::fs::chownat(directory, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Sets the times of access and change to now.
#[doc(alias = "utimensat")]
pub(crate) fn touch(path: &Path) -> io::Result<()> {
    let now = rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
    let times = rustix::fs::Timestamps { last_access: now, last_modification: now };
    Ok(rustix::fs::utimensat(rustix::fs::CWD, path, &times, AtFlags::empty())?)
}

/// Sets the times of an open file, access and modification alike.
pub(crate) fn set_times(file: impl AsFd, time: Time) -> io::Result<()> {
    Ok(rustix::fs::futimens(file, &timestamps(time))?)
}

/// Sets the times of a name; a link is not followed.
pub(crate) fn set_times_at(directory: impl AsFd, name: impl Arg, time: Time) -> io::Result<()> {
    Ok(rustix::fs::utimensat(directory, name, &timestamps(time), AtFlags::SYMLINK_NOFOLLOW)?)
}

fn timestamps(time: Time) -> Timestamps {
    let time = Timespec { tv_sec: time.seconds, tv_nsec: time.nanoseconds.into() };
    Timestamps { last_access: time, last_modification: time }
}

/// The names in a directory without `.` and `..`, in the order of the file system.
pub(crate) fn read_directory(directory: impl AsFd) -> io::Result<Vec<DirEntry>> {
    let directory = directory.as_fd();
    let mut entries = Vec::new();
    // getdents(2) goes on where the last call on this descriptor ended.
    rustix::fs::seek(directory, rustix::fs::SeekFrom::Start(0))?;
    let mut buffer: Vec<u8> = Vec::with_capacity(32 * 1024);
    let mut list = RawDir::new(directory, buffer.spare_capacity_mut());
    while let Some(entry) = list.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        let kind = match entry.file_type() {
            rustix::fs::FileType::Unknown => stat_at(directory, name)?.kind,
            kind => FileKind::of_mode(kind.as_raw_mode()),
        };
        entries.push(DirEntry { name: OsString::from_vec(name.to_vec()), kind });
    }
    Ok(entries)
}

/// The path the kernel has for an open file, from the root of this process.
pub(crate) fn path_of(file: impl AsFd) -> io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", file.as_fd().as_raw_fd()))
}

/// Free bytes for this process on the file system of an open file.
#[doc(alias = "statvfs")]
pub(crate) fn free_space(file: impl AsFd) -> io::Result<u64> {
    let stat = rustix::fs::fstatvfs(file)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Writes everything of the file system that holds `file` to the disk.
#[doc(alias = "syncfs")]
pub(crate) fn sync_file_system(file: impl AsFd) -> io::Result<()> {
    Ok(rustix::fs::syncfs(file)?)
}

/// The ids new files get: effective user and group of this thread.
pub(crate) fn creation_owner() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

/// One component of a path as the bytes it is.
fn bytes(name: &OsStr) -> &[u8] {
    name.as_bytes()
}

#[cfg(test)]
mod tests;
