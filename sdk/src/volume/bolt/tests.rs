#![allow(clippy::unwrap_used)]
use super::*;

/// A file that bolt's own transactions would leave, made by ours.
struct Disk(Vec<u8>);

impl Disk {
    fn new() -> Self {
        Self(Vec::new())
    }

    fn open(&self) -> Result<Option<Database<'_>>, Malformed> {
        Database::open(&self.0)
    }

    fn bucket(&self) -> Entries {
        self.open().unwrap().unwrap().bucket("volumes").unwrap()
    }

    fn change(&self, entries: &Entries) -> Change {
        Change::new(self.open().unwrap().as_ref(), "volumes", entries).unwrap()
    }

    fn write(&mut self, pages: &[(u64, Vec<u8>)]) {
        for (offset, page) in pages {
            let end = *offset as usize + page.len();
            self.0.resize(self.0.len().max(end), 0);
            self.0[*offset as usize..end].copy_from_slice(page);
        }
    }

    fn set(&mut self, entries: &Entries) {
        let change = self.change(entries);
        self.write(&change.pages);
        self.write(&change.metas);
        assert!(self.0.len() as u64 >= change.length);
    }
}

fn entries(count: usize, length: usize) -> Entries {
    (0..count).map(|at| (format!("volume-{at:05}").into_bytes(), vec![b'x'; length])).collect()
}

#[test]
fn what_is_written_reads_back_and_the_file_does_not_grow_without_end() {
    let mut disk = Disk::new();
    assert!(disk.open().unwrap().is_none());
    for count in [1, 0, 3, 300, 2] {
        disk.set(&entries(count, 80));
        assert_eq!(disk.bucket(), entries(count, 80));
    }
    let size = disk.0.len();
    for _ in 0..100 {
        disk.set(&entries(300, 80));
        assert_eq!(disk.bucket(), entries(300, 80));
    }
    // The old state, the new one, and what is between them.
    assert!(disk.0.len() <= 3 * size, "{} after {size}", disk.0.len());
}

#[test]
fn every_page_is_in_use_or_in_the_free_list_and_never_both() {
    let mut disk = Disk::new();
    for count in [1, 500, 2, 80, 3] {
        disk.set(&entries(count, 40));
        let database = disk.open().unwrap().unwrap();
        let (_, _, used) = database.walk("volumes").unwrap();
        let list = database.page(database.meta.free_list, &mut Pages::new()).unwrap();
        assert_eq!(kind(list), FREE_LIST);
        let free: Pages = (0..super::count(list, 0).unwrap()).map(|at| number(list, PAGE_HEADER + at * 8)).collect();
        assert!(used.is_disjoint(&free));
        let all: Pages = (0..database.meta.high_water).collect();
        assert_eq!(used.union(&free).copied().collect::<Pages>(), all);
    }
}

#[test]
fn a_write_that_ends_anywhere_leaves_the_state_before() {
    let mut disk = Disk::new();
    disk.set(&entries(4, 10));
    let before = disk.0.clone();
    let change = disk.change(&entries(9, 2000));
    disk.write(&change.pages);
    assert_eq!(disk.bucket(), entries(4, 10));
    // Half a meta page.
    let (offset, page) = &change.metas[0];
    disk.write(&[(*offset, page[..60].to_vec())]);
    assert_eq!(disk.bucket(), entries(4, 10));
    disk.write(&change.metas);
    assert_eq!(disk.bucket(), entries(9, 2000));
    assert_ne!(disk.0, before);
}

#[test]
fn a_transaction_that_none_can_follow_is_the_last() {
    let mut disk = Disk::new();
    disk.set(&entries(1, 5));
    let meta = &mut disk.0[PAGE_HEADER..][..SUMMED + 8];
    meta[48..SUMMED].copy_from_slice(&u64::MAX.to_le_bytes());
    let sum = fnv(&meta[..SUMMED]).to_le_bytes();
    meta[SUMMED..].copy_from_slice(&sum);
    assert_eq!(disk.bucket(), entries(1, 5));
    let refused = Change::new(disk.open().unwrap().as_ref(), "volumes", &entries(2, 5));
    assert!(matches!(refused, Err(Malformed::WornOut)));
}

#[test]
fn a_damaged_meta_page_makes_the_other_count() {
    let mut disk = Disk::new();
    disk.set(&entries(1, 5));
    disk.set(&entries(2, 5));
    // The second change has number 2, and so the first page.
    disk.0[30] ^= 1;
    assert_eq!(disk.bucket(), entries(1, 5));
    disk.0[PAGE_SIZE + 30] ^= 1;
    assert!(matches!(disk.open(), Err(Malformed::NoMeta)));
}

#[test]
fn hostile_files_are_refused_and_never_followed_out_of_bounds() {
    let mut sound = Disk::new();
    sound.set(&entries(20, 100));
    let root = sound.open().unwrap().unwrap().meta.root as usize * PAGE_SIZE;
    let mut refused = 0;
    // Every byte of the headers and elements, one after the other, in a file whose meta pages stay sound.
    for at in (root..root + 200).chain(2 * PAGE_SIZE..2 * PAGE_SIZE + 400) {
        for value in [0x00, 0x01, 0x7f, 0xff] {
            let mut disk = Disk(sound.0.clone());
            disk.0[at] = value;
            let database = disk.open().unwrap().unwrap();
            refused += usize::from(database.bucket("volumes").is_err());
            let _ = Change::new(Some(&database), "volumes", &entries(1, 1));
        }
    }
    assert!(refused > 100, "{refused}");
    for length in [1, 79, 80, PAGE_SIZE, 2 * PAGE_SIZE, sound.0.len() - 1] {
        let disk = Disk(sound.0[..length].to_vec());
        assert!(disk.open().is_err(), "{length}");
    }
}

#[test]
fn a_page_that_leads_to_itself_is_used_twice() {
    let mut disk = Disk::new();
    disk.set(&entries(1, 1));
    let root = disk.open().unwrap().unwrap().meta.root;
    let at = root as usize * PAGE_SIZE;
    // A branch with one child: itself.
    disk.0[at + 8] = BRANCH as u8;
    disk.0[at + PAGE_HEADER + 8..at + PAGE_HEADER + 16].copy_from_slice(&root.to_le_bytes());
    let error = disk.open().unwrap().unwrap().bucket("volumes").unwrap_err();
    assert!(matches!(error, Malformed::Twice(page) if page == root), "{error}");
}

#[test]
fn another_bucket_is_not_ours_to_rewrite() {
    let mut disk = Disk::new();
    disk.set(&entries(1, 1));
    let database = disk.open().unwrap().unwrap();
    assert!(matches!(database.bucket("other"), Err(Malformed::Bucket(name)) if name == "volumes"));
    assert!(Change::new(Some(&database), "other", &Entries::new()).is_err());
}
