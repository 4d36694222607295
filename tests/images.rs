//! Images in and out of the store, and their names.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use plywood::image::{Format, ImportOptions, LoadOptions, Source, Target};
use plywood::{Container, Engine, ErrorKind, Image, Timestamp};
use support::{Tarball, engine, image, run, sh, text};

/// A gzip stream of these bytes.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn sample() -> Vec<u8> {
    Tarball::new().directory("etc/").file("etc/name", "value\n").symlink("link", "etc/name").bytes()
}

/// The tar of a real root file system: the layer of an image made from the host's programs.
fn root_file_system(directory: &Path) -> PathBuf {
    let engine = engine();
    let image = image(&engine);
    let layout = directory.join("layout");
    engine.save_as(&[&image.id().to_string()], Target::path(&layout), Format::OciDirectory).unwrap();
    layout.join("blobs/sha256").join(image.layers()[0].diff_id().hex())
}

fn ids(engine: &Engine) -> Vec<String> {
    engine.images().unwrap().iter().map(|image| image.id().to_string()).collect()
}

#[test]
fn an_imported_root_file_system_runs() {
    let directory = tempfile::tempdir().unwrap();
    let tar = root_file_system(directory.path());
    let engine = engine();
    let options = ImportOptions::new()
        .reference("local/base:1")
        .env("GREETING", "hello")
        .workdir("/etc")
        .label("purpose", "test")
        .cmd(["sh", "-c", "echo $GREETING from $(pwd)"]);
    let image = engine.import_with(&tar, &options).unwrap();
    assert_eq!(image.layers().len(), 1);
    assert_eq!(image.references()[0].familiar(), "local/base:1");
    assert_eq!(image.config().config.labels["purpose"], "test");
    assert_eq!(image.architecture(), plywood::Platform::host().architecture);
    let output = Container::of("local/base:1").output(&engine).unwrap();
    assert_eq!(text(output), "hello from /etc\n");
}

#[test]
fn the_same_archive_gives_the_same_image_however_it_comes() {
    let directory = tempfile::tempdir().unwrap();
    let [plain, packed] = ["plain.tar", "packed.tar.gz"].map(|name| directory.path().join(name));
    fs::write(&plain, sample()).unwrap();
    fs::write(&packed, gzip(&sample())).unwrap();
    let options = ImportOptions::new().created(Timestamp::now()).comment("same");
    let engine = engine();
    let image = engine.import_with(&plain, &options).unwrap();
    assert_eq!(engine.import_with(&packed, &options).unwrap(), image);
    assert_eq!(engine.import_with(Source::reader(&sample()[..]), &options).unwrap(), image);
    assert_eq!(engine.import_with(fs::File::open(&packed).unwrap(), &options).unwrap(), image);
    assert_eq!(ids(&engine), [image.id().to_string()]);
    assert_eq!(image.history()[0].comment(), "same");
    let expected = plywood::spec::Digest::of(&sample());
    assert_eq!(image.layers()[0].diff_id().to_string(), expected.to_string(), "the digest of the plain tar");
}

#[test]
fn progress_counts_the_bytes_of_the_source_to_their_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("large.tar");
    fs::write(&path, Tarball::new().file("large", vec![7; 3 << 20]).bytes()).unwrap();
    let size = fs::metadata(&path).unwrap().len();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&heard);
    let options = ImportOptions::new()
        .progress(move |progress| listener.lock().unwrap().push((progress.read(), progress.total())));
    engine().import_with(&path, &options).unwrap();
    let heard = heard.lock().unwrap();
    assert!(heard.len() > 3, "{heard:?}");
    assert!(heard.is_sorted());
    assert_eq!(heard.last(), Some(&(size, Some(size))));
}

/// Two images that share a layer, with three names.
fn furnished(engine: &Engine) -> [Image; 2] {
    let base = engine.build(&support::base().env("A", "1")).unwrap();
    let app = engine.build(&support::base().env("A", "1").run("echo app > /app").cmd(["cat", "/app"])).unwrap();
    engine.tag(&base.id().to_string(), "base:1").unwrap();
    engine.tag(&app.id().to_string(), "example.com/team/app:1").unwrap();
    let app = engine.tag("example.com/team/app:1", "app:latest").unwrap();
    [engine.image("base:1").unwrap(), app]
}

#[test]
fn images_come_back_from_every_format_with_names_and_layers() {
    let from = engine();
    let images = furnished(&from);
    let directory = tempfile::tempdir().unwrap();
    for format in [Format::Docker, Format::OciArchive, Format::OciDirectory] {
        let path = directory.path().join(format!("{format:?}"));
        from.save_as(&["base:1", "app", "example.com/team/app:1"], Target::path(&path), format).unwrap();
        let into = engine();
        assert_eq!(into.load(&path).unwrap().len(), 2, "{format:?}");
        for image in &images {
            let loaded = into.image(&image.id().to_string()).unwrap();
            assert_eq!(loaded.references(), image.references(), "{format:?}");
            assert_eq!(loaded.config(), image.config());
            let chains =
                |image: &Image| image.layers().iter().map(|layer| layer.chain_id().clone()).collect::<Vec<_>>();
            assert_eq!(chains(&loaded), chains(image));
        }
        assert_eq!(text(Container::of("app").output(&into).unwrap()), "app\n", "{format:?}");
        // The same images give the same bytes, and they are there already.
        assert_eq!(into.load(&path).unwrap().len(), 2);
        assert_eq!(into.images().unwrap().len(), 2);
    }
}

#[test]
fn a_compressed_archive_loads_from_a_reader() {
    let from = engine();
    let image = furnished(&from)[1].clone();
    let mut archive = Vec::new();
    from.save(&["app"], Target::writer(&mut archive)).unwrap();
    let into = engine();
    let loaded = into.load(Source::reader(&gzip(&archive)[..])).unwrap();
    assert_eq!((loaded.len(), loaded[0].image().id()), (1, image.id()));
    assert_eq!(loaded[0].references()[0].familiar(), "app:latest");
}

#[test]
fn r14_a_name_that_another_image_has_is_kept_unless_told_otherwise() {
    let from = engine();
    furnished(&from);
    let mut archive = Vec::new();
    from.save(&["app"], Target::writer(&mut archive)).unwrap();
    let into = engine();
    let mine = into.import_with(Source::reader(&sample()[..]), &ImportOptions::new().reference("app")).unwrap();
    let refused = into.load(Source::reader(&archive[..])).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
    assert!(refused.to_string().contains("app:latest"), "{refused}");
    assert_eq!(ids(&into), [mine.id().to_string()], "nothing came in");
    into.load_with(Source::reader(&archive[..]), &LoadOptions::new().overwrite()).unwrap();
    assert_ne!(into.image("app").unwrap(), mine);
    assert!(into.image(mine.id().short()).unwrap().references().is_empty(), "it dangles");
}

/// Runs a program of the host that must succeed.
fn tool(name: &str, args: &[&str]) -> String {
    let output = Command::new(name).args(args).output().unwrap();
    assert!(output.status.success(), "{name} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn skopeo_reads_what_was_saved_and_its_copies_load() {
    support::require_program!("skopeo");
    let from = engine();
    let app = furnished(&from)[1].clone();
    let directory = tempfile::tempdir().unwrap();
    let archive = directory.path().join("app.tar");
    from.save(&["app"], Target::path(&archive)).unwrap();
    let source = format!("docker-archive:{}", archive.display());
    let inspected: serde_json::Value =
        serde_json::from_str(&tool("skopeo", &["inspect", "--insecure-policy", "--config", &source])).unwrap();
    assert_eq!(inspected["config"]["Cmd"], serde_json::json!(["cat", "/app"]));
    let layout = format!("oci-archive:{}:latest", archive.display());
    for (source, kind, is_same) in [
        (&source, "docker-archive", true),
        (&layout, "oci", true),
        (&layout, "oci-archive", true),
        // What goes from one format to the other gets a configuration in other words.
        (&source, "oci", false),
    ] {
        let copy = directory.path().join(format!("{kind}-{is_same}"));
        tool("skopeo", &["copy", "--insecure-policy", "-q", source, &format!("{kind}:{}:copied:1", copy.display())]);
        let into = engine();
        let loaded = into.load(&copy).unwrap()[0].image().clone();
        assert_eq!(loaded == app, is_same, "{source} {kind}");
        assert_eq!(loaded.config().diff_ids(), app.config().diff_ids());
        assert_eq!(run(&into, &loaded, "cat /app"), "app\n", "{source} {kind}");
    }
}

#[test]
fn umoci_unpacks_the_tree_that_a_container_sees() {
    support::require_program!("umoci");
    let engine = engine();
    let base = support::base().run("echo one > /keep && echo two > /gone").run("rm /gone && ln -s keep /link");
    let image = engine.build(&base).unwrap();
    engine.tag(&image.id().to_string(), "tree:1").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (layout, bundle) = (directory.path().join("layout"), directory.path().join("bundle"));
    engine.save_as(&["tree:1"], Target::path(&layout), Format::OciDirectory).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let name = index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"].as_str().unwrap();
    let source = format!("{}:{name}", layout.display());
    tool("umoci", &["unpack", "--rootless", "--image", &source, bundle.to_str().unwrap()]);
    let root = bundle.join("rootfs");
    assert_eq!(fs::read_to_string(root.join("keep")).unwrap(), "one\n");
    assert_eq!(fs::read_link(root.join("link")).unwrap(), Path::new("keep"));
    assert!(!root.join("gone").exists());
    assert_eq!(fs::read_to_string(root.join("etc/passwd")).unwrap(), run(&engine, &image, "cat /etc/passwd"));
}

#[test]
fn layers_and_history_tell_how_an_image_was_made() {
    let engine = engine();
    let base = support::base().env("A", "1").run("dd if=/dev/zero of=/big bs=1024 count=64 2>/dev/null").cmd(["true"]);
    let image = engine.build(&base).unwrap();
    let layers = image.layers();
    assert_eq!(layers.len(), 2);
    assert_eq!(layers[0].parent(), None);
    assert_eq!(layers[0].chain_id().to_string(), layers[0].diff_id().to_string(), "the lowest is its own chain");
    assert_eq!(layers[1].parent(), Some(layers[0].chain_id()));
    let joined = format!("{} {}", layers[0].chain_id(), layers[1].diff_id());
    assert_eq!(layers[1].chain_id().to_string(), plywood::spec::Digest::of(joined.as_bytes()).to_string());
    assert_eq!(layers[1].size(), 64 << 10);
    assert_eq!(image.size(), layers[0].size() + layers[1].size());
    let made: Vec<_> = image.history().iter().filter_map(|entry| entry.layer().map(|layer| layer.diff_id())).collect();
    assert_eq!(made, layers.iter().map(|layer| layer.diff_id()).collect::<Vec<_>>());
    let run = image.history().iter().find(|entry| entry.created_by().contains("/big")).unwrap();
    assert_eq!(run.size(), 64 << 10);
    assert!(image.history().iter().any(|entry| entry.layer().is_none() && entry.created_by().contains("CMD")));
    assert!(image.history().iter().all(|entry| entry.created().is_some()));
}

#[test]
fn an_image_is_found_by_name_id_and_the_beginning_of_its_id() {
    let engine = engine();
    let [base, app] = furnished(&engine);
    for name in ["app", "app:latest", "docker.io/library/app:latest", "example.com/team/app:1"] {
        assert_eq!(engine.image(name).unwrap(), app, "{name}");
    }
    for name in [app.id().to_string(), app.id().hex().to_owned(), app.id().short().to_owned()] {
        assert_eq!(engine.image(&name).unwrap(), app, "{name}");
    }
    let listed = ids(&engine);
    assert_eq!(listed.len(), 2);
    assert!(listed.contains(&base.id().to_string()));
    let created: Vec<_> = engine.images().unwrap().iter().map(|image| image.created()).collect();
    assert!(created.iter().rev().is_sorted(), "the newest first");
}

#[test]
fn tags_move_and_the_last_one_takes_the_image_with_it() {
    let engine = engine();
    let [base, app] = furnished(&engine);
    let moved = engine.tag("base:1", "app:latest").unwrap();
    assert_eq!(moved, base);
    assert_eq!(engine.image("app").unwrap(), base);
    assert_eq!(engine.image("example.com/team/app:1").unwrap(), app);
    engine.untag("app").unwrap();
    assert_eq!(engine.image("app").unwrap_err().kind(), ErrorKind::NotFound);
    let removed = engine.remove_image("example.com/team/app:1").unwrap();
    assert_eq!(removed.image(), Some(app.id()));
    assert_eq!(removed.layers(), &app.layers()[1..], "the shared layer stays");
    assert_eq!(ids(&engine), [base.id().to_string()]);
    assert_eq!(run(&engine, &base, "echo still here"), "still here\n");
}

#[test]
fn an_image_in_use_is_not_removed_and_its_users_are_named() {
    let engine = engine();
    let [_, app] = furnished(&engine);
    let first = sh(&app, "while :; do sleep 60; done").name("first").start(&engine).unwrap();
    let second = sh(&app, "true").name("second").create(&engine).unwrap();
    engine.remove_image("app:latest").unwrap();
    let refused = engine.remove_image("example.com/team/app:1").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InUse);
    assert!(refused.to_string().contains("\"first\"") && refused.to_string().contains("\"second\""), "{refused}");
    let forced = engine.remove_image_and_references(&app.id().to_string()).unwrap_err();
    assert_eq!(forced.kind(), ErrorKind::InUse);
    drop((first, second));
    assert_eq!(engine.remove_image("example.com/team/app:1").unwrap().image(), Some(app.id()));
}

#[test]
fn images_share_their_layers_on_disk() {
    let engine = engine();
    let layers = || fs::read_dir(engine.path().join("overlay2")).unwrap().count();
    let base = engine.build(&support::base()).unwrap();
    let before = layers();
    for name in ["a", "b", "c"] {
        let image = engine.build(&support::base().env("NAME", name)).unwrap();
        assert_eq!(image.layers()[0], base.layers()[0]);
    }
    assert_eq!(layers(), before, "what changes the configuration only makes no layer");
    assert_eq!(engine.images().unwrap().len(), 4);
}
