//! Files that the definition holds itself, and context files that have changed since it was made.

use super::*;
use crate::error::ErrorKind;
use crate::image::Embedded;

fn files() -> Embedded {
    Embedded::new()
        .file("app/main.py", 0o644, b"print()\n")
        .file("app/run", 0o755, b"#!/bin/sh\n")
        .directory("app/empty", 0o700)
        .link("app/again", "run")
        .link("entry", "app/run")
}

#[test]
fn embedded_files_need_no_context() {
    let store = Store::new();
    std::fs::remove_dir(store.context()).unwrap();
    let definition = scratch()
        .instruction(Copy::of("app").to("/app/").embedded(files()))
        .instruction(Copy::of(["app/*.py", "entry"]).to("/opt/").embedded(files()).chmod("0600"))
        .instruction(Copy::of("app").to("/only/").embedded(files()).exclude("*.py"));
    let built = store.build(&definition);
    assert_eq!(built.names("/app"), ["again", "empty", "main.py", "run"]);
    assert_eq!(built.names("/opt"), ["entry", "main.py"]);
    assert_eq!(built.names("/only"), ["again", "empty", "run"]);
    assert_eq!(built.text("/app/main.py").unwrap(), "print()\n");
    assert_eq!(built.text("/app/again").unwrap(), "#!/bin/sh\n");
    let mode = |path: &str| built.view.resolve(path).unwrap().unwrap().mode;
    assert_eq!(
        [mode("/app/run"), mode("/app/main.py"), mode("/app/empty"), mode("/opt/entry")],
        [0o755, 0o644, 0o700, 0o600]
    );
    assert_eq!(store.build(&definition).cached(), [true, true, true]);
    let other = files().file("app/main.py", 0o644, b"print(1)\n");
    let changed = store.build(&scratch().instruction(Copy::of("app").to("/app/").embedded(other)));
    assert_eq!((changed.cached(), changed.text("/app/main.py").unwrap().as_str()), (vec![false], "print(1)\n"));
}

#[test]
fn an_embedded_archive_is_unpacked() {
    let store = Store::new();
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(2);
    header.set_mode(0o644);
    tar.append_data(&mut header, "x/y", &b"in"[..]).unwrap();
    let files = Embedded::new().file("a.tar", 0o644, tar.into_inner().unwrap());
    let built = store.build(&scratch().instruction(Add::of("a.tar").to("/opt/").embedded(files)));
    assert_eq!((built.names("/opt"), built.text("/opt/x/y").unwrap().as_str()), (vec!["x".to_owned()], "in"));
}

#[test]
fn a_source_that_has_gone_or_changed_since_is_named() {
    let store = Store::new();
    store.file("conf/app.toml", "a");
    let definition = scratch().copy("conf/app.toml", "/etc/");
    store.build(&definition);
    std::fs::rename(store.context().join("conf/app.toml"), store.context().join("conf/app.yaml")).unwrap();
    let error = store.refusal(&definition);
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let text = error.to_string();
    assert!(text.starts_with("COPY \"conf/app.toml\": not found in the build context"), "{text}");
    assert!(error.hint().is_some_and(|hint| hint.contains("embedded.rs")), "{error:?}");
    // What was copied is what is there: another content is another layer.
    store.file("conf/app.toml", "b");
    let built = store.build(&definition);
    assert_eq!((built.cached(), built.text("/etc/app.toml").unwrap().as_str()), (vec![false], "b"));
    let error = store.refusal(&scratch().instruction(Copy::of("none").to("/x").embedded(files())));
    assert!(error.to_string().starts_with("COPY \"none\": not found in the embedded files"), "{error}");
}

#[test]
fn a_dockerfile_has_ignore_rules_of_its_own() {
    let store = Store::new();
    store.file("a.txt", "a").file("b.txt", "b").file(".dockerignore", "a.txt\n");
    store.file("api.Dockerfile", "FROM scratch\nCOPY *.txt /\n").file("api.Dockerfile.dockerignore", "b.txt\n");
    let file = crate::image::Dockerfile::open(store.context().join("api.Dockerfile")).unwrap();
    let names = |store: &Store| {
        let names = store.build_with(&crate::image::ImageDefinition::layers(&file), Options::new()).unwrap().names("/");
        names.into_iter().filter(|name| name.ends_with(".txt")).collect::<Vec<_>>()
    };
    assert_eq!(names(&store), ["a.txt"]);
    std::fs::remove_file(store.context().join("api.Dockerfile.dockerignore")).unwrap();
    assert_eq!(names(&store), ["b.txt"]);
    store.file("api.Dockerfile.dockerignore", "b.txt\n");
    let named = Layers::new().context(store.context()).of_dockerfile(store.context().join("api.Dockerfile"));
    let error = store.build_with(&named.from(Base::scratch()).copy("b.txt", "/"), Options::new()).unwrap_err();
    assert!(error.to_string().contains("excluded by api.Dockerfile.dockerignore, line 1"), "{error}");
}
