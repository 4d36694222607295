//! What is left behind: by a prune what is in use, by a program that ends nothing, by one that is killed what the next
//! one removes.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use plywood::container::State;
use plywood::prune::{Kind, Options, Report};
use plywood::{ByteSize, Container, Durability, Engine, ErrorKind, Image, Mount, Volume};
use support::victim::{self, Victim};
use support::{Layout, base, engine, image, run, sh};

/// What goes, by kind and name.
fn names(report: &Report) -> BTreeSet<(String, String)> {
    report.objects().iter().map(|object| (object.kind().to_string(), object.name().to_owned())).collect()
}

/// A store with something of everything, used and unused; the guard holds what is used.
fn furnish(engine: &Engine) -> (Image, Container) {
    let used = engine.build(&base().run("echo used > /used")).unwrap();
    engine.tag(&used.id().to_string(), "used:1").unwrap();
    let dangling = engine.build(&base().run("dd if=/dev/zero of=/big bs=1024 count=512 2>/dev/null")).unwrap();
    let holder = sh(&used, "while :; do sleep 60; done")
        .name("holder")
        .mount(engine.volume("mounted").unwrap().at("/data"))
        .start(engine)
        .unwrap();
    let mut ended = sh(&used, "echo x > /file").name("ended").start(engine).unwrap();
    assert!(ended.wait().unwrap().success());
    ended.persist().unwrap();
    let idle = engine.volume("idle").unwrap();
    fs::write(idle.path().join("file"), vec![1; 100_000]).unwrap();
    assert_eq!(engine.images().unwrap().len(), 2, "{dangling:?}");
    (used, holder)
}

#[test]
fn a_dry_run_tells_what_goes_and_the_real_one_removes_just_that() {
    let engine = engine();
    let (used, holder) = furnish(&engine);
    let dry = engine.prune_with(&Options::new().named_volumes().dry_run()).unwrap();
    assert_eq!(engine.images().unwrap().len(), 2, "nothing went");
    assert_eq!(engine.containers().unwrap().len(), 2);
    assert_eq!(engine.volumes().unwrap().len(), 2);
    let before = engine.disk_usage().unwrap().total();
    let real = engine.prune_with(&Options::new().named_volumes()).unwrap();
    assert_eq!(real.objects(), dry.objects());
    let of = |kind: Kind| -> Vec<&str> {
        real.objects().iter().filter(|object| object.kind() == kind).map(|object| object.name()).collect()
    };
    assert_eq!((of(Kind::Container), of(Kind::Volume)), (vec!["ended"], vec!["idle"]));
    assert_eq!(of(Kind::Image).len(), 1, "the dangling image");
    let bytes = |kind: Kind| -> u64 {
        real.objects().iter().filter(|object| object.kind() == kind).map(|object| object.bytes()).sum()
    };
    assert!(bytes(Kind::Image) >= 512 << 10 && bytes(Kind::Volume) >= 100_000, "{:?}", real.objects());
    let after = engine.disk_usage().unwrap().total();
    assert!(before - after >= 512 << 10, "{before} {after}");
    // What is used is whole.
    assert_eq!(engine.images().unwrap(), std::slice::from_ref(&used));
    assert_eq!(engine.volumes().unwrap()[0].name().as_str(), "mounted");
    assert_eq!(holder.state().unwrap(), State::Running);
    assert_eq!(run(&engine, &used, "cat /used"), "used\n");
    assert!(names(&engine.prune().unwrap()).is_empty(), "a second one finds nothing");
}

#[test]
fn a_prune_of_one_kind_leaves_the_others() {
    let engine = engine();
    let (_, _holder) = furnish(&engine);
    let volumes = Options::new().only([Kind::Volume]);
    assert!(names(&engine.prune_with(&volumes).unwrap()).is_empty(), "it has a name");
    let report = engine.prune_with(&volumes.named_volumes()).unwrap();
    assert_eq!(names(&report), BTreeSet::from([("volume".to_owned(), "idle".to_owned())]));
    assert_eq!(engine.containers().unwrap().len(), 2);
    assert_eq!(engine.images().unwrap().len(), 2);
}

#[test]
fn a_prune_takes_volumes_that_were_made_for_a_container_that_is_gone() {
    let engine = engine();
    let (image, volumes) = (engine.build(&base()).unwrap(), Options::new().only([Kind::Volume]));
    let listed = || engine.volumes().unwrap().iter().map(|it| it.name().as_str().to_owned()).collect::<Vec<_>>();
    let [named, dockers] = ["a", "b"].map(|digit| digit.repeat(64));
    engine.volume(&named).unwrap();
    let mut container = sh(&image, "true").mount(Mount::anonymous("/data")).create(&engine).unwrap();
    let anonymous = listed().into_iter().find(|name| *name != named).unwrap();
    let volume = engine.find_volume(&anonymous).unwrap().unwrap();
    assert!(volume.is_anonymous() && volume.labels().contains_key(Volume::ANONYMOUS), "{volume:?}");
    assert!(!volume.fork(&engine).unwrap().is_anonymous(), "it belongs to nobody");
    // Docker before 23 gave them no label.
    fs::create_dir_all(engine.path().join("volumes").join(&dockers).join("_data")).unwrap();
    assert_eq!(names(&engine.prune_with(&volumes).unwrap()), BTreeSet::from([("volume".to_owned(), dockers)]));
    // What is left if its files are taken away by force.
    container.persist().unwrap();
    fs::remove_dir_all(engine.path().join("containers").join(container.id().as_str())).unwrap();
    assert_eq!(names(&engine.prune_with(&volumes).unwrap()), BTreeSet::from([("volume".to_owned(), anonymous)]));
    assert_eq!(listed(), [named]);
}

#[test]
fn a_filtered_prune_leaves_what_is_younger_or_lacks_the_label() {
    let engine = engine();
    let image = image(&engine);
    for (name, label) in [("plain", None), ("marked", Some(("stage", "test")))] {
        let definition = sh(&image, "true").name(name);
        let definition = label.iter().fold(definition, |it, (name, value)| it.label(*name, *value));
        definition.create(&engine).unwrap().persist().unwrap();
        let labels = label.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        engine.create_volume(name, labels).unwrap();
    }
    let kinds = || Options::new().only([Kind::Container, Kind::Volume]).named_volumes();
    let day = std::time::Duration::from_secs(24 * 60 * 60);
    let dry = |options: Options| {
        let report = engine.prune_with(&options.dry_run()).unwrap();
        report.objects().iter().map(|object| object.name().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(dry(Options::new().older_than(day)), Vec::<String>::new(), "all of it was made today");
    assert_eq!(dry(kinds().older_than(std::time::Duration::ZERO)).len(), 4);
    assert_eq!(dry(kinds().label("stage")), ["marked", "marked"]);
    assert_eq!(dry(kinds().label("stage=production")), Vec::<String>::new());
    assert_eq!(dry(kinds().without_label("stage=test")), ["plain", "plain"]);
    let before = engine.disk_usage().unwrap().build_cache();
    assert_eq!(dry(Options::new().only([Kind::BuildCache]).label("stage")), Vec::<String>::new());
    engine.prune_with(&kinds().label("stage=test").older_than(std::time::Duration::ZERO)).unwrap();
    let left: Vec<_> = engine.containers().unwrap().iter().map(|container| container.name().to_owned()).collect();
    assert_eq!(left, ["plain"]);
    assert_eq!(engine.volumes().unwrap()[0].name().as_str(), "plain");
    engine.prune_with(&Options::new().named_volumes().older_than(day)).unwrap();
    assert_eq!((engine.volumes().unwrap().len(), engine.disk_usage().unwrap().build_cache()), (1, before));
}

/// Lets an object look as if it was used so many days ago.
fn age(path: &Path, days: u64) {
    let time = std::time::SystemTime::now() - std::time::Duration::from_secs(days * 24 * 60 * 60);
    fs::File::open(path).unwrap().set_modified(time).unwrap();
}

/// Where the time of use of an image is.
fn image_file(engine: &Engine, image: &Image) -> std::path::PathBuf {
    engine.path().join(Layout::of(engine).image("imagedb/content/sha256")).join(image.id().hex())
}

/// An image with a layer of so many KiB of its own.
fn image_of(engine: &Engine, name: &str, kib: u32) -> Image {
    let image =
        engine.build(&base().run(format!("dd if=/dev/zero of=/{name} bs=1024 count={kib} 2>/dev/null"))).unwrap();
    engine.tag(&image.id().to_string(), name).unwrap();
    image
}

#[test]
fn a_prune_to_a_size_takes_what_was_not_used_for_the_longest_time_and_no_more() {
    let engine = engine();
    let images = ["first", "second", "third"].map(|name| image_of(&engine, name, 1024));
    let [first, second, third] = &images;
    for (name, days) in [("old", 5), ("new", 1)] {
        let volume = engine.volume(name).unwrap();
        fs::write(volume.path().join("file"), vec![1; 1 << 20]).unwrap();
        age(volume.path().parent().unwrap(), days);
    }
    // Their layers are in the build cache, too, which was used today.
    [first, second, third].into_iter().zip([2, 6, 4]).for_each(|(image, days)| age(&image_file(&engine, image), days));
    let held = sh(second, "while :; do sleep 60; done").start(&engine).unwrap();
    let total = engine.disk_usage().unwrap().total();
    let to = |bytes: u64| Options::new().unused_images().named_volumes().to_size(ByteSize::bytes(bytes));
    let list = |report: &Report| report.objects().iter().map(|it| it.name().to_owned()).collect::<Vec<_>>();
    assert_eq!(list(&engine.prune_with(&to(total).dry_run()).unwrap()), Vec::<String>::new(), "small enough");
    assert_eq!(list(&engine.prune_with(&to(total - 1).dry_run()).unwrap()), ["old"]);
    let wanted = to(total - (3 << 20) / 2);
    let dry = engine.prune_with(&wanted.clone().dry_run()).unwrap();
    assert_eq!(list(&dry), ["old", "third:latest"], "the image that was used before all others has a container");
    let real = engine.prune_with(&wanted).unwrap();
    assert_eq!(real.objects(), dry.objects());
    assert!(engine.disk_usage().unwrap().total() <= total - (3 << 20) / 2);
    // Everything that may go, and then what that sets free.
    drop(held);
    let rest = engine.prune_with(&to(0)).unwrap();
    let rest: BTreeSet<_> = names(&rest).into_iter().map(|(_, name)| name).collect();
    assert!(["first:latest", "second:latest", "new"].iter().all(|name| rest.contains(*name)), "{rest:?}");
    assert_eq!(engine.disk_usage().unwrap().total(), 0);
    assert!(engine.fsck().unwrap().is_sound());
}

#[test]
fn what_was_used_a_moment_ago_stays_in_its_grace_period() {
    let engine = engine();
    let day = std::time::Duration::from_secs(24 * 60 * 60);
    let names = |report: Report| report.objects().iter().map(|it| it.name().to_owned()).collect::<Vec<_>>();
    let options = Options::new().unused_images().named_volumes().unused_for(day).dry_run();
    let dry = || names(engine.prune_with(&options).unwrap());
    let image = image_of(&engine, "image", 8);
    let volume = engine.volume("data").unwrap();
    assert_eq!(dry(), Vec::<String>::new());
    let (file, directory) = (image_file(&engine, &image), volume.path().parent().unwrap().to_owned());
    [&file, &directory].into_iter().for_each(|path| age(path, 2));
    assert_eq!(dry(), ["image:latest", "data"]);
    // A container that comes and goes is a use.
    drop(sh(&image, "true").mount(volume.at("/data")).create(&engine).unwrap());
    let is_recent = |path: &Path| fs::metadata(path).unwrap().modified().unwrap().elapsed().unwrap() < day;
    assert!(is_recent(&file) && is_recent(&directory));
    assert_eq!(dry(), Vec::<String>::new());
}

#[test]
fn unused_images_go_with_their_names_if_that_is_asked_for() {
    let engine = engine();
    let [used, unused] = ["used", "unused"].map(|name| image_of(&engine, name, 8));
    engine.tag("unused", "also:1").unwrap();
    let mut container = sh(&used, "true").create(&engine).unwrap();
    container.persist().unwrap();
    let images = || Options::new().only([Kind::Image]);
    assert!(engine.prune_with(&images()).unwrap().objects().is_empty());
    let report = engine.prune_with(&images().unused_images()).unwrap();
    assert_eq!(report.objects().iter().map(|it| it.id()).collect::<Vec<_>>(), [unused.id().as_str()]);
    assert_eq!(engine.images().unwrap(), [used]);
    assert_eq!(engine.image("also:1").unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn usage_counts_what_images_share_once() {
    let engine = engine();
    let (used, holder) = furnish(&engine);
    let usage = engine.disk_usage().unwrap();
    assert_eq!(usage.images().len(), 2);
    let of_used = usage.images().iter().find(|one| *one.image() == used).unwrap();
    assert_eq!(of_used.containers(), 2);
    assert!(of_used.shared() > of_used.unique(), "the base is shared");
    let dangling = usage.images().iter().find(|one| *one.image() != used).unwrap();
    assert!(dangling.unique() >= 512 << 10);
    assert_eq!(dangling.shared(), of_used.shared());
    assert_eq!(usage.layer_bytes(), of_used.shared() + of_used.unique() + dangling.unique());
    let shared = usage.layers().iter().filter(|layer| layer.images() == 2).map(|layer| layer.bytes()).sum::<u64>();
    let unique = usage.layers().iter().filter(|layer| layer.images() == 1).map(|layer| layer.bytes()).sum::<u64>();
    assert_eq!((shared, unique), (of_used.shared(), of_used.unique() + dangling.unique()));
    let holding = usage.containers().iter().find(|one| one.id() == holder.id()).unwrap();
    assert_eq!((holding.name(), holding.state()), ("holder", State::Running));
    let idle = usage.volumes().iter().find(|one| one.name().as_str() == "idle").unwrap();
    assert!(idle.bytes() >= 100_000 && idle.containers() == 0);
    assert_eq!(usage.volumes().iter().find(|one| one.name().as_str() == "mounted").unwrap().containers(), 1);
}

#[test]
fn three_containers_of_one_image_take_its_bytes_once() {
    let engine = engine();
    if Layout::of(&engine).is_whole() {
        return; // Each has a copy.
    }
    let image = image(&engine);
    let disk = || du(engine.path());
    let before = disk();
    let containers: Vec<_> = (0..3).map(|_| sh(&image, "while :; do sleep 60; done").start(&engine).unwrap()).collect();
    let each = (disk() - before) / 3;
    assert!(each < 256 << 10 && image.size() > 1 << 20, "{each} bytes each, image {}", image.size());
    for (number, container) in containers.iter().enumerate() {
        let output =
            container.exec(["sh", "-c", &format!("ls /mine* 2>&1 | cat; echo > /mine{number}")]).output().unwrap();
        assert!(!String::from_utf8_lossy(&output.stdout).contains("/mine0\n"), "each has its own writable layer");
    }
    drop(containers);
    assert!(disk().abs_diff(before) < 64 << 10, "and it goes with the container");
}

/// Bytes on disk below a directory.
fn du(directory: &Path) -> u64 {
    let mut bytes = 0;
    let mut open = vec![directory.to_owned()];
    while let Some(path) = open.pop() {
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        bytes += metadata.blocks() * 512;
        // The upper directories of an ordinary user's containers may be closed to it.
        if metadata.is_dir() {
            open.extend(fs::read_dir(&path).into_iter().flatten().map(|entry| entry.unwrap().path()));
        }
    }
    bytes
}

#[test]
fn a_guard_kills_and_removes_when_dropped() {
    let engine = engine();
    let image = image(&engine);
    let container = sh(&image, "while :; do sleep 60; done").start(&engine).unwrap();
    let pid = container.inspect().unwrap().pid().unwrap();
    let clone_of_engine = engine.clone();
    drop(container);
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "it is dead and reaped");
    assert!(clone_of_engine.containers().unwrap().is_empty());
    assert_eq!(fs::read_dir(engine.path().join("containers")).unwrap().count(), 0);
    let path = engine.path().to_owned();
    drop((engine, clone_of_engine));
    assert!(!path.exists(), "a temporary data root goes with its last engine");
}

#[test]
fn a_guard_is_dropped_by_a_panic() {
    let engine = engine();
    let image = image(&engine);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _container = sh(&image, "while :; do sleep 60; done").name("doomed").start(&engine).unwrap();
        std::panic::resume_unwind(Box::new("as a failing assertion does"));
    }));
    assert!(panicked.is_err());
    assert_eq!(engine.container("doomed").unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn guards_leave_their_containers_where_somebody_looks_for_what_went_wrong() {
    const NAME: &str = "guards_leave_their_containers_where_somebody_looks_for_what_went_wrong";
    if victim::directory().is_none() {
        return victim::alone_with(NAME, "PLYWOOD_KEEP", "1");
    }
    let engine = engine();
    let image = image(&engine);
    drop(sh(&image, "echo begun; while :; do sleep 60; done").name("dropped").start(&engine).unwrap());
    assert_eq!(sh(&image, "echo x > /left; exit 3").name("run").status(&engine).unwrap().code(), 3);
    assert_eq!(
        Container::of(&image).cmd(["nothing"]).name("failed").status(&engine).unwrap_err().exit_code(),
        Some(127)
    );
    drop(sh(&image, "true").name("created").create(&engine).unwrap());
    sh(&image, "true").name("removed").create(&engine).unwrap().remove().unwrap();

    let state = |name: &str| engine.container(name).map(|it| it.state().unwrap());
    assert_eq!(state("dropped").unwrap(), State::Exited);
    assert_eq!(state("created").unwrap(), State::Created);
    assert_eq!(state("failed").unwrap(), State::Created);
    assert_eq!(state("removed").unwrap_err().kind(), ErrorKind::NotFound);
    let run = engine.container("run").unwrap();
    assert_eq!(run.inspect().unwrap().exit_status().unwrap().code(), 3);
    assert_eq!(run.diff().unwrap().iter().map(ToString::to_string).collect::<Vec<_>>(), ["A /left"]);
    // It can be tried again.
    run.start().unwrap();
    assert_eq!(run.wait().unwrap().code(), 3);
    let names: Vec<String> = engine.containers().unwrap().iter().map(|it| it.name().to_owned()).collect();
    assert_eq!(names.len(), 4, "{names:?}");
}

#[test]
fn a_persisted_container_outlives_its_handle_but_not_its_removal() {
    let engine = engine();
    let image = image(&engine);
    let mut container = sh(&image, "echo words; exit 6").name("kept").start(&engine).unwrap();
    container.persist().unwrap();
    assert_eq!(container.wait().unwrap().code(), 6);
    drop(container);
    let found = engine.container("kept").unwrap();
    assert_eq!(found.inspect().unwrap().exit_status().unwrap().code(), 6);
    assert_eq!(found.logs().read().unwrap().next().unwrap().text, "words");
    found.remove().unwrap();
    assert!(engine.containers().unwrap().is_empty());
}

/// What a program does that ends in one way or another: two containers in its own root, one in a temporary one.
fn live(directory: &Path, end: impl FnOnce(&Engine)) {
    let engine = Engine::open_with(directory.join("root"), Durability::Fast).unwrap();
    let image = image(&engine);
    let volume = engine.volume("kept").unwrap();
    let script = "echo mine > /data/file; while :; do sleep 60; done";
    let guard = sh(&image, script).name("guard").mount(volume.at("/data")).start(&engine).unwrap();
    let mut kept = sh(&image, script).name("kept").start(&engine).unwrap();
    kept.persist().unwrap();
    let temporary = support::engine();
    let other = sh(&support::image(&temporary), script).start(&temporary).unwrap();
    for container in [&guard, &kept, &other] {
        victim::tell(container.inspect().unwrap().pid().unwrap());
    }
    end(&engine);
}

/// The processes of a victim's three containers.
fn pids(victim: &mut Victim) -> Vec<u32> {
    (0..3).map(|_| victim.hear().unwrap().parse().unwrap()).collect()
}

#[test]
fn a_program_that_panics_leaves_nothing_but_what_it_kept() {
    if let Some(directory) = victim::directory() {
        live(&directory, |_| panic!("as a failing test does"));
    }
    let directory = victim::Directory::new();
    let mut victim = Victim::start("a_program_that_panics_leaves_nothing_but_what_it_kept", directory.path());
    let pids = pids(&mut victim);
    assert!(!victim.wait(), "it panicked");
    assert!(pids.iter().all(|pid| victim::ends(*pid)));
    let left: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["root"], "the temporary data root is gone");
    let engine = Engine::open_with(directory.path().join("root"), Durability::Fast).unwrap();
    let containers: Vec<_> = engine.containers().unwrap().iter().map(|one| one.name().to_owned()).collect();
    assert_eq!(containers, ["kept"]);
}

#[test]
fn what_a_killed_program_leaves_is_removed_by_the_next() {
    if let Some(directory) = victim::directory() {
        live(&directory, |_| victim::wait());
    }
    let directory = victim::Directory::new();
    let root = directory.path().join("root");
    let mut victim = Victim::start("what_a_killed_program_leaves_is_removed_by_the_next", directory.path());
    let pids = pids(&mut victim);
    let watcher = Engine::open_with(&root, Durability::Fast).unwrap();
    assert_eq!(watcher.container("guard").unwrap().state().unwrap(), State::Running);
    // Its reaper would be faster than any next program.
    victim.kill_reaper();
    victim.kill();
    assert!(pids.iter().all(|pid| victim::ends(*pid)), "its containers die with it");
    // What the disk says is out of date; the state is derived.
    for name in ["guard", "kept"] {
        assert_eq!(watcher.container(name).unwrap().state().unwrap(), State::Exited, "{name}");
    }
    let next = Engine::open_with(&root, Durability::Fast).unwrap();
    let containers: BTreeMap<_, _> =
        next.containers().unwrap().iter().map(|one| (one.name().to_owned(), one.state().unwrap())).collect();
    assert_eq!(containers, BTreeMap::from([("kept".to_owned(), State::Exited)]), "the guarded one is swept");
    let volume = next.find_volume("kept").unwrap().unwrap();
    assert_eq!(fs::read_to_string(volume.path().join("file")).unwrap(), "mine\n");
    let image = next.images().unwrap().remove(0);
    assert_eq!(run(&next, &image, "echo works"), "works\n");
    next.container("kept").unwrap().start().unwrap();
    assert_eq!(next.container("kept").unwrap().state().unwrap(), State::Running);
    next.container("kept").unwrap().kill_and_remove().unwrap();
}

#[test]
fn no_mount_descriptor_or_process_remains() {
    if victim::directory().is_none() {
        let directory = victim::Directory::new();
        let mut victim = Victim::start("no_mount_descriptor_or_process_remains", directory.path());
        assert_eq!(victim.hear().as_deref(), Some("equal"), "the victim counts alone");
        assert!(victim.wait());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "no temporary file either");
        return;
    }
    let engine = engine();
    let image = image(&engine);
    let work = || {
        assert_eq!(run(&engine, &image, "echo once"), "once\n");
        let container = sh(&image, "echo one; sleep 60").start(&engine).unwrap();
        assert!(container.exec(["true"]).output().unwrap().status.success());
        assert_eq!(container.logs().follow().read().unwrap().next().unwrap().text, "one");
        engine.build_with(&base().run("echo x > /x"), &plywood::build::Options::new().no_cache()).unwrap();
    };
    let count = || {
        let descriptors = fs::read_dir("/proc/self/fd").unwrap().count();
        let mounts =
            fs::read_to_string("/proc/self/mountinfo").unwrap().matches(engine.path().to_str().unwrap()).count();
        let children = fs::read_dir("/proc/self/task")
            .unwrap()
            .map(|task| fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default())
            .collect::<String>();
        (descriptors, mounts, children)
    };
    // The first use starts the threads that serve the others.
    work();
    let before = count();
    (0..5).for_each(|_| work());
    assert_eq!(count(), before);
    assert_eq!((before.1, before.2.as_str()), (0, ""), "no mount on the host, no process");
    victim::tell("equal");
}
