//! A helper that waits for the word of another program than the one that has started it.
//!
//! In place of the socket it has a fifo, and its plan is in a file beside it, where it leaves why it failed. Both are in a
//! directory that only the user of the program may enter.
//!
//! | file | holds |
//! |---|---|
//! | `start` | the fifo; the helper is its only reader, until it has become another program |
//! | `plan` | the answer of the helper, and the plan |

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};

use super::clone::Failure;
use super::helper::{ANSWER, Handover, Role, program};
use super::plan::Blob;

const FIFO: &str = "start";
const PLAN: &str = "plan";

/// What the child needs, until it has it.
#[derive(Debug)]
pub(crate) struct Waiting {
    fifo: OwnedFd,
    plan: OwnedFd,
    program: OwnedFd,
}

impl Waiting {
    /// Writes the two files; the descriptors have numbers of `above` or more.
    pub(crate) fn new(directory: &Path, plan: &Blob, above: u32) -> io::Result<Self> {
        let fifo = directory.join(FIFO);
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        // For both, which does not wait for anybody.
        let fifo = rustix::fs::open(&fifo, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        let mut file = File::options();
        file.read(true).write(true).create_new(true).mode(0o600);
        let mut file = file.open(directory.join(PLAN))?;
        file.write_all(&[0; ANSWER])?;
        file.write_all(plan.bytes())?;
        let high = |fd: BorrowedFd<'_>| rustix::io::fcntl_dupfd_cloexec(fd, above as i32);
        Ok(Self { fifo: high(fifo.as_fd())?, plan: high(file.as_fd())?, program: high(program()?)? })
    }

    /// The same, as numbers.
    pub(crate) fn handover(&self) -> Handover {
        let (socket, plan) = (self.fifo.as_raw_fd(), self.plan.as_raw_fd());
        Handover { socket, plan, program: self.program.as_raw_fd() }
    }
}

/// Whether a helper waits there.
pub(crate) fn is_waiting(directory: &Path) -> bool {
    open(directory).is_ok()
}

/// The writing end; an error if nobody reads.
fn open(directory: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(directory.join(FIFO), OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?)
}

/// Lets the helper become what its plan says; returns once it has.
pub(crate) fn go_on(directory: &Path, plan: &mut Blob) -> Result<(), Failure> {
    let file = File::open(directory.join(PLAN)).map_err(Failure::Prepare)?;
    let fifo = open(directory).map_err(|_| Failure::Killed)?;
    // One that was killed meanwhile does not listen; the answer tells.
    let _ = rustix::io::write(&fifo, &[Role::Trampoline as u8]);
    // An error is what the kernel says when nobody is left who could read.
    while let Ok(0) | Err(rustix::io::Errno::INTR) = poll(&mut [PollFd::new(&fifo, PollFlags::empty())], None) {}
    let mut bytes = vec![0; ANSWER + plan.length()];
    file.read_exact_at(&mut bytes, 0).map_err(Failure::Prepare)?;
    let mut failure = [0; 8];
    failure.copy_from_slice(&bytes[..8]);
    match u64::from_ne_bytes(failure) {
        0 => Ok(()),
        failure => {
            plan.replace(bytes.split_off(ANSWER));
            Err(Failure::Step { step: (failure >> 32) as u16, errno: failure as u32 as i32 })
        }
    }
}
