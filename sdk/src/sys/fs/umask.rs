//! A umask of this thread's own.
//!
//! # Safety
//! unshare(2) with `CLONE_FS` only, which concerns the calling thread's current directory, root and umask.
#![allow(unsafe_code)]

use std::io;

use rustix::thread::UnshareFlags;

/// Gives this thread a umask of 0 that no other thread shares, so that files get the modes asked for.
///
/// For threads of our own only: the current directory is no longer shared either.
///
/// # Errors
/// Where unshare(2) is forbidden (seccomp); modes must then be set after creating.
#[doc(alias = "unshare")]
pub(crate) fn own_umask() -> io::Result<()> {
    // SAFETY: `CLONE_FS` leaves the descriptor table shared, which is what the function's contract is about.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS) }?;
    rustix::process::umask(rustix::fs::Mode::empty());
    Ok(())
}
