//! Images from and to archives.

use super::Engine;
use crate::error::Result;
use crate::image::import::import;
use crate::image::load::load;
use crate::image::save::save;
use crate::image::{Format, Image, ImportOptions, LoadOptions, Loaded, Source, Target};

impl Engine {
    /// Makes an image of one layer of the tar of a root filesystem, plain or compressed.
    ///
    /// The image has no name and no command; [`import_with`](Self::import_with) gives it both.
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) if the archive is no tar or cut short,
    /// [`LimitExceeded`](crate::ErrorKind::LimitExceeded); nothing stays in the store then.
    #[doc(alias = "docker import")]
    pub fn import<'a>(&self, source: impl Into<Source<'a>>) -> Result<Image> {
        self.import_with(source, &ImportOptions::new())
    }

    /// As [`import`](Self::import), with a name, a configuration, a platform or limits.
    ///
    /// # Errors
    /// Also [`AlreadyExists`](crate::ErrorKind::AlreadyExists) if another image has the name and the options do not
    /// allow to overwrite it, and [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for malformed options.
    pub fn import_with<'a>(&self, source: impl Into<Source<'a>>, options: &ImportOptions) -> Result<Image> {
        import(self.store.images(), source.into(), options)
    }

    /// Loads all images of an archive: one of `docker save`, or an OCI layout in a tar or a directory.
    ///
    /// Layers that the store has are not read. All images and references appear together, or none.
    ///
    /// # Errors
    /// [`Corrupt`](crate::ErrorKind::Corrupt) if anything in it is not what it claims to be,
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists) if a reference names another image in the store.
    #[doc(alias = "docker load")]
    pub fn load<'a>(&self, source: impl Into<Source<'a>>) -> Result<Vec<Loaded>> {
        self.load_with(source, &LoadOptions::new())
    }

    /// As [`load`](Self::load), for one platform, for some references, or with the right to move references.
    ///
    /// # Errors
    /// Also [`NotFound`](crate::ErrorKind::NotFound) if the archive lacks what the options ask for.
    pub fn load_with<'a>(&self, source: impl Into<Source<'a>>, options: &LoadOptions) -> Result<Vec<Loaded>> {
        load(self.store.images(), source.into(), options)
    }

    /// Saves images to an archive or a directory; the same images always give the same bytes.
    ///
    /// A reference is saved with its image; an image named by its ID is saved without a name.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if a name stands for no image,
    /// [`Corrupt`](crate::ErrorKind::Corrupt) if a layer was altered in the store. A path is left as it was then.
    #[doc(alias = "docker save")]
    pub fn save<'a, S: AsRef<str>>(
        &self,
        names: impl IntoIterator<Item = S>,
        target: impl Into<Target<'a>>,
        format: Format,
    ) -> Result<()> {
        let names: Vec<S> = names.into_iter().collect();
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        save(self.store.images(), &names, target.into(), format)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_one_engine_saves_another_loads() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(5);
        header.set_mode(0o644);
        builder.append_data(&mut header, "hello", &b"world"[..]).unwrap();
        let rootfs = builder.into_inner().unwrap();
        let engine = Engine::temp().unwrap();
        let image =
            engine.import_with(Source::reader(&rootfs[..]), &ImportOptions::new().reference("hello:1")).unwrap();
        let mut archive = Vec::new();
        engine.save(["hello:1"], Target::writer(&mut archive), Format::Docker).unwrap();
        let other = Engine::temp().unwrap();
        let loaded = other.load(Source::reader(&archive[..])).unwrap();
        assert_eq!(*loaded[0].image(), image);
        assert_eq!(other.image("hello:1").unwrap().references(), image.references());
    }
}
