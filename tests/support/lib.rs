//! What the behaviour tests share: an engine on a temporary data root, an image made on the spot, and the needs of a
//! test, stated in its first line.

use std::fmt::Display;
use std::path::PathBuf;

use plywood::container::{Definition, Output};
use plywood::{Base, Container, Engine, Image, Layers};

mod disk;
pub mod dockerd;
mod layout;
pub mod left;
pub mod bundle;
mod tarball;
mod tmpfs;
pub mod place;
pub mod trace;
mod unmount;
pub mod victim;

pub use disk::LoopDisk;
pub use layout::Layout;
pub use tarball::Tarball;
pub use tmpfs::Tmpfs;

/// Programs of the host that the test image holds; every one is part of coreutils or a POSIX shell.
pub const PROGRAMS: [&str; 18] = [
    "sh", "cat", "ls", "id", "env", "echo", "sleep", "head", "dd", "touch", "mkdir", "rm", "ln", "stat", "chmod",
    "true", "false", "pwd",
];

/// Where the workspace lies; a runner that has moved the tests says so at run time.
pub fn workspace() -> PathBuf {
    let tests = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    PathBuf::from(tests).parent().map(PathBuf::from).unwrap_or_default()
}

/// Whether this process is root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Says why a test is skipped; with `PLYWOOD_TEST_STRICT=1`, as in CI, a missing need is a failure instead.
///
/// # Panics
/// If the host must not lack anything.
#[allow(clippy::print_stderr)]
pub fn skip(reason: impl Display) {
    assert!(std::env::var_os("PLYWOOD_TEST_STRICT").is_none_or(|value| value != "1"), "the host lacks: {reason}");
    eprintln!("skipped: {reason}");
}

/// Returns from the test, saying why, unless it runs as root.
///
/// An ordinary user is no lack of the host: the strict run is made by root and by an ordinary user, and each skips what
/// belongs to the other.
#[macro_export]
macro_rules! require_root {
    () => {
        if !$crate::is_root() {
            eprintln!("skipped: this test is for root");
            return;
        }
    };
}

/// Returns from the test, saying why, unless it runs as an ordinary user.
#[macro_export]
macro_rules! require_ordinary_user {
    () => {
        if $crate::is_root() {
            eprintln!("skipped: this test is for an ordinary user");
            return;
        }
    };
}

/// Returns from the test, saying what the host lacks, unless this program is installed.
#[macro_export]
macro_rules! require_program {
    ($name:expr) => {
        if !$crate::has_program($name) {
            return $crate::skip(format_args!("the program {}", $name));
        }
    };
}

/// Returns from the test, saying what the host lacks, unless `fuse-overlayfs` can show files.
#[macro_export]
macro_rules! require_fuse_overlayfs {
    () => {
        $crate::require_program!("fuse-overlayfs");
        if !std::path::Path::new("/dev/fuse").exists() {
            return $crate::skip("/dev/fuse");
        }
    };
}

/// Whether files in containers can belong to several users: for root, and where this user has subordinate ids.
///
/// # Panics
/// If `PLYWOOD_TEST_IDS=several` says that they can, and they cannot.
pub fn has_several_ids(engine: &Engine) -> bool {
    let map = run(engine, &image(engine), "cat /proc/self/uid_map");
    let has = is_root() || map.lines().count() > 1;
    let must = std::env::var_os("PLYWOOD_TEST_IDS").is_some_and(|value| value == "several");
    assert!(has || !must, "this user was given subordinate ids, and its containers have one: {map}");
    has
}

/// Whether a program is on the `PATH`.
pub fn has_program(name: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(name).is_file()))
}

/// An engine on a data root of its own, removed with it.
///
/// # Panics
/// If the host cannot hold one.
pub fn engine() -> Engine {
    Engine::temp().unwrap_or_else(|error| panic!("{error:?}"))
}

/// An image that holds [`PROGRAMS`].
///
/// # Panics
/// If it cannot be built.
pub fn image(engine: &Engine) -> Image {
    engine.build(&base()).unwrap_or_else(|error| panic!("{error:?}"))
}

/// The definition of an image that holds [`PROGRAMS`].
pub fn base() -> Layers {
    Layers::new().from(Base::host(PROGRAMS))
}

/// A container of this image, to run a script.
pub fn sh<D>(image: &Image<D>, script: &str) -> Definition<D> {
    Container::of(image).cmd(["sh", "-c", script])
}

/// Runs a script in a container of this image; what it wrote.
///
/// # Panics
/// If it cannot be run, fails or writes to standard error.
pub fn run<D>(engine: &Engine, image: &Image<D>, script: &str) -> String {
    text(sh(image, script).output(engine).unwrap_or_else(|error| panic!("{error:?}")))
}

/// What a program that succeeded wrote.
///
/// # Panics
/// If it failed or wrote to standard error.
pub fn text(output: Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && error.is_empty(), "{}: {error}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}
