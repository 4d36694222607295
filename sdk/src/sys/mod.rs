//! The kernel: one function per use of a call. Speaks `io::Result` and paths; knows nothing of Docker.

pub(crate) mod fs;
pub(crate) mod lock;
