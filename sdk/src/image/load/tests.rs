#![allow(clippy::unwrap_used)]
use super::*;
use crate::image::fixture::{Archive, Store, chain_of, config, gzip, id_of, named, reference, rootfs};
use serde_json::{Value, json};

fn try_load(store: &Store, archive: &Archive) -> Result<Vec<Loaded>> {
    load(&store.images, Source::reader(&archive.tar()[..]), &LoadOptions::new())
}

/// An archive is refused with this kind and these words, and the store is as it was.
fn refused(archive: &Archive, kind: ErrorKind, words: &str) {
    let store = Store::new();
    store.import("kept:1", &[("kept", "1")]);
    let before = store.tree();
    let error = try_load(&store, archive).unwrap_err();
    let text = format!("{error:?}");
    assert_eq!(error.kind(), kind, "{text}");
    assert!(text.contains(words), "{words:?} in: {text}");
    assert_eq!(store.tree(), before, "{text}");
}

fn layers() -> Vec<(Vec<u8>, Vec<u8>)> {
    let (one, two) = (rootfs(&[("a", "1")]), rootfs(&[("b", "2"), ("big", &"x".repeat(5000))]));
    vec![(gzip(&one), one), (two.clone(), two)]
}

fn layout() -> Archive {
    let mut archive = Archive::default();
    let image = archive.image(&layers(), "amd64");
    archive.index(vec![named(image, "docker.io/library/app:1")]);
    archive
}

/// An archive of Docker before 25.
fn docker() -> Archive {
    let (layers, mut archive) = (layers(), Archive::default());
    let config = config(layers.iter().map(|(_, tar)| &tar[..]), "amd64").to_string();
    let name = format!("{}.json", id_of(config.as_bytes()).hex());
    archive.file(&name, config).file("one/layer.tar", layers[0].1.clone()).file("two/layer.tar", layers[1].0.clone());
    archive.json(
        "manifest.json",
        &json!([{"Config": name, "RepoTags": ["app:1", "app:latest"], "Layers": ["one/layer.tar", "two/layer.tar"]}]),
    );
    archive
}

/// The same archive with its `index.json` changed.
fn with_index(change: impl FnOnce(&mut Value)) -> Archive {
    let mut archive = layout();
    let mut index = serde_json::from_slice(&archive.files["index.json"]).unwrap();
    change(&mut index);
    archive.json("index.json", &index);
    archive
}

/// The same archive with another manifest.
fn with_manifest(change: impl FnOnce(&mut Value)) -> Archive {
    let mut archive = layout();
    let index: Value = serde_json::from_slice(&archive.files["index.json"]).unwrap();
    let digest = index["manifests"][0]["digest"].as_str().unwrap().replace(':', "/");
    let mut manifest = serde_json::from_slice(&archive.files[&format!("blobs/{digest}")]).unwrap();
    change(&mut manifest);
    let descriptor = archive.blob("application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes());
    archive.index(vec![descriptor]);
    archive
}

#[test]
fn a_layout_loads_with_its_name_and_compressed_layers() {
    let store = Store::new();
    let loaded = try_load(&store, &layout()).unwrap();
    assert_eq!(loaded.len(), 1);
    assert_eq!(loaded[0].references(), [reference("app:1")]);
    let image = store.images.find("app:1").unwrap();
    assert_eq!(image.layers()[0].chain_id(), &chain_of(&layers()[0].1));
    assert_eq!(image.layers().len(), 2);
}

#[test]
fn an_archive_of_docker_loads_with_all_its_tags() {
    let store = Store::new();
    let loaded = try_load(&store, &docker()).unwrap();
    assert_eq!(loaded[0].references(), [reference("app:1"), reference("app:latest")]);
    let other = Store::new();
    assert_eq!(try_load(&other, &layout()).unwrap()[0].image(), loaded[0].image());
}

#[test]
fn a_layout_in_a_directory_a_compressed_tar_and_a_file_give_the_same_image() {
    let archive = layout();
    let directory = tempfile::tempdir().unwrap();
    archive.write_to(&directory.path().join("layout"));
    std::fs::write(directory.path().join("plain.tar"), archive.tar()).unwrap();
    std::fs::write(directory.path().join("packed.tar.gz"), gzip(&archive.tar())).unwrap();
    let ids: Vec<_> = ["layout", "plain.tar", "packed.tar.gz"]
        .iter()
        .map(|name| {
            let store = Store::new();
            let loaded = load(&store.images, Source::from(directory.path().join(name)), &LoadOptions::new()).unwrap();
            loaded[0].image().id().clone()
        })
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]));
}

#[cfg(feature = "zstd")]
#[test]
fn layers_may_be_compressed_with_zstd() {
    let mut archive = Archive::default();
    let tar = rootfs(&[("a", "1")]);
    let image = archive.image(&[(zstd::encode_all(&tar[..], 1).unwrap(), tar.clone())], "amd64");
    archive.index(vec![image]);
    let packed = zstd::encode_all(&archive.tar()[..], 1).unwrap();
    let store = Store::new();
    let loaded = load(&store.images, Source::reader(&packed[..]), &LoadOptions::new()).unwrap();
    assert_eq!(loaded[0].image().chain_id(), Some(&chain_of(&tar)));
}

#[test]
fn equal_layers_may_be_links() {
    let mut builder = tar::Builder::new(Vec::new());
    let archive = docker();
    for (name, content) in &archive.files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        if name == "two/layer.tar" {
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, "real/layer.tar", &content[..]).unwrap();
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            builder.append_link(&mut header, name, "../real/layer.tar").unwrap();
        } else {
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, name, &content[..]).unwrap();
        }
    }
    let store = Store::new();
    let bytes = builder.into_inner().unwrap();
    let loaded = load(&store.images, Source::reader(&bytes[..]), &LoadOptions::new()).unwrap();
    assert_eq!(loaded[0].image().layers().len(), 2);
}

#[test]
fn an_archive_without_a_manifest_loads_as_version_1() {
    let mut archive = Archive::default();
    let (one, two) = ("1".repeat(64), "2".repeat(64));
    let tar = rootfs(&[("a", "1")]);
    archive.json("repositories", &json!({"old": {"1": two}}));
    archive.file(&format!("{one}/layer.tar"), tar.clone());
    archive.json(&format!("{one}/json"), &json!({"id": one, "os": "linux", "architecture": "amd64"}));
    archive.file(&format!("{two}/layer.tar"), rootfs(&[("b", "2")]));
    archive.json(
        &format!("{two}/json"),
        &json!({"id": two, "parent": one, "os": "linux", "architecture": "amd64", "created": "2014-01-01T00:00:00Z",
            "config": {"Cmd": ["/a"]}, "container_config": {"Cmd": ["/bin/sh", "-c", "make"]}}),
    );
    let store = Store::new();
    try_load(&store, &archive).unwrap();
    let image = store.images.find("old:1").unwrap();
    assert_eq!(image.layers()[0].chain_id(), &chain_of(&tar));
    assert_eq!(image.history()[1].created_by(), "/bin/sh -c make");
    assert_eq!(image.config().config.cmd.as_deref().unwrap(), ["/a"]);
    archive.json(&format!("{one}/json"), &json!({"parent": two}));
    refused(&archive, ErrorKind::Corrupt, "too many parents");
}

#[test]
fn one_platform_of_a_nested_index_is_chosen() {
    let mut archive = Archive::default();
    let (ours, theirs) = (rootfs(&[("ours", "1")]), rootfs(&[("theirs", "1")]));
    let mut one = archive.image(&[(ours.clone(), ours.clone())], "arm64");
    one["platform"] = json!({"os": "linux", "architecture": Platform::host().architecture});
    let two = archive.image(&[(theirs.clone(), theirs.clone())], "s390x");
    let mut provenance = archive.image(&[], "unknown");
    provenance["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    let nested = json!({"schemaVersion": 2, "manifests": [provenance, two.clone(), one]}).to_string();
    let nested = archive.blob("application/vnd.oci.image.index.v1+json", nested.as_bytes());
    archive.index(vec![named(nested, "app:1")]);
    let store = Store::new();
    assert_eq!(try_load(&store, &archive).unwrap()[0].image().chain_id(), Some(&chain_of(&ours)));
    let options = LoadOptions::new().platform(Platform::parse("linux/s390x").unwrap());
    let store = Store::new();
    let loaded = load(&store.images, Source::reader(&archive.tar()[..]), &options).unwrap();
    assert_eq!(loaded[0].image().chain_id(), Some(&chain_of(&theirs)));
    let options = LoadOptions::new().platform(Platform::parse("linux/riscv64").unwrap());
    let error = load(&store.images, Source::reader(&archive.tar()[..]), &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("linux/s390x"), "{error}");
}

#[test]
fn layers_that_are_there_are_not_read() {
    let store = Store::new();
    let first = layout();
    try_load(&store, &first).unwrap();
    store.images.untag(&reference("app:1")).unwrap();
    // A damaged blob goes unnoticed because nobody asks for it.
    let mut damaged = first.clone();
    let path = format!("blobs/sha256/{}", crate::spec::digest::Digest::of(&layers()[1].0).hex());
    damaged.files.get_mut(&path).unwrap()[600] ^= 1;
    try_load(&store, &damaged).unwrap();
    refused(&damaged, ErrorKind::Corrupt, "load");
}

#[test]
fn r24_blobs_that_are_not_what_they_claim_are_refused() {
    let path = |bytes: &[u8]| format!("blobs/sha256/{}", crate::spec::digest::Digest::of(bytes).hex());
    let (gzipped, plain) = (path(&layers()[0].0), path(&layers()[1].0));
    for blob in [&gzipped, &plain] {
        let length = layout().files[blob].len();
        for position in [3, length / 2, length - 1] {
            let mut archive = layout();
            archive.files.get_mut(blob).unwrap()[position] ^= 1;
            refused(&archive, ErrorKind::Corrupt, "");
        }
        let mut archive = layout();
        archive.files.get_mut(blob).unwrap().pop();
        refused(&archive, ErrorKind::Corrupt, "as its descriptor says");
        let mut archive = layout();
        archive.files.get_mut(blob).unwrap().push(0);
        refused(&archive, ErrorKind::Corrupt, "as its descriptor says");
        let mut archive = layout();
        archive.files.remove(blob);
        refused(&archive, ErrorKind::Corrupt, "lacks the file");
    }
}

#[test]
fn x13_r24_a_layer_with_more_than_its_diff_id_says_is_refused() {
    let (tar, more) = (rootfs(&[("a", "1")]), rootfs(&[("more", "2")]));
    let tail = |mut bytes: Vec<u8>, tail: &[u8]| {
        bytes.extend_from_slice(tail);
        bytes
    };
    // Their descriptors are right: of what is in them, only the digest of the content tells.
    let cases = [tail(gzip(&tar), &gzip(&more)), tail(gzip(&tar), b"garbage"), tail(tar.clone(), &[0; 512]), gzip(b"")];
    for blob in cases {
        let mut archive = Archive::default();
        let image = archive.image(&[(blob, tar.clone())], "amd64");
        archive.index(vec![image]);
        refused(&archive, ErrorKind::Corrupt, "");
    }
    // A layer in two members is one stream, and one that is labelled gzip and is none is what it is.
    let (first, second) = tar.split_at(700);
    for blob in [tail(gzip(first), &gzip(second)), tar.clone()] {
        let mut archive = Archive::default();
        let image = archive.image(&[(blob, tar.clone())], "amd64");
        archive.index(vec![image]);
        let store = Store::new();
        assert_eq!(try_load(&store, &archive).unwrap()[0].image().chain_id(), Some(&chain_of(&tar)));
    }
}

#[test]
fn r24_another_layer_of_the_right_digest_is_refused_by_its_diff_id() {
    refused(&with_manifest(|manifest| manifest["layers"].as_array_mut().unwrap().reverse()), ErrorKind::Corrupt, "");
    let twice = |manifest: &mut Value| manifest["layers"][1] = manifest["layers"][0].clone();
    refused(&with_manifest(twice), ErrorKind::Corrupt, "");
    let fewer = |manifest: &mut Value| drop(manifest["layers"].as_array_mut().unwrap().pop());
    refused(&with_manifest(fewer), ErrorKind::Corrupt, "has 1 layers, but its configuration has 2");
}

#[test]
fn x12_r23_r25_ambiguous_and_unknown_documents_are_refused() {
    let both = |document: &mut Value| document["manifests"] = json!([]);
    refused(&with_manifest(both), ErrorKind::Corrupt, "both an index and a manifest");
    refused(&with_index(|index| index["layers"] = json!([])), ErrorKind::Corrupt, "both an index and a manifest");
    let other = |document: &mut Value| document["mediaType"] = json!("application/vnd.oci.image.index.v1+json");
    refused(&with_manifest(other), ErrorKind::Corrupt, "calls itself");
    let unknown = |document: &mut Value| document["layers"][0]["mediaType"] = json!("text/plain");
    refused(&with_manifest(unknown), ErrorKind::Unsupported, "text/plain");
    let artifact = |document: &mut Value| document["config"]["mediaType"] = json!("application/vnd.oci.empty.v1+json");
    refused(&with_manifest(artifact), ErrorKind::Unsupported, "empty");
    refused(&with_index(|index| index["manifests"][0]["mediaType"] = json!("x/y")), ErrorKind::Unsupported, "x/y");
    refused(&with_index(|index| index["schemaVersion"] = json!(1)), ErrorKind::Corrupt, "schemaVersion");
    let upper = format!("sha256:{}", "AB".repeat(32));
    for digest in ["md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:../../x", "sha256:ab", &upper] {
        refused(&with_index(|index| index["manifests"][0]["digest"] = json!(digest)), ErrorKind::Corrupt, "digest");
    }
    let mut archive = layout();
    let text = String::from_utf8(archive.files["index.json"].clone()).unwrap();
    archive.file("index.json", text.replacen('{', r#"{"manifests":[],"#, 1));
    refused(&archive, ErrorKind::Corrupt, "duplicate");
    let mut archive = layout();
    archive.file("index.json", "[".repeat(100_000));
    refused(&archive, ErrorKind::Corrupt, "recursion");
    let mut archive = layout();
    archive.file("index.json", " ".repeat(5 << 20));
    refused(&archive, ErrorKind::LimitExceeded, "index.json");
}

#[test]
fn archives_that_are_none_are_refused() {
    refused(&Archive::default(), ErrorKind::Corrupt, "no image archive");
    let mut archive = Archive::default();
    archive.json("manifest.json", &json!([]));
    refused(&archive, ErrorKind::Corrupt, "no image in it");
    let mut archive = docker();
    archive.files.remove("one/layer.tar");
    refused(&archive, ErrorKind::Corrupt, "lacks the file \"one/layer.tar\"");
    let mut archive = docker();
    let config = archive.files.keys().find(|name| name.ends_with(".json") && name.len() > 64).unwrap().clone();
    archive.files.get_mut(&config).unwrap().push(b' ');
    refused(&archive, ErrorKind::Corrupt, "has the digest");
}

#[test]
fn two_descriptions_of_different_images_are_refused() {
    let mut archive = layout();
    let tar = rootfs(&[("other", "1")]);
    let config = config([&tar[..]], "amd64").to_string();
    let name = format!("blobs/sha256/{}", id_of(config.as_bytes()).hex());
    archive.file(&name, config).file("layer.tar", tar);
    archive.json("manifest.json", &json!([{"Config": name, "RepoTags": ["app:1"], "Layers": ["layer.tar"]}]));
    refused(&archive, ErrorKind::Corrupt, "name different images");
}

#[test]
fn x12_history_that_tells_of_more_layers_than_there_are_is_refused() {
    let tar = rootfs(&[("a", "1")]);
    let mut config = config([&tar[..]], "amd64");
    config["history"] = json!([{"created_by": "a"}, {"created_by": "b"}, {"empty_layer": true}]);
    let mut archive = Archive::default();
    archive.json("config.json", &config).file("layer.tar", tar);
    archive.json("manifest.json", &json!([{"Config": "config.json", "RepoTags": null, "Layers": ["layer.tar"]}]));
    refused(&archive, ErrorKind::Corrupt, "history tells of 2");
    config["history"] = json!([{"created_by": "a"}]);
    config["os"] = json!("windows");
    archive.json("config.json", &config);
    refused(&archive, ErrorKind::Unsupported, "windows");
}

#[test]
fn a_name_that_another_image_has_is_refused_unless_told_otherwise() {
    let store = Store::new();
    let old = store.import("app:1", &[("old", "1")]);
    let before = store.tree();
    let error = try_load(&store, &layout()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(store.tree(), before);
    assert_eq!(store.images.find("app:1").unwrap(), old);
    let archive = layout().tar();
    let loaded = load(&store.images, Source::reader(&archive[..]), &LoadOptions::new().overwrite()).unwrap();
    assert_eq!(store.images.find("app:1").unwrap(), *loaded[0].image());
}

#[test]
fn only_the_names_asked_for_are_taken() {
    let store = Store::new();
    store.import("app:1", &[("old", "1")]);
    let archive = docker().tar();
    let options = LoadOptions::new().only("app:latest");
    let loaded = load(&store.images, Source::reader(&archive[..]), &options).unwrap();
    assert_eq!(loaded[0].references(), [reference("app:latest")]);
    let options = LoadOptions::new().only("none:1");
    let error = load(&store.images, Source::reader(&archive[..]), &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn x05_every_prefix_of_an_archive_is_refused() {
    let store = Store::new();
    let before = store.tree();
    for whole in [layout().tar(), docker().tar()] {
        for length in (0..whole.len() - 1024).step_by(512) {
            let result = load(&store.images, Source::reader(&whole[..length]), &LoadOptions::new());
            assert!(result.is_err(), "{length} of {}", whole.len());
        }
        assert_eq!(store.tree(), before);
    }
}

#[test]
fn r13_labels_of_an_image_are_text() {
    let tar = rootfs(&[("a", "1")]);
    let mut config = config([&tar[..]], "amd64");
    let labels = json!({"plywood.logger": "binary:///bin/sh", "io.containerd.x": "/etc", "com.docker.y": "../.."});
    config["config"]["Labels"] = labels;
    let mut archive = Archive::default();
    archive.json("config.json", &config).file("layer.tar", tar);
    archive.json("manifest.json", &json!([{"Config": "config.json", "RepoTags": ["l:1"], "Layers": ["layer.tar"]}]));
    let store = Store::new();
    let loaded = try_load(&store, &archive).unwrap();
    assert_eq!(loaded[0].image().config().config.labels["plywood.logger"], "binary:///bin/sh");
}

#[test]
fn threads_that_load_the_same_archive_all_get_the_image() {
    let (store, archive) = (Store::new(), layout().tar());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| load(&store.images, Source::reader(&archive[..]), &LoadOptions::new()).unwrap());
        }
    });
    assert_eq!(store.images.list().unwrap().len(), 1);
    assert_eq!(store.images.layers().list().unwrap().len(), 2);
}
