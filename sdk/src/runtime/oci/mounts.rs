//! `mounts` of a configuration.
//!
//! What comes from the host is copied by this program, before the child is made, in whose mount namespace it would no
//! longer be a peer of the host's. The child attaches it, and makes the file systems.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::config::{Mapping, Mount};
use super::fault::Fault;
use super::kept::Kept;
use super::options::{Attributes, MountOptions};
use crate::error::{Attempt, Error, ErrorKind, Result};
use crate::runtime::mounts::CLOSED;
use crate::runtime::script::{Lookup, Script};
use crate::spec::container_path::ContainerPath;
use crate::sys::cgroup::Group;
use crate::sys::mount::{self, AT_RECURSIVE, ATTR_IDMAP, ATTR_RDONLY};
use crate::sys::plan::{ANY, Register};
use crate::sys::userns::{self, Map, Range};

/// A mount that the child can attach or make.
#[derive(Debug)]
pub(super) struct Prepared {
    destination: ContainerPath,
    source: Source,
    options: MountOptions,
    /// In the child, of the user namespace that ids are mapped by.
    ids: Option<u32>,
}

#[derive(Debug)]
enum Source {
    /// In the child, a copy of a tree of the host.
    Tree { number: u32, is_directory: bool },
    /// A file system of this kind, with what is shown as its source.
    New { kind: String, source: String },
    /// The cgroup of the container.
    Cgroup,
}

/// Prepares the mounts of a bundle; `ids` is the user namespace of the container.
pub(super) fn prepare(
    bundle: &Path,
    mounts: &[Mount],
    ids: Option<&OwnedFd>,
    kept: &mut Kept,
) -> Result<Vec<Prepared>> {
    mounts.iter().map(|mount| one(bundle, mount, ids, kept)).collect()
}

fn one(bundle: &Path, mount: &Mount, ids: Option<&OwnedFd>, kept: &mut Kept) -> Result<Prepared> {
    let destination = ContainerPath::root().join(&mount.destination)?;
    if mount.destination.is_empty() || destination.is_root() {
        let why = "the root file system is there already".to_owned();
        return Err(Fault::Bad { property: "mounts.destination".into(), value: mount.destination.clone(), why }.into());
    }
    let mut options = MountOptions::parse(&mount.destination, &mount.kind, &mount.options)?;
    let source = match (options.bind, mount.kind.as_str()) {
        (Some(recursive), _) => tree(bundle, mount, recursive, kept)?,
        (None, "cgroup" | "cgroup2") => Source::Cgroup,
        (None, "" | "none") => return Err(Fault::Missing { property: "mounts.type" }.into()),
        (None, kind) => {
            let source = if mount.source.is_empty() { kind } else { &mount.source };
            Source::New { kind: kind.to_owned(), source: source.to_owned() }
        }
    };
    let mapping = !mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty();
    if mapping && options.idmap.is_none() {
        options.idmap = Some(false);
    }
    let ids = match (options.idmap, mapping, ids) {
        (None, ..) => None,
        (Some(_), true, _) => Some(kept.add(namespace(&mount.uid_mappings, &mount.gid_mappings)?)),
        (Some(_), false, Some(ids)) => Some(kept.add(ids.try_clone().attempt(|| "duplicate a descriptor")?)),
        (Some(_), false, None) => return Err(Fault::Missing { property: "mounts.uidMappings" }.into()),
    };
    Ok(Prepared { destination, source, options, ids })
}

/// A user namespace with these ids.
pub(super) fn namespace(uids: &[Mapping], gids: &[Mapping]) -> Result<OwnedFd> {
    let ranges = |mappings: &[Mapping]| {
        let range = |it: &Mapping| Range { inside: it.container_id, outside: it.host_id, count: it.size };
        mappings.iter().map(range).collect()
    };
    let map = Map { uids: ranges(uids), gids: ranges(gids) };
    userns::mapped(&map).map_err(|failure| {
        let error = Error::new(ErrorKind::InvalidArgument, format!("create a user namespace with the ids {map}"));
        error.with_source(format!("{failure:?}"))
    })
}

fn tree(bundle: &Path, mount: &Mount, recursive: bool, kept: &mut Kept) -> Result<Source> {
    if mount.source.is_empty() {
        return Err(Fault::Missing { property: "mounts.source" }.into());
    }
    let path = bundle.join(&mount.source);
    let attempt = || format!("mount {:?} on {:?}", path, mount.destination);
    let is_directory = path.metadata().attempt(attempt)?.is_dir();
    let copy = mount::copy(&path, recursive).attempt(attempt)?;
    Ok(Source::Tree { number: kept.add(copy), is_directory })
}

/// Refuses memory that should begin with what is in the root file system, unless that is nothing.
pub(super) fn check_copies(rootfs: &Path, mounts: &[Prepared]) -> Result<()> {
    for mount in mounts.iter().filter(|mount| mount.options.copies_up) {
        let there = rootfs.join(mount.destination.relative());
        let is_empty = std::fs::read_dir(&there).map_or(true, |mut entries| entries.next().is_none());
        if !is_empty {
            let what = format!("memory that begins with the files of {:?} (tmpcopyup)", mount.destination);
            return Err(Fault::Unsupported { what }.into());
        }
    }
    Ok(())
}

/// What the child needs to show its cgroup.
#[derive(Debug)]
pub(super) struct CgroupView {
    /// Directories and the names they get, where version 1 is in use; else the one of version 2.
    directories: Vec<(Vec<String>, PathBuf)>,
    is_unified: bool,
    /// Whether the container has a cgroup namespace, as whose root it sees its group.
    has_namespace: bool,
}

impl CgroupView {
    pub(super) fn new(group: &Group, has_namespace: bool) -> Self {
        let names = group.legacy_controllers().map(<[String]>::to_vec);
        let directories: Vec<_> = names.chain([vec!["unified".to_owned()]]).zip(group.directories()).collect();
        let directories = directories.into_iter().map(|(names, path)| (names, path.to_owned())).collect();
        Self { directories, is_unified: !group.has_legacy(), has_namespace }
    }
}

/// Attaches the mounts below a root, in their order; those that stay writable until the devices are made come back.
pub(super) fn attach(
    script: &mut Script,
    root: Register,
    mounts: &[Prepared],
    cgroup: Option<&CgroupView>,
) -> Result<Vec<Register>> {
    let mut later = Vec::new();
    for mount in mounts {
        let destination = &mount.destination;
        script.step(format!("mount on {destination:?} in the container"));
        let mut own = mount.options.own;
        let is_later =
            matches!(&mount.source, Source::New { kind, .. } if kind == "tmpfs") && own.set & ATTR_RDONLY != 0;
        if is_later {
            own.set &= !ATTR_RDONLY;
        }
        let (fd, is_directory) = match &mount.source {
            Source::Tree { number, is_directory } => (take(script, *number), *is_directory),
            Source::New { kind, source } => (file_system(script, kind, source, &mount.options)?, true),
            Source::Cgroup => match cgroup {
                Some(view) => (cgroups(script, view)?, true),
                // There is none to be seen.
                None => (script.file_system("tmpfs", &[("mode", "755"), ("size", "64k")], CLOSED)?, true),
            },
        };
        if let (Some(ids), Some(recursive)) = (mount.ids, mount.options.idmap) {
            script.step(format!("map the ids of {destination:?}")).hint =
                Some("the file system must allow it, and this program be root");
            script.change_mount(fd, [ATTR_IDMAP, 0], 0, ids.into(), below(recursive));
        }
        script.step(format!("set the attributes of {destination:?}"));
        let propagation = match (mount.options.propagation, &mount.source) {
            (Some(wanted), _) => Some(wanted),
            // What the host mounts later is seen, and nothing goes back.
            (None, Source::Tree { .. }) => Some((libc::MS_SLAVE, true)),
            (None, _) => None,
        };
        if let Some((flag, recursive)) = propagation {
            script.change_mount(fd, [0, 0], flag, 0, below(recursive));
        }
        // Of a cgroup all of its hierarchies have them, which are mounted first.
        let hierarchies_below = cgroup.filter(|view| matches!(mount.source, Source::Cgroup) && !view.is_unified);
        if hierarchies_below.is_none() {
            change(script, fd, &[(mount.options.recursive, true), (own, false)]);
        }
        script.step(format!("create {destination:?} in the container to mount on it"));
        let target = match is_directory {
            true => script.make_directory(root, destination.relative())?,
            false => script.make_file(root, destination.relative())?,
        };
        script.step(format!("mount on {destination:?} in the container")).hint =
            Some("a directory is mounted on a directory, a file on a file");
        script.attach(fd, target);
        script.close(target);
        if let Some(view) = hierarchies_below {
            hierarchies(script, root, destination, fd, view)?;
            change(script, fd, &[(mount.options.recursive, true), (own, true)]);
        }
        match is_later {
            true => later.push(fd),
            false => script.close(fd),
        }
    }
    Ok(later)
}

/// Makes what was left writable read-only.
pub(super) fn finish(script: &mut Script, later: Vec<Register>) {
    for mount in later {
        script.step("make memory read-only");
        script.set_attributes(mount, ATTR_RDONLY, 0);
        script.close(mount);
    }
}

/// Sets and clears attributes of a mount, and of those below it.
fn change(script: &mut Script, mount: Register, attributes: &[(Attributes, bool)]) {
    for (Attributes { set, clear }, recursive) in attributes.iter().filter(|(attributes, _)| !attributes.is_empty()) {
        script.change_mount(mount, [*set, *clear], 0, 0, below(*recursive));
    }
}

fn below(recursive: bool) -> u32 {
    if recursive { AT_RECURSIVE } else { 0 }
}

/// A kept descriptor, as a register.
pub(super) fn take(script: &mut Script, number: u32) -> Register {
    script.get(libc::SYS_fcntl, &[number.into(), libc::F_DUPFD_CLOEXEC.into(), 0.into()])
}

fn file_system(script: &mut Script, kind: &str, source: &str, options: &MountOptions) -> Result<Register> {
    script.step(format!("mount a {kind}")).hint = Some("this kernel may not have such a file system");
    let context = script.open_file_system(kind)?;
    script.set_option(context, "source", source)?;
    for (name, value) in &options.data {
        script.step(format!("mount a {kind}: use the option {:?}", if value.is_empty() { name } else { value })).hint =
            Some("the kernel does not know the option, or not this value");
        script.set_option(context, name, value)?;
    }
    script.step(format!("mount a {kind}"));
    script.create_file_system(context);
    Ok(script.mount_file_system(context, 0))
}

/// What is mounted on `/sys/fs/cgroup`: the cgroup of version 2, or memory in which those of version 1 are mounted then.
fn cgroups(script: &mut Script, view: &CgroupView) -> Result<Register> {
    match (view.is_unified, view.has_namespace, view.directories.first()) {
        (true, false, Some((_, path))) => {
            let path = script.path(path)?;
            Ok(script.copy_tree(libc::AT_FDCWD, path, 0))
        }
        (true, ..) => script.file_system("cgroup2", &[], CLOSED),
        (false, ..) => script.file_system("tmpfs", &[("mode", "755"), ("size", "64k")], CLOSED),
    }
}

/// Mounts the cgroups of version 1, and a hybrid host's of version 2 beside them.
fn hierarchies(
    script: &mut Script,
    root: Register,
    destination: &ContainerPath,
    above: Register,
    view: &CgroupView,
) -> Result<()> {
    for (controllers, path) in &view.directories {
        let name = controllers.join(",");
        script.step(format!("mount the {name} cgroup of the container"));
        let directory = script.text(&name)?;
        script.plan.call(libc::SYS_mkdirat, &[above.into(), directory.into(), 0o755.into()]);
        let options: Vec<_> = controllers.iter().map(|controller| (controller.as_str(), "")).collect();
        let mount = match (view.has_namespace, name.as_str()) {
            (false, _) => {
                let path = script.path(path)?;
                script.copy_tree(libc::AT_FDCWD, path, 0)
            }
            (true, "unified") => script.file_system("cgroup2", &[], CLOSED)?,
            (true, _) => script.file_system("cgroup", &options, CLOSED)?,
        };
        let (_, target) = script.look_up(root, destination.join(&name)?.relative(), Lookup::RealDirectory)?;
        script.attach(mount, target);
        script.close(target);
        script.close(mount);
        for alias in controllers.iter().filter(|alias| **alias != name) {
            let (alias, name) = (script.text(alias)?, script.text(&name)?);
            script.attempt(libc::SYS_symlinkat, &[name.into(), above.into(), alias.into()], &[ANY]);
        }
    }
    Ok(())
}
