//! Hostile archives: whatever they say, nothing outside the layer's directory changes, and the result is either the
//! harmless tree or an error.

use std::fs;
use std::time::{Duration, Instant};

use super::support::*;
use crate::archive::entry::Kind;
use crate::archive::write::Header;
use crate::archive::*;
use crate::error::ErrorKind;

#[test]
fn r16_a_path_that_leads_out_is_refused_and_an_absolute_one_lands_inside() {
    let error = refused(&Tar::default().file(&format!("{}tmp/x", "../".repeat(12)), "x").end());
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("the path leads out of the layer"), "{error}");
    assert_eq!(imported(&Tar::default().file("/etc/x", "inside").end()).text("etc/x"), "inside");
}

#[test]
fn x02_r16_a_file_below_a_symbolic_link_lands_inside_or_is_refused() {
    let mut layer = Layer::empty();
    let outside = layer.outside();
    let target = outside.to_str().unwrap();
    // The target does not exist inside: refused, and not made anywhere.
    let tar = Tar::default().symlink("a", target).file("a/f", "x").end();
    let error = layer.import(&tar, &options()).unwrap_err();
    assert!(error.to_string().contains("leads nowhere"), "{error}");
    refused(&Tar::default().symlink("a", "../../../../tmp/c").file("a/f", "x").end());
    // Where it exists inside, links resolve there.
    for target in ["/real", "real", "../../../real", "b/../real"] {
        let tar = Tar::default()
            .directory("real/", 0o755)
            .directory("b/", 0o755)
            .symlink("a", target)
            .file("a/f", "inside")
            .directory("a/d/", 0o700)
            .file("a/d/g", "deeper")
            .end();
        let layer = imported(&tar);
        assert_eq!(layer.text("real/f"), "inside", "{target}");
        assert_eq!(mode(&layer, "real/d"), "40700", "{target}");
    }
    let chain = Tar::default().symlink("a", "b").symlink("b", "c").symlink("c", "a").file("a/f", "x").end();
    assert!(refused(&chain).to_string().contains("leads through symbolic links"));
}

#[test]
fn r16_r37_a_hard_link_reaches_nothing_but_this_layer() {
    for target in ["../../outside/secret", "/etc/passwd", "missing", "", ".", "d"] {
        let tar = Tar::default().directory("d/", 0o755).hard_link("h", target).end();
        assert_eq!(refused(&tar).kind(), ErrorKind::Corrupt, "{target:?}");
    }
    let base = Layer::empty();
    let through = Tar::default().symlink("out", base.outside().to_str().unwrap()).hard_link("h", "out/secret").end();
    assert!(refused(&through).to_string().contains("leads through symbolic links"));
    let through = Tar::default().file("d/f", "x").symlink("l", "d").hard_link("h", "l/f").end();
    assert!(refused(&through).to_string().contains("leads through symbolic links"));
}

#[test]
fn r16_rewriting_a_name_leaves_its_hard_links_and_targets_alone() {
    let layer = imported(&Tar::default().file("a", "first").hard_link("b", "a").file("a", "second").end());
    assert_eq!((layer.text("a"), layer.text("b")), ("second".into(), "first".into()));
    let mut layer = Layer::empty();
    let secret = layer.outside().join("secret");
    let link = Tar::default().symlink("a", secret.to_str().unwrap());
    layer.import(&link.clone().file("a", "x").end(), &options()).unwrap();
    assert_eq!(layer.text("a"), "x");
    assert_eq!(fs::read_to_string(&secret).unwrap(), "secret");
    // A hard link to a link is a link.
    let mut layer = Layer::empty();
    layer.import(&link.hard_link("h", "a").file("h", "x").end(), &options()).unwrap();
    assert_eq!(fs::read_to_string(&secret).unwrap(), "secret");
}

#[test]
fn x03_r15_r16_a_directory_over_a_link_changes_nothing_behind_the_link() {
    let mut layer = Layer::empty();
    let outside = layer.outside();
    let before = manifest(&outside);
    let tar = Tar::default()
        .directory("d/", 0o700)
        .symlink("d", outside.join("dir").to_str().unwrap())
        .directory("d/", 0o777)
        .file("d/f", "inside")
        .end();
    layer.import(&tar, &options()).unwrap();
    assert_eq!(mode(&layer, "d"), "40777");
    assert_eq!(layer.text("d/f"), "inside");
    assert_eq!(manifest(&outside), before);
}

#[test]
fn r15_attributes_never_pass_a_link() {
    let mut layer = Layer::empty();
    let outside = layer.outside();
    let before = manifest(&outside);
    let xattrs = [(b"user.evil".to_vec(), b"x".to_vec())];
    let link = outside.join("secret");
    let entry = Header { link: link.to_str().unwrap().as_bytes(), xattrs: &xattrs, ..header("l", Kind::Symlink) };
    layer.import(&Tar::default().entry(entry, b"").end(), &options()).unwrap();
    assert_eq!(manifest(&outside), before);
}

#[test]
fn r16_r18_whiteouts_below_links_stay_inside() {
    let layer = imported(
        &Tar::default()
            .directory("real/", 0o755)
            .symlink("l", "/real")
            .file("l/.wh.x", "")
            .file("l/.wh..wh..opq", "")
            .end(),
    );
    assert!(is_whiteout(&layer, "real/x"));
    assert!(is_opaque(&layer, "real"));
    let base = Layer::empty();
    let out = base.outside();
    let tar = Tar::default().symlink("l", out.to_str().unwrap()).file("l/.wh.secret", "").end();
    refused(&tar);
    assert!(out.join("secret").exists());
}

#[test]
fn x10_r18_odd_whiteout_names_are_refused_or_ignored() {
    for name in [".wh.", ".wh..", ".wh...", "d/.wh."] {
        assert!(refused(&Tar::default().file(name, "").end()).to_string().contains("a whiteout of nothing"), "{name}");
    }
    assert!(refused(&Tar::default().file(".wh.a/b", "").end()).to_string().contains("below a whiteout"));
    let tar = Tar::default().directory(".wh..wh.plnk/", 0o700).file(".wh..wh.plnk/1.2", "x").file(".wh..wh.aufs", "y");
    assert_eq!(imported(&tar.end()).names(), [""; 0]);
}

#[test]
fn r38_overlay_state_in_an_archive_is_stripped() {
    let overlay =
        ["trusted.overlay.opaque", "trusted.overlay.redirect", "user.overlay.opaque", "user.overlay.metacopy"];
    let mut xattrs: Vec<_> = overlay.iter().map(|name| (name.as_bytes().to_vec(), b"y".to_vec())).collect();
    xattrs.push((b"security.selinux".to_vec(), b"label".to_vec()));
    let tar = Tar::default()
        .entry(Header { xattrs: &xattrs, ..header("d/", Kind::Directory) }, b"")
        .entry(Header { xattrs: &xattrs, ..header("f", Kind::File) }, b"")
        .end();
    let layer = imported(&tar);
    for (path, description) in manifest(&layer.diff()) {
        assert!(!description.contains("overlay") && !description.contains("selinux"), "{path}: {description}");
    }
}

#[test]
fn r18_the_root_can_only_be_a_directory() {
    for name in [".", "./", "/", "a/.."] {
        let bad = [
            Tar::default().symlink(name.trim_end_matches('/'), "/tmp"),
            Tar::default().entry(Header { size: 1, ..header(".", Kind::File) }, b"x"),
            Tar::default().entry(header(name.trim_end_matches('/'), Kind::Fifo), b""),
        ];
        for tar in bad {
            refused(&tar.end());
        }
    }
    let layer = imported(&Tar::default().directory("./", 0o700).file("f", "x").end());
    assert_eq!(mode(&layer, ""), "40700");
    // A root that nobody may enter does not stop its own extraction.
    let layer = imported_closed(&Tar::default().directory("./", 0o000).file("d/f", "x").directory("d/", 0o000).end());
    assert_eq!(mode(&layer, ""), "40000");
}

/// Imports a layer whose root cannot be entered by its owner, who can undo that.
fn imported_closed(tar: &[u8]) -> Layer {
    let mut layer = Layer::empty();
    layer.import(tar, &options()).unwrap();
    layer
}

#[test]
fn x08_device_nodes_need_root_and_owners_must_fit() {
    let entry = Header { device: (1, 3), ..header("null", Kind::CharDevice) };
    let tar = Tar::default().entry(entry, b"").end();
    let flat = ApplyOptions { ownership: Ownership::Flatten, ..options() };
    let error = Layer::empty().import(&tar, &flat).unwrap_err();
    assert_eq!(error.to_string(), "extract \"null\": device nodes need root");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    for uid in ["-1", "4294967295", "4294967296", "18446744073709551615", "x"] {
        let tar = Tar::default().pax(&record("uid", uid.as_bytes())).file("f", "");
        refused(&tar.end());
    }
    let negative = Tar::default().file("f", "").patched(|header| header[108..116].fill(0xff));
    assert!(refused(&negative.end()).to_string().contains("its owner is not a number"));
    if !is_root() {
        return skip("owners are kept as root only");
    }
    for uid in [0, 65534, 1 << 21, (1 << 31) - 1, 1 << 31, u32::MAX - 1] {
        let layer = imported(&Tar::default().entry(Header { uid, gid: uid, ..header("f", Kind::File) }, b"").end());
        use std::os::unix::fs::MetadataExt as _;
        let metadata = fs::metadata(layer.diff().join("f")).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (uid, uid));
    }
    let layer = imported(&tar);
    assert_eq!(mode(&layer, "null"), "20644");
}

#[test]
fn r17_zero_bytes_and_malformed_headers_are_refused() {
    refused(&Tar::default().pax(&record("path", b"a\0b")).file("f", "").end());
    refused(&Tar::default().pax(&record("linkpath", b"a\0b")).symlink("f", "x").end());
    refused(&Tar::default().pax(b"7 path=\n").file("f", "").end());
    refused(&Tar::default().pax(b"garbage").file("f", "").end());
    refused(&Tar::default().pax(&record("size", b"-1")).file("f", "").end());
    let mut damaged = Tar::default().file("f", "content").end();
    damaged[3] ^= 1;
    assert!(refused(&damaged).to_string().contains("checksum"));
    let negative = Tar::default().file("f", "").patched(|header| header[124..136].fill(0xff)).end();
    refused(&negative);
    let unknown = Tar::default().file("f", "").patched(|header| header[156] = b'D').end();
    assert!(refused(&unknown).to_string().contains("kind 'D' is unknown"));
    let half = [Tar::default().file("f", "x").bytes, vec![0; 512], Tar::default().file("g", "").end()].concat();
    refused(&half);
    refused(&Tar::default().file("f/", "content").end());
    let global = Tar::default().pax(&record("size", b"512")).patched(|_| {});
    let mut global = global.bytes;
    global[156] = b'g';
    seal(&mut global[..512]);
    refused(&[global, Tar::default().file("f", "").end()].concat());
}

#[test]
fn x04_r16_r17_the_size_in_an_extended_header_counts() {
    let inner = Tar::default().file("smuggled", "evil").end();
    let size = inner.len().to_string();
    for stated in [0u64, 512] {
        let tar = Tar::default()
            .pax(&record("size", size.as_bytes()))
            .entry(Header { size: stated, ..header("outer.bin", Kind::File) }, b"")
            .raw(&inner)
            .end();
        let layer = imported(&tar);
        assert_eq!(layer.names(), ["outer.bin"]);
        assert_eq!(fs::read(layer.diff().join("outer.bin")).unwrap(), inner);
    }
}

#[test]
fn a_pipe_and_a_file_of_that_name_do_not_block() {
    let started = Instant::now();
    let tar = Tar::default().entry(header("p", Kind::Fifo), b"").file("p", "file").entry(header("p", Kind::Fifo), b"");
    let layer = imported(&tar.clone().file("p", "last").end());
    assert_eq!(layer.text("p"), "last");
    imported(&tar.end());
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_child_of_a_file_is_refused() {
    let error = refused(&Tar::default().file("f", "x").file("f/child", "y").end());
    assert!(error.to_string().contains("\"f\" is not a directory"), "{error}");
}

#[test]
fn set_user_id_is_kept() {
    let tar = Tar::default().entry(Header { mode: 0o4755, size: 1, ..header("su", Kind::File) }, b"x").end();
    assert_eq!(mode(&imported(&tar), "su"), "104755");
}

#[test]
fn x05_every_prefix_of_an_archive_is_refused_and_the_whole_then_passes() {
    let mut tar = Tar::default().directory("d/", 0o755);
    for index in 0..12 {
        let name = format!("d/{}{index}", "long-name-".repeat(12 * (index % 3)));
        tar = tar.file(&name, &"content ".repeat(index * 45));
    }
    let whole = tar.symlink("l", "d").hard_link("h", "l").file(".wh.gone", "").end();
    assert!(whole.len() < 60 << 10);
    for end in (0..whole.len()).step_by(512) {
        let error = refused(&whole[..end]);
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{end}");
        if end + 300 < whole.len() {
            refused(&whole[..end + 300]);
        }
    }
    imported(&whole);
}

#[test]
fn r25_limits_are_errors_that_say_so() {
    let limited = |limits: Limits, tar: &[u8]| {
        let error = Layer::empty().import(tar, &ApplyOptions { limits, ..options() }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
        error.to_string()
    };
    let three = Tar::default().file("a", "").file("b", "").file("c", "").end();
    let said = limited(Limits::default().entries(2), &three);
    assert_eq!(said, "read archive: more than 2 entries in one layer");
    let long = Tar::default().pax(&record("comment", &vec![b'x'; 2 << 20])).file("f", "").end();
    limited(Limits::default(), &long);
    // Two gigabytes announced, not sent.
    let bomb = Tar::default().entry(Header { size: 2 << 30, ..header("x", Kind::File) }, b"");
    limited(Limits::default(), &bomb.patched(|header| header[156] = b'x').end());
    let attribute = [(b"user.big".to_vec(), vec![b'x'; 70_000])];
    let big = Tar::default().entry(Header { xattrs: &attribute, ..header("f", Kind::File) }, b"").end();
    limited(Limits::default(), &big);
    let large = Tar::default().file("f", &"x".repeat(3 << 20)).end();
    limited(Limits::default().uncompressed((1u64 << 20).into()), &large);
    let holes = Tar::default()
        .pax(&[record("GNU.sparse.map", b"0,1"), record("GNU.sparse.size", b"99999999999999")].concat())
        .file("f", "x");
    limited(Limits::default(), &holes.end());
    let full = Layer::empty()
        .import(&three, &ApplyOptions { limits: Limits::default().free_space(u64::MAX.into()), ..options() });
    assert_eq!(full.unwrap_err().kind(), ErrorKind::Unavailable);
}
