//! The rules that macro and library share; no dependencies, no I/O.

pub mod duration;
pub mod reference;
pub mod shell;
