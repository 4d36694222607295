//! The reaper of a host program: kills and removes what the program leaves when it is killed itself.
//!
//! One per program. It holds one end of a socket and a pidfd of the program, sleeps, and keeps what it is told:
//!
//! | message | means |
//! |---|---|
//! | `+`, key, orders; descriptors | to be done if the program dies; several messages may have one key |
//! | `-`, key | forget the key |
//! | `?` | to be answered with `.`: what came before is done, and no descriptor of a forgotten key is held |
//!
//! A message with a key begins with its letter and seven bytes of nothing, then the key in eight bytes. Orders are a letter and a
//! text each (those of cgroups are in `cgroup.rs`), and end with a zero byte. The first descriptor is a process for [`KILL`],
//! else the data root, to which all paths but those of cgroups are relative; a second one is merely held: the lock that
//! tells others that somebody cares for the container.
//!
//! Trees are moved to the trash by one rename before they are deleted, as the SDK does it: what is left if the reaper is
//! killed too, the next program that opens the store deletes.

use crate::cgroup;
use crate::chunk;
use crate::kernel;
use crate::numbers::*;
use crate::report;
use crate::socket::{self, Message};
use crate::tree;

const HOST: i32 = 3;
const PROGRAM: i32 = 4;

/// File, by its whole path, that goes when it is decided that a container stays: nothing of its message is done then. It
/// stands before the other orders.
const UNDECIDED: u8 = b'U';
/// Kills the process behind the first descriptor and everything in its container, and waits for that.
const KILL: u8 = b'K';
/// `freezer.state` of a cgroup of version 1, where one is: a process that stands still is not killed.
const THAW: u8 = b'Z';
/// Where trees are moved to.
const TRASH: u8 = b'B';
/// Lock of the names of containers, to be held while it is decided whether a volume is used.
const LOCK: u8 = b'L';
/// Directory of directories of containers.
const SCAN: u8 = b'S';
/// File in each of them that names the volumes of a container.
const FILE: u8 = b'N';
/// The container that does not count.
const SELF: u8 = b'X';
/// Tree that goes unless another container names it by its last name.
const VOLUME: u8 = b'V';
/// Tree of the storage driver: the symlink that its file `link` names goes first.
const LAYER: u8 = b'D';
/// Directory of these symlinks.
const LINKS: u8 = b'l';
/// Tree.
const TREE: u8 = b'T';
/// The file that events are told in, and the members of the JSON object that all events of a container have.
const EVENTS: u8 = b'W';
const EVENT: u8 = b'M';
/// The directory of the container, by its whole path: it is told of once that is gone.
const TOLD: u8 = b'Q';
/// File that goes when all is done.
pub const ENTRY: u8 = b'F';

pub fn run() -> ! {
    kernel::block_signals();
    // The one that was started ends, so that the program has no child of ours that it could wait for.
    match kernel::fork(0) {
        Ok(0) => {}
        Ok(_) => kernel::exit(0),
        Err(_) => kernel::exit(1),
    }
    kernel::name(b"plywood-reaper\0");
    kernel::raise_file_limit();
    let mut kept = chunk::List::new();
    let mut buffer = [0_u8; chunk::LARGEST];
    while let Some(message) = next(&mut buffer) {
        match message.bytes.first() {
            Some(b'+') => kept.add(&message),
            Some(b'-') => kept.forget(&message),
            Some(b'?') => kernel::send(HOST, b"."),
            _ => message.close(),
        }
    }
    // Its program cannot decide anything any more.
    kept.retain(holds);
    reap(&kept);
    kernel::exit(0)
}

/// Waits for a message; `None` once the program has ended and everything it sent is read.
fn next(buffer: &mut [u8]) -> Option<Message<'_>> {
    let [message, _] = kernel::poll([HOST, PROGRAM]);
    if message { socket::receive(HOST, buffer) } else { None }
}

/// Whether what a message says is to be done.
fn holds(chunk: &chunk::Chunk) -> bool {
    let mut holds = true;
    chunk.orders(|letter, path| {
        if letter == UNDECIDED {
            match kernel::open(AT_FDCWD, path, 0) {
                Ok(file) => kernel::close(file),
                Err(error) => holds &= error != ENOENT,
            }
        }
    });
    holds
}

fn reap(kept: &chunk::List) {
    kept.each(|chunk| {
        chunk.orders(|letter, path| match letter {
            KILL => kernel::kill_by_pidfd(chunk.first),
            THAW => {
                if let Ok(file) = kernel::open(AT_FDCWD, path, O_RDWR) {
                    kernel::write(file, b"THAWED");
                    kernel::close(file);
                }
            }
            _ => {}
        });
    });
    kept.each(|chunk| {
        chunk.orders(|letter, _| {
            if letter == KILL {
                kernel::wait_for_pidfd(chunk.first);
            }
        });
    });
    // A process may be in one that nobody has told of: it was being started, and ends with its parent.
    cgroup::remove(|wanted, remove| {
        kept.each(|chunk| {
            chunk.orders(|letter, path| {
                if letter == wanted {
                    remove(path);
                }
            });
        });
    });
    let mut trash = tree::Trash::new();
    kept.each(|chunk| discard(chunk.first, |work| chunk.orders(work), &mut trash));
    trash.empty();
    // The ends first: the chunks stand in another order.
    kept.each(|chunk| tell(chunk, true));
    kept.each(|chunk| tell(chunk, false));
    kept.each(|chunk| {
        chunk.orders(|letter, path| {
            if letter == ENTRY || letter == UNDECIDED {
                let _ = kernel::unlink(chunk.first, path, 0);
            }
        });
    });
}

/// Tells of a container that is gone: that its process has ended, or that it was removed. The end of one that stays is told
/// by whoever opens the data root next.
fn tell(chunk: &chunk::Chunk, is_end: bool) {
    let (mut has_process, mut events, mut event, mut is_gone) = (false, 0, 0, false);
    chunk.orders(|letter, text| match letter {
        KILL => has_process = true,
        EVENTS => events = text,
        EVENT => event = text,
        TOLD => match kernel::open(AT_FDCWD, text, O_DIRECTORY) {
            Ok(directory) => kernel::close(directory),
            Err(error) => is_gone = error == ENOENT,
        },
        _ => {}
    });
    if has_process == is_end && events != 0 && event != 0 && is_gone {
        let killed: Option<(&[u8], &[u8])> = Some((b"exitCode", b"137"));
        let (action, attribute): (&[u8], _) = if is_end { (b"die", killed) } else { (b"destroy", None) };
        report::tell_in(events, kernel::text(event), action, attribute);
    }
}

/// Moves what belongs to a container out of sight, in the order in which the SDK does it: what remains if this ends in
/// the middle still names what is to go.
pub fn discard(root: i32, orders: impl FnOnce(&mut dyn FnMut(u8, u64)), trash: &mut tree::Trash) {
    let mut others = Others { lock: -1, directories: [-1, -1], file: 0, own: 0 };
    let mut links = -1;
    orders(&mut |letter, path| match letter {
        TRASH => trash.choose(root, path),
        LOCK => others.lock = kernel::open(root, path, O_RDWR).unwrap_or(-1),
        SCAN => {
            let [first, second] = &mut others.directories;
            let free = if *first < 0 { first } else { second };
            *free = kernel::open(root, path, O_DIRECTORY).unwrap_or(-1);
        }
        FILE => others.file = path,
        SELF => others.own = path,
        LINKS => links = kernel::open(root, path, O_DIRECTORY).unwrap_or(-1),
        VOLUME => {
            if others.lock >= 0 && kernel::lock(others.lock) && !others.name(path) {
                trash.take(root, path);
            }
        }
        LAYER => {
            tree::remove_link(root, path, links);
            trash.take(root, path);
        }
        TREE => trash.take(root, path),
        _ => {}
    });
    for fd in others.directories.into_iter().chain([others.lock, links]) {
        kernel::close(fd);
    }
}

/// The other containers of a store.
struct Others {
    lock: i32,
    directories: [i32; 2],
    /// Addresses of texts, as the kernel takes them.
    file: u64,
    own: u64,
}

impl Others {
    /// Whether the file of one of them holds the last name of a path. What cannot be read may.
    fn name(&self, path: u64) -> bool {
        let name = kernel::last_name(path);
        if self.file == 0 || name.is_empty() {
            return true;
        }
        self.directories.iter().any(|directory| {
            *directory < 0
                || tree::any_entry(*directory, |container| {
                    !kernel::equal(container, self.own) && self.file_holds(*directory, container, name)
                })
        })
    }

    fn file_holds(&self, directory: i32, container: u64, name: &[u8]) -> bool {
        let Ok(container) = kernel::open(directory, container, O_DIRECTORY) else { return false };
        let holds = match kernel::open(container, self.file, 0) {
            Ok(file) => {
                let holds = kernel::file_holds(file, name);
                kernel::close(file);
                holds
            }
            Err(error) => error != ENOENT,
        };
        kernel::close(container);
        holds
    }
}
