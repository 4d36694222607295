#![allow(clippy::unwrap_used)]
use super::*;
use crate::image::fixture::Store;
use std::os::unix::fs::PermissionsExt;

const CONFIG: &[u8] = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"x":1}"#;

#[test]
fn a_configuration_is_stored_byte_for_byte_and_for_the_owner_only() {
    let store = Store::new();
    let images = store.images.store();
    let id = images.put(CONFIG).unwrap();
    assert_eq!(id.hex(), Digest::of(CONFIG).hex());
    assert_eq!(images.bytes(&id).unwrap().as_deref(), Some(CONFIG));
    assert_eq!(images.list().unwrap(), std::slice::from_ref(&id));
    let path = store.images.root().image_config(&id);
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o7777, 0o600);
}

#[test]
fn one_changed_byte_makes_an_image_corrupt_and_storing_it_again_repairs_it() {
    let store = Store::new();
    let images = store.images.store();
    let id = images.put(CONFIG).unwrap();
    let mut changed = CONFIG.to_vec();
    changed[20] ^= 1;
    fs::write(store.images.root().image_config(&id), changed).unwrap();
    assert_eq!(images.config(&id).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(images.put(CONFIG).unwrap(), id);
    assert!(images.config(&id).unwrap().is_some());
}

#[test]
fn metadata_goes_with_the_image_and_with_its_mention_as_parent() {
    let store = Store::new();
    let images = store.images.store();
    let parent = images.put(CONFIG).unwrap();
    let child = images.put(&[CONFIG, b" "].concat()).unwrap();
    images.set_parent(&child, &parent).unwrap();
    let time = Timestamp::parse("2024-02-29T12:00:00.5Z").unwrap();
    images.set_last_tagged(&parent, &time).unwrap();
    assert_eq!(images.parent(&child).unwrap().as_ref(), Some(&parent));
    assert_eq!(images.last_tagged(&parent).unwrap(), Some(time));
    images.remove(&parent).unwrap();
    assert_eq!(images.parent(&child).unwrap(), None);
    assert_eq!(images.last_tagged(&parent).unwrap(), None);
    assert_eq!(images.bytes(&parent).unwrap(), None);
    assert_eq!(images.list().unwrap(), [child]);
}
