//! Layers with every kind of whiteout, flattened by plywood and by Docker's own daemon to the same tree.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use plywood::image::Source;
use plywood::{Container, Durability, Engine, EngineOptions, StorageDriver};
use support::dockerd::Dockerd;
use support::{Tarball, require_program, require_root};

/// An archive of an image with these layers, as `docker save` writes one.
fn archive(name: &str, layers: &[Vec<u8>]) -> Vec<u8> {
    let engine = support::engine();
    let diff_id = |layer: &Vec<u8>| {
        let image = engine.import(Source::reader(&layer[..])).unwrap();
        image.layers()[0].diff_id().to_string()
    };
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "created": "2024-01-02T03:04:05Z", "config": {"Cmd": ["/none"]},
        "rootfs": {"type": "layers", "diff_ids": layers.iter().map(diff_id).collect::<Vec<_>>()},
    });
    let names: Vec<_> = (0..layers.len()).map(|number| format!("{number}/layer.tar")).collect();
    let manifest = serde_json::json!([{"Config": "config.json", "RepoTags": [name], "Layers": names}]);
    let archive = Tarball::new().file("config.json", config.to_string()).file("manifest.json", manifest.to_string());
    names.iter().zip(layers).fold(archive, |archive, (name, layer)| archive.file(name, layer)).bytes()
}

/// What an exported container has below `t`: kind, mode, owner, content or target, by path. Hard links are content.
fn tree(exported: &[u8]) -> BTreeMap<String, String> {
    let (mut found, mut contents) = (BTreeMap::new(), BTreeMap::new());
    for entry in tar::Archive::new(exported).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().trim_end_matches('/').to_owned();
        let Some(path) = path.strip_prefix("t/").map(str::to_owned) else { continue };
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        let target = entry.link_name().unwrap().map(|link| link.to_string_lossy().into_owned()).unwrap_or_default();
        let (kind, header) = (entry.header().entry_type(), entry.header());
        if kind == tar::EntryType::Link {
            content = contents.get(target.trim_start_matches("t/")).cloned().unwrap();
        }
        let kind = if kind == tar::EntryType::Link { tar::EntryType::Regular } else { kind };
        let target = if kind == tar::EntryType::Symlink { target } else { String::new() };
        let mode = header.mode().unwrap() & 0o7777;
        contents.insert(path.clone(), content.clone());
        found.insert(
            path,
            format!("{kind:?} {mode:o} {}:{} {content}{target}", header.uid().unwrap(), header.gid().unwrap()),
        );
    }
    found
}

fn by_plywood(archive: &[u8]) -> plywood::Result<BTreeMap<String, String>> {
    let stacked = by_driver(StorageDriver::Overlay2, archive)?;
    assert_eq!(by_driver(StorageDriver::Vfs, archive)?, stacked, "the same with every driver");
    Ok(stacked)
}

fn by_driver(driver: StorageDriver, archive: &[u8]) -> plywood::Result<BTreeMap<String, String>> {
    let root = tempfile::tempdir().unwrap();
    let options = EngineOptions::new().durability(Durability::Fast).driver(driver);
    let engine = Engine::open_with(root.path().join("root"), options)?;
    let loaded = engine.load(Source::reader(archive))?;
    let container = Container::of(loaded[0].image()).create(&engine)?;
    let mut exported = Vec::new();
    container.export(&mut exported)?;
    Ok(tree(&exported))
}

/// The same of Docker; none if it refuses the archive.
fn by_docker(daemon: &Dockerd, root: &Path, name: &str, archive: &[u8]) -> Option<BTreeMap<String, String>> {
    let file = root.with_extension("tar");
    fs::write(&file, archive).unwrap();
    let loaded = daemon.try_docker(root, &["load", "--quiet", "--input", file.to_str().unwrap()]);
    if !loaded.status.success() {
        return None;
    }
    let id = daemon.docker(root, &["create", name]);
    Some(tree(&daemon.try_docker(root, &["export", &id]).stdout))
}

fn layers() -> Vec<Vec<u8>> {
    let one = Tarball::new().directory("t/").file("t/file", "1").directory("t/dir/").file("t/dir/a", "1");
    let one = one.file("t/dir/b", "1").symlink("t/to-dir", "dir").file("t/first", "1").hard_link("t/second", "t/first");
    let one = ["opaque-first", "opaque-middle", "opaque-last", "removed-later", "made-a-file"]
        .iter()
        .fold(one.file("t/made-a-directory", "1"), |tar, name| {
            tar.directory(&format!("t/{name}/")).file(&format!("t/{name}/old"), "1")
        });
    let two = Tarball::new().directory("t/").file("t/.wh.file", "").file("t/.wh.dir", "").file("t/.wh.missing", "");
    let two = two.file("t/.wh.first", "").file("t/.wh.made-a-file", "").file("t/made-a-file", "2");
    let two = two.file("t/.wh.made-a-directory", "").directory("t/made-a-directory/").file("t/made-a-directory/f", "2");
    let two = two.directory("t/opaque-first/").file("t/opaque-first/.wh..wh..opq", "").file("t/opaque-first/new", "2");
    let two = two.directory("t/opaque-middle/").file("t/opaque-middle/new", "2");
    let two = two.file("t/opaque-middle/.wh..wh..opq", "").file("t/opaque-middle/newer", "2");
    let two = two.directory("t/opaque-last/").file("t/opaque-last/new", "2").file("t/opaque-last/.wh..wh..opq", "");
    let two = two.directory("t/removed-later/").file("t/removed-later/.wh..wh..opq", "").file("t/removed-later/n", "2");
    let two = two.directory("t/.wh..wh.plnk/").file("t/.wh..wh.aufs", "");
    let three = Tarball::new().directory("t/").file("t/file", "3").directory("t/dir/").file("t/dir/c", "3");
    let three = three.file("t/.wh.removed-later", "").file("t/opaque-first/.wh.new", "").file("t/second", "3");
    [one, two, three].map(Tarball::bytes).into()
}

#[test]
fn x10_layers_with_whiteouts_become_the_tree_that_docker_makes_of_them() {
    require_root!();
    for program in Dockerd::PROGRAMS {
        require_program!(program);
    }
    let directory = tempfile::Builder::new().prefix("plywood-docker").tempdir().unwrap();
    let root = directory.path().join("root");
    let daemon = Dockerd::start(directory.path(), &[&root], "overlay2");
    let whole = archive("whole:1", &layers());
    let theirs = by_docker(&daemon, &root, "whole:1", &whole).unwrap();
    assert_eq!(theirs["dir"], "Directory 755 0:0 ");
    assert!(theirs["file"].ends_with(" 3") && !theirs.contains_key("dir/a"), "{theirs:#?}");
    assert_eq!(by_plywood(&whole).unwrap(), theirs);
    // A whiteout after what the same layer has made hides what is below only; where Docker takes it, so it does. One of
    // everything below the root has no effect in either.
    let below = Tarball::new().directory("t/").file("t/f", "1").bytes();
    for (name, above) in [
        ("file:1", Tarball::new().directory("t/").file("t/f", "2").file("t/.wh.f", "")),
        ("directory:1", Tarball::new().directory("t/").directory("t/f/").file("t/f/x", "2").file("t/.wh.f", "")),
        ("root:1", Tarball::new().directory("t/").file("t/new", "2").file(".wh..wh..opq", "")),
        ("twice:1", Tarball::new().directory("t/").file("t/.wh.f", "").file("t/.wh.f", "")),
    ] {
        let archive = archive(name, &[below.clone(), above.bytes()]);
        let ours = by_plywood(&archive).unwrap();
        match by_docker(&daemon, &root, name, &archive) {
            Some(theirs) => assert_eq!(ours, theirs, "{name}"),
            None => assert!(ours.values().all(|file| !file.ends_with(" 1")), "{name}: {ours:?}"),
        }
    }
    daemon.stop();
}
