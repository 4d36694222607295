#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn links_resolve_inside_the_root() {
    let host = tempfile::tempdir().unwrap();
    let root = host.path().join("root");
    std::fs::create_dir_all(root.join("etc")).unwrap();
    std::fs::write(host.path().join("secret"), "outside").unwrap();
    std::fs::write(root.join("secret"), "inside").unwrap();
    std::os::unix::fs::symlink("/secret", root.join("absolute")).unwrap();
    std::os::unix::fs::symlink("../../../../secret", root.join("etc/up")).unwrap();
    let root = open_directory(&root).unwrap();
    for path in ["absolute", "etc/up", "/etc/../../secret"] {
        let file = open_in_root(&root, path, OFlags::RDONLY).unwrap();
        assert_eq!(std::io::read_to_string(std::fs::File::from(file)).unwrap(), "inside", "{path}");
    }
    assert!(open_beneath(&root, "absolute", OFlags::RDONLY).is_err());
    assert!(open_beneath(&root, "../secret", OFlags::RDONLY).is_err());
}

#[test]
fn a_tree_is_removed_whatever_its_depth_and_modes() {
    let host = tempfile::tempdir().unwrap();
    let base = open_directory(host.path()).unwrap();
    make_directory_at(&base, "tree", 0o755).unwrap();
    let mut at = open_at(&base, "tree", DIRECTORY).unwrap();
    for _ in 0..3000 {
        make_directory_at(&at, "a", 0o755).unwrap();
        make_whiteout_at(&at, "gone").unwrap();
        at = open_at(&at, "a", DIRECTORY).unwrap();
    }
    std::fs::create_dir_all(host.path().join("tree/closed/inner")).unwrap();
    std::fs::set_permissions(host.path().join("tree/closed"), std::fs::Permissions::from_mode(0o000)).unwrap();
    std::os::unix::fs::symlink(host.path().join("kept"), host.path().join("tree/link")).unwrap();
    std::fs::create_dir_all(host.path().join("kept/file")).unwrap();
    std::thread::Builder::new()
        .stack_size(256 * 1024)
        .spawn(move || remove_tree(&base, OsStr::new("tree")).unwrap())
        .unwrap()
        .join()
        .unwrap();
    assert!(!host.path().join("tree").exists());
    assert!(host.path().join("kept/file").is_dir());
}

#[test]
fn a_copy_keeps_holes_and_content() {
    use std::os::unix::fs::{FileExt, MetadataExt};
    let host = tempfile::tempdir().unwrap();
    let from = std::fs::File::create_new(host.path().join("from")).unwrap();
    from.write_all_at(b"start", 0).unwrap();
    from.write_all_at(b"end", 64 << 20).unwrap();
    let from = std::fs::File::open(host.path().join("from")).unwrap();
    let to = std::fs::File::create_new(host.path().join("to")).unwrap();
    copy_file(&from, &to, from.metadata().unwrap().len()).unwrap();
    assert_eq!(to.metadata().unwrap().len(), (64 << 20) + 3);
    assert!(to.metadata().unwrap().blocks() < 1024);
    let mut end = [0; 3];
    std::fs::File::open(host.path().join("to")).unwrap().read_exact_at(&mut end, 64 << 20).unwrap();
    assert_eq!(&end, b"end");
}

#[test]
fn attributes_of_links_and_files_are_read_and_written() {
    let host = tempfile::tempdir().unwrap();
    let base = open_directory(host.path()).unwrap();
    let file = create_at(&base, "file", 0o600).unwrap();
    if set_xattr(&file, "user.plywood", b"\0value").is_err() {
        return eprint_skip("no user attributes on this file system");
    }
    let big = vec![7u8; 1000];
    set_xattr_at(&base, OsStr::new("file"), "user.big", &big).unwrap();
    assert_eq!(xattr::get_xattr(&file, "user.plywood").unwrap().unwrap(), b"\0value");
    assert_eq!(xattr::get_xattr(&file, "user.none").unwrap(), None);
    let names: Vec<_> =
        list_xattrs(&file).unwrap().into_iter().filter(|(name, _)| name.starts_with(b"user.")).collect();
    assert_eq!(names, [(b"user.big".to_vec(), big), (b"user.plywood".to_vec(), b"\0value".to_vec())]);
    make_symlink_at("file", &base, "link").unwrap();
    assert_eq!(get_xattr_at(&base, OsStr::new("link"), "user.plywood").unwrap_or(None), None);
}

#[allow(clippy::print_stderr)]
fn eprint_skip(reason: &str) {
    eprintln!("skipped: {reason}");
}
