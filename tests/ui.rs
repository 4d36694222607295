//! Mistakes as the compiler shows them: each file of `ui/` does not compile, and says what its `.stderr` holds.
//!
//! `TRYBUILD=overwrite` writes the `.stderr` files anew, as a new compiler may want it: read every caret and every word
//! of them then. The files are compiled in a package of their own, `target/tests/trybuild/plywood-tests`, from where they
//! name their fixtures.

#![allow(missing_docs, clippy::unwrap_used)]

use support::workspace;

#[test]
fn mistakes_are_shown_where_they_were_made() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("ui/*.rs");
    if !cfg!(feature = "tokio") {
        cases.compile_fail("ui/without_tokio/*.rs");
    }
}

#[test]
fn the_book_shows_what_is_compared() {
    let text = std::fs::read_to_string(workspace().join("book/src/mistakes.md")).unwrap();
    let shown: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("{{#include ../../")?.strip_suffix("}}")).collect();
    assert_eq!(shown, ["tests/ui/ten_mistakes.rs", "tests/ui/ten_mistakes.stderr"]);
    let messages = std::fs::read_to_string(workspace().join(shown[1])).unwrap();
    assert_eq!(messages.matches("\n\nerror: ").count() + 1, 10);
}
