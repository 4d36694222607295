//! A bolt file of any bytes, for `tests/fuzz`.

use super::{Change, Database, ELEMENT, PAGE_HEADER, PAGE_SIZES, SUMMED, fnv, word};

/// Reads the bucket of volumes and changes it: nothing but the change is seen afterwards.
///
/// The checksums of the meta pages are made right before: chance does not.
pub fn fuzz(bytes: &[u8]) {
    const BUCKET: &str = "volumes";
    let mut bytes = bytes.to_vec();
    let page_size = bytes.get(PAGE_HEADER..).filter(|meta| meta.len() > ELEMENT).map_or(0, |meta| word(meta, 8));
    let second = PAGE_SIZES.contains(&page_size).then_some(page_size as usize);
    for offset in [Some(0), second].into_iter().flatten() {
        let Some(meta) = bytes.get_mut(offset + PAGE_HEADER..).and_then(|meta| meta.get_mut(..SUMMED + 8)) else {
            continue;
        };
        let (meta, sum) = meta.split_at_mut(SUMMED);
        sum.copy_from_slice(&fnv(meta).to_le_bytes());
    }
    let Ok(database) = Database::open(&bytes) else { return };
    let Ok(mut entries) = database.as_ref().map_or_else(|| Ok(Default::default()), |file| file.bucket(BUCKET)) else {
        return;
    };
    entries.insert(b"added".to_vec(), b"value".to_vec());
    let Ok(change) = Change::new(database.as_ref(), BUCKET, &entries) else { return };
    let mut after = bytes.clone();
    for (offset, page) in change.pages.iter().chain(&change.metas) {
        let (offset, end) = (*offset as usize, *offset as usize + page.len());
        after.resize(after.len().max(end), 0);
        after[offset..end].copy_from_slice(page);
    }
    let changed = Database::open(&after).expect("a file after a change").expect("a file that is not empty");
    assert_eq!(changed.bucket(BUCKET).expect("a bucket after a change"), entries);
}
