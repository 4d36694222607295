#![allow(clippy::unwrap_used)]

mod isolation;
mod lifetime;
mod mounts;
mod support;
