//! Libraries and programs of an image, put where a careless host would load or execute them.

#![allow(unsafe_code, clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use plywood::image::{Copy, ImportOptions, Source, Target};
use plywood::{Container, Engine, Layers};
use support::{Tarball, engine, victim};

/// What each decoy leaves, in the root that it finds itself in.
const MARK: &str = "/plywood-decoy";

/// Compiles a library that leaves the mark wherever it is loaded.
fn library(directory: &Path) -> PathBuf {
    let (source, library) = (directory.join("decoy.c"), directory.join("decoy.so"));
    let text = format!(
        "#include <fcntl.h>\n__attribute__((constructor)) static void mark(void) {{ open({MARK:?}, O_CREAT | O_WRONLY, 0644); }}\n"
    );
    fs::write(&source, text).unwrap();
    let done = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    library
}

/// Whether a container has the mark.
fn is_marked(container: &Container<Layers>) -> bool {
    assert!(!Path::new(MARK).exists(), "the host has it");
    container.exec(["cat", MARK]).output().unwrap().status.success()
}

#[test]
fn r3_no_library_of_an_image_is_loaded_for_its_names() {
    support::require_program!("cc");
    let directory = tempfile::tempdir().unwrap();
    library(directory.path());
    let accounts = [
        ("/etc/nsswitch.conf", "passwd: decoy files\ngroup: decoy files\n"),
        ("/etc/passwd", "root:x:0:0::/:/bin/sh\nsomebody:x:1000:1000::/:/bin/sh\n"),
        ("/etc/group", "root:x:0:\nsomebody:x:1000:\nothers:x:1001:somebody\n"),
    ];
    let mut definition = support::base().context(directory.path());
    for (path, text) in accounts {
        definition = definition.instruction(Copy::inline(text).to(path));
    }
    for name in ["decoy", "files", "compat", "dns"] {
        definition = definition.copy("decoy.so", format!("/usr/lib/libnss_{name}.so.2"));
    }
    let definition = definition.instruction(Copy::inline("x").to("/owned").chown("somebody:others"));
    let engine = engine();
    let image = engine.build(&definition).unwrap();
    let several = support::has_several_ids(&engine);
    let user = if several { "somebody" } else { "root" };
    let container = Container::of(&image).cmd(["sleep", "1000"]).user(user).start(&engine).unwrap();
    let listed = container.exec(["stat", "-c", "%u %g", "/owned"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&listed.stdout), if several { "1000 1001\n" } else { "0 0\n" });
    assert!(container.exec(["true"]).user("root:0").status().unwrap().success());
    container.copy_in(directory.path().join("decoy.c"), "/tmp").unwrap();
    container.copy_out("/etc/passwd", directory.path().join("passwd")).unwrap();
    let committed = container.commit().run().unwrap();
    engine.build(&Layers::new().from(committed.id().to_string()).run("true")).unwrap();
    assert!(!is_marked(&container));
    // A program of the image that looks names up does load it.
    let _ = container.exec(["id", "nobody-knows"]).user("root").output().unwrap();
    assert!(is_marked(&container), "the decoy does not work");
}

/// Programs that a careless host runs to pack, unpack or mount.
#[rustfmt::skip]
const PROGRAMS: [&str; 19] = [
    "tar", "gzip", "gunzip", "pigz", "unpigz", "igzip", "xz", "unxz", "zstd", "unzstd", "bzip2", "mount", "umount",
    "modprobe", "iptables", "nft", "ip", "cp", "fuse-overlayfs",
];

#[test]
fn r4_no_program_is_executed_to_pack_unpack_or_copy() {
    let Some(directory) = victim::directory() else {
        return victim::alone("r4_no_program_is_executed_to_pack_unpack_or_copy");
    };
    // On the host's own path, and in the image, first on its path.
    let (decoys, mark) = (directory.join("decoys"), directory.join("mark"));
    fs::create_dir(&decoys).unwrap();
    let mut definition = support::base().context(&directory);
    for name in PROGRAMS {
        fs::write(decoys.join(name), format!("#!/bin/sh\n: >{}\n", mark.display())).unwrap();
        fs::set_permissions(decoys.join(name), PermissionsExt::from_mode(0o755)).unwrap();
        let decoy = Copy::inline(format!("#!/bin/sh\n: >{MARK}\n")).to(format!("/decoys/{name}")).chmod("0755");
        definition = definition.instruction(decoy);
    }
    let path = format!("{}:{}", decoys.display(), std::env::var("PATH").unwrap());
    // SAFETY: no other thread of this program reads or changes the environment yet.
    unsafe { std::env::set_var("PATH", path) };
    assert!(Command::new("unpigz").status().unwrap().success());
    assert!(fs::remove_file(&mark).is_ok(), "the decoy does not work");

    let tar = Tarball::new().directory("d/").file("d/f", vec![b'x'; 100_000]).bytes();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, &tar).unwrap();
    fs::write(directory.join("packed.tar.gz"), packed.finish().unwrap()).unwrap();
    let engine = Engine::temp().unwrap();
    let definition = definition.env("PATH", "/decoys:/usr/bin:/bin").add("packed.tar.gz", "/unpacked/");
    let image = engine.build(&definition.run("true")).unwrap();
    let imported = ImportOptions::new().reference("imported:1");
    engine.import_with(Source::path(directory.join("packed.tar.gz")), &imported).unwrap();
    engine.save(&["imported:1"], Target::path(directory.join("saved.tar"))).unwrap();
    engine.remove_image("imported:1").unwrap();
    engine.load(Source::path(directory.join("saved.tar"))).unwrap();
    let container = Container::of(&image).cmd(["sleep", "1000"]).start(&engine).unwrap();
    container.copy_in(directory.join("decoys"), "/tmp/in").unwrap();
    container.copy_out("/unpacked", directory.join("out")).unwrap();
    assert_eq!(fs::metadata(directory.join("out/d/f")).unwrap().len(), 100_000);
    let committed = container.commit().run().unwrap();
    let copied = Copy::of("/unpacked").to("/copied/").from_image(committed.id().to_string());
    engine.build(&Layers::new().from(committed.id().to_string()).instruction(copied)).unwrap();
    container.export(&mut std::io::sink()).unwrap();
    assert!(!is_marked(&container) && !mark.exists());
    let _ = container.exec(["gunzip"]).output().unwrap();
    assert!(is_marked(&container), "the decoy of the image does not work");
    drop(container);
    assert!(engine.containers().unwrap().is_empty());
    assert!(!mark.exists());
}
