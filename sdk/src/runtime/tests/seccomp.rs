use super::support::*;
use crate::runtime::SeccompProfile;

/// I04: what calls 0 to 599 answer in a container, each with arguments of 0.
#[cfg(target_arch = "x86_64")]
mod every_call {
    use super::*;
    use crate::sys::seccomp::probe::{self, CALLS};

    /// Calls that fail with `EPERM`, by number, of x86_64, of programs of 32 bits and of x32.
    const DENIED: [(&str, &str); 3] = [
        ("native", include_str!("denied/x86_64.txt")),
        ("compatible", include_str!("denied/x86.txt")),
        ("x32", include_str!("denied/x32.txt")),
    ];

    /// `clone3`, which does not exist; and the first number that nobody knew.
    const CLONE3: usize = 435;
    const UNKNOWN: usize = 470;

    /// The kernel hands these to no filter: they are made by its own probes. (Linux 6.14, 6.18.)
    const UNFILTERED: [usize; 2] = [335, 336];

    fn results(way: &str, seccomp: SeccompProfile) -> Vec<i32> {
        let tree = Tree::new();
        std::fs::write(tree.path("lower/bin/probe"), probe::program()).unwrap();
        tree.make_executable("bin/probe");
        let mut bundle = tree.bundle(["/bin/probe", way]);
        bundle.process.seccomp = seccomp;
        let done = output_bytes(&bundle);
        let results: Vec<i32> = done.chunks_exact(4).map(|word| i32::from_ne_bytes(word.try_into().unwrap())).collect();
        assert_eq!(results.len(), CALLS);
        results
    }

    fn numbers(text: &str) -> Vec<usize> {
        let words = text.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_ascii_whitespace);
        let ranges = words.map(|word| word.split_once('-').unwrap_or((word, word)));
        ranges.flat_map(|(first, last)| first.parse().unwrap()..=last.parse::<usize>().unwrap()).collect()
    }

    /// Whether calls made this way are answered as these numbers are documented.
    fn check(way: &str, documented: &str) {
        let unfiltered = results(way, SeccompProfile::Unconfined);
        let results = results(way, SeccompProfile::Default);
        let denied = numbers(DENIED.iter().find(|(name, _)| *name == documented).unwrap().1);
        let filtered: Vec<usize> = (0..CALLS).filter(|number| !UNFILTERED.contains(number)).collect();
        for number in &filtered {
            let (found, refused) = (results[*number], denied.contains(number));
            match number {
                &CLONE3 => assert_eq!(found, -libc::ENOSYS, "{way}: clone3"),
                // The numbers of x32 from 512 on are known.
                UNKNOWN.. if way != "x32" => assert_eq!(found, -libc::ENOSYS, "{way}: call {number}"),
                _ if refused => assert_eq!(found, -libc::EPERM, "{way}: call {number}"),
                // What the kernel itself refuses.
                _ if unfiltered[*number] == -libc::EPERM => {}
                _ => assert_ne!(found, -libc::EPERM, "{way}: call {number}"),
            }
        }
    }

    #[test]
    fn i04_of_x86_64_answers_as_documented() {
        require_containers!();
        check("native", "native");
    }

    #[test]
    fn i04_of_a_program_of_32_bits_answers_as_documented() {
        require_containers!();
        // User-Mode Linux, where CI tries another kernel, has no other numbers than its own: by whatever instruction a
        // program calls it, the number counts as one of x86_64, for the call as for the filter.
        let has_one = std::fs::read_to_string("/proc/cpuinfo").unwrap().contains("User Mode Linux");
        check("compatible", if has_one { "native" } else { "compatible" });
    }

    #[test]
    fn i04_of_x32_answers_as_documented() {
        require_containers!();
        check("x32", "x32");
    }

    #[test]
    fn reaches_the_kernel_without_a_profile() {
        require_containers!();
        let results = results("native", SeccompProfile::Unconfined);
        // add_key and io_uring_setup complain about their arguments.
        assert_eq!([results[248], results[425]], [-libc::EFAULT, -libc::EFAULT]);
        assert_eq!(results[CLONE3], -libc::EINVAL);
    }
}

/// The lines of `/proc/self/status` about filters and privileges.
const STATUS: &str = "grep -E '^(Seccomp|NoNewPrivs)' /proc/self/status";

#[test]
fn every_process_is_filtered() {
    require_containers!();
    let tree = Tree::new();
    let expected = "NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n";
    assert_eq!(tree.shell(STATUS).stdout, filters_above(expected));
    let process = start_quiet(&tree.bundle(["sleep", "1000"])).unwrap();
    let done = exec_shell(&process, STATUS);
    assert_eq!(done.stdout, filters_above(expected), "{done:?}");
    process.signal(libc::SIGKILL).unwrap();
    let _ = process.wait();
}

/// With the filters that this program itself runs under.
fn filters_above(text: &str) -> String {
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("Seccomp_filters:")).unwrap_or("0");
    text.replace("filters:\t1", &format!("filters:\t{}", 1 + own.trim().parse::<u32>().unwrap()))
}

#[test]
fn a_filter_holds_where_new_privileges_are_allowed() {
    require_containers!();
    let tree = Tree::new();
    for uid in [0, 1000] {
        let mut bundle = tree.bundle(["sh", "-c", STATUS]);
        bundle.process.user.uid = uid;
        bundle.process.no_new_privileges = false;
        let done = output(&bundle).unwrap();
        assert_eq!(done.stdout, filters_above("NoNewPrivs:\t0\nSeccomp:\t2\nSeccomp_filters:\t1\n"), "{done:?}");
    }
}

/// I05, R8: nothing that begins an escape by namespaces of one's own.
#[test]
fn i05_r8_namespaces_can_neither_be_made_nor_joined() {
    require_containers!();
    let tree = Tree::new();
    let join = ["nsenter -t 1 -m true", "nsenter -t 1 -U true"];
    for attempt in ["unshare -U true", "unshare -m true", "unshare -n true"].into_iter().chain(join) {
        let done = tree.shell(&format!("busybox {attempt}"));
        assert!(done.stderr.contains("Operation not permitted"), "{attempt}: {done:?}");
        assert!(!done.status.success(), "{attempt}: {done:?}");
    }
    let done = tree.shell("mkdir /tmp/c && mount -t cgroup -o memory none /tmp/c; mount -t tmpfs none /tmp");
    assert!(!done.status.success() && done.stderr.contains("denied"), "{done:?}");
}

#[test]
fn a_profile_of_the_user_replaces_the_default() {
    require_containers!();
    let tree = Tree::new();
    let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 30}]}"#;
    let mut bundle = tree.bundle(["mkdir", "/tmp/x"]);
    bundle.process.seccomp = SeccompProfile::custom(profile).unwrap();
    let done = output(&bundle).unwrap();
    assert!(done.stderr.contains("Read-only file system"), "{done:?}");
}

/// A profile that forbids what comes after it: the container does not start, and nobody waits for ever.
#[test]
fn a_profile_that_allows_nothing_is_an_error() {
    require_containers!();
    let tree = Tree::new();
    let mut bundle = tree.bundle(["true"]);
    bundle.process.seccomp = SeccompProfile::custom(r#"{"defaultAction": "SCMP_ACT_ERRNO"}"#).unwrap();
    for init in [true, false] {
        bundle.init = init;
        let error = start_quiet(&bundle).unwrap_err();
        assert_eq!(error.to_string(), "start the helper in the container: operation not permitted");
        assert_eq!(error.kind(), crate::ErrorKind::PermissionDenied);
    }
    bundle.process.seccomp = SeccompProfile::custom(r#"{"defaultAction": "SCMP_ACT_KILL_PROCESS"}"#).unwrap();
    let status = start_quiet(&bundle).unwrap().wait();
    assert_eq!(status.signal(), Some(libc::SIGSYS), "{status:?}");
}
