//! The companion binary and its data root: where it is, and how layers lie in it.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;

mod bench;

use bench::{Bench, require_busybox};

#[test]
fn doctor_says_whether_containers_can_run() {
    let bench = Bench::new();
    let said = bench.ok(&["doctor"]);
    assert!(said.ends_with("containers can run here\n"), "{said}");
    let report = bench.json(&["doctor", "--format", "json"]);
    assert_eq!(report["CanRun"], true);
    let subjects: Vec<_> = report["Findings"].as_array().unwrap().iter().map(|it| it["Subject"].clone()).collect();
    assert!(
        subjects.contains(&serde_json::Value::from("kernel")) && subjects.contains(&serde_json::Value::from("overlay")),
        "{subjects:?}"
    );
    // On proc nothing can be made.
    let output = bench.run(&["doctor", "--root", "/proc/nothing"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("missing  data root: \"/proc/nothing\"\n         cause: "), "{said}");
}

#[test]
fn images_are_taken_from_a_docker_daemon() {
    require_busybox!();
    let bench = Bench::with_image();
    let archive = bench.path("archive.tar");
    bench.ok(&["save", "-o", archive.to_str().unwrap(), "box:1"]);
    let socket = bench.path("docker.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let daemon = std::thread::spawn(move || {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        let mut request = String::new();
        while !request.ends_with("\r\n\r\n") {
            stream.read_line(&mut request).unwrap();
        }
        let bytes = std::fs::read(archive).unwrap();
        let mut stream = stream.into_inner();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len()).unwrap();
        stream.write_all(&bytes).unwrap();
        request
    });
    let elsewhere = bench.path("other");
    let mut load = bench.command(&["load", "--from-docker", "box:1", "--root", elsewhere.to_str().unwrap()]);
    let output = load.env("DOCKER_HOST", format!("unix://{}", socket.display())).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "Loaded image: box:1\n");
    assert!(daemon.join().unwrap().starts_with("GET /images/get?names=box%3A1 HTTP/1.1\r\n"));
    let output = load.env("DOCKER_HOST", "tcp://there:2375").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(125) && said.contains("only `unix://PATH` is understood"), "{said}");
}

#[test]
fn a_storage_driver_is_asked_for_and_the_doctor_tells_which_one_a_data_root_has() {
    require_busybox!();
    let bench = Bench::new();
    let root = bench.path("root");
    let said = |arguments: &[&str]| {
        let output = bench.command(arguments).env_remove("PLYWOOD_DRIVER").output().unwrap();
        (output.status.code().unwrap(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (code, report) = said(&["doctor", "--storage-driver", "vfs"]);
    assert!(code == 0 && report.contains("ok       storage driver: vfs: it was asked for\n"), "{report}");
    assert!(!root.exists(), "the doctor makes nothing");
    // Anywhere in the line, as `--root`.
    let rootfs = bench.rootfs();
    let (code, text) = said(&["import", rootfs.to_str().unwrap(), "box:1", "--storage-driver", "vfs"]);
    assert_eq!((code, std::fs::read_dir(root.join("vfs/dir")).unwrap().count()), (0, 1), "{text}");
    assert_eq!(said(&["run", "--rm", "box:1", "echo", "runs"]), (0, "runs\n".to_owned()));
    let (code, report) = said(&["doctor"]);
    let expected = "ok       storage driver: vfs: the data root was written with it\n";
    assert!(code == 0 && report.contains(expected), "{report}");
    let (code, report) = said(&["--storage-driver", "overlay2", "doctor"]);
    let expected = "missing  storage driver: none\n         cause: open data root";
    assert!(code == 1 && report.contains(expected) && report.contains("it was written with vfs"), "{report}");
    let (code, report) = said(&["--storage-driver", "overlay2", "images"]);
    assert!(code == 125 && report.contains("it was written with vfs") && report.contains("hint: "), "{report}");
    let (code, report) = said(&["--storage-driver", "zfs", "images"]);
    assert!(code == 125 && report.contains("it has overlay2, btrfs, fuse-overlayfs, vfs"), "{report}");
    let mut command = bench.command(&[
        "--storage-driver",
        "fuse-overlayfs",
        "--root",
        bench.path("other").to_str().unwrap(),
        "images",
    ]);
    let refused = command.env("PATH", bench.path("nowhere")).output().unwrap();
    let text = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(125), "{text}");
    assert!(
        text.contains("there is no program fuse-overlayfs") && text.contains("Debian's package fuse-overlayfs"),
        "{text}"
    );
    let mut command = bench.command(&["doctor", "--root", bench.path("new").to_str().unwrap()]);
    let report = String::from_utf8(command.env("PLYWOOD_DRIVER", "vfs").output().unwrap().stdout).unwrap();
    assert!(report.contains("storage driver: vfs: PLYWOOD_DRIVER asks for it\n"), "{report}");
}
