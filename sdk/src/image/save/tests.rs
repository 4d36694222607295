#![allow(clippy::unwrap_used)]
use super::*;
use crate::image::fixture::{Store, reference};
use crate::image::load::{LoadOptions, load};
use crate::image::source::Source;
use std::os::unix::fs::PermissionsExt;

fn bytes(store: &Store, names: &[&str], format: Format) -> Vec<u8> {
    let mut bytes = Vec::new();
    save(&store.images, names, Target::writer(&mut bytes), format).unwrap();
    bytes
}

fn sample() -> Store {
    let store = Store::new();
    let base = store.import("base:1", &[("etc/a", "one"), ("long", &"x".repeat(1000))]);
    store.extend("ghcr.io/me/app:2", &base, &[("etc/b", "two"), ("etc/.wh.a", "")]);
    store.images.tag("base:1", &reference("base:latest")).unwrap();
    store
}

#[test]
fn an_empty_store_gets_the_same_images_from_an_archive() {
    let store = sample();
    let names = ["base:1", "base:latest", "ghcr.io/me/app:2"];
    for format in [Format::Docker, Format::OciArchive] {
        let archive = bytes(&store, &names, format);
        let other = Store::new();
        let loaded = load(&other.images, Source::reader(&archive[..]), &LoadOptions::new()).unwrap();
        assert_eq!(loaded.len(), 2);
        for name in names {
            let (one, two) = (store.images.find(name).unwrap(), other.images.find(name).unwrap());
            assert_eq!(one.id(), two.id());
            assert_eq!(one.config().diff_ids(), two.config().diff_ids());
            assert_eq!(one.references(), two.references());
            assert_eq!(one.size(), two.size());
        }
        assert_eq!(bytes(&other, &names, format), archive, "{format:?}");
    }
}

#[test]
fn a_directory_is_an_oci_layout_that_loads() {
    let store = sample();
    let path = store.directory.path().join("layout");
    save(&store.images, &["ghcr.io/me/app:2"], Target::from(&path), Format::OciDirectory).unwrap();
    assert!(path.join("oci-layout").is_file() && !path.join("manifest.json").exists());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o755);
    let other = Store::new();
    let loaded = load(&other.images, Source::from(&path), &LoadOptions::new()).unwrap();
    assert_eq!(loaded[0].references(), [reference("ghcr.io/me/app:2")]);
    assert_eq!(*loaded[0].image(), store.images.find("ghcr.io/me/app:2").unwrap());
    let error = save(&store.images, &["base:1"], Target::from(&path), Format::OciDirectory).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
}

#[test]
fn members_are_sorted_and_have_no_times() {
    let store = sample();
    let archive = bytes(&store, &["base:1"], Format::Docker);
    assert_eq!(archive, bytes(&store, &["base:1", "base:1"], Format::Docker));
    let mut tar = tar::Archive::new(&archive[..]);
    let mut names = Vec::new();
    for entry in tar.entries().unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.header().mtime().unwrap(), 0);
        names.push(entry.path().unwrap().display().to_string());
    }
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!(names, sorted);
    let rest: Vec<_> = names.iter().filter(|name| !name.starts_with("blobs/")).collect();
    assert_eq!(rest, ["index.json", "manifest.json", "oci-layout", "repositories"]);
}

#[test]
fn an_image_saved_by_its_id_has_no_name() {
    let store = sample();
    let id = store.images.find("base:1").unwrap().id().clone();
    let archive = bytes(&store, &[id.as_str()], Format::Docker);
    let other = Store::new();
    let loaded = load(&other.images, Source::reader(&archive[..]), &LoadOptions::new()).unwrap();
    assert_eq!(loaded[0].references(), []);
    assert_eq!(loaded[0].image().id(), &id);
}

#[test]
fn a_layer_that_was_altered_is_not_saved_and_the_path_stays_as_it_was() {
    let store = sample();
    let path = store.directory.path().join("out.tar");
    std::fs::write(&path, "old").unwrap();
    let layer = store.images.find("base:1").unwrap().layers()[0].clone();
    let file = store.images.root().layer_dir(layer.cache_id()).join("diff/etc/a");
    std::fs::write(file, "two").unwrap();
    let error = save(&store.images, &["base:1"], Target::from(&path), Format::Docker).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
}

#[test]
fn what_cannot_be_saved_is_refused() {
    let store = sample();
    let refused =
        |names: &[&str], target: Target<'_>, format| save(&store.images, names, target, format).unwrap_err().kind();
    assert_eq!(refused(&["none:1"], Target::from("/dev/null"), Format::Docker), ErrorKind::NotFound);
    assert_eq!(refused(&[], Target::from("/dev/null"), Format::Docker), ErrorKind::InvalidArgument);
    let writer = Target::writer(std::io::sink());
    assert_eq!(refused(&["base:1"], writer, Format::OciDirectory), ErrorKind::InvalidArgument);
}

#[test]
fn a_device_takes_the_bytes_as_they_come() {
    let store = sample();
    save(&store.images, &["base:1"], Target::from("/dev/null"), Format::Docker).unwrap();
    assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
}

/// Runs another tool on what was saved; `None` if this host lacks the tool.
#[allow(clippy::print_stderr)]
fn tool(name: &str, args: &[&str]) -> Option<String> {
    match std::process::Command::new(name).args(args).output() {
        Ok(output) => {
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{name} {args:?}: {error}");
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(error) => {
            eprintln!("skipped: {name} cannot be run: {error}");
            None
        }
    }
}

#[test]
fn gnu_tar_lists_what_was_saved() {
    let store = sample();
    let path = store.directory.path().join("out.tar");
    save(&store.images, &["base:1"], Target::from(&path), Format::Docker).unwrap();
    if let Some(list) = tool("tar", &["-tf", path.to_str().unwrap()]) {
        assert!(list.lines().any(|line| line == "index.json") && list.starts_with("blobs/\nblobs/sha256/\n"), "{list}");
    }
}

#[test]
fn skopeo_copies_what_was_saved_and_its_copy_loads() {
    let store = sample();
    let (archive, layout) = (store.directory.path().join("out.tar"), store.directory.path().join("copy"));
    save(&store.images, &["ghcr.io/me/app:2"], Target::from(&archive), Format::Docker).unwrap();
    let image = store.images.find("ghcr.io/me/app:2").unwrap();
    for kind in ["docker-archive", "oci-archive"] {
        let from = format!("{kind}:{}", archive.display());
        let to = format!("oci:{}:ghcr.io/me/app:2", layout.display());
        if tool("skopeo", &["copy", "--insecure-policy", "-q", &from, &to]).is_none() {
            return;
        }
        let other = Store::new();
        let loaded = load(&other.images, Source::from(&layout), &LoadOptions::new()).unwrap();
        assert_eq!(loaded[0].references(), image.references(), "{kind}");
        assert_eq!(loaded[0].image().config().diff_ids(), image.config().diff_ids(), "{kind}");
        let back = store.directory.path().join(format!("{kind}.tar"));
        let from = format!("oci:{}:ghcr.io/me/app:2", layout.display());
        tool("skopeo", &["copy", "--insecure-policy", "-q", &from, &format!("docker-archive:{}:x:1", back.display())]);
        let loaded = load(&Store::new().images, Source::from(&back), &LoadOptions::new()).unwrap();
        assert_eq!(loaded[0].references(), [reference("x:1")]);
        assert_eq!(loaded[0].image().config().diff_ids(), image.config().diff_ids(), "{kind}");
        std::fs::remove_dir_all(&layout).unwrap();
    }
}

#[test]
fn umoci_lists_the_layout_that_was_saved() {
    let store = sample();
    let path = store.directory.path().join("layout");
    save(&store.images, &["base:1"], Target::from(&path), Format::OciDirectory).unwrap();
    if let Some(list) = tool("umoci", &["ls", "--layout", path.to_str().unwrap()]) {
        assert_eq!(list.trim(), "1");
    }
}
