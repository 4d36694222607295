//! Volumes: named data that outlives containers.
