//! `COPY` and `ADD`.

use std::fmt;

use super::{Base, Embedded, ImageDefinition, Values};

/// Something that is copied into an image.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CopySource {
    /// A path or pattern below the build context, or below the root of what `from` names; for `ADD` also an address.
    Path(String),
    /// Text given in the definition itself.
    #[non_exhaustive]
    Inline {
        /// The file's name where the destination is a directory.
        name: Option<String>,
        /// The content of the file.
        text: String,
        /// Whether variables in it are expanded.
        expands: bool,
    },
}

/// Copies files into the image.
///
/// ```
/// use plywood::image::Copy;
///
/// let copy = Copy::of("target/release/web").to("/usr/local/bin/").from_stage("build").chmod("0755");
/// assert_eq!(copy.destination(), "/usr/local/bin/");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[doc(alias = "COPY")]
pub struct Copy {
    sources: Vec<CopySource>,
    destination: String,
    from: Option<Base>,
    chown: Option<String>,
    chmod: Option<String>,
    link: bool,
    parents: bool,
    exclude: Vec<String>,
    embedded: Option<Embedded>,
}

impl Copy {
    /// Copies these files or directories; a directory's contents are copied, not the directory itself.
    pub fn of(sources: impl Into<Values>) -> Self {
        Self { sources: paths(sources), ..Self::default() }
    }

    /// Writes a file with this content.
    pub fn inline(text: impl fmt::Display) -> Self {
        Self::default().and_content(None, text.to_string(), false)
    }

    /// Writes a file with this content, in which variables are expanded.
    pub fn template(text: impl fmt::Display) -> Self {
        Self::default().and_content(None, text.to_string(), true)
    }

    /// Adds a file with this content; `name` is its name where the destination is a directory.
    #[must_use]
    pub fn and_inline(self, name: impl fmt::Display, text: impl fmt::Display) -> Self {
        self.and_content(Some(name.to_string()), text.to_string(), false)
    }

    /// The same, with variables expanded in the content.
    #[must_use]
    pub fn and_template(self, name: impl fmt::Display, text: impl fmt::Display) -> Self {
        self.and_content(Some(name.to_string()), text.to_string(), true)
    }

    pub(super) fn and_content(mut self, name: Option<String>, text: String, expands: bool) -> Self {
        self.sources.push(CopySource::Inline { name, text, expands });
        self
    }

    /// Where to; a directory if it ends in a slash. Relative to the working directory of the image.
    #[must_use]
    pub fn to(mut self, destination: impl fmt::Display) -> Self {
        self.destination = destination.to_string();
        self
    }

    /// Copies from this base instead of the build context.
    #[must_use]
    #[doc(alias = "--from")]
    pub fn from(mut self, base: impl Into<Base>) -> Self {
        self.from = Some(base.into());
        self
    }

    /// Copies from an earlier stage.
    #[must_use]
    pub fn from_stage(self, name: impl fmt::Display) -> Self {
        self.from(Base::stage(name))
    }

    /// Copies from an image in the store.
    #[must_use]
    pub fn from_image(self, reference: impl fmt::Display) -> Self {
        self.from(Base::image(reference))
    }

    /// Copies from another definition, which is built first.
    #[must_use]
    pub fn from_definition(self, definition: impl ImageDefinition) -> Self {
        self.from(Base::definition(definition))
    }

    /// Gives the files to `user`, `user:group` or their numbers. Default: root.
    #[must_use]
    #[doc(alias = "--chown")]
    pub fn chown(mut self, owner: impl fmt::Display) -> Self {
        self.chown = Some(owner.to_string());
        self
    }

    /// Sets the mode of the files, octal or symbolic. Default: as in the source.
    #[must_use]
    #[doc(alias = "--chmod")]
    pub fn chmod(mut self, mode: impl fmt::Display) -> Self {
        self.chmod = Some(mode.to_string());
        self
    }

    /// Makes the layer independent of the layers below it, whose symlinks at the destination are not followed.
    #[must_use]
    #[doc(alias = "--link")]
    pub fn link(mut self) -> Self {
        self.link = true;
        self
    }

    /// Keeps the directories of the sources' paths.
    #[must_use]
    #[doc(alias = "--parents")]
    pub fn parents(mut self) -> Self {
        self.parents = true;
        self
    }

    /// Leaves out what matches this pattern. May be called several times.
    #[must_use]
    #[doc(alias = "--exclude")]
    pub fn exclude(mut self, pattern: impl fmt::Display) -> Self {
        self.exclude.push(pattern.to_string());
        self
    }

    /// Copies from these files, which are part of the program, instead of the build context.
    #[must_use]
    #[doc(alias = "--embed")]
    pub fn embedded(mut self, files: Embedded) -> Self {
        self.embedded = Some(files);
        self
    }

    /// What is copied.
    pub fn sources(&self) -> &[CopySource] {
        &self.sources
    }

    /// Where to.
    pub fn destination(&self) -> &str {
        &self.destination
    }

    /// What is copied from; the build context if there is none.
    pub fn base(&self) -> Option<&Base> {
        self.from.as_ref()
    }

    pub(super) fn base_mut(&mut self) -> Option<&mut Base> {
        self.from.as_mut()
    }

    /// The owner of the copied files.
    pub fn owner(&self) -> Option<&str> {
        self.chown.as_deref()
    }

    /// The mode of the copied files.
    pub fn mode(&self) -> Option<&str> {
        self.chmod.as_deref()
    }

    /// Whether the layer is independent of those below.
    pub fn is_link(&self) -> bool {
        self.link
    }

    /// Whether the directories of the sources' paths are kept.
    pub fn keeps_parents(&self) -> bool {
        self.parents
    }

    /// The files of the program that are copied from; the build context if there are none.
    pub fn embedded_files(&self) -> Option<&Embedded> {
        self.embedded.as_ref()
    }

    /// Patterns of what is left out.
    pub fn excluded(&self) -> &[String] {
        &self.exclude
    }
}

/// Copies files into the image, unpacks local archives and downloads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[doc(alias = "ADD")]
pub struct Add {
    copy: Copy,
    checksum: Option<String>,
    keep_git_dir: bool,
    unpack: Option<bool>,
}

impl Add {
    /// Adds these files, directories, archives or addresses.
    pub fn of(sources: impl Into<Values>) -> Self {
        Self::sharing(Copy::of(sources))
    }

    /// Writes a file with this content.
    pub fn inline(text: impl fmt::Display) -> Self {
        Self::sharing(Copy::inline(text))
    }

    /// Writes a file with this content, in which variables are expanded.
    pub fn template(text: impl fmt::Display) -> Self {
        Self::sharing(Copy::template(text))
    }

    /// What it shares with `COPY`, which must have neither `--from` nor `--parents`.
    pub(super) fn sharing(copy: Copy) -> Self {
        Self { copy, ..Self::default() }
    }

    /// Adds a file with this content; `name` is its name where the destination is a directory.
    #[must_use]
    pub fn and_inline(self, name: impl fmt::Display, text: impl fmt::Display) -> Self {
        Self { copy: self.copy.and_inline(name, text), ..self }
    }

    /// The same, with variables expanded in the content.
    #[must_use]
    pub fn and_template(self, name: impl fmt::Display, text: impl fmt::Display) -> Self {
        Self { copy: self.copy.and_template(name, text), ..self }
    }

    /// Where to; a directory if it ends in a slash. Relative to the working directory of the image.
    #[must_use]
    pub fn to(self, destination: impl fmt::Display) -> Self {
        Self { copy: self.copy.to(destination), ..self }
    }

    /// Gives the files to `user`, `user:group` or their numbers. Default: root.
    #[must_use]
    #[doc(alias = "--chown")]
    pub fn chown(self, owner: impl fmt::Display) -> Self {
        Self { copy: self.copy.chown(owner), ..self }
    }

    /// Sets the mode of the files, octal or symbolic. Default: as in the source.
    #[must_use]
    #[doc(alias = "--chmod")]
    pub fn chmod(self, mode: impl fmt::Display) -> Self {
        Self { copy: self.copy.chmod(mode), ..self }
    }

    /// Makes the layer independent of the layers below it, whose symlinks at the destination are not followed.
    #[must_use]
    #[doc(alias = "--link")]
    pub fn link(self) -> Self {
        Self { copy: self.copy.link(), ..self }
    }

    /// Leaves out what matches this pattern. May be called several times.
    #[must_use]
    #[doc(alias = "--exclude")]
    pub fn exclude(self, pattern: impl fmt::Display) -> Self {
        Self { copy: self.copy.exclude(pattern), ..self }
    }

    /// Refuses a download with another digest, as in `sha256:…`.
    #[must_use]
    #[doc(alias = "--checksum")]
    pub fn checksum(mut self, digest: impl fmt::Display) -> Self {
        self.checksum = Some(digest.to_string());
        self
    }

    /// Keeps `.git` of a git source.
    #[must_use]
    #[doc(alias = "--keep-git-dir")]
    pub fn keep_git_dir(mut self) -> Self {
        self.keep_git_dir = true;
        self
    }

    /// Unpacks archives wherever they come from. Default: local ones only.
    #[must_use]
    #[doc(alias = "--unpack")]
    pub fn unpack(mut self) -> Self {
        self.unpack = Some(true);
        self
    }

    /// Unpacks nothing.
    #[must_use]
    pub fn no_unpack(mut self) -> Self {
        self.unpack = Some(false);
        self
    }

    /// Adds these files, which are part of the program, instead of those of the build context.
    #[must_use]
    #[doc(alias = "--embed")]
    pub fn embedded(self, files: Embedded) -> Self {
        Self { copy: self.copy.embedded(files), ..self }
    }

    /// What it shares with `COPY`: sources, destination, owner, mode.
    pub fn as_copy(&self) -> &Copy {
        &self.copy
    }

    pub(super) fn base_mut(&mut self) -> Option<&mut Base> {
        self.copy.base_mut()
    }

    /// The digest that a download must have.
    pub fn expected_checksum(&self) -> Option<&str> {
        self.checksum.as_deref()
    }

    /// Whether `.git` of a git source is kept.
    pub fn keeps_git_dir(&self) -> bool {
        self.keep_git_dir
    }

    /// Whether archives are unpacked; without a word local archives are and downloads are not.
    pub fn unpacks(&self) -> Option<bool> {
        self.unpack
    }
}

fn paths(sources: impl Into<Values>) -> Vec<CopySource> {
    sources.into().into_vec().into_iter().map(CopySource::Path).collect()
}
