//! What `layers!` costs the compiler: building the macro, and expanding it beside the same calls written by hand.
//!
//! `cargo bench -p plywood --bench layers_macro`. It makes packages of their own in a temporary directory, which depend on
//! plywood as a user's do, and reads the processor time of the compiler. `PLYWOOD_BENCH_ROUNDS` is how often each is
//! compiled (default 5).
#![allow(missing_docs, unsafe_code, clippy::print_stdout, clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// How many definitions of twenty instructions a package has.
const DEFINITIONS: usize = 400;

/// The instructions of a definition, in both languages.
const INSTRUCTIONS: [(&str, &str); 20] = [
    (r#"FROM "debian:12-slim""#, r#".from("debian:12-slim")"#),
    (r#"ARG VERSION = "1.2""#, r#".arg("VERSION", "1.2")"#),
    (r#"ENV MODE = "test""#, r#".env("MODE", "test")"#),
    (r#"ENV PORT = "8080""#, r#".env("PORT", "8080")"#),
    (r#"LABEL maintainer = "somebody""#, r#".label("maintainer", "somebody")"#),
    (r#"WORKDIR "/srv/app""#, r#".workdir("/srv/app")"#),
    (r#"RUN "touch /stamp""#, r#".run("touch /stamp")"#),
    (r#"RUN "mkdir -p /srv/app/data""#, r#".run("mkdir -p /srv/app/data")"#),
    (r#"RUN "for i in a b c; do echo $i; done""#, r#".run("for i in a b c; do echo $i; done")"#),
    (r#"RUN ["true", "1"]"#, r#".run(::plywood::image::Run::exec(["true", "1"]))"#),
    (r#"RUN "if [ -e /x ]; then rm /x; fi""#, r#".run("if [ -e /x ]; then rm /x; fi")"#),
    (r#"RUN "echo hello | cat > /hello""#, r#".run("echo hello | cat > /hello")"#),
    (r#"USER "nobody""#, r#".user("nobody")"#),
    (r#"STOPSIGNAL "SIGINT""#, r#".stop_signal("SIGINT")"#),
    (r#"RUN "id -u""#, r#".run("id -u")"#),
    (r#"RUN "pwd""#, r#".run("pwd")"#),
    (r#"RUN "env | sort""#, r#".run("env | sort")"#),
    (r#"RUN "test -d /srv && echo yes""#, r#".run("test -d /srv && echo yes")"#),
    (r#"ENTRYPOINT ["sh", "-c"]"#, r#".entrypoint(["sh", "-c"])"#),
    (r#"CMD ["echo", "hello"]"#, r#".cmd(["echo", "hello"])"#),
];

fn main() {
    let rounds = std::env::var("PLYWOOD_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    let directory = tempfile::tempdir().unwrap();
    let scene = Scene { directory: directory.path() };
    scene.package("by-macro", ("plywood", "."), &definitions(declared));
    scene.package("by-hand", ("plywood", "."), &definitions(written));
    scene.package("nothing", ("plywood-macros", "../macros"), "");

    // What the packages depend on, the macro included.
    scene.compile("by-hand");
    scene.compile("by-macro");
    scene.compile("nothing");
    let built = median((0..rounds).map(|_| scene.rebuild_the_macro()).collect());
    println!("building plywood-syntax and plywood-macros: {:.2} s of processor time (target 3)", built.as_secs_f64());

    let (mut by_macro, mut by_hand) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        by_macro.push(scene.compile("by-macro"));
        by_hand.push(scene.compile("by-hand"));
    }
    let (by_macro, by_hand) = (median(by_macro), median(by_hand));
    println!("{DEFINITIONS} definitions of {} instructions, unoptimised, `cargo check`:", INSTRUCTIONS.len());
    println!("  by `layers!`  {:.2} s", by_macro.as_secs_f64());
    println!("  by hand       {:.2} s", by_hand.as_secs_f64());
    let each = by_macro.saturating_sub(by_hand).as_secs_f64() * 1000.0 / DEFINITIONS as f64;
    println!("  the difference for each: {each:.2} ms (target 1)");
}

/// The source of a package with that many definitions.
fn definitions(one: fn(usize) -> String) -> String {
    (0..DEFINITIONS).map(one).collect()
}

/// One by `layers!`.
fn declared(number: usize) -> String {
    let lines: String = INSTRUCTIONS.iter().map(|(instruction, _)| format!("    {instruction};\n")).collect();
    format!("::plywood::layers! {{\n    pub struct Image{number};\n{lines}}}\n")
}

/// The same by hand.
fn written(number: usize) -> String {
    let calls: String = INSTRUCTIONS.iter().map(|(_, call)| format!("            {call}\n")).collect();
    format!(
        "pub struct Image{number};\nimpl ::plywood::ImageDefinition for Image{number} {{\n    \
         fn layers(&self) -> ::plywood::Layers {{\n        ::plywood::Layers::new()\n            \
         .context(::core::env!(\"CARGO_MANIFEST_DIR\"))\n{calls}    }}\n}}\n"
    )
}

struct Scene<'a> {
    directory: &'a Path,
}

impl Scene<'_> {
    fn package(&self, name: &str, (dependency, path): (&str, &str), source: &str) {
        let package = self.directory.join(name);
        std::fs::create_dir_all(package.join("src")).unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let manifest = format!(
            "[package]\nname = {name:?}\nedition = \"2024\"\n[workspace]\n[dependencies]\n{dependency} = {{ path = {path:?} }}\n"
        );
        std::fs::write(package.join("Cargo.toml"), manifest).unwrap();
        std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock"), package.join("Cargo.lock")).unwrap();
        std::fs::write(package.join("src/lib.rs"), source).unwrap();
    }

    /// The processor time of checking a package whose dependencies are there.
    fn compile(&self, name: &str) -> Duration {
        let source = self.directory.join(name).join("src/lib.rs");
        let text = std::fs::read(&source).unwrap();
        std::fs::write(&source, text).unwrap();
        self.cargo(name, &["check", "--quiet"])
    }

    /// The processor time of building the macro for a package that depends on it, what it shares with all other macros
    /// being there.
    ///
    /// Asked for by itself (`-p plywood-macros`) Cargo would build it with debug information, which a dependency of the
    /// compiler has not.
    fn rebuild_the_macro(&self) -> Duration {
        self.cargo("nothing", &["clean", "--quiet", "-p", "plywood-syntax", "-p", "plywood-macros"]);
        self.cargo("nothing", &["check", "--quiet"])
    }

    fn cargo(&self, package: &str, arguments: &[&str]) -> Duration {
        let before = children();
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(arguments).current_dir(self.directory.join(package));
        cargo.env("CARGO_TARGET_DIR", self.directory.join("target")).env("CARGO_INCREMENTAL", "0");
        assert!(cargo.status().unwrap().success(), "{arguments:?}");
        children() - before
    }
}

/// The processor time of all processes that this one has waited for.
fn children() -> Duration {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: writes to `usage`, which outlives the call.
    unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr()) };
    // SAFETY: all zeroes is a value of it.
    let usage = unsafe { usage.assume_init() };
    let time = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    time(usage.ru_utime) + time(usage.ru_stime)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
