//! A small file system, to be filled.

use std::path::Path;

use rustix::mount::{MountFlags, mount};

use crate::unmount::unmount;

/// What tmpfs counts in, on the machines of the tests.
const PAGE: u64 = 4096;

/// A tmpfs of a few MiB at a temporary directory; unmounted and removed when dropped, also by a panic.
#[derive(Debug)]
pub struct Tmpfs {
    directory: tempfile::TempDir,
}

impl Tmpfs {
    /// Mounts one; only root may.
    ///
    /// # Panics
    /// If it cannot be mounted.
    pub fn new(mebibytes: u64) -> Self {
        let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let options = std::ffi::CString::new(format!("size={mebibytes}m,mode=0755")).unwrap_or_default();
        mount("tmpfs", directory.path(), "tmpfs", MountFlags::NOSUID, Some(options.as_c_str()))
            .unwrap_or_else(|error| panic!("mount a tmpfs: {error}"));
        Self { directory }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Leaves room for this many more pages and files than there are.
    ///
    /// # Panics
    /// If it cannot be mounted again.
    pub fn leave(&self, pages: u64, files: u64) {
        let now = rustix::fs::statvfs(self.path()).unwrap_or_else(|error| panic!("{error}"));
        let used = (now.f_blocks - now.f_bfree) * now.f_frsize / PAGE;
        let options = format!("nr_blocks={},nr_inodes={}", used + pages, now.f_files - now.f_ffree + files);
        let options = std::ffi::CString::new(options).unwrap_or_default();
        rustix::mount::mount_remount(self.path(), MountFlags::NOSUID, options.as_c_str())
            .unwrap_or_else(|error| panic!("limit a tmpfs: {error}"));
    }

    /// Bytes that are free.
    ///
    /// # Panics
    /// If it does not say.
    pub fn free(&self) -> u64 {
        let statistics = rustix::fs::statvfs(self.path()).unwrap_or_else(|error| panic!("{error}"));
        statistics.f_bavail * statistics.f_frsize
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        unmount(self.path());
    }
}
