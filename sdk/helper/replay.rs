//! Starts a plan of the SDK once more, in a child with a memory of its own.
//!
//! A plan names descriptors by the numbers that they had in the program that wrote it. The child finds them under
//! these numbers; what the plan writes goes to a copy, so that it can be walked as often as one likes.

use crate::child::Control;
use crate::kernel::{self, call};
use crate::memory::Plan;
use crate::numbers::*;

/// A descriptor of ours, and the number that a plan knows it by.
pub type Place = (i32, u64);

/// How many a plan knows at most.
pub const PLACES: usize = 8;

/// How many children of one plan wait at their gates at most.
const CHILDREN: u32 = 2;

/// The number of what a plan does not use.
pub const NOWHERE: u64 = u64::MAX;

/// A child that walks a plan.
pub struct Walk {
    plan: Plan,
    first: i32,
}

impl Walk {
    /// Starts the child with these namespaces of its own; it waits at its gate.
    pub fn begin(plan: i32, places: &[Place], namespaces: u64) -> Option<Self> {
        let copy = copy(plan)?;
        let plan = Plan::map(copy);
        kernel::close(copy);
        let mut plan = plan?;
        match kernel::fork(namespaces) {
            Ok(0) => {
                arrange(places);
                plan.walk()
            }
            Ok(first) => Some(Self { plan, first: first as i32 }),
            Err(_) => {
                plan.unmap();
                None
            }
        }
    }

    /// The number of the child that waits.
    pub fn first(&self) -> i32 {
        self.first
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        let gate = &self.control().gate;
        gate.store(CHILDREN, core::sync::atomic::Ordering::Release);
        // SAFETY: the word is mapped; one waiter is woken.
        let _ = unsafe { call(SYS_futex, [kernel::address(gate), FUTEX_WAKE, CHILDREN.into(), 0, 0, 0]) };
    }

    /// The number of the process that goes on, once the plan has ended in a program or failed: that of the second child,
    /// if the plan has made one.
    pub fn last(&self) -> i32 {
        match self.control().second_pid.load(core::sync::atomic::Ordering::Acquire) {
            0 => self.first,
            second => {
                // It has ended when there is a second.
                let _ = kernel::wait(self.first, 0);
                second as i32
            }
        }
    }

    /// Step and errno of what has failed, 0 if nothing has.
    pub fn failure(&self) -> u64 {
        self.control().failure.load(core::sync::atomic::Ordering::Acquire)
    }

    pub fn end(self) {
        self.plan.unmap();
    }

    fn control(&self) -> &Control {
        self.plan.control()
    }
}

/// A new file in memory with the content of another.
pub fn copy(of: i32) -> Option<i32> {
    let size = kernel::size_of_file(of).filter(|size| *size > 0)?;
    let base = kernel::map_shared(of, size)?;
    let name = kernel::address(b"plywood-plan\0");
    // SAFETY: the name is a C string.
    let file = unsafe { call(SYS_memfd_create, [name, MFD_CLOEXEC, 0, 0, 0, 0]) }.ok().map(|fd| fd as i32);
    // SAFETY: the mapping has this size, and nobody writes to the file.
    let bytes = unsafe { core::slice::from_raw_parts(base.cast_const(), size) };
    let copied = file.filter(|file| kernel::write_all(*file, bytes).is_empty());
    // SAFETY: nothing refers to the mapping any more.
    unsafe { kernel::unmap(base, size) };
    if copied.is_none() {
        file.map(kernel::close);
    }
    copied
}

/// Gives descriptors the numbers that the plan knows them by: first out of the way, then in place.
fn arrange(places: &[Place]) {
    let used = places.iter().filter(|(file, number)| *file >= 0 && *number != NOWHERE);
    let beyond = used.clone().map(|(file, number)| (*number).max(*file as u64)).max().unwrap_or(0).wrapping_add(1);
    let mut moved = [-1_i32; PLACES];
    for ((file, _), place) in used.clone().zip(&mut moved) {
        // SAFETY: takes no pointer. One that fails is missed by the plan.
        let fd = unsafe { call(SYS_fcntl, [*file as u64, F_DUPFD_CLOEXEC, beyond, 0, 0, 0]) };
        *place = fd.map_or(-1, |fd| fd as i32);
    }
    for ((_, number), from) in used.zip(moved) {
        // SAFETY: takes no pointer. As above.
        let _ = unsafe { call(SYS_dup3, [from as u64, *number, O_CLOEXEC, 0, 0, 0]) };
    }
}

/// Step and errno in the answer of a plan that an init has walked.
pub fn failure(plan: i32) -> u64 {
    let mut answer = [0; 8];
    kernel::rewind(plan);
    match kernel::read(plan, &mut answer) {
        Ok(8) => u64::from_ne_bytes(answer),
        _ => 0,
    }
}
