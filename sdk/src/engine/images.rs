//! Images: in, out, names.

use super::Engine;
use crate::error::Result;
use crate::image::remove::Force;
use crate::image::{Image, Removed};
use crate::spec::reference::Reference;

impl Engine {
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
