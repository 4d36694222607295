//! Programs of the host as a base image.
