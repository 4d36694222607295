//! What the reaper keeps, without a heap: each message in a mapping of its own, in a list.

use crate::kernel;
use crate::socket::Message;

/// The longest message, in bytes: what the SDK sends at most (`LONGEST` in `sdk/src/sys/reaper.rs`).
pub const LARGEST: usize = 8 * 1024;

/// Bytes of a message in front of its orders: the letter, seven of nothing, the key.
const HEAD: usize = 16;

/// A message that was kept.
pub struct Chunk {
    next: *mut Chunk,
    size: usize,
    key: u64,
    /// The process or the data root.
    pub first: i32,
    second: i32,
    /// Bytes of orders, which follow this struct.
    length: usize,
}

/// All that is kept, the newest first.
pub struct List(*mut Chunk);

impl List {
    pub fn new() -> Self {
        Self(core::ptr::null_mut())
    }

    pub fn add(&mut self, message: &Message<'_>) {
        let (Some(key), Some(orders)) = (key(message), message.bytes.get(HEAD..)) else { return message.close() };
        let size = size_of::<Chunk>().wrapping_add(orders.len()).wrapping_add(1);
        let Some(memory) = kernel::map_private(size) else { return message.close() };
        let chunk = memory.cast::<Chunk>();
        let [first, second] = message.files;
        let new = Chunk { next: self.0, size, key, first, second, length: orders.len() };
        // SAFETY: the mapping is new, page-aligned, and large enough for the struct.
        unsafe { chunk.write(new) };
        let behind = memory.wrapping_add(size_of::<Chunk>());
        // SAFETY: as many bytes follow the struct in the mapping; the one after them is zero.
        unsafe { behind.copy_from_nonoverlapping(orders.as_ptr(), orders.len()) };
        self.0 = chunk;
    }

    pub fn forget(&mut self, message: &Message<'_>) {
        message.close();
        if let Some(gone) = key(message) {
            self.retain(|chunk| chunk.key != gone);
        }
    }

    /// Forgets all others.
    pub fn retain(&mut self, mut is_kept: impl FnMut(&Chunk) -> bool) {
        let mut place = &raw mut self.0;
        loop {
            // SAFETY: `place` is the head of the list or the `next` of one of its chunks.
            let at = unsafe { place.read() };
            if at.is_null() {
                return;
            }
            // SAFETY: chunks of the list are mapped and complete.
            let chunk = unsafe { &mut *at };
            if is_kept(chunk) {
                place = &raw mut chunk.next;
                continue;
            }
            kernel::close(chunk.first);
            kernel::close(chunk.second);
            let (next, size) = (chunk.next, chunk.size);
            // SAFETY: as above.
            unsafe { place.write(next) };
            // SAFETY: it is out of the list, and nothing else refers to it.
            unsafe { kernel::unmap(at.cast(), size) };
        }
    }

    pub fn each(&self, mut work: impl FnMut(&Chunk)) {
        let mut at = self.0;
        while !at.is_null() {
            // SAFETY: chunks of the list are mapped and complete.
            let chunk = unsafe { &*at };
            work(chunk);
            at = chunk.next;
        }
    }
}

impl Chunk {
    /// Calls with each order: its letter, and the address of its text, which ends with a zero byte.
    pub fn orders(&self, mut work: impl FnMut(u8, u64)) {
        let begin = core::ptr::from_ref(self).cast::<u8>().wrapping_add(size_of::<Self>());
        // SAFETY: as many bytes follow the struct; nobody writes to them any more.
        let bytes = unsafe { core::slice::from_raw_parts(begin, self.length) };
        for order in bytes.split(|byte| *byte == 0) {
            if let [letter, text @ ..] = order {
                work(*letter, text.as_ptr().expose_provenance() as u64);
            }
        }
    }
}

fn key(message: &Message<'_>) -> Option<u64> {
    let bytes: &[u8; 8] = message.bytes.get(8..HEAD)?.first_chunk()?;
    Some(u64::from_ne_bytes(*bytes))
}
