//! A definition prints as a Dockerfile that reads back to it, and a Dockerfile with mistakes lists them.

#![allow(clippy::unwrap_used)]

mod corpus;
mod random;

use std::time::Duration;

use super::*;
use crate::error::ErrorKind;

fn reads_back(layers: &Layers) {
    let text = layers.to_string();
    match Dockerfile::parse(&text) {
        Ok(file) => assert_eq!(file.layers(), *layers, "{text}"),
        Err(error) => panic!("{error}\n{text}"),
    }
}

#[test]
fn every_instruction_reads_back() {
    let inner = Layers::new().arg("V", "1").from("alpine:$V").run("a\nb").cmd(["x"]);
    reads_back(
        &Layers::new()
            .arg("V", "1 2")
            .from(Base::host(["sh", "a b"]))
            .platform("linux/amd64")
            .stage("one")
            .from(Base::definition(&inner))
            .stage("two")
            .from("debian:12")
            .arg_required("W")
            .envs([("A", "x"), ("B", "two\nlines ␤"), ("C", "\\$V"), ("D", "it's \"so\" \\ ")])
            .env("E", "")
            .labels([("a.b", "$W"), ("c", "${W:-x y}")])
            .run("make")
            .run("set -e\nmake\n")
            .run(" spaced ")
            .run("--flag")
            .run("[\"json\"]")
            .run("cat <<EOF\nx\nEOF\n")
            .run(["a", "b c", "\"\\\n"])
            .run(
                Run::shell("x")
                    .mount(RunMount::cache("/a,b").sharing("locked").id("$W"))
                    .mount(RunMount::bind("/x").from_image("nginx:1").source("a b").writable())
                    .mount(RunMount::secret("k").required().mode("0400"))
                    .mount(RunMount::bind("/y").from(Base::host(["ls"])))
                    .network("none")
                    .security("sandbox"),
            )
            .copy(["a", "b"], "/x/")
            .copy("a b", "/x y")
            .copy("it's", "/\"x\\y")
            .instruction(
                Copy::of("a").to("/a").from_stage("one").chown("a:b").chmod("0755").link().parents().exclude("*.x"),
            )
            .instruction(Copy::inline("text\n").to("/f"))
            .instruction(Copy::inline("EOF\nno end").to("/f"))
            .instruction(Copy::inline("").to("/empty"))
            .instruction(Copy::template("$W \\\\\\$V\n").to("/f"))
            .instruction(Copy::of("z").to("/d/").and_inline("a", "1").and_template("b", "$W\n"))
            .instruction(Add::of("https://a/b").to("/").keep_git_dir().no_unpack())
            .workdir("/a b'c")
            .user("a:b")
            .expose(80)
            .expose(["53/udp", "8000-8010/tcp"])
            .volume(["/a", "/b c", "/d'e"])
            .cmd("run $HOME")
            .entrypoint(" two\nlines\\\\ ")
            .shell(["/bin/bash", "-c"])
            .stop_signal("SIGINT")
            .health_check(HealthCheck::cmd("a | b").interval(Duration::from_millis(1500)).retries(2))
            .on_build(Run::shell("a\nb"))
            .on_build(Instruction::cmd("[x"))
            .on_build(Copy::inline("x").to("/x")),
    );
}

#[test]
fn what_a_dockerfile_cannot_say_reads_back() {
    let files = Embedded::new()
        .file("app.py", 0o644, b"print(1)\n")
        .file("a b/\"x\"", 0o4755, vec![0, 159, 146, 150])
        .directory("empty", 0o700)
        .link("main.py", "app.py");
    let nested = Layers::new().from("a:1").stage("In").from(Base::stage("In")).copy("x", "/x");
    let layers = Layers::new()
        .from("a:1")
        .stage("Build")
        .instruction(Copy::of("app.py").to("/app/").embedded(files))
        .instruction(Copy::of("x").to("/x").embedded(Embedded::new()))
        .instruction(Add::of("a.tar").to("/opt/").embedded(Embedded::new().file("a.tar", 0o644, b"\xff")))
        .instruction(Copy::of("x").to("/x").from_image("0"))
        .from(Base::stage("BUILD"))
        .stage("other")
        .instruction(Copy::of("/x").to("/x").from_stage("Build"))
        .instruction(Copy::of("/x").to("/x").from_stage("0"))
        .instruction(Copy::of("/x").to("/x").from_image("build"))
        .instruction(Copy::of("/x").to("/x").from_image("docker.io/library/build"))
        .run(
            Run::shell("x")
                .mount(RunMount::bind("/a").from_stage("Build"))
                .mount(RunMount::bind("/b").from_image("other"))
                .mount(RunMount::bind("/c").from(Base::definition(&nested))),
        )
        .from(Base::image("other"))
        .from(Base::image("docker.io/library/alpine"))
        .from(Base::stage("0"))
        .from("alpine:3")
        .from(Base::definition(nested));
    reads_back(&layers);
    let text = layers.to_string();
    for line in [
        "# plywood: stage \"Build\"\nFROM a:1 AS Build\n",
        "# plywood: embed file [\"app.py\", \"0644\", \"print(1)\\n\"]\n",
        "# plywood: embed link [\"main.py\", \"app.py\"]\nCOPY app.py /app/\n",
        "# plywood: image \"other\"\nFROM docker.io/library/other\n",
        "\nFROM docker.io/library/alpine\n",
    ] {
        assert!(text.contains(line), "{line}\nin {text}");
    }
}

#[test]
fn comments_that_nobody_generated_say_nothing() {
    for comment in
        ["embed file [", "embed file [\"a\"]", "host x", "image 1", "stage", "definition", "| x", "command", "?"]
    {
        let text = format!("# plywood: {comment}\nFROM a:1\n# plywood: {comment}\nCOPY a /b\n");
        assert_eq!(
            read::layers(&plywood_syntax::dockerfile::parse(&text), &"x".into()).instructions.len(),
            2,
            "{comment}"
        );
    }
}

#[test]
fn any_value_reads_back() {
    // Pieces that quoting could get wrong, in all orders; a fixed generator, so that a failure can be repeated.
    let pieces =
        ["a", " ", "\\", "\"", "'", "$V", "\\$", "${V:-b}", "#", "\n", "=", "ä", "<<E", "[", "--x", ",", "\t", "`"];
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut text = || {
        let mut text = String::new();
        for _ in 0..5 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push_str(pieces[(state >> 33) as usize % pieces.len()]);
        }
        // What is no value in a definition either.
        if plywood_syntax::variables::uses(&text).is_err() { "x".to_owned() } else { text }
    };
    for _ in 0..400 {
        let (value, path, script) = (text(), format!("/{}", text()), format!("{}x", text()));
        let layers = Layers::new()
            .from("a:1")
            .arg("V", &value)
            .env("A", &value)
            .label("k", &value)
            .workdir(&path)
            .instruction(Copy::of([format!("x{value}"), "y".to_owned()]).to(format!("{path}/")))
            .run(Run::shell("x").mount(RunMount::cache(&path)));
        let file = plywood_syntax::dockerfile::parse(&layers.to_string()).instructions;
        assert_eq!(file.len(), 7, "{layers}");
        let read = read::layers(&plywood_syntax::dockerfile::parse(&layers.to_string()), &"x".into());
        assert_eq!(read, layers, "{layers}");
        let layers = Layers::new().from("a:1").run(&script).cmd(&script).instruction(Copy::inline(&script).to("/x"));
        let read = read::layers(&plywood_syntax::dockerfile::parse(&layers.to_string()), &"x".into());
        assert_eq!(read, layers, "{layers}");
    }
}

#[test]
fn all_mistakes_of_a_file_are_listed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("Dockerfile");
    fs_write(&path, b"FROM Debian\nRUN a \\\n  && b\nEXPOSE 99999\n  WORKDRI /x\nENV A=$B\n");
    let error = Dockerfile::open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let name = path.display();
    let expected = format!(
        "invalid image definition, 3 mistakes:\n  {name}:1:6: image names are lower case: `debian` (debian)\n  \
         {name}:4:8: `99999` is not a port (ports run from 1 to 65535)\n  \
         {name}:5:3: unknown instruction `WORKDRI` (did you mean `WORKDIR`?)"
    );
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_file_that_docker_builds_warns_only() {
    let file = Dockerfile::parse("FROM debian:12\nENV A $B\nCOPY x y\nCMD a\nCMD b\n").unwrap();
    file.layers().check().unwrap();
    let warned = |part: &str| assert!(file.warnings().iter().any(|line| line.contains(part)), "{:?}", file.warnings());
    warned("Dockerfile:2:7: `$B` is not defined here");
    warned("Dockerfile:3:8: destination `y` is relative");
    warned("Dockerfile:4:1: only the last `CMD`");
    // In a definition of the program they are mistakes.
    let error = Layers::new().from("debian:12").env("A", "$B").check().unwrap_err();
    assert!(error.to_string().contains("`$B` is not defined here"), "{error}");
}

#[test]
fn files_that_cannot_be_read_say_why() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("Dockerfile");
    assert_eq!(Dockerfile::open(&path).unwrap_err().kind(), ErrorKind::NotFound);
    fs_write(&path, b"FROM a:1\nRUN \xff\n");
    let error = Dockerfile::open(&path).unwrap_err();
    assert!(error.to_string().ends_with(":2:5: a byte that is not UTF-8"), "{error}");
    fs_write(&path, b"");
    assert!(Dockerfile::open(&path).unwrap_err().to_string().contains("no `FROM`"));
    fs_write(&path, b"\xef\xbb\xbfFROM a:1\r\nRUN x\r\n");
    assert_eq!(Dockerfile::open(&path).unwrap().layers(), Layers::new().from("a:1").run("x"));
}

fn fs_write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
}
