//! Where data roots are, and what becomes of temporary ones.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::engine::default_root;
use crate::{Engine, ErrorKind};

#[test]
fn the_default_root_follows_the_environment() {
    type Variables = &'static [(&'static str, &'static str)];
    let of = |variables: &[(&str, &str)], is_root| {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, v)| OsString::from(v));
        default_root(find, is_root)
    };
    let table: [(Variables, bool, &str); 6] = [
        (&[("PLYWOOD_ROOT", "/x"), ("HOME", "/home/a")], false, "/x"),
        (&[("HOME", "/root")], true, "/var/lib/plywood"),
        (&[("PLYWOOD_ROOT", ""), ("XDG_DATA_HOME", "/d"), ("HOME", "/home/a")], false, "/d/plywood"),
        (&[("XDG_DATA_HOME", "d"), ("HOME", "/home/a")], false, "/home/a/.local/share/plywood"),
        (&[("HOME", "/home/a")], false, "/home/a/.local/share/plywood"),
        (&[("PLYWOOD_ROOT", "relative")], true, "relative"),
    ];
    for (variables, is_root, expected) in table {
        assert_eq!(of(variables, is_root).unwrap(), PathBuf::from(expected), "{variables:?}");
    }
    assert_eq!(of(&[], false).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn a_temporary_root_goes_with_its_last_clone() {
    let engine = Engine::temp().unwrap();
    let path = engine.path().to_owned();
    let clone = engine.clone();
    drop(engine);
    assert!(path.is_dir());
    drop(clone);
    assert!(!path.parent().unwrap().exists());
}

#[test]
fn a_foreign_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("letter.txt"), "dear").unwrap();
    let error = Engine::open(directory.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("letter.txt"), "{error}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}
