//! Watching a program's changes to the disk, call by call, and ending it before any of them, letting one fail, or doing
//! something else first.
//!
//! The program says itself where it begins to count: [`begin`] installs a seccomp filter that reports each call which
//! may change a disk, a mount or a process to its tracer. Everything between two such calls looks the same to whoever
//! comes afterwards, so a death before each of them is a death at every instruction.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use crate::victim;

/// What an argument of a call names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    /// Nothing on a disk.
    Nothing,
    /// The file behind the descriptor in argument 0.
    Descriptor,
    /// The path in this argument, from the working directory.
    Path(usize),
    /// The path in the second argument, from the directory in the first.
    At(usize, usize),
    /// Two of the latter: from, to.
    Both((usize, usize), (usize, usize)),
}

/// The calls that are watched.
#[rustfmt::skip]
const CALLS: &[(i64, &str, Names)] = &[
    (libc::SYS_openat, "openat", Names::At(0, 1)),
    (libc::SYS_openat2, "openat2", Names::At(0, 1)),
    (libc::SYS_write, "write", Names::Descriptor),
    (libc::SYS_writev, "write", Names::Descriptor),
    (libc::SYS_pwrite64, "write", Names::Descriptor),
    (libc::SYS_pwritev, "write", Names::Descriptor),
    (libc::SYS_pwritev2, "write", Names::Descriptor),
    (libc::SYS_ftruncate, "write", Names::Descriptor),
    (libc::SYS_fallocate, "write", Names::Descriptor),
    (libc::SYS_sendfile, "write", Names::Descriptor),
    (libc::SYS_copy_file_range, "copy_file_range", Names::Nothing),
    (libc::SYS_splice, "splice", Names::Nothing),
    (libc::SYS_ioctl, "ioctl", Names::Descriptor),
    (libc::SYS_fsync, "fsync", Names::Descriptor),
    (libc::SYS_fdatasync, "fsync", Names::Descriptor),
    (libc::SYS_syncfs, "syncfs", Names::Descriptor),
    (libc::SYS_mkdirat, "mkdir", Names::At(0, 1)),
    (libc::SYS_mknodat, "mknod", Names::At(0, 1)),
    (libc::SYS_symlinkat, "symlink", Names::At(1, 2)),
    (libc::SYS_linkat, "link", Names::Both((0, 1), (2, 3))),
    (libc::SYS_renameat2, "rename", Names::Both((0, 1), (2, 3))),
    (libc::SYS_renameat, "rename", Names::Both((0, 1), (2, 3))),
    (libc::SYS_unlinkat, "unlink", Names::At(0, 1)),
    (libc::SYS_fchmod, "chmod", Names::Descriptor),
    (libc::SYS_fchmodat, "chmod", Names::At(0, 1)),
    (libc::SYS_fchown, "chown", Names::Descriptor),
    (libc::SYS_fchownat, "chown", Names::At(0, 1)),
    (libc::SYS_utimensat, "utimes", Names::At(0, 1)),
    (libc::SYS_setxattr, "setxattr", Names::Path(0)),
    (libc::SYS_lsetxattr, "setxattr", Names::Path(0)),
    (libc::SYS_fsetxattr, "setxattr", Names::Descriptor),
    (libc::SYS_removexattr, "setxattr", Names::Path(0)),
    (libc::SYS_mount, "mount", Names::Nothing),
    (libc::SYS_umount2, "umount", Names::Path(0)),
    (libc::SYS_move_mount, "mount", Names::Nothing),
    (libc::SYS_clone, "clone", Names::Nothing),
    (libc::SYS_clone3, "clone", Names::Nothing),
    (libc::SYS_execve, "exec", Names::Nothing),
    (libc::SYS_execveat, "exec", Names::Nothing),
];

/// The forms that newer architectures have left out.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const OLD_CALLS: &[(i64, &str, Names)] = &[
    (libc::SYS_open, "openat", Names::Path(0)),
    (libc::SYS_creat, "openat", Names::Path(0)),
    (libc::SYS_mkdir, "mkdir", Names::Path(0)),
    (libc::SYS_rmdir, "unlink", Names::Path(0)),
    (libc::SYS_unlink, "unlink", Names::Path(0)),
    (libc::SYS_rename, "rename", Names::Both((CWD, 0), (CWD, 1))),
    (libc::SYS_link, "link", Names::Both((CWD, 0), (CWD, 1))),
    (libc::SYS_symlink, "symlink", Names::Path(1)),
    (libc::SYS_chmod, "chmod", Names::Path(0)),
    (libc::SYS_chown, "chown", Names::Path(0)),
    (libc::SYS_lchown, "chown", Names::Path(0)),
    (libc::SYS_vfork, "clone", Names::Nothing),
    (libc::SYS_fork, "clone", Names::Nothing),
];
#[cfg(not(target_arch = "x86_64"))]
const OLD_CALLS: &[(i64, &str, Names)] = &[];

/// Stands for a directory argument that a call does not have: the working directory.
const CWD: usize = usize::MAX;

/// The file that a victim waits for before it begins.
const GATE: &str = "gate";
/// Its standard error.
const ERRORS: &str = "errors";

/// A watched call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What it does: `write`, `rename`, `fsync`…
    pub name: &'static str,
    /// What it does it to: one path, or from and to; empty where that is no file.
    pub paths: Vec<PathBuf>,
}

/// What befalls a victim at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is killed with all of its children before the call.
    Kill,
    /// The call is not made, and fails with this error.
    Fail(Errno),
    /// All of it that comes to the call stands still until something else is done: see [`meet`].
    Wait,
}

/// What became of a victim.
#[derive(Debug)]
pub struct Trace {
    /// The calls before its end, those of its children among them.
    pub calls: Vec<Call>,
    /// Whether it came to its own end, and its test passed.
    pub finished: bool,
    /// What it wrote to standard error: where it panicked, for one.
    pub errors: String,
}

/// In the victim: waits until it is watched. From the return on each call counts, of all threads and of all children.
///
/// # Panics
/// If the host lets no filter in.
pub fn begin(directory: &Path) {
    victim::tell("ready");
    File::open(directory.join(GATE)).and_then(|gate| gate.lock()).unwrap_or_else(|error| panic!("{error}"));
    seccompiler::apply_filter_all_threads(&filter()).unwrap_or_else(|error| panic!("{error}"));
}

/// Runs the test `name` of this program as a victim. At its call of this number, counted from 0, its fate is done.
///
/// # Panics
/// If it cannot be watched.
pub fn run(name: &str, directory: &Path, at: Option<(usize, Fate)>) -> Trace {
    watch(name, directory, at, &mut || ())
}

/// The same; before its call of this number something is done by the caller. Threads that make no such call go on.
///
/// # Panics
/// If it cannot be watched.
pub fn meet(name: &str, directory: &Path, at: usize, mut meanwhile: impl FnMut()) -> Trace {
    watch(name, directory, Some((at, Fate::Wait)), &mut meanwhile)
}

// It is waited for by the tracer, like everything it starts.
#[allow(clippy::zombie_processes)]
fn watch(name: &str, directory: &Path, at: Option<(usize, Fate)>, meanwhile: &mut dyn FnMut()) -> Trace {
    let errors = directory.join(ERRORS);
    let gate = File::create(directory.join(GATE)).unwrap_or_else(|error| panic!("{error}"));
    gate.lock().unwrap_or_else(|error| panic!("{error}"));
    let mut child = Command::new(std::env::current_exe().unwrap_or_else(|error| panic!("{error}")))
        .args([name, "--exact", "--nocapture"])
        .env(victim::VARIABLE, directory)
        .env("TMPDIR", directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(&errors).unwrap_or_else(|error| panic!("{error}")))
        .spawn()
        .unwrap_or_else(|error| panic!("{error}"));
    let main = Pid::from_raw(child.id().cast_signed());
    let mut lines = BufReader::new(child.stdout.take().unwrap_or_else(|| panic!("no pipe")));
    let mut line = String::new();
    while !line.ends_with("ready\n") {
        line.clear();
        assert!(lines.read_line(&mut line).is_ok_and(|length| length > 0), "the victim ended before it began");
    }
    let mut tracer =
        Tracer { main, known: BTreeSet::new(), at, meanwhile, calls: Vec::new(), killed: false, finished: false };
    tracer.seize();
    drop(gate);
    while tracer.step() {}
    let errors = fs::read_to_string(errors).unwrap_or_else(|error| panic!("{error}"));
    Trace { calls: tracer.calls, finished: tracer.finished, errors }
}

fn filter() -> BpfProgram {
    let create = u64::from(libc::O_CREAT.cast_unsigned());
    let if_made = |argument| {
        let condition =
            SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(create), create);
        vec![
            condition.and_then(|condition| SeccompRule::new(vec![condition])).unwrap_or_else(|error| panic!("{error}")),
        ]
    };
    let rules: BTreeMap<i64, Vec<SeccompRule>> = CALLS
        .iter()
        .chain(OLD_CALLS)
        .map(|(number, name, names)| match (*name, names) {
            ("openat", Names::At(..)) => (*number, if_made(2)),
            ("openat", _) => (*number, if_made(1)),
            _ => (*number, Vec::new()),
        })
        .collect();
    let architecture = std::env::consts::ARCH.try_into().unwrap_or_else(|error| panic!("{error}"));
    SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Trace(0), architecture)
        .and_then(TryInto::try_into)
        .unwrap_or_else(|error| panic!("{error}"))
}

struct Tracer<'a> {
    main: Pid,
    /// Every process and thread that was seen.
    known: BTreeSet<Pid>,
    at: Option<(usize, Fate)>,
    meanwhile: &'a mut dyn FnMut(),
    calls: Vec<Call>,
    killed: bool,
    finished: bool,
}

impl Tracer<'_> {
    fn seize(&mut self) {
        let options = Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACESECCOMP
            | Options::PTRACE_O_EXITKILL;
        for entry in fs::read_dir(format!("/proc/{}/task", self.main)).into_iter().flatten().flatten() {
            let thread = entry.file_name().to_str().and_then(|name| name.parse().ok()).map(Pid::from_raw);
            let thread = thread.unwrap_or_else(|| panic!("{entry:?}"));
            ptrace::seize(thread, options).unwrap_or_else(|error| panic!("trace {thread}: {error}"));
            self.known.insert(thread);
        }
    }

    /// Handles one event; gives whether there may be more.
    fn step(&mut self) -> bool {
        // Other threads of this program trace victims of their own.
        let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        let (pid, signal) = match waitpid(None, Some(flags)) {
            Err(Errno::EINTR) => return true,
            Err(_) => return false,
            Ok(WaitStatus::Exited(pid, code)) => {
                self.finished |= pid == self.main && code == 0;
                return true;
            }
            Ok(WaitStatus::PtraceEvent(pid, _, event)) => {
                if event == libc::PTRACE_EVENT_SECCOMP && !self.killed {
                    self.count(pid);
                }
                // The others tell of a new process, or of one that stands still: it goes on.
                (pid, None)
            }
            Ok(WaitStatus::Stopped(pid, signal)) => (pid, Some(signal)),
            Ok(_) => return true,
        };
        self.known.insert(pid);
        if self.killed {
            let _ = kill(pid, Signal::SIGKILL);
        }
        // It may be dead already.
        let _ = ptrace::cont(pid, signal);
        true
    }

    fn count(&mut self, pid: Pid) {
        let Some(call) = read_call(pid) else { return };
        match self.at {
            Some((at, Fate::Kill)) if at == self.calls.len() => {
                self.killed = true;
                for pid in &self.known {
                    let _ = kill(*pid, Signal::SIGKILL);
                }
                return;
            }
            Some((at, Fate::Fail(error))) if at == self.calls.len() => fail(pid, error),
            Some((at, Fate::Wait)) if at == self.calls.len() => (self.meanwhile)(),
            _ => {}
        }
        self.calls.push(call);
    }
}

/// Lets the call that a process is about to make fail: it becomes none, and the error its result.
#[cfg(target_arch = "x86_64")]
fn fail(pid: Pid, error: Errno) {
    let mut registers = ptrace::getregs(pid).unwrap_or_else(|error| panic!("{error}"));
    registers.orig_rax = u64::MAX;
    registers.rax = i64::from(-(error as i32)).cast_unsigned();
    ptrace::setregs(pid, registers).unwrap_or_else(|error| panic!("{error}"));
}

#[cfg(not(target_arch = "x86_64"))]
fn fail(_: Pid, _: Errno) {
    panic!("letting calls fail is written for x86_64 only");
}

/// The call that a process is about to make; `None` if it changes nothing.
fn read_call(pid: Pid) -> Option<Call> {
    let text = fs::read_to_string(format!("/proc/{pid}/syscall")).ok()?;
    let mut fields = text.split_whitespace();
    let number: i64 = fields.next()?.parse().ok()?;
    let arguments: Vec<u64> =
        fields.filter_map(|field| u64::from_str_radix(field.trim_start_matches("0x"), 16).ok()).collect();
    let (_, name, names) = CALLS.iter().chain(OLD_CALLS).find(|(known, ..)| *known == number)?;
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    if *name == "openat2" {
        // open_how(2type): the flags come first.
        let mut flags = [0; 8];
        memory.read_exact_at(&mut flags, arguments[2]).ok()?;
        if u64::from_ne_bytes(flags) & u64::from(libc::O_CREAT.cast_unsigned()) == 0 {
            return None;
        }
    }
    let link = |name: &str| fs::read_link(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let descriptor = |argument: usize| match arguments.get(argument) {
        // The kernel takes an int: AT_FDCWD is -100.
        Some(fd) if (*fd as u32).cast_signed() >= 0 => link(&format!("fd/{}", *fd as u32)),
        _ => link("cwd"),
    };
    let path = |argument: usize| {
        let mut bytes = vec![0; 4096];
        let length = memory.read_at(&mut bytes, arguments[argument]).unwrap_or_default();
        bytes.truncate(bytes[..length].iter().position(|byte| *byte == 0).unwrap_or(length));
        PathBuf::from(String::from_utf8_lossy(&bytes).into_owned())
    };
    let at = |(directory, name): (usize, usize)| descriptor(directory).join(path(name));
    let paths = match *names {
        Names::Nothing => Vec::new(),
        Names::Descriptor => vec![descriptor(0)],
        Names::Path(argument) => vec![at((CWD, argument))],
        Names::At(directory, name) => vec![at((directory, name))],
        Names::Both(from, to) => vec![at(from), at(to)],
    };
    let name = if *name == "openat2" { "openat" } else { name };
    Some(Call { name, paths })
}
