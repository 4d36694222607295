//! The entries of an archive, one after the other, with what extended headers say about them.
//!
//! The framing is that of Go's `archive/tar`, so that tar-split sees the same entries: links, devices, directories and
//! pipes have no content whatever their header says; a PAX size overrides the header's; global headers are entries of
//! their own.

use crate::error::Result;
use crate::sys::fs::{Time, Xattr};

use super::fault::{ArchiveFault, text};
use super::header::Header;
use super::limits::Limits;
use super::pax::Pax;
use super::ring::{Tape, UNIT};
use super::sparse::Sparse;

/// What an entry makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Symlink,
    HardLink,
    CharDevice,
    BlockDevice,
    Fifo,
    /// A global extended header: makes nothing.
    Global,
}

/// One entry. Reused for the next, so that its buffers are allocated once.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) kind: Kind,
    /// Permission bits with set-uid, set-gid and sticky.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) modified: Time,
    /// Bytes of content in the archive.
    pub(super) size: u64,
    pub(super) device: (u32, u32),
    pub(super) xattrs: Vec<Xattr>,
    pub(super) sparse: Option<Sparse>,
}

/// Reads entries from a tape.
pub(super) struct Entries<'a> {
    limits: &'a Limits,
    count: u64,
    /// Padding after the content of the last entry.
    padding: u64,
    extension: Vec<u8>,
    pub(super) entry: Entry,
}

impl<'a> Entries<'a> {
    pub(super) fn new(limits: &'a Limits) -> Self {
        let entry = Entry {
            name: Vec::new(),
            link: Vec::new(),
            kind: Kind::Global,
            mode: 0,
            uid: 0,
            gid: 0,
            modified: Time::default(),
            size: 0,
            device: (0, 0),
            xattrs: Vec::new(),
            sparse: None,
        };
        Self { limits, count: 0, padding: 0, extension: Vec::new(), entry }
    }

    /// How many there were.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Reads the headers of the next entry; the tape then stands at its content, of which the caller must consume
    /// exactly `size` bytes. `false` at the end marker.
    pub(super) fn next(&mut self, tape: &mut Tape) -> Result<bool> {
        tape.skip(self.padding)?;
        self.padding = 0;
        let mut pax = Pax::default();
        let (mut long_name, mut long_link) = (None, None);
        let mut extensions = 0;
        loop {
            let Some(raw) = tape.unit()? else { return Err(ArchiveFault::Truncated.into()) };
            if raw == [0; UNIT] {
                return match tape.unit()? {
                    Some(second) if second == [0; UNIT] => Ok(false),
                    Some(_) => Err(ArchiveFault::malformed("half an end marker is followed by more")),
                    None => Err(ArchiveFault::Truncated.into()),
                };
            }
            let header = Header::new(&raw).map_err(ArchiveFault::malformed)?;
            match header.kind() {
                b'x' => {
                    self.read_extension(&header, tape, &mut extensions)?;
                    pax = Pax::parse(&self.extension).map_err(ArchiveFault::malformed)?;
                }
                b'L' => {
                    self.read_extension(&header, tape, &mut extensions)?;
                    long_name = Some(self.long_text()?);
                }
                b'K' => {
                    self.read_extension(&header, tape, &mut extensions)?;
                    long_link = Some(self.long_text()?);
                }
                b'g' => {
                    self.read_extension(&header, tape, &mut extensions)?;
                    Pax::check_global(&self.extension).map_err(ArchiveFault::malformed)?;
                    header.name(&mut self.entry.name);
                    self.entry.kind = Kind::Global;
                    self.entry.size = 0;
                    self.count_one()?;
                    return Ok(true);
                }
                _ => {
                    self.read_entry(&header, &mut pax, long_name, long_link, tape)?;
                    self.count_one()?;
                    return Ok(true);
                }
            }
            tape.skip(self.padding)?;
            self.padding = 0;
        }
    }

    fn count_one(&mut self) -> Result<()> {
        self.count += 1;
        if self.count > self.limits.entries {
            return Err(ArchiveFault::Limit { what: "entries in one layer", limit: self.limits.entries }.into());
        }
        Ok(())
    }

    /// Reads the content of an extended header; its padding is left.
    fn read_extension(&mut self, header: &Header<'_>, tape: &mut Tape, total: &mut u64) -> Result<()> {
        let size =
            header.size().ok_or_else(|| ArchiveFault::malformed("the size of an extended header is malformed"))?;
        *total = total.saturating_add(size).saturating_add(UNIT as u64);
        if *total > self.limits.extended_header.saturating_add(UNIT as u64) {
            let (what, limit) = ("bytes of extended headers before one entry", self.limits.extended_header);
            return Err(ArchiveFault::Limit { what, limit }.into());
        }
        let length = usize::try_from(size).map_err(|_| ArchiveFault::malformed("an extended header is too large"))?;
        self.extension.clear();
        self.extension.resize(length, 0);
        tape.read_exact(&mut self.extension)?;
        self.padding = padding(size);
        Ok(())
    }

    /// A GNU long name: ends at its zero byte.
    fn long_text(&self) -> Result<Vec<u8>> {
        let end = self.extension.iter().position(|byte| *byte == 0).unwrap_or(self.extension.len());
        if end == 0 {
            return Err(ArchiveFault::malformed("a long name is empty"));
        }
        Ok(self.extension[..end].to_vec())
    }

    fn read_entry(
        &mut self,
        header: &Header<'_>,
        pax: &mut Pax,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
        tape: &mut Tape,
    ) -> Result<()> {
        let entry = &mut self.entry;
        header.name(&mut entry.name);
        for name in [pax.path.take(), long_name].into_iter().flatten() {
            entry.name = name;
        }
        entry.link.clear();
        entry.link.extend_from_slice(header.link());
        for link in [pax.link.take(), long_link].into_iter().flatten() {
            entry.link = link;
        }
        let malformed = |what: &str| ArchiveFault::malformed(format!("{what} of {:?} is malformed", text(&entry.name)));
        let stated = match pax.size {
            Some(size) => size,
            None => header.size().ok_or_else(|| malformed("the size"))?,
        };
        let has_slash = entry.name.last() == Some(&b'/');
        entry.kind = match header.kind() {
            // Old programs marked a directory by its name only.
            0 | b'0' if has_slash && stated == 0 => Kind::Directory,
            0 | b'0' | b'7' if has_slash => return Err(malformed("the kind")),
            0 | b'0' | b'7' | b'S' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::CharDevice,
            b'4' => Kind::BlockDevice,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => {
                let why = format!("its kind {:?} is unknown", char::from(other));
                return Err(ArchiveFault::entry(&entry.name, why));
            }
        };
        entry.size = if entry.kind == Kind::File { stated } else { 0 };
        let mode = header.mode().ok_or_else(|| malformed("the mode"))?;
        entry.mode = u32::try_from(mode & 0o7777).unwrap_or_default();
        entry.uid = owner(pax.uid.or_else(|| header.uid()), &entry.name)?;
        entry.gid = owner(pax.gid.or_else(|| header.gid()), &entry.name)?;
        entry.modified = match pax.modified {
            Some(time) => time,
            None => Time { seconds: header.modified().ok_or_else(|| malformed("the time"))?, nanoseconds: 0 },
        };
        entry.device = match entry.kind {
            Kind::CharDevice | Kind::BlockDevice => header.device().ok_or_else(|| malformed("the device number"))?,
            _ => (0, 0),
        };
        entry.xattrs = std::mem::take(&mut pax.xattrs);
        entry.sparse = match header.kind() {
            b'S' => Some(Sparse::old(header, tape)?),
            _ if entry.kind == Kind::File => Sparse::of_pax(&mut pax.sparse, entry.size)?,
            _ => None,
        };
        if let (Some(_), Some(name)) = (&entry.sparse, pax.sparse.name.take()) {
            entry.name = name;
        }
        let limit = self.limits.xattr;
        if entry.xattrs.iter().any(|(_, value)| value.len() > limit) {
            let entry = text(&entry.name);
            return Err(ArchiveFault::EntryLimit { entry, what: "extended attribute", limit: limit as u64 }.into());
        }
        self.padding = padding(entry.size);
        Ok(())
    }
}

/// An owner that a kernel can store: 2³²-1 means "leave it".
fn owner(id: Option<i64>, name: &[u8]) -> Result<u32> {
    let id = id.and_then(|id| u32::try_from(id).ok()).filter(|id| *id != u32::MAX);
    id.ok_or_else(|| ArchiveFault::entry(name, "its owner is not a number from 0 to 4294967294"))
}

/// Bytes up to the next unit.
pub(super) fn padding(size: u64) -> u64 {
    size.wrapping_neg() % UNIT as u64
}
