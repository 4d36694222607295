//! What a container may not do, and how each of it is changed.

#![allow(clippy::unwrap_used)]

use plywood::container::{Capability, Definition, Seccomp};
use plywood::{Container, ErrorKind, Image};
use support::{engine, image, text};

/// The lines of `/proc/self/status` that begin with one of these words.
fn status<D>(image: &Image<D>, words: &str) -> Definition<D> {
    let script =
        format!("while read name value; do case $name in {words}) echo $name $value;; esac; done </proc/self/status");
    Container::of(image).cmd(["sh", "-c", &script])
}

#[test]
fn i01_capabilities_and_filters_are_the_documented_ones() {
    let engine = engine();
    let image = image(&engine);
    let done = text(status(&image, "Cap*|NoNewPrivs:|Seccomp:").output(&engine).unwrap());
    let default = "00000000800405fb";
    assert_eq!(
        done,
        format!(
            "CapInh: 0000000000000000\nCapPrm: {default}\nCapEff: {default}\nCapBnd: {default}\nCapAmb: 0000000000000000\n\
             NoNewPrivs: 1\nSeccomp: 2\n"
        )
    );
}

#[test]
fn capabilities_are_added_and_dropped_by_name() {
    let engine = engine();
    let image = image(&engine);
    let bounding = |definition: Definition| text(definition.output(&engine).unwrap());
    let shown = || status(&image, "CapBnd:");
    assert_eq!(bounding(shown().cap_drop(Capability::ALL)), "CapBnd: 0000000000000000\n");
    assert_eq!(bounding(shown().cap_drop(Capability::ALL).cap_add(Capability::CHOWN)), "CapBnd: 0000000000000001\n");
    assert_eq!(bounding(shown().cap_add(Capability::NET_RAW)), "CapBnd: 00000000800425fb\n");
}

#[test]
fn a_capability_that_this_program_lacks_is_an_error_of_start() {
    let engine = engine();
    let image = image(&engine);
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    let lacks = u64::from_str_radix(own.trim(), 16).unwrap() >> 24 & 1 == 0;
    let started = status(&image, "CapEff:").cap_add(Capability::SYS_RESOURCE).output(&engine);
    // An ordinary user's container has a user namespace, in which all of them are to be had.
    if lacks && support::is_root() {
        let error = started.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(error.to_string().contains("CAP_SYS_RESOURCE"), "{error}");
    } else {
        assert_eq!(text(started.unwrap()), "CapEff: 00000000810405fb\n");
    }
    // All of them means all there are.
    assert!(status(&image, "CapEff:").cap_add(Capability::ALL).output(&engine).unwrap().status.success());
}

#[test]
fn new_privileges_and_all_system_calls_are_allowed_on_request() {
    let engine = engine();
    let image = image(&engine);
    let shown = || status(&image, "NoNewPrivs:|Seccomp:");
    let done = |definition: Definition| text(definition.output(&engine).unwrap());
    assert_eq!(done(shown().allow_new_privileges()), "NoNewPrivs: 0\nSeccomp: 2\n");
    assert_eq!(done(shown().allow_new_privileges().user("1000")), "NoNewPrivs: 0\nSeccomp: 2\n");
    assert_eq!(done(shown().seccomp(Seccomp::Unconfined)), "NoNewPrivs: 1\nSeccomp: 0\n");
    assert_eq!(done(shown().privileged()), "NoNewPrivs: 1\nSeccomp: 0\n");
}

#[test]
fn a_profile_is_checked_when_the_container_is_created() {
    let engine = engine();
    let image = image(&engine);
    let profile = r#"{"defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}"#;
    let made = || Container::of(&image).cmd(["mkdir", "/x"]);
    let done = made().seccomp(Seccomp::Profile(profile.into())).output(&engine).unwrap();
    assert!(String::from_utf8_lossy(&done.stderr).contains("No space left on device"), "{done:?}");
    let error = made().seccomp(Seccomp::Profile("[]".into())).create(&engine).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let error = made().seccomp(Seccomp::File("/no/such/file".into())).create(&engine).unwrap_err();
    assert_eq!((error.kind(), error.path().is_some()), (ErrorKind::NotFound, true), "{error}");
    assert!(engine.containers().unwrap().is_empty());
}

#[test]
fn a_build_step_runs_under_the_same_profile() {
    let engine = engine();
    let image = support::base()
        .run("test \"$(while read n v; do case $n in Seccomp:) echo $v; esac; done </proc/self/status)\" = 2");
    engine.build(&image).unwrap();
}
