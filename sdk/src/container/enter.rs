//! Programs of the host in the namespaces of a container.

use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::{Attempt, Error, ErrorKind, Result};
use crate::host::{self, HostFile};
use crate::runtime::{Tool, Tools};
use crate::sys::helper;

/// What comes along with the program that is asked for, where the host has it.
const ALONG: [&str; 21] = [
    "sh", "ls", "cat", "env", "id", "ps", "ip", "ss", "grep", "find", "head", "tail", "stat", "mount", "df", "kill",
    "chroot", "readlink", "stty", "touch", "tty",
];

/// The programs, opened, and the `PATH` on which they are found.
pub(super) fn tools(program: &str) -> Result<(Tools, String)> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |name: &&str| std::env::split_paths(&path).any(|directory| directory.join(name).is_file());
    let along = ALONG.iter().copied().filter(|name| *name != program).filter(is_there);
    let programs: Vec<String> = std::iter::once(program).chain(along).map(str::to_owned).collect();
    let plan = host::plan(&programs)?;
    let mut tools = Tools::default();
    for (path, file) in plan.files() {
        let tool = match file {
            HostFile::Directory { mode } => Tool::Directory { mode: *mode },
            HostFile::Symlink { target } => Tool::Symlink { target: text(target)? },
            HostFile::Text(text) => Tool::Text(text),
            HostFile::Copy { mode, size } => {
                // The child has its streams and the helper's descriptors by the time it copies.
                let file = File::open(path).and_then(|file| helper::high(file.into()));
                let file = file.attempt(|| format!("read {path:?} of the host"))?;
                // Not with the host's set-user-ID: what may not raise privileges is what has none.
                Tool::Copy { mode: mode & 0o777, size: *size, file }
            }
        };
        tools.add(text(path.strip_prefix("/").unwrap_or(path))?, tool);
    }
    Ok((tools, plan.search_path))
}

fn text(path: &Path) -> Result<String> {
    std::str::from_utf8(path.as_os_str().as_bytes())
        .map(str::to_owned)
        .map_err(|_| Error::new(ErrorKind::InvalidArgument, format!("copy {path:?} of the host: its name is no UTF-8")))
}
