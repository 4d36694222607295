//! What a container may not do, and how each of it is changed.

#![allow(clippy::unwrap_used)]

use plywood::container::{Capability, Definition, NetworkMode, Resource, Seccomp};
use plywood::{ByteSize, Container, ErrorKind, Image};
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

#[test]
fn i06_limits_are_the_documented_ones_and_those_asked_for() {
    let engine = engine();
    let image = image(&engine);
    let limits = |definition: Definition| text(definition.output(&engine).unwrap());
    let shown = || Container::of(&image).cmd(["sh", "-c", "ulimit -c; ulimit -n; ulimit -H -n; ulimit -s"]);
    let own = std::fs::read_to_string("/proc/self/limits").unwrap();
    let hard = own.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let hard: u64 = hard.split_ascii_whitespace().nth(4).unwrap().parse().unwrap();
    let default = limits(shown());
    assert!(default.starts_with(&format!("0\n{}\n{hard}\n", hard.min(1 << 20))), "{default}");
    let asked = limits(shown().rlimit(Resource::OpenFiles, 100, 200).rlimit(Resource::Stack, 1 << 20, 1 << 20));
    assert_eq!(asked, "0\n100\n200\n1024\n");
    let error = shown().rlimit(Resource::OpenFiles, 2, 1).create(&engine).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    if !has_capability(24) {
        let error = shown().rlimit(Resource::OpenFiles, 1, hard + 1).output(&engine).unwrap_err();
        assert!(error.to_string().contains("set the limit nofile"), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("CAP_SYS_RESOURCE")), "{error:?}");
    }
}

fn has_capability(number: u32) -> bool {
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(own.trim(), 16).unwrap() >> number & 1 == 1
}

#[test]
fn the_kernel_kills_it_as_readily_as_was_asked_for() {
    let engine = engine();
    let image = image(&engine);
    let shown = |score| Container::of(&image).cmd(["cat", "/proc/self/oom_score_adj"]).oom_score_adj(score);
    let own = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    assert_eq!(text(shown(500).output(&engine).unwrap()), "500\n");
    assert_eq!(std::fs::read_to_string("/proc/self/oom_score_adj").unwrap(), own, "this program is left alone");
    if !has_capability(24) {
        let error = shown(-1000).output(&engine).unwrap_err();
        assert!(error.to_string().contains("set the OOM score of the container to -1000"), "{error}");
    }
    assert_eq!(shown(1001).create(&engine).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn parameters_of_the_containers_own_namespaces_are_set() {
    let engine = engine();
    let image = image(&engine);
    let shown = |name: &str| {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        Container::of(&image).cmd(["cat", &path])
    };
    let host = std::fs::read_to_string("/proc/sys/net/ipv4/ip_default_ttl").unwrap();
    let done = shown("net.ipv4.ip_default_ttl").sysctl("net.ipv4.ip_default_ttl", "77").output(&engine).unwrap();
    assert_eq!(text(done), "77\n");
    assert_eq!(std::fs::read_to_string("/proc/sys/net/ipv4/ip_default_ttl").unwrap(), host);
    for (name, words) in [
        ("kernel.panic", "it is a parameter of the host"),
        ("vm.swappiness", "it is a parameter of the host"),
        ("kernel.hostname", "it is a parameter of the host"),
        ("net.ipv4/../../kernel.panic", "invalid parameter"),
        ("net..panic", "invalid parameter"),
    ] {
        let error = shown("net.ipv4.ip_default_ttl").sysctl(name, "1").create(&engine).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains(words), "{error}");
    }
    let shared = shown("net.ipv4.ip_default_ttl").network(NetworkMode::Host).sysctl("net.ipv4.ip_default_ttl", "9");
    assert!(shared.create(&engine).unwrap_err().to_string().contains("the network of the host"));
    let error = shown("kernel.sem").sysctl("net.ipv4.no_such", "1").output(&engine).unwrap_err();
    assert!(error.to_string().contains("set net.ipv4.no_such to \"1\""), "{error}");
}

#[test]
fn r10_groups_are_those_of_the_user_and_those_asked_for() {
    let engine = engine();
    let files = "mkdir -p /etc; echo worker:x:1000:1000::/:/bin/sh >/etc/passwd; \
                 (echo staff:x:50:worker; echo late:x:70:; echo secret:x:80:worker) >/etc/group";
    let image = support::base().run(files);
    let image = engine.build(&image).unwrap();
    let asked = Container::of(&image).user("worker").group_add("late").group_add("4711").cmd(["id", "-G"]);
    if !support::is_root() {
        let error = asked.output(&engine).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        return;
    }
    assert_eq!(text(asked.clone().output(&engine).unwrap()), "1000 50 70 80 4711\n");
    // Others may read it and the group may not: one who is in the group is denied.
    let container = Container::of(&image).cmd(["sleep", "1000"]).start(&engine).unwrap();
    let made = container.exec(["sh", "-c", "echo secret >/s && chmod 0604 /s"]).user("0:80").output().unwrap();
    assert!(made.status.success(), "{made:?}");
    assert!(!container.exec(["cat", "/s"]).user("worker").output().unwrap().status.success());
    assert!(container.exec(["cat", "/s"]).user("2000").output().unwrap().status.success());
    let error = asked.group_add("nobody-knows").output(&engine).unwrap_err();
    assert!(error.to_string().contains("has no such group"), "{error}");
}

#[test]
fn shared_memory_names_and_masks_are_as_asked_for() {
    let engine = engine();
    let image = image(&engine);
    let done = |definition: Definition| text(definition.output(&engine).unwrap());
    let shell = |script: &str| Container::of(&image).cmd(["sh", "-c", script]);
    assert_eq!(done(shell("stat -f -c '%b %S' /dev/shm").shm_size(ByteSize::mib(1))), "256 4096\n");
    assert_eq!(done(shell("cat /proc/sys/kernel/domainname").domainname("example.org")), "example.org\n");
    let hosts = done(
        shell("cat /etc/hosts /etc/resolv.conf")
            .add_host("db", [10, 0, 0, 2])
            .dns([9, 9, 9, 9])
            .dns_search("example.org")
            .dns_option("ndots:2"),
    );
    assert!(hosts.contains("10.0.0.2\tdb\n"), "{hosts}");
    assert!(hosts.ends_with("nameserver 9.9.9.9\nsearch example.org\noptions ndots:2\n"), "{hosts}");
    let shown = "cat /proc/cpuinfo | head -c 1; ls /proc/fs; echo x >/proc/sys/kernel/domainname && echo written";
    let hidden = shell(shown).masked_paths(["/proc/cpuinfo", "/proc/fs", "/no/such"]).output(&engine).unwrap();
    assert_eq!(hidden.stdout, b"", "{hidden:?}");
    assert!(String::from_utf8_lossy(&hidden.stderr).contains("Read-only file system"), "{hidden:?}");
    let written = shell("echo x >/proc/sys/kernel/domainname").unmasked().output(&engine).unwrap();
    // The file is the real root's: to another user the kernel says so, and no longer that it is read-only.
    let refused = String::from_utf8_lossy(&written.stderr);
    assert!(if support::is_root() { refused.is_empty() } else { refused.contains("Permission denied") }, "{refused}");
    let error = shell("true").masked_paths(["/proc/../etc"]).create(&engine).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}
