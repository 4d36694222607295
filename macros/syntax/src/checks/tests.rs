//! What only a build context can show: sources that are there, ignored, or nearly there.

use super::*;
use crate::ast::{Form, Transfer};
use crate::ignore::Ignore;

/// A context made of a list of paths.
struct Listed(&'static [&'static str], Ignore);

impl Files for Listed {
    fn root(&self) -> String {
        "/src".to_owned()
    }

    fn kind(&self, path: &str) -> Option<FileKind> {
        let below = format!("{path}/");
        if path.is_empty() || self.0.iter().any(|file| file.starts_with(&below)) {
            return Some(FileKind::Directory);
        }
        self.0.contains(&path).then_some(FileKind::File)
    }

    fn names(&self, directory: &str) -> Vec<String> {
        let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        let below = self.0.iter().filter_map(|file| file.strip_prefix(&prefix));
        let mut names: Vec<String> = below.filter_map(|rest| rest.split('/').next()).map(str::to_owned).collect();
        names.dedup();
        names
    }

    fn ignore(&self) -> &Ignore {
        &self.1
    }
}

fn copy_of(source: &str) -> Vec<Finding> {
    let files = Listed(
        &["conf/app.toml", "conf/more/b.txt", "secret.txt", "src/main.rs"],
        Ignore::parse("*.log\n\nsecret.txt\n"),
    );
    let around = Surroundings { line: &|_| None, files: Some(&files) };
    let text = |value: &str, place| Text { value: value.into(), form: Form::Quoted, place: Place(place) };
    let from = Body::From(Named { text: text("debian:12", 1), name: None });
    let copy = Body::Copy(Transfer { sources: vec![text(source, 3)], inline: Vec::new(), destination: text("/x/", 4) });
    let written = |place, body| Instruction { place: Place(place), flags: Vec::new(), body };
    check(&[written(0, from), written(2, copy)], &around)
}

#[test]
fn sources_that_are_there_are_fine() {
    for source in
        ["conf/app.toml", "./conf/", ".", "/src", "con*/*.toml", "**/b.txt", "s?c/*.rs", "$PATH/x", "con[f]/*"]
    {
        assert_eq!(copy_of(source), [], "{source}");
    }
}

#[test]
fn a_source_that_is_not_there_is_found_next_to_its_name() {
    for (source, name, message, help) in [
        (
            "conf/app.tml",
            "missing_source",
            "`conf/app.tml` is not in the build context",
            Some("`conf/app.toml` is there"),
        ),
        (
            "cnof/app.tml",
            "missing_source",
            "`cnof/app.tml` is not in the build context",
            Some("`conf/app.toml` is there"),
        ),
        ("nothing", "missing_source", "`nothing` is not in the build context", None),
        ("*.tml", "glob_matches_nothing", "`*.tml` matches nothing in the build context", None),
        ("conf/*/c.txt", "glob_matches_nothing", "`conf/*/c.txt` matches nothing in the build context", None),
        (
            "secret.txt",
            "ignored_source",
            "`secret.txt` is excluded by `.dockerignore`, line 3",
            Some("add a line `!secret.txt` after it"),
        ),
        (
            "conf/../../x",
            "outside_context",
            "`conf/../../x` is outside the build context",
            Some("the context is the package root; `#![context(\"..\")]` widens it"),
        ),
    ] {
        let found = copy_of(source);
        let [finding] = &found[..] else { panic!("{source}: {found:?}") };
        assert_eq!((finding.name, finding.message.as_str(), finding.help.as_deref()), (name, message, help));
        assert_eq!(finding.place, Place(3));
    }
}
