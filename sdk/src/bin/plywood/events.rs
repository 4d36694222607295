//! `events`: what happens to containers, as it happens.

use std::io::{self, Write};

use plywood::container::Event;
use serde_json::{Value, json};

use crate::Session;
use crate::args_containers::Events;
use crate::failure::{Failure, Outcome};
use crate::logs::{moment, padded};
use crate::output::cell;

pub fn print(session: &Session, wanted: &Events) -> Outcome<()> {
    let filters = wanted.filter.iter().map(|text| Filter::parse(text)).collect::<Outcome<Vec<_>>>()?;
    let engine = session.engine()?;
    let mut events = engine.events();
    if let Some(time) = &wanted.since {
        events = events.since(moment("--since", time)?);
    }
    if let Some(time) = &wanted.until {
        events = events.until(moment("--until", time)?);
    }
    let mut events = events.read()?;
    let mut out = io::stdout();
    for event in events.by_ref().filter(|event| Filter::all_fit(&filters, event)) {
        match session.output.is_json() {
            true => writeln!(out, "{}", document(&event))?,
            false => writeln!(out, "{}", line(&event))?,
        }
        out.flush()?;
    }
    match events.error() {
        Some(error) => Err(Failure::usage(format!("{error:?}"))),
        None => Ok(()),
    }
}

/// As Docker prints it.
fn line(event: &Event) -> String {
    let attributes: Vec<_> = attributes(event).iter().map(|(key, value)| format!("{key}={}", cell(value))).collect();
    format!("{} container {} {} ({})", padded(event.time), action(event), event.id, attributes.join(", "))
}

fn document(event: &Event) -> Value {
    let attributes: serde_json::Map<_, _> =
        attributes(event).into_iter().map(|(key, value)| (key, Value::String(value))).collect();
    json!({
        "Type": "container",
        "Action": action(event),
        "Actor": { "ID": event.id, "Attributes": attributes },
        "scope": "local",
        "time": event.time.unix_seconds(),
        "timeNano": i64::try_from(event.time.unix_nanos()).unwrap_or(i64::MAX),
    })
}

/// In Docker's words, which say what the health is.
fn action(event: &Event) -> String {
    let status = event.attributes.get("healthStatus");
    status.map_or_else(|| event.action.to_string(), |status| format!("{}: {status}", event.action))
}

/// In the order of their names, as Docker has them.
fn attributes(event: &Event) -> Vec<(String, String)> {
    let mut attributes: Vec<_> = event.attributes.clone().into_iter().collect();
    attributes.push(("image".to_owned(), event.image.clone()));
    attributes.push(("name".to_owned(), event.name.clone()));
    attributes.sort();
    attributes
}

/// One `--filter`. Of several on one property one has to fit, of those on different properties all.
#[derive(Debug, PartialEq)]
enum Filter {
    Container(String),
    Event(String),
    Image(String),
    Type(String),
}

impl Filter {
    fn parse(text: &str) -> Outcome<Self> {
        let value = |value: &str| value.to_owned();
        match text.split_once('=') {
            Some(("container", name)) => Ok(Self::Container(value(name))),
            Some(("event", action)) => Ok(Self::Event(value(action))),
            Some(("image", image)) => Ok(Self::Image(value(image))),
            Some(("type", kind)) => Ok(Self::Type(value(kind))),
            _ => {
                Err(Failure::usage(format!("invalid --filter {text:?}: there is container=, event=, image= and type=")))
            }
        }
    }

    fn all_fit(filters: &[Self], event: &Event) -> bool {
        let same = |a: &Self, b: &Self| std::mem::discriminant(a) == std::mem::discriminant(b);
        filters.iter().all(|filter| filters.iter().any(|other| same(filter, other) && other.fits(event)))
    }

    fn fits(&self, event: &Event) -> bool {
        match self {
            Self::Container(name) => event.name == *name || event.id.as_str().starts_with(name),
            Self::Event(wanted) => event.action.to_string() == *wanted || action(event) == *wanted,
            Self::Image(image) => event.image == *image || event.image.split(':').next() == Some(image),
            Self::Type(kind) => kind == "container",
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn filters_are_read() {
        assert_eq!(Filter::parse("container=web").unwrap(), Filter::Container("web".into()));
        for text in ["web", "colour=red"] {
            assert!(Filter::parse(text).is_err(), "{text}");
        }
    }
}
