#![allow(clippy::unwrap_used)]
use super::*;
use crate::image::fixture::{Store, chain_of, gzip, reference, rootfs};
use std::sync::Arc;
use std::sync::Mutex;

const FILES: &[(&str, &str)] = &[("bin/sh", "#!"), ("etc/passwd", "root:x:0:0::/:/bin/sh\n")];

#[test]
fn a_root_filesystem_becomes_an_image_of_one_layer() {
    let store = Store::new();
    let tar = rootfs(FILES);
    let options = ImportOptions::new()
        .reference("mine")
        .cmd(["sh", "-c", "true"])
        .env("A", "1")
        .env("B", "2")
        .env("A", "3")
        .workdir("/srv/")
        .user("1000:1000")
        .expose(80)
        .volume("/data")
        .label("k", "v")
        .stop_signal("SIGINT");
    let image = import(&store.images, Source::reader(&tar[..]), &options).unwrap();
    assert_eq!(image.references(), [reference("mine:latest")]);
    assert_eq!(image.chain_id(), Some(&chain_of(&tar)));
    assert_eq!(image.platform(), Platform::host());
    let config = &image.config().config;
    assert_eq!(config.env, ["B=2", "A=3"]);
    assert_eq!(config.cmd.as_deref().unwrap(), ["sh", "-c", "true"]);
    assert_eq!((config.working_dir.as_str(), config.user.as_str()), ("/srv", "1000:1000"));
    assert!(config.exposed_ports.contains("80/tcp") && config.volumes.contains("/data"));
    assert_eq!(image.history()[0].comment(), "Imported from -");
    assert_eq!(image.history()[0].layer(), image.layers().first());
}

#[test]
fn the_same_archive_and_time_give_the_same_image_compressed_or_not() {
    let (tar, options) = (rootfs(FILES), ImportOptions::new().created(Timestamp::UNIX_EPOCH));
    let one = import(&Store::new().images, Source::reader(&tar[..]), &options).unwrap();
    let two = import(&Store::new().images, Source::reader(&gzip(&tar)[..]), &options).unwrap();
    assert_eq!(one.id(), two.id());
}

#[test]
fn a_path_tells_how_far_the_import_is_and_where_the_image_is_from() {
    let store = Store::new();
    let tar = rootfs(&[("big", &"x".repeat(1 << 20))]);
    let path = store.directory.path().join("rootfs.tar");
    std::fs::write(&path, &tar).unwrap();
    let last = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&last);
    let options = ImportOptions::new().progress(move |progress| *seen.lock().unwrap() = Some(*progress));
    let image = import(&store.images, Source::from(&path), &options).unwrap();
    let last = last.lock().unwrap().unwrap();
    assert_eq!((last.read(), last.total()), (tar.len() as u64, Some(tar.len() as u64)));
    assert_eq!(image.history()[0].comment(), format!("Imported from {}", path.display()));
    assert!(image.references().is_empty());
}

#[test]
fn a_name_that_another_image_has_is_refused_and_nothing_stays() {
    let store = Store::new();
    let old = store.import("mine:1", FILES);
    let before = store.tree();
    let other = rootfs(&[("other", "1")]);
    let options = ImportOptions::new().reference("mine:1");
    let error = import(&store.images, Source::reader(&other[..]), &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(store.images.find("mine:1").unwrap(), old);
    assert_eq!(store.tree(), before);
    let new = import(&store.images, Source::reader(&other[..]), &options.clone().overwrite()).unwrap();
    assert_eq!(store.images.find("mine:1").unwrap(), new);
}

#[test]
fn x05_every_prefix_of_an_archive_is_refused_and_nothing_stays() {
    let store = Store::new();
    let before = store.tree();
    let tar = rootfs(FILES);
    let compressed = gzip(&tar);
    let cut = |bytes: &[u8], length: usize| {
        import(&store.images, Source::reader(&bytes[..length]), &ImportOptions::new()).err()
    };
    // The last block of zeros is all that a tar can lose without losing anything.
    for length in (0..tar.len() - 1024).step_by(512) {
        assert!(cut(&tar, length).is_some(), "{length} of {} bytes", tar.len());
    }
    for length in 0..compressed.len() {
        assert!(cut(&compressed, length).is_some(), "{length} of {} compressed bytes", compressed.len());
    }
    assert_eq!(store.tree(), before);
    assert!(import(&store.images, Source::reader(&compressed[..]), &ImportOptions::new()).is_ok());
}

#[test]
fn malformed_values_are_refused_before_the_archive_is_read() {
    let store = Store::new();
    for options in [
        ImportOptions::new().reference("Upper"),
        ImportOptions::new().workdir("relative"),
        ImportOptions::new().user("4294967296"),
        ImportOptions::new().env("A=B", "1"),
        ImportOptions::new().volume("data"),
    ] {
        let error = import(&store.images, Source::from("/does/not/exist"), &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    }
    let error = import(&store.images, Source::from(store.directory.path()), &ImportOptions::new()).unwrap_err();
    assert!(error.to_string().contains("is a directory"), "{error}");
}
