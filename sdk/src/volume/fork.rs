//! Copies of volumes, and volumes that go with a program.
//!
//! A copy is made beside its place, as `.tmp-data`, and is a volume once that has been renamed to `_data`: whoever is killed
//! before leaves a volume in the making, which the next program that opens the store removes. What is copied holds still
//! meanwhile, by the lock of its directory (`store.rs`); a snapshot does so anyway, so that many copy it at once.
//!
//! Whoever has a volume that is to go with his program holds the journal's entry `guard-<volume>`, from before the volume is
//! made. One that nobody holds was left by a program that was killed.

use std::fs;

use super::store::{ENTRY_PATIENCE, VolumeStore};
use super::{PATIENCE, Volume};
use crate::data_root::{Durability, InFlight, Lock, Share, atomic};
use crate::error::{Attempt as _, Result};
use crate::spec::name::VolumeName;
use crate::sys;
use crate::sys::within::{ENTER, within};

/// How the entries of volumes begin that go with a program.
const GUARD: &str = "guard-";

/// What a copy is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A volume that stays.
    Stay,
    /// A volume that goes with this program: it need not survive a loss of power.
    Go,
    /// The same, to which nobody writes.
    Freeze,
}

impl VolumeStore {
    /// Makes a volume with the content and the labels of another. `check` is asked when that one holds still.
    ///
    /// # Errors
    /// `AlreadyExists` if the name is taken, `NotFound` if the other one is gone, and what `check` says. Nothing is left then.
    pub(crate) fn copy(
        &self,
        from: &Volume,
        name: &VolumeName,
        purpose: Purpose,
        check: impl FnOnce() -> Result<()>,
    ) -> Result<Volume> {
        let held = self.root.lock(Lock::Volumes)?;
        self.check_free(name)?;
        let entry = self.in_the_making(name)?;
        let mut labels = from.labels.clone();
        // A copy belongs to no container.
        labels.remove(Volume::ANONYMOUS);
        let begun = self.begin(name, labels, purpose == Purpose::Freeze);
        // It takes as long as there is content; the name is ours.
        drop(held);
        self.finish(name, entry, begun.and_then(|()| self.fill(from, name, purpose, check)))
    }

    fn fill(
        &self,
        from: &Volume,
        name: &VolumeName,
        purpose: Purpose,
        check: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let share = if from.is_snapshot { Share::Together } else { Share::Alone };
        let _still = self.lock_present("copy", from.name(), share, PATIENCE)?;
        check()?;
        let (directory, data) = (self.root.volume_dir(name), self.root.volume_data(name));
        let unfinished = directory.join(".tmp-data");
        atomic::create_directory(&unfinished, 0o755)?;
        let copy = || {
            let (from, to) = (sys::fs::open_directory(&from.path)?, sys::fs::open_directory(&unfinished)?);
            sys::fs::copy_tree(&from, &to, |_| true)
        };
        within(copy).attempt(|| ENTER)?.attempt(|| format!("copy volume {:?} to {unfinished:?}", from.name()))?;
        let durability = if purpose == Purpose::Stay { self.root.durability() } else { Durability::Fast };
        if durability == Durability::Full {
            self.sync(name)?;
        }
        fs::rename(&unfinished, &data).attempt(|| format!("rename {unfinished:?} to {data:?}"))?;
        atomic::sync_directory(&directory, durability).attempt(|| format!("sync {directory:?}"))
    }

    /// Gives a volume another name, under which it survives a loss of power.
    ///
    /// # Errors
    /// `AlreadyExists` if the name is taken, `NotFound` if the volume is gone.
    pub(crate) fn rename(&self, name: &VolumeName, new: &VolumeName) -> Result<Volume> {
        if self.root.durability() == Durability::Full {
            self.sync(name)?;
        }
        let _still = self.lock_present("rename", name, Share::Alone, PATIENCE)?;
        let _held = self.root.lock(Lock::Volumes)?;
        self.check_free(new)?;
        let _entry = self.in_the_making(new)?;
        let (from, to) = (self.root.volume_dir(name), self.root.volume_dir(new));
        // What is there has no content: it is what a crash has left.
        self.root.discard(&to)?;
        self.expect_labels(new, self.get(name)?.is_some_and(|volume| !volume.labels.is_empty()))?;
        fs::rename(&from, &to).attempt(|| format!("rename {from:?} to {to:?}"))?;
        let volumes = self.root.volumes_dir();
        atomic::sync_directory(&volumes, self.root.durability()).attempt(|| format!("sync {volumes:?}"))?;
        self.read(new)
    }

    fn sync(&self, name: &VolumeName) -> Result<()> {
        let directory = self.root.volume_dir(name);
        let attempt = || format!("sync {directory:?}");
        sys::fs::sync_file_system(sys::fs::open_directory(&directory).attempt(attempt)?).attempt(attempt)
    }

    // ---- volumes that go with a program

    /// Lets the volume of this name, which is not made yet, go with this program, until the entry is dropped.
    pub(crate) fn guard(&self, name: &VolumeName) -> Result<InFlight> {
        self.root.in_flight(&format!("{GUARD}{name}"), ENTRY_PATIENCE)
    }

    /// Whether a volume goes with a program that lives.
    pub(crate) fn is_guarded(&self, name: &VolumeName) -> Result<bool> {
        self.root.is_owned(&format!("{GUARD}{name}"))
    }

    /// The volumes whose programs were killed, and their entries, which are the caller's now.
    pub(crate) fn abandoned(&self) -> Result<Vec<(VolumeName, InFlight)>> {
        let named = |entry: &str| entry.strip_prefix(GUARD).and_then(|name| VolumeName::parse(name).ok());
        let left = self.root.abandoned(|entry| named(entry).is_some())?;
        Ok(left.into_iter().filter_map(|(entry, held)| Some((named(&entry)?, held))).collect())
    }

    /// Whether there may be such.
    pub(crate) fn has_guards(&self) -> Result<bool> {
        Ok(self.root.entries()?.iter().any(|entry| entry.starts_with(GUARD)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;
    use crate::data_root::DataRoot;
    use crate::error::ErrorKind;

    fn name(text: &str) -> VolumeName {
        VolumeName::parse(text).unwrap()
    }

    fn store() -> (tempfile::TempDir, VolumeStore) {
        let directory = tempfile::tempdir().unwrap();
        let root = DataRoot::open(&directory.path().join("root"), Durability::Fast).unwrap();
        (directory, VolumeStore::open(&root))
    }

    #[test]
    fn a_copy_waits_for_whoever_writes_and_is_complete_or_not_there() {
        let (_directory, store) = store();
        let from = store.get_or_create(&name("from")).unwrap();
        let writer = store.lock(from.name(), Share::Together, Duration::ZERO).unwrap().unwrap();
        std::thread::scope(|scope| {
            let copy = scope.spawn(|| store.copy(&from, &name("to"), Purpose::Stay, || Ok(())).unwrap());
            // It has begun, so it cannot but wait for us.
            while !store.root.volume_dir(&name("to")).join("plywood.json").exists() {
                std::thread::yield_now();
            }
            assert_eq!(store.get(&name("to")).unwrap(), None);
            fs::write(from.path().join("file"), "late").unwrap();
            drop(writer);
            let to = copy.join().unwrap();
            assert_eq!(fs::read_to_string(to.path().join("file")).unwrap(), "late");
        });
        let refused = store.copy(&from, &name("other"), Purpose::Stay, || {
            // Nobody else has it now.
            let error = store.lock(from.name(), Share::Together, Duration::ZERO).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Timeout);
            Err(error)
        });
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Timeout);
        assert!(!store.root.volume_dir(&name("other")).exists() && store.root.entries().unwrap().len() == 1);
    }

    #[test]
    fn a_snapshot_is_copied_by_many_at_once_and_not_by_way_of_what_it_was() {
        let (_directory, store) = store();
        let from = store.get_or_create(&name("from")).unwrap();
        fs::write(from.path().join("file"), "then").unwrap();
        let frozen = store.copy(&from, &name("frozen"), Purpose::Freeze, || Ok(())).unwrap();
        assert!(frozen.is_snapshot() && store.get(&name("frozen")).unwrap().unwrap().is_snapshot());
        fs::write(from.path().join("file"), "now").unwrap();
        let inner = || store.copy(&frozen, &name("second"), Purpose::Go, || Ok(())).map(drop);
        let first = store.copy(&frozen, &name("first"), Purpose::Go, inner).unwrap();
        for copy in [first, store.get(&name("second")).unwrap().unwrap()] {
            assert!(!copy.is_snapshot());
            assert_eq!(fs::read_to_string(copy.path().join("file")).unwrap(), "then");
        }
        store.remove(frozen.name()).unwrap();
        let gone = store.copy(&frozen, &name("third"), Purpose::Go, || Ok(())).unwrap_err();
        assert_eq!(gone.to_string(), "copy volume \"frozen\": there is no volume of that name");
    }

    #[test]
    fn a_removal_waits_for_a_copy() {
        let (_directory, store) = store();
        let from = store.get_or_create(&name("from")).unwrap();
        fs::write(from.path().join("file"), "x").unwrap();
        std::thread::scope(|scope| {
            let mut removal = None;
            let begin = || {
                removal = Some(scope.spawn(|| store.remove(&name("from"))));
                Ok(())
            };
            let to = store.copy(&from, &name("to"), Purpose::Stay, begin).unwrap();
            assert_eq!(fs::read_to_string(to.path().join("file")).unwrap(), "x");
            removal.unwrap().join().unwrap().unwrap();
        });
        assert_eq!(store.list().unwrap().len(), 1);
        assert_eq!(fs::read_dir(store.root.trash_dir()).unwrap().count(), 0);
    }

    #[test]
    fn a_renamed_volume_takes_the_place_of_what_a_crash_has_left() {
        let (_directory, store) = store();
        let volume = store.get_or_create(&name("old")).unwrap();
        fs::write(volume.path().join("file"), "x").unwrap();
        fs::create_dir(store.root.volume_dir(&name("new"))).unwrap();
        let renamed = store.rename(&name("old"), &name("new")).unwrap();
        assert_eq!(fs::read_to_string(renamed.path().join("file")).unwrap(), "x");
        store.get_or_create(&name("old")).unwrap();
        assert_eq!(store.rename(&name("old"), &name("new")).unwrap_err().kind(), ErrorKind::AlreadyExists);
    }
}
