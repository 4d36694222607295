//! Sources that somebody writes to while they are copied.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use super::*;
use crate::error::ErrorKind;
use crate::spec::ImageId;

/// Builds; when the sources were read and before they are copied, `meanwhile` is called with the context.
fn build_while(store: &Store, definition: &Layers, meanwhile: impl Fn(&Path) + Send + 'static) -> Result<ImageId> {
    let context = store.context();
    let options = store.options().progress(move |event| {
        if matches!(event, Event::Step { text, cached: false, .. } if text.starts_with("COPY")) {
            meanwhile(&context);
        }
    });
    build(&store.images, definition, &options)
}

#[test]
fn a_source_that_changes_while_it_is_copied_is_an_error() {
    type Change = fn(&Path);
    let changes: [(&str, &str, Change); 9] = [
        ("d", "d/a", |context| fs::write(context.join("d/a"), "longer").unwrap()),
        ("d", "d/a", |context| {
            fs::write(context.join("new"), "A").unwrap();
            fs::rename(context.join("new"), context.join("d/a")).unwrap();
        }),
        ("d", "d/a", |context| fs::set_permissions(context.join("d/a"), fs::Permissions::from_mode(0o600)).unwrap()),
        ("d", "d/b", |context| fs::write(context.join("d/b"), "added").unwrap()),
        ("d", "d/a", |context| fs::remove_file(context.join("d/a")).unwrap()),
        ("d", "d/deep/c", |context| fs::remove_file(context.join("d/deep/c")).unwrap()),
        ("f", "f", |context| fs::remove_file(context.join("f")).unwrap()),
        ("f", "f", |context| fs::write(context.join("f"), "longer").unwrap()),
        ("f", "f", |context| {
            fs::remove_file(context.join("f")).unwrap();
            symlink("d/a", context.join("f")).unwrap();
        }),
    ];
    for (index, (source, path, change)) in changes.into_iter().enumerate() {
        let store = Store::new();
        let original = || store.file("d/a", "a").file("d/deep/c", "c").file("f", "f");
        original();
        let definition = scratch().copy(source, "/x/");
        let error = build_while(&store, &definition, change).unwrap_err();
        let expected = format!("COPY {path:?}: it changed while it was copied from the build context");
        assert!(error.to_string().starts_with(&expected), "{index}: {error}");
        assert_eq!(error.kind(), ErrorKind::InUse);
        store.assert_clean();
        // The cache has nothing under the key of what was read first.
        fs::remove_dir_all(store.context()).unwrap();
        original();
        assert_eq!(store.build(&definition).cached(), [false], "{index}");
    }
}

#[test]
fn a_source_is_watched_however_it_is_named() {
    for (written, has_parents) in [("d/a", false), ("d", false), ("d/*", false), ("./d/a", true)] {
        let copy = || if has_parents { Copy::of(written).parents() } else { Copy::of(written) };
        let store = Store::new();
        store.file("d/a", "a");
        let definition = scratch().instruction(copy().to("/x/"));
        let error = build_while(&store, &definition, |context| fs::write(context.join("d/a"), "longer").unwrap());
        let message = error.unwrap_err().to_string();
        let expected =
            format!("COPY \"d/a\": it changed while it was copied from the build context {:?}", store.context());
        assert!(message.starts_with(&expected), "{written}: {message}");
        // What has gone since the last build is told, and so is a package that has.
        store.build(&definition);
        let own = definition.clone().context(store.context());
        let refusals = || [store.refusal(&definition), store.build_with(&own, Options::new()).unwrap_err()];
        fs::remove_dir_all(store.context().join("d")).unwrap();
        for (error, advice) in refusals().into_iter().zip(["", " (put it there, or make the files part"]) {
            let told = [format!("COPY {written:?}: "), format!("in the build context {:?}{advice}", store.context())];
            assert!(told.iter().all(|part| error.to_string().contains(part)), "{error}");
            assert_eq!(error.to_string().contains("COPY --embed"), !advice.is_empty(), "{error}");
            assert_eq!(error.kind(), ErrorKind::NotFound);
        }
        fs::remove_dir(store.context()).unwrap();
        let missing = format!("COPY {written:?}: open the build context {:?}: it is not there", store.context());
        let gone = format!(
            "{missing} (if it is the package directory that this program was compiled in, put it back, name another \
             one with build::Options::context, or make the files part of the program with COPY --embed)"
        );
        let [given, built] = refusals();
        assert_eq!((given.to_string(), given.kind()), (missing, ErrorKind::NotFound));
        for error in [built, own.sources().unwrap_err(), own.digest().unwrap_err()] {
            assert_eq!((error.to_string(), error.kind()), (gone.clone(), ErrorKind::NotFound));
        }
        store.assert_clean();
    }
}

#[test]
fn what_reads_no_files_needs_no_package() {
    let store = Store::new();
    fs::remove_dir(store.context()).unwrap();
    let text = scratch().instruction(Copy::inline("text").to("/etc/a"));
    assert_eq!(store.build(&text).text("/etc/a").unwrap(), "text");
    assert!(text.clone().context(store.context()).sources().unwrap().is_empty());
    assert_ne!(text.digest().unwrap(), scratch().instruction(Copy::inline("Text").to("/etc/a")).digest().unwrap());
    let files = crate::image::Embedded::new().file("a", 0o644, b"embedded");
    let embedded = scratch().instruction(Copy::of("a").to("/etc/a").embedded(files));
    assert_eq!(store.build(&embedded).text("/etc/a").unwrap(), "embedded");
}

#[test]
fn what_is_not_copied_may_change() {
    let store = Store::new();
    store.file("d/a", "a").file("d/x.log", "x").file(".dockerignore", "**/*.tmp");
    let definition = scratch().instruction(Copy::of("d").to("/d/").exclude("*.log"));
    build_while(&store, &definition, |context| {
        fs::write(context.join("d/x.log"), "more").unwrap();
        fs::write(context.join("d/y.tmp"), "new").unwrap();
        fs::write(context.join("other"), "new").unwrap();
    })
    .unwrap();
    assert_eq!(store.build(&definition).cached(), [true]);
}
