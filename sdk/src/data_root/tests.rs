#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::time::Duration;

use super::*;
use crate::error::ErrorKind;

fn open(path: &Path) -> Result<DataRoot> {
    DataRoot::open(path, Durability::Fast)
}

/// Relative paths and modes of everything below `root`.
fn tree(root: &Path) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let entry = entry.unwrap();
            let name = entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            found.insert(name, entry.metadata().unwrap().permissions().mode() & 0o7777);
            if entry.file_type().unwrap().is_dir() {
                pending.push(entry.path());
            }
        }
    }
    found
}

#[test]
fn a_new_root_has_dockers_directories_and_modes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b");
    let root = open(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o710);
    let mut found = tree(&path);
    found.retain(|name, _| !name.starts_with("image/plywood/in-flight/"));
    let has_map = !matches!(crate::sys::userns::ids(), crate::sys::userns::Ids::Host);
    assert_eq!(found.remove("image/plywood/id-map"), has_map.then_some(0o600));
    let expected = [
        ("containers", 0o710),
        ("image", 0o700),
        ("image/overlay2", 0o700),
        ("image/overlay2/distribution", 0o700),
        ("image/overlay2/imagedb", 0o700),
        ("image/overlay2/imagedb/content", 0o700),
        ("image/overlay2/imagedb/content/sha256", 0o700),
        ("image/overlay2/imagedb/metadata", 0o700),
        ("image/overlay2/imagedb/metadata/sha256", 0o700),
        ("image/overlay2/layerdb", 0o700),
        ("image/overlay2/layerdb/mounts", 0o755),
        ("image/overlay2/layerdb/sha256", 0o755),
        ("image/overlay2/layerdb/tmp", 0o755),
        ("image/plywood", 0o700),
        ("image/plywood-cache", 0o700),
        ("image/plywood/events", 0o700),
        ("image/plywood/in-flight", 0o700),
        ("image/plywood/locks", 0o700),
        ("image/plywood/trash", 0o700),
        ("overlay2", 0o710),
        ("volumes", 0o701),
        ("volumes/metadata.db", 0o600),
    ];
    assert_eq!(found, expected.map(|(name, mode)| (name.to_owned(), mode)).into());
    drop(root);
    assert_eq!(fs::read_dir(path.join("image/plywood/in-flight")).unwrap().count(), 0);
}

#[test]
fn reopening_tightens_modes_and_never_loosens_them() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()).unwrap());
    let set =
        |name: &str, mode| fs::set_permissions(directory.path().join(name), Permissions::from_mode(mode)).unwrap();
    for (name, mode) in [("", 0o755), ("overlay2", 0o755), ("image", 0o777), ("containers", 0o700)] {
        set(name, mode);
    }
    drop(open(directory.path()).unwrap());
    let mode = |name: &str| fs::metadata(directory.path().join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!([mode(""), mode("overlay2"), mode("image"), mode("containers")], [0o710, 0o710, 0o700, 0o700]);
}

#[test]
fn a_directory_with_foreign_content_is_refused_and_left_alone() {
    for foreign in ["photo.jpg", "image/holiday.png"] {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(foreign);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, "x").unwrap();
        let before = tree(directory.path());
        let error = open(directory.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains(file.file_name().unwrap().to_str().unwrap()), "{error}");
        assert_eq!(tree(directory.path()), before);
    }
}

#[test]
fn a_root_of_dockerd_with_only_its_own_files_is_accepted() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["overlay2/l", "image/overlay2/layerdb/sha256", "network/files", "buildkit", "tmp", "lost+found"] {
        fs::create_dir_all(directory.path().join(name)).unwrap();
    }
    fs::write(directory.path().join("engine-id"), "x").unwrap();
    open(directory.path()).unwrap();
}

#[test]
fn a_root_in_containerds_format_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("rootfs/overlayfs")).unwrap();
    fs::create_dir_all(directory.path().join("overlay2")).unwrap();
    let error = open(directory.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.hint().unwrap().contains("docker save"));
}

#[test]
fn a_file_is_no_data_root() {
    let file = tempfile::NamedTempFile::new().unwrap();
    assert_eq!(open(file.path()).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn a_root_of_another_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    chown(directory.path(), Some(65534), None).unwrap();
    let error = open(directory.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("belongs to user 65534"), "{error}");
}

#[test]
fn a_running_dockerd_keeps_us_out_and_we_keep_it_out() {
    let directory = tempfile::tempdir().unwrap();
    let root = open(directory.path()).unwrap();
    let second = open(directory.path()).unwrap();
    let database = directory.path().join("volumes/metadata.db");
    let dockerd = File::open(&database).unwrap();
    assert!(dockerd.try_lock().is_err());
    drop((root, second));
    dockerd.try_lock().unwrap();
    let error = open(directory.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InUse);
    assert!(error.to_string().contains("a Docker daemon is running on it"), "{error}");
}

#[test]
fn one_of_ours_that_writes_to_dockers_database_is_told_from_a_dockerd() {
    let directory = tempfile::tempdir().unwrap();
    assert!(!interlock::is_being_written(directory.path()), "nothing is there yet");
    let root = open(directory.path()).unwrap();
    assert!(!interlock::is_being_written(root.path()));
    let held = root.lock(Lock::Volumes).unwrap();
    let is_seen = root.when_alone(|_| Ok(interlock::is_being_written(root.path()))).unwrap();
    assert_eq!(is_seen, Some(true));
    drop(held);
    assert!(!interlock::is_being_written(root.path()));
}

#[test]
fn who_is_alone_may_write_to_dockers_database_and_still_keeps_dockerd_out() {
    let directory = tempfile::tempdir().unwrap();
    let root = open(directory.path()).unwrap();
    let database = root.volume_database();
    let dockerd = File::open(&database).unwrap();
    let other = root.interlock().unwrap();
    assert_eq!(root.when_alone(|_| Ok(())).unwrap(), None);
    drop(other);
    let act = |file: &File| -> Result<u64> {
        assert!(File::open(&database).unwrap().try_lock_shared().is_err());
        Ok(file.metadata().unwrap().len())
    };
    assert_eq!(root.when_alone(act).unwrap(), Some(0));
    assert!(dockerd.try_lock().is_err());
    File::open(&database).unwrap().try_lock_shared().unwrap();
}

#[test]
fn links_and_pipes_where_a_file_should_be_are_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("target");
    fs::write(&target, "text").unwrap();
    let path = directory.path().join("file");
    std::os::unix::fs::symlink(&target, &path).unwrap();
    assert_eq!(atomic::read_text(&path, 10).unwrap_err().kind(), ErrorKind::Corrupt);
    fs::remove_file(&path).unwrap();
    // Nobody writes to it: a reader that opened it as it is would wait for ever.
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    assert_eq!(atomic::read_text(&path, 10).unwrap_err().kind(), ErrorKind::Corrupt);

    let root = directory.path().join("root");
    drop(open(&root).unwrap());
    fs::remove_file(root.join("volumes/metadata.db")).unwrap();
    std::os::unix::fs::symlink(&target, root.join("volumes/metadata.db")).unwrap();
    assert!(open(&root).unwrap_err().to_string().contains("metadata.db"));
    assert_eq!(fs::read_to_string(&target).unwrap(), "text");
}

#[test]
fn written_files_have_their_mode_and_leave_no_temporary_ones() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("repositories.json");
    for (durability, mode) in [(Durability::Full, 0o600), (Durability::Fast, 0o644)] {
        atomic::write(&path, b"{}", mode, durability).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"{}");
        assert_eq!(tree(directory.path()), [("repositories.json".to_owned(), mode)].into());
    }
    let error = atomic::write(&directory.path().join("missing/x"), b"", 0o600, Durability::Fast).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.path(), Some(directory.path().join("missing/x").as_path()));
}

#[test]
fn unfinished_files_of_a_dead_process_are_removed_at_open_and_those_of_a_living_one_are_not() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()).unwrap());
    let dead = directory.path().join("image/overlay2/.tmp-repositories.json123");
    let alive = directory.path().join("image/overlay2/.tmp-repositories.json456");
    fs::write(&dead, "{").unwrap();
    let writer = File::create(&alive).unwrap();
    writer.try_lock().unwrap();
    drop(open(directory.path()).unwrap());
    // Nobody has crashed: nothing is searched.
    assert!(dead.exists());
    fs::write(directory.path().join("image/plywood/in-flight/session-dead"), "").unwrap();
    drop(open(directory.path()).unwrap());
    assert!(!dead.exists());
    assert!(alive.exists());
}

#[test]
fn a_lock_has_one_holder_and_those_who_wait_in_vain_learn_who() {
    let directory = tempfile::tempdir().unwrap();
    let root = open(directory.path()).unwrap();
    let held = root.lock(Lock::Store).unwrap();
    let path = directory.path().join("image/plywood.lock");
    let error = lock::exclusive(&path, Duration::ZERO).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains(&format!("process {} has held it", std::process::id())), "{error}");
    // Another root of this program queues for itself.
    let other = open(directory.path()).unwrap();
    other.lock(Lock::Layers).unwrap();
    drop(held);
    lock::exclusive(&path, Duration::ZERO).unwrap();
}

#[test]
fn only_one_of_many_threads_holds_a_lock() {
    let directory = tempfile::tempdir().unwrap();
    let root = open(directory.path()).unwrap();
    let counter = directory.path().join("image/plywood/counter");
    fs::write(&counter, "0").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let _held = root.lock(Lock::Layers).unwrap();
                    let number: u32 = fs::read_to_string(&counter).unwrap().parse().unwrap();
                    fs::write(&counter, (number + 1).to_string()).unwrap();
                }
            });
        }
    });
    assert_eq!(fs::read_to_string(&counter).unwrap(), "80");
}

#[test]
fn the_journal_tells_the_dead_from_the_living() {
    let directory = tempfile::tempdir().unwrap();
    let root = open(directory.path()).unwrap();
    let mut living = root.in_flight("living", Duration::ZERO).unwrap();
    living.note("sha256:x").unwrap();
    let mut dead = root.in_flight("dead", Duration::ZERO).unwrap();
    assert_eq!(dead.left(), "");
    dead.note("half").unwrap();
    dead.abandon();
    let left: Vec<String> =
        root.abandoned(|_| true).unwrap().into_iter().map(|(name, entry)| (name, entry.abandon()).0).collect();
    assert_eq!(left, ["dead"]);
    assert_eq!(root.in_flight("dead", Duration::ZERO).unwrap().left(), "half");
    assert!(!root.is_in_flight("dead"));
    assert!(root.in_flight_notes().unwrap().contains(&("living".to_owned(), "sha256:x".to_owned())));
    assert_eq!(root.note_of("living").unwrap().as_deref(), Some("sha256:x"));
    assert_eq!(root.note_of("dead").unwrap(), None);
    assert_eq!(root.in_flight("living", Duration::ZERO).unwrap_err().kind(), ErrorKind::Timeout);
}

#[test]
fn discarded_trees_vanish_even_if_their_directories_forbid_it() {
    let directory = tempfile::tempdir().unwrap();
    let root = open(directory.path()).unwrap();
    let tree = root.driver_home().join("x");
    fs::create_dir_all(tree.join("work/work/inner")).unwrap();
    fs::write(tree.join("work/work/inner/file"), "").unwrap();
    for name in ["work/work/inner/file", "work/work/inner", "work/work"] {
        fs::set_permissions(tree.join(name), Permissions::from_mode(0o000)).unwrap();
    }
    root.discard(&tree).unwrap();
    root.discard(&tree).unwrap();
    assert!(!tree.exists());
    assert_eq!(fs::read_dir(root.own_dir().join("trash")).unwrap().count(), 0);
}

#[test]
fn the_trash_of_a_dead_process_is_emptied_and_that_of_a_living_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let root = open(directory.path()).unwrap();
    let trash = root.own_dir().join("trash");
    for name in ["dead/a/b", "living/a/b"] {
        fs::create_dir_all(trash.join(name)).unwrap();
    }
    let living = File::open(trash.join("living")).unwrap();
    living.try_lock().unwrap();
    root.empty_trash().unwrap();
    assert!(!trash.join("dead").exists());
    assert!(trash.join("living").exists());
}

#[test]
fn small_files_that_are_too_large_or_no_text_are_corrupt() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("size");
    assert_eq!(atomic::read_text(&path, 4).unwrap(), None);
    for (bytes, is_sound) in [(&b"1234"[..], true), (b"12345", false), (b"\xff", false)] {
        OpenOptions::new().create(true).write(true).truncate(true).open(&path).unwrap();
        fs::write(&path, bytes).unwrap();
        match atomic::read_text(&path, 4) {
            Ok(text) => assert!(is_sound && text.unwrap().as_bytes() == bytes),
            Err(error) => assert!(!is_sound && error.kind() == ErrorKind::Corrupt),
        }
    }
}

#[test]
fn a_root_whose_files_belong_to_ids_that_this_user_lacks_is_refused() {
    if matches!(crate::sys::userns::ids(), crate::sys::userns::Ids::Host) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let record = directory.path().join("image/plywood/id-map");
    drop(open(directory.path()).unwrap());
    let own = fs::read_to_string(&record).unwrap();
    fs::write(&record, "0:5:1,1:7:7 0:5:1,1:7:7").unwrap();
    let error = open(directory.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("its files belong to"), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("/etc/subuid")), "{error:?}");
    // All belonged to the user, and from now on new ones need not.
    fs::write(&record, "one").unwrap();
    drop(open(directory.path()).unwrap());
    assert_eq!(fs::read_to_string(&record).unwrap(), own);
}

#[test]
#[cfg(debug_assertions)]
fn locks_are_taken_in_their_order() {
    let directory = tempfile::tempdir().unwrap();
    let root = DataRoot::open(directory.path(), Durability::Fast).unwrap();
    for (first, second, is_right) in [
        (Lock::Store, Lock::Layers, true),
        (Lock::Containers, Lock::Volumes, true),
        (Lock::Layers, Lock::Store, false),
        (Lock::Volumes, Lock::Containers, false),
    ] {
        let taken = std::thread::scope(|scope| {
            let both = || {
                let _held = root.lock(first).unwrap();
                drop(root.lock(second).unwrap());
            };
            scope.spawn(both).join()
        });
        assert_eq!(taken.is_ok(), is_right, "{first:?}, then {second:?}");
    }
    drop(root.lock(Lock::Store).unwrap());
    drop(root.lock(Lock::Store).unwrap());
}
