//! Whiteouts in and out.

use super::support::*;
use crate::archive::entry::Kind;
use crate::archive::*;

#[test]
fn x10_whiteouts_become_devices_and_attributes_and_come_back() {
    let tar = Tar::default()
        .directory("d/", 0o755)
        .file("d/.wh..wh..opq", "")
        .file("d/new", "x")
        .file(".wh.gone", "")
        .file("missing/.wh.x", "")
        .end();
    let layer = imported(&tar);
    assert!(is_whiteout(&layer, "gone") && is_whiteout(&layer, "missing/x"));
    assert!(is_opaque(&layer, "d") && !is_opaque(&layer, "missing"));
    assert_eq!(layer.applied.as_ref().unwrap().size, 1);
    let mut archive = Vec::new();
    digest_layer(&layer.diff(), None, &mut Vec::new(), Some(&mut archive), &options()).unwrap();
    let again = imported(&archive);
    assert!(is_whiteout(&again, "gone") && is_whiteout(&again, "missing/x") && is_opaque(&again, "d"));
    assert_eq!(again.names(), ["d", "d/new", "gone", "missing", "missing/x"]);
}

#[test]
fn x10_a_whiteout_hides_lower_layers_only() {
    // Of a file of the same layer: the file stays, before and after.
    for tar in
        [Tar::default().file("f", "x").file(".wh.f", "").end(), Tar::default().file(".wh.f", "").file("f", "x").end()]
    {
        assert_eq!(imported(&tar).text("f"), "x");
    }
    // Of a directory of the same layer: it no longer merges with those below.
    for tar in [
        Tar::default().directory("d/", 0o750).file("d/f", "x").file(".wh.d", "").end(),
        Tar::default().file(".wh.d", "").directory("d/", 0o750).file("d/f", "x").end(),
    ] {
        let layer = imported(&tar);
        assert_eq!(layer.text("d/f"), "x");
        assert_eq!(mode(&layer, "d"), "40750");
        assert!(is_opaque(&layer, "d"));
    }
}

#[test]
fn x10_an_opaque_whiteout_may_stand_anywhere_in_its_layer() {
    for position in 0..3 {
        let mut tar = Tar::default().directory("d/", 0o755);
        for step in 0..3 {
            tar = if step == position { tar.file("d/.wh..wh..opq", "") } else { tar.file(&format!("d/{step}"), "x") };
        }
        let layer = imported(&tar.end());
        assert!(is_opaque(&layer, "d"));
        assert_eq!(layer.names().len(), 3);
    }
    let layer = imported(&Tar::default().file(".wh..wh..opq", "").file("f", "x").end());
    assert!(is_opaque(&layer, ""));
    let mut archive = Vec::new();
    digest_layer(&layer.diff(), None, &mut Vec::new(), Some(&mut archive), &options()).unwrap();
    assert!(is_opaque(&imported(&archive), ""));
}

#[test]
fn a_device_of_zeros_hides_what_is_below_in_layers_of_either_form() {
    let zeros = |tar: Tar, path| tar.entry(header(path, Kind::CharDevice), b"");
    let tar = zeros(zeros(Tar::default(), "file"), "directory");
    let tar = zeros(zeros(tar.file("replaced", "own"), "replaced"), "missing");
    let tar = zeros(tar, "again").file("again", "own").end();
    let layer = imported(&tar);
    assert!(["file", "directory", "replaced", "missing"].iter().all(|path| is_whiteout(&layer, path)));
    assert_eq!(layer.text("again"), "own");

    let mut layer = Layer::empty();
    std::fs::create_dir(layer.diff().join("directory")).unwrap();
    for path in ["file", "directory/file", "again", "kept"] {
        std::fs::write(layer.diff().join(path), "below").unwrap();
    }
    let applied = layer.import(&tar, &ApplyOptions { form: Form::Whole, ..options() }).unwrap();
    assert_eq!(
        (layer.names(), layer.text("again"), applied.size),
        (vec!["again".into(), "kept".into()], "own".into(), 3)
    );
    assert!(layer.reassembled().unwrap() == tar);
}

#[test]
fn a_whiteout_with_content_is_rebuilt_too() {
    let layer = imported(&Tar::default().file(".wh.x", "unexpected").file("f", "y").end());
    assert!(is_whiteout(&layer, "x"));
}

#[test]
fn a_file_named_like_a_whiteout_cannot_be_archived() {
    let layer = Layer::empty();
    std::fs::write(layer.diff().join(".wh.trap"), "").unwrap();
    let error = digest_layer(&layer.diff(), None, &mut Vec::new(), None, &options()).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Unsupported);
    assert!(error.to_string().contains(".wh.trap"), "{error}");
}

#[test]
fn in_a_layer_of_fuse_overlayfs_names_mean_what_they_mean_in_an_archive() {
    let layer = Layer::empty();
    for path in [".wh.gone", "d/.wh..wh..opq", "d/.wh..opq", "d/new", "e/.wh.x", ".wh..wh.plnk/1"] {
        let path = layer.diff().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    }
    let mut archive = Vec::new();
    let options = ApplyOptions { xattrs: options().xattrs.or_named(), ..options() };
    let size = digest_layer(&layer.diff(), None, &mut Vec::new(), Some(&mut archive), &options).unwrap().size;
    let again = imported(&archive);
    assert!(is_whiteout(&again, "gone") && is_whiteout(&again, "e/x"));
    assert!(is_opaque(&again, "d") && !is_opaque(&again, "e"));
    assert_eq!(again.names(), ["d", "d/.opq", "d/new", "e", "e/x", "gone"]);
    assert_eq!(size, 0);
}
