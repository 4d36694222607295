//! `volume create`, `ls`, `inspect`, `rm`.

use std::collections::BTreeMap;

use plywood::spec::VolumeName;
use plywood::{ErrorKind, Volume as Stored};
use serde_json::{Value, json};

use crate::Session;
use crate::args::Volume;
use crate::failure::{Failure, Outcome, each};

/// Docker's name for volumes that are directories of the data root.
const DRIVER: &str = "local";

pub fn act(session: &Session, volume: Volume) -> Outcome<()> {
    match volume {
        Volume::Create { name, label } => create(session, name, &label),
        Volume::Ls { quiet } => list(session, quiet),
        Volume::Inspect { names } => inspect(session, &names),
        Volume::Rm { force, names } => remove(session, &names, force),
    }
}

fn create(session: &Session, name: Option<String>, labels: &[String]) -> Outcome<()> {
    let engine = session.engine()?;
    let mut labels: BTreeMap<_, _> = labels.iter().map(|label| pair(label)).collect();
    let name = match name {
        Some(name) => name,
        None => {
            labels.insert(Stored::ANONYMOUS.to_owned(), String::new());
            VolumeName::random()?.as_str().to_owned()
        }
    };
    // As with Docker, one that is there is no mistake.
    let volume = match labels.is_empty() {
        true => engine.volume(&name)?,
        false => engine.create_volume(&name, labels)?,
    };
    session.output.line_or(volume.name(), &document(&volume))
}

/// `KEY=VALUE`, or `KEY` alone.
pub fn pair(text: &str) -> (String, String) {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    (key.to_owned(), value.to_owned())
}

fn list(session: &Session, quiet: bool) -> Outcome<()> {
    let volumes = session.engine()?.volumes()?;
    if session.output.is_json() {
        return session.output.json(&volumes.iter().map(document).collect::<Vec<_>>());
    }
    if quiet {
        return session.output.lines(volumes.iter().map(Stored::name));
    }
    let rows: Vec<_> = volumes.iter().map(|volume| [DRIVER.to_owned(), volume.name().to_string()]).collect();
    session.output.table(["DRIVER", "VOLUME NAME"], &rows)
}

fn inspect(session: &Session, names: &[String]) -> Outcome<()> {
    let engine = session.engine()?;
    let mut found = Vec::new();
    let outcome = each(names, |name| match engine.find_volume(name)? {
        Some(volume) => {
            found.push(document(&volume));
            Ok(())
        }
        None => Err(missing(name)),
    });
    session.output.json(&found)?;
    outcome
}

pub fn missing(name: &str) -> Failure {
    Failure::usage(format!("find volume {name:?}: there is none"))
}

/// In the shape of `docker volume inspect`.
pub fn document(volume: &Stored) -> Value {
    json!({
        "CreatedAt": volume.created(),
        "Driver": DRIVER,
        "Labels": volume.labels(),
        "Mountpoint": volume.path(),
        "Name": volume.name(),
        "Options": null,
        "Scope": "local",
    })
}

fn remove(session: &Session, names: &[String], force: bool) -> Outcome<()> {
    let engine = session.engine()?;
    session.output.each(names, |name| match engine.remove_volume(name) {
        Err(error) if force && error.kind() == ErrorKind::NotFound => Ok(None),
        removed => Ok(removed.map(|()| Some((name.to_owned(), json!({ "Removed": name }))))?),
    })
}
