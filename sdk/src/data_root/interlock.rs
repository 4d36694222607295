//! Who keeps whom out: a dockerd holds an exclusive flock(2) on `volumes/metadata.db` for life, and we hold a shared one.
//!
//! So several programs of ours have a data root open together, and no dockerd starts on it meanwhile; bolt, which takes
//! the lock there, waits a second and gives up. The lock belongs to an open file description: a child that inherits the
//! descriptor holds it too, which is why it is never handed on but where that is meant.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::open::{Refusal, tighten};
use super::{DataRoot, Lock, lock};
use crate::error::{Attempt as _, Result};

/// How long a dockerd may hold the interlock before we give up: bolt, its user there, waits as long for us.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where it is in a data root.
const FILE: &str = "volumes/metadata.db";

/// Takes the lock that keeps dockerd out, making its file.
pub(super) fn take(root: &Path) -> Result<File> {
    let path = root.join(FILE);
    // A link in its place would have us write to whatever it leads to.
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&path)
        .attempt(|| format!("open {path:?}"))?;
    tighten(&path, 0o600)?;
    share(&file, root)?;
    Ok(file)
}

fn share(file: &File, root: &Path) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match file.try_lock_shared() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error).attempt(|| format!("lock {:?}", root.join(FILE))),
            // On a busy disk, one of ours may take longer than that to write; no dockerd is there then.
            Err(TryLockError::WouldBlock) if Instant::now() < deadline || is_being_written(root) => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(TryLockError::WouldBlock) => return Err(Refusal::Dockerd { path: root.to_owned() }.into()),
        }
    }
}

/// Whether a program of ours holds the lock under which it writes to the file.
pub(super) fn is_being_written(root: &Path) -> bool {
    matches!(lock::if_free(&Lock::Volumes.file(root)), Ok(None)) && Lock::Volumes.file(root).exists()
}

impl DataRoot {
    /// The interlock once more, for a process that outlives this program: it lasts as long as any copy of the descriptor.
    pub(crate) fn interlock(&self) -> Result<File> {
        take(self.path())
    }

    /// Lets `act` write to `volumes/metadata.db`, if nobody else has the data root open; `None` if somebody has. The caller
    /// holds [`Lock::Volumes`].
    ///
    /// # Errors
    /// `InUse` if a dockerd has come between: flock(2) gives the shared lock up to get the exclusive one, and the other way
    /// round. Nothing of this root may be written any more then.
    pub(crate) fn when_alone<T>(&self, act: impl FnOnce(&File) -> Result<T>) -> Result<Option<T>> {
        let file = &self.0.interlock;
        let done = match file.try_lock() {
            Ok(()) => Some(act(file)),
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Error(error)) => {
                return Err(error).attempt(|| format!("lock {:?}", self.path().join(FILE)));
            }
        };
        share(file, self.path())?;
        done.transpose()
    }
}
