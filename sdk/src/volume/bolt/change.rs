//! The pages that change a bolt file from one state to the next.

use super::{
    BUCKET, Database, ELEMENT, Entries, FREE_LIST, LEAF, MAGIC, META, Malformed, Meta, PAGE_HEADER, PAGE_SIZE, Pages,
    SUMMED, VERSION, fnv,
};

/// The first page behind the two meta pages.
const FIRST: u64 = 2;

/// What to write where, in bytes from the start of the file.
#[derive(Debug)]
pub(in crate::volume) struct Change {
    /// First these, in places that nothing refers to so far.
    pub(in crate::volume) pages: Vec<(u64, Vec<u8>)>,
    /// Then, when they are on the disk, these: the new state exists from here on.
    pub(in crate::volume) metas: Vec<(u64, Vec<u8>)>,
    /// The size that the file has at least.
    pub(in crate::volume) length: u64,
}

impl Change {
    /// What makes the bucket `name` hold `entries` and nothing else; `database` is `None` for an empty file.
    ///
    /// # Errors
    /// As for [`Database::bucket`]; and if there are more entries than a page can count.
    pub(in crate::volume) fn new(
        database: Option<&Database<'_>>,
        name: &str,
        entries: &Entries,
    ) -> Result<Self, Malformed> {
        let (mut meta, sequence, used) = match database {
            Some(database) => {
                let (_, sequence, pages) = database.walk(name)?;
                (database.meta, sequence, pages)
            }
            None => (Meta::new(), 0, Pages::from([0, 1])),
        };
        let size = meta.page_size;
        let items: Vec<_> = entries.iter().map(|(key, value)| (0, key.as_slice(), value.as_slice())).collect();
        let mut space = Space { used: &used, taken: Pages::from([0, 1]), next: meta.high_water.max(FIRST) };

        let bucket = leaf(&items)?;
        let bucket_at = space.take(pages_of(bucket.len(), size));
        let mut value = bucket_at.to_le_bytes().to_vec();
        value.extend_from_slice(&sequence.to_le_bytes());
        let root = leaf(&[(BUCKET, name.as_bytes(), value.as_slice())])?;
        meta.root = space.take(pages_of(root.len(), size));
        // It has room for every page there is, those that it takes itself included.
        let most = pages_of(PAGE_HEADER + (space.next as usize + 2) * 8, size);
        meta.free_list = space.take(most);
        meta.high_water = space.next;
        meta.transaction = meta.transaction.checked_add(1).ok_or(Malformed::WornOut)?;

        let free: Vec<u64> = (FIRST..space.next).filter(|id| !space.taken.contains(id)).collect();
        let pages = [(bucket_at, bucket), (meta.root, root), (meta.free_list, free_list(&free, most * size))];
        let metas = match database {
            Some(_) => vec![meta.transaction % 2],
            None => vec![0, 1],
        };
        Ok(Self {
            pages: pages.into_iter().map(|(id, page)| (id * size as u64, complete(page, id, size))).collect(),
            metas: metas
                .into_iter()
                .map(|slot| {
                    let meta = Meta { transaction: meta.transaction - (meta.transaction - slot) % 2, ..meta };
                    (slot * size as u64, meta.page(slot))
                })
                .collect(),
            length: meta.high_water * size as u64,
        })
    }
}

/// Where there is room.
struct Space<'a> {
    /// By the state before, which counts until the new one does.
    used: &'a Pages,
    taken: Pages,
    /// The first page that was never used.
    next: u64,
}

impl Space<'_> {
    /// Takes so many pages in a row, the first that fit.
    fn take(&mut self, count: usize) -> u64 {
        let count = count as u64;
        let is_free = |id: &u64| !self.used.contains(id) && !self.taken.contains(id);
        let mut start = FIRST;
        while start < self.next {
            match (start..start + count).find(|id| *id < self.next && !is_free(id)) {
                Some(occupied) => start = occupied + 1,
                None => break,
            }
        }
        self.taken.extend(start..start + count);
        self.next = self.next.max(start + count);
        start
    }
}

impl Meta {
    /// The meta of an empty file.
    fn new() -> Self {
        Self { page_size: PAGE_SIZE, root: 0, sequence: 0, free_list: 0, high_water: FIRST, transaction: 0 }
    }

    fn page(&self, slot: u64) -> Vec<u8> {
        let mut meta = Vec::with_capacity(SUMMED + 8);
        for number in [MAGIC, VERSION, self.page_size as u32, 0] {
            meta.extend_from_slice(&number.to_le_bytes());
        }
        for number in [self.root, self.sequence, self.free_list, self.high_water, self.transaction] {
            meta.extend_from_slice(&number.to_le_bytes());
        }
        meta.extend_from_slice(&fnv(&meta).to_le_bytes());
        let mut page = header(META, 0);
        page.extend(meta);
        complete(page, slot, self.page_size)
    }
}

/// A leaf with these flags, keys and values, without its number and length.
fn leaf(items: &[(u32, &[u8], &[u8])]) -> Result<Vec<u8>, Malformed> {
    // A count of all ones means something else in a free list; nobody has so many volumes.
    let count = u16::try_from(items.len()).ok().filter(|count| *count < u16::MAX).ok_or(Malformed::Full)?;
    let mut page = header(LEAF, count);
    let mut position = items.len() * ELEMENT;
    for (flags, key, value) in items {
        for number in [*flags as usize, position, key.len(), value.len()] {
            page.extend_from_slice(&u32::try_from(number).map_err(|_| Malformed::Full)?.to_le_bytes());
        }
        // Counted from the element itself.
        position = position - ELEMENT + key.len() + value.len();
    }
    items.iter().for_each(|(_, key, value)| page.extend([*key, *value].concat()));
    Ok(page)
}

/// A free list of this size.
fn free_list(ids: &[u64], size: usize) -> Vec<u8> {
    let mut page = match u16::try_from(ids.len()) {
        Ok(count) if count < u16::MAX => header(FREE_LIST, count),
        // The count comes first then.
        _ => [header(FREE_LIST, u16::MAX), (ids.len() as u64).to_le_bytes().to_vec()].concat(),
    };
    ids.iter().for_each(|id| page.extend_from_slice(&id.to_le_bytes()));
    page.resize(size, 0);
    page
}

fn header(kind: u16, count: u16) -> Vec<u8> {
    let mut page = vec![0; PAGE_HEADER];
    page[8..10].copy_from_slice(&kind.to_le_bytes());
    page[10..12].copy_from_slice(&count.to_le_bytes());
    page
}

/// Fills a page up, and gives it its number and the number of pages behind it.
fn complete(mut page: Vec<u8>, id: u64, size: usize) -> Vec<u8> {
    let count = pages_of(page.len(), size);
    page.resize(count * size, 0);
    page[..8].copy_from_slice(&id.to_le_bytes());
    page[12..16].copy_from_slice(&((count - 1) as u32).to_le_bytes());
    page
}

fn pages_of(bytes: usize, size: usize) -> usize {
    bytes.div_ceil(size).max(1)
}
