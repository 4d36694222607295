//! `diff`, `commit`, `export`: the files of containers.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::Path;

use plywood::container::ChangeKind;
use serde_json::json;

use crate::Session;
use crate::args::Commit;
use crate::failure::{Failure, Outcome};
use crate::transfer::Unlocked;

pub fn diff(session: &Session, container: &str) -> Outcome<()> {
    let changes = session.engine()?.container(container)?.diff()?;
    if session.output.is_json() {
        // The numbers of Docker's API.
        let kind = |kind| match kind {
            ChangeKind::Changed => 0,
            ChangeKind::Added => 1,
            ChangeKind::Deleted => 2,
        };
        let changes = changes.iter().map(|change| json!({ "Path": change.path(), "Kind": kind(change.kind()) }));
        return session.output.json(&changes.collect::<Vec<_>>());
    }
    session.output.lines(changes)
}

pub fn commit(session: &Session, arguments: &Commit) -> Outcome<()> {
    let mut commit = session.engine()?.container(&arguments.container)?.commit();
    if let Some(reference) = &arguments.reference {
        commit = commit.reference(reference);
    }
    if let Some(author) = &arguments.author {
        commit = commit.author(author);
    }
    if let Some(message) = &arguments.message {
        commit = commit.message(message);
    }
    let image = arguments.change.iter().fold(commit, plywood::container::Commit::change).run()?;
    session.output.line_or(image.id(), &json!({ "ID": image.id() }))
}

pub fn export(session: &Session, container: &str, output: Option<&Path>) -> Outcome<()> {
    let container = session.engine()?.container(container)?;
    match output {
        Some(path) if path != Path::new("-") => {
            let file = File::create(path).map_err(|error| Failure::os(format_args!("create {path:?}"), &error))?;
            Ok(container.export(io::BufWriter::with_capacity(1 << 16, file))?)
        }
        _ if io::stdout().is_terminal() => Err(Failure::usage(
            "export to standard output: it is a terminal\n  hint: use --output FILE, or redirect it",
        )),
        _ => Ok(container.export(io::BufWriter::with_capacity(1 << 16, Unlocked))?),
    }
}
