//! `start`, `kill`, `stop`, `restart`, `pause`, `unpause`, `wait`, `top`, `rename`, `rm`.

use std::time::Duration;

use plywood::container::{ProcessInfo, Signal};
use plywood::{Container, ErrorKind};
use serde_json::json;

use crate::Session;
use crate::failure::Outcome;
use crate::output::cell;

/// Docker's time between the stop signal and `SIGKILL`.
const GRACE: Duration = Duration::from_secs(10);

/// Starts them so that they outlive this program.
pub fn start(session: &Session, names: &[String]) -> Outcome<()> {
    let engine = session.engine()?;
    session.output.each(names, |name| {
        engine.container(name)?.start_kept()?;
        Ok(Some((name.to_owned(), json!({ "Started": name }))))
    })
}

pub fn kill(session: &Session, names: &[String], signal: &str) -> Outcome<()> {
    let signal: Signal = signal.parse()?;
    let engine = session.engine()?;
    session.output.each(names, |name| {
        engine.container(name)?.kill(signal)?;
        Ok(Some((name.to_owned(), json!({ "Killed": name, "Signal": signal.to_string() }))))
    })
}

pub fn stop(session: &Session, names: &[String], seconds: Option<u32>) -> Outcome<()> {
    let engine = session.engine()?;
    session.output.each(names, |name| {
        let container = engine.container(name)?;
        let status = container.stop(grace(&container, seconds)?)?;
        Ok(Some((name.to_owned(), json!({ "Stopped": name, "ExitCode": status.code() }))))
    })
}

/// How long a container has to end by itself: what is asked for, else what it was made with, else Docker's default.
fn grace(container: &Container, seconds: Option<u32>) -> Outcome<Duration> {
    match seconds {
        Some(seconds) => Ok(Duration::from_secs(seconds.into())),
        None => Ok(container.inspect()?.stop_timeout().unwrap_or(GRACE)),
    }
}

pub fn restart(session: &Session, names: &[String], seconds: Option<u32>) -> Outcome<()> {
    let engine = session.engine()?;
    session.output.each(names, |name| {
        let mut container = engine.container(name)?;
        // What it ended with is in its record; one that was not running is started.
        let _ended = container.stop(grace(&container, seconds)?)?;
        container.start_kept()?;
        Ok(Some((name.to_owned(), json!({ "Restarted": name }))))
    })
}

pub fn wait(session: &Session, names: &[String]) -> Outcome<()> {
    let engine = session.engine()?;
    session.output.each(names, |name| {
        let status = engine.container(name)?.wait()?;
        Ok(Some((status.code().to_string(), json!({ "Name": name, "ExitCode": status.code() }))))
    })
}

pub fn pause(session: &Session, names: &[String]) -> Outcome<()> {
    let engine = session.engine()?;
    session.output.each(names, |name| {
        engine.container(name)?.pause()?;
        Ok(Some((name.to_owned(), json!({ "Paused": name }))))
    })
}

pub fn resume(session: &Session, names: &[String]) -> Outcome<()> {
    let engine = session.engine()?;
    session.output.each(names, |name| {
        engine.container(name)?.resume()?;
        Ok(Some((name.to_owned(), json!({ "Resumed": name }))))
    })
}

pub fn top(session: &Session, name: &str) -> Outcome<()> {
    let processes = session.engine()?.container(name)?.top()?;
    if session.output.is_json() {
        let document = |process: &ProcessInfo| {
            json!({ "Uid": process.uid, "Pid": process.pid, "HostPid": process.host_pid, "Ppid": process.parent,
                "StartedAt": process.started_at, "CpuSeconds": process.cpu_time.as_secs_f64(),
                "Command": process.command })
        };
        return session.output.json(&processes.iter().map(document).collect::<Vec<_>>());
    }
    let row = |process: &ProcessInfo| {
        let seconds = process.cpu_time.as_secs();
        [
            process.uid.to_string(),
            process.pid.to_string(),
            process.host_pid.to_string(),
            process.parent.to_string(),
            format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
            cell(&process.command),
        ]
    };
    let titles = ["UID", "PID", "HOST PID", "PPID", "TIME", "CMD"];
    session.output.table(titles, &processes.iter().map(row).collect::<Vec<_>>())
}

pub fn rename(session: &Session, old: &str, new: &str) -> Outcome<()> {
    Ok(session.engine()?.container(old)?.rename(new)?)
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
