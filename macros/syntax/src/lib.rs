//! The rules that macro and library share; no dependencies, no I/O.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod ast;
pub mod checks;
pub mod dockerfile;
pub mod duration;
pub mod finding;
pub mod glob;
pub mod grammar;
pub mod ignore;
pub mod path;
pub mod port;
pub mod reference;
pub mod shell;
pub mod suggest;
pub mod variables;
