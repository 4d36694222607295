//! Damaged data roots: everything that is wrong is found and named, what can be repaired is, and nothing else is touched.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

use plywood::fsck::{Finding, Object, Options, Outcome, Problem, Report};
use plywood::{Base, Durability, Engine, ErrorKind, Layers};
use support::{Layout, base, require_root, run, sh, victim};

/// A data root with an image of two layers, a container that has ended, and a volume with a label.
struct Place {
    directory: victim::Directory,
}

impl Place {
    fn new() -> Self {
        let place = Self { directory: victim::Directory::new() };
        let engine = place.engine();
        let image = engine.build(&base().run("echo one > /file")).unwrap();
        let image = engine.tag(&image.id().to_string(), "test:1").unwrap();
        let mut container = sh(&image, "echo two > /file").name("ended");
        container = container.mount(engine.volume("data").unwrap().at("/data"));
        let mut container = container.start(&engine).unwrap();
        assert!(container.wait().unwrap().success());
        container.persist().unwrap();
        engine.create_volume("labelled", BTreeMap::from([("k".to_owned(), "v".to_owned())])).unwrap();
        place
    }

    fn engine(&self) -> Engine {
        Engine::open_with(self.root(), Durability::Fast).unwrap()
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    fn layout(&self) -> Layout {
        Layout::at(&self.root())
    }

    fn path(&self, below: &str) -> PathBuf {
        self.root().join(below)
    }

    /// The only entry of a directory for which this holds.
    fn only(&self, directory: impl AsRef<Path>, which: impl Fn(&Path) -> bool) -> PathBuf {
        let mut found: Vec<_> =
            fs::read_dir(self.root().join(directory)).unwrap().map(|entry| entry.unwrap().path()).collect();
        found.retain(|path| which(path));
        let [path] = &found[..] else { panic!("{found:?}") };
        path.clone()
    }

    /// The record of the upper layer of the image.
    fn upper(&self) -> PathBuf {
        self.only(self.image("layerdb/sha256"), |path| path.join("parent").exists())
    }

    /// The directory of a layer, from its record.
    fn directory_of(&self, record: &Path) -> PathBuf {
        self.layout().layers().join(fs::read_to_string(record.join("cache-id")).unwrap())
    }

    fn files_of(&self, record: &Path) -> PathBuf {
        self.layout().files(&self.directory_of(record))
    }

    /// Something in the directory of images and records.
    fn image(&self, below: &str) -> PathBuf {
        self.path(&self.layout().image(below))
    }

    fn container(&self) -> PathBuf {
        self.only("containers", |_| true)
    }
}

/// Returns from the test where a layer's directory holds those below it too: nothing there is mounted by a name.
macro_rules! require_stacks {
    () => {
        if Place::new().layout().is_whole() {
            return;
        }
    };
}

/// The damage in a report, without what is only worth knowing.
fn damage(report: &Report) -> Vec<&Finding> {
    report.findings().iter().filter(|finding| finding.is_damage()).collect()
}

/// Everything below a directory that is no content of a file, and the bytes of small ones.
fn tree(root: &Path) -> BTreeMap<PathBuf, (u32, u64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    while let Some(path) = pending.pop() {
        let metadata = path.symlink_metadata().unwrap();
        let content = if metadata.is_file() { fs::read(&path).unwrap_or_default() } else { Vec::new() };
        if metadata.is_dir() {
            pending.extend(fs::read_dir(&path).into_iter().flatten().map(|entry| entry.unwrap().path()));
        }
        found.insert(path, (metadata.mode(), metadata.ino(), content));
    }
    found
}

/// Damages a sound root and gives the only damage that is found then; a repair is tried too.
fn only_damage(spoil: impl FnOnce(&Place)) -> (Place, Finding, Report) {
    let place = Place::new();
    spoil(&place);
    let engine = place.engine();
    let report = engine.fsck().unwrap();
    let [finding] = damage(&report)[..] else { panic!("{report:#?}") };
    let finding = finding.clone();
    assert!(!report.is_sound());
    let repaired = engine.fsck_with(&Options::new().repair()).unwrap();
    if finding.outcome() == &Outcome::Repairable {
        assert!(repaired.is_sound(), "{repaired:#?}");
        assert!(damage(&engine.fsck().unwrap()).is_empty());
        // It works again.
        assert_eq!(run(&engine, &engine.image("test:1").unwrap(), "cat /file"), "one\n");
    } else {
        assert_eq!(damage(&repaired), [&finding], "what cannot be repaired stays");
    }
    (place, finding, repaired)
}

#[test]
fn a_sound_root_has_no_findings_and_a_check_changes_nothing() {
    let place = Place::new();
    let engine = place.engine();
    let before = tree(&place.layout().layers());
    let report = engine.fsck().unwrap();
    assert!(report.findings().is_empty() && report.is_sound(), "{report:#?}");
    assert!(engine.fsck_with(&Options::new().repair()).unwrap().findings().is_empty());
    assert!(tree(&place.layout().layers()) == before);
    // Guards of a living program are no damage either.
    let guard = sh(&engine.image("test:1").unwrap(), "while :; do sleep 60; done").start(&engine).unwrap();
    let report = engine.fsck_with(&Options::new().quick()).unwrap();
    assert!(report.findings().is_empty(), "{report:#?}");
    guard.kill_and_remove().unwrap();
}

#[test]
fn c17_names_that_docker_mounts_by_are_made_again() {
    require_stacks!();
    let (_, finding, _) = only_damage(|place| {
        let link = fs::read_to_string(place.directory_of(&place.upper()).join("link")).unwrap();
        fs::remove_file(place.layout().layers().join("l").join(link)).unwrap();
    });
    // Those above it stand on the same name, and are found in the order from the lowest.
    assert_eq!((finding.object(), finding.problem()), (Object::Layer, &Problem::Names));
}

#[test]
fn c17_a_name_that_leads_elsewhere_is_given_up_for_another() {
    require_stacks!();
    let place = Place::new();
    let directory = place.directory_of(&place.upper());
    let links = place.layout().layers().join("l");
    let link = links.join(fs::read_to_string(directory.join("link")).unwrap());
    fs::remove_file(&link).unwrap();
    symlink("/etc", &link).unwrap();
    fs::write(directory.join("lower"), "l/../../../etc").unwrap();
    let dangling = links.join("AAAAAAAAAAAAAAAAAAAAAAAAAA");
    symlink("../nothing/diff", &dangling).unwrap();
    let engine = place.engine();
    let report = engine.fsck_with(&Options::new().repair()).unwrap();
    assert!(report.is_sound(), "{report:#?}");
    assert!(report.findings().iter().any(|finding| finding.problem() == &Problem::Dangling));
    assert!(!dangling.is_symlink());
    assert!(link.is_symlink(), "it is somebody's");
    assert!(engine.fsck().unwrap().findings().is_empty());
}

#[test]
fn a_wrong_size_is_corrected() {
    let (place, finding, _) = only_damage(|place| fs::write(place.upper().join("size"), "4\n").unwrap());
    assert_eq!(finding.problem(), &Problem::Size { recorded: "4\n".into(), actual: 4 });
    assert_eq!(fs::read_to_string(place.upper().join("size")).unwrap(), "4");
}

#[test]
fn a_changed_file_of_a_layer_is_found_by_its_digest() {
    let (place, finding, _) =
        only_damage(|place| fs::write(place.files_of(&place.upper()).join("file"), "0ne\n").unwrap());
    assert!(matches!(finding.problem(), Problem::Damaged(_)), "{finding:?}");
    assert_eq!(finding.object(), Object::Layer);
    assert!(place.engine().fsck_with(&Options::new().quick()).unwrap().is_sound(), "a quick check reads no contents");
}

#[test]
fn c17_records_that_contradict_themselves_are_damage() {
    for (file, text) in [("diff", "sha256:0"), ("diff", ""), ("cache-id", "../../../etc"), ("size", "many")] {
        let (_, report) = spoilt(|place| fs::write(place.upper().join(file), text).unwrap());
        let found = |finding: &&Finding| finding.object() == Object::Layer;
        assert!(damage(&report).iter().any(found), "{file} {text:?}: {report:#?}");
    }
    // Two layers that stand on each other.
    let (_, report) = spoilt(|place| {
        let upper = place.upper();
        let lower = fs::read_to_string(upper.join("parent")).unwrap();
        let lower = place.image("layerdb/sha256").join(lower.trim_start_matches("sha256:"));
        let name = upper.file_name().unwrap().to_str().unwrap();
        fs::write(lower.join("parent"), format!("sha256:{name}")).unwrap();
    });
    assert!(!report.is_sound());
}

/// Damages a sound root; gives what a check and a repair find, which must agree.
fn spoilt(spoil: impl FnOnce(&Place)) -> (Place, Report) {
    let place = Place::new();
    spoil(&place);
    let engine = place.engine();
    let report = engine.fsck().unwrap();
    assert!(!report.is_sound());
    let repaired = engine.fsck_with(&Options::new().repair()).unwrap();
    assert_eq!(damage(&repaired).len(), damage(&report).len(), "{report:#?}");
    // What can still be listed is.
    engine.images().unwrap();
    engine.volumes().unwrap();
    (place, report)
}

#[test]
fn links_in_place_of_directories_and_files_are_found_and_not_followed() {
    let (place, finding, _) = only_damage(|place| {
        let files = place.files_of(&place.upper());
        fs::rename(&files, place.path("moved")).unwrap();
        symlink(place.path("moved"), files).unwrap();
    });
    assert_eq!(finding.problem(), &Problem::NoDirectory);
    assert!(place.path("moved/file").exists());
    let (_, report) = spoilt(|place| {
        let config = place.container().join("config.v2.json");
        fs::rename(&config, place.path("moved")).unwrap();
        symlink(place.path("moved"), &config).unwrap();
    });
    assert!(matches!(damage(&report)[0].problem(), Problem::Damaged(why) if why.contains("a link")), "{report:#?}");
    let (_, report) = spoilt(|place| {
        fs::remove_dir_all(place.path("volumes/labelled")).unwrap();
        symlink("/etc", place.path("volumes/labelled")).unwrap();
    });
    assert_eq!((damage(&report)[0].object(), damage(&report)[0].problem()), (Object::Volume, &Problem::NoDirectory));
}

#[test]
fn c17_truncated_documents_are_damage_and_cost_nothing_else() {
    for (object, find) in [
        (Object::Image, (|place| place.only(place.image("imagedb/content/sha256"), |_| true)) as fn(&Place) -> PathBuf),
        (Object::Container, |place| place.container().join("config.v2.json")),
        (Object::Container, |place| place.container().join("hostconfig.json")),
        (Object::Volume, |place| place.path("volumes/labelled/plywood.json")),
        (Object::Volume, |place| place.path("volumes/metadata.db")),
    ] {
        let place = Place::new();
        let path = find(&place);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let engine = place.engine();
        for options in [Options::new(), Options::new().repair()] {
            let report = engine.fsck_with(&options).unwrap();
            let [finding] = damage(&report)[..] else { panic!("{path:?}: {report:#?}") };
            assert_eq!((finding.object(), finding.outcome()), (object, &Outcome::Open));
            assert!(matches!(finding.problem(), Problem::Damaged(_)) && finding.path() == path, "{finding:?}");
        }
        assert_eq!(fs::read(&path).unwrap(), bytes[..bytes.len() / 2], "it may be mended by hand");
    }
}

#[test]
fn a_damaged_file_of_tags_is_made_again_of_what_is_whole_in_it() {
    let place = Place::new();
    let engine = place.engine();
    let id = engine.image("test:1").unwrap().id().to_string();
    for name in ["a:1", "localhost:5000/b/c:2", "zz:1"] {
        engine.tag("test:1", name).unwrap();
    }
    let path = place.image("repositories.json");
    // Cut off in the last tag, and before that one of an image that nobody has.
    let text = fs::read_to_string(&path).unwrap().replacen(&id, &format!("sha256:{}", "0".repeat(64)), 1);
    let text = &text[..text.len() - 10];
    fs::write(&path, text).unwrap();
    let report = engine.fsck().unwrap();
    let [finding] = damage(&report)[..] else { panic!("{report:#?}") };
    assert_eq!((finding.object(), finding.outcome()), (Object::Tag, &Outcome::Repairable));
    assert!(matches!(finding.problem(), Problem::Damaged(_)) && finding.path() == path, "{finding:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    let report = engine.fsck_with(&Options::new().repair()).unwrap();
    assert!(report.is_sound() && damage(&report)[0].outcome() == &Outcome::Repaired, "{report:#?}");
    let references = engine.image(&id).unwrap().references().iter().map(|it| it.familiar()).collect::<Vec<_>>();
    assert_eq!(references, ["localhost:5000/b/c:2", "test:1"]);
    assert!(engine.fsck().unwrap().findings().is_empty());
    let kept = place.only("image/plywood", |path| path.to_string_lossy().contains("damaged-repositories-"));
    assert_eq!(fs::read_to_string(kept).unwrap(), text, "nothing is lost");
}

#[test]
fn without_the_file_of_tags_nothing_is_pruned_and_a_repair_begins_a_new_one() {
    let place = Place::new();
    let engine = place.engine();
    let id = engine.image("test:1").unwrap().id().to_string();
    let path = place.image("repositories.json");
    for empties in [(|path| fs::write(path, "")) as fn(&PathBuf) -> std::io::Result<()>, |path| fs::remove_file(path)] {
        empties(&path).unwrap();
        assert_eq!(engine.prune().unwrap_err().kind(), ErrorKind::Corrupt);
        let report = engine.fsck().unwrap();
        let [finding] = damage(&report)[..] else { panic!("{report:#?}") };
        assert_eq!((finding.object(), finding.outcome(), finding.path()), (Object::Tag, &Outcome::Repairable, &*path));
        assert!(engine.fsck_with(&Options::new().repair()).unwrap().is_sound());
        assert!(engine.fsck().unwrap().findings().is_empty(), "images without a name are no finding");
        engine.tag(&id, "test:1").unwrap();
    }
    assert_eq!(engine.image("test:1").unwrap().id().to_string(), id);
}

#[test]
fn tags_and_parents_of_images_that_are_gone_go_too() {
    let place = Place::new();
    let engine = place.engine();
    let other = engine.build(&base().run("echo other > /other")).unwrap();
    engine.tag(&other.id().to_string(), "other:1").unwrap();
    let kept = engine.image("test:1").unwrap();
    let hex = |id: String| id.trim_start_matches("sha256:").to_owned();
    fs::remove_file(place.image("imagedb/content/sha256").join(hex(other.id().to_string()))).unwrap();
    let metadata = place.image("imagedb/metadata/sha256").join(hex(kept.id().to_string()));
    fs::write(metadata.join("parent"), other.id().to_string()).unwrap();
    let report = engine.fsck_with(&Options::new().repair()).unwrap();
    let objects: Vec<_> = damage(&report).iter().map(|finding| finding.object()).collect();
    assert_eq!(objects, [Object::Image, Object::Tag]);
    assert!(report.is_sound() && engine.fsck().unwrap().findings().is_empty());
    assert_eq!(engine.image("other:1").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(engine.image("test:1").unwrap().id(), kept.id());
    assert!(!metadata.join("parent").exists());
}

#[test]
fn what_is_unknown_is_counted_and_never_touched() {
    let place = Place::new();
    let (records, mounts) = (place.layout().image("layerdb/sha256"), place.layout().image("layerdb/mounts"));
    let directories = [place.layout().home(), &records, &mounts, "containers", "volumes"];
    for directory in directories {
        for at in 0..2000 {
            fs::write(place.path(directory).join(format!(".stray-{at}")), "").unwrap();
        }
    }
    // As a builder of Docker's leaves them.
    let builders = place.layout().layers().join("ab".repeat(32));
    fs::create_dir_all(builders.join("diff")).unwrap();
    fs::write(builders.join("diff/file"), "text").unwrap();
    let engine = place.engine();
    let report = engine.fsck_with(&Options::new().repair()).unwrap();
    assert!(report.is_sound(), "{report:#?}");
    let counts: Vec<_> = report
        .findings()
        .iter()
        .map(|finding| match finding.problem() {
            Problem::Unknown { count, examples } => (finding.name().to_owned(), *count, examples.len()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(counts.iter().map(|(_, count, _)| count).sum::<usize>(), 10_001, "{counts:?}");
    assert!(counts.iter().all(|(name, _, examples)| directories.contains(&name.as_str()) && *examples == 3));
    assert_eq!(fs::read_to_string(builders.join("diff/file")).unwrap(), "text");
    assert!(directories.iter().all(|directory| place.path(directory).join(".stray-1999").exists()));
}

#[test]
fn a_layer_without_what_its_archive_is_made_from_is_worth_knowing() {
    let place = Place::new();
    fs::remove_file(place.upper().join("tar-split.json.gz")).unwrap();
    let report = place.engine().fsck().unwrap();
    let problems: Vec<_> = report.findings().iter().map(Finding::problem).collect();
    assert_eq!(problems, [&Problem::Irreproducible]);
    assert!(report.is_sound());
}

#[test]
fn what_a_volatile_mount_has_left_is_taken_away() {
    require_root!();
    if Place::new().layout().home() != "overlay2" {
        return; // No other driver mounts so.
    }
    let (_, finding, _) = only_damage(|place| {
        let mount = place.only(place.image("layerdb/mounts"), |_| true);
        let id = fs::read_to_string(mount.join("mount-id")).unwrap();
        fs::create_dir_all(place.layout().layers().join(id).join("work/work/incompat/volatile")).unwrap();
    });
    assert_eq!((finding.object(), finding.problem()), (Object::Container, &Problem::Volatile));
}

#[test]
fn foreign_owners_and_what_a_container_lacks_are_named() {
    require_root!();
    let (_, finding, _) = only_damage(|place| std::os::unix::fs::chown(place.upper(), Some(1234), None).unwrap());
    assert_eq!(finding.problem(), &Problem::Owner(1234));
    let (_, finding, _) = only_damage(|place| fs::remove_dir_all(place.path("volumes/data")).unwrap());
    assert_eq!(finding.problem(), &Problem::Missing("volume \"data\"".into()));
    let (_, finding, _) = only_damage(|place| {
        let mount = place.only(place.image("layerdb/mounts"), |_| true);
        fs::remove_dir_all(mount).unwrap();
    });
    assert_eq!(finding.problem(), &Problem::Missing("its writable layer".into()));
}

#[test]
fn what_is_in_a_layer_may_belong_to_anybody() {
    require_root!();
    let place = Place::new();
    let engine = place.engine();
    let image = engine.build(&Layers::new().from(Base::host(["sh", "chown"])).run("chown 1234:1234 /")).unwrap();
    let container = sh(&image, "chown 4321 /").start(&engine).unwrap();
    assert!(container.wait().unwrap().success());
    let report = engine.fsck().unwrap();
    assert!(report.findings().is_empty(), "{report:#?}");
    container.kill_and_remove().unwrap();
}

#[test]
fn a_root_in_containerds_format_is_refused_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    for below in ["rootfs/overlayfs", "image/overlayfs", "overlay2"] {
        fs::create_dir_all(directory.path().join(below)).unwrap();
    }
    let error = Engine::open(directory.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.hint().is_some_and(|hint| hint.contains("docker save")), "{error:?}");
}
