//! What is refused, with which words, and that nothing of it remains.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::process::Command;

use plywood::image::{Copy, ImportOptions, Source};
use plywood::{Base, Container, Engine, Error, ErrorKind, Layers};
use support::victim::{self, Victim};
use support::{Tarball, base, engine, image, run, sh};

/// Checks the kind, and that the message has these words and no bare number of an error.
fn refused(error: &Error, kind: ErrorKind, words: &[&str]) {
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{error:?}");
    for word in words {
        assert!(text.contains(word), "{word:?} is missing: {text}");
    }
    // A clause begins in lower case, or with an instruction.
    let mut begin = text.chars().take(2).map(char::is_uppercase);
    assert_eq!(begin.next(), begin.next(), "{text}");
    assert!(!text.ends_with('.') && !text.contains("os error"), "{text}");
}

#[test]
fn an_image_that_is_not_there_is_named() {
    let engine = engine();
    let error = Container::of("no/such:image").cmd(["true"]).output(&engine).unwrap_err();
    refused(&error, ErrorKind::NotFound, &["no/such:image"]);
    assert!(error.hint().is_some());
    let error = engine.image("absent").unwrap_err();
    refused(&error, ErrorKind::NotFound, &["\"absent\""]);
    let error = engine.build(&Layers::new().from("no/such:base").run("true")).unwrap_err();
    refused(&error, ErrorKind::NotFound, &["no/such:base"]);
    let error = engine.save(&["absent"], support::workspace().join("never.tar")).unwrap_err();
    refused(&error, ErrorKind::NotFound, &["\"absent\""]);
    assert!(!support::workspace().join("never.tar").exists());
}

#[test]
fn a_command_that_is_not_there_is_127() {
    let engine = engine();
    let image = image(&engine);
    let error = Container::of(&image).cmd(["no-such-program"]).name("gone").start(&engine).unwrap_err();
    refused(&error, ErrorKind::NotFound, &["start container \"gone\"", "no-such-program", "PATH"]);
    assert_eq!(error.exit_code(), Some(127));
    let error = Container::of(&image).cmd(["/bin/absent"]).output(&engine).unwrap_err();
    refused(&error, ErrorKind::NotFound, &["/bin/absent"]);
    assert_eq!(error.exit_code(), Some(127));
    assert!(engine.containers().unwrap().is_empty(), "nothing is left of them");
    let error = engine.build(&base().run(["no-such-program", "x"])).unwrap_err();
    assert!(error.to_string().contains("no-such-program"), "{error}");
}

#[test]
fn a_file_that_cannot_be_executed_is_126() {
    let engine = engine();
    let definition = base()
        .instruction(Copy::inline("echo no first line").to("/text").chmod("0755"))
        .instruction(Copy::inline("#!/bin/sh\n").to("/closed").chmod("0644"))
        .instruction(Copy::inline("#!/no/such/interpreter\n").to("/script").chmod("0755"));
    let image = engine.build(&definition).unwrap();
    for (command, code, kind, words) in [
        ("/closed", 126, ErrorKind::PermissionDenied, "may not be executed"),
        ("/text", 126, ErrorKind::Unsupported, "neither a program nor a script"),
        ("/tmp", 126, ErrorKind::PermissionDenied, "is a directory"),
        ("/script", 127, ErrorKind::NotFound, "\"/no/such/interpreter\""),
    ] {
        let error = Container::of(&image).cmd([command]).output(&engine).unwrap_err();
        assert!(error.to_string().contains(words) && error.to_string().contains(command), "{error}");
        assert_eq!((error.exit_code(), error.kind()), (Some(code), kind), "{error}");
    }
}

#[test]
fn a_program_for_another_machine_is_126_and_the_machine_is_named() {
    let engine = engine();
    let context = tempfile::tempdir().unwrap();
    // An ELF header: 64 bits, least significant byte first, an executable for RISC-V (243).
    let mut header = vec![0; 64];
    header[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    (header[16], header[18], header[20]) = (2, 243, 1);
    let program = context.path().join("program");
    fs::write(&program, header).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let image = engine.build(&base().context(context.path()).copy("program", "/program")).unwrap();
    let error = Container::of(&image).cmd(["/program"]).output(&engine).unwrap_err();
    assert_eq!(error.exit_code(), Some(126));
    let text = error.to_string();
    assert!(text.contains("a program for riscv64") && text.contains(std::env::consts::ARCH), "{text}");
}

#[test]
fn a_missing_source_of_copy_is_told_with_the_nearest_name() {
    let engine = engine();
    let context = tempfile::tempdir().unwrap();
    fs::write(context.path().join("config.toml"), "").unwrap();
    let definition = base().context(context.path()).copy("confg.toml", "/etc/");
    let error = engine.build(&definition).unwrap_err();
    refused(&error, ErrorKind::NotFound, &["COPY \"confg.toml\"", "did you mean \"config.toml\"?"]);
    let error = engine.build(&base().context(context.path()).add("*.rs", "/src/")).unwrap_err();
    refused(&error, ErrorKind::NotFound, &["ADD \"*.rs\"", "matches nothing"]);
    let error = engine.build(&base().context(context.path().join("absent")).copy("x", "/x")).unwrap_err();
    assert!(error.to_string().contains("absent"), "{error}");
    assert!(engine.images().unwrap().is_empty());
}

#[test]
fn a_source_of_copy_never_leaves_the_build_context() {
    let engine = engine();
    let parent = tempfile::tempdir().unwrap();
    let context = parent.path().join("context");
    fs::create_dir(&context).unwrap();
    fs::write(parent.path().join("secret"), "outside\n").unwrap();
    symlink("../secret", context.join("relative")).unwrap();
    symlink(parent.path().join("secret"), context.join("absolute")).unwrap();
    symlink("..", context.join("up")).unwrap();
    for source in ["../secret", "x/../../secret", "up/secret"] {
        let error = engine.build(&base().context(&context).copy(source, "/stolen")).unwrap_err();
        refused(&error, ErrorKind::InvalidArgument, &[source, "context"]);
    }
    // A link that is copied itself, as part of a directory, stays a link: it leads nowhere in the image.
    let image = engine.build(&base().context(&context).copy(".", "/all/")).unwrap();
    assert_eq!(run(&engine, &image, "cat /all/relative /all/absolute 2>/dev/null | cat"), "");
    for link in ["relative", "absolute"] {
        let error = engine.build(&base().context(&context).copy(link, "/stolen")).unwrap_err();
        refused(&error, ErrorKind::InvalidArgument, &[link, "outside"]);
    }
}

#[test]
fn an_absolute_source_of_copy_is_relative_to_the_context() {
    let engine = engine();
    let context = tempfile::tempdir().unwrap();
    let error = engine.build(&base().context(context.path()).copy("/etc/passwd", "/stolen")).unwrap_err();
    refused(&error, ErrorKind::NotFound, &["/etc/passwd"]);
}

#[test]
fn a_name_that_is_taken_is_refused_with_its_holder() {
    let engine = engine();
    let image = image(&engine);
    let holder = sh(&image, "true").name("taken").create(&engine).unwrap();
    let error = sh(&image, "true").name("taken").create(&engine).unwrap_err();
    refused(&error, ErrorKind::AlreadyExists, &["\"taken\"", holder.id().short()]);
    drop(holder);
    assert_eq!(sh(&image, "true").name("taken").create(&engine).unwrap().name(), "taken");
}

#[test]
fn r19_names_that_are_none_are_refused() {
    let engine = engine();
    let image = image(&engine);
    let long = "x".repeat(300);
    for name in ["", "a", "-dash", "has space", "sla/sh", "../up", "ümlaut", "nul\0", &long] {
        let error = sh(&image, "true").name(name).create(&engine).unwrap_err();
        refused(&error, ErrorKind::InvalidArgument, &["name"]);
        let error = engine.volume(name).unwrap_err();
        refused(&error, ErrorKind::InvalidArgument, &["name"]);
    }
    for reference in ["", "UPPER:1", "a:b:c", "repo:sp ace", "-x", "repo@sha256:short"] {
        let error = engine.tag(&image.id().to_string(), reference).unwrap_err();
        refused(&error, ErrorKind::InvalidArgument, &[]);
        let error = engine.import_with(Source::reader(&b""[..]), &ImportOptions::new().reference(reference));
        assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidArgument, "{reference:?}");
    }
    assert!(engine.containers().unwrap().is_empty());
    assert!(engine.volumes().unwrap().is_empty());
    assert_eq!(engine.images().unwrap().len(), 1);
}

#[test]
fn mistakes_in_a_definition_are_told_before_anything_is_made() {
    let engine = engine();
    let image = image(&engine);
    for (definition, word) in [
        (sh(&image, "true").env("A=B", "x"), "\"A=B\""),
        (sh(&image, "true").env("A", "nul\0"), "\"A\""),
        (sh(&image, "nul\0"), "zero byte"),
        (sh(&image, "true").hostname("under_score!"), "under_score!"),
        (sh(&image, "true").workdir("relative/../../up\0"), "relative"),
        (sh(&image, "true").user("4294967296"), "4294967296"),
    ] {
        let error = definition.create(&engine).unwrap_err();
        refused(&error, ErrorKind::InvalidArgument, &[word]);
    }
    let empty = engine.build(&Layers::new().from(Base::scratch()).instruction(Copy::inline("x").to("/x"))).unwrap();
    let error = Container::of(&empty).create(&engine).unwrap_err();
    refused(&error, ErrorKind::InvalidArgument, &["nothing to run"]);
    assert!(engine.containers().unwrap().is_empty());
}

#[test]
fn a_program_of_the_host_that_cannot_be_taken_is_named() {
    let engine = engine();
    let error = engine.build(&Layers::from_host(["no-such-program"])).unwrap_err();
    refused(&error, ErrorKind::NotFound, &["\"no-such-program\"", "PATH"]);
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("script");
    fs::write(&script, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let error = engine.build(&Layers::from_host([script.to_str().unwrap()])).unwrap_err();
    assert!(error.to_string().contains("is a script run by \"/bin/sh\""), "{error}");
}

#[test]
fn a_directory_with_something_else_in_it_is_no_data_root() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("thesis.tex"), "years of work").unwrap();
    let error = Engine::open(directory.path()).unwrap_err();
    refused(&error, ErrorKind::InvalidArgument, &["thesis.tex", directory.path().to_str().unwrap()]);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing was made in it");
    let error = Engine::open(directory.path().join("thesis.tex")).unwrap_err();
    refused(&error, ErrorKind::InvalidArgument, &["thesis.tex", "not a directory"]);
}

#[test]
fn a_data_root_of_somebody_else_or_without_write_permission_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("root");
    if support::is_root() {
        fs::create_dir(&root).unwrap();
        chown(&root, Some(65534), Some(65534)).unwrap();
        let error = Engine::open(&root).unwrap_err();
        refused(&error, ErrorKind::PermissionDenied, &["65534"]);
    } else {
        fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o555)).unwrap();
        let error = Engine::open(&root).unwrap_err();
        fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o755)).unwrap();
        refused(&error, ErrorKind::PermissionDenied, &[root.to_str().unwrap()]);
    }
}

#[test]
fn c18_a_host_without_user_namespaces_is_told_with_the_way_out() {
    if let Some(directory) = victim::directory() {
        // In the user namespace of the victim no further one is allowed.
        let engine = Engine::open(directory.join("root")).unwrap();
        let image = image(&engine);
        let error = sh(&image, "true").output(&engine).unwrap_err();
        refused(&error, ErrorKind::Unsupported, &["start container", "user namespaces"]);
        assert!(error.hint().unwrap().contains("user.max_user_namespaces"), "{error:?}");
        assert!(engine.containers().unwrap().is_empty());
        victim::tell("done");
        return;
    }
    support::require_program!("unshare");
    let forbid = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"";
    let mut within = Command::new("unshare");
    within.args(["--user", "--map-root-user", "sh", "-c", forbid, "sh"]).arg(std::env::current_exe().unwrap());
    let directory = victim::Directory::new();
    let mut victim =
        Victim::start_by(within, "c18_a_host_without_user_namespaces_is_told_with_the_way_out", directory.path());
    assert_eq!(victim.hear().as_deref(), Some("done"));
    assert!(victim.wait());
}

#[test]
fn an_import_that_is_no_archive_leaves_nothing() {
    let engine = engine();
    for (bytes, words) in [(&b"#!/bin/sh\necho hello\n"[..], "archive"), (&b""[..], "archive")] {
        let error = engine.import(Source::reader(bytes)).unwrap_err();
        assert!(format!("{error:?}").contains(words), "{error:?}");
        assert!(engine.images().unwrap().is_empty());
    }
    let tar = Tarball::new().file("x", "x").bytes();
    let error = engine.load(Source::reader(&tar[..])).unwrap_err();
    refused(&error, ErrorKind::Corrupt, &["no image archive"]);
    assert!(error.hint().unwrap().contains("import"));
}
