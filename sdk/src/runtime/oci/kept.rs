//! Descriptors that a child keeps until it has its root file system, at numbers that are known beforehand.

use std::os::fd::{AsRawFd, OwnedFd};

use crate::error::{Attempt, Result};
use crate::runtime::script::Script;

/// They follow each other.
#[derive(Debug)]
pub(super) struct Kept {
    first: u32,
    descriptors: Vec<OwnedFd>,
}

impl Kept {
    pub(super) fn new(first: u32) -> Self {
        Self { first, descriptors: Vec::new() }
    }

    /// Keeps one; its number in the child.
    pub(super) fn add(&mut self, descriptor: OwnedFd) -> u32 {
        self.descriptors.push(descriptor);
        self.end() - 1
    }

    /// The number after the last one.
    pub(super) fn end(&self) -> u32 {
        self.first + self.descriptors.len() as u32
    }

    /// Moves them beyond all numbers that the child uses, so that none takes the place of another.
    pub(super) fn raise(&mut self) -> Result<()> {
        let end = self.end();
        for descriptor in &mut self.descriptors {
            *descriptor = high(descriptor, end)?;
        }
        Ok(())
    }

    /// Puts them in their places.
    pub(super) fn place(&self, script: &mut Script) {
        script.step("keep descriptors");
        for (descriptor, number) in self.descriptors.iter().zip(self.first..) {
            let arguments = [descriptor.as_raw_fd().into(), number.into(), libc::O_CLOEXEC.into()];
            script.plan.call(libc::SYS_dup3, &arguments);
        }
    }
}

/// A copy of a descriptor with a number that is not below this one.
pub(super) fn high(descriptor: &OwnedFd, least: u32) -> Result<OwnedFd> {
    rustix::io::fcntl_dupfd_cloexec(descriptor, least as i32).attempt(|| "duplicate a descriptor")
}
