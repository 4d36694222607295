//! The content of one file into another.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::{SeekFrom, ftruncate, seek};
use rustix::io::Errno;

/// Copies `size` bytes of content into an empty file, sharing blocks where the file system can (reflink), within the
/// kernel where it can, and keeping holes.
///
/// Both files must be open for their purpose; their offsets are changed. Ends early if the source is shorter.
#[doc(alias = "copy_file_range")]
#[doc(alias = "reflink")]
pub(crate) fn copy_file(from: impl AsFd, to: impl AsFd, size: u64) -> io::Result<()> {
    let (from, to) = (from.as_fd(), to.as_fd());
    if rustix::fs::ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    rustix::io::retry_on_intr(|| ftruncate(to, size))?;
    let mut at = 0;
    while at < size {
        let start = match seek(from, SeekFrom::Data(at)) {
            Ok(start) => start.min(size),
            // No data up to the end: the rest is a hole.
            Err(Errno::NXIO) => return Ok(()),
            // The file system does not know holes.
            Err(_) => at,
        };
        let end = match seek(from, SeekFrom::Hole(start)) {
            Ok(end) if end > start => end.min(size),
            _ => size,
        };
        copy_range(from, to, start, end)?;
        at = end;
    }
    Ok(())
}

fn copy_range(from: impl AsFd, to: impl AsFd, start: u64, end: u64) -> io::Result<()> {
    let (mut read_at, mut write_at) = (start, start);
    while read_at < end {
        let length = usize::try_from(end - read_at).unwrap_or(usize::MAX).min(1 << 30);
        match rustix::fs::copy_file_range(&from, Some(&mut read_at), &to, Some(&mut write_at), length) {
            Ok(0) => return copy_by_hand(from, to, read_at, end),
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::NOSPC) => return Err(Errno::NOSPC.into()),
            // Another file system, an old kernel, a pseudo file: through our memory then.
            Err(_) => return copy_by_hand(from, to, read_at, end),
        }
    }
    Ok(())
}

fn copy_by_hand(from: impl AsFd, to: impl AsFd, mut at: u64, end: u64) -> io::Result<()> {
    let mut buffer = vec![0; 128 * 1024];
    while at < end {
        let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        let read = match rustix::io::pread(&from, &mut buffer[..length], at) {
            Ok(0) => return Ok(()),
            Err(Errno::INTR) => continue,
            result => result?,
        };
        write_all_at(&to, &buffer[..read], at)?;
        at += read as u64;
    }
    Ok(())
}

/// Writes all of `bytes` at this offset.
fn write_all_at(to: impl AsFd, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(&to, bytes, at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written..];
                at += written as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
