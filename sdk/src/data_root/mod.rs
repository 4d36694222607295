//! The data root: every path of the layout; no other file spells one.
