//! The helper program (`sdk/helper/`): where it is, and the line to one that is process 1 of a container.
//!
//! It is carried in this library and executed from a memory file that is sealed
//! ([`memfd_create(2)`](https://man7.org/linux/man-pages/man2/memfd_create.2.html)): no path leads to it, and a container
//! that finds it behind `/proc/1/exe` cannot write to it.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};

use super::clone::Failure;
use super::plan::Blob;

static PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/helper"));

/// Where a child finds the socket, the plan and the program; none of the host program's descriptors that it needs is
/// below [`FREE`].
pub(crate) const SOCKET: u32 = 3;
pub(crate) const PLAN: u32 = 4;
pub(crate) const EXECUTABLE: u32 = 5;
/// The first number that a child may use as it likes.
pub(crate) const FREE: u32 = 6;

/// What the helper shall do with its plan, when it is told to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Walk it in a child, and be process 1 of the container.
    Init = 1,
    /// Walk it itself.
    Trampoline = 2,
}

/// Bytes in front of the plan; the helper leaves there why it failed.
pub(super) const ANSWER: usize = 64;

/// A helper that waits for the word to go on: our end of the line.
#[derive(Debug)]
pub(crate) struct Line {
    ours: OwnedFd,
    theirs: OwnedFd,
    plan: File,
    role: Role,
}

/// What a child that is to become the helper needs, as numbers of ours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Handover {
    pub socket: RawFd,
    pub plan: RawFd,
    pub program: RawFd,
}

impl Line {
    /// A line to a helper that will have this plan.
    pub(crate) fn new(role: Role, plan: &Blob) -> io::Result<Self> {
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        Ok(Self { ours, theirs: high(theirs)?, plan: high(plan_file(plan)?.into())?.into(), role })
    }

    /// What the child needs.
    pub(crate) fn handover(&self) -> io::Result<Handover> {
        let program = program()?.as_raw_fd();
        Ok(Handover { socket: self.theirs.as_raw_fd(), plan: self.plan.as_raw_fd(), program })
    }

    /// Lets the helper, which has begun, go on; returns once the plan has ended in a program, with the line to an init.
    pub(crate) fn go_on(self, plan: &mut Blob) -> Result<Option<OwnedFd>, Failure> {
        drop(self.theirs);
        // One that was killed meanwhile does not listen; the answer tells.
        let _ = send(&self.ours, &[self.role as u8], SendFlags::NOSIGNAL);
        let begun = loop {
            match recv(&self.ours, &mut [0], RecvFlags::empty()) {
                Err(rustix::io::Errno::INTR) => {}
                received => break received.is_ok_and(|(read, _)| read > 0),
            }
        };
        if begun {
            return Ok(Some(self.ours));
        }
        let mut bytes = vec![0; ANSWER + plan.length()];
        self.plan.read_exact_at(&mut bytes, 0).map_err(Failure::Prepare)?;
        let mut failure = [0; 8];
        failure.copy_from_slice(&bytes[..8]);
        match (u64::from_ne_bytes(failure), self.role) {
            (0, Role::Trampoline) => Ok(None),
            (0, Role::Init) => Err(Failure::Killed),
            (failure, _) => {
                plan.replace(bytes.split_off(ANSWER));
                Err(Failure::Step { step: (failure >> 32) as u16, errno: failure as u32 as i32 })
            }
        }
    }
}

/// A plan as the helper reads it.
pub(crate) fn plan_file(plan: &Blob) -> io::Result<File> {
    let mut file = File::from(memory("plywood-plan", MemfdFlags::CLOEXEC)?);
    file.write_all(&[0; ANSWER])?;
    file.write_all(plan.bytes())?;
    Ok(file)
}

/// The wait status of the payload, from an init that has ended; `None` if it could not tell.
pub(crate) fn payload_status(line: impl AsFd) -> Option<i32> {
    let mut status = [0; 4];
    let received = recv(line, &mut status, RecvFlags::DONTWAIT);
    received.is_ok_and(|(read, _)| read == status.len()).then(|| i32::from_ne_bytes(status))
}

const NO_EXECUTION: &str = "this host forbids the execution of programs from memory (sysctl vm.memfd_noexec=1 or 0)";

/// The program, once per process.
pub(crate) fn program() -> io::Result<BorrowedFd<'static>> {
    static FILE: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(file) = FILE.get() {
        return Ok(file.as_fd());
    }
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Since Linux 6.3 a host may want it said that the file is to be executed; before, nobody knows the word.
    let file = match memory("plywood-helper", flags | MemfdFlags::EXEC) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => memory("plywood-helper", flags)?,
        Err(error) if error.raw_os_error() == Some(libc::EACCES) => {
            return Err(io::Error::new(error.kind(), NO_EXECUTION));
        }
        file => file?,
    };
    let mut file = File::from(file);
    file.write_all(PROGRAM)?;
    fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    let file = high(file.into())?;
    Ok(FILE.get_or_init(|| file).as_fd())
}

fn memory(name: &str, flags: MemfdFlags) -> io::Result<OwnedFd> {
    Ok(memfd_create(name, flags)?)
}

/// Moves a descriptor beyond those that a child overwrites.
pub(crate) fn high(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() >= FREE as RawFd {
        return Ok(fd);
    }
    Ok(rustix::io::fcntl_dupfd_cloexec(&fd, FREE as RawFd)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn r1_nobody_can_write_to_the_program() {
        let file = File::from(program().unwrap().try_clone_to_owned().unwrap());
        assert_eq!(file.metadata().unwrap().len(), PROGRAM.len() as u64);
        assert!(file.write_at(b"x", 0).is_err() && file.set_len(0).is_err());
        let again = File::options().write(true).open(format!("/proc/self/fd/{}", file.as_raw_fd()));
        assert!(again.is_err() || again.unwrap().write_at(b"x", 0).is_err());
    }

    #[test]
    fn the_program_is_small_and_needs_no_loader() {
        assert!(PROGRAM.len() < 64 << 10, "{} bytes", PROGRAM.len());
        assert!(PROGRAM.starts_with(b"\x7fELF"));
        let done = std::process::Command::new(format!("/proc/self/fd/{}", program().unwrap().as_raw_fd())).status();
        // Not by one of its names: it does nothing.
        assert_eq!(done.unwrap().code(), Some(127));
    }
}
