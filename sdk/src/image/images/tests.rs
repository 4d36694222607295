#![allow(clippy::unwrap_used)]
use super::*;
use crate::image::fixture::{Store, reference};
use std::fs;

#[test]
fn an_image_is_found_by_reference_id_and_prefix() {
    let store = Store::new();
    let image = store.import("debian:12", &[("etc/os-release", "x")]);
    for name in
        ["debian:12", "docker.io/library/debian:12", image.id().as_str(), image.id().hex(), &image.id().hex()[..7]]
    {
        assert_eq!(store.images.find(name).unwrap(), image, "{name}");
    }
    assert_eq!(store.images.find("debian").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.images.find("Debian").unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(store.images.find("").unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn a_prefix_of_several_ids_is_ambiguous() {
    let store = Store::new();
    // Of 17 images two begin with the same digit.
    for number in 0..17 {
        store.import(&format!("image:{number}"), &[("n", &number.to_string())]);
    }
    let ids = store.images.store().list().unwrap();
    let digit = ids.windows(2).find(|pair| pair[0].hex()[..1] == pair[1].hex()[..1]).unwrap()[0].hex()[..1].to_owned();
    let error = store.images.find(&digit).unwrap_err();
    assert!(error.to_string().contains("several image IDs"), "{error}");
}

#[test]
fn a_name_that_reads_as_a_prefix_is_a_name_first() {
    let store = Store::new();
    let first = store.import("first:1", &[("n", "1")]);
    let second = store.import("second:1", &[("n", "2")]);
    let name = &first.id().hex()[..8];
    store.images.tag(second.id().as_str(), &reference(name)).unwrap();
    assert_eq!(store.images.find(name).unwrap(), second);
}

#[test]
fn layers_and_history_tell_of_each_other() {
    let store = Store::new();
    let base = store.import("base:1", &[("a", "12345")]);
    let image = store.extend("app:1", &base, &[("b", "123")]);
    assert_eq!(image.layers().len(), 2);
    assert_eq!(image.layers()[0], base.layers()[0]);
    assert_eq!(image.size(), 8);
    assert_eq!(image.history().len(), 1);
    assert_eq!(image.history()[0].comment(), "Imported from -");
    assert_eq!(image.history()[0].layer(), Some(&base.layers()[0]));
    assert_eq!(image.history()[0].size(), 5);
    assert_eq!(image.created(), Some(Timestamp::UNIX_EPOCH));
    assert_eq!(image.chain_id(), Some(image.layers()[1].chain_id()));
    assert!(image.last_tagged().is_some());
}

#[test]
fn tagging_moves_a_name_and_leaves_the_other_image_dangling() {
    let store = Store::new();
    let first = store.import("app:1", &[("n", "1")]);
    let second = store.import("other:1", &[("n", "2")]);
    store.images.tag("other:1", &reference("app:1")).unwrap();
    assert_eq!(store.images.find("app:1").unwrap(), second);
    assert_eq!(store.images.need(first.id()).unwrap().references(), []);
    store.images.untag(&reference("app:1")).unwrap();
    assert_eq!(store.images.untag(&reference("app:1")).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.images.tag("missing", &reference("x")).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn the_list_passes_over_images_that_are_broken() {
    let store = Store::new();
    let whole = store.import("whole:1", &[("n", "1")]);
    let broken = store.import("broken:1", &[("n", "2")]);
    fs::write(store.images.root().image_config(broken.id()), "x").unwrap();
    let lost = store.import("lost:1", &[("n", "3")]);
    fs::remove_dir_all(store.images.root().chain_dir(lost.chain_id().unwrap())).unwrap();
    assert_eq!(store.images.list().unwrap(), [whole]);
    assert_eq!(store.images.get(lost.id()).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn an_image_without_its_layer_is_not_stored() {
    let store = Store::new();
    let other = Store::new();
    let image = other.import("a:1", &[("n", "1")]);
    let bytes = other.images.store().bytes(image.id()).unwrap().unwrap();
    let error = store.images.publish(&bytes, &[reference("a:1")], Overwrite::Refuse).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(store.images.list().unwrap().is_empty());
}
