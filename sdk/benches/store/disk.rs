//! File systems in files.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A fresh ext4 in a file; it is unmounted and goes when this is dropped, or with the mount namespace.
pub struct Disk {
    mounted: PathBuf,
    _directory: tempfile::TempDir,
}

const SIZE: u64 = 12 << 30;

/// Lets no mount of this program be seen by others, nor outlive it.
pub fn enter_own_namespace() {
    // SAFETY: no other thread of this program exists yet.
    let unshared = unsafe { libc::unshare(libc::CLONE_NEWNS) };
    assert_eq!(unshared, 0, "unshare: {}", std::io::Error::last_os_error());
    run("mount", ["--make-rprivate", "/"]);
}

impl Disk {
    pub fn new() -> Self {
        let parent = std::env::var_os("PLYWOOD_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let directory = tempfile::Builder::new().prefix("plywood-bench-").tempdir_in(parent).unwrap();
        let file = directory.path().join("disk");
        std::fs::File::create(&file).unwrap().set_len(SIZE).unwrap();
        let mounted = directory.path().join("mounted");
        std::fs::create_dir(&mounted).unwrap();
        run("mkfs.ext4", ["-q".as_ref(), "-F".as_ref(), file.as_os_str()]);
        run("mount", ["-o".as_ref(), "loop".as_ref(), file.as_os_str(), mounted.as_os_str()]);
        Self { mounted, _directory: directory }
    }

    pub fn path(&self) -> &Path {
        &self.mounted
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", [self.path()]);
    }
}

/// Removes files and trees, so that the disk has room for the next ones, and no work left.
pub fn empty<'a>(trees: impl IntoIterator<Item = &'a PathBuf>) {
    for tree in trees {
        let removed = if tree.is_dir() { std::fs::remove_dir_all(tree) } else { std::fs::remove_file(tree) };
        removed.unwrap();
    }
    run("sync", [""; 0]);
}

pub fn run<S: AsRef<std::ffi::OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) {
    let status = Command::new(program).args(arguments).status().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(status.success(), "{program}: {status}");
}
