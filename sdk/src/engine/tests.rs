#![allow(clippy::unwrap_used)]

use std::ffi::OsString;
use std::path::PathBuf;

use super::default_root;
use crate::ErrorKind;

#[test]
fn the_default_root_follows_the_environment() {
    let of = |variables: &[(&str, &str)], is_root| {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, v)| OsString::from(v));
        default_root(find, is_root)
    };
    let table: [(&[(&str, &str)], bool, &str); 6] = [
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
