//! The `layers!` macro.
