//! Storage drivers: where the files of a layer are.
