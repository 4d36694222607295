//! `inspect`: everything about any object, in the shape of Docker's.

use plywood::{Engine, ErrorKind, Image, Reference};
use serde_json::{Value, json};

use crate::args::{Inspect, Kind};
use crate::failure::{Failure, Outcome, each};
use crate::{Session, volumes};

pub fn print(session: &Session, inspect: &Inspect) -> Outcome<()> {
    let engine = session.engine()?;
    let mut found = Vec::new();
    let outcome = each(&inspect.objects, |name| {
        found.push(find(&engine, name, inspect.kind)?);
        Ok(())
    });
    session.output.json(&found)?;
    outcome
}

/// As Docker looks: containers first, then images, then volumes.
fn find(engine: &Engine, name: &str, kind: Option<Kind>) -> Outcome<Value> {
    let wanted = |candidate: Kind| kind.is_none_or(|kind| kind == candidate);
    // What cannot be the name of an image may still be that of a volume.
    let elsewhere = |error: &plywood::Error| {
        kind.is_none() && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidArgument)
    };
    if wanted(Kind::Container) {
        match engine.container(name).and_then(|container| container.inspect()) {
            Ok(details) => return serde_json::to_value(details).map_err(|error| Failure::usage(error.to_string())),
            Err(error) if elsewhere(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if wanted(Kind::Image) {
        match engine.image(name) {
            Ok(image) => return Ok(document(&image)),
            Err(error) if elsewhere(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if wanted(Kind::Volume) {
        match engine.find_volume(name) {
            Ok(Some(volume)) => return Ok(volumes::document(&volume)),
            Ok(None) if kind.is_some() => return Err(volumes::missing(name)),
            Err(error) if !elsewhere(&error) => return Err(error.into()),
            Ok(None) | Err(_) => {}
        }
    }
    Err(Failure::usage(format!("inspect {name:?}: there is no container, image or volume of this name")))
}

/// In the shape of `docker image inspect`.
fn document(image: &Image) -> Value {
    let config = image.config();
    let (digests, tags): (Vec<_>, Vec<_>) = image.references().iter().partition(|name| name.digest().is_some());
    let familiar = |names: Vec<&Reference>| names.into_iter().map(Reference::familiar).collect::<Vec<_>>();
    let last = image.history().last();
    let layers: Vec<_> = image.layers().iter().map(plywood::Layer::diff_id).collect();
    json!({
        "Id": image.id(),
        "RepoTags": familiar(tags),
        "RepoDigests": familiar(digests),
        "Parent": "",
        "Comment": last.map_or("", |entry| entry.comment()),
        "Created": image.created(),
        "Author": config.author.as_deref().unwrap_or_default(),
        "Config": config.config,
        "Architecture": image.architecture(),
        "Variant": config.variant,
        "Os": config.os,
        "Size": image.size(),
        "RootFS": { "Type": "layers", "Layers": layers },
        "Metadata": { "LastTagTime": image.last_tagged() },
    })
}
