//! Compressed archives, told by their first bytes whatever their names or media types claim.

use std::cell::Cell;
use std::io::{self, BufReader, Cursor, Read};
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;

use crate::error::{Attempt as _, Error, Result};

use super::fault::ArchiveFault;
use super::limits::Limits;

/// Bytes read from the source at a time.
const BUFFER: usize = 128 << 10;
/// The longest magic below.
pub(crate) const LONGEST_MAGIC: usize = 6;

/// The plain content of `reader`: uncompressed, gzip (all members) or zstd (feature `zstd`).
///
/// # Errors
/// [`Unsupported`](crate::ErrorKind::Unsupported) for xz, bzip2, lz4, and for zstd without its feature. Reading fails
/// with [`Corrupt`](crate::ErrorKind::Corrupt) on damaged data and with
/// [`LimitExceeded`](crate::ErrorKind::LimitExceeded) beyond the limits on size and ratio.
pub(crate) fn decompress<'a>(mut reader: impl Read + 'a, limits: &Limits) -> Result<Box<dyn Read + 'a>> {
    let mut magic = Vec::with_capacity(LONGEST_MAGIC);
    (&mut reader).take(LONGEST_MAGIC as u64).read_to_end(&mut magic).attempt(|| "read archive")?;
    let format = Format::of(&magic);
    let read = Rc::new(Cell::new(0));
    let source = Counting { inner: Cursor::new(magic).chain(reader), read: Rc::clone(&read) };
    let content: Box<dyn Read + 'a> = match format {
        Format::Plain => Box::new(source),
        Format::Gzip => Box::new(MultiGzDecoder::new(BufReader::with_capacity(BUFFER, source))),
        Format::Zstd => zstd(source)?,
        Format::Unsupported(format) => {
            let hint = "compress it with gzip instead, or unpack it first";
            return Err(ArchiveFault::Compression { format, hint }.into());
        }
    };
    let is_compressed = format != Format::Plain;
    Ok(Box::new(Limited { inner: content, is_compressed, read, written: 0, limits: limits.clone() }))
}

/// Whether what begins so is compressed, in a way that [`decompress`] knows or refuses by name.
pub(crate) fn is_compressed(magic: &[u8]) -> bool {
    Format::of(magic) != Format::Plain
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Plain,
    Gzip,
    Zstd,
    Unsupported(&'static str),
}

impl Format {
    fn of(magic: &[u8]) -> Self {
        match magic {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            // A skippable frame: zstd:chunked and pzstd begin with one.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0] => Self::Unsupported("xz"),
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Unsupported("bzip2"),
            [0x04, 0x22, 0x4d, 0x18, ..] => Self::Unsupported("lz4"),
            _ => Self::Plain,
        }
    }
}

#[cfg(feature = "zstd")]
fn zstd<'a>(source: impl Read + 'a) -> Result<Box<dyn Read + 'a>> {
    /// Largest window, as a power of two: what `zstd --long` uses, 128 MiB; frames can claim 2 GiB and more.
    const LARGEST_WINDOW: u32 = 27;
    let decoder = zstd::stream::read::Decoder::with_buffer(BufReader::with_capacity(BUFFER, source));
    let mut decoder = decoder.attempt(|| "decompress zstd")?;
    decoder.window_log_max(LARGEST_WINDOW).attempt(|| "decompress zstd")?;
    Ok(Box::new(decoder))
}

#[cfg(not(feature = "zstd"))]
fn zstd<'a>(_: impl Read + 'a) -> Result<Box<dyn Read + 'a>> {
    let hint = "build plywood with its feature \"zstd\"";
    Err(ArchiveFault::Compression { format: "zstd in this build", hint }.into())
}

/// Counts what is read from the source.
struct Counting<R> {
    inner: R,
    read: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.read.set(self.read.get().saturating_add(length as u64));
        Ok(length)
    }
}

/// Watches what comes out.
struct Limited<'a> {
    inner: Box<dyn Read + 'a>,
    is_compressed: bool,
    read: Rc<Cell<u64>>,
    written: u64,
    limits: Limits,
}

impl Read for Limited<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer).map_err(|error| self.explain(error))?;
        self.written = self.written.saturating_add(length as u64);
        if self.written > self.limits.uncompressed {
            let fault = ArchiveFault::Limit { what: "bytes in one layer", limit: self.limits.uncompressed };
            return Err(Error::from(fault).into());
        }
        let most = self.read.get().max(1).saturating_mul(self.limits.ratio);
        if self.is_compressed && self.written > self.limits.ratio_from && self.written > most {
            let fault = ArchiveFault::Limit { what: "bytes for each compressed byte", limit: self.limits.ratio };
            return Err(Error::from(fault).into());
        }
        Ok(length)
    }
}

impl Limited<'_> {
    /// A decoder says `InvalidInput` or `Other` for damaged data; errors of the source pass as they are.
    fn explain(&self, error: io::Error) -> io::Error {
        let is_ours = error.get_ref().is_some_and(|inner| inner.is::<Error>());
        let is_of_system = error.raw_os_error().is_some() || error.kind() == io::ErrorKind::Interrupted;
        if !self.is_compressed || is_ours || is_of_system {
            return error;
        }
        Error::from(ArchiveFault::Compressed(error.to_string())).into()
    }
}
