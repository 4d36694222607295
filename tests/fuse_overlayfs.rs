//! What is peculiar to the storage driver `fuse-overlayfs`: the program that shows a container's files runs beside it.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use plywood::{Base, Container, Durability, Engine, EngineOptions, Layers, StorageDriver};
use support::place::Place;
use support::victim::{self, Victim};
use support::{PROGRAMS, base, require_fuse_overlayfs, require_root, sh};

const UNTIL_TOLD: &str = "echo ready; while :; do sleep 60; done";

fn open(directory: &Path) -> Engine {
    let options = EngineOptions::new().durability(Durability::Fast).driver(StorageDriver::FuseOverlayfs);
    Engine::open_with(directory.join("root"), options).unwrap()
}

/// The program that serves a container: it is told the container's own directory.
fn servers(id: &str) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let is_its = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.starts_with(b"fuse-overlayfs\0") && String::from_utf8_lossy(&line).contains(&format!("upperdir={id}/"))
    };
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_its).collect()
}

fn the_server(container: &Container) -> u32 {
    let servers = servers(container.id().as_ref());
    assert_eq!(servers.len(), 1, "{servers:?}");
    servers[0]
}

/// Whether such a file system is mounted where this program could see it.
fn is_mounted() -> bool {
    fs::read_to_string("/proc/self/mountinfo").unwrap().contains(" - fuse fuse-overlayfs ")
}

/// Starts a container and waits until its program runs.
fn start(engine: &Engine) -> Container {
    let image = engine.build(&base()).unwrap();
    let container = sh(&image, UNTIL_TOLD).start(engine).unwrap();
    container.logs().follow().read().unwrap().next().unwrap();
    container
}

#[test]
fn nothing_is_left_of_a_container_and_the_host_sees_nothing_of_it() {
    require_root!();
    require_fuse_overlayfs!();
    let place = Place::new();
    let engine = open(place.0.path());
    let container = start(&engine);
    let id = container.id().to_string();
    let server = the_server(&container);
    assert!(!is_mounted());
    let inside = support::text(container.exec(["sh", "-c", "cat /proc/[0-9]*/comm"]).output().unwrap());
    assert!(!inside.contains("fuse"), "{inside}");
    let groups = |pid: &str| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert_eq!(groups(&server.to_string()), groups("self"));
    let open: Vec<_> = fs::read_dir(format!("/proc/{server}/fd")).unwrap().flatten().collect();
    let leads = open.iter().filter_map(|entry| fs::read_link(entry.path()).ok());
    // It makes a pipe for itself.
    let of_ours = |path: &Path| {
        path.starts_with(place.root()) || path.starts_with("/dev") || path.to_string_lossy().starts_with("pipe:")
    };
    let foreign: Vec<_> = leads.filter(|path| !of_ours(path)).collect();
    assert!(foreign.is_empty(), "nothing of this program is open there: {foreign:?}");
    // The container is frozen, and its files are not.
    container.pause().unwrap();
    let file = place.0.path().join("frozen");
    fs::write(&file, "text").unwrap();
    container.copy_in(&file, "/frozen").unwrap();
    container.resume().unwrap();
    assert_eq!(support::text(container.exec(["cat", "/frozen"]).output().unwrap()), "text");
    drop(container);
    assert_eq!(servers(&id), [0; 0]);
    assert!(!Path::new(&format!("/proc/{server}")).exists());
}

#[test]
fn a_killed_program_leaves_no_server_and_no_mount() {
    require_root!();
    require_fuse_overlayfs!();
    if let Some(directory) = victim::directory() {
        let engine = open(&directory);
        let container = start(&engine);
        victim::tell(the_server(&container));
        victim::tell(container.inspect().unwrap().pid().unwrap());
        victim::wait();
    }
    let place = Place::new();
    let mut victim = Victim::start("a_killed_program_leaves_no_server_and_no_mount", place.0.path());
    let processes: [u32; 2] = std::array::from_fn(|_| victim.hear().unwrap().parse().unwrap());
    victim.kill();
    assert!(processes.into_iter().all(victim::ends));
    assert!(!is_mounted());
}

#[test]
fn a_user_namespace_sees_its_own_ids_and_the_files_keep_the_hosts() {
    require_root!();
    require_fuse_overlayfs!();
    let place = Place::new();
    let engine = open(place.0.path());
    let programs: Vec<_> = PROGRAMS.into_iter().chain(["chown"]).collect();
    let image = engine.build(&Layers::new().from(Base::host(programs)).run("echo x > /a && chown 12:34 /a")).unwrap();
    let script = "stat -c %u:%g / /a; echo y > /b; chown 56:78 /b; stat -c %u:%g /b; cat /proc/self/uid_map";
    let container =
        sh(&image, script).user_namespace(plywood::container::UserNamespace::Private).start(&engine).unwrap();
    assert!(container.wait().unwrap().success(), "{:?}", container.logs().read().unwrap().collect::<Vec<_>>());
    let lines: Vec<_> = container.logs().read().unwrap().map(|line| line.text).collect();
    assert_eq!(lines[..3], ["0:0", "12:34", "56:78"]);
    assert!(!lines[3].trim_start().starts_with("0 0 ") && !lines[3].ends_with(" 0 4294967295"), "{lines:?}");
    let committed = container.commit().reference("committed:1").run().unwrap();
    assert_eq!(support::run(&engine, &committed, "stat -c %u:%g /a /b"), "12:34\n56:78\n");
}

#[test]
fn each_start_and_each_look_at_what_is_stopped_has_a_server_of_its_own() {
    require_root!();
    require_fuse_overlayfs!();
    let place = Place::new();
    let engine = open(place.0.path());
    let image = engine.build(&base()).unwrap();
    let container = sh(&image, "echo x >> /file; cat /file").start(&engine).unwrap();
    assert!(container.wait().unwrap().success());
    container.start().unwrap();
    assert!(container.wait().unwrap().success());
    let lines: Vec<_> = container.logs().read().unwrap().map(|line| line.text).collect();
    assert_eq!(lines, ["x", "x", "x"]);
    // What nobody runs in is shown by a server as well, for as long as it takes.
    let file = place.0.path().join("out");
    container.copy_out("/file", &file).unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"x\nx\n");
    assert_eq!(servers(container.id().as_ref()), [0; 0]);
}
