//! Images: definitions, the store, tags, and archives.
