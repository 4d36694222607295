//! Compiles the helper program, `helper/main.rs`, for the target of the SDK; the SDK includes it. In a build without
//! optimisation also the hash function, `src/sys/sha256/compress.rs`, with optimisation.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs, io};

/// What the program is made of; the last ones are the SDK's own.
const SOURCES: [&str; 4] = ["helper", "src/sys/child.rs", "src/sys/layout.rs", "src/logs/piece.rs"];

/// Nothing of a C library, no position independence (it is linked to one address and needs no loader), and sections
/// that are not used go. Its few writable bytes share one page, which each of its processes has for itself.
const OPTIONS: [&str; 14] = [
    "--edition=2024",
    "--crate-type=bin",
    "--crate-name=plywood_helper",
    "-Copt-level=s",
    "-Ccodegen-units=1",
    "-Cpanic=abort",
    "-Cdebuginfo=0",
    "-Cstrip=symbols",
    "-Coverflow-checks=off",
    "-Crelocation-model=static",
    "-Crelro-level=off",
    "-Ctarget-feature=+crt-static",
    "-Cforce-unwind-tables=no",
    "-Cembed-bitcode=no",
];

/// The linker that comes with the compiler links for every target. A compiler without it links with the one of the
/// system, which is there for the rest of the program anyway.
const LINKERS: [&[&str]; 2] = [
    &["-Clinker=rust-lld", "-Clinker-flavor=ld.lld", "-Clink-self-contained=no"],
    &["-Clink-arg=-nostartfiles", "-Clink-arg=-nostdlib", "-Clink-arg=-static"],
];

/// The hash function, and how it is compiled: as an object that needs no other.
const HASH: &str = "src/sys/sha256/compress.rs";
const HASH_OPTIONS: [&str; 10] = [
    "--edition=2024",
    "--crate-type=lib",
    "--crate-name=plywood_sha256",
    "--emit=obj",
    "-Copt-level=3",
    "-Ccodegen-units=1",
    "-Cpanic=abort",
    "-Cdebuginfo=0",
    "-Coverflow-checks=off",
    "-Cforce-unwind-tables=no",
];

fn main() -> ExitCode {
    for source in SOURCES.iter().chain([&HASH]) {
        println!("cargo::rerun-if-changed={source}");
    }
    println!("cargo::rustc-check-cfg=cfg(unoptimised)");
    let built = helper().and_then(|()| if variable("OPT_LEVEL") == "0" { hash() } else { Ok(()) });
    match built {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            println!("cargo::error=a part of plywood cannot be built for {}:", variable("TARGET"));
            failure.lines().for_each(|line| println!("cargo::error={line}"));
            ExitCode::FAILURE
        }
    }
}

fn helper() -> Result<(), String> {
    let program = output("helper");
    let mut failures = String::new();
    for linker in LINKERS {
        let mut rustc = rustc();
        rustc.args(OPTIONS).args(linker).args(own_linker(linker));
        rustc.arg("-o").arg(&program).arg(Path::new("helper").join("main.rs"));
        match run(&mut rustc) {
            Ok(()) => return Ok(()),
            Err(failure) => failures.push_str(&failure),
        }
    }
    Err(failures)
}

/// Compiles the hash function and has it linked.
fn hash() -> Result<(), String> {
    let object = output("plywood_sha256.o");
    run(rustc().args(HASH_OPTIONS).arg("-o").arg(&object).arg(HASH))?;
    let archive = output("libplywood_sha256.a");
    write_archive(&object, &archive).map_err(|error| format!("write {archive:?}: {error}"))?;
    println!("cargo::rustc-cfg=unoptimised");
    println!("cargo::rustc-link-search=native={}", variable("OUT_DIR"));
    println!("cargo::rustc-link-lib=static=plywood_sha256");
    Ok(())
}

/// Puts the object into an archive, as `ar` would: a compiler is all that building takes.
fn write_archive(object: &Path, archive: &Path) -> io::Result<()> {
    let mut content = fs::read(object)?;
    let header = format!("!<arch>\n{:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", "sha256.o/", 0, 0, 0, 644, content.len());
    if content.len() % 2 == 1 {
        content.push(b'\n');
    }
    fs::write(archive, [header.into_bytes(), content].concat())
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

/// A file that is built.
fn output(name: &str) -> PathBuf {
    Path::new(&variable("OUT_DIR")).join(name)
}

/// The compiler, for the target.
fn rustc() -> Command {
    let mut rustc = Command::new(variable("RUSTC"));
    rustc.arg("--target").arg(variable("TARGET"));
    rustc
}

fn run(rustc: &mut Command) -> Result<(), String> {
    match rustc.output() {
        Ok(done) if done.status.success() => Ok(()),
        Ok(done) => Err(String::from_utf8_lossy(&done.stderr).into_owned()),
        Err(error) => Err(format!("run {:?}: {error}\n", rustc.get_program())),
    }
}

/// The linker that the user has chosen for this target, for those that are not named already.
fn own_linker(named: &[&str]) -> Option<String> {
    let is_named = named.iter().any(|argument| argument.starts_with("-Clinker="));
    let chosen = env::var("RUSTC_LINKER").ok().filter(|linker| !linker.is_empty());
    chosen.filter(|_| !is_named).map(|linker| format!("-Clinker={linker}"))
}
