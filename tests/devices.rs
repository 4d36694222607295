//! Which devices of the host a container may use.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use plywood::container::{Capability, Device, UserNamespace};
use plywood::image::Base;
use plywood::{Container, ErrorKind, Layers};
use support::{PROGRAMS, engine, image, require_root, sh, text, victim};

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

/// A group of version 1 that may use the usual devices but `/dev/ptmx`; removed when dropped.
struct Limited(PathBuf);

impl Limited {
    fn new() -> Option<Self> {
        let group = Path::new("/sys/fs/cgroup/devices").join(format!("plywood-test-{}", std::process::id()));
        if !group.parent()?.join("devices.list").exists() {
            return None;
        }
        fs::create_dir(&group).unwrap();
        let group = Self(group);
        fs::write(group.0.join("devices.deny"), "a").unwrap();
        for device in ["c 1:* rwm", "c 5:0 rwm", "c 5:1 rwm", "c 136:* rwm"] {
            fs::write(group.0.join("devices.allow"), device).unwrap();
        }
        Some(group)
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        // The last process may not have been counted out yet.
        let end = Instant::now() + Duration::from_secs(10);
        while self.0.exists() && fs::remove_dir(&self.0).is_err() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn a_device_that_the_cgroups_above_may_not_use_is_refused_by_name() {
    const NAME: &str = "a_device_that_the_cgroups_above_may_not_use_is_refused_by_name";
    require_root!();
    if victim::directory().is_some() {
        let engine = engine();
        let image = image(&engine);
        let asked = sh(&image, "true").device(Device::new("/dev/ptmx").at("/dev/own").access("r"));
        let error = asked.output(&engine).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");
        assert!(error.to_string().contains("may not use the device \"c 5:2 r\""), "{error:?}");
        assert!(engine.containers().unwrap().is_empty());
        // Of the usual ones it has what there is.
        let usual = sh(&image, "echo x >/dev/null && head -c 1 /dev/ptmx").cap_add(Capability::MKNOD);
        let output = usual.output(&engine).unwrap();
        assert!(String::from_utf8_lossy(&output.stderr).contains("Operation not permitted"), "{output:?}");
        return;
    }
    let Some(group) = Limited::new() else {
        eprintln!("skipped: only version 1 of cgroups has a list of devices");
        return;
    };
    support::require_program!("unshare");
    // As in a container that has these devices: it sees its own group as the root, and none of version 2, where programs
    // decide each time that a device is used.
    let script = "echo $$ >\"$0\" && exec unshare --cgroup --mount sh -c 'umount /sys/fs/cgroup/unified 2>/dev/null; umount /sys/fs/cgroup/devices; \
                  mount -t cgroup -o devices none /sys/fs/cgroup/devices && exec \"$@\"' sh \"$@\"";
    let mut within = Command::new("sh");
    within.args(["-c", script]).arg(group.0.join("cgroup.procs")).arg(std::env::current_exe().unwrap());
    victim::alone_by(within, NAME, &victim::Directory::new());
}
