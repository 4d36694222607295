//! Removal of trees, without a heap: two descriptors, whatever the depth.

use crate::kernel;
use crate::numbers::*;

/// How many characters of the name of a symlink of the storage driver are read.
const LINK: usize = 64;

/// How often the trash is read: a directory that changes meanwhile may not tell everything, and what resists is left.
const PASSES: u32 = 4;

/// Where trees go before they are deleted.
pub struct Trash {
    directory: i32,
    /// How many trees were deleted of those that were moved here, and how many were moved.
    deleted: u32,
    count: u32,
}

/// The name of a tree in the trash: `reaped-`, our process number, `-`, a counter, in hexadecimal.
type Name = [u8; 26];

impl Trash {
    pub fn new() -> Self {
        Self { directory: -1, deleted: 0, count: 0 }
    }

    /// Uses the trash of another store, and empties the one so far.
    pub fn choose(&mut self, root: i32, path: u64) {
        if self.directory >= 0 && kernel::is_same(self.directory, root, path) {
            return;
        }
        self.empty();
        self.directory = kernel::open(root, path, O_DIRECTORY).unwrap_or(-1);
    }

    /// Moves a tree to the trash; deletes it where it is if it cannot be moved.
    pub fn take(&mut self, root: i32, path: u64) {
        let name = name_of(self.count);
        let name = kernel::address(&name);
        match kernel::rename(root, path, self.directory, name) {
            Ok(()) => self.count = self.count.wrapping_add(1),
            Err(ENOENT) => {}
            Err(_) => remove(root, path),
        }
    }

    /// Deletes what was moved here, whoever has locked it where it was: a child of the killed program may still have the
    /// descriptor. Then what a removal of that program has left here. Whoever deletes a tree holds a lock on it: those of
    /// others stay.
    pub fn empty(&mut self) {
        while self.deleted != self.count {
            remove(self.directory, kernel::address(&name_of(self.deleted)));
            self.deleted = self.deleted.wrapping_add(1);
        }
        for _ in 0..PASSES {
            let mut found = false;
            any_entry(self.directory, |name| {
                let tree = open(self.directory, name);
                if tree.is_none_or(kernel::lock_at_once) {
                    remove(self.directory, name);
                    found = true;
                }
                tree.map(kernel::close);
                false
            });
            if !found {
                break;
            }
        }
        kernel::close(self.directory);
        self.directory = -1;
    }
}

fn name_of(number: u32) -> Name {
    let mut name = *b"reaped-00000000-00000000\0\0";
    let process = kernel::own_pid();
    for (at, digit) in name.iter_mut().skip(7).take(17).enumerate() {
        let (value, shift) = match at {
            0..8 => (process, 28 - 4 * at),
            8 => continue,
            _ => (number, 28 - 4 * (at - 9)),
        };
        let nibble = (value >> shift & 0xf) as u8;
        *digit = if nibble < 10 { b'0'.wrapping_add(nibble) } else { b'a'.wrapping_add(nibble - 10) };
    }
    name
}

/// Removes the symlink that the file `link` of a layer names.
pub fn remove_link(root: i32, layer: u64, links: i32) {
    let Ok(layer) = kernel::open(root, layer, O_DIRECTORY) else { return };
    let file = kernel::open(layer, kernel::address(b"link\0"), 0);
    kernel::close(layer);
    let Ok(file) = file else { return };
    let mut name = [0_u8; LINK];
    // One byte less: the last stays zero.
    let read = kernel::read(file, name.split_last_mut().map_or(&mut [], |(_, most)| most)).unwrap_or(0);
    kernel::close(file);
    let is_name = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    if read > 0 && name.get(..read).is_some_and(|name| name.iter().all(is_name)) && links >= 0 {
        let _ = kernel::unlink(links, kernel::address(&name), 0);
    }
}

/// Deletes a tree, never following a link. What resists is left.
fn remove(parent: i32, name: u64) {
    if kernel::unlink(parent, name, 0).is_ok() || kernel::unlink(parent, name, AT_REMOVEDIR).is_ok() {
        return;
    }
    let Some(mut directory) = open(parent, name) else { return };
    let mut depth = 0_usize;
    loop {
        match remove_entries(directory) {
            Found::Nothing if depth == 0 => break,
            Found::Nothing => {
                // Nobody but us moves anything here any more: the directory above is where we came from.
                let above = kernel::open(directory, kernel::address(b"..\0"), O_DIRECTORY | O_NOFOLLOW);
                kernel::close(directory);
                let Ok(above) = above else { return };
                directory = above;
                depth = depth.wrapping_sub(1);
            }
            Found::Directory(below) => {
                kernel::close(directory);
                directory = below;
                depth = depth.wrapping_add(1);
            }
            Found::Resistance => break,
        }
    }
    kernel::close(directory);
    let _ = kernel::unlink(parent, name, AT_REMOVEDIR);
}

/// What a look at a directory has found.
enum Found {
    /// It is empty now.
    Nothing,
    /// A directory that is not empty, open.
    Directory(i32),
    /// An entry that does not go.
    Resistance,
}

fn remove_entries(directory: i32) -> Found {
    loop {
        let mut removed = false;
        let mut found = Found::Nothing;
        let stopped = any_entry(directory, |name| {
            let gone = [0, AT_REMOVEDIR].into_iter().any(|flags| {
                matches!(kernel::unlink(directory, name, flags), Ok(()) | Err(ENOENT))
            });
            removed |= gone;
            if !gone {
                found = open(directory, name).map_or(Found::Resistance, Found::Directory);
            }
            !gone
        });
        // A directory that changes while it is read may not tell everything.
        if stopped || !removed {
            return found;
        }
    }
}

/// Opens a directory that its owner can read and change, whatever its mode was.
fn open(parent: i32, name: u64) -> Option<i32> {
    let flags = O_DIRECTORY | O_NOFOLLOW;
    let opened = kernel::open(parent, name, flags).or_else(|error| match error {
        EACCES => {
            kernel::set_mode_at(parent, name, 0o700);
            kernel::open(parent, name, flags)
        }
        error => Err(error),
    });
    let fd = opened.ok()?;
    kernel::set_mode(fd, 0o700);
    Some(fd)
}

/// Calls with the name of each entry until one is what was looked for; whether there was such a one.
pub fn any_entry(directory: i32, mut is_it: impl FnMut(u64) -> bool) -> bool {
    /// struct linux_dirent64: inode and offset in 8 bytes each, length in 2, type in 1, name.
    const LENGTH: usize = 16;
    const NAME: usize = 19;
    let mut buffer = Entries([0; 4096]);
    kernel::rewind(directory);
    loop {
        let read = kernel::entries(directory, &mut buffer.0);
        if read == 0 {
            return false;
        }
        let mut at = 0_usize;
        while let Some([low, high]) = buffer.0.get(at.wrapping_add(LENGTH)..).and_then(<[u8]>::first_chunk) {
            let Some(name) = buffer.0.get(at.wrapping_add(NAME)..read) else { break };
            if !name.starts_with(b".\0") && !name.starts_with(b"..\0") && is_it(name.as_ptr().expose_provenance() as u64) {
                return true;
            }
            at = at.wrapping_add(usize::from(u16::from_ne_bytes([*low, *high])));
            if at >= read {
                break;
            }
        }
    }
}

#[repr(align(8))]
struct Entries([u8; 4096]);
