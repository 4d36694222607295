#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use super::*;
use crate::archive::XattrKind;
use crate::data_root::{DataRoot, Durability};
use crate::error::ErrorKind;
use crate::layer::view::View;
use crate::spec::mount::Source;

struct Store {
    directory: tempfile::TempDir,
    volumes: VolumeStore,
    root: DataRoot,
}

impl Drop for Store {
    fn drop(&mut self) {
        // Closed by `image`, and by what was filled with it: only root could remove what is inside.
        for closed in ["diff/data/inner", "root/volumes/data/_data/inner"] {
            let _ = fs::set_permissions(self.directory.path().join(closed), Permissions::from_mode(0o700));
        }
    }
}

fn store() -> Store {
    let directory = tempfile::tempdir().unwrap();
    let root = DataRoot::open(&directory.path().join("root"), Durability::Fast).unwrap();
    Store { volumes: VolumeStore::open(&root), directory, root }
}

fn name(text: &str) -> VolumeName {
    VolumeName::parse(text).unwrap()
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().permissions().mode() & 0o7777
}

/// An image of one layer whose `/data` holds every kind of file.
fn image(store: &Store) -> View {
    let diff = store.directory.path().join("diff");
    let data = diff.join("data");
    fs::create_dir_all(data.join("inner")).unwrap();
    fs::write(data.join("file"), "text").unwrap();
    fs::hard_link(data.join("file"), data.join("inner/same")).unwrap();
    symlink("/etc/passwd", data.join("link")).unwrap();
    fs::set_permissions(data.join("file"), Permissions::from_mode(0o4750)).unwrap();
    fs::set_permissions(data.join("inner"), Permissions::from_mode(0o500)).unwrap();
    fs::set_permissions(&data, Permissions::from_mode(0o1770)).unwrap();
    symlink("data", diff.join("elsewhere")).unwrap();
    let xattr = rustix::fs::setxattr(data.join("file"), "user.colour", b"red", rustix::fs::XattrFlags::empty());
    assert!(matches!(xattr, Ok(()) | Err(rustix::io::Errno::OPNOTSUPP)));
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&data, Some(1234), Some(4321)).unwrap();
        std::os::unix::fs::lchown(data.join("link"), Some(7), Some(8)).unwrap();
    }
    View::new(vec![diff], XattrKind::of_this_process())
}

#[test]
fn a_volume_is_a_directory_with_dockers_name_and_modes() {
    let store = store();
    let labels = BTreeMap::from([("tier".to_owned(), "db".to_owned())]);
    let volume = store.volumes.create(&name("pgdata"), labels.clone()).unwrap();
    assert_eq!(volume.path(), store.root.path().join("volumes/pgdata/_data"));
    assert_eq!(mode(volume.path()), 0o755);
    assert_eq!(mode(volume.path().parent().unwrap()), 0o701);
    assert_eq!(mode(&volume.path().with_file_name("plywood.json")), 0o600);
    assert_eq!(volume.labels(), &labels);
    assert_eq!(store.volumes.get(&name("pgdata")).unwrap(), Some(volume.clone()));
    assert_eq!(store.volumes.list().unwrap(), std::slice::from_ref(&volume));
    assert_eq!(store.volumes.create(&name("pgdata"), labels).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(store.volumes.get_or_create(&name("pgdata")).unwrap(), volume);
    assert!(matches!(volume.at("/var/lib/data").source(), Source::Volume(name) if *name == "pgdata"));
}

#[test]
fn a_removed_volume_is_gone_with_its_content() {
    let store = store();
    let volume = store.volumes.get_or_create(&name("cache")).unwrap();
    fs::write(volume.path().join("x"), "x").unwrap();
    store.volumes.remove(volume.name()).unwrap();
    assert_eq!(store.volumes.get(volume.name()).unwrap(), None);
    assert!(!volume.path().parent().unwrap().exists());
    assert_eq!(store.volumes.remove(volume.name()).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn what_docker_made_is_read_and_what_is_no_volume_is_not() {
    let store = store();
    let volumes = store.root.volumes_dir();
    fs::create_dir_all(volumes.join("dockers/_data")).unwrap();
    fs::create_dir(volumes.join("half-made")).unwrap();
    symlink("/etc", volumes.join("trap")).unwrap();
    fs::create_dir(volumes.join("opts")).unwrap();
    symlink("/etc", volumes.join("opts/_data")).unwrap();
    let list = store.volumes.list().unwrap();
    assert_eq!(list.iter().map(|volume| volume.name().as_str()).collect::<Vec<_>>(), ["dockers"]);
    assert_eq!((list[0].created(), list[0].labels().len()), (None, 0));
    // A crash in the middle of a creation does not take the name for ever.
    store.volumes.create(&name("half-made"), BTreeMap::new()).unwrap();
}

#[test]
fn names_that_could_leave_the_store_are_refused() {
    for bad in ["../x", "a/b", ".", "..", "", "a\0b", "_data", "x", &"a".repeat(256)] {
        assert!(VolumeName::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn an_empty_volume_receives_the_images_directory_with_all_its_attributes() {
    let store = store();
    let image = image(&store);
    let volume = store.volumes.get_or_create(&name("data")).unwrap();
    assert!(store.volumes.populate(&volume, &image, "/elsewhere").unwrap());
    let (from, to) = (store.directory.path().join("diff/data"), volume.path());
    for file in ["", "file", "inner", "inner/same", "link"] {
        let (from, to) = (from.join(file), to.join(file));
        let [expected, found] = [&from, &to].map(|path| {
            let data = path.symlink_metadata().unwrap();
            (data.mode(), data.uid(), data.gid(), data.mtime(), data.mtime_nsec(), data.nlink())
        });
        assert_eq!(found, expected, "{file:?}");
    }
    assert_eq!(fs::read_to_string(to.join("file")).unwrap(), "text");
    assert_eq!(fs::metadata(to.join("file")).unwrap().ino(), fs::metadata(to.join("inner/same")).unwrap().ino());
    assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("/etc/passwd"));
    let colour = |path: &Path| {
        let mut value = [0; 8];
        let path = path.join("file");
        rustix::fs::getxattr(path, "user.colour", &mut value[..]).ok().map(|length| value[..length].to_vec())
    };
    assert_eq!(colour(to), colour(&from));
    assert!(!store.root.is_in_flight("populate-data"));
}

#[test]
fn a_volume_with_content_or_without_a_source_is_left_alone() {
    let store = store();
    let image = image(&store);
    let volume = store.volumes.get_or_create(&name("data")).unwrap();
    for nothing in ["/missing", "/data/file", "/data/link"] {
        assert!(!store.volumes.populate(&volume, &image, nothing).unwrap(), "{nothing}");
    }
    fs::write(volume.path().join("mine"), "").unwrap();
    assert!(!store.volumes.populate(&volume, &image, "/data").unwrap());
    assert_eq!(fs::read_dir(volume.path()).unwrap().count(), 1);
}

#[test]
fn a_first_use_that_was_interrupted_begins_anew() {
    let store = store();
    let image = image(&store);
    let volume = store.volumes.get_or_create(&name("data")).unwrap();
    fs::write(volume.path().join("half"), "").unwrap();
    let mut entry = store.root.in_flight("populate-data", std::time::Duration::ZERO).unwrap();
    entry.note("filling").unwrap();
    entry.abandon();
    assert!(store.volumes.populate(&volume, &image, "/data").unwrap());
    assert!(!volume.path().join("half").exists());
    assert!(volume.path().join("file").exists());
}

#[test]
fn of_many_first_users_one_fills_the_volume() {
    let store = store();
    let image = image(&store);
    let volume = store.volumes.get_or_create(&name("data")).unwrap();
    let filled: usize = std::thread::scope(|scope| {
        let populate = || usize::from(store.volumes.populate(&volume, &image, "/data").unwrap());
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(populate)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(filled, 1);
    assert_eq!(fs::read_dir(volume.path()).unwrap().count(), 3);
}

#[test]
fn labels_come_to_dockers_file_when_nobody_else_is_there() {
    let mut store = store();
    let labels = BTreeMap::from([("tier".to_owned(), "db".to_owned())]);
    store.volumes.create(&name("labelled"), labels.clone()).unwrap();
    store.volumes.get_or_create(&name("plain")).unwrap();
    let other = store.root.interlock().unwrap();
    store.volumes.merge_labels().unwrap();
    assert_eq!(store.volumes.docker_labels().unwrap(), BTreeMap::new());
    drop(other);
    // As the next one that opens it does.
    store.root = DataRoot::open(store.root.path(), Durability::Full).unwrap();
    store.volumes = VolumeStore::open(&store.root);
    store.volumes.merge_labels().unwrap();
    assert_eq!(store.volumes.docker_labels().unwrap(), BTreeMap::from([("labelled".to_owned(), labels.clone())]));
    assert!(!store.root.unmerged_labels().exists());

    // Docker has them from its own file alone.
    fs::remove_file(store.root.volume_dir(&name("labelled")).join("plywood.json")).unwrap();
    let volume = store.volumes.get(&name("labelled")).unwrap().unwrap();
    assert_eq!((volume.labels()["tier"].as_str(), volume.created()), ("db", None));

    // A new volume does not inherit them.
    store.volumes.remove(&name("labelled")).unwrap();
    store.volumes.get_or_create(&name("labelled")).unwrap();
    store.volumes.merge_labels().unwrap();
    assert_eq!(store.volumes.docker_labels().unwrap()["labelled"], BTreeMap::new());

    // What is gone goes there as well, at the next opportunity.
    store.volumes.remove(&name("labelled")).unwrap();
    store.volumes.create(&name("other"), labels.clone()).unwrap();
    store.volumes.merge_labels().unwrap();
    assert_eq!(store.volumes.docker_labels().unwrap(), BTreeMap::from([("other".to_owned(), labels)]));
}

#[test]
fn volumes_without_a_name_are_told_by_dockers_label_and_older_ones_of_docker_by_their_name() {
    let store = store();
    let is_anonymous = |text: &str| store.volumes.get(&name(text)).unwrap().unwrap().is_anonymous();
    let [ours, named, dockers] = ["a", "b", "c"].map(|digit| digit.repeat(64));
    store.volumes.get_or_create_anonymous(&name(&ours)).unwrap();
    let label = BTreeMap::from([("com.docker.volume.anonymous".to_owned(), String::new())]);
    store.volumes.create(&name("labelled"), label.clone()).unwrap();
    store.volumes.merge_labels().unwrap();
    let known = BTreeMap::from([(ours.clone(), label.clone()), ("labelled".to_owned(), label)]);
    assert_eq!(store.volumes.docker_labels().unwrap(), known);
    store.volumes.get_or_create(&name(&named)).unwrap();
    // As if Docker had made these.
    fs::remove_file(store.root.volume_dir(&name("labelled")).join("plywood.json")).unwrap();
    for name in [&dockers, "dockers"].map(name) {
        fs::create_dir_all(store.root.volume_data(&name)).unwrap();
    }
    let told = [&ours[..], &named, "labelled", &dockers, "dockers"].map(is_anonymous);
    assert_eq!(told, [true, false, true, true, false]);
}

#[test]
fn a_damaged_database_of_dockers_costs_the_labels_and_nothing_else() {
    let store = store();
    fs::write(store.root.volume_database(), "no bolt file, but for the lock").unwrap();
    let labels = BTreeMap::from([("tier".to_owned(), "db".to_owned())]);
    store.volumes.create(&name("ours"), labels.clone()).unwrap();
    fs::create_dir_all(store.root.volume_data(&name("dockers"))).unwrap();
    store.volumes.merge_labels().unwrap();
    let volumes = store.volumes.list().unwrap();
    assert_eq!((volumes[0].name(), volumes[0].labels().len()), (&name("dockers"), 0));
    assert_eq!(volumes[1].labels(), &labels);
    assert_eq!(store.volumes.docker_labels().unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(fs::read(store.root.volume_database()).unwrap(), b"no bolt file, but for the lock");
    assert!(store.root.unmerged_labels().exists(), "to be tried again");
}
