//! One cgroup in as many hierarchies as it needs.

use std::fs;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::fs::{Mode, OFlags};

use super::hierarchy::{Hierarchies, Hierarchy, Kind, Version, delegated, hierarchies};
use super::{PARENT, PATIENCE};
use crate::sys::probe::{Privilege, privilege};

/// The controllers of version 2 that we use.
const UNIFIED_CONTROLLERS: [&str; 5] = ["cpu", "cpuset", "io", "memory", "pids"];

/// How often a group is made again after somebody else has removed the parent meanwhile, or left one of that name.
const ATTEMPTS: u32 = 100;

/// The cgroup of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub(super) unified: Option<PathBuf>,
    pub(super) legacy: Vec<Legacy>,
}

/// Its directory in one hierarchy of version 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Legacy {
    pub path: PathBuf,
    pub controllers: Vec<String>,
}

/// Why there is no group.
#[derive(Debug)]
pub(crate) enum Refused {
    /// No hierarchy has this controller.
    Missing { controller: &'static str },
    /// No cgroup of version 2 was handed to this user.
    NotDelegated,
    /// One was, without this controller.
    NotHandedDown { controller: &'static str, group: PathBuf },
    /// It holds processes itself, and then the kernel hands no controllers down.
    Occupied { controller: &'static str, group: PathBuf },
    /// One above it may not use this device.
    Device { rule: String, group: PathBuf },
    /// A file said no.
    Os { path: PathBuf, error: io::Error },
}

pub(super) fn os(path: &Path) -> impl FnOnce(io::Error) -> Refused {
    move |error| Refused::Os { path: path.to_owned(), error }
}

/// The name of a controller in version 1.
pub(super) fn legacy_name(controller: &str) -> &str {
    if controller == "io" { "blkio" } else { controller }
}

impl Group {
    /// Makes a group with these controllers, by their names in version 2, and as many others as there are.
    ///
    /// Of a group of this name that a dead program has left, the processes are killed first.
    pub(crate) fn create(name: &str, wanted: &[&'static str]) -> Result<Self, Refused> {
        let hierarchies = hierarchies().map_err(os(Path::new("/proc/self/mountinfo")))?;
        let mut group = Self { unified: None, legacy: Vec::new() };
        let made = group.make(hierarchies, name, wanted);
        if made.is_err() {
            // The first failure is the one to tell; what stays is empty, and goes with the next of this name.
            let _ = group.remove();
        }
        made.map(|()| group)
    }

    /// Makes a group that can freeze, and nothing else, for a container that runs already.
    pub(crate) fn create_freezer(name: &str) -> Result<Self, Refused> {
        let hierarchies = hierarchies().map_err(os(Path::new("/proc/self/mountinfo")))?;
        if privilege() != Privilege::Root {
            return Err(Refused::NotDelegated);
        }
        let (home, of) = Self::home_of_freezer(hierarchies).ok_or(Refused::Missing { controller: "freezer" })?;
        Ok(of(make_below(home, name, |_| Ok(()))?))
    }

    /// The group that [`create_freezer`](Self::create_freezer) has made, here or in another program.
    pub(crate) fn find_freezer(name: &str) -> Option<Self> {
        if privilege() != Privilege::Root {
            return Self::find(name);
        }
        let (home, of) = Self::home_of_freezer(hierarchies().ok()?)?;
        let path = home.join(PARENT).join(name);
        path.is_dir().then(|| of(path))
    }

    /// Where a group that can freeze is made, and the group of a directory there.
    fn home_of_freezer(hierarchies: &'static Hierarchies) -> Option<(&'static Path, impl Fn(PathBuf) -> Self)> {
        let freezes = |hierarchy: &&Hierarchy| hierarchy.controllers.iter().any(|name| name == "freezer");
        let legacy = hierarchies.legacy.iter().find(freezes).filter(|_| hierarchies.unified.is_none());
        let home = hierarchies.unified.as_ref().or(legacy)?;
        Some((&*home.mount, move |path| match legacy {
            None => Self { unified: Some(path), legacy: Vec::new() },
            Some(freezer) => {
                Self { unified: None, legacy: vec![Legacy { path, controllers: freezer.controllers.clone() }] }
            }
        }))
    }

    fn make(&mut self, hierarchies: &Hierarchies, name: &str, wanted: &[&'static str]) -> Result<(), Refused> {
        let is_root = privilege() == Privilege::Root;
        let in_legacy = |controller: &str| {
            let name = legacy_name(controller);
            hierarchies.legacy.iter().any(|hierarchy| hierarchy.controllers.iter().any(|known| known == name))
        };
        let of_unified: Vec<_> = wanted.iter().copied().filter(|controller| !in_legacy(controller)).collect();
        if !is_root && hierarchies.kind() == Kind::Legacy && of_unified.len() < wanted.len() {
            return Err(Refused::NotDelegated);
        }
        match &hierarchies.unified {
            Some(unified) => self.make_unified(unified, name, &of_unified, is_root)?,
            None if !is_root => return Err(Refused::NotDelegated),
            None => {
                if let Some(controller) = of_unified.first() {
                    return Err(Refused::Missing { controller });
                }
            }
        }
        if !is_root {
            return Ok(());
        }
        for hierarchy in hierarchies.legacy_of_use(wanted) {
            let path = make_below(&hierarchy.mount, name, |dir| match hierarchy.has("cpuset") {
                true => inherit_cpuset(dir),
                false => Ok(()),
            })?;
            self.legacy.push(Legacy { path, controllers: hierarchy.controllers.clone() });
        }
        Ok(())
    }

    fn make_unified(
        &mut self,
        unified: &Hierarchy,
        name: &str,
        wanted: &[&'static str],
        is_root: bool,
    ) -> Result<(), Refused> {
        let parents = if is_root { vec![unified.mount.clone()] } else { delegated(unified) };
        // Where a user has several, the innermost that can count processes: the default limit needs it.
        let better: Vec<_> = wanted.iter().copied().chain((!is_root).then_some("pids")).collect();
        let mut refused = Refused::NotDelegated;
        for (above, wanted) in parents.iter().map(|it| (it, &*better)).chain(parents.iter().map(|it| (it, wanted))) {
            match hand_down(above, wanted) {
                Ok(()) => {
                    let made = make_below(above, name, |dir| match dir.ends_with(PARENT) {
                        true => hand_down(dir, wanted),
                        false => Ok(()),
                    })?;
                    self.unified = Some(made);
                    return Ok(());
                }
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// The group of this name, if some hierarchy has it; an ordinary user's only below where this program is.
    pub(crate) fn find(name: &str) -> Option<Self> {
        let hierarchies = hierarchies().ok()?;
        let below = |above: &Path| Some(above.join(PARENT).join(name)).filter(|path| path.is_dir());
        let mut group = Self { unified: None, legacy: Vec::new() };
        if let Some(unified) = &hierarchies.unified {
            group.unified = match privilege() {
                Privilege::Root => below(&unified.mount),
                Privilege::User => delegated(unified).iter().find_map(|above| below(above)),
            };
        }
        for hierarchy in &hierarchies.legacy {
            if let Some(path) = below(&hierarchy.mount) {
                group.legacy.push(Legacy { path, controllers: hierarchy.controllers.clone() });
            }
        }
        (group.unified.is_some() || !group.legacy.is_empty()).then_some(group)
    }

    /// Every directory that a group of this name could have, whether it is there or not.
    pub(crate) fn candidates(name: &str) -> Vec<PathBuf> {
        let Ok(hierarchies) = hierarchies() else { return Vec::new() };
        let unified = hierarchies.unified.iter();
        let above: Vec<PathBuf> = match privilege() {
            Privilege::User => unified.flat_map(delegated).collect(),
            Privilege::Root => hierarchies.legacy.iter().chain(unified).map(|it| it.mount.clone()).collect(),
        };
        above.into_iter().map(|above| above.join(PARENT).join(name)).collect()
    }

    /// The group of this name with these directories, as a record has them. Others than `plywood/<name>` of a hierarchy are
    /// not it, whatever the record says.
    pub(crate) fn open(name: &str, directories: &[PathBuf]) -> Option<Self> {
        let hierarchies = hierarchies().ok()?;
        let mut group = Self { unified: None, legacy: Vec::new() };
        for path in directories {
            if !path.ends_with(Path::new(PARENT).join(name)) || !path.is_dir() {
                continue;
            }
            let holds = |hierarchy: &&Hierarchy| path.starts_with(&hierarchy.mount);
            if let Some(hierarchy) = hierarchies.legacy.iter().find(holds) {
                group.legacy.push(Legacy { path: path.clone(), controllers: hierarchy.controllers.clone() });
            } else if hierarchies.unified.iter().any(|unified| holds(&unified)) {
                group.unified = Some(path.clone());
            }
        }
        (group.unified.is_some() || !group.legacy.is_empty()).then_some(group)
    }

    /// Its directories.
    pub(crate) fn directories(&self) -> impl Iterator<Item = &Path> {
        self.legacy.iter().map(|legacy| legacy.path.as_path()).chain(self.unified.as_deref())
    }

    /// The controllers of each directory of version 1, and the last part of its mount point.
    pub(crate) fn legacy_controllers(&self) -> impl Iterator<Item = &[String]> {
        self.legacy.iter().map(|legacy| legacy.controllers.as_slice())
    }

    /// Whether it has a directory of version 2.
    pub(crate) fn has_unified(&self) -> bool {
        self.unified.is_some()
    }

    /// Whether it has directories of version 1.
    pub(crate) fn has_legacy(&self) -> bool {
        !self.legacy.is_empty()
    }

    /// What a file of its directory of version 2 says.
    pub(crate) fn unified_file(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.unified.as_ref()?.join(name)).ok()
    }

    /// The directory of version 2, to start a process in.
    #[doc(alias = "CLONE_INTO_CGROUP")]
    pub(crate) fn open_unified(&self) -> io::Result<Option<OwnedFd>> {
        let Some(path) = &self.unified else { return Ok(None) };
        Ok(Some(rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?))
    }

    /// Where a controller is, by its name in version 2, and which files it has there.
    pub(crate) fn home(&self, controller: &str) -> Option<(Version, &Path)> {
        let name = legacy_name(controller);
        let is_there = |legacy: &&Legacy| legacy.controllers.iter().any(|known| known == name);
        if let Some(legacy) = self.legacy.iter().find(is_there) {
            return Some((Version::V1, &legacy.path));
        }
        let unified = self.unified.as_deref()?;
        let controllers = fs::read_to_string(unified.join("cgroup.controllers")).ok()?;
        controllers.split_ascii_whitespace().any(|known| known == controller).then_some((Version::V2, unified))
    }

    /// Moves a process into the directories of version 1 whose controllers are `chosen`.
    pub(crate) fn join_legacy(&self, pid: u32, chosen: impl Fn(&[String]) -> bool) -> Result<(), Refused> {
        for legacy in self.legacy.iter().filter(|legacy| chosen(&legacy.controllers)) {
            join(&legacy.path, pid)?;
        }
        Ok(())
    }

    /// Moves a process into all of its directories.
    pub(crate) fn join_all(&self, pid: u32) -> Result<(), Refused> {
        self.unified.as_deref().map_or(Ok(()), |path| join(path, pid))?;
        self.join_legacy(pid, |_| true)
    }

    /// The numbers of its processes, as the directory that is joined last has them.
    pub(super) fn processes(&self) -> io::Result<Vec<u32>> {
        let last = self.legacy.last().map(|legacy| legacy.path.as_path()).or(self.unified.as_deref());
        let Some(path) = last else { return Ok(Vec::new()) };
        let text = fs::read_to_string(path.join("cgroup.procs"))?;
        Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
    }

    /// Removes it if it holds no process.
    pub(crate) fn remove_if_empty(&self) {
        for path in self.directories() {
            // One that is in use stays: that is the point.
            let _ = fs::remove_dir(path);
            remove_parent(path);
        }
    }

    /// Kills what is left in it, waits until it is empty, and removes it. One that is gone is fine.
    ///
    /// Waits for two seconds at most.
    pub(crate) fn remove(&self) -> io::Result<()> {
        let mut failure = None;
        for path in self.directories() {
            let removed = match remove_tree(path) {
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => self.empty(path),
                removed => removed,
            };
            failure = removed.err().or(failure);
            remove_parent(path);
        }
        failure.map_or(Ok(()), Err)
    }

    /// Kills, and removes one directory as soon as the kernel lets it go.
    fn empty(&self, path: &Path) -> io::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.kill()?;
            self.wait_until_empty(path, deadline)?;
            match remove_tree(path) {
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) && Instant::now() < deadline => {}
                removed => return removed,
            }
        }
    }
}

/// Removes the cgroup that holds those of all containers, with the last of them.
fn remove_parent(path: &Path) {
    if let Some(parent) = path.parent().filter(|parent| parent.ends_with(PARENT)) {
        // It stays while other containers are in it.
        let _ = fs::remove_dir(parent);
    }
}

/// Moves a process.
fn join(path: &Path, pid: u32) -> Result<(), Refused> {
    let file = path.join("cgroup.procs");
    write(&file, &pid.to_string()).map_err(os(&file))
}

/// Writes a file of a cgroup: in one call, as the kernel wants it.
pub(crate) fn write(path: &Path, value: &str) -> io::Result<()> {
    fs::File::options().write(true).open(path)?.write_all(value.as_bytes())
}

/// Removes a cgroup and what a privileged container has made below it.
fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
        removed => return removed,
    }
    for entry in fs::read_dir(path)?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path())?;
        }
    }
    match fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Makes `above/plywood/<name>`; `prepare` is called for the parent, and then for the group.
fn make_below(above: &Path, name: &str, prepare: impl Fn(&Path) -> Result<(), Refused>) -> Result<PathBuf, Refused> {
    let parent = above.join(PARENT);
    let path = parent.join(name);
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let refused = match make_once(&parent, &path, &prepare) {
            Ok(()) => return Ok(path),
            Err(refused) => refused,
        };
        match &refused {
            // The parent went with the last group of somebody else.
            Refused::Os { error, .. } if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV)) => {}
            // Names are those of containers, and ours is not running: a dead program has left it.
            Refused::Os { error, .. } if error.kind() == io::ErrorKind::AlreadyExists => {
                Group::of_directory(&path).remove().map_err(os(&path))?;
            }
            _ => return Err(refused),
        }
        last = Some(refused);
    }
    Err(last.unwrap_or(Refused::NotDelegated))
}

fn make_once(parent: &Path, path: &Path, prepare: impl Fn(&Path) -> Result<(), Refused>) -> Result<(), Refused> {
    match fs::create_dir(parent) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made.map_err(os(parent))?,
    }
    prepare(parent)?;
    fs::create_dir(path).map_err(os(path))?;
    prepare(path).inspect_err(|_| {
        let _ = fs::remove_dir(path);
    })
}

impl Group {
    /// One directory, of either version.
    fn of_directory(path: &Path) -> Self {
        let path = path.to_owned();
        match path.join("cgroup.events").exists() {
            true => Self { unified: Some(path), legacy: Vec::new() },
            false => Self { unified: None, legacy: vec![Legacy { path, controllers: Vec::new() }] },
        }
    }
}

/// Gives a new group of version 1 the CPUs and memory nodes of the one above it: without, it takes no process.
pub(super) fn inherit_cpuset(path: &Path) -> Result<(), Refused> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let (own, above) = (path.join(file), path.parent().unwrap_or(path).join(file));
        if fs::read_to_string(&own).map_err(os(&own))?.trim().is_empty() {
            let value = fs::read_to_string(&above).map_err(os(&above))?;
            write(&own, value.trim()).map_err(os(&own))?;
        }
    }
    Ok(())
}

/// Lets the groups below one have controllers: those that are `wanted`, and of the others those that it can give.
pub(super) fn hand_down(group: &Path, wanted: &[&'static str]) -> Result<(), Refused> {
    let list = |file: &str| -> Result<Vec<String>, Refused> {
        let path = group.join(file);
        let text = fs::read_to_string(&path).map_err(os(&path))?;
        Ok(text.split_ascii_whitespace().map(str::to_owned).collect())
    };
    let (offered, given) = (list("cgroup.controllers")?, list("cgroup.subtree_control")?);
    let contains = |list: &[String], name: &str| list.iter().any(|known| known == name);
    // Only the root of all may hold processes and hand controllers down. The kernel lets others do so with some of them,
    // and then takes no process into the groups below.
    if group.join("cgroup.type").exists() && !list("cgroup.procs")?.is_empty() {
        let missing = wanted.iter().find(|controller| !contains(&given, controller));
        return match missing {
            Some(controller) => Err(Refused::Occupied { controller, group: group.to_owned() }),
            None => Ok(()),
        };
    }
    for controller in UNIFIED_CONTROLLERS {
        let is_wanted = wanted.contains(&controller);
        // A cpuset costs each process a little, and nobody else needs it.
        if contains(&given, controller) || (controller == "cpuset" && !is_wanted) {
            continue;
        }
        if !contains(&offered, controller) {
            if is_wanted {
                return Err(match privilege() {
                    Privilege::Root => Refused::Missing { controller },
                    Privilege::User => Refused::NotHandedDown { controller, group: group.to_owned() },
                });
            }
            continue;
        }
        let path = group.join("cgroup.subtree_control");
        match write(&path, &format!("+{controller}")) {
            Err(error) if !is_wanted && error.kind() != io::ErrorKind::NotFound => {}
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                return Err(Refused::Occupied { controller, group: group.to_owned() });
            }
            written => written.map_err(os(&path))?,
        }
    }
    Ok(())
}
