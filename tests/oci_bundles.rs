//! What the OCI runtime makes of a bundle: each property does what it says, or is refused by name.

#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use support::bundle::{Bundle, runtime};
use support::{require_program, require_root};

macro_rules! bundle {
    () => {{
        require_root!();
        require_program!("busybox");
        Bundle::new()
    }};
}

/// What runs for a while.
const SLEEP: &str = "exec sleep 1000";

#[test]
fn each_bad_bundle_is_refused_by_what_is_wrong_with_it() {
    let mut bundle = bundle!();
    let good = bundle.config.clone();
    let mount = |options: Value| json!([{ "destination": "/x", "type": "bind", "source": "/tmp", "options": options }]);
    for (pointer, value, message) in [
        ("/process/args", json!([]), "process.args is missing"),
        ("/process/args", json!("sh"), "config.json: invalid type: string"),
        ("/process", json!(null), "process is missing"),
        ("/root", json!(null), "root is missing"),
        ("/root/path", json!("nowhere"), "use the root file system"),
        ("/ociVersion", json!("2.0.0"), r#"ociVersion is "2.0.0""#),
        ("/process/cwd", json!("x"), r#"process.cwd is "x": it must be an absolute path"#),
        ("/process/apparmorProfile", json!("web"), "process.apparmorProfile (web), which plywood does not have"),
        ("/process/rlimits", json!([{ "type": "RLIMIT_X", "soft": 1, "hard": 1 }]), r#""RLIMIT_X": there is no such"#),
        ("/process/scheduler", json!({ "policy": "SCHED_X" }), r#"process.scheduler.policy is "SCHED_X""#),
        ("/mounts", mount(json!(["bind", "frobnicate"])), r#"mount on "/x": unknown option "frobnicate""#),
        (
            "/mounts",
            json!([{ "destination": "/x", "type": "bind", "source": "/nowhere" }]),
            r#"mount "/nowhere" on "/x""#,
        ),
        ("/mounts", json!([{ "destination": "/x", "type": "nofs" }]), "mount a nofs"),
        ("/mounts", json!([{ "destination": "/x", "type": "tmpfs", "options": ["nope=1"] }]), r#"use the option "1""#),
        ("/mounts", json!([{ "destination": "/", "type": "tmpfs" }]), "the root file system is there already"),
        ("/linux/namespaces", json!([{ "type": "net" }]), r#"linux.namespaces.type is "net""#),
        ("/linux/namespaces", json!([{ "type": "mount" }, { "type": "mount" }]), "it is there twice"),
        (
            "/linux/namespaces",
            json!([{ "type": "mount" }, { "type": "time" }]),
            "a time namespace, which plywood does not",
        ),
        (
            "/linux/namespaces",
            json!([{ "type": "mount" }, { "type": "network", "path": "/x" }]),
            r#"network namespace "/x""#,
        ),
        ("/linux/namespaces", json!([{ "type": "mount" }]), "hostname"),
        ("/linux/sysctl", json!({ "vm.swappiness": "1" }), r#""vm.swappiness": it belongs to no namespace"#),
        ("/linux/rootfsPropagation", json!("up"), r#"linux.rootfsPropagation is "up""#),
        ("/linux/intelRdt", json!({}), "linux.intelRdt, which plywood does not have"),
        ("/linux/seccomp", json!({ "defaultAction": "SCMP_ACT_NOPE" }), r#"unknown action "SCMP_ACT_NOPE""#),
        (
            "/linux/seccomp",
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/x", "syscalls": [] }),
            "a listener (listenerPath), which plywood does not have",
        ),
        ("/linux/devices", json!([{ "type": "x", "path": "/dev/x" }]), r#"linux.devices.type is "x""#),
        ("/linux/resources", json!({ "rdma": { "x": {} } }), "linux.resources.rdma, which plywood does not have"),
        ("/linux/cgroupsPath", json!("../x"), "it must not lead upwards"),
    ] {
        bundle.config = good.clone();
        bundle.set(pointer, value.clone());
        let said = bundle.fails(&["create", "one"]);
        assert!(said.contains(message), "{pointer} {value}: {said}");
        assert!(bundle.fails(&["state", "one"]).contains("does not exist"), "{pointer} {value}");
    }
    assert!(bundle.cgroups_left().is_empty());
    bundle.config = good;
    assert!(bundle.fails(&["--systemd-cgroup", "create", "one"]).contains("cgroups that systemd makes"));
    assert!(bundle.fails(&["create", "a/b"]).contains(r#"use the id "a/b""#));
    fs::create_dir(bundle.path().join("bad")).unwrap();
    fs::write(bundle.path().join("bad/config.json"), "{").unwrap();
    assert!(bundle.fails(&["create", "--bundle", "bad", "one"]).contains("config.json: EOF while parsing"));
    assert!(bundle.fails(&["create", "--bundle", "nowhere", "one"]).contains(r#"use the bundle "nowhere""#));
}

#[test]
fn namespaces_are_joined_by_path() {
    let mut bundle = bundle!();
    bundle.script(SLEEP);
    bundle.ok(&["run", "--detach", "one"]);
    let pid = bundle.state("one")["pid"].as_u64().unwrap();
    let names = [("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("pid", "pid"), ("cgroup", "cgroup")];
    let joined = names.map(|(kind, name)| json!({ "type": kind, "path": format!("/proc/{pid}/ns/{name}") }));
    bundle.set("/linux/namespaces", json!([&joined[..], &[json!({ "type": "mount" })]].concat()));
    bundle.set("/hostname", json!(""));
    let cgroup = bundle.config["linux"]["cgroupsPath"].as_str().unwrap().replace("container", "two");
    bundle.set("/linux/cgroupsPath", json!(cgroup));
    bundle.script(
        "cd /proc/self/ns; for n in net ipc uts cgroup pid; do readlink $n; done; cat /proc/1/cmdline; hostname",
    );
    let seen = bundle.ok(&["run", "two"]);
    let link = |name: &str| fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap().display().to_string();
    let links = ["net", "ipc", "uts", "cgroup", "pid"].map(link).join("\n");
    assert_eq!(seen, format!("{links}\nsleep\x001000\0plywood\n"));
}

#[test]
fn a_user_namespace_maps_ids_and_can_be_joined_as_well() {
    let mut bundle = bundle!();
    bundle.push("/linux/namespaces", json!({ "type": "user" }));
    let mapping = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
    bundle.set("/linux/uidMappings", mapping.clone()).set("/linux/gidMappings", mapping);
    bundle.set("/process/user", json!({ "uid": 7, "gid": 8, "additionalGids": [9] }));
    bundle.script("id -u; id -G; sed 's/ \\+/ /g' /proc/self/uid_map; echo x > /dev/null && echo written");
    assert_eq!(bundle.run(), "7\n8 9\n 0 100000 65536\nwritten\n");
    bundle.script(SLEEP);
    bundle.ok(&["run", "--detach", "one"]);
    let pid = bundle.state("one")["pid"].as_u64().unwrap();
    let uid = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(uid.contains("Uid:\t100007\t100007"), "{uid}");
    assert_eq!(bundle.ok(&["exec", "--user", "0", "one", "id", "-u"]), "0\n");
}

/// The mounts of a container: destination, and the flags of the mount.
fn mounts(bundle: &mut Bundle) -> Vec<(String, String)> {
    bundle.script("cat /proc/self/mountinfo");
    let text = bundle.run();
    text.lines()
        .map(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            (fields[4].to_owned(), format!("{} {}", fields[5], fields[6]))
        })
        .collect()
}

#[test]
fn mounts_have_the_options_that_are_asked_for() {
    let mut bundle = bundle!();
    let source = bundle.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "data").unwrap();
    let bind = |to: &str, options: Value| json!({ "destination": to, "source": source, "options": options });
    for mount in [
        bind("/binds/plain", json!(["bind"])),
        bind("/binds/closed", json!(["rbind", "ro", "nosuid", "nodev", "noexec", "noatime", "private"])),
        bind("/binds/recursive", json!(["rbind", "rro", "rslave"])),
        json!({ "destination": "/one/file", "type": "bind", "source": "source/file", "options": ["ro"] }),
        json!({ "destination": "/memory", "type": "tmpfs", "source": "tmpfs",
            "options": ["ro", "size=64k", "mode=1700", "nosymfollow", "shared"] }),
    ] {
        bundle.push("/mounts", mount);
    }
    let mounts = mounts(&mut bundle);
    let flags = |to: &str| {
        let found = mounts.iter().find(|(destination, _)| destination == to);
        found.unwrap_or_else(|| panic!("{to}: {mounts:?}")).1.clone()
    };
    assert!(flags("/binds/plain").starts_with("rw,"));
    assert!(flags("/binds/closed").starts_with("ro,nosuid,nodev,noexec,noatime"), "{}", flags("/binds/closed"));
    assert!(flags("/binds/recursive").starts_with("ro,"));
    assert!(flags("/one/file").starts_with("ro,"));
    assert!(flags("/memory").starts_with("ro,"), "{}", flags("/memory"));
    assert!(flags("/memory").contains("nosymfollow shared:"), "{}", flags("/memory"));
    assert!(flags("/").starts_with("ro,"));
    assert!(flags("/proc/sys").starts_with("ro,"));
    bundle
        .script("cat /one/file; stat -c %a /memory; ls /sys/firmware | wc -l; wc -c < /proc/timer_list; touch /x 2>&1");
    let output = bundle.call(&["run", "one"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "data1700\n0\n0\ntouch: /x: Read-only file system\n");
}

#[test]
fn ids_of_a_mount_are_mapped() {
    let mut bundle = bundle!();
    let source = bundle.path().join("source");
    fs::create_dir(&source).unwrap();
    let mapping = json!([{ "containerID": 0, "hostID": 5000, "size": 1000 }]);
    bundle.push(
        "/mounts",
        json!({ "destination": "/mapped", "type": "bind", "source": source, "options": ["rbind", "ridmap"],
        "uidMappings": mapping, "gidMappings": mapping }),
    );
    bundle.script("stat -c %u:%g /mapped");
    assert_eq!(bundle.run(), "5000:5000\n");
}

#[test]
fn devices_are_made_with_their_modes_and_owners() {
    let mut bundle = bundle!();
    bundle.set(
        "/linux/devices",
        json!([
            { "type": "c", "path": "/dev/own/zero", "major": 1, "minor": 5, "fileMode": 0o640, "uid": 3, "gid": 4 },
            { "type": "p", "path": "/dev/pipe" },
            { "type": "b", "path": "/dev/disk", "major": 259, "minor": 300 },
        ]),
    );
    bundle.script(
        "stat -c '%a %u:%g %t:%T' /dev/own/zero; stat -c '%F %t:%T' /dev/pipe /dev/disk; ls -l /dev/fd /dev/ptmx | cut -d'>' -f2;
        head() { od -An -N1 -tx1 \"$1\"; }; head /dev/own/zero; head /dev/disk 2>&1 | grep -c 'not permitted'; stat -c %F /dev/full",
    );
    let expected = "640 3:4 1:5\nfifo 0:0\nblock special file 103:12c\n /proc/self/fd\n pts/ptmx\n 00\n1\ncharacter special file\n";
    assert_eq!(bundle.run(), expected);
}

#[test]
fn resources_are_limits_of_its_cgroup() {
    let mut bundle = bundle!();
    bundle.set(
        "/linux/resources",
        json!({ "memory": { "limit": 33_554_432 }, "pids": { "limit": 50 }, "cpu": { "shares": 512, "quota": 20_000 } }),
    );
    bundle.script(
        "cd /sys/fs/cgroup; either() { cat $1 2>/dev/null || cat $2; }
        either memory.max memory/memory.limit_in_bytes; either pids.max pids/pids.max
        either cpu.max cpu/cpu.cfs_quota_us | cut -d' ' -f1; echo 1 > pids.max || echo 1 > pids/pids.max || echo refused",
    );
    let output = bundle.call(&["run", "one"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "33554432\n50\n20000\nrefused\n");
    bundle.set("/linux/resources", json!({ "memory": { "limit": 8_388_608 } }));
    bundle.script("x=x; while :; do x=$x$x; done");
    assert_eq!(bundle.call(&["run", "one"]).status.code(), Some(137));
    assert!(bundle.cgroups_left().is_empty());
}

#[test]
fn system_calls_are_filtered_by_the_profile() {
    let mut bundle = bundle!();
    let profile = json!({ "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28 }] });
    bundle.set("/linux/seccomp", profile).script("mkdir /dev/shm/x 2>&1; grep Seccomp: /proc/self/status");
    for forbid in [true, false] {
        // Without, the filter is loaded while the process may still do so.
        bundle.set("/process/noNewPrivileges", json!(forbid));
        let said = bundle.run();
        assert_eq!(
            said, "mkdir: can't create directory '/dev/shm/x': No space left on device\nSeccomp:\t2\n",
            "{forbid}"
        );
    }
}

#[test]
fn a_profile_of_few_calls_hinders_the_program_only() {
    let mut bundle = bundle!();
    // Neither what the helper needs nor what opens a file: the program exits with its own code all the same.
    let names = [
        "execve",
        "exit_group",
        "exit",
        "brk",
        "arch_prctl",
        "prctl",
        "set_tid_address",
        "getuid",
        "getgid",
        "setuid",
        "setgid",
        "mprotect",
        "readlink",
        "getrandom",
        "rseq",
        "set_robust_list",
        "prlimit64",
        "faccessat",
    ];
    let profile =
        json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{ "names": names, "action": "SCMP_ACT_ALLOW" }] });
    bundle.set("/linux/seccomp", profile).set("/process/args", json!(["/bin/false"]));
    assert_eq!(bundle.call(&["run", "one"]).status.code(), Some(1));
    bundle.set("/process/args", json!(["/bin/true"]));
    assert_eq!(bundle.call(&["run", "one"]).status.code(), Some(0));
}

#[test]
fn descriptors_are_handed_on() {
    let mut bundle = bundle!();
    fs::write(bundle.path().join("file"), "data\n").unwrap();
    bundle.script("cat <&3; cat <&4; ls /proc/self/fd | wc -l; echo $LISTEN_FDS $LISTEN_PID");
    // Writes the configuration.
    drop(bundle.command(&["list"]));
    let call = |variables: &str, preserved: &str| {
        let state = bundle.path().join("state");
        let script = format!(
            "exec 3< file 4< file; {variables} exec {} --root {} run --preserve-fds {preserved} one",
            runtime().display(),
            state.display()
        );
        let output =
            std::process::Command::new("sh").args(["-c", &script]).current_dir(bundle.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    // Three streams, two descriptors, and the directory that is listed.
    assert_eq!(call("", "2"), "data\ndata\n6\n\n");
    assert_eq!(call("LISTEN_FDS=2", "0"), "data\ndata\n6\n2 1\n");
}

/// What a process may do and what it sees, in lines that are the same for all runtimes.
const PROBE: &str = "id; umask; ulimit -n; ulimit -c; grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; pwd; hostname
    cat /proc/self/oom_score_adj /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax; env | sort
    ls -l /dev | grep -vE 'total|core' | sed 's/ .*[0-9] / /' | sort; stat -c '%a %F' /dev/shm /dev/mqueue /dev/pts /tmp
    cut -d' ' -f5 /proc/self/mountinfo | grep -vE '^/sys/fs/cgroup/|^/proc/(interrupts|latency)' | sort
    for p in /proc/sys /proc/irq /sys /dev/shm; do grep \" $p \" /proc/self/mountinfo | cut -d' ' -f6; done
    touch /x /dev/shm/x /proc/sys/kernel/x 2>&1; ls /sys/class/net; cat /sys/class/net/lo/flags; ls /proc/self/fd | wc -l
    for n in pid net ipc uts mnt; do [ $(readlink /proc/self/ns/$n) ] && echo $n; done; cat /proc/self/sessionid >/dev/null";

#[test]
fn other_runtimes_make_the_same_of_a_bundle() {
    let mut bundle = bundle!();
    let sets = json!(["CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    bundle.set("/process/user", json!({ "uid": 5, "gid": 6, "umask": 0o027, "additionalGids": [7, 8] }));
    bundle.set(
        "/process/capabilities",
        json!({ "bounding": ["CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_CHOWN"], "permitted": sets, "effective": sets,
            "inheritable": sets, "ambient": ["CAP_KILL"] }),
    );
    bundle.set(
        "/process/rlimits",
        json!([{ "type": "RLIMIT_NOFILE", "soft": 100, "hard": 200 },
        { "type": "RLIMIT_CORE", "soft": 0, "hard": 0 }]),
    );
    bundle.set("/process/oomScoreAdj", json!(500)).set("/process/cwd", json!("/tmp"));
    bundle.push("/process/env", json!("HOME=/tmp"));
    bundle.set("/linux/sysctl", json!({ "net.ipv4.ip_forward": "1", "kernel.msgmax": "9000" }));
    // Their versions know no newer one.
    bundle.set("/ociVersion", json!("1.0.2"));
    bundle.config["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/sys/fs/cgroup");
    for user in [json!(5), json!(0)] {
        bundle.set("/process/user/uid", user);
        bundle.script(PROBE);
        let ours = bundle.run();
        for other in ["crun", "runc"] {
            require_program!(other);
            // On a host with both versions of cgroups crun works where it sees one of them.
            let script = "umount /sys/fs/cgroup/unified 2>/dev/null; exec \"$@\"";
            let theirs = bundle.command_of(Path::new(other), &["run", "one"]);
            let mut command = std::process::Command::new("unshare");
            command.args(["--mount", "sh", "-c", script, "sh", other]).args(theirs.get_args());
            let output = command.current_dir(bundle.path()).output().unwrap();
            let theirs = String::from_utf8_lossy(&output.stdout);
            assert_eq!(ours, theirs, "{other}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}
