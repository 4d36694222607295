//! Whole-file locks: [flock(2)](https://man7.org/linux/man-pages/man2/flock.2.html).
//!
//! A lock belongs to the open file description: it ends when the last descriptor is closed, so a killed process leaves
//! none behind. Files are opened close-on-exec.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

/// Whether others may hold the lock too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LockMode {
    Shared,
    Exclusive,
}

/// A held lock; dropping it releases it.
#[derive(Debug)]
pub(crate) struct FileLock {
    file: File,
}

/// The pause between two attempts while a deadline runs: there is no flock with a time limit.
const PAUSE: Duration = Duration::from_millis(5);

impl FileLock {
    /// Opens the lock file, creating it with `mode`, without taking the lock.
    pub(crate) fn open_file(path: &Path, mode: u32) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(mode).open(path)
    }

    /// Waits for the lock.
    pub(crate) fn acquire(file: File, mode: LockMode) -> io::Result<Self> {
        let operation = match mode {
            LockMode::Shared => FlockOperation::LockShared,
            LockMode::Exclusive => FlockOperation::LockExclusive,
        };
        loop {
            match rustix::fs::flock(&file, operation) {
                Ok(()) => return Ok(Self { file }),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes the lock if nobody holds a conflicting one; otherwise gives the file back.
    pub(crate) fn try_acquire(file: File, mode: LockMode) -> io::Result<Result<Self, File>> {
        let operation = match mode {
            LockMode::Shared => FlockOperation::NonBlockingLockShared,
            LockMode::Exclusive => FlockOperation::NonBlockingLockExclusive,
        };
        loop {
            match rustix::fs::flock(&file, operation) {
                Ok(()) => return Ok(Ok(Self { file })),
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => return Ok(Err(file)),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits for the lock until `deadline`.
    ///
    /// # Errors
    /// [`TimedOut`](io::ErrorKind::TimedOut) when it has passed.
    pub(crate) fn acquire_until(mut file: File, mode: LockMode, deadline: Instant) -> io::Result<Self> {
        loop {
            match Self::try_acquire(file, mode)? {
                Ok(lock) => return Ok(lock),
                Err(_) if Instant::now() >= deadline => return Err(io::ErrorKind::TimedOut.into()),
                Err(back) => file = back,
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// The locked file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Releases the lock and keeps the file open.
    pub(crate) fn into_file(self) -> io::Result<File> {
        rustix::fs::flock(&self.file, FlockOperation::Unlock)?;
        Ok(self.file)
    }
}

impl AsFd for FileLock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_exclusive_lock_keeps_others_out_until_it_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let open = || FileLock::open_file(&path, 0o600).unwrap();
        let held = FileLock::acquire(open(), LockMode::Exclusive).unwrap();
        let refused = FileLock::try_acquire(open(), LockMode::Shared).unwrap();
        assert!(refused.is_err());
        let late = FileLock::acquire_until(open(), LockMode::Exclusive, Instant::now()).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        drop(held);
        let one = FileLock::try_acquire(open(), LockMode::Shared).unwrap();
        let two = FileLock::try_acquire(open(), LockMode::Shared).unwrap();
        assert!(one.is_ok() && two.is_ok());
    }
}
