//! Volumes in containers: shared, filled, refused, removed.

use serde_json::json;

use std::os::unix::fs::symlink;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use super::support::{engine, image, image_with, require_containers};
use crate::spec::name::VolumeName;
use crate::volume::{Purpose, Volume};
use crate::{Container, ErrorKind, Mount};

#[test]
fn a_volume_is_shared_and_outlives_its_containers() {
    require_containers!();
    let (engine, busybox) = engine();
    let data = engine.volume("data").unwrap();
    let write = Container::of(&busybox).cmd(["sh", "-c", "echo kept > /d/f"]).mount(data.at("/d"));
    assert!(write.output(&engine).unwrap().status.success());
    let read = Container::of(&busybox).cmd(["cat", "/e/f"]).mount(data.at("/e").read_only()).output(&engine).unwrap();
    assert_eq!(read.stdout, b"kept\n");
    let refused =
        Container::of(&busybox).cmd(["touch", "/e/g"]).mount(data.at("/e").read_only()).output(&engine).unwrap();
    assert!(!refused.status.success());
    engine.remove_volume("data").unwrap();
    assert!(engine.volumes().unwrap().is_empty());
}

#[test]
fn an_empty_volume_is_filled_from_the_image_once() {
    require_containers!();
    let (engine, busybox) = engine();
    let data = engine.volume("data").unwrap();
    let run = |script: &str| {
        Container::of(&busybox).cmd(["sh", "-c", script]).mount(data.at("/srv/data")).output(&engine).unwrap().stdout
    };
    assert_eq!(run("cat /srv/data/seed; rm /srv/data/seed; touch /srv/data/own"), b"from the image\n");
    assert_eq!(run("ls /srv/data"), b"own\n");
}

#[test]
fn a_volume_in_use_is_not_removed_and_its_users_are_named() {
    let (engine, busybox) = engine();
    let data = engine.volume("data").unwrap();
    let one = Container::of(&busybox).name("one").mount(data.at("/d")).create(&engine).unwrap();
    let error = engine.remove_volume("data").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InUse);
    assert_eq!(error.to_string(), "remove volume \"data\": container \"one\" mounts it");
    let two = Container::of(&busybox).name("two").mount(data.at("/d")).create(&engine).unwrap();
    let error = engine.remove_volume("data").unwrap_err();
    assert!(
        error.to_string().contains("containers \"one\", \"two\" mount it")
            || error.to_string().contains("\"two\", \"one\"")
    );
    drop((one, two));
    engine.remove_volume("data").unwrap();
    assert_eq!(engine.remove_volume("data").unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn volumes_of_the_image_come_and_go_with_the_container() {
    require_containers!();
    let (engine, _) = engine();
    let image = image(&engine, "db", json!({ "Cmd": ["sh"], "Volumes": { "/srv/data": {}, "/fresh": {} } }));
    let container = Container::of(&image).cmd(["cat", "/srv/data/seed"]).start(&engine).unwrap();
    assert!(container.wait().unwrap().success());
    assert_eq!(engine.volumes().unwrap().len(), 2);
    assert_eq!(container.inspect().unwrap().mounts().len(), 2);
    drop(container);
    assert!(engine.volumes().unwrap().is_empty());
    // What the definition mounts takes the place of the image's volume.
    let container = Container::of(&image).mount(Mount::tmpfs("/fresh")).create(&engine).unwrap();
    assert_eq!(engine.volumes().unwrap().len(), 1);
    drop(container);
}

#[test]
fn two_containers_fill_one_volume_at_the_same_time() {
    require_containers!();
    let (engine, busybox) = engine();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mount = Mount::volume("shared", "/srv/data");
                let output =
                    Container::of(&busybox).cmd(["cat", "/srv/data/seed"]).mount(mount).output(&engine).unwrap();
                assert_eq!(output.stdout, b"from the image\n");
            });
        }
    });
}

#[test]
fn a_container_does_not_start_while_its_volume_is_copied() {
    require_containers!();
    let (engine, busybox) = engine();
    let data = engine.volume("data").unwrap();
    std::fs::write(data.path().join("file"), "before\n").unwrap();
    let container =
        Container::of(&busybox).cmd(["sh", "-c", "echo after > /d/file"]).mount(data.at("/d")).create(&engine).unwrap();
    let idle = Container::of(&busybox).mount(data.at("/d")).create(&engine).unwrap();
    let (send, ended) = mpsc::channel();
    let copy = std::thread::scope(|scope| {
        let store = engine.store().volumes();
        let begin = || {
            let (status, more) = (send.clone(), send.clone());
            scope.spawn(move || {
                container.start().unwrap();
                status.send(container.wait().unwrap().success()).unwrap();
            });
            scope.spawn(move || {
                // What is copied into a container that does not run may come to lie in the volume.
                idle.copy_in("/etc/passwd", "/d/copied").unwrap();
                more.send(true).unwrap();
            });
            // As long as this lasts, and what comes after it.
            assert_eq!(ended.recv_timeout(Duration::from_millis(300)), Err(RecvTimeoutError::Timeout));
            Ok(())
        };
        let copy = store.copy(&data, &VolumeName::parse("copy").unwrap(), Purpose::Stay, begin).unwrap();
        // Without ours, a thread that fails ends the wait.
        drop(send);
        assert!(ended.recv().unwrap() && ended.recv().unwrap());
        copy
    });
    let read = |volume: &Volume| std::fs::read_to_string(volume.path().join("file")).unwrap();
    assert_eq!((read(&copy), read(&data)), ("before\n".to_owned(), "after\n".to_owned()));
    assert!(data.path().join("copied").exists() && !copy.path().join("copied").exists());
}

#[test]
fn i09_r15_volumes_are_filled_from_the_image_wherever_its_paths_and_links_lead() {
    require_containers!();
    let engine = crate::Engine::temp().unwrap();
    // A directory of the host at which a link of the image points: the image has no such one.
    let host = tempfile::tempdir().unwrap();
    std::fs::write(host.path().join("secret"), "of the host").unwrap();
    // With the files that every container has there, as in Docker.
    let etc = "group hostname hosts mtab passwd resolv.conf";
    for (at, filled) in
        [("/a/../../etc", etc), ("/link", etc), ("/up", "seed"), ("/link/../srv/data", "seed"), ("/out", "")]
    {
        let image = image_with(&engine, "evil", json!({ "Cmd": ["true"], "Volumes": { at: {} } }), |root| {
            symlink("/etc", root.join("link")).unwrap();
            symlink("../../../../../../srv/data", root.join("up")).unwrap();
            symlink(host.path(), root.join("out")).unwrap();
        });
        let container = Container::of(&image).start(&engine).unwrap();
        assert!(container.wait().unwrap().success(), "{at}");
        let [volume] = &engine.volumes().unwrap()[..] else { panic!("{at}: not one volume") };
        let entries = std::fs::read_dir(volume.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names.join(" "), filled, "{at}");
    }
    assert_eq!(std::fs::read_dir(host.path()).unwrap().count(), 1);
}
