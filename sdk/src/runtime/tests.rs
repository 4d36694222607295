#![allow(clippy::unwrap_used)]

mod init;
mod isolation;
mod lifetime;
mod mounts;
mod seccomp;
mod spawn;
mod support;
mod shifted;
