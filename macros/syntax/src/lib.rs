//! The rules that macro and library share; no dependencies, no I/O.

pub mod reference;
