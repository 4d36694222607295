//! Which devices of the host a container may use.

#![allow(clippy::unwrap_used)]

use plywood::container::{Capability, Device, UserNamespace};
use plywood::image::Base;
use plywood::{Container, ErrorKind, Layers};
use support::{PROGRAMS, engine, image, require_root, sh, text};

fn zero() -> Device {
    Device::new("/dev/zero").at("/dev/own")
}

#[test]
fn a_device_is_there_under_its_name_and_stays_as_it_is() {
    let engine = engine();
    let image = image(&engine);
    let script = "stat -c '%F %t:%T' /dev/own; head -c 1 /dev/own >/dev/own; chmod 777 /dev/own 2>&1 || true";
    let shown = |text: String| {
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "character special file 1:5");
        assert!(lines.len() == 2 && lines[1].contains("Read-only file system"), "{lines:?}");
    };
    shown(text(sh(&image, script).device(zero()).output(&engine).unwrap()));
    if support::is_root() {
        let private = sh(&image, script).device(zero()).user_namespace(UserNamespace::Private);
        shown(text(private.output(&engine).unwrap()));
    }
}

#[test]
fn r30_a_device_is_used_in_the_ways_that_are_allowed() {
    require_root!();
    let engine = engine();
    let image = image(&engine);
    let script = "head -c 1 /dev/own >/dev/null; echo x >/dev/own; echo $?";
    let output = sh(&image, script).device(zero().access("r")).output(&engine).unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("Operation not permitted") && !error.contains("head"), "{output:?}");
    assert_eq!(text(sh(&image, script).device(zero().access("wr")).output(&engine).unwrap()), "0\n");
}

#[test]
fn r30_who_may_make_nodes_makes_none_of_the_hosts() {
    require_root!();
    let engine = engine();
    let programs: Vec<_> = PROGRAMS.into_iter().chain(["mknod"]).collect();
    let image = engine.build(&Layers::new().from(Base::host(programs))).unwrap();
    let script = "mknod /dev/own c 1 3; mknod /dev/messages c 1 11; mknod /dev/memory c 1 1";
    let output = sh(&image, script).cap_add(Capability::MKNOD).output(&engine).unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("/dev/messages") && error.contains("/dev/memory") && !error.contains("/dev/own"), "{error}");
}

#[test]
fn what_is_no_device_or_cannot_be_kept_is_refused() {
    let engine = engine();
    let image = image(&engine);
    let with = |device: Device| Container::of(&image).cmd(["true"]).device(device);
    for (definition, kind, message) in [
        (with("/dev/no-such".into()), ErrorKind::NotFound, "use the device \"/dev/no-such\": it is none"),
        (with("/dev".into()), ErrorKind::NotFound, "use the device \"/dev\": it is none"),
        (with("dev/zero".into()), ErrorKind::NotFound, "use the device \"dev/zero\": it is none"),
        (with(zero().at("own")), ErrorKind::InvalidArgument, "own"),
        (with(zero().access("x")), ErrorKind::InvalidArgument, "use a device for \"x\": the uses are r, w and m"),
        (with(zero().access("r")).privileged(), ErrorKind::Unsupported, "restrict the use of \"/dev/zero\""),
    ] {
        let error = definition.create(&engine).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(message), "{error}");
    }
}
