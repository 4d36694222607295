//! Mounts of a container: binds, volumes, tmpfs.
//!
//! A mount is a value: what is wrong with a path or a name is told when a container is created with it.

use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;

use super::{ByteSize, ContainerPath, MountPoint, VolumeName};
use crate::error::{Error, ErrorKind, Result};

/// Anybody may write, and only the owner remove, as in `/tmp`.
const TMPFS_MODE: u32 = 0o1777;

/// Something of the host, a volume or memory at a path in a container.
///
/// ```
/// use plywood::spec::{ByteSize, Mount};
/// let mounts = [
///     Mount::bind("./conf", "/etc/app").read_only(),
///     Mount::volume("data", "/data"),
///     Mount::tmpfs("/tmp").size(ByteSize::mib(64)),
/// ];
/// assert!(mounts.iter().all(|mount| mount.check().is_ok()));
/// ```
#[doc(alias = "--mount")]
#[doc(alias = "--volume")]
#[doc(alias = "--tmpfs")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    source: Source,
    target: Target,
    read_only: bool,
    /// The first mistake in a builder call.
    problem: Option<String>,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file or directory of the host.
    Bind(PathBuf),
    /// The volume of this name.
    Volume(String),
    /// A volume of the container's own, which goes with it.
    Anonymous,
    /// A file system in memory.
    Tmpfs {
        /// Most bytes it takes; the kernel's default is half of the memory.
        size: Option<ByteSize>,
        /// The mode of its root directory.
        mode: u32,
    },
}

/// Where it is mounted: an absolute path in the container, checked when the container is created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target(String);

impl Mount {
    /// Mounts a file or directory of the host; a relative path is resolved when the container is created.
    pub fn bind<T: MountTarget>(source: impl Into<PathBuf>, target: T) -> T::Mount {
        target.mount(Source::Bind(source.into()))
    }

    /// Mounts an empty file system in memory, mode 1777.
    pub fn tmpfs<T: MountTarget>(target: T) -> T::Mount {
        target.mount(Source::Tmpfs { size: None, mode: TMPFS_MODE })
    }

    /// Mounts a volume, which is created where it does not exist.
    pub fn volume<T: MountTarget>(name: impl Into<String>, target: T) -> T::Mount {
        target.mount(Source::Volume(name.into()))
    }

    /// Mounts a volume without a name: new for the container, first filled from its image, and removed with it.
    #[doc(alias = "VOLUME")]
    pub fn anonymous<T: MountTarget>(target: T) -> T::Mount {
        target.mount(Source::Anonymous)
    }

    /// Lets nothing be written through this mount.
    #[doc(alias = "readonly")]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Limits a tmpfs: a [`ByteSize`], a number of bytes as `u64`, or a text as `"64MiB"`.
    #[doc(alias = "tmpfs-size")]
    pub fn size(mut self, size: impl TryInto<ByteSize, Error: fmt::Display>) -> Self {
        match (&mut self.source, size.try_into()) {
            (Source::Tmpfs { size, .. }, Ok(bytes)) => *size = Some(bytes),
            (Source::Tmpfs { .. }, Err(error)) => self.note(error.to_string()),
            _ => self.note("only a tmpfs has a size".into()),
        }
        self
    }

    /// The mode of a tmpfs' root directory, such as `0o700`. Default: `0o1777`.
    #[doc(alias = "tmpfs-mode")]
    pub fn mode(mut self, mode: u32) -> Self {
        match &mut self.source {
            Source::Tmpfs { mode: own, .. } if mode <= 0o7777 => *own = mode,
            Source::Tmpfs { .. } => self.note(format!("{mode:o} is not a mode (0 to 7777)")),
            _ => self.note("only a tmpfs has a mode".into()),
        }
        self
    }

    /// What is mounted.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Where it is mounted, as written.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Whether nothing can be written through this mount.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Reports the first mistake in it: target, name of the volume, size, mode. Files are not looked at.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) with the mount and the broken rule.
    pub fn check(&self) -> Result<()> {
        let attempt = || format!("mount {self}");
        if let Some(problem) = &self.problem {
            return Err(Error::new(ErrorKind::InvalidArgument, format_args!("{}: {problem}", attempt())));
        }
        let target = self.target.path()?;
        if target.is_root() {
            let why = "nothing can be mounted over the root directory";
            return Err(Error::new(ErrorKind::InvalidArgument, format_args!("{}: {why}", attempt())));
        }
        match &self.source {
            Source::Volume(name) => VolumeName::parse(name).map(drop),
            Source::Bind(path) if path.as_os_str().is_empty() => {
                let message = format!("{}: the path on the host is empty", attempt());
                Err(Error::new(ErrorKind::InvalidArgument, message))
            }
            _ => Ok(()),
        }
    }

    fn note(&mut self, problem: String) {
        self.problem.get_or_insert(problem);
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Bind(path) => write!(f, "{path:?} on {:?}", self.target.0),
            Source::Volume(name) => write!(f, "volume {name:?} on {:?}", self.target.0),
            Source::Anonymous => write!(f, "a volume without a name on {:?}", self.target.0),
            Source::Tmpfs { .. } => write!(f, "tmpfs on {:?}", self.target.0),
        }
    }
}

impl Target {
    /// The path in the container.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) if it is not an absolute path.
    pub fn path(&self) -> Result<ContainerPath> {
        ContainerPath::parse(&self.0)
    }

    /// The path as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Target {
    fn from(path: &str) -> Self {
        Self(path.to_owned())
    }
}

impl From<String> for Target {
    fn from(path: String) -> Self {
        Self(path)
    }
}

impl From<&String> for Target {
    fn from(path: &String) -> Self {
        Self(path.clone())
    }
}

impl From<ContainerPath> for Target {
    fn from(path: ContainerPath) -> Self {
        Self(path.into())
    }
}

impl From<&ContainerPath> for Target {
    fn from(path: &ContainerPath) -> Self {
        Self(path.as_str().to_owned())
    }
}

/// Where something is mounted: a path in the container, or a [`MountPoint`] of definition `D`, which gives a
/// [`MountAt<D>`] that no container of another definition takes.
pub trait MountTarget {
    /// What is made with it.
    type Mount;

    #[doc(hidden)]
    fn mount(self, source: Source) -> Self::Mount;
}

impl<T: Into<Target>> MountTarget for T {
    type Mount = Mount;

    fn mount(self, source: Source) -> Mount {
        Mount { source, target: self.into(), read_only: false, problem: None }
    }
}

impl<D> MountTarget for MountPoint<D> {
    type Mount = MountAt<D>;

    fn mount(self, source: Source) -> MountAt<D> {
        MountAt { mount: self.path().mount(source), of: PhantomData }
    }
}

/// A [`Mount`] at a volume that the image of definition `D` declares.
pub struct MountAt<D> {
    mount: Mount,
    of: PhantomData<fn() -> D>,
}

impl<D> MountAt<D> {
    /// Lets nothing be written through this mount.
    #[doc(alias = "readonly")]
    pub fn read_only(self) -> Self {
        Self { mount: self.mount.read_only(), ..self }
    }

    /// Limits a tmpfs, as [`Mount::size`] does.
    #[doc(alias = "tmpfs-size")]
    pub fn size(self, size: impl TryInto<ByteSize, Error: fmt::Display>) -> Self {
        Self { mount: self.mount.size(size), ..self }
    }

    /// The mode of a tmpfs' root directory, as [`Mount::mode`].
    #[doc(alias = "tmpfs-mode")]
    pub fn mode(self, mode: u32) -> Self {
        Self { mount: self.mount.mode(mode), ..self }
    }
}

/// The mount for any container, whatever its definition declares.
impl<D> From<MountAt<D>> for Mount {
    fn from(mount: MountAt<D>) -> Self {
        mount.mount
    }
}

// Derived ones would ask the same of `D`.
impl<D> Clone for MountAt<D> {
    fn clone(&self) -> Self {
        Self { mount: self.mount.clone(), of: PhantomData }
    }
}

impl<D> fmt::Debug for MountAt<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.mount.fmt(f)
    }
}

/// What a container of definition `D` takes: a [`Mount`], or one at a [`MountPoint`] of `D`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no mount for a container of `{D}`",
    label = "expected a mount at a path, or at a volume that `{D}` declares"
)]
pub trait MountOf<D>: Into<Mount> {}

impl<D> MountOf<D> for Mount {}

impl<D> MountOf<D> for MountAt<D> {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_builder_keeps_what_was_said() {
        let mount = Mount::tmpfs("/tmp").size("64MiB").mode(0o700).read_only();
        assert_eq!(mount.source(), &Source::Tmpfs { size: Some(ByteSize::mib(64)), mode: 0o700 });
        assert!(mount.is_read_only());
        assert_eq!(mount.target().path().unwrap().as_str(), "/tmp");
        mount.check().unwrap();
        struct Web;
        let mount = Mount::from(Mount::volume("data", MountPoint::<Web>::new("/data")).read_only());
        assert!(mount.is_read_only());
        assert_eq!(mount.source(), &Source::Volume("data".into()));
        assert_eq!(mount.target().as_str(), "/data");
        assert_eq!(Mount::tmpfs("/t").size(4096_u64), Mount::tmpfs("/t").size(ByteSize::kib(4)));
    }

    #[test]
    fn mistakes_are_told_when_it_is_checked() {
        let table = [
            (Mount::bind("/x", "etc"), "invalid container path \"etc\": it is not absolute"),
            (Mount::bind("/x", "/"), "mount \"/x\" on \"/\": nothing can be mounted over the root directory"),
            (Mount::bind("", "/a"), "mount \"\" on \"/a\": the path on the host is empty"),
            (Mount::bind("/x", "/a").mode(0o700), "mount \"/x\" on \"/a\": only a tmpfs has a mode"),
            (Mount::volume("a", "/a"), "invalid volume name \"a\": a name has at least two characters"),
            (
                Mount::tmpfs("/a").size("1x").size("2m"),
                "mount tmpfs on \"/a\": invalid size \"1x\": its unit is none of B, KiB, MiB, GiB, TiB, PiB",
            ),
            (Mount::tmpfs("/a").mode(0o10000), "mount tmpfs on \"/a\": 10000 is not a mode (0 to 7777)"),
        ];
        for (mount, message) in table {
            assert_eq!(mount.check().unwrap_err().to_string(), message);
        }
    }
}
