//! Hostile and broken layers: nothing reaches the host, and nothing of them stays in the store.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use plywood::image::{Copy, ImportOptions, Limits, Source};
use plywood::{Base, ByteSize, Engine, ErrorKind, Image, Layers, Result};
use support::{Tarball, engine};

fn import(engine: &Engine, tar: &[u8]) -> Result<Image> {
    engine.import(Source::reader(tar))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What a census tells of a file: mode, owners, size, time of change, and extended attributes.
type Entry = (u32, (u32, u32), u64, (i64, i64), Vec<u8>);

/// Everything below a directory.
fn census(directory: &Path) -> BTreeMap<String, Entry> {
    let mut found = BTreeMap::new();
    let mut open = vec![directory.to_owned()];
    while let Some(path) = open.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let mut attributes = vec![0; 4096];
        let length = rustix::fs::llistxattr(&path, &mut attributes[..]).unwrap();
        attributes.truncate(length);
        let (owner, time) = ((metadata.uid(), metadata.gid()), (metadata.mtime(), metadata.mtime_nsec()));
        found.insert(path.display().to_string(), (metadata.mode(), owner, metadata.size(), time, attributes));
        if metadata.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    found
}

/// Whether the store holds nothing: no image, no layer, no directory of one.
fn is_empty(engine: &Engine) -> bool {
    let entries = |name: &str| fs::read_dir(engine.path().join(name)).map_or(0, Iterator::count);
    // `l` holds the short names of layers.
    engine.images().unwrap().is_empty()
        && entries("overlay2") <= 1
        && entries("overlay2/l") == 0
        && entries("image/overlay2/layerdb/sha256") == 0
}

#[test]
fn x01_r16_names_that_lead_out_of_the_layer_never_reach_the_host() {
    let parent = tempfile::tempdir().unwrap();
    let canary = parent.path().join("canary");
    fs::create_dir(&canary).unwrap();
    fs::write(canary.join("file"), "alive").unwrap();
    let target = canary.join("file");
    let (target, outside) = (target.to_str().unwrap(), canary.to_str().unwrap());
    let up = "../".repeat(12);
    let before = census(parent.path());
    let root = tempfile::tempdir().unwrap();
    let engine = Engine::open(root.path().join("root")).unwrap();
    for (what, tar) in [
        ("a name with ..", Tarball::new().file(&format!("{up}{}", &target[1..]), "dead")),
        (
            "a name with .. in the middle",
            Tarball::new().directory("d/").file(&format!("d/{up}{}", &target[1..]), "dead"),
        ),
        ("an absolute name", Tarball::new().file(target, "dead")),
        (
            "a hard link out of the tree",
            Tarball::new().hard_link("link", &format!("{up}{}", &target[1..])).file("link", "dead"),
        ),
        ("an absolute hard link", Tarball::new().hard_link("link", target).file("link", "dead")),
        ("a file through an absolute link", Tarball::new().symlink("out", outside).file("out/file", "dead")),
        (
            "a file through a relative link",
            Tarball::new().symlink("out", &format!("{up}{}", &outside[1..])).file("out/new", "dead"),
        ),
        ("a directory over a link", Tarball::new().symlink("out", outside).directory("out/").file("out/new", "dead")),
        (
            "a hard link through a link",
            Tarball::new().symlink("out", outside).hard_link("got", "out/file").file("got", "dead"),
        ),
        ("a chain of links", Tarball::new().symlink("b", outside).symlink("a", "b").file("a/file", "dead")),
        ("a file over a link", Tarball::new().symlink("out", target).file("out", "dead")),
        ("a whiteout below a link", Tarball::new().symlink("out", outside).file("out/.wh.file", "")),
        ("an opaque whiteout below a link", Tarball::new().symlink("out", outside).file("out/.wh..wh..opq", "")),
        ("a whiteout of what is above", Tarball::new().file(".wh...", "").file(".wh.", "")),
    ] {
        match import(&engine, &tar.bytes()) {
            // Sanitised: it is in the layer, and nowhere else.
            Ok(image) => drop(engine.remove_image(&image.id().to_string()).unwrap()),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error:?}");
                assert!(format!("{error:?}").contains("extract"), "{what}: {error:?}");
            }
        }
        assert_eq!(census(parent.path()), before, "{what}");
        assert!(is_empty(&engine), "{what}");
    }
}

#[test]
fn x02_a_link_that_climbs_out_of_a_layer_stays_inside_when_it_runs() {
    let engine = engine();
    // A name that is new on the host and in the layer.
    let outside = tempfile::tempdir().unwrap();
    let name = outside.path().to_str().unwrap().trim_start_matches('/').to_owned();
    let link = format!("../../../../{name}");
    let climbing = Tarball::new().symlink("a", &link).file("a/f", "inside\n");
    assert_eq!(import(&engine, &climbing.bytes()).unwrap_err().kind(), ErrorKind::Corrupt, "it leads nowhere");
    let inside = Tarball::new().directory("tmp/").directory(&format!("{name}/")).symlink("a", &link);
    let options = ImportOptions::new().reference("climbing:1");
    engine.import_with(Source::reader(&inside.file("a/f", "inside\n").bytes()[..]), &options).unwrap();
    let programs = support::base().stage("programs").from("climbing:1");
    let definition = programs.instruction(Copy::of("/").to("/").from_stage("programs"));
    let image = engine.build(&definition).unwrap();
    let script = format!("cat /a/f /{name}/f; echo more >/a/g; ls /{name}");
    assert_eq!(support::run(&engine, &image, &script), "inside\ninside\nf\ng\n");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn what_leads_out_of_the_tree_is_refused_by_name() {
    let engine = engine();
    for (tar, words) in [
        (Tarball::new().file("../escape", "x"), "\"../escape\""),
        (Tarball::new().hard_link("link", "../../etc/passwd"), "\"link\""),
        (Tarball::new().hard_link("link", "absent"), "\"link\""),
    ] {
        let error = import(&engine, &tar.bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
        assert!(format!("{error:?}").contains(words), "{error:?}");
        assert!(is_empty(&engine));
    }
}

#[test]
fn device_nodes_need_root() {
    let engine = engine();
    let tar = Tarball::new().directory("dev/").device("dev/null").bytes();
    let imported = import(&engine, &tar);
    if support::is_root() {
        assert_eq!(imported.unwrap().layers().len(), 1);
    } else {
        let error = imported.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");
        let text = format!("{error:?}");
        assert!(text.contains("\"dev/null\"") && text.contains("need root"), "{text}");
        assert!(is_empty(&engine));
    }
}

#[test]
fn x05_every_part_of_a_broken_archive_is_refused_and_the_whole_comes_in_afterwards() {
    let tar = Tarball::new().directory("etc/").file("etc/a", vec![b'a'; 2000]).file("b", vec![b'b'; 600]).bytes();
    let packed = gzip(&tar);
    let engine = engine();
    // The end marker is two blocks; an archive with one of them is whole enough.
    for end in (0..tar.len() - 1024).step_by(512) {
        let error = import(&engine, &tar[..end]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{end} bytes: {error:?}");
    }
    for end in (1..packed.len()).step_by(7) {
        let error = import(&engine, &packed[..end]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{end} bytes of gzip: {error:?}");
    }
    let mut damaged = packed.clone();
    let checksum = packed.len() - 6;
    damaged[checksum] ^= 1;
    assert_eq!(import(&engine, &damaged).unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(is_empty(&engine));
    assert_eq!(import(&engine, &packed).unwrap().layers().len(), 1);
}

#[test]
fn r25_a_bomb_is_stopped_at_the_limit_that_was_set() {
    let engine = engine();
    let zeros = Tarball::new().file("zeros", vec![0; 32 << 20]).bytes();
    let packed = gzip(&zeros);
    assert!(packed.len() < 64 << 10, "{}", packed.len());
    let limited =
        |limits: Limits| engine.import_with(Source::reader(&packed[..]), &ImportOptions::new().limits(limits));
    let error = limited(Limits::default().uncompressed(ByteSize::mib(4))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error:?}");
    assert!(format!("{error:?}").contains("image::Limits"), "the way out is told: {error:?}");
    assert!(is_empty(&engine));
    assert_eq!(limited(Limits::default()).unwrap().size(), 32 << 20);

    let many = (0..100).fold(Tarball::new(), |tar, number| tar.file(&number.to_string(), "")).bytes();
    let options = ImportOptions::new().limits(Limits::default().entries(50));
    let error = engine.import_with(Source::reader(&many[..]), &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error:?}");
    let options = ImportOptions::new().limits(Limits::default().path(8));
    let long = Tarball::new().file("a/longer/path", "").bytes();
    let error = engine.import_with(Source::reader(&long[..]), &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error:?}");
    assert!(format!("{error:?}").contains("more than 8 bytes in its path"), "{error:?}");
    assert_eq!(engine.images().unwrap().len(), 1);
}

#[test]
fn an_archive_that_add_unpacks_is_no_safer_than_a_layer() {
    let parent = tempfile::tempdir().unwrap();
    let context = parent.path().join("context");
    fs::create_dir(&context).unwrap();
    let canary = parent.path().join("canary");
    fs::write(&canary, "alive").unwrap();
    let name = format!("{}{}", "../".repeat(12), &canary.to_str().unwrap()[1..]);
    fs::write(context.join("evil.tar"), Tarball::new().file(&name, "dead").bytes()).unwrap();
    let engine = engine();
    let definition = Layers::new().from(Base::scratch()).context(&context).add("evil.tar", "/");
    if let Err(error) = engine.build(&definition) {
        assert!(format!("{error:?}").contains("evil.tar"), "{error:?}");
        assert!(engine.images().unwrap().is_empty());
    }
    assert_eq!(fs::read_to_string(&canary).unwrap(), "alive");
}
