//! A bolt file, as far as dockerd uses it for volumes: one bucket of keys and values.
//!
//! ```text
//! page 0, 1    meta: root page, free list, number of pages, transaction; of two sound ones the later counts
//! any page     a leaf: keys and values; a branch: keys and pages below; the free list; each with further pages behind it
//! ```
//!
//! A value with the bucket flag names the root page of a bucket, or holds a small bucket in its bytes. Numbers are little
//! endian, as on every machine we run on. Source: go.etcd.io/bbolt, `page.go`, `bucket.go`, `tx.go`.
//!
//! A [change](change::Change) is what bolt's own transaction is: new pages where nothing is in use, then the older meta
//! page. So a crash at any instant leaves the state before or the one after. Nothing in a file is trusted: every number is
//! checked before it is followed.

use std::collections::{BTreeMap, BTreeSet};

mod change;
#[cfg(fuzzing)]
mod fuzzing;

pub(super) use change::Change;
#[cfg(fuzzing)]
pub use fuzzing::fuzz;

/// What a bucket holds.
pub(super) type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;

const PAGE_HEADER: usize = 16;
const ELEMENT: usize = 16;
/// The bytes of a meta page that its checksum is of.
const SUMMED: usize = 56;

const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
const META: u16 = 0x04;
const FREE_LIST: u16 = 0x10;
/// The flag of a leaf's element that is a bucket.
const BUCKET: u32 = 0x01;

/// A free list that is not kept: bolt finds the free pages by itself then.
const NO_FREE_LIST: u64 = u64::MAX;

/// bolt takes the page size of the machine that makes the file.
const PAGE_SIZES: std::ops::RangeInclusive<u32> = 1024..=65536;
/// The page size of new files.
const PAGE_SIZE: usize = 4096;

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub(super) enum Malformed {
    #[error("it is no bolt file, or both of its meta pages are damaged")]
    NoMeta,
    #[error("page {0} lies outside the file")]
    Outside(u64),
    #[error("page {0} is used twice")]
    Twice(u64),
    #[error("page {0} is not of the kind that belongs there")]
    Kind(u64),
    #[error("an entry of page {0} lies outside it")]
    Entry(u64),
    #[error("it has a bucket {0:?}, which dockerd does not make")]
    Bucket(String),
    #[error("it has no room for so many entries")]
    Full,
    #[error("its last transaction has the highest number there is")]
    WornOut,
}

/// A bolt file, read into memory.
#[derive(Debug)]
pub(super) struct Database<'a> {
    bytes: &'a [u8],
    meta: Meta,
}

/// A meta page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Meta {
    page_size: usize,
    root: u64,
    sequence: u64,
    free_list: u64,
    /// The first page that has never been used.
    high_water: u64,
    transaction: u64,
}

/// The pages that were visited on a way through the file.
type Pages = BTreeSet<u64>;

/// An element of a leaf.
struct Element<'a> {
    flags: u32,
    key: &'a [u8],
    value: &'a [u8],
}

impl<'a> Database<'a> {
    /// Reads the meta pages; `None` for an empty file, which bolt takes for a new one.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Option<Self>, Malformed> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let first = Meta::read(bytes, 0);
        let sizes = PAGE_SIZES.step_by(1024).filter(|size| size.is_power_of_two()).map(|size| size as usize);
        let second = match first {
            Some(meta) => Meta::read(bytes, meta.page_size),
            None => sizes.filter_map(|size| Meta::read(bytes, size).filter(|meta| meta.page_size == size)).next(),
        };
        let meta = first.into_iter().chain(second).max_by_key(|meta| meta.transaction).ok_or(Malformed::NoMeta)?;
        if meta.high_water > (bytes.len() / meta.page_size) as u64 {
            return Err(Malformed::Outside(meta.high_water));
        }
        Ok(Some(Self { bytes, meta }))
    }

    /// What the bucket `name` holds; nothing if there is none.
    ///
    /// # Errors
    /// If the file contradicts itself, or holds another bucket too, at the top or in this one.
    pub(super) fn bucket(&self, name: &str) -> Result<Entries, Malformed> {
        self.walk(name).map(|(entries, _, _)| entries)
    }

    /// The entries of the bucket, its sequence, and every page of the file that is in use.
    fn walk(&self, name: &str) -> Result<(Entries, u64, Pages), Malformed> {
        let mut pages = Pages::from([0, 1]);
        let (mut entries, mut sequence) = (Entries::new(), 0);
        for element in self.elements(self.meta.root, &mut pages)? {
            if element.key != name.as_bytes() || element.flags & BUCKET == 0 {
                return Err(Malformed::Bucket(String::from_utf8_lossy(element.key).into_owned()));
            }
            let (root, inline) = element.value.split_at_checked(ELEMENT).ok_or(Malformed::Entry(self.meta.root))?;
            sequence = number(root, 8);
            let elements = match number(root, 0) {
                0 => leaf(inline, 0)?,
                root => self.elements(root, &mut pages)?,
            };
            for element in elements {
                if element.flags & BUCKET != 0 {
                    return Err(Malformed::Bucket(String::from_utf8_lossy(element.key).into_owned()));
                }
                entries.insert(element.key.to_owned(), element.value.to_owned());
            }
        }
        if self.meta.free_list != NO_FREE_LIST {
            self.page(self.meta.free_list, &mut pages)?;
        }
        Ok((entries, sequence, pages))
    }

    /// The elements of all leaves below a page, in order.
    fn elements(&self, root: u64, pages: &mut Pages) -> Result<Vec<Element<'a>>, Malformed> {
        let mut pending = vec![root];
        let mut elements = Vec::new();
        // It ends: no page is visited twice.
        while let Some(id) = pending.pop() {
            let page = self.page(id, pages)?;
            match kind(page) {
                LEAF => elements.extend(leaf(page, id)?),
                BRANCH => pending.extend(branch(page, id)?.into_iter().rev()),
                _ => return Err(Malformed::Kind(id)),
            }
        }
        Ok(elements)
    }

    /// A page with those behind it that belong to it.
    fn page(&self, id: u64, pages: &mut Pages) -> Result<&'a [u8], Malformed> {
        let outside = || Malformed::Outside(id);
        let start = usize::try_from(id).ok().and_then(|id| id.checked_mul(self.meta.page_size)).ok_or_else(outside)?;
        let rest = self.bytes.get(start..).filter(|rest| rest.len() >= PAGE_HEADER).ok_or_else(outside)?;
        let count = u64::from(word(rest, 12)) + 1;
        let length = usize::try_from(count).ok().and_then(|count| count.checked_mul(self.meta.page_size));
        let page = length.and_then(|length| rest.get(..length)).ok_or_else(outside)?;
        if id + count > self.meta.high_water {
            return Err(outside());
        }
        match (id..id + count).find(|id| !pages.insert(*id)) {
            Some(twice) => Err(Malformed::Twice(twice)),
            None => Ok(page),
        }
    }
}

impl Meta {
    /// The meta page at this offset, if it is sound.
    fn read(bytes: &[u8], offset: usize) -> Option<Self> {
        let page = bytes.get(offset..)?.get(..PAGE_HEADER + SUMMED + 8)?;
        let meta = &page[PAGE_HEADER..];
        let page_size = word(meta, 8);
        let is_sound = kind(page) == META
            && (word(meta, 0), word(meta, 4)) == (MAGIC, VERSION)
            && PAGE_SIZES.contains(&page_size)
            && page_size.is_power_of_two()
            && number(meta, SUMMED) == fnv(&meta[..SUMMED]);
        is_sound.then(|| Self {
            page_size: page_size as usize,
            root: number(meta, 16),
            sequence: number(meta, 24),
            free_list: number(meta, 32),
            high_water: number(meta, 40),
            transaction: number(meta, 48),
        })
    }
}

/// The elements of a leaf.
fn leaf(page: &[u8], id: u64) -> Result<Vec<Element<'_>>, Malformed> {
    let read = |index: usize| {
        let start = PAGE_HEADER + index * ELEMENT;
        let element = page.get(start..start + ELEMENT)?;
        let [flags, position, key, value] = [0, 4, 8, 12].map(|at| word(element, at));
        let data = page.get(start..)?.get(position as usize..)?;
        let (key, rest) = data.split_at_checked(key as usize)?;
        Some(Element { flags, key, value: rest.get(..value as usize)? })
    };
    (0..count(page, id)?).map(|index| read(index).ok_or(Malformed::Entry(id))).collect()
}

/// The pages below a branch.
fn branch(page: &[u8], id: u64) -> Result<Vec<u64>, Malformed> {
    let read = |index: usize| {
        let start = PAGE_HEADER + index * ELEMENT;
        page.get(start..start + ELEMENT).map(|element| number(element, 8)).ok_or(Malformed::Entry(id))
    };
    (0..count(page, id)?).map(read).collect()
}

fn count(page: &[u8], id: u64) -> Result<usize, Malformed> {
    let bytes = page.get(10..PAGE_HEADER).ok_or(Malformed::Entry(id))?;
    Ok(usize::from(u16::from_le_bytes([bytes[0], bytes[1]])))
}

/// What a page is; 0 for what is too short to be one.
fn kind(page: &[u8]) -> u16 {
    page.get(8..10).map_or(0, |bytes| u16::from_le_bytes([bytes[0], bytes[1]]))
}

/// The 32-bit number at an offset; 0 beyond the end.
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
}

/// The 64-bit number at an offset; 0 beyond the end.
fn number(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// FNV-1a of 64 bits.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests;
