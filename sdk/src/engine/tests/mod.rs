#![allow(clippy::unwrap_used)]

mod containers;
mod guards;
mod records;
mod roots;
mod support;
mod volumes;
