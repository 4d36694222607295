//! Tar archives as layers.
