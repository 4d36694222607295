//! Platforms: operating system, architecture and variant, in Go's words.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Invalid;
use crate::error::Result;

/// What an image runs on, such as `linux/amd64` or `linux/arm/v7`.
#[doc(alias = "--platform")]
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// The operating system, such as `linux`.
    pub os: String,
    /// The architecture, such as `amd64` or `arm64`.
    pub architecture: String,
    /// The variant of the architecture, such as `v7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// Reads `os/architecture` or `os/architecture/variant`; `x86_64` becomes `amd64`, `aarch64` and `arm64/v8` `arm64`.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if it has another shape.
    pub fn parse(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        let is_word = |part: &&str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
        };
        let (os, architecture, variant) = match parts.as_slice() {
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(*variant)),
            _ => return Err(Invalid::new("platform", text, "it reads like `linux/amd64`").into()),
        };
        if !parts.iter().all(is_word) {
            return Err(Invalid::new("platform", text, "it reads like `linux/amd64`").into());
        }
        Ok(Self::new(os, architecture, variant))
    }

    /// The platform this program runs on.
    pub fn host() -> Self {
        let variant = (std::env::consts::ARCH == "arm").then_some("v7");
        Self::new(std::env::consts::OS, std::env::consts::ARCH, variant)
    }

    /// Whether an image of platform `other` runs here: the same system and architecture, the variant where both have one.
    pub fn accepts(&self, other: &Self) -> bool {
        let same_variant = match (&self.variant, &other.variant) {
            (Some(own), Some(other)) => own == other,
            _ => true,
        };
        self.os == other.os && self.architecture == other.architecture && same_variant
    }

    fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let architecture = match architecture.to_ascii_lowercase().as_str() {
            "x86_64" | "x86-64" => "amd64".to_owned(),
            "aarch64" => "arm64".to_owned(),
            "x86" | "i386" | "i686" => "386".to_owned(),
            "powerpc64" => "ppc64le".to_owned(),
            other => other.to_owned(),
        };
        let variant = variant.filter(|variant| !(architecture == "arm64" && matches!(*variant, "v8" | "8")));
        Self { os: os.to_ascii_lowercase(), architecture, variant: variant.map(str::to_owned) }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl std::str::FromStr for Platform {
    type Err = crate::error::Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn platforms_are_normalised_to_gos_words() {
        for (text, normal) in [
            ("linux/amd64", "linux/amd64"),
            ("Linux/x86_64", "linux/amd64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm/v7", "linux/arm/v7"),
        ] {
            assert_eq!(Platform::parse(text).unwrap().to_string(), normal);
        }
        for text in ["", "linux", "linux/", "a/b/c/d", "linux/am d64"] {
            assert!(Platform::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_host_accepts_itself_but_no_other_architecture() {
        let host = Platform::host();
        assert!(host.accepts(&host));
        assert!(!host.accepts(&Platform::parse("linux/riscv64").unwrap()) || host.architecture == "riscv64");
        let arm = Platform::parse("linux/arm").unwrap();
        assert!(arm.accepts(&Platform::parse("linux/arm/v6").unwrap()));
    }
}
