//! `kill`, `stop`, `wait`, `rm`.

use std::time::Duration;

use plywood::ErrorKind;
use plywood::container::Signal;
use serde_json::json;

use crate::Session;
use crate::failure::Outcome;

pub fn kill(session: &Session, names: &[String], signal: &str) -> Outcome<()> {
    let signal: Signal = signal.parse()?;
    let engine = session.engine()?;
    session.output.each(names, |name| {
        engine.container(name)?.kill(signal)?;
        Ok(Some((name.to_owned(), json!({ "Killed": name, "Signal": signal.to_string() }))))
    })
}

pub fn stop(session: &Session, names: &[String], seconds: u32) -> Outcome<()> {
    let engine = session.engine()?;
    session.output.each(names, |name| {
        let status = engine.container(name)?.stop(Duration::from_secs(seconds.into()))?;
        Ok(Some((name.to_owned(), json!({ "Stopped": name, "ExitCode": status.code() }))))
    })
}

pub fn wait(session: &Session, names: &[String]) -> Outcome<()> {
    let engine = session.engine()?;
    session.output.each(names, |name| {
        let status = engine.container(name)?.wait()?;
        Ok(Some((status.code().to_string(), json!({ "Name": name, "ExitCode": status.code() }))))
    })
}

pub fn remove(session: &Session, names: &[String], force: bool) -> Outcome<()> {
    let engine = session.engine()?;
    session.output.each(names, |name| {
        let removed = engine.container(name).and_then(|container| match force {
            true => container.kill_and_remove(),
            false => container.remove(),
        });
        match removed {
            Err(error) if force && error.kind() == ErrorKind::NotFound => Ok(None),
            removed => Ok(removed.map(|()| Some((name.to_owned(), json!({ "Removed": name }))))?),
        }
    })
}
