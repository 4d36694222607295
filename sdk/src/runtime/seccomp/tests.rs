#![allow(clippy::unwrap_used)]
use super::*;
use crate::sys::seccomp::tests::run;
use crate::sys::seccomp::{Architecture, number};

const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;
const KILL: u32 = 0x8000_0000;
const LOG: u32 = 0x7ffc_0000;

/// `AUDIT_ARCH_*` of this machine and of its programs of 32 bits.
const AUDIT: [u32; 2] =
    if cfg!(target_arch = "aarch64") { [0xc000_00b7, 0x4000_0028] } else { [0xc000_003e, 0x4000_0003] };
const COMPATIBLE: Architecture = if cfg!(target_arch = "aarch64") { Architecture::Arm } else { Architecture::X86 };

fn filter(profile: &SeccompProfile, capabilities: CapabilitySet) -> Arc<[u8]> {
    profile.filter(capabilities).unwrap().unwrap().program
}

fn answer(program: &[u8], name: &str, first: u64) -> u32 {
    let number = number(Architecture::NATIVE, name).unwrap();
    run(program, AUDIT[0], number, [first, 0, 0, 0, 0, 0])
}

#[test]
fn the_default_profile_is_dockers() {
    let program = filter(&SeccompProfile::Default, CapabilitySet::CONTAINER);
    for (expected, names) in [
        (ALLOW, "read execve openat2 socketpair futex futex_waitv memfd_create seccomp ptrace process_vm_readv prctl"),
        (ALLOW, "capset setgroups setresuid chroot io_setup name_to_handle_at landlock_restrict_self pidfd_open mseal"),
        (EPERM, "add_key keyctl request_key io_uring_setup io_uring_enter io_uring_register userfaultfd kexec_load"),
        (EPERM, "move_pages migrate_pages swapon swapoff pivot_root bpf perf_event_open mount umount2 move_mount"),
        (
            EPERM,
            "open_tree fsopen fsconfig fsmount fspick mount_setattr unshare setns sethostname setdomainname syslog",
        ),
        (EPERM, "reboot init_module finit_module delete_module acct kcmp pidfd_getfd process_madvise settimeofday"),
        (EPERM, "clock_settime vhangup mbind set_mempolicy get_mempolicy open_by_handle_at quotactl fanotify_init"),
        (ENOSYS, "clone3"),
    ] {
        for name in names.split(' ') {
            assert_eq!(answer(&program, name, 0), expected, "{name}");
        }
    }
    assert_eq!(run(&program, AUDIT[0], 470, [0; 6]), ENOSYS, "what came after this was written");
    assert_eq!(run(&program, 0xc000_0015, 0, [0; 6]), KILL, "another machine");
}

#[test]
fn arguments_decide_about_clone_socket_and_personality() {
    let program = filter(&SeccompProfile::Default, CapabilitySet::CONTAINER);
    let flags = |flag: i32| u64::from(flag as u32);
    for (name, first, expected) in [
        ("clone", flags(libc::SIGCHLD), ALLOW),
        ("clone", flags(libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD), ALLOW),
        ("clone", flags(libc::CLONE_NEWUSER), EPERM),
        ("clone", flags(libc::CLONE_NEWNS | libc::SIGCHLD), EPERM),
        ("clone", flags(libc::CLONE_NEWCGROUP), EPERM),
        ("socket", flags(libc::AF_UNIX), ALLOW),
        ("socket", flags(libc::AF_NETLINK), ALLOW),
        ("socket", flags(libc::AF_ALG), EPERM),
        ("socket", 39, ALLOW),
        ("socket", flags(libc::AF_VSOCK), EPERM),
        ("socket", 41, ALLOW),
        // The kernel looks at the lower half only.
        ("socket", 1 << 32 | flags(libc::AF_ALG), EPERM),
        ("socket", 1 << 32 | flags(libc::AF_VSOCK), EPERM),
        ("personality", 0, ALLOW),
        ("personality", 0x2_0008, ALLOW),
        ("personality", 0xffff_ffff, ALLOW),
        ("personality", 0x40000, EPERM),
    ] {
        assert_eq!(answer(&program, name, first), expected, "{name} {first:#x}");
    }
}

#[test]
fn a_capability_brings_its_calls() {
    let set = |name| CapabilitySet::named(name).unwrap();
    for (capability, names) in [
        ("SYS_ADMIN", "mount unshare setns clone3 bpf perf_event_open syslog"),
        ("SYS_BOOT", "reboot"),
        ("SYS_MODULE", "init_module"),
        ("SYS_PTRACE", "kcmp pidfd_getfd"),
        ("SYS_TIME", "settimeofday clock_settime"),
        ("SYS_NICE", "mbind"),
        ("SYSLOG", "syslog"),
        ("BPF", "bpf"),
        ("DAC_READ_SEARCH", "open_by_handle_at"),
    ] {
        let program = filter(&SeccompProfile::Default, set(capability));
        for name in names.split(' ') {
            assert_eq!(answer(&program, name, 0), ALLOW, "{capability} {name}");
        }
        assert_eq!(answer(&program, "chroot", 0), EPERM, "SYS_CHROOT is not in {capability}");
    }
    let program = filter(&SeccompProfile::Default, set("SYS_ADMIN"));
    assert_eq!(answer(&program, "clone", 0x1000_0000), ALLOW);
}

#[test]
fn programs_of_32_bits_have_the_same_rules_under_their_own_numbers() {
    let program = filter(&SeccompProfile::Default, CapabilitySet::CONTAINER);
    for (name, first, expected) in [
        ("read", 0, ALLOW),
        ("mount", 0, EPERM),
        ("keyctl", 0, EPERM),
        ("clone3", 0, ENOSYS),
        ("clone", 0x1000_0000, EPERM),
        ("socket", 38, EPERM),
        ("clock_gettime64", 0, ALLOW),
    ] {
        let number = number(COMPATIBLE, name).unwrap();
        assert_eq!(run(&program, AUDIT[1], number, [first, 0, 0, 0, 0, 0]), expected, "{name}");
    }
    assert_eq!(run(&program, AUDIT[1], 470, [0; 6]), ENOSYS);
    if Architecture::NATIVE == Architecture::X86_64 {
        let x32 = |name| run(&program, AUDIT[0], number(Architecture::X32, name).unwrap(), [0; 6]);
        assert_eq!([x32("read"), x32("keyctl"), x32("clone3")], [ALLOW, EPERM, ENOSYS]);
    }
}

#[test]
fn a_filter_is_short_and_compiled_once() {
    let first = filter(&SeccompProfile::Default, CapabilitySet::CONTAINER);
    assert!((100..700).contains(&(first.len() / 8)), "{} instructions", first.len() / 8);
    assert!(Arc::ptr_eq(&first, &filter(&SeccompProfile::Default, CapabilitySet::CONTAINER)));
    assert_eq!(SeccompProfile::Unconfined.filter(CapabilitySet::ALL).unwrap(), None);
}

#[test]
fn a_profile_of_the_user_has_dockers_format() {
    let native = if cfg!(target_arch = "aarch64") { "AARCH64" } else { "X86_64" };
    let go = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let text = r#"{
        "defaultAction": "SCMP_ACT_ALLOW",
        "archMap": [{"architecture": "SCMP_ARCH_S390X"}, {"architecture": "SCMP_ARCH_NATIVE", "subArchitectures": null}],
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "syscalls": [
            {"name": "mkdirat", "action": "SCMP_ACT_ERRNO"},
            {"names": ["unlinkat", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
            {"names": ["chdir"], "action": "SCMP_ACT_ERRNO", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["fchdir"], "action": "SCMP_ACT_ERRNO", "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["dup"], "action": "SCMP_ACT_LOG", "includes": {"arches": ["ARCH"], "minKernel": "4.8"}},
            {"names": ["dup3"], "action": "SCMP_ACT_LOG", "includes": {"arches": ["s390x"]}},
            {"names": ["pipe2"], "action": "SCMP_ACT_LOG", "includes": {"minKernel": "99.0"}},
            {"names": ["kill"], "action": "SCMP_ACT_KILL_PROCESS",
             "args": [{"index": 0, "value": 4294967296, "op": "SCMP_CMP_GE"}]},
            {"names": ["tkill"], "action": "SCMP_ACT_ERRNO",
             "args": [{"index": 0, "value": 7, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 9, "op": "SCMP_CMP_EQ"}]}
        ]
    }"#;
    let text = text.replace("NATIVE", native).replace("\"ARCH\"", &format!("{go:?}"));
    let profile = SeccompProfile::custom(text).unwrap();
    let compiled = profile.filter(CapabilitySet::CONTAINER).unwrap().unwrap();
    assert_eq!(compiled.flags, crate::sys::seccomp::FLAG_LOG);
    let program = compiled.program;
    for (name, first, expected) in [
        ("mkdirat", 0, EPERM),
        ("unlinkat", 0, ENOSYS),
        ("chdir", 0, ALLOW),
        ("fchdir", 0, EPERM),
        ("dup", 0, LOG),
        ("dup3", 0, ALLOW),
        ("pipe2", 0, ALLOW),
        ("kill", 4_294_967_295, ALLOW),
        ("kill", 4_294_967_296, KILL),
        ("tkill", 7, EPERM),
        ("tkill", 8, ALLOW),
        ("tkill", 9, EPERM),
    ] {
        assert_eq!(answer(&program, name, first), expected, "{name} {first}");
    }
    assert_eq!(run(&program, AUDIT[0], 470, [0; 6]), ALLOW, "what is unknown is allowed if all is");
    assert_eq!(run(&program, AUDIT[1], 3, [0; 6]), KILL, "another architecture that is not named");
    assert_eq!(SeccompProfile::custom("{}").unwrap().filter(CapabilitySet::ALL).unwrap(), None);
}

#[test]
fn a_profile_that_cannot_be_used_says_why() {
    let rule = |rule: &str| format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{rule}]}}"#);
    for (text, kind, words) in [
        ("{".to_owned(), ErrorKind::InvalidArgument, "EOF while parsing"),
        (r#"{"defaultAction": "ALLOW"}"#.into(), ErrorKind::InvalidArgument, r#"unknown action "ALLOW""#),
        (rule(r#"{"name": "a", "names": ["b"], "action": "SCMP_ACT_LOG"}"#), ErrorKind::InvalidArgument, "says both"),
        (rule(r#"{"names": ["a"]}"#), ErrorKind::InvalidArgument, "missing field `action`"),
        (rule(r#"{"names": ["a"], "action": "SCMP_ACT_NOTIFY"}"#), ErrorKind::Unsupported, "SCMP_ACT_NOTIFY"),
        (
            rule(r#"{"names": ["a"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5000}"#),
            ErrorKind::InvalidArgument,
            "0 to 4095",
        ),
        (
            rule(
                r#"{"names": ["a"], "action": "SCMP_ACT_LOG", "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}"#,
            ),
            ErrorKind::InvalidArgument,
            "arguments 0 to 5",
        ),
        (
            rule(r#"{"names": ["a"], "action": "SCMP_ACT_LOG", "includes": {"minKernel": "new"}}"#),
            ErrorKind::InvalidArgument,
            "kernel version",
        ),
        (
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["A"], "archMap": [{"architecture": "B"}]}"#.into(),
            ErrorKind::InvalidArgument,
            "says both",
        ),
    ] {
        let error = SeccompProfile::custom(text.clone()).unwrap_err();
        assert_eq!(error.kind(), kind, "{text}");
        assert!(error.to_string().starts_with("use the seccomp profile: "), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}
