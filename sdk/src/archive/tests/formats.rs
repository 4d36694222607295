//! Old and odd dialects, and sparse files made by hand.

use std::os::unix::fs::MetadataExt as _;

use super::support::*;
use crate::archive::entry::Kind;
use crate::archive::write::Header;

#[test]
fn a_prefix_in_a_header_of_gnus_magic_counts_as_old_go_wrote_it() {
    let tar = Tar::default().file("name", "").patched(|header| {
        header[257..265].copy_from_slice(b"ustar  \0");
        header[345..355].copy_from_slice(b"a/long/dir");
    });
    assert!(imported(&tar.end()).names().contains(&"a/long/dir/name".to_owned()));
    let times = Tar::default().file("name", "").patched(|header| {
        header[257..265].copy_from_slice(b"ustar  \0");
        header[345..357].copy_from_slice(b"14512345670\0");
    });
    assert_eq!(imported(&times.end()).names(), ["name"]);
}

#[test]
fn an_archive_without_magic_is_read() {
    let plain = |header: &mut [u8]| header[257..].fill(0);
    let tar = Tar::default().file("file", "").patched(plain).entry(header("dir/", Kind::File), b"").patched(|header| {
        plain(header);
        header[156] = 0;
    });
    let layer = imported(&tar.end());
    assert_eq!((mode(&layer, "file"), mode(&layer, "dir")), ("100644".into(), "40644".into()));
}

#[test]
fn entries_without_content_have_none_whatever_their_size_says() {
    let tar = Tar::default()
        .entry(Header { size: 0, ..header("d/", Kind::Directory) }, b"")
        .patched(|header| header[124..135].copy_from_slice(b"00000001000"))
        .file("f", "x");
    assert_eq!(imported(&tar.end()).names(), ["d", "f"]);
}

#[test]
fn x09_nine_gigabytes_of_holes_take_no_room() {
    let data = vec![5; 4096];
    let records = [
        record("GNU.sparse.map", format!("{},4096", 9u64 << 30).as_bytes()),
        record("GNU.sparse.size", format!("{}", (9u64 << 30) + 4096).as_bytes()),
    ];
    let tar = Tar::default()
        .pax(&records.concat())
        .entry(Header { size: 4096, ..header("sparse", Kind::File) }, &data)
        .file("after", "x")
        .end();
    let layer = imported(&tar);
    let metadata = std::fs::metadata(layer.diff().join("sparse")).unwrap();
    assert_eq!(metadata.len(), (9 << 30) + 4096);
    assert!(metadata.blocks() * 512 < 64 << 10);
    assert_eq!(layer.applied.as_ref().unwrap().size, (9 << 30) + 4096 + 1);
}

#[test]
fn sparse_maps_that_contradict_themselves_are_refused() {
    for map in
        ["0", "0,1,0,1", "5,1,2,1", "0,9", "0,2", "99,1", "9223372036854775807,9223372036854775807", "0,-1", "", "a,b"]
    {
        let records = [record("GNU.sparse.map", map.as_bytes()), record("GNU.sparse.size", b"10")].concat();
        let tar = Tar::default().pax(&records).file("f", "x").end();
        refused(&tar);
    }
    let inline = |map: &str| {
        let records =
            [record("GNU.sparse.major", b"1"), record("GNU.sparse.minor", b"0"), record("GNU.sparse.realsize", b"10")];
        let mut content = map.as_bytes().to_vec();
        content.resize(512, 0);
        content.push(b'x');
        let entry = Header { size: 513, ..header("f", Kind::File) };
        Tar::default().pax(&records.concat()).entry(entry, &content).end()
    };
    assert_eq!(imported(&inline("1\n9\n1\n")).text("f"), "\0\0\0\0\0\0\0\0\0x");
    for map in
        ["", "1\n9\n", "2\n0\n1\n", "99999999\n", "x\n", "\n", "18446744073709551616\n", "1\n10\n1\n", "1\n0\n2\n"]
    {
        refused(&inline(map));
    }
    let major = record("GNU.sparse.major", b"2");
    refused(&Tar::default().pax(&major).file("f", "x").end());
}

#[test]
fn c19_random_damage_never_panics_nor_escapes() {
    let whole = Tar::default()
        .directory("d/", 0o755)
        .file("d/f", "content")
        .pax(&record("path", b"d/long"))
        .file("x", "y")
        .symlink("l", "d")
        .hard_link("h", "d/f")
        .end();
    // A fixed generator: failures can be repeated.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    for _ in 0..300 {
        let mut damaged = whole.clone();
        for _ in 0..1 + random(4) {
            let at = random(damaged.len());
            damaged[at] = u8::try_from(random(256)).unwrap();
            let header = at / 512 * 512;
            if random(2) == 0 {
                seal(&mut damaged[header..header + 512]);
            }
        }
        let mut layer = Layer::empty();
        if let Ok(applied) = layer.import(&damaged, &options()) {
            assert_eq!(*applied.diff_id.digest(), crate::spec::Digest::of(&damaged));
        }
        assert_eq!(std::fs::read_dir(layer.base.path()).unwrap().count(), 2);
    }
}
