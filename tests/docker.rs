//! The same data roots, used by plywood and by Docker's own daemon: each finds what the other has written.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plywood::container::State;
use plywood::image::{HealthCheck, Source};
use plywood::{Base, Container, Engine, EngineOptions, ErrorKind, Image, Layers, Mount, StorageDriver};
use support::dockerd::{Dockerd, REGISTRY};
use support::{LoopDisk, PROGRAMS, require_fuse_overlayfs, require_program, require_root, run, sh};

/// How long a container may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Two data roots side by side: one that plywood has written, and an empty one.
struct Place {
    /// Unmounted before the directory goes.
    _disk: Option<LoopDisk>,
    _directory: tempfile::TempDir,
    directory: PathBuf,
    ours: PathBuf,
    theirs: PathBuf,
}

impl Place {
    fn new(driver: StorageDriver) -> Self {
        let directory = tempfile::Builder::new().prefix("plywood-docker").tempdir().unwrap();
        let disk = (driver == StorageDriver::Btrfs).then(|| LoopDisk::btrfs(1024));
        let path = disk.as_ref().map_or_else(|| directory.path().to_owned(), LoopDisk::path);
        let (ours, theirs) = (path.join("ours"), path.join("theirs"));
        Self { ours, theirs, directory: path, _disk: disk, _directory: directory }
    }
}

/// What plywood has put into a data root, for Docker to find.
struct Written {
    id: String,
    size: u64,
    history: usize,
    diff: BTreeSet<String>,
}

/// Two layers above programs of the host, with all that a layer can say; containers and volumes of every kind.
fn write(root: &Path, driver: StorageDriver) -> Written {
    let engine = Engine::open_with(root, EngineOptions::new().driver(driver)).unwrap();
    let programs: Vec<_> = PROGRAMS.into_iter().chain(["chown"]).collect();
    let definition = Layers::new()
        .from(Base::host(programs))
        .run("mkdir -p /data /opaque /gone && echo seed > /data/seed && echo old > /opaque/old && echo x > /gone/x && echo one > /file")
        .run(
            "rm -r /gone /opaque && mkdir /opaque && echo new > /opaque/new && ln /file /hard && ln -s /file /soft && \
             echo x > /setuid && chown 1234:4321 /setuid && chmod 4755 /setuid",
        )
        .env("GREETING", "hello")
        .label("made-by", "plywood")
        .cmd(["sh", "-c", "echo $GREETING"]);
    let image = engine.build(&definition).unwrap();
    let image = engine.tag(&image.id().to_string(), "ours:1").unwrap();
    let labels = BTreeMap::from([("tier".to_owned(), "db".to_owned()), ("second".to_owned(), "2".to_owned())]);
    engine.create_volume("labelled", labels).unwrap();

    let data = engine.volume("data").unwrap();
    let script = "echo out; echo err >&2; rm /hard; echo two > /file; mkdir /added; echo v > /data/v; exit 3";
    let mut ended = sh(&image, script).name("ended").mount(data.at("/data")).start(&engine).unwrap();
    assert_eq!(ended.wait().unwrap().code(), 3);
    ended.persist().unwrap();
    let anonymous = sh(&image, "echo a > /kept/a").name("anonymous").mount(Mount::anonymous("/kept"));
    let mut anonymous = anonymous.start(&engine).unwrap();
    assert!(anonymous.wait().unwrap().success());
    anonymous.persist().unwrap();
    let mut created = sh(&image, "echo created").name("created").create(&engine).unwrap();
    created.persist().unwrap();
    // Once: the next one would be an hour later.
    let (soon, late) = (Duration::from_millis(5), Duration::from_secs(3600));
    let check = HealthCheck::cmd(["echo", "checked"]).interval(late).start_period(late).start_interval(soon);
    let mut checked = sh(&image, "while :; do sleep 60; done").name("checked").health(check).start(&engine).unwrap();
    checked.persist().unwrap();
    checked.wait_healthy(PATIENCE).unwrap();
    let _ = checked.stop(PATIENCE).unwrap();
    Written { id: image.id().to_string(), size: image.size(), history: image.history().len(), diff: changes(&ended) }
}

/// What a container has changed, as `docker diff` prints it.
fn changes(container: &Container) -> BTreeSet<String> {
    container.diff().unwrap().iter().map(ToString::to_string).collect()
}

fn lines(text: &str) -> BTreeSet<String> {
    text.lines().map(str::to_owned).collect()
}

#[test]
fn x11_docker_and_plywood_use_each_others_data_roots() {
    require_root!();
    for program in Dockerd::PROGRAMS {
        require_program!(program);
    }
    use_each_others(StorageDriver::Overlay2);
}

#[test]
fn docker_and_plywood_use_each_others_data_roots_without_overlay() {
    require_root!();
    for program in Dockerd::PROGRAMS {
        require_program!(program);
    }
    use_each_others(StorageDriver::Vfs);
}

#[test]
fn docker_and_plywood_use_each_others_data_roots_on_btrfs() {
    require_root!();
    for program in Dockerd::PROGRAMS.into_iter().chain(["mkfs.btrfs"]) {
        require_program!(program);
    }
    use_each_others(StorageDriver::Btrfs);
}

#[test]
fn docker_and_plywood_use_each_others_data_roots_on_fuse() {
    require_root!();
    require_fuse_overlayfs!();
    for program in Dockerd::PROGRAMS {
        require_program!(program);
    }
    use_each_others(StorageDriver::FuseOverlayfs);
}

fn use_each_others(driver: StorageDriver) {
    let place = Place::new(driver);
    let written = write(&place.ours, driver);
    let daemons = Dockerd::start(&place.directory, &[&place.ours, &place.theirs], driver.name());
    assert_eq!(Engine::open(&place.ours).unwrap_err().kind(), ErrorKind::InUse);
    docker_reads(&daemons, &place, &written);
    docker_runs(&daemons, &place);
    docker_moves(&daemons, &place, &written);
    docker_builds_and_removes(&daemons, &place);
    let before = docker_writes(&daemons, &place);
    let takes = daemons.ask(&place.theirs, "/system/df");
    daemons.stop();
    plywood_finds_its_root_in_order(&place.ours, &written);
    let layers = layers(&place.theirs, driver);
    plywood_sees_what_docker_shows(&place.theirs, &before);
    plywood_counts_what_docker_counts(&place.theirs, &takes);
    assert_eq!(self::layers(&place.theirs, driver), layers, "looking changes nothing");
    plywood_uses_dockers(&place.theirs, &written);
    let with_ours = self::layers(&place.theirs, driver);
    assert!(layers.iter().all(|(chain, cache)| with_ours.get(chain) == Some(cache)), "{with_ours:#?}");
    docker_goes_on(&place, &before, driver);
    for root in [&place.ours, &place.theirs] {
        assert_eq!(Engine::open(root).unwrap().driver().driver(), driver);
    }
}

/// The directories of a root's layers, by their chain ids.
fn layers(root: &Path, driver: StorageDriver) -> BTreeMap<String, String> {
    let records = fs::read_dir(root.join("image").join(driver.name()).join("layerdb/sha256"))
        .unwrap()
        .map(|entry| entry.unwrap());
    let read = |entry: fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path().join("cache-id")).unwrap())
    };
    records.map(read).collect()
}

fn plywood_sees_what_docker_shows(root: &Path, [images, containers]: &[BTreeSet<String>; 2]) {
    let engine = Engine::open(root).unwrap();
    let mut ours = BTreeSet::new();
    for image in engine.images().unwrap() {
        let tags = image.references().iter().filter(|reference| reference.digest().is_none());
        let familiar = |name: String| name.trim_start_matches("docker.io/library/").to_owned();
        ours.extend(tags.map(|tag| format!("{} {}", familiar(tag.to_string()), image.id())));
        let chains = image.layers().iter().map(|layer| layer.chain_id().digest().hex().to_owned());
        let known = layers(root, engine.driver().driver());
        chains.for_each(|chain| assert!(known.contains_key(&chain), "{chain}"));
    }
    assert_eq!(&ours, images);
    let seen = engine.containers().unwrap();
    let line = |it: &Container| format!("{} {} {}", it.id(), it.name(), it.state().unwrap());
    assert_eq!(&seen.iter().map(line).collect::<BTreeSet<_>>(), containers);
    assert_eq!((images.len(), containers.len()), (4, 2), "three images, one of them by two names");
}

/// `docker system df`.
fn plywood_counts_what_docker_counts(root: &Path, takes: &serde_json::Value) {
    let usage = Engine::open(root).unwrap().disk_usage().unwrap();
    assert_eq!(Some(usage.layer_bytes()), takes["LayersSize"].as_u64(), "{takes:#}");
    let each = |kind: &str, id: &str, of: &dyn Fn(&serde_json::Value) -> Vec<u64>| -> BTreeMap<String, Vec<u64>> {
        let all = takes[kind].as_array().unwrap().iter();
        all.map(|one| (one[id].as_str().unwrap().to_owned(), of(one))).collect()
    };
    // A field that is missing is 0.
    let number = |value: &serde_json::Value| value.as_u64().unwrap_or(0);
    let images = usage.images().iter().map(|it| (it.image().id().to_string(), vec![it.image().size(), it.shared()]));
    let theirs = each("Images", "Id", &|it| vec![number(&it["Size"]), number(&it["SharedSize"])]);
    assert_eq!(images.collect::<BTreeMap<_, _>>(), theirs);
    let containers = usage.containers().iter().map(|it| (it.id().to_string(), vec![it.writable()]));
    assert_eq!(containers.collect::<BTreeMap<_, _>>(), each("Containers", "Id", &|it| vec![number(&it["SizeRw"])]));
    let volumes = usage.volumes().iter().map(|it| (it.name().to_string(), vec![it.bytes(), it.containers() as u64]));
    let of_volume = |it: &serde_json::Value| ["Size", "RefCount"].map(|field| number(&it["UsageData"][field])).to_vec();
    assert_eq!(volumes.collect::<BTreeMap<_, _>>(), each("Volumes", "Name", &of_volume));
    assert!(usage.containers().iter().any(|it| it.writable() > 0) && usage.volumes().iter().any(|it| it.bytes() > 0));
}

/// After all that plywood has done.
fn docker_goes_on(place: &Place, [images, containers]: &[BTreeSet<String>; 2], driver: StorageDriver) {
    let daemons = Dockerd::start(&place.directory, &[&place.theirs], driver.name());
    let docker = |arguments: &[&str]| daemons.docker(&place.theirs, arguments);
    let [now, there] = shown(&daemons, &place.theirs);
    assert!(now.is_superset(images) && now.len() == images.len() + 1, "{now:?}");
    assert_eq!(&there, containers);
    assert_eq!(docker(&["run", "--rm", "made:2"]), "changed");
    assert_eq!(docker(&["run", "--rm", "stopped:1", "cat", "/file"]), "changed");
    daemons.stop();
}

fn docker_reads(daemons: &Dockerd, place: &Place, written: &Written) {
    let docker = |arguments: &[&str]| daemons.docker(&place.ours, arguments);
    assert_eq!(docker(&["images", "--no-trunc", "--quiet", "ours"]), written.id);
    assert_eq!(docker(&["history", "--quiet", "ours:1"]).lines().count(), written.history);
    let inspected = docker(&["inspect", "ours:1", "--format", "{{.Size}} {{index .Config.Env 1}} {{.Config.Labels}}"]);
    assert_eq!(inspected, format!("{} GREETING=hello map[made-by:plywood]", written.size));
    let all = docker(&["ps", "--all", "--format", "{{.Names}} {{.Image}} {{.State}}"]);
    assert_eq!(
        lines(&all),
        lines("anonymous ours:1 exited\nchecked ours:1 exited\ncreated ours:1 created\nended ours:1 exited")
    );
    assert_eq!(docker(&["inspect", "ended", "--format", "{{.State.ExitCode}}"]), "3");
    let health = "{{with .State.Health}}{{.Status}} {{.FailingStreak}} {{with index .Log 0}}{{.ExitCode}} {{.Output}}{{end}}{{end}}";
    assert_eq!(docker(&["inspect", "checked", "--format", health]), "unhealthy 0 0 checked");
    assert_eq!(docker(&["inspect", "checked", "--format", "{{.Config.Healthcheck.Test}}"]), "[CMD echo checked]");
    let log = daemons.try_docker(&place.ours, &["logs", "ended"]);
    assert_eq!((&log.stdout[..], &log.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
    assert_eq!(lines(&docker(&["diff", "ended"])), written.diff);
    let volumes = docker(&["volume", "inspect", "data", "labelled", "--format", "{{.Name}} {{json .Labels}}"]);
    assert_eq!(volumes, "data null\nlabelled {\"second\":\"2\",\"tier\":\"db\"}");
    let names = docker(&["volume", "ls", "--quiet", "--filter", "label=com.docker.volume.anonymous"]);
    assert_eq!(names, docker(&["inspect", "anonymous", "--format", "{{(index .Mounts 0).Name}}"]));
    docker(&["system", "df", "--verbose"]);
}

fn docker_runs(daemons: &Dockerd, place: &Place) {
    let docker = |arguments: &[&str]| daemons.docker(&place.ours, arguments);
    assert_eq!(docker(&["run", "--rm", "ours:1"]), "hello");
    let script =
        "ls /opaque; cat /soft; stat -c '%u:%g %a' /setuid; stat -c %h /file; ls /gone 2>/dev/null || echo gone";
    assert_eq!(docker(&["run", "--rm", "ours:1", "sh", "-c", script]), "new\none\n1234:4321 4755\n2\ngone");
    assert_eq!(docker(&["start", "--attach", "created"]), "created");
    assert_eq!(docker(&["start", "--attach", "anonymous"]), "");
    docker(&["commit", "ended", "committed:1"]);
    let script = "cat /file; ls /hard 2>/dev/null || echo gone; stat -c %F /added";
    assert_eq!(docker(&["run", "--rm", "committed:1", "sh", "-c", script]), "two\ngone\ndirectory");
    let tar = daemons.try_docker(&place.ours, &["export", "ended"]).stdout;
    let names: BTreeSet<_> = tar::Archive::new(&tar[..])
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().to_string_lossy().into_owned())
        .collect();
    assert!(names.contains("added/") && names.contains("opaque/new"), "{names:?}");
    assert!(!names.contains("hard") && !names.contains("gone/"), "{names:?}");
    docker(&["cp", "ended:/file", place.directory.join("copied").to_str().unwrap()]);
    assert_eq!(fs::read_to_string(place.directory.join("copied")).unwrap(), "two\n");
}

/// `save` and `load`, `push` and `pull`: dockerd compares the digest of every layer on the way.
fn docker_moves(daemons: &Dockerd, place: &Place, written: &Written) {
    let archive = place.directory.join("ours.tar");
    daemons.docker(&place.ours, &["save", "--output", archive.to_str().unwrap(), "ours:1"]);
    daemons.docker(&place.theirs, &["load", "--quiet", "--input", archive.to_str().unwrap()]);
    let id = |reference: &str| daemons.docker(&place.theirs, &["images", "--no-trunc", "--quiet", reference]);
    assert_eq!(id("ours:1"), written.id);
    daemons.docker(&place.theirs, &["rmi", "ours:1"]);
    let engine = Engine::temp().unwrap();
    let loaded = engine.load(Source::path(&archive)).unwrap();
    assert_eq!(loaded[0].image().id().to_string(), written.id);

    let remote = format!("{REGISTRY}/ours:1");
    daemons.docker(&place.ours, &["tag", "ours:1", &remote]);
    daemons.docker(&place.ours, &["push", "--quiet", &remote]);
    daemons.docker(&place.theirs, &["pull", "--quiet", &remote]);
    assert_eq!(id(&remote), written.id);
}

fn docker_builds_and_removes(daemons: &Dockerd, place: &Place) {
    let docker = |arguments: &[&str]| daemons.docker(&place.ours, arguments);
    let context = place.directory.join("context");
    fs::create_dir(&context).unwrap();
    fs::write(context.join("Dockerfile"), "FROM ours:1\nRUN echo built > /built\nCOPY Dockerfile /\n").unwrap();
    docker(&["build", "--quiet", "--network", "none", "--tag", "built:1", context.to_str().unwrap()]);
    assert_eq!(docker(&["run", "--rm", "built:1", "cat", "/built", "/soft"]), "built\none");
    docker(&["rmi", "committed:1"]);
    docker(&["volume", "create", "--label", "by=docker", "dockers"]);
    let script = ["ours:1", "sleep", "1000"];
    let volumes = ["--volume", "data:/data", "--volume", "dockers:/d"];
    docker(&[&["run", "--detach", "--name", "running", "--stop-signal", "KILL"], &volumes[..], &script].concat());
    // A volume without a name goes with its container, and a named one that nothing uses in the prune.
    let volumes = || docker(&["volume", "ls", "--quiet"]).lines().count();
    assert_eq!(volumes(), 4);
    docker(&["rm", "--volumes", "anonymous"]);
    assert_eq!(volumes(), 3);
    docker(&["rm", "created"]);
    docker(&["system", "prune", "--force", "--volumes"]);
    assert_eq!(volumes(), 2);
    docker(&["create", "--name", "after", "ours:1", "true"]);
}

/// What Docker shows of its images and of its containers.
fn shown(daemons: &Dockerd, root: &Path) -> [BTreeSet<String>; 2] {
    let images = ["images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"];
    let containers = ["ps", "--all", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.State}}"];
    [&images[..], &containers[..]].map(|arguments| lines(&daemons.docker(root, arguments)))
}

/// What Docker has made in a data root of its own, for plywood to find: three images and two stopped containers.
fn docker_writes(daemons: &Dockerd, place: &Place) -> [BTreeSet<String>; 2] {
    let docker = |arguments: &[&str]| daemons.docker(&place.theirs, arguments);
    let remote = format!("{REGISTRY}/ours:1");
    docker(&["volume", "create", "--label", "by=docker", "theirs"]);
    let script = "echo out; echo err >&2; rm /hard; echo changed > /file; echo v > /v/file; exit 5";
    let run = ["run", "--name", "stopped", "--volume", "theirs:/v", "--label", "k=v", &remote, "sh", "-c", script];
    assert_eq!(daemons.try_docker(&place.theirs, &run).status.code(), Some(5));
    docker(&["tag", &remote, "theirs:1"]);
    docker(&["commit", "stopped", "made:1"]);
    docker(&["run", "--name", "second", "made:1", "true"]);
    docker(&["commit", "--change", "CMD cat /file", "second", "made:2"]);
    shown(daemons, &place.theirs)
}

fn plywood_finds_its_root_in_order(root: &Path, written: &Written) {
    let engine = Engine::open(root).unwrap();
    let report = engine.fsck().unwrap();
    assert!(report.is_sound(), "{report:#?}");
    let image = engine.image("ours:1").unwrap();
    assert_eq!((image.id().to_string(), image.size()), (written.id.clone(), written.size));
    let references: Vec<_> = image.references().iter().map(ToString::to_string).collect();
    assert_eq!(references.len(), 3, "with those of the registry, by tag and by digest: {references:?}");
    let built = engine.image("built:1").unwrap();
    assert_eq!(built.layers().len(), image.layers().len() + 2);
    assert_eq!(run(&engine, &built, "cat /built"), "built\n");
    let names: BTreeSet<_> = engine.containers().unwrap().iter().map(|container| container.name().to_owned()).collect();
    assert_eq!(names, ["after", "running"].map(str::to_owned).into());
    assert_eq!(engine.container("running").unwrap().state().unwrap(), State::Exited);
    let volumes = engine.volumes().unwrap();
    let labels: Vec<_> = volumes.iter().map(|volume| (volume.name().as_str(), volume.labels().len())).collect();
    assert_eq!(labels, [("data", 0), ("dockers", 1)]);
    assert_eq!(fs::read_to_string(volumes[0].path().join("v")).unwrap(), "v\n");
    // The next container, and a label, as if nobody else had been there.
    engine.create_volume("again", BTreeMap::from([("k".to_owned(), "v".to_owned())])).unwrap();
    assert_eq!(run(&engine, &image, "cat /file"), "one\n");
}

fn plywood_uses_dockers(root: &Path, written: &Written) {
    let engine = Engine::open(root).unwrap();
    let report = engine.fsck().unwrap();
    assert!(report.is_sound(), "{report:#?}");
    let image: Image = engine.image("theirs:1").unwrap();
    assert_eq!(image.id().to_string(), written.id);
    assert_eq!(image.history().len(), written.history);
    assert_eq!(run(&engine, &image, "cat /soft; ls /opaque; stat -c %a /setuid"), "one\nnew\n4755\n");
    let container = engine.container("stopped").unwrap();
    let details = container.inspect().unwrap();
    assert_eq!((details.state(), details.exit_status().unwrap().code()), (State::Exited, 5));
    assert_eq!(details.labels()["k"], "v");
    // Docker reads two pipes: which line is first is chance.
    let log: BTreeSet<_> = container.logs().read().unwrap().map(|line| line.text).collect();
    assert_eq!(log, ["out", "err"].map(str::to_owned).into());
    let volume = engine.find_volume("theirs").unwrap().unwrap();
    assert_eq!(
        (volume.labels()["by"].as_str(), fs::read_to_string(volume.path().join("file")).unwrap()),
        ("docker", "v\n".into())
    );
    assert!(changes(&container).is_superset(&lines("C /file\nD /hard")), "{:?}", changes(&container));
    // What it has become is the base of further ones.
    let committed = container.commit().reference("stopped:1").run().unwrap();
    assert_eq!(run(&engine, &committed, "cat /file; ls /hard 2>/dev/null || echo gone"), "changed\ngone\n");
    assert_eq!(container.start().unwrap_err().kind(), ErrorKind::Unsupported);
}
