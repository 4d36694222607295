//! Removal of the cgroups of containers, for [`reaper`](crate::reaper) and [`keeper`](crate::keeper).

use crate::kernel;
use crate::numbers::*;

/// Cgroup that goes.
pub const GROUP: u8 = b'G';
/// Cgroup above it, which goes with the last below it.
pub const ABOVE: u8 = b'P';

/// How often they are tried, two milliseconds apart: the kernel may take a moment to count the last process out.
const PATIENCE: usize = 500;

/// Removes the cgroups that `each` calls with when it is asked for [`GROUP`] and for [`ABOVE`]; those that were never
/// made are no failure.
pub fn remove(each: impl Fn(u8, &mut dyn FnMut(u64))) {
    for _ in 0..PATIENCE {
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
