#![allow(clippy::unwrap_used)]
use super::*;
use crate::image::source::Listener;
use std::fs;

fn header(kind: tar::EntryType, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    header
}

fn file(builder: &mut tar::Builder<Vec<u8>>, name: &str, content: &[u8]) {
    builder.append_data(&mut header(tar::EntryType::Regular, content.len() as u64), name, content).unwrap();
}

fn symlink(builder: &mut tar::Builder<Vec<u8>>, name: &str, target: &str) {
    builder.append_link(&mut header(tar::EntryType::Symlink, 0), name, target).unwrap();
}

fn open(bytes: &[u8]) -> Result<Contents> {
    let spool = tempfile::tempdir().unwrap();
    let meter = Meter::new(&Listener::default(), None);
    Contents::open(Source::reader(bytes), spool.path(), &Limits::default(), &meter)
}

fn sample() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    file(&mut builder, "manifest.json", b"[]");
    file(&mut builder, "a/layer.tar", b"layer");
    symlink(&mut builder, "b/layer.tar", "../a/layer.tar");
    symlink(&mut builder, "out", "../../etc/passwd");
    symlink(&mut builder, "absolute", "/etc/passwd");
    symlink(&mut builder, "loop", "loop");
    file(&mut builder, &format!("{}/deep", "long".repeat(60)), b"far");
    builder.into_inner().unwrap()
}

#[test]
fn members_are_found_by_name_and_through_links() {
    let contents = open(&sample()).unwrap();
    assert_eq!(contents.need("manifest.json", 10).unwrap(), b"[]");
    assert_eq!(contents.need("./b//layer.tar", 10).unwrap(), b"layer");
    assert_eq!(contents.need(&format!("{}/deep", "long".repeat(60)), 10).unwrap(), b"far");
    assert!(contents.member("missing").unwrap().is_none());
}

#[test]
fn links_that_leave_the_archive_are_refused() {
    let contents = open(&sample()).unwrap();
    for name in ["out", "absolute", "loop", "../x", "a"] {
        match contents.member(name) {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{name}: {error}"),
            Ok(member) => assert!(name == "a" && member.is_none(), "{name}"),
        }
    }
}

#[test]
fn a_file_that_occurs_twice_is_refused() {
    let mut builder = tar::Builder::new(Vec::new());
    file(&mut builder, "index.json", b"1");
    file(&mut builder, "./index.json", b"2");
    let contents = open(&builder.into_inner().unwrap()).unwrap();
    let error = contents.need("index.json", 10).unwrap_err();
    assert!(error.to_string().contains("occurs twice"), "{error}");
}

#[test]
fn every_prefix_of_an_archive_is_refused() {
    let whole = sample();
    // The end mark is two blocks of zeros, of which one is enough to know that nothing follows.
    for length in (0..whole.len() - 512).step_by(512) {
        let error = match open(&whole[..length]) {
            Ok(_) if length + 512 >= whole.len() => continue,
            Ok(_) => panic!("{length} of {} bytes were accepted", whole.len()),
            Err(error) => error,
        };
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{length}: {error}");
    }
}

#[test]
fn a_text_is_no_archive() {
    for text in [&[b'x'; 2048][..], b"hello\n", b""] {
        let error = open(text).err().unwrap();
        assert!(error.to_string().contains("no tar archive"), "{error}");
    }
}

#[test]
fn a_large_extended_header_exceeds_the_limit() {
    let mut builder = tar::Builder::new(Vec::new());
    let long = vec![b'x'; 2 << 20];
    builder.append(&header(tar::EntryType::XHeader, long.len() as u64), &long[..]).unwrap();
    let error = open(&builder.into_inner().unwrap()).err();
    // The `tar` crate writes a header without a checksum unless asked.
    assert!(error.is_some());
}

#[test]
fn a_directory_is_read_beneath_its_root() {
    let directory = tempfile::tempdir().unwrap();
    let secret = tempfile::NamedTempFile::new().unwrap();
    fs::create_dir(directory.path().join("blobs")).unwrap();
    fs::write(directory.path().join("blobs/a"), "inside").unwrap();
    std::os::unix::fs::symlink("blobs/a", directory.path().join("link")).unwrap();
    std::os::unix::fs::symlink(secret.path(), directory.path().join("secret")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        directory.path().join("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let meter = Meter::new(&Listener::default(), None);
    let contents =
        Contents::open(Source::from(directory.path()), directory.path(), &Limits::default(), &meter).unwrap();
    assert_eq!(contents.need("link", 10).unwrap(), b"inside");
    assert!(!contents.has("secret"));
    assert!(contents.member("fifo").is_err());
    assert!(contents.member("blobs").is_err());
    assert!(!contents.has("nothing/there"));
}
