#![allow(clippy::unwrap_used)]

use std::fs as stdfs;
use std::os::unix::fs::symlink;

use super::super::tree::find;
use super::*;

struct Files(tempfile::TempDir);

impl Files {
    fn new(paths: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for path in paths {
            let path = directory.path().join(path);
            stdfs::create_dir_all(path.parent().unwrap()).unwrap();
            stdfs::write(&path, path.file_name().unwrap().as_bytes()).unwrap();
        }
        Self(directory)
    }

    fn link(&self, path: &str, target: &str) {
        symlink(target, self.0.path().join(path)).unwrap();
    }

    fn find(&self, source: &str) -> Result<Vec<String>> {
        let context = Context::open(self.0.path(), Chosen::ByDefinition, None).unwrap();
        let found = find(&context, "COPY", source)?;
        Ok(found.iter().map(|source| source.entry.path.to_string_lossy().into_owned()).collect())
    }

    fn refusal(&self, source: &str) -> String {
        let message = self.find(source).unwrap_err().to_string();
        message.replace(self.0.path().to_str().unwrap(), "/ctx")
    }
}

#[test]
fn sources_are_found_below_the_context() {
    let files = Files::new(&["app.py", "conf/a.toml", "conf/b.toml", "conf/deep/c.toml", "x"]);
    for (source, expected) in [
        ("app.py", &["app.py"][..]),
        ("/app.py", &["app.py"]),
        ("./conf/../app.py", &["app.py"]),
        (".", &[""]),
        ("conf/*.toml", &["conf/a.toml", "conf/b.toml"]),
        ("*/a.*", &["conf/a.toml"]),
        ("**/*.toml", &["conf/a.toml", "conf/b.toml", "conf/deep/c.toml"]),
        ("[wx]", &["x"]),
    ] {
        assert_eq!(files.find(source).unwrap(), expected, "{source}");
    }
}

#[test]
fn a_missing_source_names_the_nearest() {
    let files = Files::new(&["conf/app.toml"]);
    let message = files.refusal("conf/app.tml");
    let expected = "COPY \"conf/app.tml\": not found in the build context \"/ctx\" (did you mean \"conf/app.toml\"?)";
    assert_eq!(message, expected);
    let message = files.refusal("cnof/app.toml");
    assert!(message.ends_with("(did you mean \"conf/app.toml\"?)"), "{message}");
    let advice = "(put it there, or make the files part of the program with COPY --embed)";
    assert_eq!(files.refusal("zzz"), format!("COPY \"zzz\": not found in the build context \"/ctx\" {advice}"));
    let message = files.refusal("*.tml");
    assert_eq!(message, format!("COPY \"*.tml\": matches nothing in the build context \"/ctx\" {advice}"));
    assert_eq!(files.refusal("[a-"), "COPY \"[a-\": malformed pattern");
}

#[test]
fn a_link_to_nothing_and_a_socket_are_named_as_such() {
    let files = Files::new(&["app.py"]);
    files.link("dangling", "missing.py");
    let message = files.refusal("dangling");
    assert!(message.ends_with(": \"dangling\" is a link to \"missing.py\", which is not there"), "{message}");
    let _socket = std::os::unix::net::UnixListener::bind(files.0.path().join("app.sock")).unwrap();
    let expected = "COPY \"app.sock\": it is a socket, which no archive, and so no image, can hold";
    assert_eq!(files.refusal("app.sock"), expected);
    assert_eq!(files.find("app.*").unwrap(), ["app.py"]);
    let message = files.refusal("*.sock");
    assert!(message.starts_with("COPY \"*.sock\": matches nothing in the build context \"/ctx\""), "{message}");
}

#[test]
fn no_path_leads_out_of_the_context() {
    let files = Files::new(&["a/file"]);
    files.link("out", "/etc");
    files.link("a/up", "../../etc");
    files.link("hop", "a/up");
    files.link("in", "a/../a");
    let parent = "the path leads out of \"/ctx\", the build context, through \"..\"";
    for source in ["../x", "a/../../x", "a/up/../.."] {
        assert!(files.refusal(source).starts_with(&format!("COPY {source:?}: ")), "{source}");
    }
    assert_eq!(files.refusal("../x"), format!("COPY \"../x\": {parent}"));
    let message = files.refusal("out/passwd");
    assert_eq!(
        message,
        "COPY \"out/passwd\": \"out\" is a link to \"/etc\", which is outside \"/ctx\", the build context"
    );
    for source in ["a/up/passwd", "hop/passwd", "hop"] {
        let message = files.refusal(source);
        assert!(message.contains("\"a/up\" is a link to \"../../etc\""), "{message}");
    }
    assert_eq!(files.find("in/file").unwrap(), ["a/file"]);
}

#[test]
fn links_that_go_round_are_refused() {
    let files = Files::new(&[]);
    files.link("round", "round");
    assert!(files.refusal("round").ends_with("too many symbolic links at \"round\""));
}

#[test]
fn what_dockerignore_excludes_is_not_there() {
    let files = Files::new(&["keep", "secret.txt", "logs/a", "logs/keep/b", "target/x"]);
    stdfs::write(files.0.path().join(".dockerignore"), "secret.txt\nlogs\n!logs/keep\ntarget\n").unwrap();
    assert!(files.refusal("secret.txt").ends_with("it is excluded by .dockerignore, line 1"));
    let context = Context::open(files.0.path(), Chosen::ByDefinition, None).unwrap();
    let names = |path: &str| -> Vec<String> {
        let entry = context.resolve(Path::new(path)).unwrap().unwrap();
        context.children(&entry).unwrap().iter().map(|entry| entry.path.to_string_lossy().into_owned()).collect()
    };
    assert_eq!(names(""), [".dockerignore", "keep", "logs"]);
    assert_eq!(names("logs"), ["logs/keep"]);
    assert_eq!(files.find("logs/*").unwrap(), ["logs/keep"]);
}

#[test]
fn a_context_must_be_a_directory() {
    let files = Files::new(&["file"]);
    let error = Context::open(&files.0.path().join("file"), Chosen::ByDefinition, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(
        Context::open(&files.0.path().join("none"), Chosen::ByDefinition, None).unwrap_err().kind(),
        ErrorKind::NotFound
    );
}
