//! Files in and out of containers.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use super::support::{engine, is_root, leftovers, require_containers};
use crate::container::CopyOptions;
use crate::{Container, Engine, ErrorKind, Image, Mount};

/// A container that waits, and a directory of the host with something to copy.
fn bench(engine: &Engine, image: &Image) -> (Container, tempfile::TempDir) {
    let host = tempfile::tempdir().unwrap();
    fs::create_dir_all(host.path().join("tree/sub")).unwrap();
    fs::write(host.path().join("tree/sub/leaf"), "leaf").unwrap();
    fs::write(host.path().join("file"), "file").unwrap();
    fs::set_permissions(host.path().join("file"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("sub/leaf", host.path().join("tree/link")).unwrap();
    symlink("file", host.path().join("to-file")).unwrap();
    (Container::of(image).name("box").cmd(["sleep", "60"]).create(engine).unwrap(), host)
}

/// What a command prints in a running container.
fn inside<D>(container: &Container<D>, script: &str) -> String {
    let output = container.exec(["sh", "-c", script]).output().unwrap();
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn files_come_in_and_out_by_the_rules_of_docker_whether_it_runs_or_not() {
    require_containers!();
    let (engine, image) = engine();
    let (container, host) = bench(&engine, &image);
    let at = |name: &str| host.path().join(name);
    for round in ["created", "running", "exited"] {
        match round {
            "running" => container.start().unwrap(),
            "exited" => {
                container.kill(crate::container::Signal::KILL).unwrap();
                assert!(!container.wait().unwrap().success());
            }
            _ => {}
        }
        let new = |name: &str| format!("/srv/{name}-{round}");
        // A file: to a new name, into a directory, over a file, not to a directory that is missing.
        container.copy_in(at("file"), new("name")).unwrap();
        container.copy_in(at("file"), "/srv/data").unwrap();
        container.copy_in(at("file"), "/srv/data/seed").unwrap();
        container.copy_in(at("file"), "srv/data/file").unwrap();
        let error = container.copy_in(at("file"), new("no") + "/").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert_eq!(container.copy_in(at("file"), "/no/such/name").unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(container.copy_in(at("no"), "/srv").unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(container.copy_in(at("file/"), "/srv").unwrap_err().kind(), ErrorKind::Os);
        assert_eq!(container.copy_in(at("file"), "/etc/passwd/").unwrap_err().kind(), ErrorKind::InvalidArgument);
        // A directory: to a new name, into one that is there, its contents, not over a file, nor a file over it.
        container.copy_in(at("tree"), new("tree")).unwrap();
        container.copy_in(at("tree"), new("tree")).unwrap();
        container.copy_in(at("tree/."), new("contents")).unwrap();
        container.copy_in(at("tree/."), new("contents")).unwrap();
        assert_eq!(container.copy_in(at("tree"), "/srv/data/seed").unwrap_err().kind(), ErrorKind::AlreadyExists);
        container.copy_in(at("tree"), "/tmp/").unwrap();
        fs::create_dir_all(at("clash")).unwrap();
        fs::write(at("clash/tree"), "").unwrap();
        assert_eq!(container.copy_in(at("clash/."), "/tmp").unwrap_err().kind(), ErrorKind::AlreadyExists);
        // A link: itself, what it leads to, and through one inside the container.
        container.copy_in(at("to-file"), "/srv").unwrap();
        container.copy_in_with(at("to-file"), new("followed"), CopyOptions::new().follow_link()).unwrap();

        let out = at(round);
        fs::create_dir(&out).unwrap();
        container.copy_out("/srv", &out).unwrap();
        let text = |name: &str| fs::read_to_string(out.join("srv").join(name)).unwrap();
        for name in ["data/file", "data/seed", &format!("name-{round}"), &format!("followed-{round}")] {
            assert_eq!(text(name), "file", "{name}");
        }
        for name in ["tree", "contents"] {
            assert_eq!(text(&format!("{name}-{round}/sub/leaf")), "leaf");
            let link = out.join(format!("srv/{name}-{round}/link"));
            assert_eq!(fs::read_link(link).unwrap(), Path::new("sub/leaf"));
        }
        assert_eq!(text(&format!("tree-{round}/tree/sub/leaf")), "leaf");
        assert!(!out.join(format!("srv/contents-{round}/tree")).exists());
        assert_eq!(fs::read_link(out.join("srv/to-file")).unwrap(), Path::new("file"));
        let metadata = fs::metadata(out.join(format!("srv/name-{round}"))).unwrap();
        let original = fs::metadata(at("file")).unwrap();
        assert_eq!((metadata.mode() & 0o7777, metadata.uid()), (0o640, original.uid()));
        assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (original.mtime(), original.mtime_nsec()));

        container.copy_out("/srv/data/seed", at(&format!("{round}/new"))).unwrap();
        container.copy_out("/srv/data/seed", at(&format!("{round}/new"))).unwrap();
        container.copy_out("/srv/data/.", at(&format!("{round}/contents"))).unwrap();
        assert_eq!(fs::read_to_string(at(&format!("{round}/contents/seed"))).unwrap(), "file");
        let error = container.copy_out("/srv/none", &out).unwrap_err();
        assert_eq!(
            error.to_string(),
            "copy \"/srv/none\" out of container \"box\" (busybox:latest): there is no \"/srv/none\""
        );
        assert_eq!(container.copy_out("/srv/data", at("file")).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(container.copy_out("/etc/passwd", at("none/")).unwrap_err().kind(), ErrorKind::NotFound);
    }
    let owners = container.diff().unwrap();
    assert!(owners.iter().any(|change| change.path() == Path::new("/srv/tree-created/sub/leaf")));
}

#[test]
fn volumes_binds_and_memory_are_where_the_container_sees_them() {
    require_containers!();
    let (engine, image) = engine();
    let (_, host) = bench(&engine, &image);
    let bind = tempfile::tempdir().unwrap();
    let container = Container::of(&image)
        .cmd(["sleep", "60"])
        .mount(Mount::volume("data", "/srv/data"))
        .mount(Mount::bind(bind.path(), "/bind"))
        .mount(Mount::tmpfs("/memory"))
        .create(&engine)
        .unwrap();
    let file = host.path().join("file");
    container.copy_in(&file, "/srv/data/idle").unwrap();
    container.copy_in(&file, "/bind/idle").unwrap();
    let volume = engine.volume("data").unwrap();
    assert_eq!(fs::read_to_string(volume.path().join("idle")).unwrap(), "file");
    assert_eq!(fs::read_to_string(bind.path().join("idle")).unwrap(), "file");
    container.start().unwrap();
    container.copy_in(&file, "/memory/live").unwrap();
    container.copy_in(&file, "/bind/live").unwrap();
    assert_eq!(
        inside(&container, "cat /srv/data/seed /srv/data/idle /memory/live /bind/live; ls -ln /memory/live"),
        inside(&container, "echo from the image; echo -n filefilefile; ls -ln /memory/live")
    );
    assert!(bind.path().join("live").exists());
    container.copy_out("/memory/live", host.path().join("out")).unwrap();
    assert_eq!(fs::read_to_string(host.path().join("out")).unwrap(), "file");
    // Another handle, as another program has it, sees the same.
    let mut text = String::new();
    let archive = engine.container(container.name()).unwrap().read_archive("/memory").unwrap();
    for entry in tar::Archive::new(archive).entries().unwrap() {
        text += &format!("{} ", entry.unwrap().path().unwrap().display());
    }
    assert_eq!(text, "memory/ memory/live ");
}

#[test]
fn owners_are_those_of_the_destination_unless_they_are_kept() {
    require_containers!();
    let (engine, image) = engine();
    let (container, host) = bench(&engine, &image);
    container.start().unwrap();
    let file = host.path().join("file");
    let of = |path: &Path| fs::metadata(path).map(|it| (it.uid(), it.gid())).unwrap();
    let keep = CopyOptions::new().keep_owners();
    if is_root() {
        std::os::unix::fs::chown(&file, Some(1000), Some(50)).unwrap();
        container.copy_in(&file, "/srv/root").unwrap();
        container.copy_in_with(&file, "/srv/kept", keep).unwrap();
        assert_eq!(inside(&container, "stat -c '%u %g %a' /srv/root /srv/kept"), "0 0 640\n1000 50 640\n");
        container.copy_out("/srv/kept", host.path().join("mine")).unwrap();
        container.copy_out_with("/srv/kept", host.path().join("kept"), keep).unwrap();
        assert_eq!((of(&host.path().join("mine")), of(&host.path().join("kept"))), ((0, 0), (1000, 50)));
    } else {
        container.copy_in_with(&file, "/srv/kept", keep).unwrap();
        assert_eq!(inside(&container, "stat -c '%u %g %a' /srv/kept"), "0 0 640\n");
        match container.copy_in_with("/etc/hostname", "/srv/other", keep) {
            // As a bind mount shows it: root of the host is nobody of this user's.
            Ok(()) => assert_eq!(inside(&container, "stat -c %u /srv/other"), "65534\n"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}"),
        }
        container.copy_in("/etc/hostname", "/srv/other").unwrap();
    }
}

#[test]
fn archives_go_in_and_out() {
    require_containers!();
    let (engine, image) = engine();
    let (container, _) = bench(&engine, &image);
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(2);
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    // In a layer this would delete; here it is a name.
    for name in ["deep/er/file", ".wh.name"] {
        tar.append_data(&mut header, name, &b"hi"[..]).unwrap();
    }
    let bytes = tar.into_inner().unwrap();
    container.write_archive("/srv", &bytes[..]).unwrap();
    assert_eq!(container.write_archive("/none", &bytes[..]).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(container.write_archive("/etc/passwd", &bytes[..]).unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert!(container.write_archive("/srv", &bytes[..700]).unwrap_err().kind() == ErrorKind::Corrupt);
    let mut names = Vec::new();
    for entry in tar::Archive::new(container.read_archive("/srv/.").unwrap()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        names.push((entry.path().unwrap().display().to_string(), text));
    }
    for (name, text) in [("./.wh.name", "hi"), ("./deep/er/file", "hi"), ("./data/seed", "from the image\n")] {
        assert!(names.contains(&(name.to_owned(), text.to_owned())), "{names:?}");
    }
    // A reader that is dropped early stops the thread that writes.
    drop(container.read_archive("/bin").unwrap());
}

#[test]
fn what_cannot_be_copied_is_told() {
    require_containers!();
    let (engine, image) = engine();
    let (created, host) = bench(&engine, &image);
    let running = Container::of(&image).cmd(["sleep", "60"]).read_only().start(&engine).unwrap();
    let file = host.path().join("file");
    assert_eq!(running.copy_in(&file, "/srv").unwrap_err().kind(), ErrorKind::PermissionDenied);
    for path in ["/proc/version", "/proc", "/sys/kernel"] {
        assert_eq!(running.copy_out(path, host.path()).unwrap_err().kind(), ErrorKind::Unsupported, "{path}");
    }
    let all = running.copy_out("/", host.path().join("all"));
    if is_root() {
        // Below the source they are left empty.
        all.unwrap();
        assert!(host.path().join("all/bin/busybox").exists());
        assert_eq!(fs::read_dir(host.path().join("all/proc")).unwrap().count(), 0);
    } else {
        let error = all.unwrap_err();
        assert!(error.to_string().contains("device nodes need root"), "{error}");
    }
    assert_eq!(created.copy_in(&file, "").unwrap_err().kind(), ErrorKind::InvalidArgument);
    // Nobody starts it while it is being read, and afterwards it starts as if nothing had been.
    let archive = created.read_archive("/srv").unwrap();
    assert_eq!(created.start().unwrap_err().kind(), ErrorKind::InUse);
    drop(archive);
    created.start().unwrap();
    created.kill_and_remove().unwrap();
    running.kill_and_remove().unwrap();
    assert_eq!(leftovers(&engine), Vec::<String>::new());
}

/// Copies in each direction: some hit the directory, some the link, some neither.
const ROUNDS: u32 = 300;

#[test]
fn r5_i13_a_container_that_swaps_directories_for_links_leads_nowhere_else() {
    require_containers!();
    let (engine, image) = engine();
    let (_, host) = bench(&engine, &image);
    // Ten thousand files in all.
    for number in 0..10_000 / ROUNDS {
        fs::write(host.path().join(format!("tree/sub/{number}")), "put").unwrap();
    }
    // The canary: what the links of the container would lead to, were they followed on the host.
    let canary = tempfile::tempdir().unwrap();
    fs::write(canary.path().join("secret"), "secret").unwrap();
    let (dir, target) = ("/race", canary.path().display().to_string());
    let script = format!(
        "mkdir -p /race/real/a {target}; echo inside > {target}/secret; echo plain > /race/real/secret; cd /race; \
        busybox ln -s {target} link; busybox ln -s real name; \
        echo ready; while :; do busybox ln -sfn {target} name; busybox ln -sfn real name; busybox mv real/a real/b; \
        busybox mv real/b real/a; rm name; mkdir name; rm -r name; busybox ln -s real name; done"
    );
    let container = Container::of(&image).cmd(["sh", "-c", &script]).start(&engine).unwrap();
    assert_eq!(container.logs().follow().read().unwrap().next().unwrap().text, "ready");
    let counts = std::thread::scope(|scope| {
        let work = |inward: bool| {
            let (container, host) = (&container, host.path());
            move || {
                let (mut copied, mut refused) = (0, 0);
                for round in 0.. {
                    if round >= ROUNDS && copied > 0 {
                        break;
                    }
                    let result = match inward {
                        true => container.copy_in(host.join("tree"), format!("{dir}/name/put")),
                        false => container.copy_out(format!("{dir}/name/secret"), host.join(format!("out-{round}"))),
                    };
                    match result {
                        Ok(()) => copied += 1,
                        Err(error) => {
                            let expected = [
                                ErrorKind::NotFound,
                                ErrorKind::AlreadyExists,
                                ErrorKind::InvalidArgument,
                                ErrorKind::Unsupported,
                                ErrorKind::Os,
                            ];
                            assert!(expected.contains(&error.kind()), "{error:?}");
                            refused += 1;
                        }
                    }
                    let out = host.join(format!("out-{round}"));
                    if !inward && out.exists() {
                        let text = fs::read_to_string(&out).unwrap();
                        assert!(["inside\n", "plain\n", ""].contains(&text.as_str()), "{text}");
                        fs::remove_file(out).unwrap();
                    }
                }
                (copied, refused)
            }
        };
        let (inward, outward) = (scope.spawn(work(true)), scope.spawn(work(false)));
        (inward.join().unwrap(), outward.join().unwrap())
    });
    let (copied, refused) = (counts.0.0 + counts.1.0, counts.0.1 + counts.1.1);
    assert!(copied > 0 && refused > 0, "the race did not take place: {counts:?}");
    let names: Vec<_> = fs::read_dir(canary.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["secret"]);
    assert_eq!(fs::read_to_string(canary.path().join("secret")).unwrap(), "secret");
}
