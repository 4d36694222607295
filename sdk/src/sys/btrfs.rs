//! Subvolumes of btrfs.
//!
//! # Safety
//!
//! Its system calls read structures of fixed size, which are laid out here as in `linux/btrfs.h`.
#![allow(unsafe_code)]

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::ffi::OsStrExt as _;

/// `BTRFS_IOC_SNAP_CREATE`, `BTRFS_IOC_SUBVOL_CREATE` and `BTRFS_IOC_SNAP_DESTROY`: numbers 1, 14 and 15 of group 0x94,
/// each of which takes 4096 bytes (`_IOW`).
const SNAP_CREATE: u32 = write_request(1);
const SUBVOL_CREATE: u32 = write_request(14);
const SNAP_DESTROY: u32 = write_request(15);

/// `BTRFS_PATH_NAME_MAX`.
const LONGEST_NAME: usize = 4087;

/// `struct btrfs_ioctl_vol_args`.
#[repr(C)]
struct Arguments {
    /// What a snapshot is made of.
    fd: i64,
    /// With a zero at its end.
    name: [u8; LONGEST_NAME + 1],
}

/// The direction is in the two upper bits, the size below.
const fn write_request(number: u32) -> u32 {
    (1 << 30) | (4096 << 16) | (0x94 << 8) | number
}

/// Makes an empty subvolume.
pub(crate) fn create_subvolume(directory: impl AsFd, name: &OsStr) -> io::Result<()> {
    request(directory, SUBVOL_CREATE, -1, name)
}

/// Makes a subvolume that begins as the same as another one.
pub(crate) fn snapshot(of: impl AsFd, directory: impl AsFd, name: &OsStr) -> io::Result<()> {
    request(directory, SNAP_CREATE, of.as_fd().as_raw_fd().into(), name)
}

/// Removes a subvolume with everything in it, at once or not at all.
pub(crate) fn destroy_subvolume(directory: impl AsFd, name: &OsStr) -> io::Result<()> {
    request(directory, SNAP_DESTROY, -1, name)
}

fn request(directory: impl AsFd, number: u32, fd: i64, name: &OsStr) -> io::Result<()> {
    let mut arguments = Box::new(Arguments { fd, name: [0; LONGEST_NAME + 1] });
    let name = name.as_bytes();
    match arguments.name[..LONGEST_NAME].get_mut(..name.len()) {
        Some(place) => place.copy_from_slice(name),
        None => return Err(io::ErrorKind::InvalidFilename.into()),
    }
    // SAFETY: `arguments` has the size that the number says, outlives the call, and ends its name with a zero; `directory`
    // is borrowed and so open.
    match unsafe { libc::ioctl(directory.as_fd().as_raw_fd(), number as _, &raw const *arguments) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
