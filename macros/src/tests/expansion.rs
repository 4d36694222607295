//! The expansion, as a person sees it who looks: it reads like the builder.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// What `tests/fixtures/web.layers` becomes; `PLYWOOD_BLESS=1` writes it anew.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/web.expanded.rs");
const WRITTEN: &str = include_str!("../../../tests/fixtures/web.layers");

/// The text as `rustfmt` writes it.
fn pretty(text: &str) -> String {
    let mut rustfmt = Command::new("rustfmt");
    let rustfmt = rustfmt.args(["--edition", "2024", "--config", "max_width=120,chain_width=60"]);
    let mut child = rustfmt.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{text}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn an_expansion_reads_like_the_builder() {
    let text = pretty(&super::expand(WRITTEN));
    if std::env::var_os("PLYWOOD_BLESS").is_some() {
        std::fs::write(GOLDEN, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(GOLDEN).unwrap());
}
