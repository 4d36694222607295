//! What a container has changed of its image.

use super::support::{engine, require_containers};
use crate::{Container, ErrorKind, Mount};

/// What `diff` prints.
fn diff<D>(container: &Container<D>) -> Vec<String> {
    container.diff().unwrap().iter().map(ToString::to_string).collect()
}

/// What `diff` prints after this script.
fn diff_after(script: &str) -> Vec<String> {
    let (engine, image) = engine();
    let container = Container::of(&image).cmd(["sh", "-ec", script]).start(&engine).unwrap();
    let status = container.wait().unwrap();
    assert!(status.success(), "{status}");
    diff(&container)
}

#[test]
fn nothing_has_changed_in_a_container_that_was_created_or_changes_nothing() {
    require_containers!();
    let (engine, image) = engine();
    let container = Container::of(&image).cmd(["true"]).mount(Mount::tmpfs("/tmp")).create(&engine).unwrap();
    assert_eq!(diff(&container), [""; 0]);
    container.start().unwrap();
    assert!(container.wait().unwrap().success());
    assert_eq!(diff(&container), [""; 0]);
}

#[test]
fn files_are_added_changed_and_deleted_and_their_directories_changed() {
    require_containers!();
    let script = "echo x > /srv/new; mkdir -p /opt/a/b; echo y >> /etc/passwd; rm /etc/group; chmod 700 /srv/data";
    let found = diff_after(script);
    let expected = [
        "C /etc",
        "D /etc/group",
        "C /etc/passwd",
        "A /opt",
        "A /opt/a",
        "A /opt/a/b",
        "C /srv",
        "C /srv/data",
        "A /srv/new",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_file_that_was_only_opened_for_writing_has_not_changed() {
    require_containers!();
    assert_eq!(diff_after("exec 3>>/etc/passwd; touch /srv/x; rm /srv/x"), [""; 0]);
    assert_eq!(diff_after("touch -d @1 /etc/passwd"), ["C /etc", "C /etc/passwd"]);
}

#[test]
fn a_directory_that_was_removed_is_told_once_and_one_made_anew_by_its_content() {
    require_containers!();
    assert_eq!(diff_after("rm -r /srv"), ["D /srv"]);
    let anew = diff_after("rm -r /srv; mkdir -m 755 /srv; touch /srv/x");
    assert_eq!(anew, ["C /srv", "D /srv/data", "A /srv/x"]);
    assert_eq!(diff_after("rm -r /srv/data; echo > /srv/data"), ["C /srv", "C /srv/data"]);
    let directory = diff_after("rm /etc/group; mkdir /etc/group; touch /etc/group/x");
    assert_eq!(directory, ["C /etc", "C /etc/group", "A /etc/group/x"]);
}

#[test]
fn what_is_mounted_does_not_count_but_where_it_is_mounted_does() {
    require_containers!();
    let (engine, image) = engine();
    let container = Container::of(&image)
        .cmd(["sh", "-c", "touch /srv/data/x /made/y /tmp/z /dev/shm/a; echo >> /etc/hosts"])
        .mount(Mount::volume("one", "/srv/data"))
        .mount(Mount::volume("two", "/made"))
        .mount(Mount::tmpfs("/tmp"))
        .start(&engine)
        .unwrap();
    assert!(container.wait().unwrap().success());
    assert_eq!(diff(&container), ["A /made"]);
}

#[test]
fn a_container_that_runs_and_one_that_is_removed() {
    require_containers!();
    let (engine, image) = engine();
    let container = Container::of(&image).name("it").cmd(["sleep", "60"]).start(&engine).unwrap();
    assert!(container.exec(["touch", "/srv/live"]).status().unwrap().success());
    let other = engine.container("it").unwrap();
    assert_eq!(diff(&other), ["C /srv", "A /srv/live"]);
    container.kill_and_remove().unwrap();
    assert_eq!(other.diff().unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn names_that_are_no_text_and_what_its_owner_may_not_read_are_told() {
    require_containers!();
    let found = diff_after("cd /srv; mkdir shut; touch shut/x \"$(printf 'a\\377')\"; chmod 300 shut");
    assert_eq!(found, ["C /srv", "A /srv/a\u{fffd}", "A /srv/shut", "A /srv/shut/x"]);
}
