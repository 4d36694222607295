//! Loading images: archives of `docker save`, OCI layouts, and the two in one.
//!
//! An archive is read where it lies. Every image in it is checked as far as possible before a byte of a layer is read;
//! layers that the store has already are skipped; of the others size, digest and DiffID are verified before they are
//! published. All images and tags become visible together, under the images lock; if anything fails before, the layers
//! that this load brought are removed again.

use crate::archive::Limits;
use crate::error::{Error, ErrorKind, Result};
use crate::image::Image;
use crate::image::contents::Contents;
use crate::image::images::Images;
use crate::image::source::{Listener, Meter, Progress, Source};
use crate::image::tags::Overwrite;
use crate::layer::Imported;
use crate::spec::digest::ImageId;
use crate::spec::platform::Platform;
use crate::spec::reference::Reference;

use self::blob::Blob;
use self::candidate::Candidate;
use self::oci::Choice;

mod blob;
mod candidate;
mod docker;
mod document;
mod legacy;
mod oci;

/// How to load an archive.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    overwrite: bool,
    platform: Option<Platform>,
    only: Vec<String>,
    limits: Limits,
    listener: Listener,
}

/// One image of an archive, as it is in the store now.
#[derive(Debug, Clone)]
pub struct Loaded {
    image: Image,
    references: Vec<Reference>,
}

impl Loaded {
    /// The image.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// The references the archive gave it; empty if it came without a name.
    pub fn references(&self) -> &[Reference] {
        &self.references
    }

    /// The image, for whoever does not ask for its names.
    pub fn into_image(self) -> Image {
        self.image
    }
}

impl LoadOptions {
    /// The default: everything in the archive, for this host's platform where there is a choice.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the archive move references that name other images in the store. Default: that is an error.
    pub fn overwrite(mut self) -> Self {
        self.overwrite = true;
        self
    }

    /// Loads the image for this platform, and no other.
    #[doc(alias = "--platform")]
    pub fn platform(mut self, platform: Platform) -> Self {
        self.platform = Some(platform);
        self
    }

    /// Loads only the images with this reference, under this reference; may be given several times.
    pub fn only(mut self, reference: impl Into<String>) -> Self {
        self.only.push(reference.into());
        self
    }

    /// Sets what an archive may ask of this host.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Calls `listener` while the archive is read, from the thread that loads.
    pub fn progress(mut self, listener: impl Fn(&Progress) + Send + Sync + 'static) -> Self {
        self.listener = Listener::new(listener);
        self
    }
}

/// A layer found missing when the images were to be published is imported again, this many times.
const ATTEMPTS: usize = 3;

/// Loads the images of an archive; all of them or none.
pub(crate) fn load(images: &Images, source: Source<'_>, options: &LoadOptions) -> Result<Vec<Loaded>> {
    let meter = Meter::new(&options.listener, None);
    let spool = images.spool_dir();
    let contents = Contents::open(source, &spool, &options.limits, &meter)?;
    let candidates = match candidates(&contents, options)? {
        Found::Images(candidates) => candidates,
        Found::Version1 => return legacy::load(images, &contents, options, &meter),
    };
    let candidates = selected(&contents, candidates, options)?;
    let mut loading = Loading { images, contents: &contents, options, meter: &meter, brought: Vec::new() };
    match loading.run(&candidates) {
        Ok(loaded) => {
            meter.finish();
            Ok(loaded)
        }
        Err(error) => Err(undo(images, loading.brought, error)),
    }
}

enum Found {
    Images(Vec<Candidate>),
    /// An archive of Docker 1.9 or older, without a manifest.
    Version1,
}

fn candidates(contents: &Contents, options: &LoadOptions) -> Result<Found> {
    let choice = options.platform.clone().map_or(Choice::Host, Choice::Exactly);
    let entries = docker::entries(contents)?;
    if contents.has("index.json") {
        let mut candidates = oci::candidates(contents, &choice)?;
        agree(contents, &mut candidates, entries.as_deref().unwrap_or_default())?;
        return Ok(Found::Images(candidates));
    }
    if let Some(entries) = entries {
        let candidates = docker::candidates(contents, &entries)?;
        if let Choice::Exactly(wanted) = &choice {
            candidates.iter().try_for_each(|candidate| candidate.check_platform(contents, wanted))?;
        }
        return Ok(Found::Images(candidates));
    }
    if contents.has(legacy::REPOSITORIES) {
        return Ok(Found::Version1);
    }
    Err(contents
        .corrupt("it is no image archive (it has neither index.json nor manifest.json)")
        .with_hint("use import for the tar of a root filesystem"))
}

/// The error for a layer that cannot be imported.
fn failed(contents: &Contents, blob: &Blob, error: Error) -> Error {
    let attempt =
        format_args!("load images from {:?}: import the layer {:?}", contents.name(), blob.member).to_string();
    Error::new(error.kind(), attempt).with_source(error)
}

/// Refuses an archive whose two descriptions name different images; takes the names of both.
fn agree(contents: &Contents, candidates: &mut [Candidate], entries: &[docker::Entry]) -> Result<()> {
    for entry in entries {
        let claimed = docker::digest_in(&entry.config).map(ImageId::from);
        let Some(candidate) = candidates.iter_mut().find(|candidate| Some(&candidate.id) == claimed.as_ref()) else {
            // The image for another platform, which the choice has left out.
            if candidates.len() < entries.len() {
                continue;
            }
            return Err(contents.corrupt("its index.json and its manifest.json name different images"));
        };
        candidate.references.extend(entry.references(contents)?);
        candidate.references.sort();
        candidate.references.dedup();
    }
    Ok(())
}

/// The images the caller asked for; two images of one name are refused.
fn selected(contents: &Contents, mut candidates: Vec<Candidate>, options: &LoadOptions) -> Result<Vec<Candidate>> {
    let wanted = options.only.iter().map(|name| Reference::parse(name)).collect::<Result<Vec<_>>>()?;
    if !wanted.is_empty() {
        for candidate in &mut candidates {
            candidate.references.retain(|reference| wanted.contains(reference));
        }
        candidates.retain(|candidate| !candidate.references.is_empty());
        let has = |name: &&Reference| candidates.iter().any(|candidate| candidate.references.contains(name));
        if let Some(missing) = wanted.iter().find(|name| !has(name)) {
            return Err(Error::new(
                ErrorKind::NotFound,
                format_args!(
                    "load image {:?} from {:?}: the archive has no such image",
                    missing.familiar(),
                    contents.name()
                ),
            ));
        }
    }
    let mut names: Vec<_> =
        candidates.iter().flat_map(|one| one.references.iter().map(move |name| (name, &one.id))).collect();
    names.sort();
    names.dedup();
    if let Some(pair) = names.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(contents.corrupt(format_args!("it has several images named {:?}", pair[0].0.familiar())));
    }
    if candidates.is_empty() {
        return Err(contents.corrupt("there is no image in it"));
    }
    Ok(candidates)
}

/// One load under way.
struct Loading<'a> {
    images: &'a Images,
    contents: &'a Contents,
    options: &'a LoadOptions,
    meter: &'a Meter,
    /// The layers the store did not have before.
    brought: Vec<Imported>,
}

impl Loading<'_> {
    fn run(&mut self, candidates: &[Candidate]) -> Result<Vec<Loaded>> {
        // Before the work, so that nobody waits for an error that was there at the start.
        let overwrite = if self.options.overwrite { Overwrite::Move } else { Overwrite::Refuse };
        let publications: Vec<_> =
            candidates.iter().map(|candidate| (&candidate.config[..], &candidate.references[..])).collect();
        self.images.check_references(candidates.iter().map(|one| (&one.id, &one.references[..])), overwrite)?;
        let mut total = 0;
        for candidate in candidates {
            for blob in &candidate.layers {
                total += blob.check(self.contents)?.size();
            }
        }
        self.meter.restart(total);
        for _ in 0..ATTEMPTS {
            for candidate in candidates {
                self.layers(candidate)?;
            }
            if let Some(ids) = self.images.publish_all(&publications, overwrite)? {
                return ids
                    .iter()
                    .zip(candidates)
                    .map(|(id, candidate)| {
                        let image = self.images.need(id)?;
                        Ok(Loaded { image, references: candidate.references.clone() })
                    })
                    .collect();
            }
        }
        Err(Error::new(
            ErrorKind::InUse,
            format_args!("load images from {:?}: another program keeps removing their layers", self.contents.name()),
        ))
    }

    /// Brings in the layers of an image that the store lacks.
    fn layers(&mut self, candidate: &Candidate) -> Result<()> {
        let mut parent = None;
        for (blob, diff_id, chain_id) in candidate.stack() {
            if self.images.layers().get(&chain_id)?.is_some() {
                self.meter.add(blob.check(self.contents)?.size());
            } else {
                let limits = &self.options.limits;
                let mut tar = blob.open(self.contents, Some(diff_id), limits, self.meter)?;
                let options = self.images.apply_options(limits);
                let layer = self
                    .images
                    .layers()
                    .import(parent.as_ref(), &mut tar, Some(diff_id), &options)
                    .map_err(|error| failed(self.contents, blob, tar.blame(error)))?;
                self.brought.push(layer);
            }
            parent = Some(chain_id);
        }
        Ok(())
    }
}

/// Removes what a load that failed has brought, as far as nobody uses it.
fn undo(images: &Images, mut brought: Vec<Imported>, mut error: Error) -> Error {
    // One by one: a layer holds the one below it until its entry in the journal is gone.
    while let Some(layer) = brought.pop() {
        if layer.is_new()
            && let Err(failure) = images.release(std::iter::once(layer.chain_id()))
        {
            error = error.with_clean_up(failure);
        }
    }
    error
}

#[cfg(test)]
mod tests;
