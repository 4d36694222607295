//! Groups at a path that somebody else has chosen, such as `/libpod_parent/libpod-4711`, in every hierarchy.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::group::{Group, Legacy, Refused, hand_down, inherit_cpuset, legacy_name, os};
use super::hierarchy::{Hierarchies, hierarchies};
use crate::sys::probe::{Privilege, privilege};

/// A group, and what was made for it: its own directories and those above it, the uppermost first.
#[derive(Debug)]
pub(crate) struct Made {
    pub group: Group,
    pub directories: Vec<PathBuf>,
}

impl Group {
    /// Makes the group with these controllers, by their names in version 2, and as many others as there are; as root only.
    /// One that is there and holds no process is used.
    pub(crate) fn create_at(path: &Path, wanted: &[&'static str]) -> Result<Made, Refused> {
        let hierarchies = hierarchies().map_err(os(Path::new("/proc/self/mountinfo")))?;
        if privilege() != Privilege::Root {
            return Err(Refused::NotDelegated);
        }
        let mut made = Made { group: Self { unified: None, legacy: Vec::new() }, directories: Vec::new() };
        let done = made.make(hierarchies, path, wanted);
        match done {
            Ok(()) => Ok(made),
            Err(refused) => {
                remove_directories(&made.directories);
                Err(refused)
            }
        }
    }

    /// The group with these directories, as a record has them; those that are gone are left out.
    pub(crate) fn open_at(directories: &[PathBuf]) -> Option<Self> {
        let hierarchies = hierarchies().ok()?;
        let mut group = Self { unified: None, legacy: Vec::new() };
        for path in directories.iter().filter(|path| path.is_dir()) {
            if let Some(hierarchy) = hierarchies.legacy.iter().find(|it| path.starts_with(&it.mount)) {
                group.legacy.push(Legacy { path: path.clone(), controllers: hierarchy.controllers.clone() });
            } else if hierarchies.unified.iter().any(|unified| path.starts_with(&unified.mount)) {
                group.unified = Some(path.clone());
            }
        }
        (group.unified.is_some() || !group.legacy.is_empty()).then_some(group)
    }

    /// The numbers of all processes in it and below it.
    pub(crate) fn all_processes(&self) -> io::Result<Vec<u32>> {
        let Some(path) = self.directories().last() else { return Ok(Vec::new()) };
        let (mut found, mut pending) = (Vec::new(), vec![path.to_owned()]);
        while let Some(path) = pending.pop() {
            let text = fs::read_to_string(path.join("cgroup.procs"))?;
            found.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
            let below = fs::read_dir(&path)?.flatten().map(|entry| entry.path());
            pending.extend(below.filter(|path| path.is_dir()));
        }
        Ok(found)
    }
}

/// Removes those that hold nothing any more.
pub(crate) fn remove_directories(directories: &[PathBuf]) {
    for path in directories.iter().rev() {
        // One that is in use stays: that is the point.
        let _ = fs::remove_dir(path);
    }
}

impl Made {
    fn make(&mut self, hierarchies: &Hierarchies, path: &Path, wanted: &[&'static str]) -> Result<(), Refused> {
        let names: Vec<&Path> = path
            .components()
            .filter_map(|part| match part {
                Component::Normal(name) => Some(Path::new(name)),
                _ => None,
            })
            .collect();
        let in_legacy = |controller: &str| hierarchies.legacy.iter().any(|it| it.has(legacy_name(controller)));
        let of_unified: Vec<_> = wanted.iter().copied().filter(|controller| !in_legacy(controller)).collect();
        match &hierarchies.unified {
            Some(unified) => {
                let made = self.make_in(&unified.mount, &names, |above, _| hand_down(above, &of_unified))?;
                self.group.unified = Some(made);
            }
            None => {
                if let Some(controller) = of_unified.first() {
                    return Err(Refused::Missing { controller });
                }
            }
        }
        for hierarchy in hierarchies.legacy_of_use(wanted) {
            let path = self.make_in(&hierarchy.mount, &names, |_, made| match hierarchy.has("cpuset") {
                true => inherit_cpuset(made),
                false => Ok(()),
            })?;
            self.group.legacy.push(Legacy { path, controllers: hierarchy.controllers.clone() });
        }
        Ok(())
    }

    /// Makes the directories one below the other; `prepare` is given each and the one above it. The last one must be empty.
    fn make_in(
        &mut self,
        mount: &Path,
        names: &[&Path],
        prepare: impl Fn(&Path, &Path) -> Result<(), Refused>,
    ) -> Result<PathBuf, Refused> {
        let mut above = mount.to_owned();
        for name in names {
            let path = above.join(name);
            match fs::create_dir(&path) {
                Ok(()) => self.directories.push(path.clone()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(os(&path)(error)),
            }
            prepare(&above, &path)?;
            above = path;
        }
        let processes = above.join("cgroup.procs");
        match fs::read_to_string(&processes).map_err(os(&processes))?.is_empty() {
            true => Ok(above),
            false => Err(os(&above)(io::ErrorKind::ResourceBusy.into())),
        }
    }
}
