//! When an object of the store was last used: the time of change of its file or directory, by which nobody else goes.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::spec::time::Timestamp;
use crate::sys::fs::touch;

/// Uses in quick succession count as one: each costs a write to the disk.
const GRAIN: Duration = Duration::from_secs(1);

/// Notes that it is used now. A store that cannot be written to, or is somebody else's, is used without a note.
pub(crate) fn mark(path: &Path) {
    let is_recent = |time: SystemTime| time.elapsed().is_ok_and(|age| age < GRAIN);
    if fs::metadata(path).and_then(|found| found.modified()).is_ok_and(|time| !is_recent(time)) {
        let _ = touch(path);
    }
}

/// When it was last used, or made; `None` if it is gone.
pub(crate) fn last(path: &Path) -> Option<Timestamp> {
    Some(fs::metadata(path).ok()?.modified().ok()?.into())
}
