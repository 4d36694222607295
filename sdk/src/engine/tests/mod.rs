#![allow(clippy::unwrap_used)]

mod cgroups;
mod changes;
mod commit;
mod containers;
mod copy;
mod guards;
mod hygiene;
mod records;
mod roots;
mod support;
mod volumes;
