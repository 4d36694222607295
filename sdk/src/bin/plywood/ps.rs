//! `ps`: the containers there are.

use plywood::container::{Details, HealthStatus, State};
use plywood::{ErrorKind, Timestamp};
use serde_json::{Value, json};

use crate::args::Ps;
use crate::failure::{Failure, Outcome};
use crate::output::{cell, shortened};
use crate::{Session, human};

/// As much of a command as Docker shows.
const COMMAND_WIDTH: usize = 20;

pub fn list(session: &Session, list: &Ps) -> Outcome<()> {
    let filters = list.filter.iter().map(|text| Filter::parse(text)).collect::<Outcome<Vec<_>>>()?;
    // Who asks for a state, or for the newest ones, means those that have ended as well.
    let last = list.last.or(list.latest.then_some(1));
    let asks_state = filters.iter().any(|filter| matches!(filter, Filter::Status(_) | Filter::Exited(_)));
    let all = list.all || last.is_some() || asks_state;
    let mut found = Vec::new();
    for container in session.engine()?.containers()? {
        let details = match container.inspect() {
            Ok(details) => details,
            // Removed since they were listed.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error.into()),
        };
        if (all || details.state().is_running()) && Filter::all_fit(&filters, &details) {
            found.push(details);
        }
    }
    found.truncate(last.unwrap_or(usize::MAX));
    let now = Timestamp::now();
    if session.output.is_json() {
        return session.output.json(&found.iter().map(|details| document(details, now)).collect::<Vec<_>>());
    }
    let id = |details: &Details| {
        let id = details.id();
        if list.no_trunc { id.as_str().to_owned() } else { id.short().to_owned() }
    };
    if list.quiet {
        return session.output.lines(found.iter().map(id));
    }
    let row = |details: &Details| {
        let command = cell(&details.command().join(" "));
        let command = if list.no_trunc { command } else { shortened(&command, COMMAND_WIDTH) };
        [
            id(details),
            cell(details.image()),
            format!("{command:?}"),
            human::ago(details.created(), now),
            status(details, now),
            ports(details),
            details.name().to_owned(),
        ]
    };
    let titles = ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"];
    session.output.table(titles, &found.iter().map(row).collect::<Vec<_>>())
}

/// `Up 5 minutes`, `Exited (0) 2 hours ago`.
fn status(details: &Details, now: Timestamp) -> String {
    let up = || match details.started_at() {
        Some(start) => format!("Up {}", human::duration(now.since(start))),
        None => "Up".to_owned(),
    };
    match details.state() {
        State::Running => match details.health().map(|health| health.status) {
            // As Docker puts it.
            Some(HealthStatus::Starting) => format!("{} (health: starting)", up()),
            Some(health) => format!("{} ({health})", up()),
            None => up(),
        },
        State::Paused => format!("{} (Paused)", up()),
        State::Exited => {
            let code = details.exit_status().map_or(0, |status| status.code());
            let ended = details.finished_at().map(|end| format!(" {}", human::ago(Some(end), now)));
            format!("Exited ({code}){}", ended.unwrap_or_default())
        }
        State::Removing => "Removal In Progress".to_owned(),
        state => {
            let mut word = state.to_string();
            word[..1].make_ascii_uppercase();
            word
        }
    }
}

/// `127.0.0.1:8080->80/tcp`.
fn ports(details: &Details) -> String {
    details.ports().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn document(details: &Details, now: Timestamp) -> Value {
    json!({
        "ID": details.id(),
        "Names": details.name(),
        "Image": details.image(),
        "ImageID": details.image_id(),
        "Command": details.command(),
        "CreatedAt": details.created(),
        "State": details.state().to_string(),
        "Status": status(details, now),
        "ExitCode": details.exit_status().map(|status| status.code()),
        "Pid": details.pid(),
        "StartedAt": details.started_at(),
        "FinishedAt": details.finished_at(),
        "Labels": details.labels(),
        "Mounts": details.mounts().iter().map(|mount| mount.source()).collect::<Vec<_>>(),
        "Ports": ports(details),
        "Networks": details.network().to_string(),
    })
}

/// What `--filter status=` takes.
const STATES: [&str; 7] = ["created", "running", "paused", "restarting", "removing", "exited", "dead"];

/// One `--filter`. Of several on one property one has to fit, of those on different properties all.
#[derive(Debug, PartialEq)]
enum Filter {
    Id(String),
    Name(String),
    Status(String),
    Ancestor(String),
    Label(String, Option<String>),
    Exited(i32),
    Volume(String),
}

impl Filter {
    fn parse(text: &str) -> Outcome<Self> {
        let wrong = |why: &str| Failure::usage(format!("invalid --filter {text:?}: {why}"));
        let (key, value) = text.split_once('=').ok_or_else(|| wrong("it reads KEY=VALUE"))?;
        let owned = value.to_owned();
        Ok(match key {
            "id" => Self::Id(owned),
            "name" => Self::Name(owned),
            "status" if STATES.contains(&value) => Self::Status(owned),
            "status" => return Err(wrong(&format!("the states are {}", STATES.join(", ")))),
            "ancestor" => Self::Ancestor(owned),
            "volume" => Self::Volume(owned),
            "exited" => Self::Exited(value.parse().map_err(|_| wrong("an exit code is a number"))?),
            "label" => match value.split_once('=') {
                Some((key, value)) => Self::Label(key.to_owned(), Some(value.to_owned())),
                None => Self::Label(owned, None),
            },
            _ => return Err(wrong("there is id, name, status, ancestor, label, exited and volume")),
        })
    }

    fn all_fit(filters: &[Self], details: &Details) -> bool {
        let same = |a: &Self, b: &Self| std::mem::discriminant(a) == std::mem::discriminant(b);
        filters.iter().all(|filter| {
            let is_label = matches!(filter, Self::Label(..));
            filter.fits(details)
                || (!is_label && filters.iter().any(|other| same(filter, other) && other.fits(details)))
        })
    }

    fn fits(&self, details: &Details) -> bool {
        match self {
            Self::Id(id) => details.id().as_str().starts_with(id),
            Self::Name(name) => details.name().contains(name.trim_start_matches('/')),
            Self::Status(state) => details.state().to_string() == *state,
            Self::Ancestor(image) => {
                let is_id = |id: plywood::ImageId| id.hex().starts_with(image) || id.to_string().starts_with(image);
                details.image() == image
                    || details.image().split(':').next() == Some(image)
                    || (image.len() >= 4 && details.image_id().is_some_and(is_id))
            }
            Self::Label(key, value) => {
                details.labels().get(key).is_some_and(|have| value.as_ref().is_none_or(|value| value == have))
            }
            Self::Exited(code) => {
                details.state() == State::Exited && details.exit_status().map(|status| status.code()) == Some(*code)
            }
            Self::Volume(wanted) => {
                details.mounts().iter().any(|mount| mount.source() == wanted || mount.target() == wanted)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn filters_are_read() {
        assert_eq!(Filter::parse("name=web").unwrap(), Filter::Name("web".into()));
        assert_eq!(Filter::parse("label=a=b").unwrap(), Filter::Label("a".into(), Some("b".into())));
        assert_eq!(Filter::parse("exited=3").unwrap(), Filter::Exited(3));
        for text in ["web", "colour=red", "exited=soon", "status=up"] {
            assert!(Filter::parse(text).is_err(), "{text}");
        }
    }
}
