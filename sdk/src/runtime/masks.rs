//! What of `/proc` and `/sys` is hidden, and what of it refuses writes.

use std::path::Path;

use super::bundle::Isolation;
use super::mounts::CLOSED;
use super::script::{Lookup, Script};
use crate::error::Result;
use crate::sys::mount::{AT_EMPTY_PATH, AT_RECURSIVE, ATTR_RDONLY};
use crate::sys::plan::{Offset, Register};

/// Files that read as empty. Docker's list and Podman's, of July 2026.
const MASKED_FILES: [&str; 7] = [
    "proc/interrupts",
    "proc/kcore",
    "proc/keys",
    "proc/latency_stats",
    "proc/sched_debug",
    "proc/timer_list",
    "proc/timer_stats",
];

/// Directories that are empty.
const MASKED_DIRECTORIES: [&str; 6] =
    ["proc/acpi", "proc/asound", "proc/scsi", "sys/devices/virtual/powercap", "sys/firmware", "sys/fs/selinux"];

/// Paths that refuse writes.
const READ_ONLY: [&str; 5] = ["proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"];

/// Hides what would tell about or change the host. Comes before `/dev/pts` is mounted: the empty directory below it
/// stands for the hidden ones, and its null device for hidden files.
pub(super) fn hide(script: &mut Script, root: Register, dev: Register, isolation: &Isolation) -> Result<()> {
    let empty = Empty { dev, file: script.text("null")?, directory: script.text("pts")? };
    match &isolation.masked_paths {
        None => {
            let throttles = (0..).map(|cpu| format!("sys/devices/system/cpu/cpu{cpu}/thermal_throttle"));
            let throttles = throttles.take_while(|path| Path::new("/").join(path).exists());
            for path in MASKED_FILES {
                mask(script, root, path, Lookup::Real, &empty)?;
            }
            for path in MASKED_DIRECTORIES.iter().map(|path| (*path).to_owned()).chain(throttles) {
                mask(script, root, &path, Lookup::RealDirectory, &empty)?;
            }
        }
        Some(paths) => {
            for path in paths {
                mask_either(script, root, path.trim_start_matches('/'), &empty)?;
            }
        }
    }
    match &isolation.read_only_paths {
        None => READ_ONLY.iter().try_for_each(|path| forbid_writes(script, root, path)),
        Some(paths) => forbid_all(script, root, paths),
    }
}

/// What is mounted over hidden paths: names in `/dev`.
struct Empty {
    dev: Register,
    file: Offset,
    directory: Offset,
}

/// Hides a path of a known kind, if it is there.
fn mask(script: &mut Script, root: Register, path: &str, kind: Lookup, empty: &Empty) -> Result<()> {
    script.step(format!("mask /{path}"));
    let (found, target) = script.look_up(root, path, kind)?;
    script.plan.tolerate(found, &[libc::ENOENT]);
    cover(script, kind, empty, target);
    script.close(target);
    script.plan.on_failure_go_on_here(found);
    Ok(())
}

/// Hides a path of the caller, if it is there: as a directory, and otherwise as a file.
fn mask_either(script: &mut Script, root: Register, path: &str, empty: &Empty) -> Result<()> {
    script.step(format!("mask /{path}"));
    let (found, target) = script.look_up(root, path, Lookup::RealDirectory)?;
    script.plan.tolerate(found, &[libc::ENOENT, libc::ENOTDIR]);
    cover(script, Lookup::RealDirectory, empty, target);
    let done = script.plan.call(libc::SYS_close, &[target.into()]);
    script.plan.release(target);
    script.plan.on_failure_go_on_here(found);
    mask(script, root, path, Lookup::Real, empty)?;
    script.plan.on_success_go_on_here(done);
    Ok(())
}

fn cover(script: &mut Script, kind: Lookup, empty: &Empty, target: Register) {
    let is_directory = matches!(kind, Lookup::RealDirectory);
    let source = script.copy_tree(empty.dev, if is_directory { empty.directory } else { empty.file }, 0);
    if is_directory {
        script.set_attributes(source, CLOSED | ATTR_RDONLY, 0);
    }
    script.attach(source, target);
    script.close(source);
}

/// Makes paths of the caller refuse writes, if they are there.
pub(super) fn forbid_all(script: &mut Script, root: Register, paths: &[String]) -> Result<()> {
    paths.iter().try_for_each(|path| forbid_writes(script, root, path.trim_start_matches('/')))
}

fn forbid_writes(script: &mut Script, root: Register, path: &str) -> Result<()> {
    script.step(format!("make /{path} read-only"));
    let (found, target) = script.look_up(root, path, Lookup::Real)?;
    script.plan.tolerate(found, &[libc::ENOENT]);
    let empty = script.empty;
    let copy = script.copy_tree(target, empty, AT_EMPTY_PATH | AT_RECURSIVE);
    script.set_attributes(copy, ATTR_RDONLY, AT_RECURSIVE);
    script.attach(copy, target);
    script.close(copy);
    script.close(target);
    script.plan.on_failure_go_on_here(found);
    Ok(())
}
