//! Mistakes as the compiler shows them: each file of `ui/` does not compile, and says what its `.stderr` holds.
//!
//! `TRYBUILD=overwrite` writes the `.stderr` files anew, as a new compiler may want it: read every caret and every word
//! of them then. The files are compiled in a package of their own, `target/tests/trybuild/plywood-tests`, from where they
//! name their fixtures.

#![allow(missing_docs)]

#[test]
fn mistakes_are_shown_where_they_were_made() {
    trybuild::TestCases::new().compile_fail("ui/*.rs");
}
