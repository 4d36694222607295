//! Whiteouts, in their two spellings.
//!
//! | hides | in an archive | in a layer's directory |
//! |---|---|---|
//! | `x` of the layers below | empty file `.wh.x` | `x` as character device 0/0 |
//! | all that the layers below have in `d` | empty file `d/.wh..wh..opq` | `trusted.overlay.opaque=y` on `d` |
//!
//! Without privilege the attribute is `user.overlay.opaque`, and overlayfs must be mounted with `userxattr`.
//!
//! `fuse-overlayfs` knows both spellings, and Docker writes its layers in that of archives.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;

use crate::sys::fs::{self, Time};

/// Prefix of a whiteout's name in an archive.
pub(crate) const PREFIX: &[u8] = b".wh.";
/// Name of an opaque whiteout in an archive.
pub(crate) const OPAQUE: &[u8] = b".wh..wh..opq";
/// Prefix of the names that AUFS kept for itself; entries below them mean nothing elsewhere.
const AUFS: &[u8] = b".wh..wh.";

/// Which extended attributes overlayfs keeps its state in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum XattrKind {
    /// `trusted.overlay.*`: root.
    Trusted,
    /// `user.overlay.*`: an ordinary user, mounting with `userxattr`.
    User,
    /// As [`Trusted`](Self::Trusted), and what archives say counts too: `fuse-overlayfs`.
    TrustedOrNamed,
    /// The same for [`User`](Self::User).
    UserOrNamed,
}

/// What marks an opaque directory for `fuse-overlayfs`: what it reads of others, and what it writes without privilege.
const OPAQUE_FOR_FUSE: [&str; 3] = ["trusted.overlay.opaque", "user.overlay.opaque", "user.fuseoverlayfs.opaque"];

impl XattrKind {
    /// The kind this process can write.
    #[cfg(test)]
    pub(crate) fn of_this_process() -> Self {
        if fs::creation_owner().0 == 0 { Self::Trusted } else { Self::User }
    }

    /// The attribute of an opaque directory.
    pub(crate) fn opaque(self) -> &'static str {
        match self {
            Self::Trusted | Self::TrustedOrNamed => "trusted.overlay.opaque",
            Self::User | Self::UserOrNamed => "user.overlay.opaque",
        }
    }

    /// The attribute with the time at which the copy of a tree was complete: of the root directory of a layer that holds
    /// everything.
    fn copied_name(self) -> &'static str {
        match self {
            Self::Trusted | Self::TrustedOrNamed => "trusted.plywood.copied",
            Self::User | Self::UserOrNamed => "user.plywood.copied",
        }
    }

    /// When the copy in a directory was complete; `None` if it was not noted.
    pub(crate) fn copied(self, directory: impl AsFd) -> io::Result<Option<Time>> {
        let value = fs::get_xattr_at(directory, ".".as_ref(), self.copied_name())?;
        let time = |value: &[u8]| -> Option<Time> {
            let (seconds, nanoseconds) = std::str::from_utf8(value).ok()?.split_once('.')?;
            Some(Time { seconds: seconds.parse().ok()?, nanoseconds: nanoseconds.parse().ok()? })
        };
        Ok(value.as_deref().and_then(time))
    }

    /// Notes that the copy in a directory is complete.
    pub(crate) fn set_copied(self, directory: impl AsFd) -> io::Result<()> {
        let directory = directory.as_fd();
        let note = |text: &str| fs::set_xattr_at(directory, ".".as_ref(), self.copied_name(), text.as_bytes());
        // The file system says what time it is, by that of this change.
        note("")?;
        let now = fs::stat(directory)?.changed;
        note(&format!("{}.{}", now.seconds, now.nanoseconds))
    }

    /// Whether the directory hides what the layers below have at its path. `directory` may be an `O_PATH` descriptor.
    pub(crate) fn is_opaque(self, directory: impl AsFd) -> io::Result<bool> {
        self.is_opaque_at(directory, ".".as_ref())
    }

    /// The same for a directory in a directory.
    pub(crate) fn is_opaque_at(self, parent: impl AsFd, name: &OsStr) -> io::Result<bool> {
        let parent = parent.as_fd();
        let is_set = |attribute: &str| -> io::Result<bool> {
            Ok(fs::get_xattr_at(parent, name, attribute)?.as_deref() == Some(b"y"))
        };
        if !self.reads_names() {
            return is_set(self.opaque());
        }
        for attribute in OPAQUE_FOR_FUSE {
            if is_set(attribute)? {
                return Ok(true);
            }
        }
        exists_at(parent, &[name.as_bytes(), b"/", OPAQUE].concat())
    }

    /// Whether names count that mean something in an archive.
    pub(crate) fn reads_names(self) -> bool {
        matches!(self, Self::TrustedOrNamed | Self::UserOrNamed)
    }

    /// The same for `fuse-overlayfs`.
    pub(crate) fn or_named(self) -> Self {
        match self {
            Self::Trusted | Self::TrustedOrNamed => Self::TrustedOrNamed,
            Self::User | Self::UserOrNamed => Self::UserOrNamed,
        }
    }

    /// What a name in a layer's directory stands for.
    pub(crate) fn meaning(self, name: &[u8]) -> Meaning<'_> {
        if self.reads_names() { meaning(name) } else { Meaning::Itself }
    }

    /// Whether a name of the layers below is hidden at its path in this layer's directory by a name beside it.
    pub(crate) fn is_hidden(self, layer: impl AsFd, path: &[u8]) -> io::Result<bool> {
        if !self.reads_names() {
            return Ok(false);
        }
        let (directory, name) = super::path::split(path);
        let marker = [PREFIX, name].concat();
        exists_at(layer, &if directory.is_empty() { marker } else { [directory, b"/", &marker].concat() })
    }

    /// Makes a directory hide what the layers below have at its path.
    pub(crate) fn set_opaque(self, directory: impl AsFd) -> io::Result<()> {
        fs::set_xattr_at(directory, ".".as_ref(), self.opaque(), b"y")
    }
}

/// Whether there is such a name, which no link may lead to.
fn exists_at(directory: impl AsFd, path: &[u8]) -> io::Result<bool> {
    match fs::open_beneath(directory, path, fs::PATH_ONLY) {
        Ok(_) => Ok(true),
        // A name may become too long by the prefix, and a directory that may not be searched says it by attributes.
        Err(error) => match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR | libc::ENAMETOOLONG | libc::ELOOP | libc::EACCES) => Ok(false),
            _ => Err(error),
        },
    }
}

/// Whether the attribute is overlayfs's own or ours, which no archive may set or carry.
pub(crate) fn is_overlay_state(name: &[u8]) -> bool {
    let own: [&[u8]; 5] =
        [b"trusted.overlay.", b"user.overlay.", b"user.fuseoverlayfs.", b"trusted.plywood.", b"user.plywood."];
    own.iter().any(|prefix| name.starts_with(prefix))
}

/// What a name in an archive stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning<'a> {
    /// A file of this name.
    Itself,
    /// Hides this name.
    Hides(&'a [u8]),
    /// Hides all siblings from below.
    Opaque,
    /// State of AUFS that concerns nobody else.
    Ignored,
    /// `.wh.` followed by nothing that can be a name.
    Malformed,
}

/// Reads the last component of a path in an archive.
pub(crate) fn meaning(name: &[u8]) -> Meaning<'_> {
    match name.strip_prefix(PREFIX) {
        None => Meaning::Itself,
        Some(_) if name == OPAQUE => Meaning::Opaque,
        Some(_) if name.starts_with(AUFS) => Meaning::Ignored,
        Some(b"" | b"." | b"..") => Meaning::Malformed,
        Some(hidden) => Meaning::Hides(hidden),
    }
}

/// Whether a path leads through AUFS's own directories (`.wh..wh.plnk/…`).
pub(crate) fn is_in_aufs_state(directory: &[u8]) -> bool {
    directory.split(|byte| *byte == b'/').any(|component| component.starts_with(AUFS))
}
