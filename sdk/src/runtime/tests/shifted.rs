//! Containers of root's in a user namespace.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::sync::Arc;

use super::support::*;
use crate::runtime::{BundleMount, BundleSource, NetworkMode};
use crate::sys::userns::{Map, Namespace, Range, create_shifted};

const FIRST: u32 = 1_000_000;
const COUNT: u32 = 65_536;

fn namespace() -> Arc<Namespace> {
    let ranges = vec![Range { inside: 0, outside: FIRST, count: COUNT }];
    Arc::new(create_shifted(Map { uids: ranges.clone(), gids: ranges }).unwrap())
}

/// A container in a user namespace that runs a script.
fn bundle(tree: &Tree, script: &str) -> crate::runtime::Bundle {
    let mut bundle = tree.bundle(["sh", "-c", script]);
    bundle.user_namespace = Some(namespace());
    bundle
}

fn owner(path: impl AsRef<std::path::Path>) -> (u32, u32) {
    let found = std::fs::symlink_metadata(path).unwrap();
    (found.uid(), found.gid())
}

#[test]
fn root_inside_is_not_root_outside() {
    require_containers!();
    if !is_root() {
        return;
    }
    let tree = Tree::new();
    chown(tree.path("lower/etc"), Some(33), Some(34)).unwrap();
    let script = "echo new >/tmp/new && mkdir /srv && cp /bin/busybox /bin/copy && chown 5:6 /tmp/new && rm -r /etc \
                  && ls -ldn /bin /tmp/new /proc/1 | while read m l u g x; do echo $u $g; done";
    let done = output(&bundle(&tree, script)).unwrap();
    assert_eq!(done.stdout, "0 0\n0 0\n5 6\n", "{done:?}");
    let process = start_quiet(&bundle(&tree, "sleep 1000")).unwrap();
    let ids = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    assert!(ids.contains(&format!("Uid:\t{FIRST}\t{FIRST}\t{FIRST}\t{FIRST}\n")), "{ids}");
    let done =
        exec_shell(&process, "id -u; id -g; echo from exec >/tmp/exec; ls -ldn /tmp/exec; cat /proc/self/uid_map");
    let words: Vec<&str> = done.stdout.split_ascii_whitespace().collect();
    assert_eq!(words[..2], ["0", "0"], "{done:?}");
    assert_eq!(words[4..6], ["0", "0"], "{done:?}");
    assert!(done.stdout.contains("1000000"), "{done:?}");
    process.signal(libc::SIGKILL).unwrap();
    let _ = process.wait();
    // On disk they belong to whom they belong inside.
    assert_eq!(owner(tree.path("upper/tmp/new")), (5, 6));
    assert_eq!(owner(tree.path("upper/tmp/exec")), (0, 0));
    assert_eq!(owner(tree.path("upper/srv")), (0, 0));
    assert_eq!(owner(tree.path("upper/bin/copy")), (0, 0));
    assert!(std::fs::symlink_metadata(tree.path("upper/etc")).unwrap().rdev() == 0);
    // And are the same without a namespace.
    let done = tree.shell("test ! -e /etc && cat /tmp/new");
    assert_eq!(done.stdout, "new\n", "{done:?}");
}

#[test]
fn what_the_layers_hide_stays_hidden() {
    require_containers!();
    if !is_root() {
        return;
    }
    let tree = Tree::new();
    for name in ["below/opaque", "below/etc", "lower/opaque"] {
        std::fs::create_dir_all(tree.path(name)).unwrap();
    }
    std::fs::write(tree.path("below/opaque/old"), "").unwrap();
    std::fs::write(tree.path("below/etc/gone"), "").unwrap();
    let whiteout = rustix::fs::FileType::CharacterDevice;
    rustix::fs::mknodat(rustix::fs::CWD, tree.path("lower/etc/gone"), whiteout, rustix::fs::Mode::empty(), 0).unwrap();
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(tree.path("lower/opaque"), "trusted.overlay.opaque", b"y", flags).unwrap();
    let mut bundle = bundle(&tree, "ls -A /etc /opaque && rm -r /bin/ls /tmp && mkdir /tmp && touch /tmp/x");
    let crate::runtime::Rootfs::Overlay { lowers, .. } = &mut bundle.rootfs else { return };
    lowers.push(tree.path("below"));
    let done = output(&bundle).unwrap();
    assert_eq!((done.stdout.as_str(), done.status.code()), ("/etc:\n\n/opaque:\n", 0), "{done:?}");
    // The directory that replaced another hides what is in that, for a mount of root's as well.
    assert_eq!(tree.shell("ls -A /tmp; test -e /bin/ls || echo gone").stdout, "x\ngone\n");
}

#[test]
fn binds_show_the_owners_that_their_files_have() {
    require_containers!();
    if !is_root() {
        return;
    }
    let tree = Tree::new();
    std::fs::create_dir(tree.path("data")).unwrap();
    std::fs::write(tree.path("data/mine"), "").unwrap();
    chown(tree.path("data/mine"), Some(1000), Some(1001)).unwrap();
    let script = "cd /data && ls -ln mine && echo x >made && ls -ln made; ls -ln /read-only/made; touch /read-only/no;ls -l /dev/zero2";
    let mut bundle = bundle(&tree, script);
    bundle.process.user.uid = 7;
    bundle.process.user.gid = 7;
    std::fs::set_permissions(tree.path("data"), std::fs::Permissions::from_mode(0o777)).unwrap();
    for (target, read_only) in [("/data", false), ("/read-only", true)] {
        let source = BundleSource::Bind(tree.path("data"));
        bundle.mounts.push(BundleMount { source, target: at(target), read_only });
    }
    let source = BundleSource::Bind("/dev/zero".into());
    bundle.mounts.push(BundleMount { source, target: at("/dev/zero2"), read_only: false });
    let done = output(&bundle).unwrap();
    let ids: Vec<String> = done
        .stdout
        .lines()
        .map(|line| match line.split_ascii_whitespace().collect::<Vec<_>>()[..] {
            [mode, _, user, group, ..] => format!("{} {user} {group}", &mode[..1]),
            _ => line.to_owned(),
        })
        .collect();
    assert_eq!(ids[..3], ["- 1000 1001", "- 7 7", "- 7 7"], "{done:?}");
    assert!(ids[3].starts_with('c'), "{done:?}");
    assert!(done.stderr.contains("Read-only file system"), "{done:?}");
    assert_eq!(owner(tree.path("data/made")), (7, 7));
}

#[test]
fn a_file_system_that_cannot_map_ids_is_named() {
    require_containers!();
    if !is_root() {
        return;
    }
    let tree = Tree::new();
    let mut bundle = bundle(&tree, "true");
    let source = BundleSource::Bind("/sys/kernel".into());
    bundle.mounts.push(BundleMount { source, target: at("/kernel"), read_only: true });
    let error = start_quiet(&bundle).unwrap_err();
    assert!(error.to_string().starts_with("map the ids of \"/sys/kernel\", which is to be mounted at"), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("cannot map ids")), "{error:?}");
}

#[test]
fn it_may_do_nothing_outside_of_its_namespaces() {
    require_containers!();
    if !is_root() {
        return;
    }
    let tree = Tree::new();
    std::fs::write(tree.path("lower/etc/secret"), "").unwrap();
    chown(tree.path("lower/etc/secret"), Some(2_000_000), Some(2_000_000)).unwrap();
    let script = "busybox mknod /tmp/disk b 8 0; ls -ln /etc/secret | grep -c 65534; touch /etc/secret; \
                  ip link show lo | grep -c UP; echo >/dev/null && head -c 1 /dev/zero | wc -c";
    let mut bundle = bundle(&tree, script);
    bundle.process.capabilities = crate::sys::capability::CapabilitySet::ALL;
    bundle.network = NetworkMode::Private;
    let done = output(&bundle).unwrap();
    assert_eq!(done.stdout, "1\n1\n1\n", "{done:?}");
    assert!(done.stderr.contains("mknod: /tmp/disk: Operation not permitted"), "{done:?}");
}
