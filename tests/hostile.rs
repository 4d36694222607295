//! What hostile images, and programs in containers, cannot do to the host. The names begin with the cases of the design.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use plywood::container::NetworkMode;
use plywood::{Base, Container, ErrorKind, Layers, Mount};
use support::{engine, image, sh, text, victim};

/// An image with more programs than the usual one.
fn with(programs: &[&'static str]) -> Layers {
    Layers::new().from(Base::host(support::PROGRAMS.iter().chain(programs).copied().collect::<Vec<_>>()))
}

#[test]
fn r1_a_script_of_the_image_never_runs_the_program_that_starts_it() {
    let engine = engine();
    // The interpreter is the file that is being executed: while a process begins, that of whoever starts it. It is to be
    // the sealed helper, which does nothing under a name that it does not know.
    let scripts = "for i in self thread-self; do echo \"#!/proc/$i/exe\" >/$i; chmod 755 /$i; done";
    let image = engine.build(&support::base().run(scripts)).unwrap();
    let container = sh(&image, "sleep 1000").start(&engine).unwrap();
    for script in ["/self", "/thread-self"] {
        let first = Container::of(&image).cmd([script]);
        let alone = first.clone().init(false).output(&engine).unwrap();
        let further = container.exec([script]).output().unwrap();
        for done in [first.output(&engine).unwrap(), alone, further] {
            assert_eq!(done.status.code(), 127, "{script}: {done:?}");
            assert!(done.stdout.is_empty() && done.stderr.is_empty(), "{script}: {done:?}");
        }
    }
    // What a container finds of it, it cannot write to.
    let write = "for i in self 1; do true >>/proc/$i/exe; done; cat /proc/1/exe | head -c 4";
    let done = container.exec(["sh", "-c", write]).output().unwrap();
    let refused = String::from_utf8_lossy(&done.stderr);
    assert!(done.stdout == b"\x7fELF" && refused.matches("cannot create").count() == 2, "{done:?}");
}

#[test]
fn i03_devices_are_the_documented_ones_and_none_can_be_made() {
    let engine = engine();
    let image = engine.build(&with(&["mknod"])).unwrap();
    let listed =
        text(sh(&image, "cd /dev; stat -c '%n %F %a' null zero full random urandom tty").output(&engine).unwrap());
    for line in listed.lines() {
        assert!(line.ends_with("character special file 666"), "{line}");
    }
    let script = "mknod /dev/mem c 1 1; mknod /tmp/kmem c 1 2; mknod /loop b 7 0; mknod /fuse c 10 229; true";
    let done = sh(&image, script).output(&engine).unwrap();
    let refused = String::from_utf8_lossy(&done.stderr).matches("Operation not permitted").count();
    assert_eq!(refused, 4, "{done:?}");
}

/// A process of the host, ended with the test.
struct Bystander(Child);

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn i12_shared_memory_ends_at_64_mib() {
    let engine = engine();
    let script = "dd if=/dev/zero of=/dev/shm/x bs=1048576 count=100; stat -c %s /dev/shm/x";
    let done = sh(&image(&engine), script).output(&engine).unwrap();
    assert_eq!(String::from_utf8_lossy(&done.stdout), "67108864\n");
    assert!(String::from_utf8_lossy(&done.stderr).contains("No space left on device"), "{done:?}");
}

/// Calls by number, with arguments, and what they fail with.
#[cfg(target_arch = "x86_64")]
#[test]
fn r32_r33_raw_sockets_keys_rings_and_programs_for_the_kernel_are_refused() {
    support::require_program!("perl");
    const TABLE: [(&str, &str); 14] = [
        ("add_key", "248"),
        ("request_key", "249"),
        ("keyctl", "250"),
        ("perf_event_open", "298"),
        ("bpf", "321"),
        ("userfaultfd", "323"),
        ("io_uring_setup", "425"),
        ("io_uring_enter", "426"),
        ("io_uring_register", "427"),
        ("socket AF_ALG", "41,38,5,0"),
        ("socket AF_VSOCK", "41,40,1,0"),
        ("socket AF_PACKET", "41,17,3,768"),
        ("socket AF_INET SOCK_RAW", "41,2,3,1"),
        ("socket AF_INET6 SOCK_RAW", "41,10,3,58"),
    ];
    let engine = engine();
    let image = engine.build(&with(&["perl"])).unwrap();
    let script = "for (@ARGV) { my ($call, @given) = map { $_ + 0 } split /,/; \
                  print syscall($call, @given, (0) x (6 - @given)) == -1 ? $! + 0 : 0, qq(\\n) }";
    let call = |calls: &[&str]| {
        let argv = ["perl", "-e", script].into_iter().chain(calls.iter().copied());
        text(Container::of(&image).cmd(argv).output(&engine).unwrap())
    };
    let answers = call(&TABLE.map(|(_, call)| call));
    for ((name, _), answer) in TABLE.iter().zip(answers.lines()) {
        assert_eq!(answer, "1", "{name}: not EPERM");
    }
    assert_eq!(answers.lines().count(), TABLE.len());
    // The C library falls back to clone where there is no clone3; and sockets as such are there.
    assert_eq!(call(&["435", "41,2,1,0", "41,1,1,0"]), "38\n0\n0\n");
}

#[test]
fn i11_signals_mounts_and_names_stay_in_the_container() {
    let engine = engine();
    let image = engine.build(&with(&["mount", "hostname"])).unwrap();
    let mut bystander = Bystander(Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    let script = "sleep 1000 & kill -9 -1; kill -9 1; mount -t tmpfs none /tmp; hostname taken; \
                  echo x >/proc/sys/kernel/core_pattern";
    let done = sh(&image, script).output(&engine).unwrap();
    assert!(bystander.0.try_wait().unwrap().is_none(), "{done:?}");
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap(), host);
    let refused = String::from_utf8_lossy(&done.stderr);
    assert!(!done.status.success(), "{done:?}");
    assert!(refused.contains("mount") && refused.contains("hostname"), "{refused}");
    assert!(refused.contains("core_pattern"), "{refused}");
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap(), pattern);
}

#[test]
fn r6_a_swapped_mount_target_leads_nowhere_else() {
    let engine = engine();
    let image = image(&engine);
    let volume = Mount::volume("shared", "/vol");
    let swap = "cd /vol; echo ready; while :; do ln -s / a; rm a; mkdir a; rm -r a; done 2>/dev/null";
    let swapping = sh(&image, swap).mount(volume.clone()).stdout(plywood::container::Stdio::piped());
    let swapping = swapping.start(&engine).unwrap();
    swapping.take_stdout().unwrap().read_exact(&mut [0; 6]).unwrap();
    let marker = "plywood-mount-target";
    let started = AtomicU32::new(0);
    let start = || {
        let target = format!("/vol/a/{marker}");
        let victim = sh(&image, "cat /proc/self/mountinfo").mount(volume.clone()).mount(Mount::tmpfs(target));
        match victim.output(&engine) {
            Ok(done) => {
                started.fetch_add(1, Ordering::Relaxed);
                let mounts = text(done);
                let own: Vec<&str> = mounts.lines().filter(|line| line.contains(marker)).collect();
                assert!(own.iter().all(|line| line.contains(" - tmpfs ")), "{own:?}");
            }
            Err(error) => assert!(error.to_string().contains("start container"), "{error}"),
        }
        assert!(!Path::new("/").join(marker).exists());
    };
    std::thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| (0..100).for_each(|_| start()));
        }
    });
    assert!(started.into_inner() > 0);
    drop(swapping);
}

#[test]
fn r11_a_user_that_is_no_user_never_becomes_root() {
    let engine = engine();
    let image = image(&engine);
    for user in ["4294967296", "2147483648", "-1", "+0", " 0", "0x0", "no-such-user", ":0", "0:-1", "0:4294967296"] {
        let error = sh(&image, "id -u").user(user).output(&engine).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{user:?}: {error}");
    }
    assert!(engine.containers().unwrap().is_empty());
}

#[test]
fn r12_a_huge_passwd_or_group_is_an_error_and_a_pipe_blocks_nobody() {
    let engine = engine();
    for (make, kind) in [
        ("head -c 3000000 /dev/zero >/etc/passwd", ErrorKind::LimitExceeded),
        ("head -c 100000 /dev/zero >/etc/passwd", ErrorKind::LimitExceeded),
        ("head -c 3000000 /dev/zero >/etc/group", ErrorKind::LimitExceeded),
        ("ln -s /dev/zero /etc/passwd", ErrorKind::InvalidArgument),
        ("mkfifo /etc/passwd", ErrorKind::InvalidArgument),
    ] {
        let image = engine.build(&with(&["mkfifo"]).run(format!("mkdir -p /etc; rm -f /etc/passwd; {make}"))).unwrap();
        let error = sh(&image, "true").user("somebody").output(&engine).unwrap_err();
        assert_eq!(error.kind(), kind, "{make}: {error:?}");
    }
}

/// The numbers of the sockets that listen, as `/proc/net` has them.
fn listening() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (file, column, state, inode) in [("unix", 3, "00010000", 6), ("tcp", 3, "0A", 9), ("tcp6", 3, "0A", 9)] {
        let text = std::fs::read_to_string(format!("/proc/self/net/{file}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            if words.get(column) == Some(&state) {
                found.extend(words.get(inode).map(|number| format!("socket:[{number}]")));
            }
        }
    }
    found
}

#[test]
fn r21_r28_nothing_of_ours_listens() {
    let engine = engine();
    let image = image(&engine);
    let container = sh(&image, "sleep 1000").network(NetworkMode::Host).start(&engine).unwrap();
    assert!(container.exec(["true"]).output().unwrap().status.success());
    let listening = listening();
    let own =
        std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    let ours: Vec<_> = own.filter(|target| listening.contains(&*target.to_string_lossy())).collect();
    assert!(ours.is_empty(), "{ours:?}");
    drop(container);
}

#[test]
fn r36_a_command_is_looked_for_in_the_container_alone() {
    let engine = engine();
    let image = image(&engine);
    // On the host's PATH, and not in the image.
    let error = Container::of(&image).cmd(["grep", "x"]).output(&engine).unwrap_err();
    assert_eq!((error.kind(), error.exit_code()), (ErrorKind::NotFound, Some(127)), "{error}");
}

#[test]
fn a_program_that_cannot_be_reached_or_is_given_too_much_is_told() {
    let engine = engine();
    let image = engine.build(&support::base().run("mkdir -p /opt; ln -s b /opt/a; ln -s a /opt/b")).unwrap();
    let error = Container::of(&image).cmd(["/opt/a"]).output(&engine).unwrap_err();
    assert!(error.to_string().contains("/opt/a"), "{error}");
    assert!(format!("{error:?}").contains("symbolic links"), "{error:?}");
    let error = Container::of(&image).cmd(["true", &"x".repeat(3 << 20)]).output(&engine).unwrap_err();
    assert!(format!("{error:?}").to_lowercase().contains("argument list too long"), "{error}");
    assert!(engine.containers().unwrap().is_empty());
}

/// Whether a text is somewhere in the memory of a process.
fn holds(pid: u32, text: &str) -> bool {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = std::fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let readable = maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|may| may.starts_with('r')));
    readable.filter_map(|line| line.split(' ').next()?.split_once('-')).any(|(start, end)| {
        let number = |text| u64::from_str_radix(text, 16).unwrap();
        let mut bytes = vec![0; usize::try_from(number(end) - number(start)).unwrap()];
        // Not what the kernel maps of its own.
        let read = std::os::unix::fs::FileExt::read_at(&memory, &mut bytes, number(start)).unwrap_or(0);
        bytes[..read].windows(text.len()).any(|part| part == text.as_bytes())
    })
}

#[test]
fn what_runs_beside_and_in_a_container_has_no_secret_of_its_program() {
    const NAME: &str = "what_runs_beside_and_in_a_container_has_no_secret_of_its_program";
    const SECRET: &str = "s3cret-of-the-program";
    let Some(directory) = victim::directory() else {
        let mut program = Command::new(std::env::current_exe().unwrap());
        program.env("SECRET", SECRET);
        return victim::alone_by(program, NAME, &victim::Directory::new());
    };
    let file = std::fs::File::create(directory.join("secret")).unwrap();
    rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
    let place = support::place::Place::new();
    let (engine, image) = place.engine();
    let check = plywood::image::HealthCheck::cmd(["true"]);
    let kept = sh(&image, "sleep 1000").health(check).keep().start(&engine).unwrap();
    let guard = sh(&image, "sleep 1000").env("OWN", "known-to-it").start(&engine).unwrap();
    let mut processes = victim::keepers(&place.root());
    assert_eq!(processes.len(), 1);
    processes.extend([&kept, &guard].map(|container| container.inspect().unwrap().pid().unwrap()));
    processes.extend(reapers());
    assert!(processes.len() >= 4, "{processes:?}");
    for pid in processes {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
        assert!(!String::from_utf8_lossy(&environment).contains(SECRET), "{pid}");
        let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        for descriptor in open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok()) {
            assert!(descriptor != directory.join("secret"), "{pid} has the program's file");
        }
        assert!(!holds(pid, SECRET), "{pid} has it in its memory");
    }
    assert!(holds(std::process::id(), SECRET), "where it is looked for it is found");
    // What the container sees of its first process is its own too.
    let see = "cat /proc/1/environ; ls -l /proc/1/fd";
    let seen = guard.exec(["sh", "-c", see]).output().unwrap();
    assert!(!String::from_utf8_lossy(&seen.stdout).contains(SECRET), "{seen:?}");
    assert!(!String::from_utf8_lossy(&seen.stdout).contains(directory.to_str().unwrap()), "{seen:?}");
    kept.kill_and_remove().unwrap();
}

/// The processes that remove what this program leaves.
fn reapers() -> Vec<u32> {
    let mine = format!("\nPid:\t{}\n", std::process::id());
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_mine = |pid: &u32| {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        read("comm") == "plywood-reaper\n" && read("fdinfo/4").contains(&mine)
    };
    pids.filter(is_mine).collect()
}
