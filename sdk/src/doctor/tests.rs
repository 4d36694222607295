#![allow(clippy::unwrap_used)]

use super::host::Facts;
use super::*;
use crate::sys::probe::{self, CgroupVersion, Privilege};
use crate::{ErrorKind, StorageDriver};

/// A host on which everything is there.
fn good(privilege: Privilege) -> Facts {
    Facts {
        privilege,
        release: "6.18.44".into(),
        resolves_inside: true,
        namespaces: Ok(()),
        userns_clone: Some(1),
        max_user_namespaces: Some(1000),
        apparmor_restricts: Some(0),
        program: "/opt/app".into(),
        ids: Ok((65537, 65537)),
        cgroups: CgroupVersion::V2,
        limits: Ok(()),
        lacking: Vec::new(),
        seccomp_actions: Some("kill_process kill_thread trap errno trace log allow".into()),
        container: None,
    }
}

fn refused() -> Result<(), Error> {
    Err(Error::new(ErrorKind::PermissionDenied, "create the process of a container: refused").with_hint("run as root"))
}

/// State, cause and remedy of one subject.
fn of(facts: &Facts, subject: &str) -> (State, String, String) {
    let findings = facts.findings();
    let finding = findings.iter().find(|finding| finding.subject() == subject).unwrap();
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    (finding.state(), text(finding.cause()), text(finding.remedy()))
}

#[test]
fn a_good_host_has_nothing_to_complain_of() {
    for privilege in [Privilege::Root, Privilege::User] {
        let findings = good(privilege).findings();
        assert!(findings.iter().all(|finding| finding.state() == State::Ok), "{findings:?}");
    }
}

#[test]
fn c18_each_lack_has_its_state_cause_and_remedy() {
    use State::{Limited, Missing};
    let user = || good(Privilege::User);
    let table = [
        (Facts { release: "5.4.0".into(), ..user() }, "kernel", Missing, "lacks overlay", "6.1"),
        (Facts { release: "5.15.0".into(), ..user() }, "kernel", Limited, "tested", "6.1"),
        (Facts { resolves_inside: false, ..user() }, "kernel", Missing, "openat2", "filter"),
        (Facts { namespaces: refused(), ..user() }, "namespaces", Missing, "refused", "run as root"),
        (
            Facts { namespaces: refused(), userns_clone: Some(0), ..user() },
            "user namespaces",
            Missing,
            "kernel.unprivileged_userns_clone is 0",
            "sysctl",
        ),
        (
            Facts { namespaces: refused(), max_user_namespaces: Some(0), ..user() },
            "user namespaces",
            Missing,
            "user.max_user_namespaces is 0",
            "raise it",
        ),
        (
            Facts { namespaces: refused(), apparmor_restricts: Some(1), ..user() },
            "user namespaces",
            Missing,
            "apparmor_restrict_unprivileged_userns is 1",
            "profile plywood \"/opt/app\" flags=(unconfined) {\n  userns,\n}",
        ),
        (
            Facts { ids: Err(("nothing is listed".into(), "add a line".into())), ..user() },
            "subordinate ids",
            Limited,
            "listed",
            "line",
        ),
        (Facts { limits: refused(), ..user() }, "cgroups", Limited, "refused", "run as root"),
        (
            Facts { lacking: vec!["SYS_RESOURCE"], ..good(Privilege::Root) },
            "capabilities",
            Limited,
            "hard limits",
            "--cap-add",
        ),
        (
            Facts { lacking: vec!["SYS_ADMIN", "SYS_RESOURCE"], ..user() },
            "capabilities",
            Limited,
            "users of their own",
            "--cap-add",
        ),
        (
            Facts { lacking: vec!["NET_ADMIN"], ..good(Privilege::Root) },
            "capabilities",
            Limited,
            "fails in starting",
            "--cap-add",
        ),
        (Facts { seccomp_actions: None, ..user() }, "seccomp", Missing, "no filters", "CONFIG_SECCOMP_FILTER"),
        (
            Facts { container: Some("inside a Docker container".into()), ..user() },
            "surroundings",
            Limited,
            "masked",
            "privileged",
        ),
    ];
    for (facts, subject, state, cause, remedy) in table {
        let found = of(&facts, subject);
        assert_eq!(found.0, state, "{subject}: {found:?}");
        assert!(found.1.contains(cause) && found.2.contains(remedy), "{subject}: {found:?}");
    }
}

#[test]
fn this_host_can_run_containers_and_nothing_is_left_of_the_trial() {
    let root = tempfile::tempdir().unwrap();
    let report = doctor_at(root.path().join("not/there/yet"));
    assert!(report.can_run(), "{report}");
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    let is_root = rustix::process::geteuid().is_root();
    let has = |subject: &str| report.findings().iter().any(|finding| finding.subject() == subject);
    assert!(has("kernel") && has("overlay") && has("data root") && has("cgroups"));
    assert_eq!(has("user namespaces"), !is_root);
    assert!(report.to_string().ends_with("containers can run here\n"));
    let lacking = probe::lacking_capabilities();
    let finding = report.findings().iter().find(|finding| finding.subject() == "capabilities").unwrap();
    assert_eq!(finding.state() == State::Limited, is_root && !lacking.is_empty(), "{finding}");
}

#[test]
fn a_kernel_without_overlay_is_told_by_the_doctor_and_by_the_engine() {
    let root = tempfile::tempdir().unwrap();
    probe::force_missing_overlay(true);
    let report = doctor_at(root.path());
    let opened = Engine::open(root.path().join("root"));
    probe::force_missing_overlay(false);
    let finding = report.findings().iter().find(|finding| finding.subject() == "overlay").unwrap();
    assert_eq!(finding.state(), State::Limited);
    assert!(finding.to_string().contains("this kernel has no overlay file system"), "{finding}");
    assert!(finding.remedy().unwrap().contains("modprobe overlay"));
    assert_eq!(opened.unwrap().driver().driver(), StorageDriver::Vfs);
}

#[test]
fn a_data_root_that_cannot_be_used_is_told() {
    let report = doctor_at("/proc/nothing");
    let finding = report.findings().last().unwrap();
    assert_eq!((finding.subject(), finding.state()), ("data root", State::Missing));
    assert!(finding.remedy().unwrap().contains("PLYWOOD_ROOT"), "{finding}");
}
