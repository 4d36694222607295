//! Root's containers with users of their own: what the host sees of them, and what the store does.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use plywood::container::{CopyOptions, RestartPolicy, State, UserNamespace};
use plywood::{Container, Engine, Mount};
use support::{engine, image, require_root, run, sh, text};

/// The user of a process, as the host sees it.
fn user_of(container: &Container) -> u32 {
    let details = container.inspect().unwrap();
    let pid = details.pid().unwrap();
    fs::metadata(format!("/proc/{pid}")).unwrap().uid()
}

fn wait_for_line(container: &Container) {
    container.logs().follow().read().unwrap().next().unwrap();
}

/// The user that the outside of the containers of an engine begins with.
fn first_id(engine: &Engine) -> u32 {
    let record = fs::read_to_string(engine.path().join("image/plywood/container-ids")).unwrap();
    record.split(':').nth(1).unwrap().parse().unwrap()
}

#[test]
fn files_belong_to_root_wherever_they_are_looked_at() {
    require_root!();
    let engine = engine();
    let image = image(&engine);
    let script = "mkdir -p /made && echo text >/made/file && chmod 600 /made/file && echo ready && sleep 1000";
    let container = sh(&image, script).user_namespace(UserNamespace::Private).start(&engine).unwrap();
    wait_for_line(&container);
    assert_eq!(user_of(&container), first_id(&engine));
    assert_eq!(text(container.exec(["stat", "-c", "%u:%g", "/made/file"]).output().unwrap()), "0:0\n");

    // Into it, out of it, while it runs.
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "of the host").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::chown(&file, Some(33), Some(34)).unwrap();
    container.copy_in(&file, "/made/copied").unwrap();
    container.copy_in_with(&file, "/made/kept", CopyOptions::new().keep_owners()).unwrap();
    let seen = container.exec(["stat", "-c", "%u:%g", "/made/copied", "/made/kept"]).output().unwrap();
    assert_eq!(text(seen), "0:0\n33:34\n");
    container.copy_out("/made/file", directory.path().join("out")).unwrap();
    container.copy_out_with("/made/kept", directory.path().join("kept"), CopyOptions::new().keep_owners()).unwrap();
    let owner = |name: &str| {
        let found = fs::metadata(directory.path().join(name)).unwrap();
        (found.uid(), found.gid())
    };
    assert_eq!((owner("out"), owner("kept")), ((0, 0), (33, 34)));
    assert_eq!(fs::read_to_string(directory.path().join("out")).unwrap(), "text\n");

    // As an image, which containers with the host's users have the same files of.
    let committed = container.commit().run().unwrap();
    let seen = run(&engine, &committed, "stat -c '%n %u:%g' /made /made/file /made/copied /made/kept");
    assert_eq!(seen, "/made 0:0\n/made/file 0:0\n/made/copied 0:0\n/made/kept 33:34\n");
    let mut changes: Vec<String> = container.diff().unwrap().iter().map(ToString::to_string).collect();
    changes.sort();
    assert_eq!(changes, ["A /made", "A /made/copied", "A /made/file", "A /made/kept"]);
    let _ = container.stop(Duration::ZERO).unwrap();
    container.copy_in(&file, "/made/idle").unwrap();
    container.start().unwrap();
    wait_for_line(&container);
    assert_eq!(text(container.exec(["stat", "-c", "%u:%g", "/made/idle"]).output().unwrap()), "0:0\n");
}

#[test]
fn a_volume_holds_what_both_kinds_of_containers_write() {
    require_root!();
    let engine = engine();
    let image = image(&engine);
    let shared = |script: &str| sh(&image, script).mount(Mount::volume("shared", "/data"));
    text(shared("echo a >/data/a && chmod 4755 /data/a").output(&engine).unwrap());
    let private = shared("cat /data/a && echo b >/data/b && stat -c '%n %u %a' /data/a /data/b");
    let seen = text(private.user_namespace(UserNamespace::Private).output(&engine).unwrap());
    assert_eq!(seen, "a\n/data/a 0 4755\n/data/b 0 644\n");
    assert_eq!(text(shared("stat -c '%u' /data/b").output(&engine).unwrap()), "0\n");

    // A program with the setuid bit makes root of the container, and that is nobody outside.
    text(shared("cat $(command -v id) >/data/id && chmod 4755 /data/id").output(&engine).unwrap());
    let ordinary = shared("/data/id -u").user("1000").user_namespace(UserNamespace::Private);
    assert_eq!(text(ordinary.output(&engine).unwrap()), "1000\n");
    assert_eq!(text(ordinary.allow_new_privileges().output(&engine).unwrap()), "0\n");
}

#[test]
fn an_engine_says_it_for_all() {
    require_root!();
    let engine = engine().user_namespace(UserNamespace::Private);
    let image = image(&engine);
    let map = text(sh(&image, "cat /proc/self/uid_map").output(&engine).unwrap());
    let words: Vec<&str> = map.split_ascii_whitespace().collect();
    assert_eq!(words, ["0", first_id(&engine).to_string().as_str(), "65536"]);
    let own = sh(&image, "cat /proc/self/uid_map").user_namespace(UserNamespace::Host).output(&engine).unwrap();
    assert!(text(own).contains("4294967295"));
    let error = sh(&image, "true").privileged().create(&engine).unwrap_err();
    assert!(error.hint().is_some_and(|hint| hint.contains("UserNamespace::Host")), "{error:?}");
}

#[test]
fn a_kept_container_has_it_too() {
    require_root!();
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::open(directory.path()).unwrap();
    let image = image(&engine);
    let kept = sh(&image, "echo ready; sleep 1000").name("kept").user_namespace(UserNamespace::Private).keep();
    drop(kept.start(&engine).unwrap());
    let found = Engine::open(directory.path()).unwrap().container("kept").unwrap();
    wait_for_line(&found);
    assert_eq!(user_of(&found), first_id(&engine));
    assert_eq!(text(found.exec(["sh", "-c", "id -u; echo x >/x; stat -c %u /x"]).output().unwrap()), "0\n0\n");
    let _ = found.stop(Duration::ZERO).unwrap();
    found.remove().unwrap();
}

#[test]
fn one_that_is_started_again_has_it_each_time() {
    require_root!();
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::open(directory.path()).unwrap();
    let image = image(&engine);
    let bound = tempfile::tempdir().unwrap();
    let script = "read n < /n || n=0; n=$((n+1)); echo $n > /n; echo $n > /bound/$n; echo $n; cat /proc/self/uid_map; \
                  [ $n = 3 ] && echo ready && exec sleep 1000; exit 7";
    let policy = RestartPolicy::OnFailure { retries: Some(2) };
    let again = sh(&image, script).mount(Mount::bind(bound.path(), "/bound")).keep().restart(policy);
    drop(again.name("again").user_namespace(UserNamespace::Private).start(&engine).unwrap());
    let first_id = first_id(&engine);
    let found = Engine::open(directory.path()).unwrap().container("again").unwrap();
    let lines = || found.logs().read().unwrap().map(|line| line.text).collect::<Vec<_>>();
    // A follower hears one process to its end.
    while lines().last().is_none_or(|line| line != "ready") {
        assert_ne!(found.state().unwrap(), State::Exited, "{:?}", lines());
        std::thread::yield_now();
    }
    let maps: Vec<_> = lines().into_iter().filter(|line| line.contains("65536")).collect();
    assert!(maps.len() == 3 && maps.iter().all(|map| map.contains(&first_id.to_string())), "{maps:?}");
    assert_eq!((user_of(&found), found.inspect().unwrap().restart_count()), (first_id, 2));
    let owners = (1..=3).map(|n| fs::metadata(bound.path().join(n.to_string())).unwrap().uid());
    assert!(owners.eq([0; 3]));
    assert_eq!(text(found.exec(["stat", "-c", "%u", "/n"]).output().unwrap()), "0\n");
    let _ = found.stop(Duration::ZERO).unwrap();
    found.remove().unwrap();
}
