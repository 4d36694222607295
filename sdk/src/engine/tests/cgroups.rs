//! Limits, statistics, pausing: what a container's cgroup does, and that it goes.
//!
//! As an ordinary user they run below a cgroup that was handed to the user, if there is one, and else they see to it that
//! what cannot be is refused with a reason.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio as HostStdio};
use std::time::{Duration, Instant};

use super::support::{engine, image, is_root, leftovers, require_containers};
use crate::container::{Definition, Signal, State};
use crate::data_root::journal;
use crate::{ByteSize, Container, ContainerId, Engine, ErrorKind, Mount};

/// Every directory on this host that is the cgroup of a container.
fn cgroups_of(id: &ContainerId) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mounts = table.lines().filter(|line| line.contains(" - cgroup")).filter_map(|line| line.split(' ').nth(4));
    let mut found = Vec::new();
    let mut pending: Vec<PathBuf> = mounts.map(PathBuf::from).collect();
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_name().to_str() == Some(id.as_str()) {
                found.push(entry.path());
            } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                pending.push(entry.path());
            }
        }
    }
    found
}

/// Whether limits can be had here; a test that needs them ends after it has seen that they are refused.
fn has_cgroups(engine: &Engine) -> bool {
    let Err(error) = Container::of("busybox").cmd(["true"]).pids_limit(100).output(engine) else { return true };
    assert!(!is_root(), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
    assert!(error.to_string().contains("limit processes to 100: this"), "{error:?}");
    assert!(error.hint().is_some_and(|hint| hint.contains("root")), "{error:?}");
    false
}

/// Whether the kernel can choose CPUs: one for a single CPU cannot.
fn has_cpuset(engine: &Engine) -> bool {
    let Err(error) = Container::of("busybox").cmd(["true"]).cpuset("0").output(engine) else { return true };
    assert!(error.to_string().ends_with("choose CPUs 0: this host has no cpuset controller for cgroups"), "{error:?}");
    false
}

/// Prints the files of the container's own cgroup, whichever version has which.
const SHOW: &str = "cd /sys/fs/cgroup; for f in \"$@\"; do for d in . memory cpu pids cpuset; do \
                    if test -e $d/$f; then echo $f $(cat $d/$f); break; fi; done; done";

fn show(definition: Definition, engine: &Engine, files: &[&str]) -> Vec<String> {
    let argv = ["sh", "-c", SHOW, "sh"].into_iter().chain(files.iter().copied());
    let output = definition.cmd(argv).output(engine).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn limits_stand_in_the_cgroup_of_the_container() {
    require_containers!();
    let (engine, image) = engine();
    if !has_cgroups(&engine) {
        return;
    }
    let definition = Container::of(&image).memory("64MiB").memory_swap("64MiB").pids_limit(50);
    let shown = show(definition, &engine, &["memory.max", "memory.limit_in_bytes", "pids.max"]);
    assert_eq!(shown.len(), 2, "{shown:?}");
    assert!(shown[0].ends_with(" 67108864"), "{shown:?}");
    assert_eq!(shown[1], "pids.max 50");
    if !is_root() {
        // A user is seldom handed these.
        return;
    }
    let definition = Container::of(&image).cpus(0.5).cpu_shares(512);
    let files = ["cpu.cfs_quota_us", "cpu.shares", "cpu.max", "cpu.weight", "pids.max"];
    let shown = show(definition, &engine, &files);
    let v1 = ["cpu.cfs_quota_us 50000", "cpu.shares 512", "pids.max 2048"];
    let v2 = ["cpu.max 50000 100000", "cpu.weight 20", "pids.max 2048"];
    assert!(shown == v1 || shown == v2, "{shown:?}");
    if has_cpuset(&engine) {
        assert_eq!(show(Container::of(&image).cpuset("0"), &engine, &["cpuset.cpus"]), ["cpuset.cpus 0"]);
    }
}

#[test]
fn the_cgroup_that_a_container_sees_is_its_own_and_refuses_writes() {
    require_containers!();
    let (engine, image) = engine();
    let script = "mkdir /sys/fs/cgroup/x || echo no; for f in /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/*/cgroup.procs; \
                  do test ! -e $f || echo 1 > $f || echo no; done; cat /proc/self/cgroup";
    for definition in [Container::of(&image), Container::of(&image).network(crate::container::NetworkMode::Host)] {
        let output = definition.cmd(["sh", "-c", script]).output(&engine).unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.starts_with("no\n"), "{text}");
        assert!(
            text.lines().filter(|line| *line != "no").all(|line| line.ends_with(":/") || line.contains(":/..")),
            "{text}"
        );
    }
    if has_cgroups(&engine) {
        let definition = Container::of(&image).pids_limit(10);
        let output = definition.cmd(["sh", "-c", script]).output(&engine).unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (refused, cgroups): (Vec<_>, Vec<_>) = text.lines().partition(|line| *line == "no");
        assert!(refused.len() >= 2, "{text}");
        assert!(cgroups.iter().all(|line| line.ends_with(":/")), "{text}");
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(errors.matches("Read-only file system").count(), refused.len(), "{errors}");
    }
}

#[test]
fn a_process_that_needs_too_much_memory_is_killed_and_it_is_said() {
    require_containers!();
    let (engine, image) = engine();
    if !has_cgroups(&engine) {
        return;
    }
    let limited = || Container::of(&image).memory("16MiB").memory_swap("16MiB");
    let hog = ["dd", "if=/dev/zero", "of=/dev/null", "bs=128M", "count=1"];
    let mut container = limited().cmd(hog).start(&engine).unwrap();
    let status = container.wait().unwrap();
    assert_eq!((status.code(), status.is_oom_killed()), (137, true));
    container.persist().unwrap();
    let details = serde_json::to_value(container.inspect().unwrap()).unwrap();
    assert_eq!(details["State"]["OOMKilled"], true);
    assert_eq!(details["HostConfig"]["Memory"], 16 << 20);
    // The first process may live on.
    let child = limited().cmd(["sh", "-c", &format!("{}; echo $?", hog.join(" "))]).output(&engine).unwrap();
    assert_eq!((child.status.code(), child.status.is_oom_killed()), (0, true));
    assert_eq!(String::from_utf8_lossy(&child.stdout), "137\n");
    let frugal = limited().cmd(["true"]).output(&engine).unwrap();
    assert!(frugal.status.success() && !frugal.status.is_oom_killed());
    container.remove().unwrap();
}

/// A limit that acted while a child shares the memory of this program would have the kernel kill both.
#[test]
fn a_host_program_outlives_containers_with_hardly_any_memory() {
    require_containers!();
    let (engine, image) = engine();
    if !has_cgroups(&engine) {
        return;
    }
    // More than the limit, and touched.
    let ours = vec![1_u8; 64 << 20];
    for _ in 0..20 {
        let container = Container::of(&image).memory("6MiB").cmd(["sleep", "1000"]).start(&engine).unwrap();
        let hog = container.exec(["dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"]).output().unwrap();
        assert_eq!(hog.status.code(), 137, "{}", String::from_utf8_lossy(&hog.stderr));
        assert_eq!(container.state().unwrap(), State::Running);
    }
    assert!(ours.iter().all(|byte| *byte == 1));
}

#[test]
fn i12_r40_a_fork_bomb_ends_at_its_limit_and_the_host_goes_on() {
    require_containers!();
    let (engine, image) = engine();
    if !has_cgroups(&engine) {
        return;
    }
    let script = "i=0; while test $i -lt 40; do sleep 1000 & i=$((i+1)); done; echo all";
    let output = Container::of(&image).pids_limit(20).cmd(["sh", "-c", script]).output(&engine).unwrap();
    assert!(!String::from_utf8_lossy(&output.stdout).contains("all"), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("can't fork"), "{output:?}");

    // The first shell makes one child and becomes another program: it does not end when it may not fork any more.
    let bomb = "bomb() { bomb & bomb & }; bomb & exec sleep 1000";
    let container = Container::of(&image).pids_limit(30).cmd(["sh", "-c", bomb]).start(&engine).unwrap();
    assert!(Container::of(&image).cmd(["true"]).output(&engine).unwrap().status.success());
    let limit = container.stats().map(|stats| stats.pids);
    assert!(limit.is_ok_and(|pids| pids.limit == Some(30) && pids.current <= 30));
    let begun = Instant::now();
    let id = container.id().clone();
    drop(container);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(cgroups_of(&id), Vec::<PathBuf>::new());
}

#[test]
fn the_cgroup_goes_with_its_container() {
    require_containers!();
    let (engine, image) = engine();
    if !has_cgroups(&engine) {
        return;
    }
    let sleeper = || Container::of(&image).pids_limit(10).cmd(["sleep", "1000"]);
    let container = sleeper().start(&engine).unwrap();
    let id = container.id().clone();
    assert_ne!(cgroups_of(&id), Vec::<PathBuf>::new());
    drop(container);
    assert_eq!(cgroups_of(&id), Vec::<PathBuf>::new());

    let kept = std::sync::Mutex::new(None);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let container = sleeper().start(&engine).unwrap();
        *kept.lock().unwrap() = Some(container.id().clone());
        std::panic::resume_unwind(Box::new("on purpose"));
    }));
    assert!(panicked.is_err());
    assert_eq!(cgroups_of(&kept.into_inner().unwrap().unwrap()), Vec::<PathBuf>::new());

    // One that cannot start has none, and one that starts again has one again.
    let failed = Container::of(&image).pids_limit(10).cmd(["nothing"]).create(&engine).unwrap();
    assert_eq!(failed.start().unwrap_err().exit_code(), Some(127));
    assert_eq!(cgroups_of(failed.id()), Vec::<PathBuf>::new());
    let again = Container::of(&image).pids_limit(10).cmd(["true"]).create(&engine).unwrap();
    for _ in 0..2 {
        again.start().unwrap();
        assert!(again.wait().unwrap().success());
        assert_eq!(cgroups_of(again.id()), Vec::<PathBuf>::new());
    }
}

/// Not a test of its own: the program that the next test kills.
#[test]
fn victim() {
    let Some(root) = std::env::var_os("PLYWOOD_TEST_CGROUP_VICTIM") else { return };
    let engine = Engine::open(root).unwrap();
    let sleeper = |name| Container::of("busybox").name(name).pids_limit(10).cmd(["sleep", "1000"]);
    let _guard = sleeper("guard").start(&engine).unwrap();
    let mut stays = sleeper("stays").start(&engine).unwrap();
    stays.persist().unwrap();
    stays.pause().unwrap();
    std::io::Write::write_all(&mut std::io::stderr(), b"ready\n").unwrap();
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn cgroups_of_a_killed_program_go_when_the_store_is_opened_next() {
    require_containers!();
    let (engine, _) = engine();
    image(&engine, "busybox", serde_json::json!({ "Cmd": ["sh"] }));
    if !has_cgroups(&engine) {
        return;
    }
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["engine::tests::cgroups::victim", "--exact", "--nocapture"])
        .env("PLYWOOD_TEST_CGROUP_VICTIM", engine.path())
        .stdout(HostStdio::null())
        .stderr(HostStdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(victim.stderr.take().unwrap()));
    assert!(lines.map_while(Result::ok).any(|line| line.ends_with("ready")));
    let ids = ["guard", "stays"].map(|name| engine.container(name).unwrap().id().clone());
    assert!(ids.iter().all(|id| !cgroups_of(id).is_empty()));
    assert_eq!(engine.container("stays").unwrap().state().unwrap(), State::Paused);
    victim.kill().unwrap();
    victim.wait().unwrap();
    let other = Engine::open(engine.path()).unwrap();
    // The reaper of the killed program may be at it still.
    let deadline = Instant::now() + Duration::from_secs(10);
    while ids.iter().any(|id| !cgroups_of(id).is_empty()) {
        assert!(Instant::now() < deadline, "{:?}", ids.each_ref().map(cgroups_of));
        std::thread::sleep(Duration::from_millis(10));
    }
    let stays = other.container("stays").unwrap();
    assert_eq!(stays.state().unwrap(), State::Exited);
    stays.remove().unwrap();
    // The last thing that the reaper removes is its word that it is at it.
    let [guard, _] = ids.each_ref().map(journal::owner);
    if let Ok(entry) = fs::File::open(engine.store().root().own_dir().join("in-flight").join(guard)) {
        entry.lock().unwrap();
    }
    assert_eq!(leftovers(&engine), Vec::<String>::new());
}

/// A container that ends with 7 when it is asked to: not before it goes on.
fn trap(image: &crate::Image) -> Definition {
    Container::of(image).cmd(["sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done"])
}

fn started(definition: &Definition, engine: &Engine) -> Container {
    let container = definition.start(engine).unwrap();
    assert_eq!(container.logs().follow().read().unwrap().next().unwrap().text, "ready");
    container
}

/// Whether containers without limits can be paused here; if not, that it is refused.
fn can_pause(container: &Container) -> bool {
    let Err(error) = container.pause() else { return true };
    assert!(!is_root(), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("pause the container: this"), "{error:?}");
    assert_eq!(container.state().unwrap(), State::Running);
    false
}

#[test]
fn a_paused_container_does_nothing_until_it_is_resumed() {
    require_containers!();
    let (engine, image) = engine();
    let container = started(&trap(&image), &engine);
    if !can_pause(&container) {
        return;
    }
    assert_eq!(container.state().unwrap(), State::Paused);
    assert_eq!(container.inspect().unwrap().state(), State::Paused);
    container.pause().unwrap();
    container.kill(Signal::TERM).unwrap();
    assert_eq!(container.wait_timeout(Duration::from_millis(100)).unwrap(), None);
    let error = container.exec(["true"]).output().unwrap_err();
    assert!(error.to_string().ends_with("it is paused"), "{error}");
    container.resume().unwrap();
    assert_eq!(container.wait().unwrap().code(), 7);
    let events = engine.events().since(crate::Timestamp::UNIX_EPOCH).until(crate::Timestamp::now()).read().unwrap();
    let told = events.map(|event| event.action.to_string()).filter(|action| action.ends_with("pause"));
    assert_eq!(told.collect::<Vec<_>>(), ["pause", "unpause"]);
    assert_eq!(container.pause().unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(cgroups_of(container.id()), Vec::<PathBuf>::new());
}

#[test]
fn a_paused_container_can_be_killed_stopped_and_dropped() {
    require_containers!();
    let (engine, image) = engine();
    let container = started(&trap(&image), &engine);
    if !can_pause(&container) {
        return;
    }
    assert_eq!(container.stop(Duration::from_secs(10)).unwrap().code(), 7);
    let container = started(&trap(&image), &engine);
    container.pause().unwrap();
    container.kill(Signal::KILL).unwrap();
    assert_eq!(container.wait().unwrap().code(), 137);
    let container = started(&trap(&image).pids_limit(50), &engine);
    container.pause().unwrap();
    let id = container.id().clone();
    drop(container);
    assert_eq!(cgroups_of(&id), Vec::<PathBuf>::new());
}

#[test]
fn another_program_pauses_and_resumes_a_container() {
    require_containers!();
    let (engine, image) = engine();
    let container = started(&trap(&image).name("web"), &engine);
    let other = Engine::open(engine.path()).unwrap();
    let seen = other.container("web").unwrap();
    if !can_pause(&seen) {
        return;
    }
    assert_eq!((container.state().unwrap(), seen.state().unwrap()), (State::Paused, State::Paused));
    container.kill(Signal::TERM).unwrap();
    seen.resume().unwrap();
    assert_eq!(container.wait().unwrap().code(), 7);
    assert_eq!(cgroups_of(container.id()), Vec::<PathBuf>::new());
}

#[test]
fn all_processes_of_a_container_are_paused() {
    require_containers!();
    let (engine, image) = engine();
    // Grandchildren without a parent, and one that came later by exec.
    let script = "for i in 1 2 3; do (sh -c 'while :; do sleep 0.01; done' &); done; echo ready; exec sleep 1000";
    let container = started(&Container::of(&image).cmd(["sh", "-c", script]), &engine);
    let more = container.exec(["sh", "-c", "(sh -c 'while :; do sleep 0.01; done' &)"]).output().unwrap();
    assert!(more.status.success());
    if !can_pause(&container) {
        return;
    }
    let pid = container.inspect().unwrap().pid().unwrap();
    let namespace = fs::read_link(format!("/proc/{pid}/ns/pid")).unwrap();
    let directories = cgroups_of(container.id());
    let paused: Vec<String> =
        fs::read_to_string(directories[0].join("cgroup.procs")).unwrap().lines().map(str::to_owned).collect();
    let mut inside = 0;
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        // One that has ended, and whose parent stands still, is in no cgroup of version 1 any more.
        let has_ended = fs::read_to_string(entry.path().join("stat")).is_ok_and(|stat| stat.contains(") Z "));
        if !has_ended && fs::read_link(entry.path().join("ns/pid")).is_ok_and(|link| link == namespace) {
            assert!(paused.contains(&entry.file_name().into_string().unwrap()), "{entry:?}");
            inside += 1;
        }
    }
    assert!(inside >= 5, "{inside}");
}

#[test]
fn a_further_process_is_in_the_cgroup_of_its_container() {
    require_containers!();
    let (engine, image) = engine();
    if !has_cgroups(&engine) {
        return;
    }
    // A limit of memory is joined another way: not while the process shares the memory of this program.
    for definition in [Container::of(&image).pids_limit(50), Container::of(&image).memory("32MiB")] {
        let container = definition.cmd(["sleep", "1000"]).start(&engine).unwrap();
        let seen = Engine::open(engine.path()).unwrap().container(container.name()).unwrap();
        for container in [&container, &seen] {
            let output = container.exec(["cat", "/proc/self/cgroup"]).output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(text.lines().count() > 0 && text.lines().all(|line| line.ends_with(":/")), "{text}");
        }
        let error = container.exec(["nothing"]).output().unwrap_err();
        assert_eq!(error.exit_code(), Some(127), "{error:?}");
        let output = container.exec(["sh", "-c", "id -u; pwd; ls -l /proc/self/fd | wc -l; exit 3"]).workdir("/tmp");
        let output = if is_root() { output.user("1000") } else { output }.output().unwrap();
        let user = if is_root() { "1000" } else { "0" };
        assert_eq!(
            (output.status.code(), String::from_utf8(output.stdout).unwrap()),
            (3, format!("{user}\n/tmp\n5\n"))
        );
    }
}

#[test]
fn statistics_say_what_a_container_uses() {
    require_containers!();
    let (engine, image) = engine();
    let script = "i=0; while test $i -lt 100000; do i=$((i+1)); done; sleep 1000 & echo ready; exec sleep 1000";
    let plain = Container::of(&image).init(false).cmd(["sh", "-c", script]);
    let container = started(&plain, &engine);
    let stats = container.stats().unwrap();
    assert_eq!((stats.pids.current, stats.network.len()), (2, 0));
    assert!(
        stats.cpu.total > Duration::ZERO
            && stats.cpu.total <= stats.cpu.user + stats.cpu.system + Duration::from_millis(20)
    );
    if !has_cgroups(&engine) {
        assert_eq!((stats.memory, stats.io, stats.pids.limit), (None, None, None));
        let error = plain.statistics().start(&engine).unwrap_err();
        assert!(error.to_string().contains("keep statistics: this"), "{error}");
        return;
    }
    let container = started(&plain.statistics().memory("100MiB"), &engine);
    let stats = Engine::open(engine.path()).unwrap().container(container.name()).unwrap().stats().unwrap();
    let memory = stats.memory.unwrap();
    assert_eq!((memory.limit, stats.pids.current, stats.pids.limit), (Some(ByteSize::mib(100)), 2, Some(2048)));
    assert!(memory.current > ByteSize::bytes(0) && memory.used() <= memory.current);
    assert!(memory.peak.is_none_or(|peak| peak >= ByteSize::kib(64)), "{memory:?}");
    assert!(stats.cpu.total > Duration::ZERO);
    container.kill(Signal::KILL).unwrap();
    let _ = container.wait().unwrap();
    assert_eq!(container.stats().unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn only_harmless_devices_can_be_opened_in_a_cgroup() {
    require_containers!();
    let (engine, image) = engine();
    if !is_root() {
        return;
    }
    let open = |container: &Container, device: &str| {
        let script = format!("for d in $DIRS; do echo $$ > $d/cgroup.procs; done; exec 3<{device}");
        let directories: Vec<_> = cgroups_of(container.id()).into_iter().map(|it| it.into_os_string()).collect();
        let directories = directories.join(std::ffi::OsStr::new(" "));
        Command::new("/bin/sh").args(["-c", &script]).env("DIRS", directories).output().unwrap()
    };
    let sleeper = || Container::of(&image).pids_limit(10).cmd(["sleep", "1000"]);
    let container = sleeper().start(&engine).unwrap();
    for device in ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"] {
        assert!(open(&container, device).status.success(), "{device}");
    }
    let refused = open(&container, "/dev/kmsg");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("Operation not permitted"), "{refused:?}");
    let with_device = sleeper().mount(Mount::bind("/dev/kmsg", "/dev/kmsg")).start(&engine).unwrap();
    assert!(open(&with_device, "/dev/kmsg").status.success());
    let privileged = sleeper().privileged().start(&engine).unwrap();
    assert!(open(&privileged, "/dev/kmsg").status.success());
}

#[test]
fn impossible_limits_are_refused_with_a_reason() {
    require_containers!();
    let (engine, image) = engine();
    let error = Container::of(&image).memory("1MiB").create(&engine).unwrap_err();
    assert!(error.to_string().ends_with("limit memory to 1MiB: the least is 6MiB"), "{error}");
    let error = Container::of(&image).memory("lots").create(&engine).unwrap_err();
    assert!(error.to_string().contains("invalid size \"lots\""), "{error}");
    if !is_root() {
        return;
    }
    if has_cpuset(&engine) {
        let error = Container::of(&image).cpuset("1000").cmd(["true"]).output(&engine).unwrap_err();
        assert!(error.to_string().contains("choose CPUs 1000: "), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.starts_with("the host has CPUs 0")), "{error:?}");
    }
    let error = Container::of(&image).device_read_bps("/dev/null", "1m").cmd(["true"]).output(&engine).unwrap_err();
    assert!(error.to_string().ends_with("limit the use of \"/dev/null\": it is no block device"), "{error}");
}
