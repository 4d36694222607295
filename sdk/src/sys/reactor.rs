//! Descriptors that tokio watches (feature `tokio`).
//!
//! # Safety
//! A descriptor that is registered must stay open and the same until it is taken out: here it is always owned by what has
//! registered it.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A descriptor that the runtime watches for input, edge by edge. Panics outside of a runtime that has its I/O driver.
pub(crate) fn watched(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open, and always the same, until it is dropped; the `AsyncFd` owns it.
    let registered = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    Ok(registered?)
}
