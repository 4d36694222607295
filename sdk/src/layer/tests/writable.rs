use super::content::{import, tar_of};
use super::*;
use crate::spec::id::CacheId;

#[test]
fn the_init_layer_gives_a_container_without_image_dockers_mount_points() {
    let store = store();
    let id = ContainerId::random().unwrap();
    let layer = store.create_writable(&id, None).unwrap();
    store.layers.complete_writable(&id).unwrap();
    let record = store.root.layer_mounts(&id);
    let init_id = layer.mount_id.init();
    assert_eq!(names(&record), ["init-id", "mount-id"]);
    assert_eq!(text(record.join("mount-id")), layer.mount_id.as_str());
    assert_eq!(text(record.join("init-id")), init_id.as_str());
    assert_eq!([mode(&record), mode(record.join("mount-id"))], [0o755, 0o644]);
    let init = store.root.layer_dir(&init_id);
    assert_eq!(names(&init), ["committed", "diff", "link"]);
    assert_eq!(names(init.join("diff")), [".dockerenv", "dev", "etc", "proc", "sys"]);
    assert_eq!(names(init.join("diff/dev")), ["console", "pts", "shm"]);
    assert_eq!(names(init.join("diff/etc")), ["hostname", "hosts", "mtab", "resolv.conf"]);
    assert_eq!(fs::read_link(init.join("diff/etc/mtab")).unwrap(), Path::new("/proc/mounts"));
    for name in ["dev", "dev/console", "dev/pts", "etc/hosts", ".dockerenv", "sys"] {
        assert_eq!(mode(init.join("diff").join(name)), 0o755, "{name}");
    }
    let own = store.root.layer_dir(&layer.mount_id);
    assert_eq!(names(&own), ["diff", "link", "lower", "work"]);
    assert_eq!(text(own.join("lower")), format!("l/{}", text(init.join("link"))));
    assert_eq!(layer.below, [init.join("diff")]);
    assert_eq!((&layer.upper, work(&layer)), (&own.join("diff"), &*own.join("work")));
    assert_eq!(store.layers.writable(&id).unwrap(), Some(layer));
    assert_eq!(store.layers.writable_ids().unwrap(), [id]);
}

#[test]
fn a_container_has_one_writable_layer_and_its_removal_leaves_nothing() {
    let store = store();
    let id = ContainerId::random().unwrap();
    let layer = store.create_writable(&id, None).unwrap();
    let error = store.create_writable(&id, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(store.layers.writable(&id).unwrap(), Some(layer));
    assert_eq!(names(store.root.driver_home()).len(), 3);
    store.remove_writable(&id).unwrap();
    store.remove_writable(&id).unwrap();
    assert_eq!(store.layers.writable(&id).unwrap(), None);
    assert_eq!(names(store.root.driver_home()), ["l"]);
    assert_eq!(names(store.root.links_dir()), [""; 0]);
    assert_eq!(names(store.root.image_dir().join("layerdb/tmp")), [""; 0]);
}

#[test]
fn guards_of_an_image_share_an_init_layer_until_one_is_to_stay() {
    let store = store();
    let base = import(&store, None, &tar_of(&[("etc/passwd", b"root")])).unwrap();
    let ids = [(); 3].map(|()| ContainerId::random().unwrap());
    let layers = ids.each_ref().map(|id| store.create_writable(id, Some(base.chain_id())).unwrap());
    assert_eq!(layers[0].below, layers[1].below);
    for layer in &layers {
        assert_eq!(names(store.root.layer_dir(&layer.mount_id)), ["diff", "work"]);
    }
    let shared = layers[0].below[0].parent().unwrap();
    assert_eq!(names(shared.join("diff/etc")), ["hostname", "hosts", "mtab", "resolv.conf"]);

    store.layers.complete_writable(&ids[0]).unwrap();
    store.layers.complete_writable(&ids[0]).unwrap();
    let own = store.layers.writable(&ids[0]).unwrap().unwrap();
    let init = store.root.layer_dir(&own.mount_id.init());
    assert_eq!(own.below, [init.join("diff"), store.root.layer_dir(base.cache_id()).join("diff")]);
    assert_eq!(names(init.join("diff/etc")), names(shared.join("diff/etc")));
    let (link, below) = (text(init.join("link")), text(init.join("lower")));
    let directory = store.root.layer_dir(&own.mount_id);
    assert_eq!(names(&directory), ["diff", "link", "lower", "work"]);
    assert_eq!(text(directory.join("lower")), format!("l/{link}:{below}"));

    store.remove_writable(&ids[1]).unwrap();
    assert!(shared.join("diff/etc").is_dir(), "the third container still stands on it");
    assert_eq!(store.layers.writable(&ids[2]).unwrap().unwrap(), layers[2]);
    for id in [&ids[0], &ids[2]] {
        assert_eq!(store.layers.remove(base.chain_id()).unwrap_err().kind(), ErrorKind::InUse);
        store.remove_writable(id).unwrap();
    }
    store.layers.remove(base.chain_id()).unwrap();
    assert_eq!(names(store.root.driver_home()), ["l"], "the shared layer goes with its image");
    assert_eq!(names(store.root.links_dir()), [""; 0]);
}

#[test]
fn an_init_layer_that_was_being_made_is_removed_at_open() {
    let store = store();
    let base = import(&store, None, &tar_of(&[("a", b"1")])).unwrap();
    let id = ContainerId::random().unwrap();
    let layer = store.create_writable(&id, Some(base.chain_id())).unwrap();
    let shared = CacheId::parse("0123456789abcdef-init").unwrap();
    for half_made in [&shared, &layer.mount_id.init()] {
        fs::create_dir_all(store.root.layer_dir(half_made).join("diff/dev")).unwrap();
    }
    let mut entry = store.root.in_flight(&format!("init-{}", base.chain_id().hex()), Duration::ZERO).unwrap();
    entry.note(shared.as_str()).unwrap();
    entry.abandon();
    store.root.in_flight(layer.mount_id.as_str(), Duration::ZERO).unwrap().abandon();
    let store = store.reopen();
    assert_eq!(names(store.root.own_dir().join("in-flight")).len(), 2, "those of the open root and of the owner");
    assert!(!store.root.layer_dir(&shared).exists() && !store.root.layer_dir(&layer.mount_id.init()).exists());
    assert_eq!(store.layers.writable(&id).unwrap().unwrap(), layer);
    let again = store.create_writable(&ContainerId::random().unwrap(), Some(base.chain_id())).unwrap();
    assert_eq!(again.below, layer.below);
}

#[test]
fn a_work_directory_that_a_volatile_mount_has_used_can_be_reset() {
    let store = store();
    let id = ContainerId::random().unwrap();
    let layer = store.create_writable(&id, None).unwrap();
    fs::create_dir_all(work(&layer).join("incompat/volatile")).unwrap();
    fs::create_dir(work(&layer).join("work")).unwrap();
    fs::set_permissions(work(&layer).join("work"), fs::Permissions::from_mode(0o000)).unwrap();
    store.layers.reset_work(&layer).unwrap();
    assert_eq!(names(work(&layer)), [""; 0]);
    assert_eq!(mode(work(&layer)), 0o700);
}

#[test]
fn what_a_guards_mount_has_used_can_be_mounted_by_docker_once_it_is_to_stay() {
    let store = store();
    let id = ContainerId::random().unwrap();
    let layer = store.create_writable(&id, None).unwrap();
    fs::create_dir_all(work(&layer).join("work/incompat/volatile/dirty")).unwrap();
    store.layers.complete_writable(&id).unwrap();
    let is_roots = store.layers.xattrs() == crate::archive::XattrKind::Trusted;
    assert_eq!(work(&layer).join("work/incompat").exists(), !is_roots);
}

#[test]
fn a_container_whose_creation_was_interrupted_is_removed_at_open() {
    let store = store();
    let [dead, done] = [(); 2].map(|()| ContainerId::random().unwrap());
    for id in [&dead, &done] {
        store.create_writable(id, None).unwrap();
        fs::create_dir(store.root.container_dir(id)).unwrap();
        store.root.in_flight(&format!("container-{id}"), Duration::ZERO).unwrap().abandon();
    }
    fs::write(store.root.container_config(&done), "{}").unwrap();
    let store = store.reopen();
    assert_eq!(names(store.root.containers_dir()), [done.as_str()]);
    assert_eq!(store.layers.writable_ids().unwrap(), [done]);
    assert_eq!(names(store.root.own_dir().join("in-flight")).len(), 3, "the owners are left to others");
}

#[test]
fn missing_or_odd_records_are_corrupt_and_name_the_file() {
    let store = store();
    let id = ContainerId::random().unwrap();
    store.create_writable(&id, None).unwrap();
    store.layers.complete_writable(&id).unwrap();
    let record = store.root.layer_mounts(&id);
    fs::write(record.join("mount-id"), "../../etc").unwrap();
    let error = store.layers.writable(&id).unwrap_err();
    assert_eq!((error.kind(), error.path()), (ErrorKind::Corrupt, Some(record.join("mount-id").as_path())));
    fs::remove_file(record.join("mount-id")).unwrap();
    let error = store.layers.writable(&id).unwrap_err();
    assert_eq!((error.kind(), error.path()), (ErrorKind::Corrupt, Some(record.join("mount-id").as_path())));
}

#[test]
fn what_other_modules_noted_in_the_journal_is_left_to_them() {
    let store = store();
    for name in ["owner-x", "populate-data", "pin-x", "import-x"] {
        store.root.in_flight(name, Duration::ZERO).unwrap().abandon();
    }
    let store = store.reopen();
    let left = ["owner-x", "populate-data", "pin-x", "import-x"].map(|name| store.root.is_in_flight(name));
    assert_eq!(left, [true, true, false, false]);
}

/// The directory overlay works in.
fn work(layer: &WritableLayer) -> &Path {
    layer.work.as_deref().unwrap()
}
