//! Builds on a store of their own: files here, programs in `tests/run.rs`.
#![allow(clippy::unwrap_used)]

mod changing;
mod embedded;
mod run;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::*;
use crate::data_root::{DataRoot, Durability};
use crate::image::{Add, Base, Copy, HealthCheck, Instruction, Values};
use crate::layer::LayerStore;
use crate::layer::view::{NodeKind, View};
use crate::sys::userns::keeps_owners;
use crate::sys::within::within;

struct Store {
    directory: tempfile::TempDir,
    images: Images,
}

impl Store {
    fn new() -> Self {
        Self::on(tempfile::tempdir().unwrap())
    }

    fn on(directory: tempfile::TempDir) -> Self {
        std::fs::create_dir(directory.path().join("context")).unwrap();
        let root = DataRoot::open(&directory.path().join("root"), Durability::Fast).unwrap();
        let layers = LayerStore::open(&root).unwrap();
        Self { images: Images::new(&root, &layers), directory }
    }

    fn context(&self) -> PathBuf {
        self.directory.path().join("context")
    }

    fn file(&self, path: &str, text: impl AsRef<[u8]>) -> &Self {
        let path = self.context().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    fn options(&self) -> Options {
        Options::new().context(self.context())
    }

    fn build(&self, definition: &Layers) -> Built {
        self.build_with(definition, self.options()).unwrap()
    }

    fn refusal(&self, definition: &Layers) -> crate::Error {
        self.build_with(definition, self.options()).unwrap_err()
    }

    fn build_with(&self, definition: &Layers, options: Options) -> Result<Built> {
        let events = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&events);
        let options = options.progress(move |event| told.lock().unwrap().push(event.clone()));
        let image = build(&self.images, definition, &options)?;
        let image = self.images.find(image.digest().as_str()).unwrap();
        let view = self.images.layers().view(image.chain_id()).unwrap();
        let events = events.lock().unwrap().clone();
        Ok(Built { image, view, events })
    }

    /// Nothing half-made: no layer that is not published, no entry in the journal.
    fn assert_clean(&self) {
        let root = self.images.layers().root();
        let in_flight = std::fs::read_dir(root.own_dir().join("in-flight")).unwrap();
        let names: Vec<_> = in_flight.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert!(names.iter().all(|name| name.starts_with("session-")), "left in flight: {names:?}");
        let layers = self.images.layers().list().unwrap();
        let directories = std::fs::read_dir(root.driver_home()).unwrap().count();
        // One for each layer, and `l/`.
        assert_eq!(directories, layers.len() + 1);
    }
}

#[derive(Debug)]
struct Built {
    image: crate::image::Image,
    view: View,
    events: Vec<Event>,
}

impl Built {
    fn text(&self, path: &str) -> Option<String> {
        self.view.read_capped(path, 10_000).unwrap().map(|bytes| String::from_utf8(bytes).unwrap())
    }

    fn names(&self, path: &str) -> Vec<String> {
        let node = self.view.resolve(path).unwrap().unwrap();
        self.view
            .read_dir(&node)
            .unwrap()
            .into_iter()
            .map(|node| node.path.rsplit('/').next().unwrap().to_owned())
            .collect()
    }

    /// Whether each step was in the cache.
    fn cached(&self) -> Vec<bool> {
        self.events
            .iter()
            .filter_map(|event| match event {
                Event::Step { cached, .. } => Some(*cached),
                _ => None,
            })
            .collect()
    }

    fn history(&self) -> Vec<(String, bool)> {
        let history = self.image.config().history.iter();
        history.map(|entry| (entry.created_by.clone().unwrap_or_default(), entry.empty_layer)).collect()
    }
}

fn scratch() -> Layers {
    Layers::new().from(Base::scratch())
}

#[test]
fn copies_make_layers_and_the_rest_is_configuration() {
    let store = Store::new();
    store.file("app.py", "print()").file("conf/a.toml", "a").file("conf/deep/b.toml", "b");
    let definition = scratch()
        .env("MODE", "test")
        .copy("app.py", "/app/")
        .copy("conf", "/etc/app")
        .workdir("/app")
        .workdir("/srv/data")
        .cmd(["python3", "/app/app.py"]);
    let built = store.build(&definition);
    assert_eq!(built.text("/app/app.py").unwrap(), "print()");
    assert_eq!(built.text("/etc/app/deep/b.toml").unwrap(), "b");
    assert_eq!(built.names("/srv/data"), [""; 0]);
    let expected = [
        ("ENV MODE=test", true),
        ("COPY app.py /app/", false),
        ("COPY conf /etc/app", false),
        ("WORKDIR /app", true),
        ("WORKDIR /srv/data", false),
        ("CMD [\"python3\" \"/app/app.py\"]", true),
    ];
    assert_eq!(built.history(), expected.map(|(text, empty)| (text.to_owned(), empty)));
    assert_eq!(built.image.layers().len(), 3);
    let config = built.image.config();
    assert_eq!(config.config.cmd.as_deref().unwrap(), ["python3", "/app/app.py"]);
    assert_eq!((config.os.as_str(), config.config.working_dir.as_str()), ("linux", "/srv/data"));
    store.assert_clean();
}

#[test]
fn a_second_build_is_all_cache_hits_and_the_same_image() {
    let store = Store::new();
    store.file("f", "1").file("d/x", "x");
    let definition = scratch().copy("f", "/f").copy("d", "/d/").workdir("/w").label("a", "b");
    let first = store.build(&definition);
    assert_eq!(first.cached(), [false, false, false]);
    let second = store.build(&definition);
    assert_eq!(second.cached(), [true, true, true]);
    assert_eq!(second.image.id(), first.image.id());
    assert!(matches!(second.events.last(), Some(Event::Done { steps: 3, cached: 3, .. })));
    let third = store.build_with(&definition, store.options().no_cache()).unwrap();
    assert_eq!(third.cached(), [false, false, false]);
    assert_eq!(third.image.layers(), first.image.layers());
}

#[test]
fn the_cache_looks_at_content_and_never_at_times() {
    use std::os::unix::fs::PermissionsExt as _;
    let store = Store::new();
    store.file("d/f", "1").file("other", "x").file("skipped", "x").file(".dockerignore", "skipped");
    std::os::unix::fs::symlink("a", store.context().join("d/link")).unwrap();
    let definition = scratch().copy("d", "/d").copy(".", "/all");
    store.build(&definition);
    let path = store.context().join("d/f");
    let touch = |path: &Path| {
        let times = std::fs::FileTimes::new().set_modified(std::time::SystemTime::UNIX_EPOCH);
        std::fs::File::open(path).unwrap().set_times(times).unwrap();
    };
    touch(&path);
    store.file("skipped", "changed");
    assert_eq!(store.build(&definition).cached(), [true, true]);
    store.file("other", "changed");
    assert_eq!(store.build(&definition).cached(), [true, false]);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(store.build(&definition).cached(), [false, false]);
    std::fs::remove_file(store.context().join("d/link")).unwrap();
    std::os::unix::fs::symlink("b", store.context().join("d/link")).unwrap();
    assert_eq!(store.build(&definition).cached(), [false, false]);
    store.file("d/f", "2");
    let built = store.build(&definition);
    assert_eq!((built.cached(), built.text("/d/f").unwrap().as_str()), (vec![false, false], "2"));
}

#[test]
fn a_lost_layer_or_a_damaged_record_costs_an_execution_only() {
    let store = Store::new();
    store.file("f", "1");
    let definition = scratch().copy("f", "/f");
    let first = store.build(&definition);
    let root = store.images.layers().root().clone();
    let records = cache::records(&root).unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].1.chain_id, *first.image.chain_id().unwrap());
    std::fs::write(&records[0].0, "damaged").unwrap();
    assert_eq!(store.build(&definition).cached(), [false]);
    let chain = first.image.chain_id().unwrap();
    store.images.layers().remove(chain).unwrap();
    assert!(store.images.layers().list().unwrap().is_empty());
    assert_eq!(store.build(&definition).cached(), [false]);
}

#[test]
fn stages_copy_from_each_other_and_unneeded_ones_are_skipped() {
    let store = Store::new();
    store.file("src/main", "source");
    let definition = scratch()
        .stage("build")
        .copy("src", "/src/")
        .instruction(Copy::inline("made\n").to("/out/web").chmod("0755"))
        .from(Base::scratch())
        .stage("never")
        .copy("no-such-file", "/")
        .from(Base::scratch())
        .instruction(Copy::of("/out/web").to("/usr/bin/").from_stage("build"));
    let built = store.build(&definition);
    assert_eq!(built.text("/usr/bin/web").unwrap(), "made\n");
    assert_eq!(built.view.resolve("/usr/bin/web").unwrap().unwrap().mode, 0o755);
    assert_eq!(built.image.layers().len(), 1);
    assert!(built.view.resolve("/src").unwrap().is_none());
    let target = store.build_with(&definition, store.options().target("build")).unwrap();
    assert_eq!(target.text("/src/main").unwrap(), "source");
    assert_eq!(target.cached(), [true, true]);
    let error = store.build_with(&definition, store.options().target("never")).err().unwrap();
    assert!(error.to_string().starts_with("COPY \"no-such-file\": not found"), "{error}");
    assert!(error.hint().unwrap().contains("tests.rs:"), "{error:?}");
}

#[test]
fn images_and_definitions_serve_as_bases_and_sources() {
    let store = Store::new();
    store.file("a", "a").file("b", "b");
    let tools =
        scratch().copy("a", "/tools/a").env("TOOL", "1").on_build(Instruction::Env(vec![("X".into(), "y".into())]));
    store.build_with(&tools, store.options().tag("tools:1")).unwrap();
    let definition = Layers::new().arg("V", "1").from("tools:$V").copy("b", "/b");
    let built = store.build(&definition);
    assert_eq!(built.names("/"), ["b", "tools"]);
    assert_eq!(built.cached(), [true, false]);
    let config = &built.image.config().config;
    assert!(config.env.contains(&"TOOL=1".to_owned()) && config.env.contains(&"X=y".to_owned()), "{:?}", config.env);
    assert!(config.on_build.is_empty());
    let on_definition = Layers::new().from(tools.clone().context(store.context())).copy("b", "/c");
    let built = store.build(&on_definition);
    assert_eq!(built.names("/"), ["c", "tools"]);
    let copied = scratch().instruction(Copy::of("/tools/*").to("/x/").from_image("tools:1"));
    assert_eq!(store.build(&copied).names("/x"), ["a"]);
    let error = store.refusal(&Layers::new().from("nothing:1").copy("b", "/"));
    assert_eq!(error.kind(), crate::ErrorKind::NotFound);
}

#[test]
fn triggers_of_a_base_are_executed_once() {
    let store = Store::new();
    store.file("app", "app");
    let base = scratch().on_build(Copy::of("app").to("/app/")).on_build(Instruction::Workdir("/made".into()));
    assert!(store.build_with(&base, store.options().tag("base")).unwrap().view.resolve("/app").unwrap().is_none());
    let child = store.build_with(&Layers::new().from("base"), store.options().tag("child")).unwrap();
    assert_eq!(child.names("/"), ["app", "made"]);
    assert!(matches!(child.events[0], Event::Step { number: 1, total: 3, .. }), "{:?}", child.events[0]);
    let grandchild = store.build(&Layers::new().from("child"));
    assert_eq!(grandchild.image.layers().len(), 2);
}

#[test]
fn add_unpacks_archives_and_copy_does_not() {
    let store = Store::new();
    store.file("tree/x/y", "in the archive").file("plain.txt", "text").file("fake.tar.gz", "no archive");
    let tar = |flags: &str, name: &str| {
        let status = std::process::Command::new("tar")
            .args([flags, name, "-C", "tree", "."])
            .current_dir(store.context())
            .status()
            .unwrap();
        assert!(status.success());
    };
    tar("-cf", "a.tar");
    tar("-czf", "a.tgz");
    for name in ["a.tar", "a.tgz"] {
        let built = store.build(&scratch().add(name, "/opt/"));
        assert_eq!(built.text("/opt/x/y").unwrap(), "in the archive", "{name}");
        assert_eq!(built.names("/opt"), ["x"]);
    }
    let built = store.build(&scratch().copy("a.tgz", "/opt/").add(["plain.txt", "fake.tar.gz"], "/etc/"));
    assert_eq!(built.names("/opt"), ["a.tgz"]);
    assert_eq!(built.names("/etc"), ["fake.tar.gz", "plain.txt"]);
    let built = store.build(&scratch().instruction(Add::of("a.tar").to("/opt/").no_unpack()));
    assert_eq!(built.names("/opt"), ["a.tar"]);
    let error = store.refusal(&scratch().add("https://example.com/x", "/"));
    assert_eq!(error.kind(), crate::ErrorKind::Unsupported);
    store.file("a.tar.xz", b"\xfd7zXZ\0 and more");
    assert_eq!(store.refusal(&scratch().add("a.tar.xz", "/")).kind(), crate::ErrorKind::Unsupported);
    store.assert_clean();
}

#[test]
fn owners_are_looked_up_in_the_image() {
    if !keeps_owners() {
        return;
    }
    let store = Store::new();
    store.file("passwd", "root:x:0:0::/:\napp:x:1000:1001::/:\n").file("group", "root:x:0:\nweb:x:33:\n").file("f", "");
    let base = scratch().copy(["passwd", "group"], "/etc/");
    for (owner, expected) in
        [("app", (1000, 1001)), ("app:web", (1000, 33)), ("7", (7, 7)), ("7:8", (7, 8)), ("0", (0, 0))]
    {
        let copy = Copy::of("f").to("/new/f").chown(owner);
        let built = store.build(&base.clone().instruction(copy));
        let owner_of = |path: &str| {
            let node = within(|| built.view.resolve(path)).unwrap().unwrap().unwrap();
            (node.uid, node.gid)
        };
        for path in ["/new", "/new/f"] {
            assert_eq!(owner_of(path), expected, "{owner} {path}");
        }
        assert_eq!(owner_of("/etc"), (0, 0));
    }
    let error = store.refusal(&base.instruction(Copy::of("f").to("/f").chown("nobody")));
    assert!(error.to_string().contains("\"nobody\""), "{error}");
}

#[test]
fn several_sources_go_into_a_directory() {
    let store = Store::new();
    store.file("a.txt", "a").file("b.txt", "b").file("d/c.txt", "c");
    let built = store
        .build(&scratch().copy(["a.txt", "d"], "/x/").copy("*.txt", "/y/").copy("a.txt", "/z").copy("a.txt", "/x"));
    assert_eq!(built.names("/x"), ["a.txt", "c.txt"]);
    assert_eq!(built.names("/y"), ["a.txt", "b.txt"]);
    assert_eq!(built.view.resolve("/z").unwrap().unwrap().kind, NodeKind::File);
    let error = store.refusal(&scratch().copy("*.txt", "/y"));
    assert_eq!(error.to_string(), "COPY: several sources need a directory to go into (write \"/y/\")");
    let excluded = scratch().instruction(Copy::of(".").to("/").exclude("b.txt").exclude("d/*"));
    assert_eq!(store.build(&excluded).names("/"), ["a.txt", "d"]);
    let parents = scratch().instruction(Copy::of(Values::from(["d/c.txt", "a.txt"])).to("/p/").parents());
    assert_eq!(store.build(&parents).names("/p"), ["a.txt", "d"]);
    let pivot = scratch().instruction(Copy::of("./d/./c.txt").to("/p/").parents());
    assert_eq!(store.build(&pivot).names("/p"), ["c.txt"]);
}

#[test]
fn a_failed_build_leaves_nothing_half_made() {
    let store = Store::new();
    store.file("a", "a");
    for definition in [
        scratch().copy("a", "/a").copy("missing", "/"),
        scratch().copy("a", "/a").copy("../../etc/passwd", "/"),
        scratch().copy("a", "/a").copy("a", "/a/b"),
        Layers::new(),
        scratch().copy("a", "/a").env("X", "${"),
    ] {
        store.refusal(&definition);
        store.assert_clean();
        assert!(store.images.list().unwrap().is_empty());
    }
}

#[test]
fn tags_name_the_image_and_move() {
    let store = Store::new();
    store.file("a", "a").file("b", "b");
    let options = || store.options().tag("app").tag("example.com/app:2");
    let first = store.build_with(&scratch().copy("a", "/"), options()).unwrap();
    assert_eq!(first.image.references().len(), 2);
    let second = store.build_with(&scratch().copy("b", "/"), options()).unwrap();
    assert_eq!(store.images.find("app:latest").unwrap().id(), second.image.id());
    assert!(store.build_with(&scratch(), store.options().tag("Not Valid")).is_err());
}

#[test]
fn a_base_for_another_platform_is_refused_where_one_is_asked_for() {
    let store = Store::new();
    let arm = Layers::new().from(Base::scratch()).platform("linux/arm64").label("a", "b");
    let built = store.build_with(&arm, store.options().tag("arm")).unwrap();
    assert_eq!(built.image.architecture(), "arm64");
    let error = store.refusal(&Layers::new().from("arm").platform("linux/riscv64"));
    assert_eq!(error.to_string(), "FROM arm: the image is for linux/arm64, and wanted is linux/riscv64");
    assert_eq!(store.build(&Layers::new().from("arm").platform("linux/arm64")).image.architecture(), "arm64");
}

#[test]
fn builds_of_many_threads_share_what_they_make() {
    let store = Store::new();
    store.file("f", "1").file("g", "2");
    let definition = scratch().copy("f", "/f").copy("g", "/g").workdir("/w");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(store.build(&definition).names("/"), ["f", "g", "w"]));
        }
    });
    assert_eq!(store.images.layers().list().unwrap().len(), 3);
    store.assert_clean();
}

#[test]
fn health_checks_and_platforms_are_recorded() {
    let store = Store::new();
    let platform = crate::spec::Platform::parse("linux/arm64").unwrap();
    let definition = Layers::new()
        .from(Base::scratch())
        .arg_required("TARGETARCH")
        .label("arch", "$TARGETARCH")
        .health_check(HealthCheck::none());
    let built = store.build_with(&definition, store.options().platform(platform)).unwrap();
    assert_eq!(built.image.architecture(), "arm64");
    assert_eq!(built.image.config().config.labels["arch"], "arm64");
    assert_eq!(built.image.config().config.healthcheck.as_ref().unwrap().test, ["NONE"]);
    assert!(built.image.layers().is_empty());
}

/// Set in the process that has a small disk mounted there.
const SMALL_DISK: &str = "PLYWOOD_TEST_SMALL_DISK";

#[test]
fn a_full_disk_leaves_nothing_half_made() {
    if let Some(disk) = std::env::var_os(SMALL_DISK) {
        return on_a_small_disk(Path::new(&disk));
    }
    if !rustix::process::geteuid().is_root() {
        return;
    }
    // The disk is mounted in a mount namespace of a process of its own: the host never sees it.
    let disk = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=3m tmpfs \"$1\" && exec \"$2\" --exact build::tests::a_full_disk_leaves_nothing_half_made";
    let output = std::process::Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(disk.path())
        .arg(std::env::current_exe().unwrap())
        .env(SMALL_DISK, disk.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn on_a_small_disk(disk: &Path) {
    let free = || rustix::fs::statvfs(disk).unwrap().f_bfree;
    let store = Store::on(tempfile::tempdir_in(disk).unwrap());
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("large"), vec![7; 8 << 20]).unwrap();
    std::fs::write(files.path().join("small"), "fits").unwrap();
    let options = || Options::new().context(files.path());
    store.build_with(&scratch().copy("small", "/"), options()).unwrap();
    let before = free();
    let error = store.build_with(&scratch().copy("large", "/"), options()).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Unavailable, "{error:?}");
    store.assert_clean();
    assert_eq!(free(), before);
    assert_eq!(store.images.list().unwrap().len(), 1);
    store.build_with(&scratch().copy("small", "/other"), options()).unwrap();
}
