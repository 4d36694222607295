//! Pruning, counting, and building what is run.

use super::support::{engine, leftovers, require_containers};
use crate::container::Stdio;
use crate::prune::{Kind, Options, Report};
use crate::{Container, Engine, Layers};

fn names(report: &Report) -> Vec<(Kind, &str)> {
    report.objects().iter().map(|object| (object.kind(), object.name())).collect()
}

/// One of everything that is unreferenced, and one of everything that is not.
fn furnish(engine: &Engine) -> Container {
    let base = "busybox";
    let old = engine.build(&Layers::new().from(base).run("seq 20000 > /old")).unwrap();
    assert!(old.references().is_empty());
    let mut done =
        Container::of(base).name("done").mount(engine.volume("unused").unwrap().at("/v")).create(engine).unwrap();
    done.persist().unwrap();
    let busy = Container::of(base).name("busy").cmd(["sleep", "1000"]).mount(engine.volume("used").unwrap().at("/v"));
    busy.stdout(Stdio::null()).start(engine).unwrap()
}

#[test]
fn a_dry_run_tells_what_goes_and_the_real_one_removes_just_that() {
    require_containers!();
    let (engine, _) = engine();
    let busy = furnish(&engine);
    let options = Options::new().named_volumes();
    let planned = engine.prune_with(&options.clone().dry_run()).unwrap();
    let kinds: Vec<_> = planned.objects().iter().map(crate::prune::Object::kind).collect();
    assert_eq!(kinds, [Kind::Container, Kind::Image, Kind::Volume, Kind::BuildCache]);
    assert!(planned.bytes() > 100_000, "{}", planned.bytes());
    assert_eq!((engine.images().unwrap().len(), engine.volumes().unwrap().len()), (2, 2));
    let report = engine.prune_with(&options).unwrap();
    assert_eq!(names(&report), names(&planned));
    assert_eq!(names(&report)[0], (Kind::Container, "done"));
    assert_eq!(names(&report)[2], (Kind::Volume, "unused"));
    assert_eq!(engine.images().unwrap().len(), 1);
    assert_eq!(engine.volumes().unwrap()[0].name().as_str(), "used");
    assert_eq!(engine.store().layers().list().unwrap().len(), 1);
    assert!(busy.state().unwrap().is_running());
    assert!(engine.prune_with(&options).unwrap().objects().is_empty());
    drop(busy);
    assert_eq!(leftovers(&engine), Vec::<String>::new());
}

#[test]
fn a_prune_of_one_kind_leaves_the_others() {
    require_containers!();
    let (engine, _) = engine();
    let _busy = furnish(&engine);
    let report = engine.prune_with(&Options::new().only([Kind::Volume]).named_volumes()).unwrap();
    // The container that is done still mounts its volume.
    assert_eq!(names(&report), []);
    let report = engine.prune_with(&Options::new().only([Kind::Container])).unwrap();
    assert_eq!(names(&report), [(Kind::Container, "done")]);
    assert_eq!(engine.images().unwrap().len(), 2);
}

#[test]
fn usage_tells_shared_bytes_from_unique_ones() {
    require_containers!();
    let (engine, base) = engine();
    let built = engine.build(&Layers::new().from("busybox").run("seq 20000 > /own")).unwrap();
    let container = Container::of(&built).name("job").cmd(["sh", "-c", "seq 30000 > /more"]).start(&engine).unwrap();
    assert!(container.wait().unwrap().success());
    let usage = engine.disk_usage().unwrap();
    let of = |image: &crate::Image| usage.images().iter().find(|usage| usage.image() == image).unwrap();
    assert_eq!((of(&base).unique(), of(&base).shared()), (0, base.size()));
    assert_eq!((of(&built).unique(), of(&built).shared()), (built.size() - base.size(), base.size()));
    assert_eq!((of(&base).containers(), of(&built).containers()), (0, 1));
    assert_eq!(usage.layer_bytes(), built.size());
    assert!(usage.containers()[0].bytes() > 160_000, "{:?}", usage.containers());
    assert!(usage.total() > usage.layer_bytes());
}

#[test]
fn a_declared_image_is_built_when_its_container_starts() {
    require_containers!();
    let (engine, _) = engine();
    let declared =
        Layers::new().from("busybox").run("echo made > /made").env("E", "1").cmd(["sh", "-c", "cat /made; echo $E"]);
    let output = Container::of(&declared).output(&engine).unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "made\n1\n");
    assert_eq!(engine.build(&declared).unwrap(), engine.build(&declared).unwrap());
}
