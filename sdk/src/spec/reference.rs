//! References: which image, by registry, repository, tag and digest.
//!
//! The grammar is that of [`plywood_syntax::reference`]; here are Docker's defaults: `debian` is
//! `docker.io/library/debian:latest`.

use std::fmt;

use super::{Digest, Invalid, text_value};
use crate::error::{Error, Result};

/// The registry of references that name none.
const DEFAULT_REGISTRY: &str = "docker.io";
/// The old name of the same registry.
const LEGACY_REGISTRY: &str = "index.docker.io";
/// Where the default registry keeps repositories of a single component.
const OFFICIAL: &str = "library/";
/// The tag of references that have neither tag nor digest.
const DEFAULT_TAG: &str = "latest";

/// Names an image: registry, repository, tag and digest, with Docker's defaults filled in.
///
/// ```
/// # fn main() -> plywood::Result<()> {
/// use plywood::spec::Reference;
/// let reference = Reference::parse("debian")?;
/// assert_eq!(reference.registry(), "docker.io");
/// assert_eq!(reference.repository(), "library/debian");
/// assert_eq!(reference.familiar(), "debian:latest");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Reads a reference and fills in the defaults.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) with the broken rule, and the corrected reference as hint.
    pub fn parse(text: &str) -> Result<Self> {
        let parts = plywood_syntax::reference::parse(text).map_err(|problem| {
            let hint = problem.help.map(|help| format!("write `{help}`"));
            Error::from(Invalid { hint, ..Invalid::new("image reference", text, problem.message) })
        })?;
        let registry = match parts.registry {
            None | Some(LEGACY_REGISTRY) => DEFAULT_REGISTRY,
            Some(registry) => registry,
        };
        let repository = match registry == DEFAULT_REGISTRY && !parts.repository.contains('/') {
            true => format!("{OFFICIAL}{}", parts.repository),
            false => parts.repository.to_owned(),
        };
        let digest = parts.digest.map(Digest::parse).transpose()?;
        let tag = match (parts.tag, &digest) {
            (None, None) => Some(DEFAULT_TAG),
            (tag, _) => tag,
        };
        Ok(Self { registry: registry.to_owned(), repository, tag: tag.map(str::to_owned), digest })
    }

    /// The server, with its port where one is written; `docker.io` by default.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path on the server, such as `library/debian`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag: `latest` if neither tag nor digest was written, `None` if only a digest was.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest of the manifest, where one was written.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Registry and repository as people write them: `debian`, `owner/x`, `ghcr.io/owner/x`.
    pub fn familiar_name(&self) -> String {
        if self.registry != DEFAULT_REGISTRY {
            return format!("{}/{}", self.registry, self.repository);
        }
        let reads_as_registry =
            self.repository.split_once('/').is_some_and(|(first, _)| plywood_syntax::reference::is_domain(first));
        match self.repository.strip_prefix(OFFICIAL) {
            Some(name) if !name.contains('/') => name.to_owned(),
            // Without the registry it would be another's.
            _ if reads_as_registry => format!("{DEFAULT_REGISTRY}/{}", self.repository),
            _ => self.repository.clone(),
        }
    }

    /// The familiar name with tag and digest: `debian:latest`, as `repositories.json` has it.
    pub fn familiar(&self) -> String {
        self.with_suffix(self.familiar_name())
    }

    /// The whole: `docker.io/library/debian:latest`.
    pub fn canonical(&self) -> String {
        self.with_suffix(format!("{}/{}", self.registry, self.repository))
    }

    /// The same repository at another tag, without digest.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if it is not a tag.
    pub fn at_tag(&self, tag: &str) -> Result<Self> {
        Self::parse(&format!("{}/{}:{tag}", self.registry, self.repository))
    }

    /// The same repository at a digest, without tag.
    pub fn at_digest(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    fn with_suffix(&self, mut name: String) -> String {
        if let Some(tag) = &self.tag {
            name = name + ":" + tag;
        }
        if let Some(digest) = &self.digest {
            name = name + "@" + digest.as_str();
        }
        name
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.familiar())
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.canonical())
    }
}

text_value!(Reference);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn defaults_are_dockers() {
        let table = [
            ("debian", "docker.io/library/debian:latest", "debian", "debian:latest"),
            ("library/debian:12", "docker.io/library/debian:12", "debian", "debian:12"),
            ("index.docker.io/a/b", "docker.io/a/b:latest", "a/b", "a/b:latest"),
            ("docker.io/debian", "docker.io/library/debian:latest", "debian", "debian:latest"),
            ("ghcr.io/x/y:1", "ghcr.io/x/y:1", "ghcr.io/x/y", "ghcr.io/x/y:1"),
            ("localhost:5000/x", "localhost:5000/x:latest", "localhost:5000/x", "localhost:5000/x:latest"),
            ("docker.io/ghcr.io/x", "docker.io/ghcr.io/x:latest", "docker.io/ghcr.io/x", "docker.io/ghcr.io/x:latest"),
            ("docker.io/localhost/x:1", "docker.io/localhost/x:1", "docker.io/localhost/x", "docker.io/localhost/x:1"),
            ("docker.io/localhost", "docker.io/library/localhost:latest", "localhost", "localhost:latest"),
        ];
        for (text, canonical, name, familiar) in table {
            let reference = Reference::parse(text).unwrap();
            assert_eq!(reference.canonical(), canonical);
            assert_eq!(reference.familiar_name(), name);
            assert_eq!(reference.familiar(), familiar);
            assert_eq!(Reference::parse(&reference.familiar()).unwrap(), reference);
        }
    }

    #[test]
    fn a_digest_alone_brings_no_tag() {
        let digest = Digest::of(b"");
        let reference = Reference::parse(&format!("debian@{digest}")).unwrap();
        assert_eq!(reference.tag(), None);
        assert_eq!(reference.digest(), Some(&digest));
        assert_eq!(reference.to_string(), format!("debian@{digest}"));
        let tagged = reference.at_tag("12").unwrap();
        assert_eq!(tagged.to_string(), "debian:12");
        assert_eq!(tagged.at_digest(digest), reference);
    }

    #[test]
    fn errors_name_the_text_and_correct_it() {
        let error = Reference::parse("Alpine:3.20").unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid image reference \"Alpine:3.20\": image names are lower case: `alpine:3.20`"
        );
        assert_eq!(error.hint(), Some("write `alpine:3.20`"));
    }
}
