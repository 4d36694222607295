//! Unmounting what a test has mounted.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::mount::UnmountFlags;

/// How long the children of other tests may take to execute their programs.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(1);

/// Unmounts it, and waits for that.
///
/// Not by force: what still uses it is a fault that a test is to show. But a child that another test starts just now has
/// copies of all descriptors until it executes its program.
pub(crate) fn unmount(path: &Path) {
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = rustix::mount::unmount(path, UnmountFlags::empty()) {
        if Instant::now() < deadline && !std::thread::panicking() {
            std::thread::sleep(PAUSE);
            continue;
        }
        let _ = rustix::mount::unmount(path, UnmountFlags::DETACH);
        assert!(std::thread::panicking(), "unmount {path:?}: {error}");
        return;
    }
}
