//! Volumes, bind mounts and memory: what outlives a container, and what reaches into it.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use plywood::image::Copy;
use plywood::{ErrorKind, Mount};
use support::{engine, image, run, sh, text};

#[test]
fn a_volume_is_shared_and_outlives_its_containers() {
    let engine = engine();
    let image = image(&engine);
    let volume = engine.volume("shared").unwrap();
    let holder = sh(&image, "echo one > /data/file; echo ready; while :; do sleep 60; done")
        .mount(volume.at("/data"))
        .start(&engine)
        .unwrap();
    holder.logs().follow().read().unwrap().next().unwrap();
    let other = sh(&image, "cat /elsewhere/file; echo two >> /elsewhere/file").mount(volume.at("/elsewhere"));
    assert_eq!(text(other.output(&engine).unwrap()), "one\n");
    assert_eq!(text(holder.exec(["cat", "/data/file"]).output().unwrap()), "one\ntwo\n");
    drop(holder);
    assert_eq!(fs::read_to_string(volume.path().join("file")).unwrap(), "one\ntwo\n");
    assert_eq!(volume.path(), engine.path().join("volumes/shared/_data"), "where Docker has it");
}

#[test]
fn volumes_are_made_listed_inspected_and_removed() {
    let engine = engine();
    let labels = BTreeMap::from([("purpose".to_owned(), "test".to_owned())]);
    let made = engine.create_volume("b", labels.clone()).unwrap_err();
    assert_eq!(made.kind(), ErrorKind::InvalidArgument, "one character is too short: {made}");
    let made = engine.create_volume("bb", labels.clone()).unwrap();
    assert_eq!((made.name().as_str(), made.labels()), ("bb", &labels));
    assert!(made.created().is_some());
    assert_eq!(engine.create_volume("bb", labels).unwrap_err().kind(), ErrorKind::AlreadyExists);
    let other = engine.volume("aa").unwrap();
    assert_eq!(engine.volume("bb").unwrap(), made, "get or create");
    assert_eq!(engine.volumes().unwrap(), [other, made.clone()]);
    assert_eq!(engine.find_volume("bb").unwrap(), Some(made));
    assert_eq!(engine.find_volume("cc").unwrap(), None);
    engine.remove_volume("bb").unwrap();
    assert_eq!(engine.volumes().unwrap().len(), 1);
    let missing = engine.remove_volume("bb").unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert_eq!(missing.to_string(), "remove volume \"bb\": there is no volume of that name");
}

#[test]
fn a_volume_in_use_is_not_removed_and_its_users_are_named() {
    let engine = engine();
    let image = image(&engine);
    let volume = engine.volume("kept").unwrap();
    let running =
        sh(&image, "while :; do sleep 60; done").name("runner").mount(volume.at("/v")).start(&engine).unwrap();
    let created = sh(&image, "true").name("waiter").mount(volume.at("/v")).create(&engine).unwrap();
    let refused = engine.remove_volume("kept").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InUse);
    for name in ["\"kept\"", "\"runner\"", "\"waiter\""] {
        assert!(refused.to_string().contains(name), "{refused}");
    }
    drop(running);
    let refused = engine.remove_volume("kept").unwrap_err();
    assert_eq!(refused.to_string(), "remove volume \"kept\": container \"waiter\" mounts it");
    drop(created);
    engine.remove_volume("kept").unwrap();
    assert!(!volume.path().exists());
}

#[test]
fn a_fork_of_a_volume_has_its_content_and_goes_its_own_way() {
    let engine = engine();
    let image = image(&engine);
    let data = engine.volume("data").unwrap();
    let script =
        "umask 022; mkdir -m 700 /v/d; echo one > /v/d/file; ln /v/d/file /v/hard; ln -s d/file /v/soft; chmod 750 /v";
    let filled = sh(&image, script).mount(data.at("/v")).output(&engine).unwrap();
    assert!(filled.status.success());
    let copy = engine.fork_volume(&data, "copy").unwrap();
    let look = sh(&image, "cat /v/soft; echo two >> /v/hard; cat /v/d/file; stat -c %a /v /v/d").mount(copy.at("/v"));
    assert_eq!(text(look.output(&engine).unwrap()), "one\none\ntwo\n750\n700\n");
    let original = sh(&image, "cat /v/d/file").mount(data.at("/v"));
    assert_eq!(text(original.output(&engine).unwrap()), "one\n");
    assert_eq!(engine.fork_volume(&data, "copy").unwrap_err().kind(), ErrorKind::AlreadyExists);
    let running = sh(&image, "while :; do sleep 60; done").name("writer").mount(data.at("/v")).start(&engine).unwrap();
    let refused = engine.fork_volume(&data, "other").unwrap_err();
    assert_eq!(refused.to_string(), "copy volume \"data\": container \"writer\" mounts it, and may write to it");
    drop(running);
    engine.fork_volume(&data, "other").unwrap();
}

#[test]
fn the_first_use_of_an_empty_volume_copies_what_the_image_has_there() {
    let engine = engine();
    let base = support::base()
        .instruction(Copy::inline("seed\n").to("/data/seed").chmod("0640"))
        .run("mkdir /data/sub && ln -s seed /data/link && echo deep > /data/sub/file && chmod 0710 /data");
    let image = engine.build(&base).unwrap();
    let volume = engine.volume("filled").unwrap();
    let script = "cd /data; cat seed link sub/file; stat -c '%a %F' . seed link; echo own > seed";
    let first = sh(&image, script).mount(volume.at("/data"));
    let expected = "seed\nseed\ndeep\n710 directory\n640 regular file\n777 symbolic link\n";
    assert_eq!(text(first.output(&engine).unwrap()), expected);
    // The second use finds a volume that is not empty: nothing is copied over it.
    let second = sh(&image, "cat /data/seed").mount(volume.at("/data"));
    assert_eq!(text(second.output(&engine).unwrap()), "own\n");
    assert_eq!(run(&engine, &image, "cat /data/seed"), "seed\n", "the image stays as it is");
}

#[test]
fn a_volume_that_the_image_declares_comes_and_goes_with_the_container() {
    let engine = engine();
    let image = engine.build(&support::base().volume("/data")).unwrap();
    let container = sh(&image, "echo x > /data/file").start(&engine).unwrap();
    assert!(container.wait().unwrap().success());
    let volumes = engine.volumes().unwrap();
    assert_eq!(volumes.len(), 1);
    assert_eq!(fs::read_to_string(volumes[0].path().join("file")).unwrap(), "x\n");
    let mounts = container.inspect().unwrap().mounts();
    assert_eq!((mounts[0].kind(), mounts[0].target()), ("volume", "/data"));
    assert_eq!(mounts[0].source(), volumes[0].name().as_str());
    drop(container);
    assert!(engine.volumes().unwrap().is_empty());
}

#[test]
fn read_only_mounts_refuse_writes() {
    let engine = engine();
    let image = image(&engine);
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), "host\n").unwrap();
    let volume = engine.volume("readable").unwrap();
    fs::write(volume.path().join("file"), "volume\n").unwrap();
    let script = "cat /b/file /v/file; for d in /b /v /t; do echo x > $d/new && echo $d is writable; done";
    let output = sh(&image, script)
        .mount(Mount::bind(directory.path(), "/b").read_only())
        .mount(volume.at("/v").read_only())
        .mount(Mount::tmpfs("/t").read_only())
        .output(&engine)
        .unwrap();
    assert_eq!(str::from_utf8(&output.stdout), Ok("host\nvolume\n"));
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(error.matches("Read-only file system").count(), 3, "{error}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    assert_eq!(fs::read_dir(volume.path()).unwrap().count(), 1);
}

#[test]
fn a_bound_directory_is_the_hosts() {
    let engine = engine();
    let image = image(&engine);
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("in"), "from the host\n").unwrap();
    let script = "cat /mnt/deep/in; echo 'from the container' > /mnt/deep/out; ls -d /mnt/*";
    let bound = sh(&image, script).mount(Mount::bind(directory.path(), "/mnt/deep"));
    assert_eq!(text(bound.output(&engine).unwrap()), "from the host\n/mnt/deep\n");
    let out = directory.path().join("out");
    assert_eq!(fs::read_to_string(&out).unwrap(), "from the container\n");
    assert_eq!(fs::metadata(out).unwrap().uid(), rustix::process::geteuid().as_raw(), "root in it is the caller");
}

#[test]
fn a_bound_file_covers_one_file_only() {
    let engine = engine();
    let image = image(&engine);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("passwd");
    fs::write(&file, "root:x:0:0:bound:/:/bin/sh\n").unwrap();
    let script = "cat /etc/passwd; cat /new/file; ls /etc | cat > /dev/null; test -f /etc/group && echo others stay";
    let bound =
        sh(&image, script).mount(Mount::bind(&file, "/etc/passwd").read_only()).mount(Mount::bind(&file, "/new/file"));
    let line = "root:x:0:0:bound:/:/bin/sh\n";
    assert_eq!(text(bound.output(&engine).unwrap()), format!("{line}{line}others stay\n"));
}

#[test]
fn memory_has_the_size_and_mode_asked_for() {
    let engine = engine();
    let image = image(&engine);
    let script = "stat -f -c %T /t /u; stat -c %a /t /u; cd /t; dd if=/dev/zero of=big bs=65536 count=64 2>/dev/null \
        || echo full; stat -c %s big";
    let output = sh(&image, script)
        .mount(Mount::tmpfs("/t").size("1MiB").mode(0o750))
        .mount(Mount::tmpfs("/u"))
        .output(&engine)
        .unwrap();
    let stdout = str::from_utf8(&output.stdout).unwrap();
    assert_eq!(stdout, format!("tmpfs\ntmpfs\n750\n1777\nfull\n{}\n", 1 << 20));
}

#[test]
fn of_two_mounts_on_one_target_the_later_holds_and_inner_ones_come_last() {
    let engine = engine();
    let image = image(&engine);
    let [outer, inner] = ["outer", "inner"].map(|name| {
        let volume = engine.volume(name).unwrap();
        fs::write(volume.path().join(name), "").unwrap();
        volume
    });
    let nested = sh(&image, "ls /m /m/in").mount(inner.at("/m/in")).mount(outer.at("/m"));
    assert_eq!(text(nested.output(&engine).unwrap()), "/m:\nin\nouter\n\n/m/in:\ninner\n");
    let twice = sh(&image, "ls /m").mount(outer.at("/m")).mount(inner.at("/m"));
    assert_eq!(text(twice.output(&engine).unwrap()), "inner\n");
}

#[test]
fn mistakes_in_mounts_are_told_before_anything_is_made() {
    let engine = engine();
    let image = image(&engine);
    for (mount, kind, words) in [
        (Mount::bind("/no/such/path", "/x"), ErrorKind::NotFound, "\"/no/such/path\""),
        (Mount::volume("../escape", "/x"), ErrorKind::InvalidArgument, "../escape"),
        (Mount::tmpfs("relative"), ErrorKind::InvalidArgument, "relative"),
        (Mount::tmpfs("/"), ErrorKind::InvalidArgument, "/"),
        (Mount::tmpfs("/t").size("many"), ErrorKind::InvalidArgument, "many"),
    ] {
        let error = sh(&image, "true").mount(mount).start(&engine).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    assert!(engine.containers().unwrap().is_empty());
    assert!(engine.volumes().unwrap().is_empty());
}

#[test]
fn a_mount_below_a_link_to_nothing_lies_where_the_link_leads() {
    let engine = engine();
    let links = "ln -s /run/later /early && ln -s ../missing/deep /dangling";
    let image = engine.build(&support::base().run(links)).unwrap();
    let volume = engine.volume("inside").unwrap();
    fs::write(volume.path().join("file"), "volume\n").unwrap();
    let container =
        sh(&image, "cat /run/later/x/file /early/x/file /dangling/file /missing/deep/file && cat /host/file")
            .mount(volume.at("/early/x"))
            .mount(Mount::bind(volume.path(), "/dangling"))
            .mount(volume.at("/host"));
    assert_eq!(text(container.output(&engine).unwrap()), "volume\n".repeat(5));
}

#[test]
fn a_volume_without_a_name_goes_with_its_container() {
    let engine = engine();
    let image = image(&engine);
    let container = sh(&image, "cat /etc/passwd > /data/passwd && ls /data; while :; do sleep 60; done")
        .mount(Mount::anonymous("/data"))
        .mount(Mount::anonymous("/other").read_only())
        .start(&engine)
        .unwrap();
    assert_eq!(container.logs().follow().read().unwrap().next().unwrap().text, "passwd");
    assert!(!container.exec(["touch", "/other/x"]).status().unwrap().success());
    assert_eq!(engine.volumes().unwrap().len(), 2);
    drop(container);
    assert!(engine.volumes().unwrap().is_empty());
}

#[test]
fn a_link_in_the_image_does_not_lead_a_mount_out_of_the_container() {
    let engine = engine();
    let outside = tempfile::tempdir().unwrap();
    fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let path = outside.path().to_str().unwrap();
    let links = format!("mkdir -p {path} && ln -s {path} /link && ln -s ../../../../.. /up");
    let image = engine.build(&support::base().run(links)).unwrap();
    let volume = engine.volume("inside").unwrap();
    fs::write(volume.path().join("file"), "volume\n").unwrap();
    let script = format!("cat {path}/mounted/file /up/{path}/mounted/file");
    let output = sh(&image, &script).mount(volume.at("/link/mounted")).output(&engine).unwrap();
    assert_eq!(text(output), "volume\nvolume\n", "both lead to the same place in the container");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0, "nothing was made on the host");
}
