//! The end of what is in the cgroups of containers, and their removal, for [`reaper`](crate::reaper) and [`keeper`](crate::keeper).

use crate::kernel;
use crate::numbers::*;

/// Cgroup that goes.
pub const GROUP: u8 = b'G';
/// Cgroup above it, which goes with the last below it.
pub const ABOVE: u8 = b'P';

/// How often they are tried, two milliseconds apart: the kernel may take a moment to count the last process out.
const PATIENCE: usize = 500;

/// The file that kills all processes of a cgroup of version 2.
const KILL: &[u8] = b"cgroup.kill\0";

/// Kills what is left in the cgroups that `each` calls with when it is asked for [`GROUP`]: of a container without a pid
/// namespace of its own, whose processes do not end with its first one. It has one of version 2.
pub fn kill(each: impl Fn(u8, &mut dyn FnMut(u64))) {
    each(GROUP, &mut |path| {
        let Ok(group) = kernel::open(AT_FDCWD, path, O_DIRECTORY) else { return };
        if let Ok(file) = kernel::open(group, KILL.as_ptr().expose_provenance() as u64, O_WRONLY) {
            kernel::write(file, b"1");
            kernel::close(file);
        }
        kernel::close(group);
    });
}

/// Kills what is left in the cgroups that `each` calls with when it is asked for [`GROUP`], and removes them and [`ABOVE`]; those that were never
/// made are no failure.
pub fn remove(each: impl Fn(u8, &mut dyn FnMut(u64))) {
    for _ in 0..PATIENCE {
        // Each time those that joined meanwhile.
        kill(&each);
        let mut is_busy = false;
        each(GROUP, &mut |path| is_busy |= kernel::unlink(AT_FDCWD, path, AT_REMOVEDIR) == Err(EBUSY));
        if !is_busy {
            break;
        }
        kernel::pause();
    }
    // Others may have theirs there.
    each(ABOVE, &mut |path| drop(kernel::unlink(AT_FDCWD, path, AT_REMOVEDIR)));
}
