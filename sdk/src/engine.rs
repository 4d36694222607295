//! The engine: one data root, and every verb that acts on it.
