//! Tar archives as layers.
//!
//! One pass over an archive extracts it, takes its digest and notes its headers (tar-split), in three threads that hand
//! a few buffers round. Nothing is trusted: every path is resolved below the target directory by descriptors, every
//! length is limited, and what is not understood is refused rather than skipped.

mod apply;
mod base;
pub(crate) mod base64;
mod compress;
mod crc64;
mod diff;
mod entry;
mod fault;
mod gather;
mod header;
mod import;
mod limits;
mod pack;
mod path;
mod pax;
mod pipe;
mod reassemble;
mod record;
mod relay;
mod ring;
mod saved;
mod sink;
mod sparse;
mod tar_split;
mod tree;
mod unpack;
mod whiteout;
mod write;

pub(crate) use compress::{LONGEST_MAGIC, decompress, is_compressed};
pub(crate) use diff::{copy_layer, digest_layer};
pub(crate) use gather::pack_tree;
pub(crate) use import::{OnPiece, import_layer};
pub use limits::Limits;
pub(crate) use pack::{Member, Packer};
pub(crate) use pipe::{PipeReader, pipe};
pub(crate) use reassemble::{reassemble, tar_size};
pub(crate) use relay::relay;
pub(crate) use unpack::unpack;
pub(crate) use whiteout::{Meaning, XattrKind, is_overlay_state};

use crate::spec::DiffId;
use crate::sys::userns;

/// Whose files the entries of an archive become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// The owners in the archive; needs root.
    Keep,
    /// The owners in the archive, as far as this user has such ids. What only root of the host may make, no.
    Mapped,
    /// An ordinary user's: everything becomes the caller's, and is root's in the archives made of it.
    Flatten,
}

impl Ownership {
    /// What this process can do.
    pub(crate) fn of_this_process() -> Self {
        match (userns::makes_devices(), userns::keeps_owners()) {
            (true, _) => Self::Keep,
            (false, true) => Self::Mapped,
            (false, false) => Self::Flatten,
        }
    }

    /// Whether files get the owners in the archive.
    fn keeps_owners(self) -> bool {
        self != Self::Flatten
    }
}

/// What the directory of a layer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The layer's own files, and whiteouts as overlayfs has them.
    Changes,
    /// Everything that a process sees: the files of the layers below, and the layer's own in their place.
    Whole,
}

/// How a layer is written to and read from a directory.
#[derive(Debug, Clone)]
pub(crate) struct ApplyOptions {
    pub form: Form,
    pub xattrs: XattrKind,
    pub ownership: Ownership,
    pub limits: Limits,
}

/// What was learnt about a layer on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Applied {
    pub diff_id: DiffId,
    /// Docker's `size`: the sizes of all files but directories, each inode once.
    pub size: u64,
    pub entries: u64,
}

#[cfg(test)]
mod tests;
