//! A root file system that a program shows: `fuse-overlayfs`, where the kernel's overlay cannot be used.
//!
//! The first child of a container makes the mount, attached nowhere, and starts the program beside itself with the
//! other end; then a second child goes on, which has the namespaces of the container.
//!
//! ```text
//! first child    open /dev/fuse ── mount ─┬─ fork
//! second child                            │    └─ namespaces of the container ── attach ── …
//! program                                 └─ exec: out of the container's namespaces and cgroup
//! ```
//!
//! The program ends when nothing is left of the mount, which lies in the mount namespace of the container alone, and it is
//! killed with the host program as the container is. It is a child of the host program, which waits for it.

use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use super::bundle::{Bundle, Rootfs};
use super::execute::strings;
use super::mounts;
use super::plan::{Stream, become_root, begin, close_from, fork_into, map_itself, standard_streams, unblock_signals};
use super::script::Script;
use super::shared_memory;
use super::shifted::{common, keep_parent};
use super::users::Users;
use crate::error::{Attempt, Error, ErrorKind, Result};
use crate::sys::cgroup::{self, Group};
use crate::sys::mount::ATTR_NODEV;
use crate::sys::namespace;
use crate::sys::plan::{ANY, Argument, Offset, Register};
use crate::sys::userns::{Namespace, Range};

/// Number of the descriptor that the kernel's requests come over, in the child and in the program.
const DEVICE: u32 = shared_memory::MOUNT + 2;
const REQUESTS: u32 = 3;

/// What can be done where the device cannot be opened.
const DEVICE_HINT: &str = "this user must be allowed to open /dev/fuse: `plywood doctor` tries it";

/// What can be done where the program is gone.
const PROGRAM_HINT: &str = "the program is in Debian's package fuse-overlayfs";

/// What may be the reason where it does not answer.
const ENDED_HINT: &str = "fuse-overlayfs has ended: `plywood doctor` tries it on the data root's file system";

/// How the first child begins: in the user namespace of the container, and where mounts can be made.
pub(super) fn hand_over_streams(script: &mut Script, streams: &[Stream; 3], users: Users<'_>) -> Result<()> {
    begin(script);
    script.plan.gate();
    match users {
        // One that is shifted begins as all do.
        Users::Host | Users::Shifted(_) | Users::Joined => become_root(script),
        Users::One => {}
        Users::Many(namespace) => {
            script.step("join the user namespace of this user");
            script.plan.call(libc::SYS_setns, &[namespace.as_raw_fd().into(), namespace::USER.into()]);
            become_root(script);
        }
        Users::Below { owner, network, .. } => {
            script.step("join the user namespace of the network");
            script.plan.call(libc::SYS_setns, &[owner.namespace.as_raw_fd().into(), namespace::USER.into()]);
            script.step("join a network namespace");
            script.plan.call(libc::SYS_setns, &[network.as_raw_fd().into(), namespace::NETWORK.into()]);
        }
    }
    if matches!(users, Users::One | Users::Many(_) | Users::Below { .. }) {
        script.step("create a mount namespace");
        script.plan.call(libc::SYS_unshare, &[namespace::MOUNT.into()]);
    }
    script.step("begin a session");
    script.plan.call(libc::SYS_setsid, &[]);
    standard_streams(script, streams)
}

/// Makes the mount, starts the program, and goes on in a second child with these namespaces; the register is the root.
/// All other descriptors of the host program are closed before.
pub(super) fn start(
    script: &mut Script,
    bundle: &Bundle,
    users: Users<'_>,
    shared_memory: Option<Register>,
    namespaces: u64,
    group: Option<&Group>,
) -> Result<Register> {
    script.step("keep the parent at hand");
    keep_parent(script, shared_memory::MOUNT + 1);
    match shared_memory {
        Some(copy) => {
            script.plan.call(libc::SYS_dup3, &[copy.into(), shared_memory::MOUNT.into(), libc::O_CLOEXEC.into()]);
            script.plan.release(copy);
        }
        None => {
            let only = [shared_memory::MOUNT.into(), shared_memory::MOUNT.into(), 0.into()];
            script.plan.call(libc::SYS_close_range, &only);
        }
    }
    close_from(script, shared_memory::MOUNT + 2);
    let user = match users {
        Users::One => (bundle.process.user.uid, bundle.process.user.gid),
        Users::Below { owner, .. } => (owner.uid, owner.gid),
        _ => (0, 0),
    };
    let root = mount_beside(script, bundle, group, Beside { user, ..Beside::of(bundle) })?;
    if let Users::Below { owner, uid, gid, .. } = users {
        // Nobody else may write the maps of what comes next, and nobody at all while it is invisible.
        script.plan.call(libc::SYS_prctl, &[libc::PR_SET_DUMPABLE.into(), 1.into()]);
        fork_into(script, namespaces | namespace::USER);
        map_itself(script, [("gid_map", gid, owner.gid), ("uid_map", uid, owner.uid)])?;
    } else {
        fork_into(script, namespaces);
    }
    script.step("begin a session");
    script.plan.call(libc::SYS_setsid, &[]);
    Ok(root)
}

/// Makes the mount, and starts the program out of the container's cgroup: its limits are not for the program, its devices
/// are without /dev/fuse, and it may be frozen. Where this user cannot go back, the program stays in it.
pub(super) fn mount_beside(
    script: &mut Script,
    bundle: &Bundle,
    group: Option<&Group>,
    beside: Beside<'_>,
) -> Result<Register> {
    if group.is_some() {
        script.step("leave the cgroup of the container");
        join(script, cgroup::own().iter(), &[ANY])?;
    }
    let root = mount(script, &bundle.rootfs, &beside)?;
    if let Some(group) = group {
        script.step("join the cgroup of the container");
        join(script, group.directories(), &[])?;
    }
    Ok(root)
}

/// How the program runs.
#[derive(Default)]
pub(super) struct Beside<'a> {
    /// Who is the owner of the mount, user and group.
    pub user: (u32, u32),
    /// Whether it is killed with the host program.
    pub ends_with_program: bool,
    /// Whether the child will change the root of its mount namespace.
    pub leaves_mounts: bool,
    /// The user namespace whose ids it shows files with, while they belong to the host's.
    pub shifted: Option<&'a Namespace>,
}

impl Beside<'_> {
    pub(super) fn of(bundle: &Bundle) -> Self {
        Self { ends_with_program: bundle.process.ends_with_program, ..Self::default() }
    }
}

/// Makes the mount, attached nowhere, and starts the program. No descriptor of the host program is open any more.
pub(super) fn mount(script: &mut Script, rootfs: &Rootfs, beside: &Beside<'_>) -> Result<Register> {
    let Rootfs::Served { program, lowers, upper, work, volatile } = rootfs else {
        return Err(Error::new(ErrorKind::InvalidArgument, "serve a root file system that no program shows"));
    };
    script.step("open /dev/fuse").hint = Some(DEVICE_HINT);
    let (path, flags) = (script.text("/dev/fuse")?, libc::O_RDWR | libc::O_CLOEXEC);
    let device = script.get(libc::SYS_openat, &[libc::AT_FDCWD.into(), path.into(), flags.into()]);
    // The kernel is told the number in words. It may be there already.
    let to = [device.into(), DEVICE.into(), libc::O_CLOEXEC.into()];
    let moved = script.attempt(libc::SYS_dup3, &to, &[libc::EINVAL]);
    script.close(device);
    script.plan.on_failure_go_on_here(moved);

    script.step(format!("mount {} layers below {upper:?}", lowers.len()));
    let (uid, gid) = (beside.user.0.to_string(), beside.user.1.to_string());
    let number = DEVICE.to_string();
    let options = [
        ("source", "fuse-overlayfs"),
        ("fd", &number),
        ("rootmode", "40000"),
        ("user_id", &uid),
        ("group_id", &gid),
        ("default_permissions", ""),
        ("allow_other", ""),
    ];
    let root = script.file_system("fuse", &options, ATTR_NODEV)?;

    let mut extra = if *volatile { ",volatile".to_owned() } else { String::new() };
    if let Some(namespace) = beside.shifted {
        for (key, ranges) in [("uidmapping", &namespace.map.uids), ("gidmapping", &namespace.map.gids)] {
            let parts = ranges.iter().map(|Range { inside, outside, count }| format!("{inside}:{outside}:{count}"));
            extra.extend([",", key, "=", &parts.collect::<Vec<_>>().join(":")]);
        }
    }
    let arguments = arguments(script, lowers, upper, work, &extra)?;
    script.step(format!("start {program:?}")).hint = Some(PROGRAM_HINT);
    let started = script.plan.spawn(0);
    if beside.ends_with_program {
        script.plan.call(libc::SYS_prctl, &[libc::PR_SET_PDEATHSIG.into(), libc::SIGKILL.into()]);
    }
    if beside.leaves_mounts {
        script.plan.call(libc::SYS_unshare, &[namespace::MOUNT.into()]);
    }
    // What is typed at a terminal is not for it.
    script.plan.call(libc::SYS_setsid, &[]);
    let (null, flags) = (script.text("/dev/null")?, libc::O_RDWR | libc::O_CLOEXEC);
    let null = script.get(libc::SYS_openat, &[libc::AT_FDCWD.into(), null.into(), flags.into()]);
    let streams = [0, 1, 2].map(|stream| (Argument::from(null), stream));
    for (from, to) in streams.into_iter().chain([(DEVICE.into(), REQUESTS)]) {
        script.plan.call(libc::SYS_dup3, &[from, to.into(), 0.into()]);
    }
    script.plan.release(null);
    script.plan.call(libc::SYS_close_range, &[(REQUESTS + 1).into(), u32::MAX.into(), 0.into()]);
    script.plan.call(libc::SYS_chdir, &[arguments.directory.into()]);
    unblock_signals(script);
    script.step(format!("start {program:?}")).hint = Some(PROGRAM_HINT);
    let program = script.path(program)?;
    let nothing = strings::<&str>(script, &[])?;
    script.plan.call(libc::SYS_execve, &[program.into(), arguments.argv.into(), nothing.into()]);
    script.plan.on_success_go_on_here(started);
    // With the last copy but the program's gone, nobody waits for a program that has ended.
    script.step("leave the file system to its program");
    script.plan.call(libc::SYS_close, &[DEVICE.into()]);
    mounts::try_writing(script, root, ENDED_HINT)?;
    Ok(root)
}

struct Arguments {
    /// Where the paths begin.
    directory: Offset,
    argv: Offset,
}

/// The program takes commas and colons apart: its paths are relative, and consist of names that we have given.
fn arguments(
    script: &mut Script,
    lowers: &[PathBuf],
    upper: &PathBuf,
    work: &PathBuf,
    extra: &str,
) -> Result<Arguments> {
    let directory = common(lowers.iter().chain([upper, work]))?;
    let relative = |path: &Path| -> Result<String> {
        let path = std::path::absolute(path).attempt(|| format!("use path {path:?}"))?;
        let below = path.strip_prefix(&directory).unwrap_or(&path);
        below.to_str().map(str::to_owned).ok_or_else(|| {
            Error::new(ErrorKind::InvalidArgument, format!("mount the layers: the name of {path:?} is no UTF-8"))
        })
    };
    let lowers = lowers.iter().map(|path| relative(path)).collect::<Result<Vec<_>>>()?.join(":");
    let options = format!("lowerdir={lowers},upperdir={},workdir={}{extra}", relative(upper)?, relative(work)?);
    let mount_point = format!("/dev/fd/{REQUESTS}");
    let argv = strings(script, &["fuse-overlayfs", "-f", "-o", &options, &mount_point])?;
    Ok(Arguments { directory: script.path(&directory)?, argv })
}

/// Goes into these cgroups.
fn join<'a>(script: &mut Script, groups: impl Iterator<Item = impl AsRef<Path> + 'a>, tolerated: &[i32]) -> Result<()> {
    let (itself, flags) = (script.text("0")?, libc::O_WRONLY | libc::O_CLOEXEC);
    for group in groups {
        let path = script.path(&group.as_ref().join("cgroup.procs"))?;
        let file = script.plan.register();
        let opened = script.attempt(libc::SYS_openat, &[libc::AT_FDCWD.into(), path.into(), flags.into()], tolerated);
        script.plan.keep(opened, file);
        script.attempt(libc::SYS_write, &[file.into(), itself.into(), 1.into()], tolerated);
        script.close(file);
        script.plan.on_failure_go_on_here(opened);
    }
    Ok(())
}
