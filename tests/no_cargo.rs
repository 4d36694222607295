//! The macros where something else than Cargo runs the compiler: paths are relative to the source file.

#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The newest library of plywood that Cargo has built for the tests, and the directory of those it needs.
fn library() -> (PathBuf, PathBuf) {
    let directory = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    let entries = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap());
    let is_library = |name: &str| name.starts_with("libplywood-") && name.ends_with(".rlib");
    let libraries = entries.filter(|entry| is_library(entry.file_name().to_str().unwrap()));
    let newest = libraries.max_by_key(|entry| entry.metadata().unwrap().modified().unwrap()).unwrap();
    (newest.path(), directory)
}

/// What the compiler says to a source beside these files, and whether it compiles.
fn compile(directory: &Path, source: &str) -> (bool, String) {
    let (library, others) = library();
    fs::write(directory.join("lib.rs"), source).unwrap();
    let output = Command::new("rustc")
        .args(["--edition", "2024", "--crate-type", "lib", "--emit", "metadata", "lib.rs"])
        .arg("--extern")
        .arg(format!("plywood={}", library.display()))
        .arg("-L")
        .arg(format!("dependency={}", others.display()))
        .current_dir(directory)
        .env_remove("CARGO_MANIFEST_DIR")
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn paths_are_relative_to_the_source_file() {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in [("app.py", "x"), ("docker/Dockerfile", "FROM debian:12\nCOPY app.py /app/\nEXPOSE 80\n")] {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let (compiled, said) = compile(
        directory.path(),
        r#"
            plywood::layers! { pub struct A; FROM "debian:12"; COPY "app.py" => "/"; }
            plywood::layers! { pub struct B; FROM "debian:12"; COPY --embed "app.py" => "/"; }
            plywood::layers! { #![context("docker")] pub struct C; FROM "debian:12"; COPY --embed "Dockerfile" => "/"; }
            plywood::dockerfile! { pub struct D; "docker/Dockerfile"; EXPOSE 80 as HTTP; }
        "#,
    );
    assert!(compiled && said.is_empty(), "{said}");
    let (compiled, said) = compile(
        directory.path(),
        r#"
            plywood::layers! { pub struct A; FROM "debian:12"; COPY "ap.py" => "/"; }
            plywood::layers! { pub struct B; FROM "debian:12"; COPY --embed "ap.py" => "/"; }
            plywood::dockerfile! { pub struct D; "docker/Dockerfil"; }
        "#,
    );
    assert_eq!((compiled, said.matches("\nerror: ").count()), (false, 3), "{said}");
    for part in ["`ap.py` is not in the build context", "`app.py` is there", "did you mean `docker/Dockerfile`?"] {
        assert!(said.contains(part), "{part} in {said}");
    }
}
