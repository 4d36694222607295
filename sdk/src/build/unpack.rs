//! Archives that `ADD` finds in the build context.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::archive::{self, ApplyOptions};
use crate::error::{Error, ErrorKind, Fault, Result};
use crate::layer::view::View;
use crate::layer::{LayerStore, StagedLayer};

use super::tree::{Entry, Files, Tree};

/// Unpacks archives that `ADD` finds.
#[derive(Debug)]
pub(super) struct Unpacker<'a> {
    pub layers: &'a LayerStore,
    pub options: ApplyOptions,
}

/// An unpacked archive; removed when dropped.
#[derive(Debug)]
pub(super) struct Unpacked {
    tree: Files,
    _staged: StagedLayer,
}

#[derive(Debug, thiserror::Error)]
enum UnpackFault {
    #[error("ADD {path:?}: it is a {format} archive, which this build of plywood cannot unpack")]
    Format { path: PathBuf, format: &'static str },
}

impl Fault for UnpackFault {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Unsupported
    }
}

impl Unpacked {
    /// The files.
    pub(super) fn tree(&self) -> &Files {
        &self.tree
    }

    /// The directory that holds them.
    pub(super) fn root(&self) -> Result<Entry> {
        match self.tree.resolve(Path::new(""))? {
            Some(root) => Ok(root),
            None => Err(Error::new(ErrorKind::Corrupt, "unpack archive: its directory is gone")),
        }
    }
}

impl Unpacker<'_> {
    /// The files in an archive; `None` if the file is none.
    pub(super) fn unpack(&self, tree: &dyn Tree, entry: &Entry) -> Result<Option<Unpacked>> {
        let head = head(&mut tree.open(entry)?).map_err(|error| Error::os(format!("read {:?}", entry.path), error))?;
        for (magic, format) in [(&b"BZh"[..], "bzip2"), (b"\xfd7zXZ\0", "xz")] {
            // Docker unpacks these, so copying them as they are would be a surprise.
            if head.starts_with(magic) {
                return Err(UnpackFault::Format { path: entry.path.clone(), format }.into());
            }
        }
        let is_compressed = head.starts_with(b"\x1f\x8b") || head.starts_with(b"\x28\xb5\x2f\xfd");
        if !is_compressed && !is_tar(&head) {
            return Ok(None);
        }
        if is_compressed {
            let mut inner = archive::decompress(tree.open(entry)?, &self.options.limits)?;
            match self::head(&mut inner) {
                Ok(head) if is_tar(&head) => {}
                // Compressed, but no archive: a file like any other.
                _ => return Ok(None),
            }
        }
        let staged = self.layers.stage(None)?;
        let mut tar = archive::decompress(tree.open(entry)?, &self.options.limits)?;
        let imported = archive::import_layer(&mut tar, staged.diff(), &mut std::io::sink(), &self.options, &|| ());
        imported.map_err(|error| {
            Error::new(error.kind(), format!("unpack {:?} of {}", entry.path, tree.title())).with_source(error)
        })?;
        let view = View::new(vec![staged.diff().to_owned()], self.options.xattrs);
        let title = format!("archive {:?}", entry.path);
        Ok(Some(Unpacked { tree: Files { view, title }, _staged: staged }))
    }
}

/// The first block of a tar, or what there is of it.
fn head(from: &mut dyn Read) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    from.take(512).read_to_end(&mut head)?;
    Ok(head)
}

/// Whether a block is the header of a tar entry: whether its checksum is right.
fn is_tar(block: &[u8]) -> bool {
    const CHECKSUM: std::ops::Range<usize> = 148..156;
    let Some(written) = block.get(CHECKSUM).filter(|_| block.len() == 512) else { return false };
    let text: String = written.iter().map(|byte| char::from(*byte)).collect();
    let Ok(written) = u64::from_str_radix(text.trim_matches(['\0', ' ']), 8) else { return false };
    let sum = block.iter().enumerate().map(|(at, byte)| if CHECKSUM.contains(&at) { 32 } else { u64::from(*byte) });
    written == sum.sum::<u64>()
}
