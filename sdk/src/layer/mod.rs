//! Layers: read-only changesets by ChainID, and the writable layer of a container.

pub(crate) mod view;
