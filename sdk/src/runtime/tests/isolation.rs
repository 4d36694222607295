//! What a process in a container is, sees and may do.

use std::os::fd::AsFd;

use super::support::*;
use crate::ErrorKind;
use crate::runtime::{NetworkMode, ResolvedUser};
use crate::sys::capability::CapabilitySet;
use crate::sys::userns::keeps_owners;

#[test]
fn i06_environment_directory_and_host_name_are_its_own() {
    require_containers!();
    let tree = Tree::new();
    let mut bundle = tree.bundle(["sh", "-c", "env; pwd; hostname; umask"]);
    bundle.process.env = vec!["PATH=/bin".into(), "A=b=c".into(), "EMPTY=".into()];
    bundle.process.cwd = at("/srv/new");
    let done = output(&bundle).unwrap();
    let mut lines: Vec<&str> =
        done.stdout.lines().filter(|it| !it.starts_with("SHLVL") && !it.starts_with("PWD")).collect();
    lines[..3].sort_unstable();
    assert_eq!(lines, ["A=b=c", "EMPTY=", "PATH=/bin", "/srv/new", "box", "0022"], "{done:?}");
}

#[test]
fn users_and_groups_are_as_asked_for() {
    require_containers!();
    let tree = Tree::new();
    let mut bundle = tree.bundle(["sh", "-c", "id -u; id -g; id -G; echo >/tmp/x"]);
    bundle.process.user = ResolvedUser { uid: 1000, gid: 1001, groups: vec![44, 1001, 45] };
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(tree.path("lower/tmp"), std::fs::Permissions::from_mode(0o1777)).unwrap();
    let done = output(&bundle).unwrap();
    // One id is all that an ordinary user may have: others show as the overflow id, and are not ours.
    let expected = if keeps_owners() { "1000\n1001\n1001 44 45\n" } else { "1000\n1001\n1001" };
    assert!(done.stdout.starts_with(expected), "{done:?}");
    assert!(done.status.success(), "{done:?}");
}

#[test]
fn r2_only_standard_descriptors_are_passed_on() {
    require_containers!();
    let tree = Tree::new();
    let file = std::fs::File::open("/").unwrap();
    // dup gives descriptors that would survive an exec.
    let leaks: Vec<_> = (0..40).map(|_| rustix::io::dup(file.as_fd()).unwrap()).collect();
    let mut bundle = tree.bundle(["ls", "/proc/self/fd"]);
    assert_eq!(output(&bundle).unwrap().stdout, "0\n1\n2\n3\n", "the last one is of ls itself");
    for number in 3..40 {
        bundle.process.cwd = at(&format!("/proc/self/fd/{number}"));
        let error = start_quiet(&bundle).unwrap_err();
        assert!(error.to_string().contains("working directory"), "{error}");
    }
    drop(leaks);
}

#[test]
fn r9_capabilities_are_the_default_for_root_and_none_for_others() {
    require_containers!();
    let tree = Tree::new();
    let sets = |uid, capabilities| {
        let mut bundle = tree.bundle(["grep", "-E", "^(Cap|NoNew)", "/proc/self/status"]);
        bundle.process.user.uid = uid;
        bundle.process.capabilities = capabilities;
        let text = output(&bundle).unwrap().stdout;
        let value = |line: &str| u64::from_str_radix(line.split_ascii_whitespace().last().unwrap(), 16).unwrap();
        text.lines().map(value).collect::<Vec<_>>()
    };
    let default = 0x8004_05fb;
    // Inheritable, permitted, effective, bounding, ambient, no_new_privs.
    assert_eq!(sets(0, CapabilitySet::CONTAINER), [0, default, default, default, 0, 1]);
    assert_eq!(sets(1000, CapabilitySet::CONTAINER), [0, 0, 0, default, 0, 1]);
    assert_eq!(sets(0, CapabilitySet::NONE), [0, 0, 0, 0, 0, 1]);
}

#[test]
fn new_privileges_can_be_allowed() {
    require_containers!();
    let tree = Tree::new();
    let mut bundle = tree.bundle(["grep", "NoNewPrivs", "/proc/self/status"]);
    bundle.process.no_new_privileges = false;
    assert_eq!(output(&bundle).unwrap().stdout, "NoNewPrivs:\t0\n");
}

#[test]
fn i06_signals_are_as_a_fresh_program_expects_them() {
    require_containers!();
    let tree = Tree::new();
    // The Rust runtime ignores SIGPIPE in this process.
    let mut bundle = tree.bundle(["grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status"]);
    bundle.hostname.clear();
    let done = output(&bundle).unwrap();
    assert!(done.stdout.lines().all(|line| line.ends_with("0000000000000000")), "{done:?}");
}

#[test]
fn only_the_loopback_interface_is_there_and_it_is_up() {
    require_containers!();
    let tree = Tree::new();
    let script =
        "ls /sys/class/net; ip link show lo | grep -c LOOPBACK,UP; cat /proc/sys/net/ipv4/ip_unprivileged_port_start";
    let done = tree.shell(script);
    assert_eq!(done.stdout, "lo\n1\n0\n", "{done:?}");
}

#[test]
fn the_hosts_network_is_shared_on_request() {
    require_containers!();
    let tree = Tree::new();
    let mut bundle = tree.bundle(["sh", "-c", "readlink /proc/self/ns/net; touch /sys/x; ls /sys/class/net"]);
    bundle.network = NetworkMode::Host;
    let done = output(&bundle).unwrap();
    let host = std::fs::read_link("/proc/self/ns/net").unwrap();
    assert_eq!(done.stdout.lines().next(), host.to_str(), "{done:?}");
    assert!(done.stdout.contains("lo"), "{done:?}");
    assert!(done.stderr.contains("Read-only file system"), "{done:?}");
}

#[test]
fn i02_r31_masked_paths_are_empty_and_read_only_paths_refuse_writes() {
    require_containers!();
    let tree = Tree::new();
    for path in ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/interrupts"] {
        let done = tree.shell(&format!("test -e {path} || exit 0; head -c 1 {path} | wc -c | grep -x 0"));
        assert!(done.status.success(), "{path}: {done:?}");
    }
    for path in ["/sys/firmware", "/proc/acpi", "/proc/scsi", "/sys/devices/virtual/powercap"] {
        let script = format!("test -e {path} || exit 0; ls -A {path} | wc -l | grep -x 0 && ! touch {path}/x");
        let done = tree.shell(&script);
        assert!(done.status.success(), "{path}: {done:?}");
    }
    for path in ["/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper"] {
        let done = tree.shell(&format!("test -e {path} || exit 0; echo x >{path}"));
        assert!(done.status.success() || done.stderr.contains("Read-only file system"), "{path}: {done:?}");
        assert!(!done.stdout.contains('x'));
    }
}

#[test]
fn privileged_containers_have_nothing_masked() {
    require_containers!();
    let tree = Tree::new();
    let mut bundle = tree.bundle(["sh", "-c", "mount | grep -c -E ' on /(proc|sys)/'"]);
    bundle.privileged = true;
    bundle.process.capabilities = CapabilitySet::ALL;
    assert_eq!(output(&bundle).unwrap().stdout.trim(), "0");
}

#[test]
fn the_devices_are_the_documented_ones() {
    require_containers!();
    let tree = Tree::new();
    let done = tree.shell("ls /dev; echo discarded >/dev/null; head -c 3 /dev/urandom | wc -c; readlink /dev/ptmx; dd if=/dev/zero of=/dev/full bs=1 count=1 2>&1 | grep -c space");
    let names = "fd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n";
    assert_eq!(done.stdout, format!("{names}3\npts/ptmx\n1\n"), "{done:?}");
}

#[test]
fn r7_links_in_place_of_proc_sys_and_dev_are_refused() {
    require_containers!();
    for name in ["proc", "sys", "dev"] {
        let tree = Tree::new();
        std::os::unix::fs::symlink("tmp", tree.path("lower").join(name)).unwrap();
        let error = start_quiet(&tree.bundle(["true"])).unwrap_err();
        assert!(error.to_string().starts_with(&format!("use /{name} of the root file system: ")), "{error}");
        assert!(error.hint().is_some(), "{error:?}");
        assert!(std::fs::read_dir(tree.path("lower/tmp")).unwrap().next().is_none());
    }
}

#[test]
fn another_user_than_the_mapped_one_is_explained() {
    require_containers!();
    if is_root() {
        return;
    }
    let tree = Tree::new();
    let process = start_quiet(&tree.bundle(["sleep", "1000"])).unwrap();
    let mut spec = crate::runtime::ProcessSpec::new(["/bin/true"]);
    spec.user.uid = 4_000_000_000;
    let error = crate::runtime::exec(&process, &spec, crate::runtime::Stdio::null()).unwrap_err();
    assert!(error.to_string().starts_with("become user 4000000000 of the container"), "{error}");
    assert_eq!((error.kind(), error.hint().is_some()), (ErrorKind::Os, true), "{error:?}");
    process.signal(libc::SIGKILL).unwrap();
    let _ = process.wait();
}
