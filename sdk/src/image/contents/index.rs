//! Where each member of a tar lies.
//!
//! A scan of the headers only: ustar, GNU long names, PAX `path`, `linkpath` and `size`. POSIX pax(1), "ustar
//! Interchange Format" and "pax Header Block".

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::archive::Limits;
use crate::error::{Error, ErrorKind};

const BLOCK: u64 = 512;

/// The largest extended header of an outer archive: names only.
const MAX_EXTENSION: u64 = 1024 * 1024;

/// The byte of a sparse map block that says another one follows: 21 pairs of 24 bytes come before it.
const SPARSE_EXTENDED: usize = 504;

/// Links followed on the way to one file.
const MAX_LINKS: usize = 16;

/// The members of a tar, by normal name.
pub(super) struct Index(HashMap<Vec<u8>, Place>);

#[derive(Clone)]
enum Place {
    File {
        position: u64,
        size: u64,
    },
    /// The normal name of what it points to; `None` if that lies outside.
    Link(Option<Vec<u8>>),
    Twice,
    Other,
}

/// Why a tar cannot be indexed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("it is no tar archive (the header at byte {0} has a wrong checksum)")]
    Checksum(u64),
    #[error("it is no tar archive ({0} bytes are less than one header)")]
    Tiny(u64),
    #[error("it is cut short (at byte {0})")]
    Short(u64),
    #[error("the header at byte {0} is malformed")]
    Header(u64),
    #[error("the extended header at byte {0} is larger than 1 MiB")]
    LargeExtension(u64),
    #[error("it has more than {0} entries")]
    Entries(u64),
    #[error("{0}")]
    Read(#[from] io::Error),
}

impl Fault {
    pub(super) fn in_archive(self, name: &str) -> Error {
        let attempt = format!("load images from {name:?}");
        match self {
            Self::Read(error) => Error::os(attempt, error),
            Self::LargeExtension(_) | Self::Entries(_) => {
                Error::new(ErrorKind::LimitExceeded, format_args!("{attempt}: {self}"))
            }
            _ => Error::new(ErrorKind::Corrupt, format_args!("{attempt}: {self}")),
        }
    }
}

/// What the extended headers before an entry say about it.
#[derive(Default)]
struct Extension {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

impl Index {
    pub(super) fn read(file: &File, limits: &Limits) -> Result<Self, Fault> {
        let length = file.metadata()?.len();
        if length < BLOCK {
            return Err(Fault::Tiny(length));
        }
        let mut members = HashMap::new();
        let mut extension = Extension::default();
        let (mut position, mut entries) = (0u64, 0u64);
        loop {
            if position + BLOCK > length {
                // Without the block of zeros that ends an archive nobody knows what else there was.
                return Err(Fault::Short(length));
            }
            let mut block = [0; BLOCK as usize];
            file.read_exact_at(&mut block, position)?;
            if block.iter().all(|byte| *byte == 0) {
                return Ok(Self(members));
            }
            let header = tar::Header::from_byte_slice(&block);
            if header.cksum().ok() != Some(checksum(&block)) {
                return Err(Fault::Checksum(position));
            }
            entries += 1;
            if entries > limits.entries {
                return Err(Fault::Entries(limits.entries));
            }
            let kind = header.entry_type();
            let mut size = header.entry_size().map_err(|_| Fault::Header(position))?;
            let mut body = position + BLOCK;
            if is_extension(kind) {
                if size > MAX_EXTENSION {
                    return Err(Fault::LargeExtension(position));
                }
                let after = end_of(body, size, length).ok_or(Fault::Short(length))?;
                let mut bytes = vec![0; usize::try_from(size).map_err(|_| Fault::Header(position))?];
                file.read_exact_at(&mut bytes, body)?;
                extension.take(kind, &bytes).ok_or(Fault::Header(position))?;
                position = after;
                continue;
            }
            let said = std::mem::take(&mut extension);
            // PAX `size` overrides the field, as GNU tar and Go do; an entry that is a header only has no body.
            size = if has_body(kind) { said.size.unwrap_or(size) } else { 0 };
            let mut more = header.as_gnu().is_some_and(|gnu| kind.is_gnu_sparse() && gnu.is_extended());
            while more {
                // The map of a GNU sparse file goes on in further blocks, which `size` leaves out.
                let mut map = [0; BLOCK as usize];
                if body + BLOCK > length {
                    return Err(Fault::Short(length));
                }
                file.read_exact_at(&mut map, body)?;
                more = map[SPARSE_EXTENDED] != 0;
                body += BLOCK;
            }
            let after = end_of(body, size, length).ok_or(Fault::Short(length))?;
            let path = said.path.map_or_else(|| header.path_bytes(), Cow::Owned);
            if let Some(name) = normal_name(&path) {
                let place = place(header, kind, &name, said.link, body, size);
                insert(&mut members, name, place);
            }
            position = after;
        }
    }

    /// Position and size of a regular file, links followed.
    pub(super) fn find(&self, name: &[u8]) -> Result<Option<(u64, u64)>, &'static str> {
        let mut name = Cow::Borrowed(name);
        for _ in 0..MAX_LINKS {
            match self.0.get(name.as_ref()) {
                None => return Ok(None),
                Some(Place::File { position, size }) => return Ok(Some((*position, *size))),
                Some(Place::Link(Some(target))) => name = Cow::Owned(target.clone()),
                Some(Place::Link(None)) => return Err("is a link that leads out of it"),
                Some(Place::Twice) => return Err("occurs twice in it"),
                Some(Place::Other) => return Err("is no regular file"),
            }
        }
        Err("is a link to itself")
    }
}

impl Extension {
    fn take(&mut self, kind: tar::EntryType, bytes: &[u8]) -> Option<()> {
        if kind.is_gnu_longname() {
            self.path = Some(until_nul(bytes));
        } else if kind.is_gnu_longlink() {
            self.link = Some(until_nul(bytes));
        } else if kind.is_pax_local_extensions() {
            for record in tar::PaxExtensions::new(bytes) {
                let record = record.ok()?;
                match record.key_bytes() {
                    b"path" => self.path = Some(record.value_bytes().to_vec()),
                    b"linkpath" => self.link = Some(record.value_bytes().to_vec()),
                    b"size" => self.size = Some(record.value().ok()?.parse().ok()?),
                    _ => {}
                }
            }
        }
        // A global header (`git archive` writes one with a comment) says nothing about where members lie.
        Some(())
    }
}

fn place(
    header: &tar::Header,
    kind: tar::EntryType,
    name: &[u8],
    link: Option<Vec<u8>>,
    position: u64,
    size: u64,
) -> Place {
    let target = || link.clone().or_else(|| header.link_name_bytes().map(Cow::into_owned)).unwrap_or_default();
    if kind.is_file() || kind.is_contiguous() {
        Place::File { position, size }
    } else if kind.is_hard_link() {
        Place::Link(normal_name(&target()))
    } else if kind.is_symlink() {
        let target = target();
        if target.starts_with(b"/") {
            return Place::Link(None);
        }
        let mut path = name.to_vec();
        path.truncate(name.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1));
        path.extend_from_slice(&target);
        Place::Link(resolved_name(&path))
    } else {
        Place::Other
    }
}

fn insert(members: &mut HashMap<Vec<u8>, Place>, name: Vec<u8>, place: Place) {
    // A directory may well be listed twice; which of two files another program takes is anybody's guess.
    let twice = members.contains_key(&name) && !matches!(place, Place::Other);
    members.insert(name, if twice { Place::Twice } else { place });
}

fn is_extension(kind: tar::EntryType) -> bool {
    kind.is_gnu_longname()
        || kind.is_gnu_longlink()
        || kind.is_pax_local_extensions()
        || kind.is_pax_global_extensions()
}

fn has_body(kind: tar::EntryType) -> bool {
    !(kind.is_dir()
        || kind.is_symlink()
        || kind.is_hard_link()
        || kind.is_fifo()
        || kind.is_block_special()
        || kind.is_character_special())
}

/// Where the next header begins; `None` if the body goes past the end.
fn end_of(body: u64, size: u64, length: u64) -> Option<u64> {
    let end = body.checked_add(size)?;
    let padded = end.checked_next_multiple_of(BLOCK)?;
    (padded <= length).then_some(padded)
}

/// The sum of all bytes, those of the checksum field (148 to 155) counted as spaces.
fn checksum(block: &[u8; BLOCK as usize]) -> u32 {
    let field = 148..156;
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    sum(&block[..field.start]) + sum(&block[field.end..]) + 8 * u32::from(b' ')
}

fn until_nul(bytes: &[u8]) -> Vec<u8> {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
}

/// A name without `.` and empty components; `None` if it has `..` or is empty.
pub(super) fn normal_name(name: &[u8]) -> Option<Vec<u8>> {
    let parts: Vec<&[u8]> = name.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
    (!parts.is_empty() && !parts.contains(&&b".."[..])).then(|| parts.join(&b'/'))
}

/// The same, `..` resolved by the text; `None` if it leads out.
fn resolved_name(name: &[u8]) -> Option<Vec<u8>> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()?),
            _ => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join(&b'/'))
}
