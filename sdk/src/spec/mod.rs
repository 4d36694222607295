//! Values of the formats: parse and print, no I/O.
//!
//! Everything here is a plain value that can be compared, hashed, written as JSON and shared between threads. A value
//! that exists is valid: `parse` is the only way in, and its error names the text and the rule.

pub mod byte_size;
pub mod container_path;
pub mod descriptor;
pub mod digest;
pub mod exit_status;
pub mod id;
pub mod image_config;
pub mod manifest;
pub mod media_type;
pub mod mount;
pub mod name;
pub mod named;
pub mod platform;
pub mod port;
pub mod reference;
pub mod time;
pub mod user;
mod words;

pub use byte_size::ByteSize;
pub use container_path::ContainerPath;
pub use descriptor::Descriptor;
pub use digest::{ChainId, DiffId, Digest, Digester, ImageId};
pub use exit_status::ExitStatus;
pub use id::{CacheId, ContainerId};
pub use image_config::ImageConfig;
pub use manifest::{Index, Manifest};
pub use mount::Mount;
pub use name::{ContainerName, NetworkName, VolumeName};
pub use named::{MountPoint, Port, Stage};
pub use platform::Platform;
pub use port::{ExposedPort, Protocol};
pub use reference::Reference;
pub use time::Timestamp;
pub use user::User;

use crate::error::{ErrorKind, Fault};

/// A text that is not a value of its type.
#[derive(Debug, thiserror::Error)]
#[error("invalid {what} {text:?}: {why}")]
pub(crate) struct Invalid {
    what: &'static str,
    text: String,
    why: String,
    hint: Option<String>,
}

impl Invalid {
    fn new(what: &'static str, text: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what, text: text.into(), why: why.into(), hint: None }
    }
}

impl Fault for Invalid {
    fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidArgument
    }

    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

/// Gives a type with `parse` and `Display` the conversions from text, and the form of a string in JSON.
macro_rules! text_value {
    ($($type:ty),+ $(,)?) => {$(
        impl std::str::FromStr for $type {
            type Err = crate::error::Error;

            fn from_str(text: &str) -> crate::error::Result<Self> {
                Self::parse(text)
            }
        }

        impl TryFrom<&str> for $type {
            type Error = crate::error::Error;

            fn try_from(text: &str) -> crate::error::Result<Self> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $type {
            type Error = crate::error::Error;

            fn try_from(text: String) -> crate::error::Result<Self> {
                Self::parse(&text)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    )+};
}
use text_value;
