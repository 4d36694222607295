//! `diff`: the files of containers.

use plywood::container::ChangeKind;
use serde_json::json;

use crate::Session;
use crate::failure::Outcome;

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
