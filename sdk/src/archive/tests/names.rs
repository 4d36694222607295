//! Names at the edges of what a file system takes.

use super::support::*;
use crate::archive::*;
use crate::error::ErrorKind;

#[test]
fn x07_names_of_every_length_and_alphabet_pass_or_are_refused_by_name() {
    for name in ["-", "--help", "new\nline", " ", "\\", "\u{1f41f}", "a:b", "*", &"x".repeat(255)] {
        assert_eq!(imported(&Tar::default().file(name, "x").end()).text(name), "x", "{name:?}");
    }
    for spelled in ["./a", "a/", "//a", "b/../a"] {
        let tar = Tar::default().directory("b/", 0o755);
        let tar = if spelled.ends_with('/') { tar.directory(spelled, 0o755) } else { tar.file(spelled, "x") };
        assert_eq!(imported(&tar.end()).names(), ["a", "b"], "{spelled}");
    }
    assert!(
        refused(&Tar::default().file(&"x".repeat(256), "").end()).to_string().contains("a name of more than 255 bytes")
    );
    assert!(refused(&Tar::default().file("", "x").end()).to_string().contains("the path is empty"));
}

#[test]
fn x07_names_that_are_no_utf8_pass() {
    for name in [&b"\xff\xfe"[..], &[b"\xff".repeat(90), b"/".to_vec(), b"\xfe".repeat(90)].concat()] {
        let entry = crate::archive::write::Header { path: name, size: 1, ..header("", entry::Kind::File) };
        let layer = imported(&Tar::default().entry(entry, b"x").end());
        assert_eq!(std::fs::read(bytes_path(&layer.diff(), name)).unwrap(), b"x");
    }
}

#[test]
fn x07_the_longest_path_passes_and_one_more_byte_does_not() {
    let path = |length: usize| {
        let mut path = "d23456789/".repeat(410);
        path.truncate(length - 1);
        path.replace_range(length - 2.., "xf");
        path.truncate(length);
        path
    };
    let longest = path(4096);
    let tar = Tar::default().file(&longest, "deep").end();
    let layer = imported_by_descriptor(&tar);
    let mut archive = Vec::new();
    let digested = digest_layer(&layer.diff(), None, &mut Vec::new(), Some(&mut archive), &options()).unwrap();
    assert_eq!(digested.entries, 410);
    let error = refused(&Tar::default().file(&path(4097), "").end());
    assert!(error.to_string().contains("more than 4096 bytes in its path"), "{error}");
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
}

/// Import and rebuild without a manifest, whose paths would be too long for std.
fn imported_by_descriptor(tar: &[u8]) -> Layer {
    let mut layer = Layer::empty();
    layer.import(tar, &options()).unwrap();
    assert!(layer.reassembled().unwrap() == tar);
    layer
}

#[test]
fn x07_two_thousand_directories_deep_needs_little_stack() {
    let work = || {
        let mut tar = Tar::default();
        let mut path = String::new();
        for _ in 0..2000 {
            path.push_str("a/");
            tar = tar.directory(&path, 0o755);
        }
        let tar = tar.file(&format!("{path}f"), "deep").end();
        let layer = imported_by_descriptor(&tar);
        let mut archive = Vec::new();
        let digested = digest_layer(&layer.diff(), None, &mut Vec::new(), Some(&mut archive), &options()).unwrap();
        assert_eq!(digested.entries, 2001);
        // Without entries for the directories, too.
        imported_by_descriptor(&Tar::default().file(&format!("{path}f"), "deep").end());
        crate::sys::fs::remove_tree(crate::sys::fs::open_directory(layer.base.path()).unwrap(), "diff".as_ref())
            .unwrap();
    };
    std::thread::Builder::new().stack_size(256 << 10).spawn(work).unwrap().join().unwrap();
}
