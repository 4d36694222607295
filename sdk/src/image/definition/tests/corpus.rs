//! The lines of `tests/fixtures/lines.txt` by the builder and by the reader; by the macros they go in `macros/src/tests`.

use plywood_syntax::checks::{self, OFF, Surroundings};
use plywood_syntax::dockerfile;
use plywood_syntax::finding::{Finding, Severity};

use super::*;

const LINES: &str = include_str!("../../../../../tests/fixtures/lines.txt");

/// The mark, the text and the verdict of each line.
fn lines() -> Vec<(char, String, &'static str)> {
    let mut found: Vec<(char, String, &str)> = Vec::new();
    for line in LINES.lines() {
        match (line.split_at_checked(2), found.last_mut()) {
            (Some(("> ", verdict)), Some(last)) => last.2 = verdict,
            (Some((mark @ ("= " | "~ " | "! "), text)), _) => {
                let text = text.replace('␤', "\n");
                let has_base = text.lines().any(|line| line.starts_with("FROM "));
                let text = if has_base { text } else { format!("FROM debian:12\n{text}") };
                found.push((mark.chars().next().unwrap(), text, ""));
            }
            _ => {}
        }
    }
    found
}

fn names(findings: &[Finding]) -> String {
    let mut names: Vec<&str> = findings.iter().map(|finding| finding.name).filter(|name| !OFF.contains(name)).collect();
    names.sort_unstable();
    names.join(" ")
}

#[test]
fn builder_and_reader_say_the_same() {
    let lines = lines();
    assert!(lines.len() >= 200, "{}", lines.len());
    let mut wrong = Vec::new();
    for (mark, text, verdict) in lines {
        let file = dockerfile::parse(&text);
        let found = file.check(None);
        if names(&found) != verdict {
            wrong.push(format!("the reader says {:?} of {text:?}, not {verdict:?}", names(&found)));
        }
        let has_errors = found.iter().any(|finding| finding.severity == Severity::Error);
        let read = Dockerfile::parse(&text);
        assert_eq!(read.is_err(), has_errors, "{text:?}: {read:?}");
        if mark != '=' {
            continue;
        }
        let read = read::layers(&file, &"lines".into());
        let built = read.instructions().iter().cloned().fold(Layers::new(), Layers::instruction);
        let found = checks::check(&built.to_ast(), &Surroundings::NONE);
        if names(&found) != verdict {
            wrong.push(format!("the builder says {:?} of {text:?}, not {verdict:?}", names(&found)));
        }
        let has_errors = found.iter().any(|finding| finding.severity == Severity::Error);
        assert_eq!(built.check().is_err(), has_errors, "{text:?}");
        let printed = built.to_string();
        let again = read::layers(&dockerfile::parse(&printed), &"lines".into());
        assert_eq!(again, built, "{text:?} prints as\n{printed}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
