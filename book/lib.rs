//! The book: `cargo test -p plywood-book` runs the code of each chapter.
