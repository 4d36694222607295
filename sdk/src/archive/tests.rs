//! GNU tar is the oracle; hostile archives are made here.
#![allow(clippy::unwrap_used)]

mod compression;
mod evil;
mod formats;
mod names;
mod oracle;
mod round_trip;
mod support;
mod whiteouts;
