//! What a host can lack or do to a program that has containers: room, time, file systems, privileges.

#![allow(unsafe_code, clippy::unwrap_used)]

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use plywood::container::{Signal, State};
use plywood::image::{HealthCheck, ImportOptions, Limits, Source};
use plywood::prune::Options;
use plywood::{ByteSize, Durability, Engine, EngineOptions, ErrorKind, StorageDriver};
use support::left::assert_sound;
use support::victim;
use support::{LoopDisk, Tarball, Tmpfs, image, require_root, run, sh};

/// A tar of so many files of so many bytes, made while it is read.
struct Endless {
    files: usize,
    size: usize,
    ready: Vec<u8>,
    at: usize,
}

impl Endless {
    fn of(files: usize, size: usize) -> Self {
        Self { files, size, ready: Vec::new(), at: 0 }
    }
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.at == self.ready.len() && self.files > 0 {
            self.files -= 1;
            let end = if self.files == 0 { 0 } else { 1024 };
            self.ready = Tarball::new().file(&format!("file-{}", self.files), vec![b'x'; self.size]).bytes();
            self.ready.truncate(self.ready.len() - end);
            self.at = 0;
        }
        let length = buffer.len().min(self.ready.len() - self.at);
        buffer[..length].copy_from_slice(&self.ready[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

#[test]
fn c03_a_disk_without_room_or_inodes_gives_back_what_an_import_took() {
    require_root!();
    support::require_program!("mkfs.ext4");
    let (memory, disk, inodes) = (Tmpfs::new(64), LoopDisk::ext4(64), LoopDisk::ext4_with(64, &["-N", "512"]));
    for (path, files, size) in
        [(memory.path(), 200, 1 << 20), (&disk.path(), 200, 1 << 20), (&inodes.path(), 2000, 1 << 10)]
    {
        let engine = Engine::open_with(path.join("root"), Durability::Full).unwrap();
        let image = image(&engine);
        // What the first of everything takes, has been taken.
        assert_eq!(run(&engine, &image, "echo runs"), "runs\n");
        let free = || {
            let now = rustix::fs::statvfs(path).unwrap();
            (now.f_bfree, now.f_ffree)
        };
        let before = free();
        for reserve in [ByteSize::mib(4), ByteSize::bytes(0)] {
            let options = ImportOptions::new().reference("large:1").limits(Limits::default().free_space(reserve));
            let source = Source::reader(Endless::of(files, size));
            let error = engine.import_with(source, &options).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{path:?}: {error:?}");
            assert_eq!(engine.image("large:1").unwrap_err().kind(), ErrorKind::NotFound);
            let now = free();
            assert!(now.0.abs_diff(before.0) <= before.0 / 100, "{path:?}: {now:?} blocks and inodes of {before:?}");
            assert!(now.1.abs_diff(before.1) <= 4.max(before.1 / 100), "{path:?}: {now:?} of {before:?}");
        }
        assert_eq!(run(&engine, &image, "echo still runs"), "still runs\n");
        assert_sound(&engine, "without room");
    }
}

/// A clock of the wall that a test sets, for a program of its own: `clock_gettime` of the C library adds what a file says.
const CLOCK: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static volatile long *offset;
__attribute__((constructor)) static void begin(void) {
    int file = open(getenv("PLYWOOD_TEST_CLOCK"), O_RDONLY);
    offset = mmap(0, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
    close(file);
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && clock == CLOCK_REALTIME && offset != MAP_FAILED) now->tv_sec += *offset;
    return result;
}
"#;

const DAY: i64 = 24 * 60 * 60;

/// How long anything may take that a clock of the wall would make last for days.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn c15_a_clock_that_jumps_ends_no_wait_and_deletes_nothing_in_use() {
    const NAME: &str = "c15_a_clock_that_jumps_ends_no_wait_and_deletes_nothing_in_use";
    if let Some(directory) = victim::directory() {
        return while_the_clock_jumps(&directory);
    }
    support::require_program!("cc");
    let directory = victim::Directory::new();
    let (source, library, clock) =
        (directory.path().join("clock.c"), directory.path().join("clock.so"), directory.path().join("clock"));
    fs::write(&source, CLOCK).unwrap();
    fs::write(&clock, 0_i64.to_ne_bytes()).unwrap();
    let done = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.env("LD_PRELOAD", library).env("PLYWOOD_TEST_CLOCK", clock);
    victim::alone_by(program, NAME, &directory);
}

fn while_the_clock_jumps(directory: &Path) {
    let step = |seconds: i64| {
        let file = fs::File::options().write(true).open(directory.join("clock")).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &seconds.to_ne_bytes(), 0).unwrap();
    };
    let before = SystemTime::now();
    step(100 * DAY);
    assert!(SystemTime::now().duration_since(before).unwrap() > Duration::from_secs(99 * 86400), "it does not jump");
    step(0);

    let engine = Engine::open_with(directory.join("root"), Durability::Fast).unwrap();
    let image = image(&engine);
    for jump in [-DAY, 3650 * DAY] {
        let began = Instant::now();
        let check = HealthCheck::cmd(["ls", "/tmp/well"]).interval(Duration::from_millis(5)).retries(1_000_000);
        let script = "trap '' TERM; mkdir -p /tmp; echo ready; while :; do sleep 60; done";
        let volume = engine.volume("used").unwrap();
        let container = sh(&image, script).health(check).mount(volume.at("/v")).start(&engine).unwrap();
        let mut lines = container.logs().follow().read().unwrap();
        assert_eq!(lines.next().unwrap().text, "ready");
        step(jump);
        assert!(container.exec(["touch", "/tmp/well"]).status().unwrap().success());
        container.wait_healthy(PATIENCE).unwrap();
        assert_eq!(container.wait_timeout(Duration::from_millis(20)).unwrap(), None);
        assert_eq!(sh(&image, "exit 5").status(&engine).unwrap().code(), 5);
        // Nothing that is in use goes, however old it looks; what was made a moment ago is not a day old.
        let report = engine.prune_with(&Options::new().older_than(Duration::from_secs(86400))).unwrap();
        assert!(report.objects().iter().all(|object| object.name() != "used"), "{report:?}");
        assert_eq!(container.state().unwrap(), State::Running);
        assert_eq!((engine.images().unwrap().len(), engine.volumes().unwrap().len()), (1, 1));
        step(0);
        container.kill(Signal::USR2).unwrap();
        drop(lines);
        let ended = container.wait_timeout(PATIENCE).unwrap().unwrap();
        assert_eq!(ended.signal(), Some(libc::SIGUSR2));
        container.remove().unwrap();
        // Started in one year and ended in another.
        step(jump);
        let container = sh(&image, script).start(&engine).unwrap();
        assert_eq!(container.logs().follow().read().unwrap().next().unwrap().text, "ready");
        step(0);
        assert_eq!(container.stop(Duration::from_millis(50)).unwrap().code(), 137);
        let details = container.inspect().unwrap();
        assert!(details.started_at().is_some() && details.finished_at().is_some());
        container.remove().unwrap();
        assert!(began.elapsed() < 4 * PATIENCE);
        assert_sound(&engine, "after a jump");
    }
}

#[test]
fn c17_a_data_root_on_any_file_system_works_or_says_why_not() {
    require_root!();
    support::require_program!("mkfs.ext4");
    let memory = Tmpfs::new(64);
    let tried = |path: &Path| -> Result<String, plywood::Error> {
        let engine = Engine::open_with(path.join("root"), Durability::Fast)?;
        let image = engine.build(&support::base())?;
        let output = sh(&image, "echo runs; echo x >/x; rm /x").output(&engine)?;
        assert_sound(&engine, "here");
        Ok(String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(tried(memory.path()).unwrap(), "runs\n");

    let disk = LoopDisk::ext4(64);
    disk.remount("noexec");
    match tried(&disk.path()) {
        Ok(said) => assert_eq!(said, "runs\n"),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");
            assert!(format!("{error:?}").contains("noexec"), "{error:?}");
        }
    }
    disk.remount("exec");
    assert_eq!(tried(&disk.path()).unwrap(), "runs\n");
    // A store that can only be read, and a place where none can be made.
    disk.remount("ro");
    for place in [disk.path().join("root"), disk.path().join("new")] {
        let error = Engine::open(&place).unwrap_err();
        let text = format!("{error:?}");
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{text}");
        assert!(text.to_lowercase().contains("read-only") && text.contains(disk.path().to_str().unwrap()), "{text}");
        let report = plywood::doctor::doctor_at(&place);
        assert!(!report.can_run(), "{report}");
    }

    // As in a container of Docker's: overlay does not stack on itself, so layers are copied.
    let overlay = Overlay::on(&memory);
    assert_eq!(tried(overlay.0.path()).unwrap(), "runs\n");
    let report = plywood::doctor::doctor_at(overlay.0.path());
    assert!(report.can_run() && report.to_string().contains("overlay cannot write to overlay"), "{report}");
    let (root, fresh) = (overlay.0.path().join("root"), overlay.0.path().join("fresh"));
    assert_eq!(Engine::open(&root).unwrap().driver().driver(), StorageDriver::Vfs);
    let choice = Engine::open(&fresh).unwrap().driver().to_string();
    assert!(choice.contains("not overlay2: overlay cannot write to overlay"), "{choice}");
    let options = EngineOptions::new().driver(StorageDriver::Overlay2);
    let refused = Engine::open_with(overlay.0.path().join("other"), options).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert!(refused.hint().is_some_and(|hint| hint.contains("ext4, xfs or btrfs")), "{refused:?}");
}

/// An overlay, as the root of a container of Docker's is one; unmounted when dropped.
struct Overlay(tempfile::TempDir);

impl Overlay {
    fn on(memory: &Tmpfs) -> Self {
        let at = |name: &str| {
            let path = memory.path().join(name);
            fs::create_dir(&path).unwrap();
            path.display().to_string()
        };
        let options = format!("lowerdir={},upperdir={},workdir={}", at("lower"), at("upper"), at("work"));
        let mounted = Self(tempfile::tempdir().unwrap());
        let mut mount = Command::new("mount");
        mount.args(["-t", "overlay", "overlay", "-o", &options]).arg(mounted.0.path());
        let done = mount.output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        mounted
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(self.0.path(), rustix::mount::UnmountFlags::DETACH);
    }
}

/// Capabilities that root may lack, in the words of `setpriv`.
#[rustfmt::skip]
const LACKS: [&str; 11] = [
    "sys_admin", "net_admin", "sys_chroot", "setuid", "setgid", "chown", "dac_override", "fowner", "mknod", "setpcap",
    "kill",
];

#[test]
fn c18_without_a_capability_a_container_is_whole_or_the_lack_is_named() {
    const NAME: &str = "c18_without_a_capability_a_container_is_whole_or_the_lack_is_named";
    require_root!();
    let Some(directory) = victim::directory() else {
        support::require_program!("setpriv");
        for lack in LACKS {
            let mut program = Command::new("setpriv");
            program.args(["--bounding-set", &format!("-{lack}")]).arg(std::env::current_exe().unwrap());
            program.env("PLYWOOD_TEST_LACKS", lack);
            victim::alone_by(program, NAME, &victim::Directory::new());
        }
        return;
    };
    let capability = format!("CAP_{}", std::env::var("PLYWOOD_TEST_LACKS").unwrap().to_uppercase());
    let report = plywood::doctor::doctor_at(directory.join("new"));
    assert!(report.to_string().contains(&capability), "{capability}: {report}");
    if let Err(error) = whole(&directory) {
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");
        assert!(error.hint().is_some_and(|hint| hint.contains(&capability)), "{error:?}");
        let engine = Engine::open_with(directory.join("root"), Durability::Fast).unwrap();
        assert!(engine.containers().unwrap().is_empty());
    }
}

/// Runs a container, which must have everything that keeps it apart.
fn whole(directory: &Path) -> plywood::Result<()> {
    const NAMESPACES: [&str; 6] = ["cgroup", "ipc", "mnt", "net", "pid", "uts"];
    let engine = Engine::open_with(directory.join("root"), Durability::Fast)?;
    let image = engine.build(&support::base())?;
    let script = "cd /proc/self/ns; stat -c '%N' cgroup ipc mnt net pid uts; cd /; \
                  while read k v; do case $k in CapBnd:|NoNewPrivs:|Seccomp:) echo $k $v;; esac; done </proc/self/status; \
                  cat /proc/sysrq-trigger; echo >/proc/sys/kernel/core_pattern";
    let output = sh(&image, script).output(&engine)?;
    let said = String::from_utf8(output.stdout).unwrap();
    for name in NAMESPACES {
        let host = fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        assert!(said.contains(&format!("'{name}'")) && !said.contains(host.to_str().unwrap()), "{name}: {said}");
    }
    let bounding = said.lines().find_map(|line| line.strip_prefix("CapBnd: ")).unwrap();
    assert_eq!(u64::from_str_radix(bounding, 16).unwrap() & !0x8004_05fb, 0, "{said}");
    assert!(said.contains("NoNewPrivs: 1\nSeccomp: 2\n"), "{said}");
    assert!(!output.status.success(), "it may write to the host's settings");
    assert_sound(&engine, "with less");
    Ok(())
}

#[test]
fn c18_a_filter_on_mounts_is_told_by_the_start_and_by_the_doctor() {
    let Some(directory) = victim::directory() else {
        return victim::alone("c18_a_filter_on_mounts_is_told_by_the_start_and_by_the_doctor");
    };
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
    let engine = Engine::open_with(directory.join("root"), Durability::Fast).unwrap();
    let image = image(&engine);
    let mounts = [
        libc::SYS_mount,
        libc::SYS_fsopen,
        libc::SYS_fsmount,
        libc::SYS_move_mount,
        libc::SYS_open_tree,
        libc::SYS_mount_setattr,
    ];
    let rules = mounts.map(|number| (number, Vec::new())).into();
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let refuse = SeccompAction::Errno(libc::EPERM as u32);
    let filter: BpfProgram = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch).unwrap().try_into().unwrap();
    seccompiler::apply_filter_all_threads(&filter).unwrap();
    let error = sh(&image, "echo runs").output(&engine).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:?}");
    assert!(error.to_string().contains("start container"), "{error:?}");
    assert!(engine.containers().unwrap().is_empty());
    let report = plywood::doctor::doctor_at(directory.join("new"));
    assert!(!report.can_run(), "{report}");
    assert_sound(&engine, "without mounts");
}
