#![allow(clippy::unwrap_used)]
use super::*;
use crate::image::fixture::{Store, reference};
use crate::spec::digest::Digest;
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn id(text: &str) -> ImageId {
    ImageId::from(Digest::of(text.as_bytes()))
}

#[test]
fn the_file_is_byte_for_byte_what_docker_writes() {
    let mut tags = Repositories::default();
    let manifest = Digest::of(b"manifest");
    for name in ["ghcr.io/x/y:1", "debian", "debian:12", "example/app:v1", &format!("debian@{manifest}")] {
        tags.add(&reference(name), &id("a"), Overwrite::Refuse).unwrap();
    }
    let a = id("a");
    let expected = format!(
        concat!(
            r#"{{"Repositories":{{"debian":{{"debian:12":"{a}","debian:latest":"{a}","debian@{manifest}":"{a}"}},"#,
            r#""example/app":{{"example/app:v1":"{a}"}},"ghcr.io/x/y":{{"ghcr.io/x/y:1":"{a}"}}}}}}"#
        ),
        a = a,
        manifest = manifest
    );
    assert_eq!(String::from_utf8(tags.to_json().unwrap()).unwrap(), expected);
    assert_eq!(serde_json::from_str::<Repositories>(&expected).unwrap(), tags);
    assert_eq!(tags.of(&a).len(), 5);
}

#[test]
fn a_name_that_another_image_has_is_not_moved_unless_asked() {
    let mut tags = Repositories::default();
    let name = reference("debian:12");
    tags.add(&name, &id("a"), Overwrite::Refuse).unwrap();
    tags.add(&name, &id("a"), Overwrite::Refuse).unwrap();
    let error = tags.add(&name, &id("b"), Overwrite::Refuse).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(tags.get(&name), Some(&id("a")));
    assert_eq!(tags.add(&name, &id("b"), Overwrite::Move).unwrap(), Some(id("a")));
    assert_eq!(tags.get(&name), Some(&id("b")));
}

#[test]
fn the_last_tag_of_a_repository_takes_it_along() {
    let mut tags = Repositories::default();
    tags.add(&reference("debian:12"), &id("a"), Overwrite::Refuse).unwrap();
    assert_eq!(tags.remove(&reference("debian:13")), None);
    assert_eq!(tags.remove(&reference("debian:12")), Some(id("a")));
    assert_eq!(tags.to_json().unwrap(), br#"{"Repositories":{}}"#);
}

#[test]
fn sha256_is_no_repository() {
    let error = Repositories::default().add(&reference("sha256:abc"), &id("a"), Overwrite::Refuse).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

#[test]
fn a_file_that_is_cut_off_or_lost_is_an_error_and_nothing_takes_its_place() {
    let store = Store::new();
    let tags = store.images.tags();
    let path = store.images.root().repositories();
    let config = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
    let image = store.images.publish(config, &[], Overwrite::Refuse).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(tags.read().unwrap(), Repositories::default(), "no image ever had a name");
    store.images.tag(image.id().as_str(), &reference("base:1")).unwrap();
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(tags.read().unwrap_err().kind(), ErrorKind::Corrupt, "{length}");
        assert_eq!(store.images.tag(image.id().as_str(), &reference("a:1")).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(fs::read(&path).unwrap(), whole[..length]);
    }
    fs::remove_file(&path).unwrap();
    let error = store.images.tag(image.id().as_str(), &reference("a:1")).unwrap_err();
    assert_eq!((error.kind(), error.path()), (ErrorKind::Corrupt, Some(&*path)));
    assert!(error.hint().unwrap().contains("fsck --repair") && !path.exists());
}

#[test]
fn threads_that_tag_at_the_same_time_lose_nothing() {
    let store = Store::new();
    let config = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
    let image = store.images.publish(config, &[reference("base:1")], Overwrite::Refuse).unwrap();
    let (images, id) = (&store.images, image.id());
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                for number in 0..8 {
                    images.tag(id.as_str(), &reference(&format!("app-{thread}:{number}"))).unwrap();
                }
            });
        }
    });
    assert_eq!(store.images.need(id).unwrap().references().len(), 65);
    let mode = fs::metadata(store.images.root().repositories()).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[test]
fn of_a_damaged_file_what_is_whole_is_found() {
    let (a, b) = (id("a"), id("b"));
    let found = |text: &str| -> Vec<String> {
        let tags = Repositories::salvage(text);
        tags.iter().map(|(reference, id)| format!("{} {}", reference.familiar(), id == &a)).collect()
    };
    let whole = format!(r#"{{"Repositories":{{"x":{{"x:1":"{a}","x:2": "{b}"}},"y/z":{{"y/z:1":"{a}"}}}}}}"#);
    let all = ["x:1 true", "x:2 false", "y/z:1 true"];
    assert_eq!(found(&whole), all);
    assert_eq!(found(&whole.replace(['{', '}'], "")), all);
    // Cut off anywhere: those before the cut, and nothing else.
    for end in 0..whole.len() {
        let found = found(&whole[..end]);
        assert_eq!(found, all[..found.len()], "{end}");
    }
    assert_eq!(found(&whole.replace("x:2", "x:1")), ["y/z:1 true"], "which one it is, nobody knows");
    assert_eq!(found(&whole.replace("x:2", "x")), ["x:1 true", "y/z:1 true"]);
    assert_eq!(found(&format!(r#""sha256:1":"{a}","Up:1":"{a}","x:1":"sha256:0""#)), [""; 0]);
}
