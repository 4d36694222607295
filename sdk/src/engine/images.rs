//! Images: in, out, names.

use super::Engine;
use crate::build;
use crate::error::Result;
use crate::image::import::import;
use crate::image::load::load;
use crate::image::remove::Force;
use crate::image::save::save;
use crate::image::{Format, Image, ImageDefinition, ImportOptions, LoadOptions, Loaded, Removed, Source, Target};
use crate::spec::reference::Reference;

impl Engine {
    /// Builds an image.
    ///
    /// A step whose instruction, sources and base are those of an earlier build is not executed again.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for a definition that cannot be,
    /// [`NotFound`](crate::ErrorKind::NotFound) if the base image or a source of `COPY` does not exist,
    /// [`Failed`](crate::ErrorKind::Failed) if the program of a `RUN` fails. Nothing is left of a failed build but the cached
    /// results of the steps before.
    pub fn build<D: ImageDefinition>(&self, definition: &D) -> Result<Image<D>> {
        self.build_with(definition, &build::Options::new())
    }

    /// Builds an image with what is not part of its definition: context, arguments, tags, progress.
    ///
    /// # Errors
    /// As for [`build`](Self::build).
    pub fn build_with<D: ImageDefinition>(&self, definition: &D, options: &build::Options) -> Result<Image<D>> {
        let images = self.store.images();
        let id = build::build(images, &definition.layers(), options)?;
        Ok(images.need(&id)?.of_definition())
    }

    /// Makes an image of the tar of a root filesystem: a path or any reader; plain, or compressed with gzip.
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) and [`LimitExceeded`](crate::ErrorKind::LimitExceeded) for an archive that
    /// cannot or must not be extracted. Nothing is left of it then.
    #[doc(alias = "docker import")]
    pub fn import<'a>(&self, archive: impl Into<Source<'a>>) -> Result<Image> {
        self.import_with(archive, &ImportOptions::new())
    }

    /// Makes an image of the tar of a root filesystem, with a reference and a configuration.
    ///
    /// # Errors
    /// As for [`import`](Self::import); [`AlreadyExists`](crate::ErrorKind::AlreadyExists) if another image has the reference.
    pub fn import_with<'a>(&self, archive: impl Into<Source<'a>>, options: &ImportOptions) -> Result<Image> {
        import(self.store.images(), archive.into(), options)
    }

    /// Loads all images of an archive that `docker save` made, or of an OCI layout: a directory, a tar, any reader.
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) if the archive contradicts itself,
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists) if one of its references names another image here. All images are
    /// loaded, or none.
    #[doc(alias = "docker load")]
    pub fn load<'a>(&self, archive: impl Into<Source<'a>>) -> Result<Vec<Loaded>> {
        self.load_with(archive, &LoadOptions::new())
    }

    /// Loads images of an archive, as the options say.
    ///
    /// # Errors
    /// As for [`load`](Self::load).
    pub fn load_with<'a>(&self, archive: impl Into<Source<'a>>, options: &LoadOptions) -> Result<Vec<Loaded>> {
        load(self.store.images(), archive.into(), options)
    }

    /// Saves images as one archive that both `docker load` and tools for OCI layouts read.
    ///
    /// An image that is named by a reference keeps it in the archive.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such image.
    #[doc(alias = "docker save")]
    pub fn save<'a>(&self, names: &[&str], target: impl Into<Target<'a>>) -> Result<()> {
        self.save_as(names, target, Format::default())
    }

    /// Saves images in this format.
    ///
    /// # Errors
    /// As for [`save`](Self::save).
    pub fn save_as<'a>(&self, names: &[&str], target: impl Into<Target<'a>>, format: Format) -> Result<()> {
        save(self.store.images(), names, target.into(), format)
    }

    /// All images, the newest first. One that cannot be read is passed over.
    ///
    /// # Errors
    /// If the data root cannot be read.
    pub fn images(&self) -> Result<Vec<Image>> {
        self.store.images().list()
    }

    /// The image called `name`: a reference, an image ID, or the beginning of exactly one ID.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is none.
    pub fn image(&self, name: &str) -> Result<Image> {
        self.store.images().find(name)
    }

    /// Gives the image called `name` a further reference. One that another image has is taken from it.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such image,
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if the reference is malformed.
    #[doc(alias = "docker tag")]
    pub fn tag(&self, name: &str, reference: &str) -> Result<Image> {
        let images = self.store.images();
        let id = images.tag(name, &Reference::parse(reference)?)?;
        images.need(&id)
    }

    /// Takes a reference away. The image stays, even if it has no other.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if it names no image.
    pub fn untag(&self, reference: &str) -> Result<()> {
        self.store.images().untag(&Reference::parse(reference)?).map(drop)
    }

    /// Removes what `name` stands for: a reference, and with the last one the image and the layers that nothing else
    /// uses; or an image by its ID.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound); [`InUse`](crate::ErrorKind::InUse) if containers were made from the image
    /// (the message names them), or if it is named by its ID and has several references.
    #[doc(alias = "docker rmi")]
    pub fn remove_image(&self, name: &str) -> Result<Removed> {
        self.take_image_away(name, Force::No)
    }

    /// As [`remove_image`](Self::remove_image), with all references of an image that is named by its ID.
    ///
    /// # Errors
    /// As for [`remove_image`](Self::remove_image); containers still keep it.
    pub fn remove_image_and_references(&self, name: &str) -> Result<Removed> {
        self.take_image_away(name, Force::Yes)
    }

    fn take_image_away(&self, name: &str, force: Force) -> Result<Removed> {
        self.store.images().remove(name, force, &|id| self.store.users_of_image(id))
    }
}
