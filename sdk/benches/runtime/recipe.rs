//! What the kernel alone takes: the system calls of a fully isolated container, with nothing around them.
//!
//! One child by `clone(CLONE_VM | CLONE_VFORK)` with all namespaces, an overlay of one layer, `/proc`, `/sys`, `/dev` and
//! what is below it, masked paths, `pivot_root`, capabilities, and exec. No files of a store, no log, no supervisor, no
//! seccomp filter: a lower bound to compare with, and no container to use.
//!
//! # Safety
//! The child runs in the memory of this process while the thread that made it waits (`CLONE_VFORK`). It makes system
//! calls only and leaves by exec or `_exit`.
#![allow(unsafe_code)]

use std::cell::{Cell, UnsafeCell};
use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use libc::{c_char, c_int, c_long, c_void};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

const OPEN_TREE_CLONE: u32 = 1;
const MOVE_MOUNT_EMPTY_PATHS: u32 = 0x4 | 0x40;
const FSCONFIG_SET_STRING: u32 = 1;
const FSCONFIG_CMD_CREATE: u32 = 6;
const READ_ONLY: u64 = 1;
const CLOSED: u64 = 2 | 4 | 8;

/// Everything the child needs, made before it exists.
#[derive(Debug)]
pub struct Recipe {
    lower: CString,
    upper: CString,
    work: CString,
    program: CString,
    own_network: bool,
    stack: Stack,
}

impl Recipe {
    /// An overlay over `lower`, with `upper` and `work` beside each other, that runs `program`.
    pub fn new(lower: &Path, upper: &Path, work: &Path, program: &str, own_network: bool) -> Self {
        let text = |path: &Path| CString::new(path.as_os_str().as_bytes()).expect("a path without NUL");
        let program = CString::new(program).expect("a path without NUL");
        Self { lower: text(lower), upper: text(upper), work: text(work), program, own_network, stack: Stack::new() }
    }

    /// From start to exit.
    pub fn run(&self) {
        let mut namespaces = libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
        if self.own_network {
            namespaces |= libc::CLONE_NEWNET;
        }
        // SAFETY: the child makes system calls only until its exec, while this thread waits.
        wait(unsafe { self.stack.vfork(Self::child, namespaces, self) });
        // A volatile overlay leaves a mark that forbids mounting it again.
        let mark = Path::new(std::ffi::OsStr::from_bytes(self.work.as_bytes())).join("work");
        std::fs::remove_dir_all(mark).expect("the mark is there");
    }

    /// The child, from the first instruction to exec; the number of the step that failed is its exit code.
    extern "C" fn child(recipe: *mut c_void) -> i32 {
        // SAFETY: `Stack::vfork` passes the recipe, whose owner waits.
        unsafe { &*recipe.cast::<Self>() }.steps()
    }

    fn steps(&self) -> i32 {
        let mut step = 0;
        let here = libc::AT_FDCWD as u64;
        let text = |text: &'static std::ffi::CStr| text.as_ptr() as u64;
        macro_rules! must {
            ($number:expr, $($argument:expr),*) => {{
                step += 1;
                let result = call($number, &[$($argument),*]);
                if result < 0 { return step; }
                result as u64
            }};
        }
        macro_rules! file_system {
            ($kind:expr, $attributes:expr $(, $key:expr => $value:expr)* $(; $flag:expr)?) => {{
                let context = must!(libc::SYS_fsopen, text($kind), 1);
                $( must!(libc::SYS_fsconfig, context, 0, text($flag), 0, 0); )?
                $( must!(libc::SYS_fsconfig, context, FSCONFIG_SET_STRING as u64, text($key), $value, 0); )*
                must!(libc::SYS_fsconfig, context, FSCONFIG_CMD_CREATE as u64, 0, 0, 0);
                let mount = must!(libc::SYS_fsmount, context, 1, $attributes);
                must!(libc::SYS_close, context);
                mount
            }};
        }
        macro_rules! attach {
            ($mount:expr, $root:expr, $path:expr) => {{
                let target = must!(libc::SYS_openat, $root, text($path), libc::O_PATH as u64);
                must!(libc::SYS_move_mount, $mount, text(c""), target, text(c""), MOVE_MOUNT_EMPTY_PATHS as u64);
                must!(libc::SYS_close, target);
            }};
        }
        must!(libc::SYS_prctl, libc::PR_SET_PDEATHSIG as u64, libc::SIGKILL as u64);
        must!(libc::SYS_setsid,);
        if self.own_network {
            let socket = must!(libc::SYS_socket, libc::AF_INET as u64, libc::SOCK_DGRAM as u64, 0);
            let request = [u64::from_ne_bytes(*b"lo\0\0\0\0\0\0"), 0, 0x41, 0, 0];
            must!(libc::SYS_ioctl, socket, 0x8914, request.as_ptr() as u64);
        }
        must!(libc::SYS_unshare, libc::CLONE_NEWCGROUP as u64);
        must!(libc::SYS_mount, 0, text(c"/"), 0, libc::MS_REC | libc::MS_PRIVATE, 0);
        let root = file_system!(c"overlay", 0,
            c"lowerdir+" => self.lower.as_ptr() as u64, c"upperdir" => self.upper.as_ptr() as u64,
            c"workdir" => self.work.as_ptr() as u64; c"volatile");
        must!(libc::SYS_move_mount, root, text(c""), here, text(c"/"), 0x4);
        let proc = file_system!(c"proc", CLOSED);
        attach!(proc, root, c"proc");
        if self.own_network {
            let sys = file_system!(c"sysfs", CLOSED | READ_ONLY);
            attach!(sys, root, c"sys");
        } else {
            let sys = must!(libc::SYS_open_tree, here, text(c"/sys"), (OPEN_TREE_CLONE | 0x8000) as u64);
            attach!(sys, root, c"sys");
        }
        let dev = file_system!(c"tmpfs", 2, c"mode" => text(c"755"));
        for name in [c"pts", c"shm", c"mqueue"] {
            must!(libc::SYS_mkdirat, dev, text(name), 0o755);
        }
        for (name, minor) in [(c"null", 3), (c"zero", 5), (c"full", 7), (c"random", 8), (c"urandom", 9)] {
            must!(libc::SYS_mknodat, dev, text(name), (libc::S_IFCHR | 0o666) as u64, 1 << 8 | minor);
        }
        for (name, target) in
            [(c"fd", c"/proc/self/fd"), (c"stdin", c"/proc/self/fd/0"), (c"stdout", c"/proc/self/fd/1")]
        {
            must!(libc::SYS_symlinkat, text(target), dev, text(name));
        }
        attach!(dev, root, c"dev");
        let pts = file_system!(c"devpts", CLOSED, c"ptmxmode" => text(c"0666"));
        attach!(pts, root, c"dev/pts");
        let empty = file_system!(c"tmpfs", CLOSED | READ_ONLY);
        for path in [c"proc/acpi", c"proc/scsi", c"sys/firmware"] {
            let target = call(libc::SYS_openat, &[root, text(path), libc::O_PATH as u64]);
            if target >= 0 {
                let copy = must!(libc::SYS_open_tree, empty, text(c""), (OPEN_TREE_CLONE | 0x1000) as u64);
                let flags = MOVE_MOUNT_EMPTY_PATHS as u64;
                must!(libc::SYS_move_mount, copy, text(c""), target as u64, text(c""), flags);
            }
        }
        for path in [c"proc/kcore", c"proc/keys", c"proc/timer_list", c"proc/interrupts"] {
            let target = call(libc::SYS_openat, &[root, text(path), libc::O_PATH as u64]);
            if target >= 0 {
                let copy = must!(libc::SYS_open_tree, dev, text(c"null"), OPEN_TREE_CLONE as u64);
                let flags = MOVE_MOUNT_EMPTY_PATHS as u64;
                must!(libc::SYS_move_mount, copy, text(c""), target as u64, text(c""), flags);
            }
        }
        for path in [c"proc/bus", c"proc/fs", c"proc/irq", c"proc/sys", c"proc/sysrq-trigger"] {
            let target = call(libc::SYS_openat, &[root, text(path), libc::O_PATH as u64]);
            if target >= 0 {
                let target = target as u64;
                let copy = must!(libc::SYS_open_tree, target, text(c""), (OPEN_TREE_CLONE | 0x9000) as u64);
                let attributes = [READ_ONLY, 0, 0, 0];
                must!(libc::SYS_mount_setattr, copy, text(c""), 0x9000, attributes.as_ptr() as u64, 32);
                must!(libc::SYS_move_mount, copy, text(c""), target, text(c""), MOVE_MOUNT_EMPTY_PATHS as u64);
            }
        }
        let shm = file_system!(c"tmpfs", CLOSED, c"mode" => text(c"1777"));
        attach!(shm, root, c"dev/shm");
        let mqueue = file_system!(c"mqueue", CLOSED);
        attach!(mqueue, root, c"dev/mqueue");
        must!(libc::SYS_fchdir, root);
        must!(libc::SYS_pivot_root, text(c"."), text(c"."));
        must!(libc::SYS_umount2, text(c"."), libc::MNT_DETACH as u64);
        must!(libc::SYS_sethostname, text(c"bench"), 5);
        for capability in 11..41 {
            call(libc::SYS_prctl, &[libc::PR_CAPBSET_DROP as u64, capability]);
        }
        must!(libc::SYS_prctl, libc::PR_SET_NO_NEW_PRIVS as u64, 1, 0, 0, 0);
        must!(libc::SYS_close_range, 3, u64::from(u32::MAX), 0);
        let argv = [self.program.as_ptr(), std::ptr::null::<c_char>()];
        let envp = [std::ptr::null::<c_char>()];
        must!(libc::SYS_execve, self.program.as_ptr() as u64, argv.as_ptr() as u64, envp.as_ptr() as u64);
        step
    }
}

/// The least that starting `program` in a running container takes: a child that joins its namespaces, and a child of that
/// one, which is in its namespace of processes, and has nothing taken from it.
#[derive(Debug)]
pub struct Enter {
    container: OwnedFd,
    program: CString,
    stacks: [Stack; 2],
    /// The second child's number.
    second: Cell<c_int>,
}

impl Enter {
    /// The container whose first process has this number.
    pub fn new(pid: u32, program: &str) -> Self {
        let pid = Pid::from_raw(i32::try_from(pid).expect("a process number")).expect("a process number");
        let container = pidfd_open(pid, PidfdFlags::empty()).expect("it runs");
        let program = CString::new(program).expect("a path without NUL");
        Self { container, program, stacks: [Stack::new(), Stack::new()], second: Cell::new(0) }
    }

    /// From start to exit.
    pub fn run(&self) {
        // SAFETY: the child makes system calls only until it has left, while this thread waits.
        let first = unsafe { self.stacks[0].vfork(Self::join, 0, self) };
        wait(first);
        wait(self.second.get());
    }

    extern "C" fn join(enter: *mut c_void) -> i32 {
        // SAFETY: `Stack::vfork` passes it, whose owner waits.
        let enter = unsafe { &*enter.cast::<Self>() };
        let namespaces = libc::CLONE_NEWNS
            | libc::CLONE_NEWCGROUP
            | libc::CLONE_NEWUTS
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWNET;
        if call(libc::SYS_setns, &[enter.container.as_raw_fd() as u64, namespaces as u64]) < 0 {
            return 1;
        }
        // SAFETY: as in `run`.
        let second = unsafe { enter.stacks[1].vfork(Self::execute, libc::CLONE_PARENT, enter) };
        enter.second.set(second);
        i32::from(second < 0)
    }

    extern "C" fn execute(enter: *mut c_void) -> i32 {
        // SAFETY: `Stack::vfork` passes it, whose owner waits.
        let program = unsafe { &*enter.cast::<Self>() }.program.as_ptr();
        let (argv, envp) = ([program, std::ptr::null::<c_char>()], [std::ptr::null::<c_char>()]);
        call(libc::SYS_execve, &[program as u64, argv.as_ptr() as u64, envp.as_ptr() as u64]);
        1
    }
}

/// Waits for a child of ours, which must succeed.
fn wait(pid: c_int) {
    assert!(pid > 0, "clone: {}", std::io::Error::last_os_error());
    let mut status = 0;
    // SAFETY: our own child; `status` outlives the call.
    let waited = unsafe { libc::waitpid(pid, &mut status, 0) };
    assert_eq!(waited, pid, "waitpid: {}", std::io::Error::last_os_error());
    assert_eq!(libc::WEXITSTATUS(status), 0, "the child failed at step {}", libc::WEXITSTATUS(status));
}

/// One system call with up to five arguments; negative if it failed.
fn call(number: c_long, arguments: &[u64]) -> i64 {
    let argument = |at: usize| arguments.get(at).copied().unwrap_or(0);
    let [a, b, c, d, e] = [argument(0), argument(1), argument(2), argument(3), argument(4)];
    // SAFETY: every argument is a number, or the address of a string or struct that outlives the call.
    unsafe { libc::syscall(number, a, b, c, d, e) }
}

/// What a child that shares our memory runs on.
#[derive(Debug)]
struct Stack(UnsafeCell<Vec<u128>>);

impl Stack {
    fn new() -> Self {
        Self(UnsafeCell::new(vec![0; (256 << 10) / size_of::<u128>()]))
    }

    /// A child with these flags, in our memory, while this thread waits for its exec; what `child` returns is its exit
    /// code.
    ///
    /// # Safety
    /// `child` gets `argument`, and must leave the memory as it was. No other child may be on this stack.
    unsafe fn vfork<T>(&self, child: extern "C" fn(*mut c_void) -> i32, flags: c_int, argument: &T) -> c_int {
        // SAFETY: nothing else refers to the stack.
        let top = unsafe { &mut *self.0.get() }.as_mut_ptr_range().end.cast::<c_void>();
        let flags = flags | libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        // SAFETY: the stack outlives the child's use of this memory, which ends before the call returns.
        unsafe { libc::clone(child, top, flags, std::ptr::from_ref(argument).cast_mut().cast()) }
    }
}
