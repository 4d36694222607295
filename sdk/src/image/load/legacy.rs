//! Archives of Docker 1.9 and older: `repositories`, and a directory for each layer, which is an image of its own.
//!
//! ```text
//! repositories            {"debian":{"12":"<id>"}}
//! <id>/json               configuration of that image and the ID of its parent
//! <id>/layer.tar
//! ```
//!
//! There is no image configuration with DiffIDs: they come out of the import, and the configuration is made from the
//! old one as Docker made it (moby, `image/v1/imagev1.go`).

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;

use super::blob::Blob;
use super::{LoadOptions, Loaded, failed};
use crate::error::{Error, ErrorKind, Result};
use crate::image::MAX_LAYERS;
use crate::image::contents::Contents;
use crate::image::images::Images;
use crate::image::import::to_json;
use crate::image::source::Meter;
use crate::image::tags::Overwrite;
use crate::layer::Imported;
use crate::spec::digest::ChainId;
use crate::spec::image_config::{Config, History, ImageConfig, RootFs};
use crate::spec::platform::Platform;
use crate::spec::reference::Reference;
use crate::spec::time::Timestamp;

/// The file of this format.
pub(super) const REPOSITORIES: &str = "repositories";

/// `<id>/json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Version1 {
    parent: Option<String>,
    created: Option<Timestamp>,
    author: Option<String>,
    comment: Option<String>,
    architecture: Option<String>,
    os: Option<String>,
    config: Option<Config>,
    container_config: Option<Config>,
    /// The step changed the configuration only.
    throwaway: bool,
}

/// Loads every image that `repositories` names.
pub(super) fn load(images: &Images, contents: &Contents, options: &LoadOptions, meter: &Meter) -> Result<Vec<Loaded>> {
    let bytes = contents.need(REPOSITORIES, contents.limits().manifest)?;
    let repositories: BTreeMap<String, BTreeMap<String, String>> = serde_json::from_slice(&bytes)
        .map_err(|error| contents.corrupt(format_args!("its {REPOSITORIES} file is malformed: {error}")))?;
    let wanted = options.only.iter().map(|name| Reference::parse(name)).collect::<Result<Vec<_>>>()?;
    let mut names: BTreeMap<String, Vec<Reference>> = BTreeMap::new();
    for (name, tags) in &repositories {
        for (tag, id) in tags {
            let reference = Reference::parse(&format!("{name}:{tag}"))?;
            if wanted.is_empty() || wanted.contains(&reference) {
                names.entry(id.clone()).or_default().push(reference);
            }
        }
    }
    if names.is_empty() {
        return Err(Error::new(
            ErrorKind::NotFound,
            format_args!("load images from {:?}: the archive has no such image", contents.name()),
        ));
    }
    let mut brought = Vec::new();
    let loaded = assemble_all(images, contents, options, meter, &names, &mut brought);
    loaded.map_err(|error| super::undo(images, brought, error))
}

fn assemble_all(
    images: &Images,
    contents: &Contents,
    options: &LoadOptions,
    meter: &Meter,
    names: &BTreeMap<String, Vec<Reference>>,
    brought: &mut Vec<Imported>,
) -> Result<Vec<Loaded>> {
    let overwrite = if options.overwrite { Overwrite::Move } else { Overwrite::Refuse };
    let mut configs = Vec::new();
    for (id, references) in names {
        configs.push((assemble(images, contents, options, meter, id, brought)?, references.as_slice()));
    }
    let publications: Vec<_> = configs.iter().map(|(config, references)| (&config[..], *references)).collect();
    let Some(ids) = images.publish_all(&publications, overwrite)? else {
        return Err(Error::new(
            ErrorKind::InUse,
            format_args!("load images from {:?}: another program removed their layers meanwhile", contents.name()),
        ));
    };
    meter.finish();
    ids.iter()
        .zip(configs)
        .map(|(id, (_, references))| Ok(Loaded { image: images.need(id)?, references: references.to_vec() }))
        .collect()
}

/// Imports the layers of one image; gives its configuration.
fn assemble(
    images: &Images,
    contents: &Contents,
    options: &LoadOptions,
    meter: &Meter,
    id: &str,
    brought: &mut Vec<Imported>,
) -> Result<Vec<u8>> {
    let chain = chain(contents, id)?;
    let mut config = ImageConfig::new(Platform::host());
    let mut diff_ids = Vec::new();
    let mut parent: Option<ChainId> = None;
    for (id, step) in &chain {
        let command = step.container_config.as_ref().and_then(|config| config.cmd.as_ref());
        config.history.push(History {
            created: step.created,
            author: step.author.clone(),
            created_by: command.map(|command| command.join(" ")),
            comment: step.comment.clone(),
            empty_layer: step.throwaway,
        });
        if step.throwaway {
            continue;
        }
        let blob = Blob { member: format!("{id}/layer.tar"), size: None, digest: None };
        let mut tar = blob.open(contents, None, &options.limits, meter)?;
        let options = images.apply_options(&options.limits);
        let layer = images
            .layers()
            .import(parent.as_ref(), &mut tar, None, &options)
            .map_err(|error| failed(contents, &blob, error))?;
        diff_ids.push(layer.diff_id().clone());
        parent = Some(layer.chain_id().clone());
        brought.push(layer);
    }
    if let Some((_, top)) = chain.into_iter().last() {
        config.created = top.created;
        config.author = top.author;
        config.config = top.config.unwrap_or_default();
        config.architecture = top.architecture.unwrap_or(config.architecture);
        config.os = top.os.unwrap_or(config.os);
    }
    config.rootfs = RootFs::new(diff_ids);
    to_json(&config)
}

/// The image and its parents, lowest first.
fn chain(contents: &Contents, id: &str) -> Result<Vec<(String, Version1)>> {
    let mut chain = Vec::new();
    let mut seen = HashSet::new();
    let mut next = Some(id.to_owned());
    while let Some(id) = next.take().filter(|id| !id.is_empty()) {
        if id.len() != 64 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(contents.corrupt(format_args!("{id:?} is no image ID")));
        }
        if !seen.insert(id.clone()) || chain.len() >= MAX_LAYERS {
            return Err(contents.corrupt(format_args!("image {} has too many parents", &id[..12])));
        }
        let bytes = contents.need(&format!("{id}/json"), contents.limits().config)?;
        let step: Version1 = serde_json::from_slice(&bytes).map_err(|error| {
            contents.corrupt(format_args!("the configuration of image {} is malformed: {error}", &id[..12]))
        })?;
        next = step.parent.clone();
        chain.push((id, step));
    }
    chain.reverse();
    Ok(chain)
}
