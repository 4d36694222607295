//! Who may write what, between processes and between threads.
//!
//! dockerd keeps its own writers apart with mutexes in one process; ours live in many processes, so each lock is an
//! exclusive flock(2) on a file of ours. A lock dies with its holder. Readers take none: whatever they read appears by
//! one rename. flock(2) has no time limit and no queue, so the threads of one program queue before they ask for it.
//!
//! **Order.** Whoever needs two takes them in the order of [`Lock`], top to bottom, and never waits for a program, a
//! network or a person while holding one. Debug builds check the order in each thread.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::ops::Deref;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{DataRoot, own_dir};
use crate::error::{Attempt as _, ErrorKind, Fault, Result};

/// How long to wait for a lock: its holders only read and write small files, so a minute means that one hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A lock of the store, in the order in which several may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lock {
    /// Everything that spans several of the others; also `repositories.json`. The file is `image/plywood.lock`.
    Store,
    /// Which layers are in use: taken to put a layer under something, and to remove one.
    Layers,
    /// Names of containers, and `containers/`.
    Containers,
    /// `volumes/`.
    Volumes,
}

impl Lock {
    pub(super) fn file(self, root: &Path) -> PathBuf {
        let name = match self {
            Lock::Store => return root.join("image/plywood.lock"),
            Lock::Layers => "layers",
            Lock::Containers => "containers",
            Lock::Volumes => "volumes",
        };
        own_dir(root).join("locks").join(name)
    }
}

/// A file and the flock(2) on it, until this is dropped.
///
/// It is let go of in so many words: closed, it would stay for as long as a child that another thread has just started
/// holds copies of all descriptors, which it does until it executes its program.
#[derive(Debug)]
pub(crate) struct Locked {
    file: File,
    /// Whether the lock goes with the last copy of the descriptor instead.
    is_left: bool,
}

impl Locked {
    /// Of a file that is locked.
    pub(super) fn new(file: File) -> Self {
        Self { file, is_left: false }
    }

    /// Leaves the lock to whoever was given a copy of the descriptor.
    pub(super) fn leave(&mut self) {
        self.is_left = true;
    }
}

impl Deref for Locked {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        if !self.is_left {
            let _ = self.file.unlock();
        }
    }
}

/// Who may have a lock at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Share {
    /// Nobody else.
    Alone,
    /// Others who share it.
    Together,
}

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    // Let go of before the next thread's turn.
    _file: Locked,
    _turn: Turn,
    #[cfg(debug_assertions)]
    _order: order::Turn,
}

/// Where the threads of this program queue for the locks of one root.
#[derive(Debug, Default)]
pub(super) struct Gates([Gate; 4]);

#[derive(Debug, Default)]
struct Gate {
    taken: Mutex<bool>,
    free: Condvar,
}

/// The turn of one thread, until this is dropped.
#[derive(Debug)]
struct Turn(DataRoot, Lock);

impl Gate {
    /// Waits for the turn; whether it came before `deadline`.
    fn enter(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.free.wait_timeout_while(taken, left, |taken| *taken);
        let (mut taken, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !std::mem::replace(&mut *taken, true)
    }

    fn leave(&self) {
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.free.notify_one();
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.gates().0[self.1 as usize].leave();
    }
}

impl DataRoot {
    /// The file whose flock(2) is the lock.
    pub(crate) fn lock_path(&self, lock: Lock) -> PathBuf {
        lock.file(self.path())
    }

    /// Waits for `lock`, at most a minute.
    ///
    /// # Errors
    /// `Timeout` if someone else holds it all that time; the message names the process.
    pub(crate) fn lock(&self, lock: Lock) -> Result<Held> {
        // Before it is waited for: the wrong order is a fault even where nobody is in the way.
        #[cfg(debug_assertions)]
        let order = order::Turn::take(self.path(), lock);
        let path = lock.file(self.path());
        let deadline = Instant::now() + PATIENCE;
        if !self.gates().0[lock as usize].enter(deadline) {
            return Err(TimedOut { holder: Some(std::process::id()), path, patience: PATIENCE }.into());
        }
        let turn = Turn(self.clone(), lock);
        let attempt = || format!("lock {path:?}");
        // Nobody unlinks it, so it is there but for the first time.
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.attempt(attempt)?;
        if !wait(&file, Share::Alone, deadline).attempt(attempt)? {
            return Err(TimedOut { holder: holder(&path), path, patience: PATIENCE }.into());
        }
        Ok(Held {
            _file: Locked::new(file),
            _turn: turn,
            #[cfg(debug_assertions)]
            _order: order,
        })
    }
}

/// Opens or makes the file at `path`, which holders unlink, and locks it for this caller alone.
pub(super) fn exclusive(path: &Path, patience: Duration) -> Result<(Locked, IsNew)> {
    let attempt = || format!("lock {path:?}");
    let deadline = Instant::now() + patience;
    loop {
        let (file, IsNew(is_new)) = open_or_create(path).attempt(attempt)?;
        // Only a sweep can be faster than we are at a new file, and it lets go at once.
        let deadline = if is_new { deadline.max(Instant::now() + PATIENCE) } else { deadline };
        if !wait(&file, Share::Alone, deadline).attempt(attempt)? {
            return Err(TimedOut { path: path.to_owned(), patience, holder: holder(path) }.into());
        }
        let file = Locked::new(file);
        // Its last holder may have unlinked it while we waited: then the lock is worth nothing.
        if file.metadata().attempt(attempt)?.nlink() == 0 {
            continue;
        }
        return Ok((file, IsNew(is_new)));
    }
}

/// Locks the directory at `path` itself; `None` if there is none.
///
/// What is locked is what has that path now: one that was moved away while it was waited for is not.
pub(crate) fn directory(path: &Path, share: Share, patience: Duration) -> Result<Option<Locked>> {
    let attempt = || format!("lock {path:?}");
    let deadline = Instant::now() + patience;
    loop {
        let flags = rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::CLOEXEC;
        let file = match rustix::fs::open(path, flags, rustix::fs::Mode::empty()) {
            Ok(file) => File::from(file),
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error).attempt(attempt),
        };
        if !wait(&file, share, deadline).attempt(attempt)? {
            return Err(TimedOut { path: path.to_owned(), patience, holder: holder(path) }.into());
        }
        let file = Locked::new(file);
        let locked = file.metadata().attempt(attempt)?;
        if path.symlink_metadata().is_ok_and(|found| (found.dev(), found.ino()) == (locked.dev(), locked.ino())) {
            return Ok(Some(file));
        }
    }
}

/// Locks the file at `path` if it exists and nobody holds it.
pub(super) fn if_free(path: &Path) -> io::Result<Option<Locked>> {
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let file = Locked::new(file);
    Ok((file.metadata()?.nlink() > 0).then_some(file))
}

/// Whether a file was made by the call.
#[derive(Debug)]
pub(super) struct IsNew(pub(super) bool);

fn open_or_create(path: &Path) -> io::Result<(File, IsNew)> {
    loop {
        match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path) {
            Ok(file) => return Ok((file, IsNew(true))),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => return Ok((file, IsNew(false))),
            // Unlinked between the two calls.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

/// Gives whether the lock was taken before `deadline`.
fn wait(file: &File, share: Share, deadline: Instant) -> io::Result<bool> {
    let mut pause = Duration::from_micros(50);
    loop {
        let tried = match share {
            Share::Alone => file.try_lock(),
            Share::Together => file.try_lock_shared(),
        };
        match tried {
            Ok(()) => return Ok(true),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => return Ok(false),
            Err(TryLockError::WouldBlock) => std::thread::sleep(pause),
        }
        // flock(2) has no time limit of its own, so it is asked again: often at first, later every 10 ms.
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

/// Who holds the lock of a file, as far as the kernel tells
/// ([`proc_locks(5)`](https://man7.org/linux/man-pages/man5/proc_locks.5.html)).
fn holder(path: &Path) -> Option<u32> {
    let found = path.metadata().ok()?;
    let (major, minor) = (rustix::fs::major(found.dev()), rustix::fs::minor(found.dev()));
    let file = format!("{major:02x}:{minor:02x}:{}", found.ino());
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        // One that waits has an arrow there.
        let kind = fields.next()?;
        let pid = fields.nth(2)?;
        (kind == "FLOCK" && fields.next() == Some(&file)).then(|| pid.parse().ok())?
    })
}

/// The order of locks, checked.
#[cfg(debug_assertions)]
mod order {
    use std::cell::RefCell;
    use std::path::{Path, PathBuf};

    use super::Lock;

    thread_local! {
        /// What this thread holds, of all data roots.
        static HELD: RefCell<Vec<(PathBuf, Lock)>> = const { RefCell::new(Vec::new()) };
    }

    /// A lock that this thread holds or waits for.
    #[derive(Debug)]
    pub(super) struct Turn(PathBuf, Lock);

    impl Turn {
        /// Fails the program if this thread holds a lock of the same data root that is taken later, or the same one.
        pub(super) fn take(root: &Path, lock: Lock) -> Self {
            HELD.with_borrow_mut(|held| {
                let later = held.iter().find(|(other, taken)| other == root && *taken >= lock);
                assert!(later.is_none(), "{lock:?} is locked by a thread that holds {later:?}");
                held.push((root.to_owned(), lock));
            });
            Self(root.to_owned(), lock)
        }
    }

    impl Drop for Turn {
        fn drop(&mut self) {
            // A thread that ends has given its list up already.
            let _ = HELD.try_with(|held| {
                let mut held = held.borrow_mut();
                if let Some(index) = held.iter().position(|(root, lock)| *root == self.0 && *lock == self.1) {
                    held.swap_remove(index);
                }
            });
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("lock {path:?}: {} has held it for {} s", match holder { Some(pid) => format!("process {pid}"), None => "another process".to_owned() }, patience.as_secs())]
struct TimedOut {
    path: PathBuf,
    patience: Duration,
    holder: Option<u32>,
}

impl Fault for TimedOut {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Timeout
    }
    fn path(&self) -> Option<&Path> {
        Some(&self.path)
    }
    fn hint(&self) -> Option<String> {
        Some("see what that process is doing; the lock ends with it".to_owned())
    }
}
