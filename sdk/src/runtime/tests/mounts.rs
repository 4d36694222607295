//! Root file systems, binds, tmpfs.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::PathBuf;

use super::support::*;
use crate::ErrorKind;
use crate::runtime::{Bundle, BundleMount, BundleSource, Rootfs};

fn bind(source: impl Into<PathBuf>, target: &str) -> BundleMount {
    BundleMount { source: BundleSource::Bind(source.into()), target: at(target), read_only: false }
}

#[test]
fn changes_go_to_the_upper_directory_only() {
    require_containers!();
    let tree = Tree::new();
    let done = tree.shell("echo new >/etc/new; rm /bin/false");
    assert!(done.status.success(), "{done:?}");
    let removed = fs::symlink_metadata(tree.path("upper/bin/false")).unwrap();
    assert!(removed.file_type().is_char_device() && removed.rdev() == 0, "a whiteout");
    assert_eq!(fs::read_to_string(tree.path("upper/etc/new")).unwrap(), "new\n");
    assert!(!tree.path("lower/etc/new").exists());
}

#[test]
fn r39_many_layers_and_long_paths_are_mounted_by_both_interfaces() {
    require_containers!();
    let tree = Tree::new();
    let long = tree.path(&format!("{}/{}", "x".repeat(200), "y".repeat(200)));
    fs::create_dir_all(&long).unwrap();
    for single in [crate::sys::probe::overlay_takes_single_lowers(), false] {
        crate::sys::probe::force_single_lowers(single);
        let mut lowers: Vec<PathBuf> = (0..124).map(|n| long.parent().unwrap().join(format!("l{single}{n}"))).collect();
        for (number, lower) in lowers.iter().enumerate() {
            fs::create_dir_all(lower).unwrap();
            fs::write(lower.join("which"), number.to_string()).unwrap();
        }
        lowers.push(tree.path("lower"));
        let odd = long.join(format!("a,b:c\\d{single}"));
        let (upper, work) = (odd.join("upper"), odd.join("work"));
        fs::create_dir_all(&upper).unwrap();
        fs::create_dir_all(&work).unwrap();
        let mut bundle = tree.bundle(["sh", "-c", "cat /which; echo x >/made"]);
        bundle.rootfs = Rootfs::Overlay { lowers, upper: upper.clone(), work, volatile: false };
        let done = output(&bundle).unwrap();
        assert_eq!((done.stdout.as_str(), done.status.code()), ("0", 0), "{done:?}");
        assert!(upper.join("made").exists());
    }
}

#[test]
fn a_directory_is_used_as_it_is() {
    require_containers!();
    let tree = Tree::new();
    let mut bundle = Bundle::new(Rootfs::Directory(tree.path("lower")));
    bundle.process = crate::runtime::ProcessSpec::new(["/bin/touch", "/made"]);
    assert!(output(&bundle).unwrap().status.success());
    assert!(tree.path("lower/made").exists());
}

#[test]
fn a_work_directory_on_another_file_system_is_explained() {
    require_containers!();
    let tree = Tree::new();
    let mut bundle = tree.bundle(["true"]);
    let Rootfs::Overlay { work, .. } = &mut bundle.rootfs else { unreachable!() };
    *work = "/dev/shm".into();
    let error = start_quiet(&bundle).unwrap_err();
    assert!(error.to_string().starts_with("mount 1 layers below "), "{error}");
}

#[test]
fn a_read_only_root_refuses_writes_and_its_mounts_do_not() {
    require_containers!();
    let tree = Tree::new();
    let mut bundle = tree.bundle(["sh", "-c", "touch /dev/shm/x && touch /vol/x && ! touch /x"]);
    fs::create_dir(tree.path("vol")).unwrap();
    bundle.mounts.push(bind(tree.path("vol"), "/vol"));
    bundle.read_only_rootfs = true;
    let done = output(&bundle).unwrap();
    assert!(done.status.success(), "{done:?}");
    assert!(done.stderr.contains("Read-only file system"), "{done:?}");
    assert!(tree.path("vol/x").exists());
}

#[test]
fn binds_of_files_and_directories_are_mounted_in_order() {
    require_containers!();
    let tree = Tree::new();
    fs::create_dir(tree.path("vol")).unwrap();
    fs::write(tree.path("file"), "content").unwrap();
    let mut bundle = tree.bundle(["sh", "-c", "cat /a/b/c/file; touch /a/b/x; echo more >>/a/b/c/file"]);
    bundle.mounts = vec![bind(tree.path("vol"), "/a/b"), bind(tree.path("file"), "/a/b/c/file")];
    bundle.mounts[1].read_only = true;
    let done = output(&bundle).unwrap();
    assert_eq!(done.stdout, "content");
    assert!(done.stderr.contains("Read-only file system"), "{done:?}");
    assert!(tree.path("vol/x").exists());
    assert_eq!(fs::read_to_string(tree.path("file")).unwrap(), "content");
    assert_eq!(fs::read_to_string(tree.path("vol/c/file")).unwrap(), "", "what is mounted on was created");
}

#[test]
fn i08_a_read_only_bind_is_read_only_in_submounts_too() {
    require_containers!();
    let tree = Tree::new();
    let mut bundle = tree.bundle(["sh", "-c", "test -d /host/shm && ! touch /host/shm/plywood-must-not-exist"]);
    bundle.mounts.push(BundleMount { read_only: true, ..bind("/dev", "/host") });
    let done = output(&bundle).unwrap();
    assert!(done.status.success(), "{done:?}");
    assert!(done.stderr.contains("Read-only file system"), "{done:?}");
}

#[test]
fn a_missing_source_is_named_before_anything_starts() {
    require_containers!();
    let tree = Tree::new();
    let mut bundle = tree.bundle(["true"]);
    bundle.mounts.push(bind(tree.path("missing"), "/data"));
    let error = start_quiet(&bundle).unwrap_err();
    let expected = format!("mount {:?} at \"/data\": no such file or directory", tree.path("missing"));
    assert_eq!((error.to_string(), error.kind()), (expected, ErrorKind::NotFound));
    bundle.mounts[0] = bind(tree.path("lower"), "/");
    assert_eq!(start_quiet(&bundle).unwrap_err().kind(), ErrorKind::InvalidArgument);
    bundle.mounts[0] = bind(tree.path("lower"), "/bin/busybox");
    let error = start_quiet(&bundle).unwrap_err();
    assert!(error.to_string().contains("\"/bin/busybox\" in the container"), "{error}");
}

#[test]
fn a_target_behind_a_link_stays_inside_the_root() {
    require_containers!();
    let tree = Tree::new();
    let outside = tree.path("outside");
    fs::create_dir(&outside).unwrap();
    let lower = tree.path("lower");
    symlink(&outside, lower.join("absolute")).unwrap();
    symlink("../../../../../../../../../../tmp", lower.join("climbing")).unwrap();
    symlink("/run/resolv/stub", lower.join("etc/resolv.conf")).unwrap();
    fs::create_dir_all(lower.join("run/resolv")).unwrap();
    // The link's target inside the container.
    fs::create_dir_all(lower.join(outside.strip_prefix("/").unwrap())).unwrap();
    fs::create_dir(tree.path("vol")).unwrap();
    fs::write(tree.path("file"), "content").unwrap();
    let script = format!("cat /etc/resolv.conf; touch {}/deep/x; touch /tmp/plywood-climbed/y", outside.display());
    let mut bundle = tree.bundle(["sh", "-c", &script]);
    bundle.mounts = vec![
        bind(tree.path("vol"), "/absolute/deep"),
        bind(tree.path("vol"), "/climbing/plywood-climbed"),
        bind(tree.path("file"), "/etc/resolv.conf"),
    ];
    let done = output(&bundle).unwrap();
    assert_eq!((done.stdout.as_str(), done.status.code()), ("content", 0), "{done:?}");
    assert!(tree.path("vol/x").exists() && tree.path("vol/y").exists());
    assert!(fs::read_dir(&outside).unwrap().next().is_none());
    assert!(!PathBuf::from("/tmp/plywood-climbed").exists());
    bundle.mounts = vec![bind(tree.path("vol"), "/proc/self/root/x")];
    assert!(start_quiet(&bundle).is_err());
}

#[test]
fn memory_has_the_size_and_mode_that_were_asked_for() {
    require_containers!();
    let tree = Tree::new();
    let source = BundleSource::Tmpfs { size: Some(1024 * 1024), mode: 0o1777 };
    let mut bundle = tree.bundle(["sh", "-c", "stat -c %a /cache; dd if=/dev/zero of=/cache/x bs=1024 count=2048"]);
    bundle.mounts.push(BundleMount { source, target: at("/cache"), read_only: false });
    let done = output(&bundle).unwrap();
    assert_eq!(done.stdout, "1777\n", "{done:?}");
    assert!(done.stderr.contains("No space left"), "{done:?}");
}

#[test]
fn r30_device_nodes_of_an_image_cannot_be_opened() {
    require_containers!();
    if !is_root() {
        return;
    }
    let tree = Tree::new();
    let path = tree.path("lower/zero");
    let mode = rustix::fs::Mode::from_raw_mode(0o666);
    let kind = rustix::fs::FileType::CharacterDevice;
    rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, rustix::fs::makedev(1, 5)).unwrap();
    let done = tree.shell("head -c 1 /zero");
    assert!(done.stderr.contains("Permission denied"), "{done:?}");
}
