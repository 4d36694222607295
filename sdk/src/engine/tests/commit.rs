//! Images from what containers have become, and their whole file system as an archive.

use std::collections::BTreeMap;
use std::io::Read;

use super::support::{engine, leftovers, require_containers};
use crate::container::{Action, State};
use crate::image::Source;
use crate::{Container, ErrorKind, Mount};

#[test]
fn a_container_becomes_an_image_with_its_files_and_its_configuration() {
    require_containers!();
    let (engine, base) = engine();
    let script = "echo new > /srv/new; rm /etc/group; rm -r /srv/data; mkdir /srv/data; ln /srv/new /srv/link";
    let container = Container::of(&base)
        .name("tuned")
        .cmd(["sh", "-ec", script])
        .env("MODE", "x")
        .workdir("/srv")
        .mount(Mount::volume("kept", "/kept"))
        .create(&engine)
        .unwrap();
    container.start().unwrap();
    assert!(container.wait().unwrap().success());
    let image = container
        .commit()
        .reference("tuned:1")
        .author("me")
        .message("done")
        .change("CMD [\"cat\", \"/srv/new\"]")
        .change("ENV MORE=1")
        .run()
        .unwrap();
    assert_eq!(image.layers().len(), 2);
    let config = image.config();
    assert_eq!(config.config.env, ["MODE=x", "FROM_IMAGE=1", "MORE=1"]);
    assert_eq!(config.config.working_dir, "/srv");
    assert_eq!(config.author.as_deref(), Some("me"));
    assert_eq!(config.other["container"], container.id().as_str());
    assert_eq!(config.other["container_config"]["Cmd"][0], "sh");
    let history = image.history();
    let last = history.last().unwrap();
    assert_eq!((last.author(), last.comment()), ("me", "done"));
    assert_eq!(last.created_by(), format!("sh -ec {script}"));
    assert_eq!(last.layer(), image.layers().last());

    let read = |script: &str| Container::of("tuned:1").cmd(["sh", "-c", script]).output(&engine).unwrap().stdout;
    assert_eq!(Container::of("tuned:1").output(&engine).unwrap().stdout, b"new\n");
    assert_eq!(read("ls /srv/data; stat -c %h /srv/new; echo $MODE$MORE; pwd; cat /etc/group"), b"2\nx1\n/srv\n");
    // The container goes on as it was, and can be committed again: the same layer.
    assert_eq!(container.commit().run().unwrap().layers(), image.layers());
    container.start().unwrap();
    assert!(container.wait().unwrap().code() != 0, "mkdir finds its directory");
}

#[test]
fn a_container_that_has_changed_nothing_gives_an_image_of_the_same_layers() {
    require_containers!();
    let (engine, base) = engine();
    let container = Container::of(&base).cmd(["true"]).create(&engine).unwrap();
    let image = container.commit().run().unwrap();
    assert_eq!(image.layers(), base.layers());
    assert!(image.references().is_empty() && image.id() != base.id());
    assert!(image.history().last().unwrap().layer().is_none());
}

#[test]
fn a_mistake_leaves_nothing_behind() {
    require_containers!();
    let (engine, base) = engine();
    let container = Container::of(&base).name("it").cmd(["touch", "/x"]).create(&engine).unwrap();
    container.start().unwrap();
    assert!(container.wait().unwrap().success());
    let before = (leftovers(&engine).len(), engine.images().unwrap().len());
    for commit in [container.commit().reference("Not:A:Name"), container.commit().change("RUN make")] {
        let error = commit.run().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().starts_with("commit container \"it\" (busybox:latest): "), "{error}");
    }
    let layers = engine.store().layers().list().unwrap();
    assert_eq!((layers.len(), leftovers(&engine).len(), engine.images().unwrap().len()), (1, before.0, before.1));
    let commit = container.commit();
    container.remove().unwrap();
    assert_eq!(commit.run().unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn an_export_holds_the_merged_files_and_nothing_that_is_mounted() {
    require_containers!();
    let (engine, base) = engine();
    let script = "busybox ln /etc/passwd /etc/link; chmod 4711 /etc/passwd; rm /etc/group; mkdir /srv/d; \
        busybox ln -s /no/where /srv/s; echo in > /v/in; chown 7:8 /srv/d 2>/dev/null; chmod 0 /srv/data/seed; sleep 60";
    let container =
        Container::of(&base).cmd(["sh", "-c", script]).mount(Mount::volume("vol", "/v")).start(&engine).unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !container.diff().unwrap().iter().any(|change| change.path().ends_with("seed")) {
        assert!(std::time::Instant::now() < deadline);
    }
    let mut tar = Vec::new();
    container.export(&mut tar).unwrap();
    let mut found = BTreeMap::new();
    for entry in tar::Archive::new(&tar[..]).entries().unwrap() {
        let mut entry = entry.unwrap();
        let header = entry.header().clone();
        let mut content = String::new();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        if path != "bin/busybox" {
            entry.read_to_string(&mut content).unwrap();
        }
        let ids = (header.uid().unwrap(), header.gid().unwrap());
        found.insert(path, (header.entry_type(), header.mode().unwrap(), ids, content));
    }
    let of = |path: &str| found.get(path).unwrap_or_else(|| panic!("{path} is missing"));
    assert_eq!((of("etc/link").0, of("etc/link").1), (tar::EntryType::Regular, 0o4711));
    assert_eq!(of("etc/passwd").0, tar::EntryType::Link);
    assert_eq!(of("srv/s").0, tar::EntryType::Symlink);
    assert_eq!((of("srv/data/seed").1, &*of("srv/data/seed").3), (0, "from the image\n"));
    assert_eq!(of("srv/d/").2, if crate::sys::userns::keeps_owners() { (7, 8) } else { (0, 0) });
    assert_eq!((&*of("etc/hosts").3, of(".dockerenv").1), ("", 0o755));
    for missing in ["etc/group", "v/in", "proc/1/", "dev/null", "./"] {
        assert!(!found.contains_key(missing), "{missing}");
    }
    assert_eq!(container.commit().run().unwrap().layers().len(), 2, "what its owner may not read is committed too");
    // What was exported can be imported and run.
    let image = engine.import(Source::reader(&tar[..])).unwrap();
    let output = Container::of(&image).cmd(["sh", "-c", "cat /etc/passwd | head -n 1"]).output(&engine).unwrap();
    assert_eq!(output.stdout, b"root:x:0:0:root:/root:/bin/sh\n");
}

#[test]
fn a_container_that_runs_stands_still_while_it_is_committed_where_it_can() {
    require_containers!();
    let (engine, base) = engine();
    let container = Container::of(&base).cmd(["sh", "-c", "echo new > /srv/new; sleep 60"]).start(&engine).unwrap();
    while container.exec(["cat", "/srv/new"]).output().is_ok_and(|output| output.stdout != b"new\n") {}
    let told = |commit: crate::container::Commit| {
        let since = crate::Timestamp::now();
        commit.run().unwrap();
        let events = engine.events().since(since).until(crate::Timestamp::now()).read().unwrap();
        events.map(|event| event.action).collect::<Vec<_>>()
    };
    assert_eq!(told(container.commit().without_pause()), []);
    let can_pause = container.pause().is_ok();
    // One that stands still already does so afterwards.
    assert_eq!(told(container.commit()), []);
    assert_eq!(container.state().unwrap() == State::Paused, can_pause);
    container.resume().unwrap();
    let expected = if can_pause { vec![Action::Pause, Action::Unpause] } else { Vec::new() };
    assert_eq!(told(container.commit()), expected);
    assert_eq!(container.state().unwrap(), State::Running);
}
