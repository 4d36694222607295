//! Container logs in Docker's json-file format.
