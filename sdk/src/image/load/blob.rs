//! Reading one layer blob: its size, its digest, its uncompressed tar, in one pass.
//!
//! The tar is handed on while the blob is digested; the verdict comes with the end of the tar, as an error of the last
//! read, so that whoever publishes the layer after that read has only verified bytes in hand.

use std::cell::RefCell;
use std::io::{self, Read};
use std::rc::Rc;

use crate::archive::{Limits, decompress};
use crate::error::{Error, ErrorKind, Result};
use crate::image::contents::{Contents, Member, buffered};
use crate::image::source::{Meter, Metered};
use crate::spec::digest::{DiffId, Digest, Digester};

/// A layer of an archive: where it lies and what is claimed about it.
#[derive(Debug, Clone)]
pub(super) struct Blob {
    pub(super) member: String,
    pub(super) size: Option<u64>,
    pub(super) digest: Option<Digest>,
}

/// The uncompressed tar of a blob.
pub(super) struct LayerTar<'a> {
    plain: Box<dyn Read + 'a>,
    raw: Raw<'a>,
    verified: bool,
}

/// The bytes of the blob, digested as they pass; shared by the decompressor and the verdict.
#[derive(Clone)]
struct Raw<'a>(Rc<RefCell<Digesting<'a>>>);

struct Digesting<'a> {
    reader: io::BufReader<Metered<'a, Member>>,
    /// The digest to be found, and the digester; neither where the DiffID says the same.
    expected: Option<(Digest, Digester)>,
    member: String,
}

impl Blob {
    /// Opens the blob, whose size is checked at once.
    pub(super) fn open<'a>(
        &self,
        contents: &Contents,
        diff_id: Option<&DiffId>,
        limits: &Limits,
        meter: &'a Meter,
    ) -> Result<LayerTar<'a>> {
        let member = self.check(contents)?;
        // A blob that claims the digest of its own tar is uncompressed, and the layer store digests the tar anyway.
        let is_plain = self.digest.is_some() && self.digest.as_ref() == diff_id.map(DiffId::digest);
        let expected = match &self.digest {
            Some(digest) if !is_plain => Some((digest.clone(), digest.digester())),
            _ => None,
        };
        let reader = buffered(Metered::new(member, meter));
        let raw = Raw(Rc::new(RefCell::new(Digesting { reader, expected, member: self.member.clone() })));
        let plain: Box<dyn Read + 'a> =
            if is_plain { Box::new(raw.clone()) } else { Box::new(decompress(raw.clone(), limits)?) };
        Ok(LayerTar { plain, raw, verified: false })
    }

    /// The file of the blob, which has the size that is claimed.
    pub(super) fn check(&self, contents: &Contents) -> Result<Member> {
        let member = contents.member(&self.member)?.ok_or_else(|| contents.lacks(&self.member))?;
        match self.size {
            Some(size) if size != member.size() => Err(contents.corrupt(format_args!(
                "the blob {:?} has {} bytes, not {size} as its descriptor says",
                self.member,
                member.size()
            ))),
            _ => Ok(member),
        }
    }
}

impl LayerTar<'_> {
    /// What is to be said about a failed import: that the blob is not what it claims to be, if so, else `error`.
    pub(super) fn blame(&mut self, error: Error) -> Error {
        if !matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Os | ErrorKind::InvalidArgument) || self.verified {
            return error;
        }
        match self.raw.verify() {
            Err(verdict) => Error::os("load a layer", verdict).with_source(error),
            Ok(()) => error,
        }
    }
}

impl Read for LayerTar<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.plain.read(buffer)?;
        if count == 0 && !buffer.is_empty() && !self.verified {
            self.raw.verify()?;
            self.verified = true;
        }
        Ok(count)
    }
}

impl Raw<'_> {
    /// Reads what the decompressor left and compares.
    fn verify(&mut self) -> io::Result<()> {
        io::copy(self, &mut io::sink())?;
        let mut digesting = self.0.borrow_mut();
        let Some((expected, digester)) = digesting.expected.take() else { return Ok(()) };
        let found = digester.finish();
        if found == expected {
            return Ok(());
        }
        let member = &digesting.member;
        Err(Error::new(
            ErrorKind::Corrupt,
            format_args!("the blob {member:?} has the digest {found}, not {expected} as its descriptor says"),
        )
        .into())
    }
}

impl Read for Raw<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut digesting = self.0.borrow_mut();
        let count = digesting.reader.read(buffer)?;
        if let Some((_, digester)) = &mut digesting.expected {
            digester.update(&buffer[..count]);
        }
        Ok(count)
    }
}
