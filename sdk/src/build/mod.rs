//! Builds: from a definition to an image.
