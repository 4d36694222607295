//! Containers: declared, created, started, watched, removed.
