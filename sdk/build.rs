//! Compiles the helper program, `helper/main.rs`, for the target of the SDK; the SDK includes it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// What the program is made of; the last ones are the SDK's own.
const SOURCES: [&str; 4] = ["helper", "src/sys/child.rs", "src/sys/layout.rs", "src/logs/piece.rs"];

/// Nothing of a C library, no position independence (it is linked to one address and needs no loader), and sections
/// that are not used go.
const OPTIONS: [&str; 12] = [
    "--edition=2024",
    "--crate-type=bin",
    "--crate-name=plywood_helper",
    "-Copt-level=s",
    "-Cpanic=abort",
    "-Cdebuginfo=0",
    "-Cstrip=symbols",
    "-Coverflow-checks=off",
    "-Crelocation-model=static",
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

fn main() -> ExitCode {
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let program = PathBuf::from(variable("OUT_DIR")).join("helper");
    let mut failures = String::new();
    for linker in LINKERS {
        let mut rustc = Command::new(variable("RUSTC"));
        rustc.args(OPTIONS).args(linker).args(own_linker(linker)).arg("--target").arg(variable("TARGET"));
        rustc.arg("-o").arg(&program).arg(Path::new("helper").join("main.rs"));
        match rustc.output() {
            Ok(done) if done.status.success() => return ExitCode::SUCCESS,
            Ok(done) => failures.push_str(&String::from_utf8_lossy(&done.stderr)),
            Err(error) => failures.push_str(&format!("run {:?}: {error}\n", rustc.get_program())),
        }
    }
    println!("cargo::error=the helper program of plywood cannot be built for {}:", variable("TARGET"));
    failures.lines().for_each(|line| println!("cargo::error={line}"));
    ExitCode::FAILURE
}

/// The linker that the user has chosen for this target, for those that are not named already.
fn own_linker(named: &[&str]) -> Option<String> {
    let is_named = named.iter().any(|argument| argument.starts_with("-Clinker="));
    let chosen = env::var("RUSTC_LINKER").ok().filter(|linker| !linker.is_empty());
    chosen.filter(|_| !is_named).map(|linker| format!("-Clinker={linker}"))
}
