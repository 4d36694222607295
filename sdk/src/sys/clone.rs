//! Starts children: [`clone3(2)`](https://man7.org/linux/man-pages/man2/clone.2.html) with shared memory, by one thread.
//!
//! A child shares the memory of this process until it becomes another program: nothing is copied, however large the
//! process is. The thread that starts it waits on a word that the kernel clears then (`CLONE_CHILD_CLEARTID`), which is
//! what vfork promises, while the caller stays free to prepare the child's user namespace.
//!
//! All children are started by one thread that lives as long as the process: the kernel kills them when the *thread*
//! that started them ends (`PR_SET_PDEATHSIG`). It blocks all signals, so that no handler of the program runs in a child.
//!
//! # Safety
//! Memory that a child uses ([`Memory`], [`Frame`], [`Control`]) belongs to [`Running`], which is dropped only
//! after the kernel has said that the child is gone.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use rustix::thread::futex;

use super::child::{CloneArgs, Control, Frame, GIVEN_UP, clone};
use super::helper::high;
use super::layout::{PARENT, REGISTERS};
use super::plan::Blob;
use super::visible::{Visibility, hold};
use super::{signal, wait};

/// A child that has become another program.
#[derive(Debug)]
pub(crate) struct Child {
    /// Its number in our pid namespace.
    pub pid: u32,
    /// Readable once it has ended.
    pub pidfd: OwnedFd,
    /// The process that its plan has started beside it.
    pub companion: Option<Companion>,
}

/// A process beside a child: killed, and waited for, when this is dropped.
#[derive(Debug)]
pub(crate) struct Companion(OwnedFd);

impl Drop for Companion {
    fn drop(&mut self) {
        let _ = signal::send(&self.0, libc::SIGKILL);
        let _ = wait::reap(&self.0);
    }
}

/// Why a child did not become another program. None of it is left.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It could not be created.
    Clone(io::Error),
    /// The caller could not prepare it.
    Prepare(io::Error),
    /// An operation of its plan failed.
    Step { step: u16, errno: i32 },
    /// It was killed from outside.
    Killed,
}

impl Failure {
    /// For whom the step says nothing.
    pub(crate) fn into_io(self) -> io::Error {
        match self {
            Self::Clone(error) | Self::Prepare(error) => error,
            Self::Step { errno, .. } => io::Error::from_raw_os_error(errno),
            Self::Killed => io::Error::other("it did not last"),
        }
    }
}

/// How a child is started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options<'a> {
    /// `CLONE_NEW*` bits.
    pub namespaces: u64,
    /// The plan forks: the second child is the one wanted.
    pub forks: bool,
    /// Whether other processes could look at the child, and thus at our memory, before it is another program.
    pub visibility: Visibility,
    /// The cgroup of version 2 it is born in, which has no limit of memory: the kernel would kill us with the child.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// Whether it waits at its gate.
    pub gate: Gate,
}

/// Where the plan of the first child waits, if it says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Until it is prepared.
    Closed,
    /// It goes on at once, while it is being prepared.
    Open,
}

/// `CLONE_INTO_CGROUP`, Linux 5.7.
const INTO_CGROUP: u64 = 0x2_0000_0000;

/// `CLONE_CLEAR_SIGHAND`, Linux 5.5: no handler of this program survives in the child.
const CLEAR_SIGHAND: u64 = 0x1_0000_0000;

/// Size of a child's stack; the interpreter needs 2 KiB of it unoptimised.
const STACK: usize = 64 * 1024;
/// Below the stack, never mapped; as large as the largest page.
const GUARD: usize = 64 * 1024;

/// Starts a child that walks `blob`, and waits until it has become another program.
///
/// `prepare` is called with the number and pidfd of the first child while that waits at its gate, if it is closed, and
/// `created` with those of the one wanted, which waits as well if its part of the plan has a gate; both on this thread.
pub(crate) fn spawn(
    blob: &mut Blob,
    options: Options<'_>,
    prepare: impl FnOnce(u32, BorrowedFd<'_>) -> io::Result<()>,
    created: impl FnOnce(u32, BorrowedFd<'_>) -> io::Result<()>,
) -> Result<Child, Failure> {
    let _visibility = hold(options.visibility);
    let mut running = Running::new(blob, options).map_err(Failure::Clone)?;
    running.begin().map_err(Failure::Clone)?;
    running.call(prepare)?;
    if options.forks {
        running.open_gate(1);
        running.follow().map_err(Failure::Clone)?;
    }
    running.call(created)?;
    running.open_gate(2);
    running.wait();
    running.find_companion().map_err(Failure::Clone)?;
    let failure = running.control.failure.load(Ordering::Acquire);
    if failure != 0 {
        blob.replace(running.memory.blob(blob.length()));
    }
    let child = running.child.take();
    let companion = running.companion.take();
    drop(running);
    match (failure, child) {
        (0, Some(child)) => Ok(Child { companion, ..child }),
        (0, None) => Err(Failure::Killed),
        (failure, child) => {
            reap(child);
            Err(Failure::Step { step: (failure >> 32) as u16, errno: failure as u32 as i32 })
        }
    }
}

/// Waits for a child that is ending. Its end is known; what matters is that its number is freed.
fn reap(child: Option<Child>) {
    if let Some(child) = child {
        let _ = wait::reap(child.pidfd);
    }
}

/// A child that uses our memory, and the memory it uses.
struct Running<'a> {
    control: Box<Control>,
    frame: Box<Frame>,
    memory: Memory,
    options: Options<'a>,
    /// Lets a child look whether this process has ended; its number is in a register.
    _parent: OwnedFd,
    /// The one that runs: the first, or the second once there is one.
    child: Option<Child>,
    companion: Option<Companion>,
}

impl<'a> Running<'a> {
    fn new(blob: &Blob, options: Options<'a>) -> io::Result<Self> {
        let control = Box::<Control>::default();
        if options.gate == Gate::Open {
            control.gate.store(1, Ordering::Release);
        }
        let memory = Memory::new(blob)?;
        let parent = high(wait::open(std::process::id())?)?;
        let mut registers = [0; REGISTERS];
        registers[usize::from(PARENT)] = parent.as_raw_fd() as u64;
        let frame = Box::new(Frame {
            blob: memory.blob_start(),
            control: &raw const *control,
            second_stack: memory.second_stack(),
            second_stack_size: STACK,
            registers,
            next: 0,
            remembered: 0,
        });
        Ok(Self { control, frame, memory, options, _parent: parent, child: None, companion: None })
    }

    /// Lets the spawner thread create the child.
    fn begin(&mut self) -> io::Result<()> {
        let shared = (libc::CLONE_VM | libc::CLONE_PIDFD | libc::CLONE_CHILD_CLEARTID) as u64;
        let address = |word: &AtomicU32| std::ptr::from_ref(word).expose_provenance() as u64;
        let into_cgroup = if self.options.cgroup.is_some() { INTO_CGROUP } else { 0 };
        let args = CloneArgs {
            flags: shared | CLEAR_SIGHAND | into_cgroup | self.options.namespaces,
            pidfd: address(&self.control.pidfd),
            child_tid: address(&self.control.alive),
            stack: self.memory.first_stack() as u64,
            stack_size: STACK as u64,
            cgroup: self.options.cgroup.map_or(0, |group| group.as_raw_fd() as u64),
            ..CloneArgs::default()
        };
        self.control.alive.store(1, Ordering::Release);
        let cloned = request(args, &raw mut *self.frame);
        let pid = match cloned {
            Ok(pid) => pid,
            Err(error) => {
                self.control.alive.store(0, Ordering::Release);
                return Err(error);
            }
        };
        let pidfd = self.control.pidfd.load(Ordering::Acquire) as i32;
        // SAFETY: the kernel has just opened it for us, and nobody else knows it.
        let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
        self.child = Some(Child { pid, pidfd, companion: None });
        Ok(())
    }

    fn call(&self, hook: impl FnOnce(u32, BorrowedFd<'_>) -> io::Result<()>) -> Result<(), Failure> {
        match &self.child {
            Some(child) => hook(child.pid, child.pidfd.as_fd()).map_err(Failure::Prepare),
            None => Ok(()),
        }
    }

    /// Lets so many children go on.
    fn open_gate(&self, value: u32) {
        if self.control.gate.swap(value, Ordering::AcqRel) < value {
            // Nobody waits if the child has not come that far, and it looks before it waits.
            let _ = futex::wake(&self.control.gate, futex::Flags::empty(), 1);
        }
    }

    /// Waits for the end of the first child, and turns to the second, if it has left one.
    fn follow(&mut self) -> io::Result<()> {
        wait_for(&self.control.alive);
        reap(self.child.take());
        let second = self.control.second_pid.load(Ordering::Acquire);
        if second != 0 {
            // Nobody has waited for it yet, so its number is still its own.
            self.child = Some(Child { pid: second, pidfd: wait::open(second)?, companion: None });
        }
        Ok(())
    }

    /// Waits until no child uses our memory.
    fn wait(&self) {
        wait_for(&self.control.alive);
        wait_for(&self.control.beside_alive);
        wait_for(&self.control.second_alive);
    }

    /// Turns to the process beside the children, if they have left one. Once nobody uses our memory.
    fn find_companion(&mut self) -> io::Result<()> {
        let pid = self.control.beside_pid.swap(0, Ordering::AcqRel);
        if pid != 0 {
            // Nobody has waited for it yet, so its number is still its own.
            self.companion = Some(Companion(wait::open(pid)?));
        }
        Ok(())
    }
}

/// Waits until the kernel has cleared a word.
fn wait_for(word: &AtomicU32) {
    loop {
        let value = word.load(Ordering::Acquire);
        if value == 0 {
            break;
        }
        // Interrupted or changed meanwhile: the word tells. Not the private kind, since the kernel's is not.
        let _ = futex::wait(word, futex::Flags::empty(), value, None);
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // Left early: the child still waits at its gate.
        self.open_gate(GIVEN_UP);
        if let Some(child) = &self.child {
            let _ = signal::send(&child.pidfd, libc::SIGKILL);
        }
        self.wait();
        reap(self.child.take());
        // It would end by itself, and be nobody's.
        let _ = self.find_companion();
    }
}

/// What a child and its second child use: two stacks with a guard below each, and the blob.
struct Memory {
    base: NonNull<libc::c_void>,
    size: usize,
}

/// Where memory of [`Memory::USUAL`] size begins that children have used who are gone.
struct Spare(NonNull<libc::c_void>);

// SAFETY: nobody uses it, and it is not bound to a thread.
unsafe impl Send for Spare {}

/// For the next children: to map and to unmap makes every thread of this program stop for a moment.
static SPARE: Mutex<Vec<Spare>> = Mutex::new(Vec::new());

/// As many are kept.
const SPARES: usize = 4;

fn spare() -> std::sync::MutexGuard<'static, Vec<Spare>> {
    SPARE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    /// Where the blob begins.
    const BLOB: usize = 2 * (GUARD + STACK);
    /// With room for the blob of a usual container.
    const USUAL: usize = Self::BLOB + 64 * 1024;

    fn new(blob: &Blob) -> io::Result<Self> {
        let size = Self::BLOB + blob.length();
        let used = if size <= Self::USUAL { spare().pop() } else { None };
        let memory = match used {
            Some(Spare(base)) => Self { base, size: Self::USUAL },
            None => Self::map(size.max(Self::USUAL))?,
        };
        let bytes = blob.relocated(memory.blob_start().expose_provenance());
        // SAFETY: the mapping has room for the blob behind the stacks, and nothing uses it yet.
        unsafe { memory.blob_start().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        Ok(memory)
    }

    fn map(size: usize) -> io::Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::STACK;
        // SAFETY: a new mapping, wherever there is room.
        let base = unsafe { mmap_anonymous(std::ptr::null_mut(), size, protection, flags) }?;
        let memory = Self { base: NonNull::new(base).ok_or(io::ErrorKind::OutOfMemory)?, size };
        for guard in [0, GUARD + STACK] {
            // SAFETY: within the mapping, which nothing uses yet.
            unsafe { mprotect(base.wrapping_byte_add(guard), GUARD, MprotectFlags::empty()) }?;
        }
        Ok(memory)
    }

    fn first_stack(&self) -> usize {
        self.base.as_ptr().expose_provenance() + GUARD
    }

    fn second_stack(&self) -> usize {
        self.first_stack() + STACK + GUARD
    }

    fn blob_start(&self) -> *mut u8 {
        self.base.as_ptr().cast::<u8>().wrapping_add(Self::BLOB)
    }

    /// The blob as the child has left it. Only once no child uses it.
    fn blob(&self, length: usize) -> Vec<u8> {
        let length = length.min(self.size - Self::BLOB);
        // SAFETY: within the mapping, initialised by `new`, and nobody writes to it any more.
        unsafe { std::slice::from_raw_parts(self.blob_start(), length) }.to_vec()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let mut spare = spare();
        if self.size == Self::USUAL && spare.len() < SPARES {
            spare.push(Spare(self.base));
            return;
        }
        drop(spare);
        // SAFETY: our own mapping; `Running` has waited until no child uses it. Failing would only leak it.
        let _ = unsafe { munmap(self.base.as_ptr(), self.size) };
    }
}

/// What the spawner thread is asked to do.
struct Job {
    args: CloneArgs,
    frame: *mut Frame,
    reply: SyncSender<io::Result<u32>>,
}

// SAFETY: the frame is used by the child only; its owner waits for the reply and then for the child.
unsafe impl Send for Job {}

/// Asks the spawner thread for a child; starts the thread if this process has none yet.
fn request(args: CloneArgs, frame: *mut Frame) -> io::Result<u32> {
    // With the number of its process: a fork of this program has the channel, but not the thread.
    static SPAWNER: Mutex<Option<(u32, Sender<Job>)>> = Mutex::new(None);
    let (reply, answer) = sync_channel(1);
    let gone = |_| io::Error::other("the thread that starts processes is gone");
    {
        let mut spawner = SPAWNER.lock().unwrap_or_else(PoisonError::into_inner);
        let process = std::process::id();
        let sender = match &*spawner {
            Some((owner, sender)) if *owner == process => sender,
            _ => {
                let (sender, jobs) = channel();
                thread::Builder::new()
                    .name("plywood-spawn".into())
                    .stack_size(4 * STACK)
                    .spawn(|| spawner_loop(jobs))?;
                &spawner.insert((process, sender)).1
            }
        };
        sender.send(Job { args, frame, reply }).map_err(|_| gone(()))?;
    }
    answer.recv().map_err(|_| gone(()))?
}

fn spawner_loop(jobs: Receiver<Job>) {
    block_signals();
    for job in jobs {
        // SAFETY: the job's owner keeps stack, frame and words until the child is gone; the arguments ask for CLONE_VM.
        let result = unsafe { clone(&job.args, job.frame) };
        let result = match i64::try_from(result) {
            Ok(pid) => Ok(pid as u32),
            Err(_) => Err(io::Error::from_raw_os_error(result.wrapping_neg() as i32)),
        };
        // The owner waits for it.
        let _ = job.reply.send(result);
    }
}

/// Blocks every signal in the calling thread; its children begin with them blocked.
fn block_signals() {
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: fills the set.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: the set is filled; the old one is not asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), std::ptr::null_mut()) };
}

/// Lets a process of one id be one in a user namespace it has made: writes its maps.
#[doc(alias = "uid_map")]
pub(crate) fn map_single(pid: u32, uid: u32, gid: u32) -> io::Result<()> {
    let write = |name: &str, text: String| {
        let mut file = File::options().write(true).open(format!("/proc/{pid}/{name}"))?;
        io::Write::write_all(&mut file, text.as_bytes())
    };
    // A group map needs it: dropping a group could otherwise open what its members are denied.
    write("setgroups", "deny".into())?;
    let [groups, users] = single_maps(uid, gid);
    write("gid_map", groups)?;
    write("uid_map", users)
}

/// `gid_map` and `uid_map` of a user namespace in which this user is `uid` and `gid`.
pub(crate) fn single_maps(uid: u32, gid: u32) -> [String; 2] {
    let (own_uid, own_gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    [format!("{gid} {own_gid} 1"), format!("{uid} {own_uid} 1")]
}

#[cfg(test)]
pub(crate) mod heap;
#[cfg(test)]
mod tests;
