//! Starts the helper as a process of its own, beside the host program.
//!
//! It has neither streams, working directory, environment nor session of the program, and is nobody's child: what is
//! started here forks and ends.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{MemfdFlags, memfd_create};

use super::clone::{self, Failure, Gate, Options};
use super::helper;
use super::mount::AT_EMPTY_PATH;
use super::plan::Plan;
use super::visible::Visibility;
use super::wait::{self, End};

/// The first descriptor behind the standard streams.
const FIRST: u32 = 3;

/// Starts it under this name, with these descriptors from 3 on, in this order; returns once it goes on by itself.
pub(crate) fn start(name: &str, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let executable = FIRST + descriptors.len() as u32;
    // Beyond all numbers that are overwritten.
    let high = |fd: BorrowedFd<'_>| -> io::Result<OwnedFd> {
        Ok(rustix::io::fcntl_dupfd_cloexec(fd, (executable + 1) as i32)?)
    };
    let null = high(File::options().read(true).write(true).open("/dev/null")?.as_fd())?;
    let program = high(helper::program()?)?;
    let given = descriptors.iter().map(|fd| high(*fd)).collect::<io::Result<Vec<_>>>()?;
    let mut plan = Plan::default();
    plan.call(libc::SYS_setsid, &[]);
    for (from, to) in [&null; 3].into_iter().chain(&given).zip(0_u32..) {
        plan.call(libc::SYS_dup3, &[from.as_raw_fd().into(), to.into(), 0.into()]);
    }
    plan.call(libc::SYS_dup3, &[program.as_raw_fd().into(), executable.into(), libc::O_CLOEXEC.into()]);
    plan.call(libc::SYS_close_range, &[(executable + 1).into(), u32::MAX.into(), 0.into()]);
    let (root, empty) = (plan.string("/")?, plan.bytes(b"\0"));
    plan.call(libc::SYS_chdir, &[root.into()]);
    let name = plan.string(name)?;
    let (argv, envp) = (plan.pointers(&[name]), plan.pointers(&[]));
    let arguments = [executable.into(), empty.into(), argv.into(), envp.into(), AT_EMPTY_PATH.into()];
    plan.call(libc::SYS_execveat, &arguments);
    let (visibility, gate) = (Visibility::Hidden, Gate::Open);
    let options = Options { namespaces: 0, forks: false, visibility, cgroup: None, gate };
    let child =
        clone::spawn(&mut plan.seal()?, options, |_, _| Ok(()), |_, _| Ok(())).map_err(|failure| match failure {
            Failure::Clone(error) | Failure::Prepare(error) => error,
            Failure::Step { errno, .. } => io::Error::from_raw_os_error(errno),
            Failure::Killed => io::Error::other("it was killed before it could begin"),
        })?;
    // It ends at once, and leaves the one it has forked to whoever takes care of orphans.
    match wait::reap(&child.pidfd)? {
        End::Exited(0) | End::Unknown => Ok(()),
        _ => Err(io::Error::other("it could not begin")),
    }
}

/// A file in memory with this content.
pub(crate) fn memory(name: &str, content: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create(name, MemfdFlags::CLOEXEC)?);
    file.write_all(content)?;
    Ok(file)
}
