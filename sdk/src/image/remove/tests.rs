#![allow(clippy::unwrap_used)]
use super::*;
use crate::image::fixture::{Store, reference};

fn unused(_: &ImageId) -> Result<Vec<String>> {
    Ok(Vec::new())
}

#[test]
fn removing_the_only_tag_removes_image_and_layers() {
    let store = Store::new();
    let empty = store.tree();
    let image = store.import("a:1", &[("n", "12345")]);
    let removed = store.images.remove("a:1", Force::No, &unused).unwrap();
    assert_eq!(removed.image(), Some(image.id()));
    assert_eq!(removed.references(), [reference("a:1")]);
    assert_eq!(removed.layers(), image.layers());
    assert_eq!(removed.size(), 5);
    let left: Vec<_> = store.tree().into_iter().filter(|path| !empty.contains(path)).collect();
    assert!(left.iter().all(|path| path.ends_with("repositories.json")), "{left:?}");
}

#[test]
fn a_tag_among_others_is_only_untagged() {
    let store = Store::new();
    let image = store.import("a:1", &[("n", "1")]);
    store.images.tag("a:1", &reference("b:1")).unwrap();
    let removed = store.images.remove("a:1", Force::No, &|_| Ok(vec!["web".into()])).unwrap();
    assert_eq!((removed.image(), removed.layers().len()), (None, 0));
    assert_eq!(store.images.find("b:1").unwrap(), image);
}

#[test]
fn an_image_with_several_tags_goes_by_its_id_only_when_forced() {
    let store = Store::new();
    let image = store.import("a:1", &[("n", "1")]);
    store.images.tag("a:1", &reference("b:1")).unwrap();
    let error = store.images.remove(image.id().as_str(), Force::No, &unused).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InUse);
    assert!(error.to_string().contains("a:1, b:1"), "{error}");
    let removed = store.images.remove(image.id().short(), Force::Yes, &unused).unwrap();
    assert_eq!(removed.references().len(), 2);
    assert!(store.images.list().unwrap().is_empty());
}

#[test]
fn an_image_that_got_a_tag_stays_for_whoever_takes_it_for_dangling() {
    let store = Store::new();
    let image = store.import("a:1", &[("n", "1")]);
    let error = store.images.remove(image.id().as_str(), Force::Never, &unused).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InUse);
    assert!(error.to_string().ends_with("it has a reference (a:1)"), "{error}");
    store.images.untag(&reference("a:1")).unwrap();
    store.images.remove(image.id().as_str(), Force::Never, &unused).unwrap();
}

#[test]
fn containers_keep_an_image_even_when_forced() {
    let store = Store::new();
    let image = store.import("a:1", &[("n", "1")]);
    for (name, force) in [("a:1", Force::No), (image.id().as_str(), Force::Yes)] {
        let error = store.images.remove(name, force, &|_| Ok(vec!["web".into()])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InUse);
        assert!(error.to_string().contains("container \"web\""), "{error}");
    }
    assert_eq!(store.images.find("a:1").unwrap(), image);
}

#[test]
fn layers_go_with_their_last_image() {
    let store = Store::new();
    let base = store.import("base:1", &[("a", "1")]);
    let app = store.extend("app:1", &base, &[("b", "1")]);
    let removed = store.images.remove("base:1", Force::No, &unused).unwrap();
    assert!(removed.layers().is_empty());
    assert_eq!(store.images.find("app:1").unwrap().layers().len(), 2);
    let removed = store.images.remove("app:1", Force::No, &unused).unwrap();
    assert_eq!(removed.layers(), [app.layers()[1].clone(), app.layers()[0].clone()]);
    assert!(store.images.layers().list().unwrap().is_empty());
}

#[test]
fn a_further_layer_keeps_the_one_it_stands_on() {
    let store = Store::new();
    let base = store.import("base:1", &[("a", "1")]);
    let staged = store.images.layers().stage(base.chain_id()).unwrap();
    let removed = store.images.remove("base:1", Force::No, &unused).unwrap();
    assert!(removed.layers().is_empty());
    assert!(store.images.layers().get(base.chain_id().unwrap()).unwrap().is_some());
    drop(staged);
}

#[test]
fn what_is_not_there_cannot_be_removed() {
    let store = Store::new();
    assert_eq!(store.images.remove("a:1", Force::Yes, &unused).unwrap_err().kind(), ErrorKind::NotFound);
}
