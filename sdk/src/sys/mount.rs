//! Words of the kernel's mount interface, from `linux/mount.h` and `linux/openat2.h`.
//!
//! Containers are mounted by operations of a [plan](super::plan), so there is one call here, and what the others take.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::CWD;
use rustix::mount::{OpenTreeFlags, open_tree};

/// [`openat2(2)`](https://man7.org/linux/man-pages/man2/openat2.2.html): `/` and `..` stay inside.
pub(crate) const RESOLVE_IN_ROOT: u64 = 0x10;
/// Refuses links such as `/proc/self/fd/3`, which lead anywhere.
pub(crate) const RESOLVE_NO_MAGICLINKS: u64 = 0x02;
/// Refuses all links.
pub(crate) const RESOLVE_NO_SYMLINKS: u64 = 0x04;

/// `struct open_how`.
pub(crate) fn open_how(flags: i32, mode: u32, resolve: u64) -> [u64; 3] {
    [(flags | libc::O_CLOEXEC) as u64, mode.into(), resolve]
}

/// Size of [`open_how`].
pub(crate) const OPEN_HOW: u64 = 24;

/// [`fsmount(2)`](https://man7.org/linux/man-pages/man2/fsmount.2.html) and mount_setattr(2).
pub(crate) const ATTR_RDONLY: u64 = 0x01;
pub(crate) const ATTR_NOSUID: u64 = 0x02;
pub(crate) const ATTR_NODEV: u64 = 0x04;
pub(crate) const ATTR_NOEXEC: u64 = 0x08;
/// Three kinds of access times: relative ones are 0.
pub(crate) const ATTR_ATIME: u64 = 0x70;
pub(crate) const ATTR_NOATIME: u64 = 0x10;
pub(crate) const ATTR_STRICTATIME: u64 = 0x20;
pub(crate) const ATTR_NODIRATIME: u64 = 0x80;
/// Ids are mapped as in a user namespace, Linux 5.12.
pub(crate) const ATTR_IDMAP: u64 = 0x10_0000;
/// Links are not followed, Linux 5.14.
pub(crate) const ATTR_NOSYMFOLLOW: u64 = 0x20_0000;

/// `struct mount_attr` that sets `attributes`.
pub(crate) fn mount_attr(attributes: u64) -> [u64; 4] {
    [attributes, 0, 0, 0]
}

/// Size of [`mount_attr`].
pub(crate) const MOUNT_ATTR: u64 = 32;

pub(crate) const AT_EMPTY_PATH: u32 = libc::AT_EMPTY_PATH as u32;
pub(crate) const AT_RECURSIVE: u32 = 0x8000;

/// [`open_tree(2)`](https://man7.org/linux/man-pages/man2/open_tree.2.html): a copy that is attached nowhere yet.
pub(crate) const OPEN_TREE_CLONE: u32 = 1;
pub(crate) const OPEN_TREE_CLOEXEC: u32 = libc::O_CLOEXEC as u32;

/// [`move_mount(2)`](https://man7.org/linux/man-pages/man2/move_mount.2.html): the descriptors are meant themselves.
pub(crate) const MOVE_MOUNT_F_EMPTY_PATH: u32 = 0x04;
pub(crate) const MOVE_MOUNT_T_EMPTY_PATH: u32 = 0x40;

pub(crate) const FSOPEN_CLOEXEC: u32 = 1;
pub(crate) const FSMOUNT_CLOEXEC: u32 = 1;

/// Commands of [`fsconfig(2)`](https://man7.org/linux/man-pages/man2/fsconfig.2.html).
pub(crate) const FSCONFIG_SET_FLAG: u32 = 0;
pub(crate) const FSCONFIG_SET_STRING: u32 = 1;
pub(crate) const FSCONFIG_CMD_CREATE: u32 = 6;
/// Longest value of a string, in bytes, without its NUL.
pub(crate) const FSCONFIG_STRING_MAX: usize = 255;

/// A copy of what is at a path of this process, attached nowhere yet; with `recursive`, of what is mounted below it too.
///
/// It stays a peer of what it was copied from: what is mounted there may come to be seen in it.
pub(crate) fn copy(path: &Path, recursive: bool) -> io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    Ok(open_tree(CWD, path, flags)?)
}
