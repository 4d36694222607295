//! `images`, `history`, `tag`, `rmi`.

use plywood::{Image, Reference, Timestamp};
use serde_json::{Value, json};

use crate::args::{History, Images};
use crate::failure::{Outcome, each};
use crate::output::{cell, shortened};
use crate::{Session, human};

const NONE: &str = "<none>";

pub fn list(session: &Session, list: &Images) -> Outcome<()> {
    let now = Timestamp::now();
    let wanted = match &list.name {
        Some(name) => Some((Reference::parse(name)?, name.contains(['@']) || has_tag(name))),
        None => None,
    };
    let fits = |reference: &Reference| match &wanted {
        None => true,
        Some((wanted, true)) => wanted.familiar() == reference.familiar(),
        Some((wanted, false)) => wanted.familiar_name() == reference.familiar_name(),
    };
    let images = session.engine()?.images()?;
    let mut found: Vec<(&Image, Option<&Reference>)> = Vec::new();
    for image in &images {
        found.extend(image.references().iter().filter(|name| fits(name)).map(|name| (image, Some(name))));
        if image.references().is_empty() && wanted.is_none() {
            found.push((image, None));
        }
    }
    if session.output.is_json() {
        return session.output.json(&found.iter().map(|(image, name)| document(image, *name)).collect::<Vec<_>>());
    }
    let id = |image: &Image| if list.no_trunc { image.id().to_string() } else { image.id().short().to_owned() };
    if list.quiet {
        let mut ids: Vec<_> = found.iter().map(|(image, _)| id(image)).collect();
        ids.dedup();
        return session.output.lines(ids);
    }
    let row = |(image, name): &(&Image, Option<&Reference>)| {
        [
            name.map_or(NONE.to_owned(), Reference::familiar_name),
            name.and_then(|name| name.tag()).unwrap_or(NONE).to_owned(),
            id(image),
            human::ago(image.created(), now),
            human::size(image.size()),
        ]
    };
    let rows: Vec<_> = found.iter().map(row).collect();
    session.output.table(["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"], &rows)
}

/// Whether the tag was written, and not only understood.
fn has_tag(name: &str) -> bool {
    name.rsplit('/').next().is_some_and(|last| last.contains(':'))
}

fn document(image: &Image, name: Option<&Reference>) -> Value {
    json!({
        "Repository": name.map(Reference::familiar_name),
        "Tag": name.and_then(|name| name.tag()),
        "Digest": name.and_then(|name| name.digest()),
        "ID": image.id(),
        "CreatedAt": image.created(),
        "Size": image.size(),
    })
}

pub fn history(session: &Session, history: &History) -> Outcome<()> {
    const MISSING: &str = "<missing>";
    const WIDTH: usize = 45;
    let now = Timestamp::now();
    let image = session.engine()?.image(&history.image)?;
    let id = if history.no_trunc { image.id().to_string() } else { image.id().short().to_owned() };
    // The newest first. Only that one is an image of its own.
    let entries = || image.history().iter().rev().enumerate();
    if session.output.is_json() {
        let entries = entries().map(|(position, entry)| {
            json!({
                "ID": (position == 0).then(|| image.id()),
                "CreatedAt": entry.created(),
                "CreatedBy": entry.created_by(),
                "Comment": entry.comment(),
                "Size": entry.size(),
                "DiffID": entry.layer().map(plywood::Layer::diff_id),
                "ChainID": entry.layer().map(plywood::Layer::chain_id),
            })
        });
        return session.output.json(&entries.collect::<Vec<_>>());
    }
    let id_of = |position| if position == 0 { id.clone() } else { MISSING.to_owned() };
    if history.quiet {
        return session.output.lines(entries().map(|(position, _)| id_of(position)));
    }
    let rows: Vec<_> = entries()
        .map(|(position, entry)| {
            let by = cell(entry.created_by());
            [
                id_of(position),
                human::ago(entry.created(), now),
                if history.no_trunc { by } else { shortened(&by, WIDTH) },
                human::size(entry.size()),
                cell(entry.comment()),
            ]
        })
        .collect();
    session.output.table(["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"], &rows)
}

pub fn tag(session: &Session, image: &str, reference: &str) -> Outcome<()> {
    session.engine()?.tag(image, reference)?;
    Ok(())
}

pub fn remove(session: &Session, names: &[String], force: bool) -> Outcome<()> {
    let engine = session.engine()?;
    let mut documents = Vec::new();
    let outcome = each(names, |name| {
        let removed = if force { engine.remove_image_and_references(name)? } else { engine.remove_image(name)? };
        let untagged = removed.references().iter().map(|name| ("Untagged", name.familiar()));
        let image = removed.image().map(|id| ("Deleted", id.to_string()));
        let layers = removed.layers().iter().map(|layer| ("Deleted", layer.chain_id().to_string()));
        for (what, name) in untagged.chain(image).chain(layers) {
            if session.output.is_json() {
                documents.push(json!({ what: name }));
            } else {
                session.output.line(format_args!("{what}: {name}"))?;
            }
        }
        Ok(())
    });
    if session.output.is_json() {
        session.output.json(&documents)?;
    }
    outcome
}
