//! Files of several owners: as root, and as an ordinary user with subordinate ids.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::MetadataExt;

use plywood::image::{Add, Copy, Source, Target};
use plywood::{Base, Engine, ErrorKind, Image, Layers};
use support::{Tarball, engine, has_several_ids, is_root, run, sh, text};

/// Files of www-data that nobody else may read.
const OWNED: &str = "mkdir -p /data/private && echo secret > /data/private/file && chmod 600 /data/private/file \
                     && chmod 700 /data/private && chown -R 33:34 /data";
const STAT: &str = "stat -c '%u:%g %a' /data /data/private /data/private/file";
const OWNERS: &str = "33:34 755\n33:34 700\n33:34 600\n";

fn base() -> Layers {
    Layers::new().from(Base::host(["sh", "cat", "chmod", "chown", "id", "ls", "mkdir", "rm", "stat", "touch"]))
}

fn owned(engine: &Engine) -> Image {
    engine.build(&base().run(OWNED)).unwrap()
}

/// Returns from the test, saying why, where all files belong to one user.
macro_rules! require_several_ids {
    ($engine:expr) => {
        if !has_several_ids(&$engine) {
            eprintln!("skipped: this test is for users with several ids");
            return;
        }
    };
}

#[test]
fn i10_an_ordinary_user_with_subordinate_ids_has_them_in_containers() {
    let engine = engine();
    require_several_ids!(engine);
    let image = owned(&engine);
    let container = sh(&image, "echo up; while :; do cat /proc/self/status > /dev/null; done").start(&engine).unwrap();
    container.logs().follow().read().unwrap().next().unwrap();
    let map = text(container.exec(["cat", "/proc/self/uid_map"]).output().unwrap());
    let map: Vec<Vec<u32>> =
        map.lines().map(|line| line.split_whitespace().map(|it| it.parse().unwrap()).collect()).collect();
    let own = fs::metadata("/proc/self").unwrap().uid();
    match is_root() {
        true => assert_eq!(map, [[0, 0, u32::MAX]]),
        false => assert_eq!((&map[0][..], map[1][0]), (&[0, own, 1][..], 1), "{map:?}"),
    }
    assert_eq!(text(container.exec(["sh", "-c", STAT]).output().unwrap()), OWNERS);
    let who =
        text(container.exec(["sh", "-c", "id -u; id -g; cat /data/private/file"]).user("33:34").output().unwrap());
    assert_eq!(who, "33\n34\nsecret\n");
    let refused = container.exec(["cat", "/data/private/file"]).user("35").output().unwrap();
    assert!(!refused.status.success());
    // What a container leaves that only its own ids can enter goes with it.
    text(
        container
            .exec(["sh", "-c", "mkdir -p /data/private/own && chmod 0 /data/private/own"])
            .user("33")
            .output()
            .unwrap(),
    );
    let changed = container.diff().unwrap();
    assert!(changed.iter().any(|change| change.path().ends_with("data/private/own")), "{changed:?}");
    let id = container.id().to_string();
    drop(container);
    assert!(!engine.path().join("containers").join(id).exists());
    engine.remove_image_and_references(&image.id().to_string()).unwrap();
    let removed = engine.prune().unwrap();
    let left: Vec<_> =
        fs::read_dir(engine.path().join("overlay2")).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left, ["l"], "{removed:?}");
    let path = engine.path().to_owned();
    drop(engine);
    assert!(!path.exists());
}

#[test]
fn a_volume_gets_the_owners_of_the_image_and_keeps_them() {
    let engine = engine();
    require_several_ids!(engine);
    let image = owned(&engine);
    let volume = engine.volume("owned").unwrap();
    let write = sh(&image, &format!("echo more >> /data/private/file; {STAT}")).user("33:34").mount(volume.at("/data"));
    assert_eq!(text(write.output(&engine).unwrap()), OWNERS);
    let read = sh(&image, &format!("cat /elsewhere/private/file; {}", STAT.replace("/data", "/elsewhere")));
    assert_eq!(text(read.mount(volume.at("/elsewhere")).output(&engine).unwrap()), format!("secret\nmore\n{OWNERS}"));
    let (owner, own) = (fs::metadata(volume.path()).unwrap().uid(), fs::metadata("/proc/self").unwrap().uid());
    assert_eq!((owner == 33, owner == own), (is_root(), false));
    assert!(engine.disk_usage().unwrap().volumes().iter().any(|usage| usage.bytes() > 0));
    engine.remove_volume("owned").unwrap();
    assert!(!volume.path().exists());
}

#[test]
fn owners_survive_a_copy_from_an_image_and_saving_and_loading() {
    let engine = engine();
    require_several_ids!(engine);
    let image = owned(&engine);
    engine.tag(&image.id().to_string(), "owned:1").unwrap();
    let copies = base()
        .instruction(Copy::of("/data").to("/data").from_image("owned:1"))
        .instruction(Copy::of("/data/private/file").to("/given").from_image("owned:1").chown("7:8"));
    let copied = engine.build(&copies).unwrap();
    // What is in a directory is copied, the directory itself is new.
    let below = format!("0:0 755\n{}", OWNERS.split_once('\n').unwrap().1);
    assert_eq!(run(&engine, &copied, &format!("{STAT}; stat -c '%u:%g' /given")), format!("{below}7:8\n"));
    let mut archive = Vec::new();
    engine.save(&[&copied.id().to_string()], Target::writer(&mut archive)).unwrap();
    let other = support::engine();
    let loaded = other.load(Source::reader(&archive[..])).unwrap();
    assert_eq!(loaded[0].image().id(), copied.id());
    assert_eq!(run(&other, loaded[0].image(), STAT), below);
}

#[test]
fn x08_an_owner_that_this_user_does_not_have_is_refused_by_its_number() {
    let engine = engine();
    require_several_ids!(engine);
    for (owner, kept) in [(65_534, true), (4_000_000_000, is_root())] {
        let tar = Tarball::new().owned("file", owner, owner).bytes();
        match (kept, engine.import(Source::reader(&tar[..]))) {
            (true, imported) => drop(imported.unwrap()),
            (false, imported) => {
                let error = imported.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
                assert!(format!("{error:?}").contains("user 4000000000 does not exist"), "{error:?}");
                assert!(error.hint().is_some_and(|hint| hint.contains("/etc/subuid")), "{error:?}");
            }
        }
    }
}

#[test]
fn capabilities_of_files_are_kept_as_the_image_has_them() {
    let engine = engine();
    require_several_ids!(engine);
    // Version 2, effective, NET_BIND_SERVICE: `setcap cap_net_bind_service+ep`.
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_pax_extensions([("SCHILY.xattr.security.capability", &capability[..])]).unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_size(0);
    header.set_mode(0o755);
    tar.append_data(&mut header, "program", &[][..]).unwrap();
    let context = tempfile::tempdir().unwrap();
    fs::write(context.path().join("program.tar"), tar.into_inner().unwrap()).unwrap();
    // Unpacked here and archived again, from the files.
    let definition = Layers::new().from(Base::scratch()).context(context.path());
    let image = engine.build(&definition.instruction(Add::of("program.tar").to("/"))).unwrap();
    let mut archive = Vec::new();
    engine.save(&[&image.id().to_string()], Target::writer(&mut archive)).unwrap();
    let wanted = [b"SCHILY.xattr.security.capability=", &capability[..]].concat();
    assert!(archive.windows(wanted.len()).any(|bytes| bytes == wanted), "the capability changed");
}
