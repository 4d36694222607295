//! A file system in a file, of which the power can be cut.

use std::path::PathBuf;
use std::process::Command;

use crate::unmount::unmount;

/// A file system on a loop device, mounted at a temporary directory; unmounted and removed when dropped, also by a panic.
#[derive(Debug)]
pub struct LoopDisk {
    directory: tempfile::TempDir,
}

impl LoopDisk {
    /// Makes and mounts an ext4 of so many MiB; only root may.
    ///
    /// # Panics
    /// If it cannot be made or mounted.
    pub fn ext4(mebibytes: u64) -> Self {
        Self::ext4_with(mebibytes, &[])
    }

    /// The same, made with further options of `mkfs.ext4`.
    ///
    /// # Panics
    /// If it cannot be made or mounted.
    pub fn ext4_with(mebibytes: u64, options: &[&str]) -> Self {
        Self::made(mebibytes, Command::new("mkfs.ext4").args(["-q", "-F"]).args(options))
    }

    /// Makes and mounts a btrfs of so many MiB; only root may.
    ///
    /// # Panics
    /// If it cannot be made or mounted.
    pub fn btrfs(mebibytes: u64) -> Self {
        Self::made(mebibytes, Command::new("mkfs.btrfs").arg("-q"))
    }

    fn made(mebibytes: u64, mkfs: &mut Command) -> Self {
        let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let disk = Self { directory };
        let file = std::fs::File::create(disk.image()).unwrap_or_else(|error| panic!("{error}"));
        file.set_len(mebibytes << 20).unwrap_or_else(|error| panic!("{error}"));
        run(mkfs.arg(disk.image()));
        disk.mounted()
    }

    /// What would be there if the power failed now: all that has reached the disk, and nothing that is in memory only.
    ///
    /// # Panics
    /// If the copy cannot be made or mounted.
    pub fn after_a_loss_of_power(&self) -> Self {
        let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let disk = Self { directory };
        run(Command::new("cp").args(["--sparse=always"]).arg(self.image()).arg(disk.image()));
        disk.mounted()
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("disk")
    }

    /// Mounts it anew with these flags, as `mount -o remount,…` has them.
    ///
    /// # Panics
    /// If it cannot be.
    pub fn remount(&self, flags: &str) {
        run(Command::new("mount").args(["-o", &format!("remount,{flags}")]).arg(self.path()));
    }

    fn image(&self) -> PathBuf {
        self.directory.path().join("image")
    }

    fn mounted(self) -> Self {
        std::fs::create_dir(self.path()).unwrap_or_else(|error| panic!("{error}"));
        // It writes back nothing by itself: what is not synced stays in memory.
        run(Command::new("mount").args(["-o", "loop,commit=3600"]).arg(self.image()).arg(self.path()));
        self
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        unmount(&self.path());
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
