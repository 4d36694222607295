//! `/sys/fs/cgroup` of a container.
//!
//! It shows the container's own cgroup, as the root of the container's cgroup namespace, and refuses writes: with version 2
//! the cgroup itself, with version 1 a directory per hierarchy, as Docker has it. A container without a cgroup of its own
//! finds an empty directory: the host's cgroups are nobody's business but the host's. One in the host's cgroup namespace
//! finds those.

use std::path::Path;

use super::bundle::Bundle;
use super::mounts::{CLOSED, attach_default};
use super::script::Script;
use super::users::Users;
use crate::error::Result;
use crate::sys::cgroup::Group;
use crate::sys::mount::{AT_RECURSIVE, ATTR_RDONLY};
use crate::sys::namespace;
use crate::sys::plan::{ANY, Register};

const TARGET: &str = "sys/fs/cgroup";

/// Mounts it over what `/sys` shows there. The child is in its cgroup and in a cgroup namespace by then.
pub(super) fn mount(
    script: &mut Script,
    root: Register,
    bundle: &Bundle,
    group: Option<&Group>,
    users: Users<'_>,
) -> Result<()> {
    // A kernel without cgroups has no such directory, and /sys takes no new one.
    if !Path::new("/").join(TARGET).is_dir() {
        return Ok(());
    }
    let read_only = if bundle.privileged { 0 } else { ATTR_RDONLY };
    if bundle.host_namespaces & namespace::CGROUP != 0 {
        return of_host(script, root, read_only);
    }
    let legacy: Vec<String> = group.into_iter().flat_map(Group::legacy_controllers).map(|it| it.join(",")).collect();
    match group {
        Some(group) if legacy.is_empty() && group.has_unified() => unified(script, root, read_only),
        Some(_) => hierarchies(script, root, &legacy, read_only),
        // A new sysfs has an empty directory there; the host's has the host's cgroups.
        None if !users.own_network(bundle) => empty(script, root, ATTR_RDONLY).map(|mount| script.close(mount)),
        None => Ok(()),
    }
}

fn of_host(script: &mut Script, root: Register, read_only: u64) -> Result<()> {
    script.step("mount the cgroups of the host");
    let path = script.path(&Path::new("/").join(TARGET))?;
    let mount = script.copy_tree(libc::AT_FDCWD, path, AT_RECURSIVE);
    script.set_attributes(mount, CLOSED | read_only, AT_RECURSIVE);
    attach_default(script, root, TARGET, mount)?;
    script.close(mount);
    Ok(())
}

fn unified(script: &mut Script, root: Register, read_only: u64) -> Result<()> {
    script.step("mount the cgroup of the container");
    let mount = script.file_system("cgroup2", &[], CLOSED | read_only)?;
    attach_default(script, root, TARGET, mount)?;
    script.close(mount);
    Ok(())
}

fn empty(script: &mut Script, root: Register, attributes: u64) -> Result<Register> {
    script.step("cover the cgroups of the host");
    let mount = script.file_system("tmpfs", &[("mode", "755"), ("size", "64k")], CLOSED | attributes)?;
    attach_default(script, root, TARGET, mount)?;
    Ok(mount)
}

fn hierarchies(script: &mut Script, root: Register, names: &[String], read_only: u64) -> Result<()> {
    let above = empty(script, root, 0)?;
    for name in names {
        script.step(format!("mount the {name} cgroup of the container"));
        let directory = script.text(name)?;
        script.plan.call(libc::SYS_mkdirat, &[above.into(), directory.into(), 0o755.into()]);
        let options: Vec<_> = name.split(',').map(|controller| (controller, "")).collect();
        let mount = script.file_system("cgroup", &options, CLOSED | read_only)?;
        attach_default(script, root, &format!("{TARGET}/{name}"), mount)?;
        script.close(mount);
        // `cpu` and `cpuacct` are looked for by their own names, wherever they are.
        for alias in name.split(',').filter(|alias| alias != name) {
            let (alias, name) = (script.text(alias)?, script.text(name)?);
            script.attempt(libc::SYS_symlinkat, &[name.into(), above.into(), alias.into()], &[ANY]);
        }
    }
    script.step("make the cgroups of the container read-only");
    script.set_attributes(above, ATTR_RDONLY, 0);
    script.close(above);
    Ok(())
}
