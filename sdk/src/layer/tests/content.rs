use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::archive::Limits;
use crate::spec::{ByteSize, Digest};

/// A tar of these files, each with its content.
pub(super) fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1_700_000_000);
        header.set_uid(0);
        header.set_gid(0);
        builder.append_data(&mut header, name, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

pub(super) fn import(store: &Store, parent: Option<&Layer>, tar: &[u8]) -> crate::Result<Layer> {
    import_within(store, parent, tar, Limits::default())
}

fn import_within(store: &Store, parent: Option<&Layer>, tar: &[u8], limits: Limits) -> crate::Result<Layer> {
    let options = store.layers.apply_options(limits);
    let expected = DiffId::from(Digest::of(tar));
    store.layers.import(parent.map(Layer::chain_id), &mut &tar[..], Some(&expected), &options).map(Layer::from)
}

/// Commits a layer with one file.
fn commit(store: &Store, parent: Option<&Layer>, name: &str) -> Layer {
    let staged = store.layers.stage(parent.map(Layer::chain_id)).unwrap();
    fs::write(staged.diff().join(name), name).unwrap();
    // The time belongs to the content: the same file must give the same layer.
    let file = fs::File::options().write(true).open(staged.diff().join(name)).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    store.layers.commit(staged).unwrap().into()
}

fn tar_back(store: &Store, layer: &Layer) -> crate::Result<Vec<u8>> {
    let mut tar = Vec::new();
    store.layers.tar(layer, &mut tar).map(|()| tar)
}

#[test]
fn a_small_store_is_laid_out_as_dockers_byte_for_byte() {
    let store = store();
    let tar = tar_of(&[("etc/name", b"twelve bytes"), ("bin/sh", b"#!")]);
    let base = import(&store, None, &tar).unwrap();
    let top = commit(&store, Some(&base), "added");
    let diff_id = Digest::of(&tar).to_string();
    assert_eq!(base.diff_id().as_str(), diff_id);
    assert_eq!(base.chain_id().as_str(), diff_id);
    let chain = Digest::of(format!("{diff_id} {}", top.diff_id()).as_bytes());
    assert_eq!(top.chain_id().digest(), &chain);

    let record = store.root.path().join("image/overlay2/layerdb/sha256").join(base.chain_id().hex());
    assert_eq!(names(&record), ["cache-id", "diff", "size", "tar-split.json.gz"]);
    assert_eq!(text(record.join("diff")), diff_id);
    assert_eq!(text(record.join("size")), "14");
    let base_id = text(record.join("cache-id"));
    let record = record.with_file_name(chain.hex());
    assert_eq!(names(&record), ["cache-id", "diff", "parent", "size", "tar-split.json.gz"]);
    assert_eq!(text(record.join("parent")), diff_id);
    assert_eq!(text(record.join("size")), "5");
    let top_id = text(record.join("cache-id"));
    for file in names(&record) {
        assert_eq!(mode(record.join(&file)), 0o644, "{file}");
    }
    assert_eq!(mode(&record), 0o700);

    let (base_dir, top_dir) = (store.root.driver_home().join(&base_id), store.root.driver_home().join(&top_id));
    assert!(base_id.len() == 64 && base_id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_eq!(names(&base_dir), ["committed", "diff", "link"]);
    assert_eq!(names(&top_dir), ["committed", "diff", "link", "lower", "work"]);
    let (base_link, top_link) = (text(base_dir.join("link")), text(top_dir.join("link")));
    assert_eq!([base_link.len(), top_link.len()], [26, 26]);
    assert_eq!(text(top_dir.join("lower")), format!("l/{base_link}"));
    let third = store.layers.stage(Some(top.chain_id())).unwrap();
    assert_eq!(text(third.diff().with_file_name("lower")), format!("l/{top_link}:l/{base_link}"));
    drop(third);
    let target = fs::read_link(store.root.links_dir().join(&top_link)).unwrap();
    assert_eq!(target, Path::new("..").join(&top_id).join("diff"));
    let modes =
        [("", 0o710), ("diff", 0o755), ("link", 0o644), ("lower", 0o644), ("work", 0o700), ("committed", 0o600)];
    for (name, expected) in modes {
        assert_eq!(mode(top_dir.join(name)), expected, "{name}");
    }
    assert_eq!(text(top_dir.join("committed")), "");
    assert_eq!(names(store.root.image_dir().join("layerdb/tmp")), [""; 0]);
}

#[test]
fn a_reopened_store_has_the_same_layers_and_gives_their_tars_back() {
    let store = store();
    let tar = tar_of(&[("a", b"1"), ("b", b"2")]);
    let base = import(&store, None, &tar).unwrap();
    let top = commit(&store, Some(&base), "added");
    let store = store.reopen();
    assert_eq!(store.layers.get(base.chain_id()).unwrap(), Some(base.clone()));
    assert_eq!(store.layers.stack(Some(top.chain_id())).unwrap(), [top.clone(), base.clone()]);
    assert_eq!(store.layers.list().unwrap().len(), 2);
    assert_eq!(tar_back(&store, &base).unwrap(), tar);
    assert_eq!(&Digest::of(&tar_back(&store, &top).unwrap()), top.diff_id().digest());
    let view = store.layers.view(Some(top.chain_id())).unwrap();
    assert_eq!(view.read_capped("/a", 9).unwrap().unwrap(), b"1");
    assert_eq!(view.read_capped("/added", 9).unwrap().unwrap(), b"added");
}

#[test]
fn a_tar_with_another_digest_than_expected_is_refused_and_leaves_nothing() {
    let store = store();
    let options = store.layers.apply_options(Limits::default());
    let expected = DiffId::from(Digest::of(b"something else"));
    let tar = tar_of(&[("a", b"1")]);
    let error = store.layers.import(None, &mut &tar[..], Some(&expected), &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains(&Digest::of(&tar).to_string()), "{error}");
    assert_empty(&store);
}

#[test]
fn a_tar_that_breaks_off_leaves_nothing() {
    let store = store();
    let tar = tar_of(&[("a", &[7; 5000])]);
    import(&store, None, &tar[..3000]).unwrap_err();
    assert_empty(&store);
    import(&store, None, &tar).unwrap();
}

fn assert_empty(store: &Store) {
    assert_eq!(names(store.root.driver_home()), ["l"]);
    assert_eq!(names(store.root.links_dir()), [""; 0]);
    assert_eq!(names(store.root.chains_dir()), [""; 0]);
    assert_eq!(names(store.root.image_dir().join("layerdb/tmp")), [""; 0]);
    assert_eq!(names(store.root.own_dir().join("trash")), [""; 0]);
    assert_eq!(names(store.root.own_dir().join("in-flight")).len(), 1, "only the session");
}

#[test]
fn the_same_layer_committed_by_eight_threads_is_one() {
    let store = store();
    let base = import(&store, None, &tar_of(&[("a", b"1")])).unwrap();
    let layers: Vec<Layer> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| commit(&store, Some(&base), "same"))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(layers.iter().all(|layer| layer == &layers[0]));
    assert_eq!(names(store.root.chains_dir()).len(), 2);
    assert_eq!(names(store.root.driver_home()).len(), 3);
    assert_eq!(names(store.root.links_dir()).len(), 2);
}

#[test]
fn the_same_layer_imported_by_eight_threads_is_read_once() {
    struct Counting<'a>(&'a [u8], &'a AtomicUsize);
    impl Read for Counting<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let read = self.0.read(buffer)?;
            self.1.fetch_add(read, Ordering::Relaxed);
            Ok(read)
        }
    }
    let store = store();
    let tar = tar_of(&[("a", &[1; 100_000])]);
    let expected = DiffId::from(Digest::of(&tar));
    let bytes = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let options = store.layers.apply_options(Limits::default());
                store.layers.import(None, &mut Counting(&tar, &bytes), Some(&expected), &options).unwrap()
            });
        }
    });
    assert_eq!(bytes.into_inner(), tar.len());
    assert_eq!(store.layers.list().unwrap().len(), 1);
}

#[test]
fn a_layer_that_something_stands_on_is_not_removed() {
    let store = store();
    let base = commit(&store, None, "base");
    let refused = |user: &str| {
        let error = store.layers.remove(base.chain_id()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InUse);
        assert!(error.to_string().contains(user), "{error}");
    };
    let top = commit(&store, Some(&base), "top");
    refused(&format!("layer {}", top.chain_id().short()));
    store.layers.remove(top.chain_id()).unwrap();
    let container = ContainerId::random().unwrap();
    store.create_writable(&container, Some(base.chain_id())).unwrap();
    refused(&format!("container {}", container.short()));
    store.remove_writable(&container).unwrap();
    let staged = store.layers.stage(Some(base.chain_id())).unwrap();
    refused("being made");
    drop(staged);
    let pin = store.layers.pin(base.chain_id()).unwrap();
    refused("being made");
    drop(pin);
    store.layers.remove(base.chain_id()).unwrap();
    assert_empty(&store);
}

#[test]
fn what_a_killed_process_has_staged_is_removed_at_the_next_open() {
    let store = store();
    let base = commit(&store, None, "base");
    let staged = store.layers.stage(Some(base.chain_id())).unwrap();
    fs::create_dir_all(staged.work().unwrap().join("work/x")).unwrap();
    fs::set_permissions(staged.work().unwrap().join("work"), fs::Permissions::from_mode(0o000)).unwrap();
    staged.write_set().unwrap();
    staged.crash();
    // A directory that is in no record and in no journal belongs to someone else.
    fs::create_dir_all(store.root.driver_home().join("buildkits/diff")).unwrap();
    // A process may also end between the commit point and the end of its entry.
    store.root.in_flight(base.cache_id().as_str(), std::time::Duration::ZERO).unwrap().abandon();
    let living = store.layers.stage(Some(base.chain_id())).unwrap();
    let second = LayerStore::open(&store.root).unwrap();
    let mut expected = ["buildkits", "l", base.cache_id().as_str(), living.cache_id.as_str()];
    expected.sort_unstable();
    assert_eq!(names(store.root.driver_home()), expected);
    assert_eq!(second.get(base.chain_id()).unwrap(), Some(base));
    assert_eq!(names(store.root.image_dir().join("layerdb/tmp")), [""; 0]);
    second.commit(living).unwrap();
}

#[test]
fn a_removal_that_was_interrupted_is_finished_at_open() {
    let store = store();
    let base = commit(&store, None, "base");
    let record = store.root.chain_dir(base.chain_id());
    let doomed = record.with_file_name(format!("{}-{}-removing", base.chain_id().hex(), "0".repeat(64)));
    fs::rename(record, doomed).unwrap();
    let store = store.reopen();
    assert_empty(&store);
}

#[test]
fn a_lost_short_name_is_made_again() {
    let store = store();
    let base = commit(&store, None, "base");
    let directory = store.root.layer_dir(base.cache_id());
    let link = text(directory.join("link"));
    fs::remove_file(store.root.links_dir().join(&link)).unwrap();
    drop(store.layers.stage(Some(base.chain_id())).unwrap());
    assert_eq!(names(store.root.links_dir()), std::slice::from_ref(&link));
    fs::remove_file(directory.join("link")).unwrap();
    let staged = store.layers.stage(Some(base.chain_id())).unwrap();
    let new = text(directory.join("link"));
    assert!(new != link && new.len() == 26);
    assert_eq!(text(staged.diff().with_file_name("lower")), format!("l/{new}"));
}

#[test]
fn a_damaged_layer_does_not_hide_the_sound_ones() {
    let store = store();
    let [sound, broken] = ["sound", "broken"].map(|name| commit(&store, None, name));
    let size = store.root.chain_dir(broken.chain_id()).join("size");
    for damage in ["", "12\0", "-1"] {
        fs::write(&size, damage).unwrap();
        let error = store.layers.get(broken.chain_id()).unwrap_err();
        assert_eq!((error.kind(), error.path()), (ErrorKind::Corrupt, Some(size.as_path())), "{damage:?}");
        assert_eq!(store.layers.list().unwrap(), std::slice::from_ref(&sound));
    }
}

#[test]
fn changed_files_are_noticed_when_the_tar_is_made() {
    let store = store();
    let base = import(&store, None, &tar_of(&[("a", b"1")])).unwrap();
    fs::write(store.root.layer_dir(base.cache_id()).join("diff/a"), "2").unwrap();
    assert_eq!(tar_back(&store, &base).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn the_tar_of_a_layer_of_ours_needs_no_tar_split() {
    let store = store();
    let base = commit(&store, None, "base");
    let tar = tar_back(&store, &base).unwrap();
    fs::remove_file(store.root.chain_dir(base.chain_id()).join("tar-split.json.gz")).unwrap();
    assert_eq!(tar_back(&store, &base).unwrap(), tar);
}

#[test]
fn an_image_has_at_most_125_layers() {
    let store = store();
    let mut top: Option<Layer> = None;
    for _ in 0..MAX_DEPTH {
        let staged = store.layers.stage(top.as_ref().map(Layer::chain_id)).unwrap();
        top = Some(Layer::from(store.layers.commit(staged).unwrap()));
    }
    let top = top.unwrap();
    let error = store.layers.stage(Some(top.chain_id())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    let id = ContainerId::random().unwrap();
    let writable = store.create_writable(&id, Some(top.chain_id())).unwrap();
    assert_eq!(writable.below.len(), MAX_DEPTH + 1);
}

#[test]
fn the_init_layer_keeps_what_the_image_has_and_covers_its_directories_as_they_are() {
    let store = store();
    let staged = store.layers.stage(None).unwrap();
    let at = |name: &str| staged.diff().join(name);
    for name in ["dev/pts", "real", "proc"] {
        fs::create_dir_all(at(name)).unwrap();
    }
    std::os::unix::fs::symlink("/real", at("etc")).unwrap();
    fs::write(at("real/hosts"), "mine").unwrap();
    fs::write(at("sys"), "a file").unwrap();
    fs::set_permissions(at("real"), fs::Permissions::from_mode(0o751)).unwrap();
    fs::set_permissions(staged.diff(), fs::Permissions::from_mode(0o555)).unwrap();
    let base = store.layers.commit(staged).unwrap();
    let id = ContainerId::random().unwrap();
    let layer = store.create_writable(&id, Some(base.chain_id())).unwrap();
    let init = &layer.below[0];
    assert_eq!(names(init), [".dockerenv", "dev", "real"]);
    assert_eq!(names(init.join("dev")), ["console", "shm"]);
    assert_eq!(names(init.join("real")), ["hostname", "mtab", "resolv.conf"]);
    assert_eq!(mode(init.join("real")), 0o751);
    // An ordinary user could not put anything into such a directory.
    let root_mode = if rustix::process::geteuid().is_root() { 0o555 } else { 0o755 };
    assert_eq!([mode(init), mode(&layer.upper)], [root_mode; 2]);
    let modified = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    assert_eq!(modified(&init.join("real")), modified(&layer.below[1].join("real")));
    // An ordinary user could not remove it either.
    fs::set_permissions(&layer.below[1], fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_full_disk_leaves_nothing_half_made() {
    use rustix::mount as kernel;
    // Only root can make a small file system: an ordinary user is no lack of the host.
    if !rustix::process::geteuid().is_root() {
        return say("skipped: only root can make a small file system");
    }
    // A mount that is attached nowhere: it goes with its descriptor.
    let attempt = || -> rustix::io::Result<_> {
        let context = kernel::fsopen("tmpfs", kernel::FsOpenFlags::FSOPEN_CLOEXEC)?;
        kernel::fsconfig_set_string(&context, "size", "16m")?;
        kernel::fsconfig_create(&context)?;
        kernel::fsmount(&context, kernel::FsMountFlags::FSMOUNT_CLOEXEC, kernel::MountAttrFlags::empty())
    };
    let Ok(mount) = attempt() else { return skip("this process may not mount") };
    let path = format!("/proc/self/fd/{}/root", std::os::fd::AsRawFd::as_raw_fd(&mount));
    let root = DataRoot::open(Path::new(&path), Durability::Full).unwrap();
    let layers = LayerStore::open(&root).unwrap();
    let store = Store { directory: tempfile::tempdir().unwrap(), root, layers };
    let base = import(&store, None, &tar_of(&[("a", b"1")])).unwrap();
    let free = || crate::sys::fs::free_space(&mount).unwrap();
    let (before, chains) = (free(), names(store.root.chains_dir()));
    let large: Vec<u8> = (0..24_u32 << 20).map(|at| (at >> 3) as u8).collect();
    let tar = tar_of(&[("large", &large)]);
    // With the reserve that is always left, and down to the last byte.
    for limits in [Limits::default(), Limits::default().free_space(ByteSize::from(0))] {
        let error = import_within(&store, Some(&base), &tar, limits).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        assert_eq!(free(), before);
        assert_eq!(names(store.root.chains_dir()), chains);
        assert_eq!(names(store.root.driver_home()).len(), 2);
    }
    assert_eq!(tar_back(&store, &base).unwrap(), tar_of(&[("a", b"1")]));
    import(&store, Some(&base), &tar_of(&[("small", b"fits")])).unwrap();
}

/// Says why a test cannot run here; fatal where everything must run.
fn skip(why: &str) {
    assert!(std::env::var_os("PLYWOOD_TEST_STRICT").is_none(), "{why}");
    say(&format!("skipped: {why}"));
}

/// The lint is for the library: a test that does not run has to say so.
#[allow(clippy::print_stderr)]
fn say(text: &str) {
    eprintln!("{text}");
}
