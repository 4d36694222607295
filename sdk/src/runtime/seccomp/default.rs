//! The default profile: Docker's, as of June 2026.
//!
//! What it does not name fails with `EPERM`. It leaves out keys, `io_uring`, `userfaultfd`, loading kernels and swapping;
//! whatever needs a capability of the host comes with that capability; and a container cannot make namespaces, neither
//! with `clone` nor with `clone3`, whose flags a filter cannot see: that one does not exist (`ENOSYS`), and C libraries
//! use the other instead.

use super::profile::{Group, Needs, Profile};
use crate::sys::seccomp::{Comparison, Condition, Verdict, Width};

/// Allowed whatever its arguments and the capabilities are.
const ALWAYS: &str = "\
    accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown chown32 clock_adjtime \
    clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep \
    clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3 epoll_create \
    epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 \
    execve execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir \
    fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork \
    fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex \
    futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat getcpu getcwd getdents getdents64 \
    getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid \
    getpgrp getpid getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit \
    get_robust_list getrusage getsid getsockname getsockopt get_thread_area gettid gettimeofday getuid getuid32 \
    getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel ioctl io_destroy \
    io_getevents io_pgetevents io_pgetevents_time64 ioprio_get ioprio_set io_setup io_submit ipc kill \
    landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link linkat listen \
    listmount listxattr listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 madvise \
    map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 \
    mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 \
    mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall \
    munmap name_to_handle_at nanosleep newfstatat _newselect open openat openat2 pause pidfd_open \
    pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv \
    preadv2 prlimit64 process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead readlink \
    readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat \
    rename renameat renameat2 restart_syscall riscv_hwprobe rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask \
    rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo \
    sched_getaffinity sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min \
    sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr \
    sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop semtimedop_time64 \
    send sendfile sendfile64 sendmmsg sendmsg sendto setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 \
    setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid \
    setresuid32 setreuid setreuid32 setrlimit set_robust_list setsid setsockopt set_thread_area set_tid_address \
    setuid setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 \
    sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs statfs64 statmount statx symlink \
    symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun \
    timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 \
    timerfd_settime timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat \
    uretprobe utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev";

/// Allowed with a capability.
const WITH_CAPABILITY: &[(&str, &str)] = &[
    ("DAC_READ_SEARCH", "open_by_handle_at"),
    (
        "SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr \
         lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl \
         quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
    ),
    ("SYS_BOOT", "reboot"),
    ("SYS_CHROOT", "chroot"),
    ("SYS_MODULE", "delete_module init_module finit_module"),
    ("SYS_PACCT", "acct"),
    ("SYS_PTRACE", "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"),
    ("SYS_RAWIO", "iopl ioperm"),
    ("SYS_TIME", "settimeofday stime clock_settime clock_settime64"),
    ("SYS_TTY_CONFIG", "vhangup"),
    ("SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    ("SYSLOG", "syslog"),
    ("BPF", "bpf"),
    ("PERFMON", "perf_event_open"),
];

/// Allowed on an architecture, in the words of Go.
const ON_ARCHITECTURE: &[(&[&str], &str)] = &[
    (&["arm64"], "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls"),
    (&["amd64"], "arch_prctl modify_ldt"),
];

/// `CLONE_NEW*`: the bits of `clone` that make namespaces.
const NAMESPACES: u64 = 0x7e02_0000;

/// `PER_LINUX`, `PER_LINUX32`, both with `UNAME26`, and the question for the current one.
const PERSONALITIES: [u64; 5] = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// Families of sockets that are refused: the kernel's cryptography and the hypervisor's network. Between them is one that
/// is allowed.
const AF_ALG: u64 = 38;
const AF_VSOCK: u64 = 40;

/// The profile, before capabilities and architecture are known.
pub(super) fn profile() -> Profile {
    let admin = || Needs { capabilities: vec!["SYS_ADMIN".to_owned()], ..Needs::default() };
    let mut groups = vec![
        Group::allow(ALWAYS),
        Group {
            includes: Needs { minimum_kernel: Some((4, 8)), ..Needs::default() },
            // Since then a tracer cannot change the number of a call behind the filter's back.
            ..Group::allow("process_vm_readv process_vm_writev ptrace")
        },
    ];
    let (below, between, above) = (Comparison::Less, Comparison::Equal, Comparison::Greater);
    for (comparison, value) in [(below, AF_ALG), (between, AF_ALG + 1), (above, AF_VSOCK)] {
        groups.push(Group { conditions: vec![first(comparison, value)], ..Group::allow("socket") });
    }
    for personality in PERSONALITIES {
        let same = first(Comparison::Equal, personality);
        groups.push(Group { conditions: vec![same], ..Group::allow("personality") });
    }
    for (architectures, names) in ON_ARCHITECTURE {
        let architectures = architectures.iter().map(|name| (*name).to_owned()).collect();
        groups.push(Group { includes: Needs { architectures, ..Needs::default() }, ..Group::allow(names) });
    }
    for (capability, names) in WITH_CAPABILITY {
        let capabilities = vec![(*capability).to_owned()];
        groups.push(Group { includes: Needs { capabilities, ..Needs::default() }, ..Group::allow(names) });
    }
    let no_namespaces = first(Comparison::Masked(NAMESPACES), 0);
    groups.push(Group { conditions: vec![no_namespaces], excludes: admin(), ..Group::allow("clone") });
    let missing = Verdict::Errno(libc::ENOSYS as u16);
    groups.push(Group { verdict: missing, excludes: admin(), ..Group::allow("clone3") });
    let default = Verdict::Errno(libc::EPERM as u16);
    Profile { default, architectures: Profile::native_family(), flags: 0, groups }
}

/// The first argument, of which these calls look at 32 bits. (Docker compares 64, and can be evaded with the upper half.)
fn first(comparison: Comparison, value: u64) -> Condition {
    Condition { argument: 0, comparison, value, width: Width::LowHalf }
}
