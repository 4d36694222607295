//! Programs of the host in a container's namespaces, in a root directory of their own.
//!
//! The child copies the container's mounts for itself, mounts memory, fills it with copies of the programs, attaches the
//! container's root at [`CONTAINER`] and its `/proc`, `/sys` and `/dev` in their places, and makes that its root. No file of
//! the host is reachable from there, and the container's own view is as before.

use std::os::fd::{AsRawFd, OwnedFd};

use super::mounts;
use super::script::{Lookup, Script};
use crate::error::Result;
use crate::sys::mount::{AT_EMPTY_PATH, AT_RECURSIVE, ATTR_NODEV, ATTR_NOSUID};
use crate::sys::namespace;
use crate::sys::plan::Register;

/// Where the container's root is, without a slash.
pub(crate) const CONTAINER: &str = "container";

/// What such a root may hold at most.
const SIZE: &str = "512m";

/// The files of such a root, each after the directory that holds it.
#[derive(Debug, Default)]
pub(crate) struct Tools {
    files: Vec<(String, Tool)>,
}

/// One of them.
#[derive(Debug)]
pub(crate) enum Tool {
    Directory {
        mode: u32,
    },
    Symlink {
        target: String,
    },
    Text(&'static str),
    /// A copy of so many bytes of this file.
    Copy {
        mode: u32,
        size: u64,
        file: OwnedFd,
    },
}

impl Tools {
    /// Adds a file; the path is relative.
    pub(crate) fn add(&mut self, path: String, tool: Tool) {
        self.files.push((path, tool));
    }
}

/// Makes the root of the tools the one of the child.
pub(super) fn enter(script: &mut Script, tools: &Tools) -> Result<()> {
    script.step("copy the mounts of the container");
    script.plan.call(libc::SYS_unshare, &[namespace::MOUNT.into()]);
    mounts::isolate(script)?;
    // Those of the copy, and not of the container.
    script.step("open the root of the container");
    let (slash, flags) = (script.text("/")?, libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC);
    let old = script.get(libc::SYS_openat, &[libc::AT_FDCWD.into(), slash.into(), flags.into()]);
    let empty = script.empty;
    let container = script.copy_tree(old, empty, AT_EMPTY_PATH | AT_RECURSIVE);
    let mut kept = Vec::new();
    for name in ["proc", "sys", "dev"] {
        script.step(format!("use /{name} of the container"));
        let (_, there) = script.look_up(old, name, Lookup::RealDirectory)?;
        kept.push((name, script.copy_tree(there, empty, AT_EMPTY_PATH | AT_RECURSIVE)));
        script.close(there);
    }
    script.close(old);
    script.step("mount memory for the programs of the host");
    let root = script.file_system("tmpfs", &[("mode", "755"), ("size", SIZE)], ATTR_NOSUID | ATTR_NODEV)?;
    mounts::cover(script, root)?;
    for (path, tool) in &tools.files {
        script.step(format!("copy {:?} of the host", format!("/{path}")));
        copy(script, root, path, tool)?;
    }
    script.step("attach the container's root");
    let name = script.text(CONTAINER)?;
    script.plan.call(libc::SYS_mkdirat, &[root.into(), name.into(), 0o755.into()]);
    kept.push((CONTAINER, container));
    for (name, mount) in kept {
        let (_, target) = script.look_up(root, name, Lookup::RealDirectory)?;
        script.attach(mount, target);
        script.close(target);
        script.close(mount);
    }
    mounts::enter(script, root, false)?;
    script.close(root);
    Ok(())
}

fn copy(script: &mut Script, root: Register, path: &str, tool: &Tool) -> Result<()> {
    let path = script.text(path)?;
    let create = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY | libc::O_CLOEXEC;
    match tool {
        Tool::Directory { mode } => {
            script.plan.call(libc::SYS_mkdirat, &[root.into(), path.into(), (*mode).into()]);
        }
        Tool::Symlink { target } => {
            let target = script.text(target)?;
            script.plan.call(libc::SYS_symlinkat, &[target.into(), root.into(), path.into()]);
        }
        Tool::Text(text) => {
            let file = script.get(libc::SYS_openat, &[root.into(), path.into(), create.into(), 0o644.into()]);
            let (length, text) = (text.len() as u64, script.text(text)?);
            script.plan.call(libc::SYS_write, &[file.into(), text.into(), length.into()]);
            script.close(file);
        }
        Tool::Copy { mode, size, file: source } => {
            let file = script.get(libc::SYS_openat, &[root.into(), path.into(), create.into(), (*mode).into()]);
            // Of a regular file into memory all at once: signals are blocked.
            let arguments = [file.into(), source.as_raw_fd().into(), 0.into(), (*size).into()];
            script.plan.call(libc::SYS_sendfile, &arguments);
            script.close(file);
        }
    }
    Ok(())
}
