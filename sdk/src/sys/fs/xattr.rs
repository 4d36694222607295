//! Extended attributes, of open files and of names in a directory.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::XattrFlags;
use rustix::io::Errno;
use rustix::path::Arg;

use super::bytes;

/// Name and value of an extended attribute.
pub(crate) type Xattr = (Vec<u8>, Vec<u8>);

/// `XATTR_SIZE_MAX` and `XATTR_LIST_MAX` of the kernel.
const LARGEST: usize = 64 * 1024;

/// The value of an attribute; `None` if there is none of that name or the file system keeps none.
pub(crate) fn get_xattr(file: impl AsFd, name: impl Arg + Copy) -> io::Result<Option<Vec<u8>>> {
    let file = file.as_fd();
    value(|buffer| rustix::fs::fgetxattr(file, name, buffer))
}

/// The value of an attribute of a name; a link is not followed.
pub(crate) fn get_xattr_at(
    directory: impl AsFd,
    file: &std::ffi::OsStr,
    name: impl Arg + Copy,
) -> io::Result<Option<Vec<u8>>> {
    let path = anchored(directory.as_fd(), bytes(file));
    value(|buffer| rustix::fs::lgetxattr(&path[..], name, buffer))
}

/// Sets an attribute of an open file.
pub(crate) fn set_xattr(file: impl AsFd, name: impl Arg, value: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::fsetxattr(file, name, value, XattrFlags::empty())?)
}

/// Sets an attribute of a name; a link is not followed.
pub(crate) fn set_xattr_at(
    directory: impl AsFd,
    file: &std::ffi::OsStr,
    name: impl Arg,
    value: &[u8],
) -> io::Result<()> {
    let path = anchored(directory.as_fd(), bytes(file));
    Ok(rustix::fs::lsetxattr(&path[..], name, value, XattrFlags::empty())?)
}

/// Removes an attribute of an open file.
pub(crate) fn remove_xattr(file: impl AsFd, name: impl Arg) -> io::Result<()> {
    Ok(rustix::fs::fremovexattr(file, name)?)
}

/// All attributes of an open file, sorted by name.
pub(crate) fn list_xattrs(file: impl AsFd) -> io::Result<Vec<Xattr>> {
    let file = file.as_fd();
    let names = list(|buffer| rustix::fs::flistxattr(file, buffer))?;
    values(&names, |name| get_xattr(file, name))
}

/// All attributes of a name, sorted; a link is not followed.
pub(crate) fn list_xattrs_at(directory: impl AsFd, file: &std::ffi::OsStr) -> io::Result<Vec<Xattr>> {
    let path = anchored(directory.as_fd(), bytes(file));
    let names = list(|buffer| rustix::fs::llistxattr(&path[..], buffer))?;
    values(&names, |name| value(|buffer| rustix::fs::lgetxattr(&path[..], name, buffer)))
}

/// There is no getxattrat(2) before Linux 6.13; the link in /proc leads to the directory itself, whatever its path.
fn anchored(directory: BorrowedFd<'_>, file: &[u8]) -> Vec<u8> {
    let mut path = format!("/proc/self/fd/{}/", directory.as_raw_fd()).into_bytes();
    path.extend_from_slice(file);
    path
}

fn value(get: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> io::Result<Option<Vec<u8>>> {
    match grown(get) {
        Ok(value) => Ok(Some(value)),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn list(get: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> io::Result<Vec<u8>> {
    match grown(get) {
        Ok(names) => Ok(names),
        Err(Errno::OPNOTSUPP) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Asks with a small buffer on the stack, then with the largest a file system can fill.
fn grown(get: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> rustix::io::Result<Vec<u8>> {
    let mut small = [0; 256];
    match get(&mut small) {
        Err(Errno::RANGE) => {}
        result => return Ok(small[..result?].to_vec()),
    }
    let mut buffer = vec![0; LARGEST];
    let length = get(&mut buffer)?;
    buffer.truncate(length);
    Ok(buffer)
}

fn values(names: &[u8], get: impl Fn(&[u8]) -> io::Result<Option<Vec<u8>>>) -> io::Result<Vec<Xattr>> {
    let mut xattrs = Vec::new();
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        // Gone between the two calls: then there is none.
        if let Some(value) = get(name)? {
            xattrs.push((name.to_vec(), value));
        }
    }
    xattrs.sort();
    Ok(xattrs)
}
