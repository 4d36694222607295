//! The file systems of a container: its root, `/proc`, `/sys`, `/dev` and below, volumes and binds.
//!
//! Everything is mounted by descriptors: a path inside the root is resolved once, in the root, and what was found is
//! mounted on. So an image that makes `/dev` a link, or a container that swaps a directory for one meanwhile, leads
//! nowhere else.

use std::fs::FileType;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::bundle::{Bundle, BundleMount, BundleSource, Isolation, Rootfs};
use super::masks;
use super::script::{Lookup, Script};
use super::serve::{self, Beside};
use super::shared_memory;
use super::users::Users;
use crate::error::{Attempt, Error, ErrorKind, Result};
use crate::sys::mount::{
    AT_RECURSIVE, ATTR_NODEV, ATTR_NOEXEC, ATTR_NOSUID, ATTR_RDONLY, ATTR_STRICTATIME, FSCONFIG_STRING_MAX,
    MOVE_MOUNT_F_EMPTY_PATH,
};
use crate::sys::plan::{ANY, Argument, Register};
use crate::sys::{namespace, probe, userns};

pub(super) const CLOSED: u64 = ATTR_NOSUID | ATTR_NODEV | ATTR_NOEXEC;

/// Name, major and minor number of the devices every container has.
pub(super) const DEVICES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// Links in `/dev`.
pub(super) const LINKS: [(&str, &str); 5] = [
    ("ptmx", "pts/ptmx"),
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// `/dev/shm`, as in Docker.
const SHM_SIZE: u64 = 64 << 20;

/// What is mounted where no words of the kernel help.
const PROC_HINT: &str = "the program itself runs in a container that hides parts of /proc or /sys: run that privileged";

/// Number of the descriptor of the first layer, beyond all others: those of the host program are closed by then, and a
/// plan has 64 results.
const FIRST_LAYER: u32 = 128;

/// `RLIMIT_NOFILE`, which the C libraries declare differently.
const NOFILE: u32 = 7;

/// The effective user counts, not the real one.
const AT_EACCESS: i32 = 0x200;

/// Cuts the child's mounts off from the host's.
pub(super) fn isolate(script: &mut Script) -> Result<()> {
    script.step("make the mounts private");
    let root = script.text("/")?;
    let flags = libc::MS_REC | libc::MS_PRIVATE;
    script.plan.call(libc::SYS_mount, &[0.into(), root.into(), 0.into(), flags.into(), 0.into()]);
    Ok(())
}

/// Mounts the root file system, attached nowhere yet; the register is its root directory. `as_user`: by one who has no
/// capabilities outside of a user namespace.
pub(super) fn root(script: &mut Script, rootfs: &Rootfs, as_user: bool) -> Result<Register> {
    let root = match rootfs {
        Rootfs::Directory(path) => {
            script.step(format!("mount the root file system {path:?}"));
            directory(script, path)?
        }
        Rootfs::Overlay { lowers, upper, work, volatile } => {
            let mut options = vec![("redirect_dir", "nofollow"), ("metacopy", "off"), ("index", "off")];
            options.extend(as_user.then_some(("userxattr", "")));
            options.extend(volatile.then_some(("volatile", "")));
            script.step(format!("mount {} layers below {upper:?}", lowers.len())).hint = Some(LAYERS_HINT);
            match probe::overlay_takes_single_lowers() {
                true => overlay(script, lowers, upper, work, &options)?,
                false => overlay_at_once(script, lowers, upper, work, &options)?,
            }
        }
        Rootfs::Served { .. } => return serve::mount(script, rootfs, &Beside::default()),
    };
    // overlayfs mounts read-only, without an error, when it cannot use the work directory.
    try_writing(script, root, "the work directory must be writable for this user")?;
    Ok(root)
}

/// Whether this user may write to the root.
pub(super) fn try_writing(script: &mut Script, root: Register, hint: &'static str) -> Result<()> {
    script.step("write to the root file system").hint = Some(hint);
    let here = script.text(".")?;
    script.plan.call(libc::SYS_faccessat2, &[root.into(), here.into(), libc::W_OK.into(), AT_EACCESS.into()]);
    Ok(())
}

fn directory(script: &mut Script, path: &Path) -> Result<Register> {
    let path = script.path(&std::path::absolute(path).attempt(|| format!("use path {path:?}"))?)?;
    let root = script.copy_tree(libc::AT_FDCWD, path, AT_RECURSIVE);
    script.set_attributes(root, ATTR_NODEV, AT_RECURSIVE);
    Ok(root)
}

/// The kernel says no more than "invalid argument" of a file system that cannot hold what an overlay writes.
const LAYERS_HINT: &str = "the data root must lie on ext4, xfs, btrfs or tmpfs, not on another overlay or a network file system: \
     `plywood doctor` tries it";

/// Attaches the root over `/`; paths of the host still lead below it.
pub(super) fn cover(script: &mut Script, root: Register) -> Result<()> {
    let (empty, slash) = (script.empty, script.text("/")?);
    let flags = MOVE_MOUNT_F_EMPTY_PATH.into();
    let arguments = [root.into(), empty.into(), libc::AT_FDCWD.into(), slash.into(), flags];
    script.plan.call(libc::SYS_move_mount, &arguments);
    Ok(())
}

/// One option per layer, since Linux 6.7.
fn overlay(
    script: &mut Script,
    lowers: &[PathBuf],
    upper: &Path,
    work: &Path,
    options: &[(&str, &str)],
) -> Result<Register> {
    let context = script.open_file_system("overlay")?;
    script.set_option(context, "source", "overlay")?;
    let layers = lowers.iter().map(|path| ("lowerdir+", path.as_path()));
    for (key, path) in layers.chain([("upperdir", upper), ("workdir", work)]) {
        let path = std::path::absolute(path).attempt(|| format!("use path {path:?}"))?;
        // Only these two options know escapes.
        let text = match (key, text(&path)?) {
            ("lowerdir+", text) => text.to_owned(),
            (_, text) => text.replace('\\', "\\\\"),
        };
        if text.len() > FSCONFIG_STRING_MAX {
            let path = script.path(&path)?;
            script.plan.call(libc::SYS_chdir, &[path.into()]);
            script.set_option(context, key, ".")?;
        } else {
            script.set_option(context, key, &text)?;
        }
    }
    for (key, value) in options {
        script.set_option(context, key, value)?;
    }
    script.create_file_system(context);
    Ok(script.mount_file_system(context, ATTR_NODEV))
}

/// All options at once, which must fit into a page: the layers are opened under numbers that are known here, and named
/// by them in `/proc/self/fd`.
fn overlay_at_once(
    script: &mut Script,
    lowers: &[PathBuf],
    upper: &Path,
    work: &Path,
    options: &[(&str, &str)],
) -> Result<Register> {
    allow_many_files(script);
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
    let mut numbers = Vec::new();
    for (number, path) in (FIRST_LAYER..).zip(lowers.iter().map(PathBuf::as_path).chain([upper, work])) {
        let path = script.path(&std::path::absolute(path).attempt(|| format!("use path {path:?}"))?)?;
        let layer = script.get(libc::SYS_openat, &[libc::AT_FDCWD.into(), path.into(), flags.into()]);
        script.plan.call(libc::SYS_dup3, &[layer.into(), number.into(), libc::O_CLOEXEC.into()]);
        script.close(layer);
        numbers.push(number.to_string());
    }
    let (layers, rest) = numbers.split_at(lowers.len());
    let mut text = format!("lowerdir={},upperdir={},workdir={}", layers.join(":"), rest[0], rest[1]);
    for (key, value) in options {
        let equals = if value.is_empty() { "" } else { "=" };
        text.extend([",", key, equals, value]);
    }
    let (kind, target, options) = (
        script.text("overlay")?,
        script.path(&std::path::absolute(upper).attempt(|| format!("use path {upper:?}"))?)?,
        script.text(text)?,
    );
    let descriptors = script.text("/proc/self/fd")?;
    script.plan.call(libc::SYS_chdir, &[descriptors.into()]);
    let arguments = [kind.into(), target.into(), kind.into(), libc::MS_NODEV.into(), options.into()];
    script.plan.call(libc::SYS_mount, &arguments);
    Ok(script.copy_tree(libc::AT_FDCWD, target, 0))
}

/// As many descriptors as this program may have.
pub(super) fn allow_many_files(script: &mut Script) {
    let unlimited = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let unlimited = script.plan.words(&[unlimited, unlimited]);
    let arguments = [0.into(), NOFILE.into(), unlimited.into(), 0.into()];
    script.plan.call(libc::SYS_prlimit64, &arguments);
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| {
        Error::new(ErrorKind::InvalidArgument, format!("mount the layers: the name of {path:?} is no UTF-8"))
    })
}

/// Mounts `/proc`, `/sys` and `/dev`; the register is the root of `/dev`.
pub(super) fn defaults(script: &mut Script, root: Register, bundle: &Bundle, users: Users<'_>) -> Result<Register> {
    script.step("mount /proc").hint = Some(PROC_HINT);
    let proc = match bundle.host_namespaces & namespace::PID != 0 && users.are_mapped() {
        // The kernel shows the host's processes in a new one to those only who have power over that namespace.
        true => {
            let path = script.text("/proc")?;
            let proc = script.copy_tree(libc::AT_FDCWD, path, AT_RECURSIVE);
            script.set_attributes(proc, CLOSED, AT_RECURSIVE);
            proc
        }
        false => script.file_system("proc", &[], CLOSED)?,
    };
    attach_default(script, root, "proc", proc)?;
    if users.own_network(bundle) {
        network_settings(script, proc, bundle, users)?;
    }
    sysctls(script, proc, &bundle.isolation)?;
    script.close(proc);
    sys(script, root, bundle, users)?;
    let dev = dev(script, root, users.are_mapped(), &bundle.isolation)?;
    if !bundle.privileged {
        masks::hide(script, root, dev, &bundle.isolation)?;
    }
    below_dev(script, root, bundle, users)?;
    Ok(dev)
}

/// Mounts on a directory of the root; one that is missing is made, a link is refused.
pub(super) fn attach_default(
    script: &mut Script,
    root: Register,
    path: &str,
    mount: impl Into<Argument>,
) -> Result<()> {
    script.step(format!("use /{path} of the root file system")).hint = Some("it must be a directory and no link");
    let (found, target) = script.look_up(root, path, Lookup::RealDirectory)?;
    script.plan.tolerate(found, &[libc::ENOENT]);
    let name = script.text(path)?;
    script.plan.call(libc::SYS_mkdirat, &[root.into(), name.into(), 0o755.into()]);
    let (again, register) = script.look_up(root, path, Lookup::RealDirectory)?;
    script.plan.keep(again, target);
    script.plan.release(register);
    script.plan.on_success_go_on_here(found);
    script.step(format!("mount on /{path}"));
    script.attach(mount, target);
    script.close(target);
    Ok(())
}

/// Ports below 1024 and ping for everybody, which makes up for the missing `NET_RAW`.
fn network_settings(script: &mut Script, proc: Register, bundle: &Bundle, users: Users<'_>) -> Result<()> {
    script.step("set up the network");
    // The kernel takes none but groups that exist.
    let last = match users {
        Users::Host | Users::Joined => "0 2147483647".to_owned(),
        Users::One | Users::Below { .. } => format!("{0} {0}", bundle.process.user.gid),
        Users::Many(_) => format!("0 {}", userns::last_gid()),
        Users::Shifted(namespace) => format!("0 {}", namespace.map.last_gid()),
    };
    for (name, value) in
        [("sys/net/ipv4/ip_unprivileged_port_start", "0".to_owned()), ("sys/net/ipv4/ping_group_range", last)]
    {
        let (name, length, value) = (script.text(name)?, value.len() as u64, script.text(value)?);
        let flags = libc::O_WRONLY | libc::O_CLOEXEC;
        let file = script.plan.register();
        // A kernel without these settings has nothing to set.
        let opened = script.attempt(libc::SYS_openat, &[proc.into(), name.into(), flags.into()], &[ANY]);
        script.plan.keep(opened, file);
        script.attempt(libc::SYS_write, &[file.into(), value.into(), length.into()], &[ANY]);
        script.close(file);
        script.plan.on_failure_go_on_here(opened);
    }
    Ok(())
}

/// What the caller wants to be set. Where that cannot be, the container does not start.
pub(super) fn sysctls(script: &mut Script, proc: Register, isolation: &Isolation) -> Result<()> {
    for (name, value) in &isolation.sysctls {
        script.step(format!("set {name} to {value:?}")).hint = Some("this kernel, or this user, cannot set it");
        let path = script.text(format!("sys/{}", name.replace('.', "/")))?;
        let flags = libc::O_WRONLY | libc::O_CLOEXEC;
        let file = script.get(libc::SYS_openat, &[proc.into(), path.into(), flags.into()]);
        let (length, value) = (value.len() as u64, script.text(value)?);
        script.plan.call(libc::SYS_write, &[file.into(), value.into(), length.into()]);
        script.close(file);
    }
    Ok(())
}

fn sys(script: &mut Script, root: Register, bundle: &Bundle, users: Users<'_>) -> Result<()> {
    script.step("mount /sys").hint = Some(PROC_HINT);
    let read_only = if bundle.privileged { 0 } else { ATTR_RDONLY };
    let sys = match users.own_network(bundle) {
        // sysfs shows the network namespace, which must be ours to mount it.
        false => {
            let path = script.text("/sys")?;
            let sys = script.copy_tree(libc::AT_FDCWD, path, AT_RECURSIVE);
            script.set_attributes(sys, CLOSED | read_only, AT_RECURSIVE);
            sys
        }
        true => script.file_system("sysfs", &[], CLOSED | read_only)?,
    };
    attach_default(script, root, "sys", sys)?;
    script.close(sys);
    Ok(())
}

fn dev(script: &mut Script, root: Register, user_namespace: bool, isolation: &Isolation) -> Result<Register> {
    script.step("mount /dev");
    let options = [("mode", "755"), ("size", "65536k")];
    let dev = script.file_system("tmpfs", &options, ATTR_NOSUID | ATTR_STRICTATIME)?;
    for name in ["pts", "shm", "mqueue"].iter().filter(|name| **name != "shm" || !isolation.no_shared_memory) {
        let name = script.text(name)?;
        script.plan.call(libc::SYS_mkdirat, &[dev.into(), name.into(), 0o755.into()]);
    }
    for (name, target) in LINKS {
        let (name, target) = (script.text(name)?, script.text(target)?);
        script.plan.call(libc::SYS_symlinkat, &[target.into(), dev.into(), name.into()]);
    }
    for (name, major, minor) in DEVICES {
        script.step(format!("create /dev/{name}"));
        let name = script.text(name)?;
        // The kind of number that mknod takes: 12 bits of major above 8 of minor.
        let (mode, device) = match user_namespace {
            true => (libc::S_IFREG | 0o666, 0),
            false => (libc::S_IFCHR | 0o666, major << 8 | minor),
        };
        script.plan.call(libc::SYS_mknodat, &[dev.into(), name.into(), mode.into(), device.into()]);
    }
    attach_default(script, root, "dev", dev)?;
    if user_namespace {
        for (name, ..) in DEVICES {
            script.step(format!("mount the host's /dev/{name}"));
            let path = script.text(format!("/dev/{name}"))?;
            let device = script.copy_tree(libc::AT_FDCWD, path, 0);
            let (_, target) = script.look_up(root, &format!("dev/{name}"), Lookup::Real)?;
            script.attach(device, target);
            script.close(target);
            script.close(device);
        }
    }
    Ok(dev)
}

fn below_dev(script: &mut Script, root: Register, bundle: &Bundle, users: Users<'_>) -> Result<()> {
    let shares_ipc = bundle.host_namespaces & namespace::IPC != 0;
    let shm_size = bundle.isolation.shm_size.unwrap_or(SHM_SIZE).to_string();
    let mut pts = vec![("ptmxmode", "0666"), ("mode", "0620")];
    // Group 5 is "tty" everywhere, but there may be one group only.
    pts.extend(users.have_groups().then_some(("gid", "5")));
    let pts_attributes = ATTR_NOSUID | ATTR_NOEXEC;
    for (path, kind, options, attributes) in [
        ("dev/pts", "devpts", pts, pts_attributes),
        ("dev/shm", "tmpfs", vec![("mode", "1777"), ("size", shm_size.as_str())], CLOSED),
        ("dev/mqueue", "mqueue", vec![], CLOSED),
    ] {
        if kind == "tmpfs" && bundle.isolation.no_shared_memory {
            continue;
        }
        if kind == "tmpfs" && bundle.shared_memory.is_some() {
            script.step("mount the /dev/shm of another container");
            attach_default(script, root, path, shared_memory::MOUNT)?;
            script.plan.call(libc::SYS_close, &[shared_memory::MOUNT.into()]);
            continue;
        }
        script.step(format!("mount /{path}"));
        // Queues are mounted anew by whoever has a right to their namespace: the host may show them nowhere.
        let is_host = shares_ipc && (kind == "tmpfs" || kind == "mqueue" && users.are_mapped());
        let mount = match is_host {
            true if kind == "mqueue" && !Path::new("/dev/mqueue").is_dir() => continue,
            true => {
                script.step(format!("mount the host's /{path}")).hint = Some("the host must have it to share it");
                let host = script.text(format!("/{path}"))?;
                let copy = script.copy_tree(libc::AT_FDCWD, host, 0);
                script.set_attributes(copy, attributes, 0);
                copy
            }
            false => script.file_system(kind, &options, attributes)?,
        };
        attach_default(script, root, path, mount)?;
        script.close(mount);
    }
    Ok(())
}

/// A file or directory of the host that is to be mounted, attached nowhere yet, and the attributes it lacks.
pub(super) struct Source {
    pub mount: Register,
    pub attributes: u64,
    pub is_device: bool,
}

/// Copies the mounts at the source of a bind.
pub(super) fn source(script: &mut Script, path: &Path, mount: &BundleMount, bundle: &Bundle) -> Result<Source> {
    let (path, kind) = examine(path, mount)?;
    script.step(format!("mount {path:?} at {:?}", mount.target));
    let is_device = kind.is_char_device() || kind.is_block_device();
    let no_device = if is_device || bundle.privileged { 0 } else { ATTR_NODEV };
    let read_only = if mount.read_only { ATTR_RDONLY } else { 0 };
    let path = script.path(&path)?;
    let mount = script.copy_tree(libc::AT_FDCWD, path, AT_RECURSIVE);
    Ok(Source { mount, attributes: read_only | no_device, is_device })
}

fn examine(path: &Path, mount: &BundleMount) -> Result<(PathBuf, FileType)> {
    let attempt = || format!("mount {path:?} at {:?}", mount.target);
    let path = std::path::absolute(path).attempt(attempt)?;
    let kind = path.metadata().attempt(attempt).map_err(|error| error.with_path(&path))?.file_type();
    Ok((path, kind))
}

/// Mounts a bind or tmpfs of the caller; `prepared` is the descriptor of a source that is ready.
pub(super) fn mount(
    script: &mut Script,
    root: Register,
    mount: &BundleMount,
    bundle: &Bundle,
    prepared: Option<u32>,
) -> Result<()> {
    let target = mount.target.relative();
    if mount.target.is_root() {
        return Err(Error::new(ErrorKind::InvalidArgument, "mount at \"/\": the root file system is there already"));
    }
    let (made, is_directory) = match (&mount.source, prepared) {
        (BundleSource::Bind(path), Some(_)) => (None, examine(path, mount)?.1.is_dir()),
        (BundleSource::Bind(path), None) => {
            let source = source(script, path, mount, bundle)?;
            script.set_attributes(source.mount, source.attributes, AT_RECURSIVE);
            (Some(source.mount), examine(path, mount)?.1.is_dir())
        }
        (BundleSource::Tmpfs { size, mode }, _) => {
            script.step(format!("mount memory at {:?}", mount.target));
            let (mode, size) = (format!("{mode:o}"), size.map(|size| size.to_string()));
            let mut options = vec![("mode", mode.as_str())];
            options.extend(size.as_deref().map(|size| ("size", size)));
            let read_only = if mount.read_only { ATTR_RDONLY } else { 0 };
            (Some(script.file_system("tmpfs", &options, CLOSED | read_only)?), true)
        }
    };
    script.step(format!("create {:?} in the container to mount on it", mount.target));
    let target = match is_directory {
        true => script.make_directory(root, target)?,
        false => script.make_file(root, target)?,
    };
    script.step(format!("mount on {:?} in the container", mount.target)).hint =
        Some("a directory is mounted on a directory, a file on a file");
    let source = made.map_or_else(|| Argument::from(prepared.unwrap_or_default()), Argument::from);
    script.attach(source, target);
    script.close(target);
    script.plan.call(libc::SYS_close, &[source]);
    if let Some(made) = made {
        script.plan.release(made);
    }
    Ok(())
}

/// Makes the root the only thing to see.
pub(super) fn enter(script: &mut Script, root: Register, read_only: bool) -> Result<()> {
    if read_only {
        script.step("make the root file system read-only");
        script.set_attributes(root, ATTR_RDONLY, 0);
    }
    script.step("change to the root file system");
    let here = script.text(".")?;
    script.plan.call(libc::SYS_fchdir, &[root.into()]);
    // The old root comes to lie over the new one, and is taken away: pivot_root(2), "pivot_root(".", ".")".
    script.plan.call(libc::SYS_pivot_root, &[here.into(), here.into()]);
    script.plan.call(libc::SYS_umount2, &[here.into(), libc::MNT_DETACH.into()]);
    Ok(())
}
