//! Images out of a Docker daemon that runs, and whose data root is closed meanwhile.

#![allow(clippy::unwrap_used)]

use std::fs;

use plywood::image::{Source, Target};
use plywood::{Durability, Engine, ErrorKind};
use support::dockerd::Dockerd;
use support::{base, require_program, require_root, run};

#[test]
fn images_come_out_of_a_running_daemon() {
    require_root!();
    for program in Dockerd::PROGRAMS {
        require_program!(program);
    }
    let directory = tempfile::Builder::new().prefix("plywood-docker").tempdir().unwrap();
    let (root, archive) = (directory.path().join("root"), directory.path().join("archive.tar"));
    let first = support::engine();
    let layers = base().run("echo content > /file && ln /file /hard && chmod 4755 /file");
    let image = first.build_with(&layers, &plywood::build::Options::new().tag("live:1")).unwrap();
    first.save(&["live:1"], Target::path(&archive)).unwrap();
    let daemon = Dockerd::start(directory.path(), &[&root], "overlay2");
    daemon.docker(&root, &["load", "--quiet", "--input", archive.to_str().unwrap()]);
    daemon.docker(&root, &["tag", "live:1", "localhost:5000/team/live:2"]);
    let refused = Engine::open(&root).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InUse);
    assert!(refused.hint().unwrap().contains("--from-docker"), "{refused:?}");

    let ours = Engine::open_with(directory.path().join("ours"), Durability::Fast).unwrap();
    let socket = root.with_extension("sock");
    let loaded = ours.load(Source::docker_at(&socket, &["live:1", "localhost:5000/team/live:2"]).unwrap()).unwrap();
    assert_eq!(loaded.len(), 1);
    assert_eq!(loaded[0].image().id(), image.id());
    let references: Vec<_> = loaded[0].references().iter().map(ToString::to_string).collect();
    assert_eq!(references.len(), 2, "{references:?}");
    let image = ours.image("localhost:5000/team/live:2").unwrap();
    assert_eq!(run(&ours, &image, "cat /hard; stat -c %a /file"), "content\n4755\n");
    assert!(ours.fsck().unwrap().is_sound());
    let error = Source::docker_at(&socket, &["none:1"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
    assert!(error.to_string().contains("none"), "{error}");
    // The daemon has not noticed, and goes on.
    assert!(daemon.docker(&root, &["images", "--quiet", "live:1"]).len() >= 12);
    daemon.stop();
    assert_eq!(Engine::open(&root).unwrap().image("live:1").unwrap().id(), image.id());
    fs::remove_file(&archive).unwrap();
}
