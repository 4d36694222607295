//! The devices of a container, the links beside them, and what is hidden.

use super::config::Device;
use super::process::bad;
use crate::error::Result;
use crate::runtime::mounts::{CLOSED, DEVICES, LINKS};
use crate::runtime::script::{Lookup, Script};
use crate::spec::container_path::ContainerPath;
use crate::sys::mount::ATTR_RDONLY;
use crate::sys::plan::Register;

/// Makes the devices that every container has, and those of the configuration. In a user namespace, where nobody can make
/// any, the host's are mounted.
pub(super) fn make(script: &mut Script, root: Register, devices: &[Device], mapped: bool) -> Result<()> {
    for (name, major, minor) in DEVICES {
        let path = format!("/dev/{name}");
        if devices.iter().any(|device| device.path == path) {
            continue;
        }
        let device = Device { kind: "c".into(), path, major, minor, file_mode: None, uid: None, gid: None };
        one(script, root, &device, mapped)?;
    }
    for device in devices {
        one(script, root, device, mapped)?;
    }
    let dev = script.make_directory(root, "dev")?;
    for (name, target) in LINKS {
        script.step(format!("create /dev/{name}"));
        let (name, target) = (script.text(name)?, script.text(target)?);
        script.attempt(libc::SYS_symlinkat, &[target.into(), dev.into(), name.into()], &[libc::EEXIST]);
    }
    script.close(dev);
    Ok(())
}

fn one(script: &mut Script, root: Register, device: &Device, mapped: bool) -> Result<()> {
    let kind = match device.kind.as_str() {
        "c" | "u" => libc::S_IFCHR,
        "b" => libc::S_IFBLK,
        "p" => libc::S_IFIFO,
        other => return Err(bad("linux.devices.type", other, "it is c, b, u or p").into()),
    };
    let path = ContainerPath::parse(&device.path)?;
    let (above, name) = path.relative().rsplit_once('/').unwrap_or(("", path.relative()));
    if name.is_empty() {
        return Err(bad("linux.devices.path", &device.path, "it names no file").into());
    }
    // As many bits as the kernel has for them.
    if device.major > 0xfff || device.minor > 0xf_ffff {
        let number = format!("{}:{}", device.major, device.minor);
        return Err(bad("linux.devices", number, "it is no number of a device").into());
    }
    script.step(format!("create the device {path:?} in the container"));
    let above = script.make_directory(root, above)?;
    let text = script.text(name)?;
    let is_mounted = mapped && kind != libc::S_IFIFO;
    // The kind of number that mknod takes: 12 bits of major, and the minor on both sides of them.
    let number = match is_mounted {
        true => 0,
        false => (device.minor & 0xff) | (device.major & 0xfff) << 8 | (device.minor & !0xff) << 12,
    };
    let mode = device.file_mode.unwrap_or(0o666) & 0o7777 | if is_mounted { libc::S_IFREG } else { kind };
    // One that the image has, as it has it.
    let made =
        script.attempt(libc::SYS_mknodat, &[above.into(), text.into(), mode.into(), number.into()], &[libc::EEXIST]);
    let (uid, gid) = (device.uid.unwrap_or(0), device.gid.unwrap_or(0));
    let no_link = libc::AT_SYMLINK_NOFOLLOW.into();
    script.plan.call(libc::SYS_fchownat, &[above.into(), text.into(), uid.into(), gid.into(), no_link]);
    script.plan.on_failure_go_on_here(made);
    if is_mounted {
        let host = script.text(&device.path)?;
        let copy = script.copy_tree(libc::AT_FDCWD, host, 0);
        let (_, target) = script.look_up(root, path.relative(), Lookup::Real)?;
        script.attach(copy, target);
        script.close(target);
        script.close(copy);
    }
    script.close(above);
    Ok(())
}

/// Hides paths, if they are there: a directory becomes an empty one, a file the null device.
pub(super) fn mask(script: &mut Script, root: Register, paths: &[String]) -> Result<()> {
    for path in paths {
        let path = ContainerPath::parse(path)?;
        script.step(format!("mask {path:?}"));
        let (found, target) = script.look_up(root, path.relative(), Lookup::Directory)?;
        script.plan.tolerate(found, &[libc::ENOENT, libc::ENOTDIR, libc::EACCES]);
        let empty = script.file_system("tmpfs", &[("mode", "755"), ("size", "0")], CLOSED | ATTR_RDONLY)?;
        script.attach(empty, target);
        script.close(empty);
        let done = script.plan.call(libc::SYS_close, &[target.into()]);
        script.plan.release(target);
        script.plan.on_failure_go_on_here(found);
        let (found, target) = script.look_up(root, path.relative(), Lookup::Follow)?;
        script.plan.tolerate(found, &[libc::ENOENT, libc::ENOTDIR, libc::EACCES]);
        let (_, null) = script.look_up(root, "dev/null", Lookup::Follow)?;
        let empty = script.empty;
        let copy = script.copy_tree(null, empty, crate::sys::mount::AT_EMPTY_PATH);
        script.attach(copy, target);
        script.close(copy);
        script.close(null);
        script.close(target);
        script.plan.on_failure_go_on_here(found);
        script.plan.on_success_go_on_here(done);
    }
    Ok(())
}
