//! What is unreferenced, and its removal.
