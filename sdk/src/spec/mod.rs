//! Values of the formats: parse and print, no I/O.
