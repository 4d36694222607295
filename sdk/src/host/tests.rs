#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Command;

use super::plan::plan_with;
use super::*;
use crate::error::{Error, ErrorKind};

fn names(programs: &[&str]) -> Vec<String> {
    programs.iter().map(|name| (*name).to_owned()).collect()
}

fn executable(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

/// The error of taking `/…/program`, a file of these bytes.
fn refusal_of(bytes: &[u8]) -> (Error, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("program");
    executable(&path, bytes);
    (plan(&[path.to_str().unwrap().to_owned()]).unwrap_err(), path)
}

fn compile(arguments: &[&str], source: &str, directory: &Path) {
    let file = directory.join("source.c");
    fs::write(&file, source).unwrap();
    // Rust's own linker driver: wherever these tests were built, it is there.
    let status = Command::new("cc").arg(&file).args(arguments).current_dir(directory).status().unwrap();
    assert!(status.success());
}

/// chroot(8); not every ordinary user has its directory in `PATH`.
const CHROOT: &str = "/usr/sbin/chroot";

/// Runs `arguments` with `root` as root directory: as root, or as root of a user namespace.
///
/// Gives nothing, and says so, where this host allows neither.
#[allow(clippy::print_stderr)]
fn chroot(root: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = match rustix::process::geteuid().is_root() {
        true => Command::new(CHROOT),
        false => {
            let mut unshare = Command::new("unshare");
            if !unshare.args(["--map-root-user", "true"]).status().is_ok_and(|status| status.success()) {
                eprintln!("skipped: neither root nor user namespaces");
                return None;
            }
            let mut unshare = Command::new("unshare");
            unshare.args(["--map-root-user", CHROOT]);
            unshare
        }
    };
    // ld.so asks /proc for `$ORIGIN`, which a bare tree has not.
    let origin = Path::new(arguments[0]).parent().unwrap();
    let output = command.arg(root).args(arguments).env("LD_ORIGIN_PATH", origin).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn programs_run_in_their_tree() {
    let root = tempfile::tempdir().unwrap();
    let base = write_tree(&names(&["sh", "ls", "cat"]), root.path()).unwrap();
    assert!(base.bytes > 100_000);
    let script = "PATH=/usr/bin:/bin; cat /etc/group; ls -d /tmp; echo $((6*7)) | cat";
    if let Some(output) = chroot(root.path(), &["/bin/sh", "-c", script]) {
        assert_eq!(output, "root:x:0:\nnogroup:x:65534:\n/tmp\n42\n");
    }
}

#[test]
fn the_tree_has_the_links_modes_and_owners_of_the_host() {
    let root = tempfile::tempdir().unwrap();
    write_tree(&names(&["sh"]), root.path()).unwrap();
    for link in ["/bin", "/lib64", "/bin/sh"] {
        if let Ok(target) = fs::read_link(link) {
            assert_eq!(fs::read_link(root.path().join(&link[1..])).unwrap(), target, "{link}");
        }
    }
    let real = fs::canonicalize("/bin/sh").unwrap();
    let copy = fs::symlink_metadata(root.path().join(real.strip_prefix("/").unwrap())).unwrap();
    assert_eq!(copy.mode() & 0o777, fs::metadata(&real).unwrap().mode() & 0o777);
    assert_eq!(copy.uid(), rustix::process::geteuid().as_raw());
    let mode = |path: &str| fs::metadata(root.path().join(path)).unwrap().mode() & 0o7777;
    assert_eq!((mode("tmp"), mode("root"), mode("usr"), mode("etc/passwd")), (0o1777, 0o700, 0o755, 0o644));
    for path in ["", "usr", "etc/passwd", "bin"] {
        let time = fs::symlink_metadata(root.path().join(path)).unwrap().mtime();
        assert_eq!(time, TIME.tv_sec, "{path:?}");
    }
}

#[test]
fn equal_files_have_equal_fingerprints() {
    let fingerprint_of = |programs: &[&str]| fingerprint(&names(programs)).unwrap();
    assert_eq!(fingerprint_of(&["cat", "sh"]), fingerprint_of(&["sh", "cat", "sh"]));
    assert_ne!(fingerprint_of(&["sh"]), fingerprint_of(&["sh", "cat"]));

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("program");
    fs::copy("/bin/sh", &path).unwrap();
    let program = [path.to_str().unwrap().to_owned()];
    let before = fingerprint(&program).unwrap();
    File::options().write(true).open(&path).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(fingerprint(&program).unwrap(), before);
    File::options().append(true).open(&path).unwrap().write_all(b"x").unwrap();
    assert_ne!(fingerprint(&program).unwrap(), before);
}

#[test]
fn a_static_program_needs_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    // Neither start files nor a C library, so no static libc has to be installed.
    let source = "void _start(void) { for (;;) ; }";
    compile(&["-static", "-nostdlib", "-o", "program"], source, directory.path());
    let plan = plan(&[directory.path().join("program").to_str().unwrap().to_owned()]).unwrap();
    let copies: Vec<_> = plan.files.iter().filter(|(_, file)| matches!(file, HostFile::Copy { .. })).collect();
    assert_eq!(copies.len(), 1, "{copies:?}");
}

#[test]
fn a_module_of_a_program_brings_its_libraries() {
    let directory = tempfile::tempdir().unwrap();
    let real = fs::canonicalize(directory.path()).unwrap();
    let shared = ["-shared", "-fPIC", "-nostdlib", "-o"];
    compile(&[&shared[..], &["libanswer.so.1"]].concat(), "int answer(void) { return 42; }", &real);
    let source = "int answer(void); int ask(void) { return answer(); }";
    compile(&[&shared[..], &["module.so", "libanswer.so.1", "-Wl,-rpath,$ORIGIN"]].concat(), source, &real);
    let module = real.join("module.so").to_str().unwrap().to_owned();
    let has_library = |programs: &[String]| plan(programs).unwrap().files.contains_key(&real.join("libanswer.so.1"));
    assert!(has_library(&["sh".to_owned(), module.clone()]));
    assert!(!has_library(&[module]), "nobody loads it");
}

#[test]
fn libraries_beside_the_program_are_found_through_origin() {
    let directory = tempfile::tempdir().unwrap();
    let real = fs::canonicalize(directory.path()).unwrap();
    fs::create_dir(real.join("lib")).unwrap();
    compile(
        &["-shared", "-fPIC", "-Wl,-soname,libanswer.so.1", "-o", "lib/libanswer.so.1.2"],
        "int answer(void) { return 42; }",
        &real,
    );
    symlink("libanswer.so.1.2", real.join("lib/libanswer.so.1")).unwrap();
    let source = "int answer(void); int main(void) { return answer() - 42; }";
    compile(&["-o", "program", "lib/libanswer.so.1", "-Wl,-rpath,$ORIGIN/lib"], source, &real);
    let program = [real.join("program").to_str().unwrap().to_owned()];
    let root = tempfile::tempdir().unwrap();
    let base = write(&plan(&program).unwrap(), root.path()).unwrap();
    assert_eq!(base.search_path, "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    let inside = root.path().join(real.strip_prefix("/").unwrap());
    assert_eq!(fs::read_link(inside.join("lib/libanswer.so.1")).unwrap(), Path::new("libanswer.so.1.2"));
    chroot(root.path(), &[&program[0]]);

    fs::remove_file(real.join("lib/libanswer.so.1")).unwrap();
    let error = plan(&program).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let expected =
        format!("take program {0:?} from the host: \"libanswer.so.1\", needed by {0:?}, was not found", program[0]);
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_program_outside_the_usual_directories_extends_the_search_path() {
    let directory = tempfile::tempdir().unwrap();
    fs::copy("/bin/sh", directory.path().join("mine")).unwrap();
    let plan = plan_with(&names(&["mine"]), directory.path().as_os_str()).unwrap();
    assert!(plan.search_path.ends_with(&format!(":/bin:{}", directory.path().display())), "{}", plan.search_path);
}

#[test]
fn what_is_not_on_the_path_is_named_with_the_path() {
    let error = plan_with(&names(&["frobnicate"]), OsStr::new("/usr/bin:/bin")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let expected = "take program \"frobnicate\" from the host: no such program on the PATH (/usr/bin:/bin)";
    assert_eq!(error.to_string(), expected);
    assert_eq!(plan(&[]).unwrap_err().to_string(), "take programs from the host: no program is named");
    let error = plan(&names(&["target/debug/app"])).unwrap_err();
    assert!(error.to_string().ends_with("a program is given by its name or its absolute path"), "{error}");
}

#[test]
fn a_script_is_named_with_its_interpreter() {
    let (error, path) = refusal_of(b"#!/bin/sh -e\nexit 0\n");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let expected = format!("take program {path:?} from the host: {path:?} is a script run by \"/bin/sh\"");
    assert_eq!(error.to_string(), expected);
    assert_eq!(error.hint(), Some(format!("take \"/bin/sh\" from the host, and COPY the script {path:?}").as_str()));
    assert_eq!(error.path(), Some(path.as_path()));
}

#[test]
fn other_architectures_and_other_files_are_refused() {
    let mut bytes = fs::read("/bin/sh").unwrap();
    bytes[18..20].copy_from_slice(&243_u16.to_le_bytes());
    let (error, path) = refusal_of(&bytes);
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let host = std::env::consts::ARCH;
    let expected = format!("take program {path:?} from the host: {path:?} is for riscv64, and this host is {host}");
    assert_eq!(error.to_string(), expected);

    let (error, path) = refusal_of(b"hello");
    let expected = format!("take program {path:?} from the host: {path:?} is neither an ELF program nor a script");
    assert_eq!(error.to_string(), expected);

    let (error, _) = refusal_of(&fs::read("/bin/sh").unwrap()[..200]);
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().ends_with("it is not a well-formed ELF file"), "{error}");
}

#[test]
fn a_loop_of_links_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("program");
    symlink("program", &path).unwrap();
    let error = plan(&[path.to_str().unwrap().to_owned()]).unwrap_err();
    assert!(error.to_string().ends_with("has too many symbolic links"), "{error}");
    let error = plan(&[directory.path().to_str().unwrap().to_owned()]).unwrap_err();
    assert!(error.to_string().ends_with("is not a regular file"), "{error}");
}
