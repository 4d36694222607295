//! Devices of the host that a container may use.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::Definition;
use crate::error::{Error, ErrorKind};

/// What may be done with a device by default: read, write, make nodes of it.
const ALL: &str = "rwm";

/// A device of the host, as a container has it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a device does nothing until it is added to a container"]
pub struct Device {
    pub(crate) source: PathBuf,
    pub(crate) target: Option<String>,
    pub(crate) access: String,
}

impl Device {
    /// The device node at this path of the host, under the same path in the container, for all uses.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { source: path.into(), target: None, access: ALL.to_owned() }
    }

    /// Has it at this absolute path in the container.
    pub fn at(mut self, target: impl Into<String>) -> Self {
        self.target = Some(target.into());
        self
    }

    /// Allows these uses only: `r` to read, `w` to write, `m` to make further nodes of it; all of them by default.
    ///
    /// The container's cgroup refuses the others. So it is an error of `create` where the container has none that could:
    /// for an ordinary user, and with [`privileged`](Definition::privileged); and one of `start` where the kernel refuses
    /// to keep such rules.
    pub fn access(mut self, uses: impl Into<String>) -> Self {
        self.access = uses.into();
        self
    }

    /// Whether some uses are refused.
    pub(crate) fn is_restricted(&self) -> bool {
        !ALL.chars().all(|letter| self.access.contains(letter))
    }

    /// Whether what it says of uses can be understood.
    pub(crate) fn has_known_access(&self) -> bool {
        is_access(&self.access)
    }

    /// Where it is in the container, if the path is UTF-8.
    pub(crate) fn target(&self) -> Option<&str> {
        self.target.as_deref().or_else(|| self.source.to_str())
    }
}

fn is_access(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| ALL.contains(letter))
}

impl From<&str> for Device {
    fn from(path: &str) -> Self {
        Self::new(path)
    }
}

impl From<&Path> for Device {
    fn from(path: &Path) -> Self {
        Self::new(path)
    }
}

/// Docker's `--device`: `HOST[:CONTAINER][:rwm]`.
impl FromStr for Device {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parts: Vec<&str> = text.split(':').collect();
        match parts.as_slice() {
            [source] => Ok(Self::new(*source)),
            [source, access] if is_access(access) => Ok(Self::new(*source).access(*access)),
            [source, target] => Ok(Self::new(*source).at(*target)),
            [source, target, access] => Ok(Self::new(*source).at(*target).access(*access)),
            _ => Err(Error::new(
                ErrorKind::InvalidArgument,
                format_args!("invalid device {text:?}: it is HOST[:CONTAINER][:rwm]"),
            )),
        }
    }
}

impl<D> Definition<D> {
    /// Gives it a device of the host, beside those that every container has. Default: none.
    ///
    /// **Dangerous**: a block device is a way around all permissions of the file system on it. The node is the host's,
    /// mounted so that its owner and mode cannot be changed; a user of the container needs them to open it.
    ///
    /// ```no_run
    /// # use plywood::{Container, Engine, container::Device};
    /// # fn main() -> plywood::Result<()> {
    /// # let engine = Engine::open_default()?;
    /// let mounter = Container::of("sshfs:3").device("/dev/fuse").start(&engine)?;
    /// let meter = Container::of("meter:1").device(Device::new("/dev/ttyUSB0").at("/dev/meter").access("r")).start(&engine)?;
    /// # Ok(()) }
    /// ```
    #[doc(alias = "--device")]
    pub fn device(mut self, device: impl Into<Device>) -> Self {
        self.settings.devices.push(device.into());
        self
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_device_reads_as_docker_has_it() {
        let read = |text: &str| text.parse::<Device>().unwrap();
        assert_eq!(read("/dev/fuse"), Device::new("/dev/fuse"));
        assert_eq!(read("/dev/fuse:r"), Device::new("/dev/fuse").access("r"));
        assert_eq!(read("/dev/fuse:/dev/x"), Device::new("/dev/fuse").at("/dev/x"));
        assert_eq!(read("/dev/fuse:/dev/x:mr"), Device::new("/dev/fuse").at("/dev/x").access("mr"));
        assert!(read("/dev/a:rw").is_restricted() && !read("/dev/a:mwr").is_restricted());
        assert!(!read("/dev/a:/b:x").has_known_access() && !read("/dev/a:/b:").has_known_access());
        assert!("a:b:c:d".parse::<Device>().is_err());
    }
}
