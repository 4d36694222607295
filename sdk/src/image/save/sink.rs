//! Files one after the other, into a tar or a directory.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::error::{Attempt, Result};

const BLOCK: u64 = 512;

/// Everybody may read what is saved: it holds nothing that the archive's own mode should not protect.
const FILE_MODE: u32 = 0o644;
const DIRECTORY_MODE: u32 = 0o755;

/// What writes the content of one file.
pub(super) type Fill<'a> = &'a mut dyn FnMut(&mut dyn Write) -> io::Result<()>;

/// Takes files in the order of their paths.
pub(super) trait Sink {
    /// Writes the file `path` of `size` bytes.
    fn file(&mut self, path: &str, size: u64, fill: Fill<'_>) -> io::Result<()>;
    /// Writes what comes after the last file.
    fn finish(self) -> io::Result<()>;
}

/// A tar with directories for all files, and no times or owners.
pub(super) struct Tar<W: Write> {
    out: BufWriter<W>,
    directories: BTreeSet<String>,
}

impl<W: Write> Tar<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out: BufWriter::new(out), directories: BTreeSet::new() }
    }

    fn header(&mut self, kind: tar::EntryType, path: &str, mode: u32, size: u64) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_path(path)?;
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(size);
        header.set_cksum();
        self.out.write_all(header.as_bytes())
    }
}

impl<W: Write> Sink for Tar<W> {
    fn file(&mut self, path: &str, size: u64, fill: Fill<'_>) -> io::Result<()> {
        for (slash, _) in path.match_indices('/') {
            let directory = path[..=slash].to_owned();
            if self.directories.insert(directory.clone()) {
                self.header(tar::EntryType::Directory, &directory, DIRECTORY_MODE, 0)?;
            }
        }
        self.header(tar::EntryType::Regular, path, FILE_MODE, size)?;
        let mut exact = Exact { out: &mut self.out, left: size };
        fill(&mut exact)?;
        exact.finish()?;
        let padding = size.next_multiple_of(BLOCK) - size;
        self.out.write_all(&[0; BLOCK as usize][..padding as usize])
    }

    fn finish(mut self) -> io::Result<()> {
        // The end of an archive is two blocks of zeros.
        self.out.write_all(&[0; 2 * BLOCK as usize])?;
        self.out.flush()
    }
}

/// A directory; its files are synced when all are written.
pub(super) struct Directory {
    root: PathBuf,
}

impl Directory {
    pub(super) fn new(root: &Path) -> Result<Self> {
        fs::set_permissions(root, fs::Permissions::from_mode(DIRECTORY_MODE))
            .attempt(|| format!("set the mode of {root:?}"))?;
        Ok(Self { root: root.to_owned() })
    }
}

impl Sink for Directory {
    fn file(&mut self, path: &str, size: u64, fill: Fill<'_>) -> io::Result<()> {
        let path = self.root.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut out = BufWriter::new(File::create_new(path)?);
        let mut exact = Exact { out: &mut out, left: size };
        fill(&mut exact)?;
        exact.finish()?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    }

    fn finish(self) -> io::Result<()> {
        File::open(&self.root)?.sync_all()
    }
}

/// A writer of exactly so many bytes.
struct Exact<'w, W> {
    out: &'w mut W,
    left: u64,
}

impl<W> Exact<'_, W> {
    fn finish(self) -> io::Result<()> {
        match self.left {
            0 => Ok(()),
            left => Err(io::Error::new(io::ErrorKind::InvalidData, format!("{left} bytes are missing"))),
        }
    }
}

impl<W: Write> Write for Exact<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.left {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "there are more bytes than announced"));
        }
        let count = self.out.write(bytes)?;
        self.left -= count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
