//! The kernel: one function per use of a call. Speaks `io::Result` and paths; knows nothing of Docker.

pub(crate) mod capability;
pub(crate) mod fs;
pub(crate) mod lock;
pub(crate) mod probe;
pub(crate) mod signal;
pub(crate) mod wait;
