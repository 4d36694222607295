//! The same archive extracted by GNU tar and by us gives the same tree.

use std::fs;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use super::support::*;
use crate::archive::*;
use crate::sys::fs as sysfs;

/// A tree with everything that a layer can have. As root with owners, devices and capabilities.
fn source(directory: &Path) {
    let put = |path: &str, content: &[u8], mode: u32| {
        let path = directory.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    put("usr/bin/tool", b"#!/bin/sh\n", 0o755);
    put("usr/bin/setuid", b"x", 0o4755);
    put("usr/bin/setgid", b"x", 0o2755);
    put("etc/shadow", b"root:*\n", 0o640);
    put("etc/empty", b"", 0o644);
    put("var/big", &vec![7; 700_001], 0o600);
    put("read/only/file", b"inside", 0o444);
    let long = format!("long/{}/{}", "d".repeat(120), "f".repeat(200));
    put(&long, b"long", 0o644);
    put("h\u{e4}l\n\"<&>o", b"odd name", 0o644);
    put("zero", &[0; 100_000], 0o644);
    for index in 0..300 {
        put(&format!("many/{}/{index}", index % 7), format!("file {index}\n").repeat(index).as_bytes(), 0o644);
    }
    fs::write(bytes_path(directory, b"\xff\xfe"), "no utf-8").unwrap();
    symlink("usr/bin", directory.join("bin")).unwrap();
    symlink(format!("/{}", "t".repeat(300)), directory.join("long-link")).unwrap();
    fs::hard_link(directory.join("etc/shadow"), directory.join("etc/shadow-")).unwrap();
    fs::hard_link(directory.join("bin"), directory.join("etc/linked-link")).unwrap();
    fs::hard_link(directory.join(&long), directory.join("linked-long")).unwrap();
    let sparse = fs::File::create(directory.join("sparse")).unwrap();
    sparse.write_all_at(b"data", 5 << 20).unwrap();
    sparse.set_len(8 << 20).unwrap();
    let handle = sysfs::open_directory(directory).unwrap();
    sysfs::make_node_at(&handle, "pipe", sysfs::FileKind::Fifo, 0o620, (0, 0)).unwrap();
    let _ = sysfs::set_xattr_at(&handle, "zero".as_ref(), "user.note", b"va\0lue\n=x");
    let _ = sysfs::set_xattr_at(&handle, "usr".as_ref(), "user.dir", b"on a directory");
    if is_root() {
        std::os::unix::fs::lchown(directory.join("bin"), Some(33), Some(44)).unwrap();
        fs::create_dir(directory.join("owned")).unwrap();
        put("owned/by-others", b"x", 0o640);
        std::os::unix::fs::chown(directory.join("owned/by-others"), Some(1000), Some(3_000_000_000)).unwrap();
        std::os::unix::fs::chown(directory.join("owned"), Some(8), Some(8)).unwrap();
        fs::set_permissions(directory.join("owned"), fs::Permissions::from_mode(0o2775)).unwrap();
        sysfs::make_node_at(&handle, "null", sysfs::FileKind::CharDevice, 0o666, (1, 3)).unwrap();
        sysfs::make_node_at(&handle, "disk", sysfs::FileKind::BlockDevice, 0o660, (7, 200)).unwrap();
        // cap_net_bind_service=ep, version 2.
        let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        sysfs::set_xattr_at(&handle, "usr/bin/tool".as_ref(), "security.capability", &capability).unwrap();
    }
    fs::set_permissions(directory.join("read/only"), fs::Permissions::from_mode(0o555)).unwrap();
    let times = [("etc/empty", -5, 123_456_789), ("sparse", 1, 0), ("usr", 1_600_000_000, 5)];
    for (path, seconds, nanoseconds) in times {
        sysfs::set_times_at(&handle, path, sysfs::Time { seconds, nanoseconds }).unwrap();
    }
}

fn tar(arguments: &[&str], directory: &Path) -> bool {
    run("tar", arguments, directory)
}

/// Mode 0555 directories cannot be removed by their owner before.
fn release(directory: &Path) {
    let _ = fs::set_permissions(directory.join("read/only"), fs::Permissions::from_mode(0o755));
}

#[test]
fn x09_every_format_of_gnu_tar_extracts_to_the_same_tree() {
    let base = tempfile::tempdir().unwrap();
    let from = base.path().join("from");
    fs::create_dir(&from).unwrap();
    source(&from);
    let formats: [(&str, &[&str]); 7] = [
        ("posix", &["--format=posix", "--xattrs", "--xattrs-include=*"]),
        ("gnu", &["--format=gnu"]),
        ("sparse 0.0", &["--format=posix", "--sparse", "--sparse-version=0.0"]),
        ("sparse 0.1", &["--format=posix", "--sparse", "--sparse-version=0.1"]),
        ("sparse 1.0", &["--format=posix", "--sparse", "--sparse-version=1.0"]),
        ("sparse gnu", &["--format=gnu", "--sparse"]),
        ("from the root", &["--format=posix", "--blocking-factor=1"]),
    ];
    for (name, flags) in formats {
        let archive = base.path().join("archive.tar");
        let mut arguments = vec!["-c", "-f", "../archive.tar"];
        arguments.extend_from_slice(flags);
        arguments.push(".");
        if !tar(&arguments, &from) {
            return skip("there is no tar");
        }
        let bytes = fs::read(&archive).unwrap();
        let theirs = base.path().join("theirs");
        fs::create_dir(&theirs).unwrap();
        let owner = if is_root() { "--same-owner" } else { "--no-same-owner" };
        let flags = ["-x", "-p", "--xattrs", "--xattrs-include=*", "--delay-directory-restore", owner];
        tar(&[&flags[..], &["-f", "../archive.tar"]].concat(), &theirs);
        let ours = imported(&bytes);
        let (expected, found) = (manifest(&theirs), manifest(&ours.diff()));
        for (path, expected) in &expected {
            assert_eq!(found.get(path), Some(expected), "{name}: {path}");
        }
        assert_eq!(found.len(), expected.len(), "{name}");
        assert_eq!(ours.applied.as_ref().unwrap().size, size_of_tree(&ours.diff()), "{name}");
        if flags.contains(&"--sparse") {
            use std::os::unix::fs::MetadataExt as _;
            assert!(fs::metadata(ours.diff().join("sparse")).unwrap().blocks() * 512 < 1 << 20, "{name}");
        }
        release(&theirs);
        release(&ours.diff());
        fs::remove_dir_all(&theirs).unwrap();
    }
    release(&from);
}

#[test]
fn gnu_tar_reads_the_canonical_archive() {
    let base = tempfile::tempdir().unwrap();
    let from = base.path().join("from");
    fs::create_dir(&from).unwrap();
    source(&from);
    let (mut archive, mut split) = (Vec::new(), Vec::new());
    let applied = digest_layer(&from, None, &mut split, Some(&mut archive), &options()).unwrap();
    assert_eq!(*applied.diff_id.digest(), crate::spec::Digest::of(&archive));
    assert_eq!(applied.size, size_of_tree(&from));
    fs::write(base.path().join("archive.tar"), &archive).unwrap();
    let theirs = base.path().join("theirs");
    fs::create_dir(&theirs).unwrap();
    let owner = if is_root() { "--same-owner" } else { "--no-same-owner" };
    let flags = ["-x", "-p", "--xattrs", "--xattrs-include=*", "--delay-directory-restore", owner];
    if !tar(&[&flags[..], &["-f", "../archive.tar"]].concat(), &theirs) {
        return skip("there is no tar");
    }
    let (expected, found) = (manifest(&from), manifest(&theirs));
    for (path, expected) in &expected {
        assert_eq!(found.get(path), Some(expected), "{path}");
    }
    assert_eq!(found.len(), expected.len());
    release(&from);
    release(&theirs);
}

#[test]
fn x09_a_directory_digested_twice_and_rebuilt_gives_the_same_archive() {
    let base = tempfile::tempdir().unwrap();
    let from = base.path().join("from");
    fs::create_dir(&from).unwrap();
    source(&from);
    let (mut archive, mut split) = (Vec::new(), Vec::new());
    let first = digest_layer(&from, None, &mut split, Some(&mut archive), &options()).unwrap();
    let second = digest_layer(&from, None, &mut Vec::new(), None, &options()).unwrap();
    assert_eq!(first, second);
    let mut rebuilt = Vec::new();
    reassemble(&mut &split[..], &from, &mut rebuilt).unwrap();
    assert!(rebuilt == archive);
    // What was imported from it has the same digest, too.
    let copy = imported(&archive);
    if is_root() {
        let third = digest_layer(&copy.diff(), None, &mut Vec::new(), None, &options()).unwrap();
        assert_eq!(first, third);
    }
    release(&from);
    release(&copy.diff());
}

#[test]
fn x09_what_a_file_can_have_is_there_again_after_an_export() {
    const CAPABILITY: &str = "security.capability";
    // Two versions of cap_net_raw=ep; the second belongs to a user namespace whose root is 100000.
    let second = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let third = [&[1, 0, 0, 3][..], &second[4..], &100_000u32.to_le_bytes()].concat();
    // user::rw-, user:1000:r--, group::r--, mask::r--, other::---.
    let entry = |tag: u16, may: u16, id: u32| [&tag.to_le_bytes()[..], &may.to_le_bytes(), &id.to_le_bytes()].concat();
    let nobody = u32::MAX;
    let list =
        [entry(1, 6, nobody), entry(2, 4, 1000), entry(4, 4, nobody), entry(16, 4, nobody), entry(32, 0, nobody)];
    let list = [&[2, 0, 0, 0][..], &list.concat()].concat();
    let base = tempfile::tempdir().unwrap();
    let from = base.path().join("from");
    fs::create_dir(&from).unwrap();
    source(&from);
    fs::create_dir(from.join("sticky")).unwrap();
    fs::set_permissions(from.join("sticky"), fs::Permissions::from_mode(0o1777)).unwrap();
    let handle = sysfs::open_directory(&from).unwrap();
    let set = |name: &str, key: &str, value: &[u8]| {
        fs::write(from.join(name), name).unwrap();
        sysfs::set_xattr_at(&handle, name.as_ref(), key, value)
    };
    let mut expected = vec!["sticky"];
    for (name, key, value) in [
        ("second", CAPABILITY, &second[..]),
        ("third", CAPABILITY, &third),
        ("listed", "system.posix_acl_access", &list),
        ("noted", "user.note", b"text"),
    ] {
        match set(name, key, value) {
            Ok(()) => expected.push(name),
            // An ordinary user gives no capabilities, and not every file system has lists or notes.
            Err(error) => assert!(key != CAPABILITY || !is_root(), "{name}: {error}"),
        }
    }
    fs::write(from.join("noted"), "text").unwrap();
    let mut archive = Vec::new();
    digest_layer(&from, None, &mut Vec::new(), Some(&mut archive), &options()).unwrap();
    let first = imported(&archive);
    let mut again = Vec::new();
    digest_layer(&first.diff(), None, &mut Vec::new(), Some(&mut again), &options()).unwrap();
    let second = imported(&again);
    let (original, first_tree, second_tree) = (manifest(&from), manifest(&first.diff()), manifest(&second.diff()));
    for name in expected {
        assert_eq!(first_tree.get(name), original.get(name), "{name}");
    }
    assert_eq!(first_tree, second_tree);
    for tree in [&from, &first.diff(), &second.diff()] {
        release(tree);
    }
}

/// Docker's rule, counted independently.
fn size_of_tree(root: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let (mut seen, mut size, mut pending) = (std::collections::HashSet::new(), 0, vec![root.to_owned()]);
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            if metadata.is_dir() {
                pending.push(path);
            } else if seen.insert(metadata.ino()) {
                size += metadata.size();
            }
        }
    }
    size
}
