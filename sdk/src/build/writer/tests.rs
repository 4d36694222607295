#![allow(clippy::unwrap_used)]

use std::fs as stdfs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use plywood_syntax::ignore::Ignore;

use super::super::context::{Chosen, Context};
use super::super::copy::copy_contents;
use super::super::tree::Files;
use super::*;
use crate::archive::XattrKind;

/// A layer below, a layer in the making, and a build context.
struct Scene {
    directory: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in ["below", "upper", "context"] {
            stdfs::create_dir(directory.path().join(name)).unwrap();
        }
        Self { directory }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    fn file(&self, path: &str, text: &str) -> &Self {
        let path = self.path(path);
        stdfs::create_dir_all(path.parent().unwrap()).unwrap();
        stdfs::write(path, text).unwrap();
        self
    }

    fn link(&self, path: &str, target: &str) -> &Self {
        let path = self.path(path);
        stdfs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
        self
    }

    fn writer(&self) -> Writer {
        let below = View::new(vec![self.path("below")], XattrKind::User);
        let view = View::new(vec![self.path("upper"), self.path("below")], XattrKind::User);
        Writer::new(view, &below, &self.path("upper"), rustix::process::geteuid().is_root()).unwrap()
    }

    fn copy(&self, source: &str, into: &str) -> Result<()> {
        let context = Context::open(&self.path("context"), Chosen::ByDefinition, None).unwrap();
        let entry = context.resolve(Path::new(source)).unwrap().unwrap();
        let mut writer = self.writer();
        let attributes = Attributes { owner: Some((0, 0)), mode: None };
        if entry.is_directory() {
            let into = writer.directory(Path::new(into), None)?;
            copy_contents(&context, &entry, &into, &Ignore::default(), &attributes, &mut writer)?;
        } else if let (directory, Some(name)) = writer.place(Path::new(into), None)? {
            writer.put(&context, &entry, &directory, &name, &attributes)?;
        }
        writer.finish()
    }

    /// All paths in the layer, with the text of files and the targets of links.
    fn upper(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut open = vec![self.path("upper")];
        while let Some(directory) = open.pop() {
            for entry in stdfs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(self.path("upper")).unwrap().to_str().unwrap().to_owned();
                if path.is_symlink() {
                    found.push(format!("{name} -> {}", stdfs::read_link(&path).unwrap().display()));
                } else if path.is_dir() {
                    found.push(format!("{name}/"));
                    open.push(path);
                } else {
                    found.push(format!("{name}: {}", stdfs::read_to_string(&path).unwrap()));
                }
            }
        }
        found.sort();
        found
    }
}

fn mode(path: PathBuf) -> u32 {
    stdfs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_file_goes_where_links_of_the_image_lead_and_never_out_of_it() {
    let scene = Scene::new();
    scene.file("context/f", "new").link("below/lib", "usr/lib").file("below/usr/lib/old", "").link("below/abs", "/etc");
    scene.file("below/etc/passwd", "x").link("below/up", "../../../../etc").link("below/dangling", "/opt/later");
    for (into, expected) in [
        ("/lib/f", "usr/lib/f: new"),
        ("/abs/f", "etc/f: new"),
        ("/up/g", "etc/g: new"),
        ("/dangling/f", "opt/later/f: new"),
    ] {
        scene.copy("f", into).unwrap();
        assert!(scene.upper().contains(&expected.to_owned()), "{into}: {:?}", scene.upper());
    }
}

#[test]
fn a_link_in_the_place_of_the_file_is_followed() {
    let scene = Scene::new();
    scene.file("context/f", "new").link("below/etc/resolv.conf", "../run/x/resolv.conf").link("below/one", "two");
    scene.copy("f", "/etc/resolv.conf").unwrap();
    scene.copy("f", "/one").unwrap();
    assert_eq!(scene.upper(), ["run/", "run/x/", "run/x/resolv.conf: new", "two: new"]);
}

#[test]
fn links_that_go_round_are_refused() {
    let scene = Scene::new();
    scene.file("context/f", "").link("below/a", "b").link("below/b", "a");
    for into in ["/a/f", "/a"] {
        let message = scene.copy("f", into).unwrap_err().to_string();
        assert!(message.ends_with("too many symbolic links"), "{message}");
    }
}

#[test]
fn directories_on_the_way_keep_their_attributes() {
    let scene = Scene::new();
    scene.file("context/f", "x").file("below/a/b/old", "");
    stdfs::set_permissions(scene.path("below/a"), stdfs::Permissions::from_mode(0o1777)).unwrap();
    let time = stdfs::FileTimes::new().set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1000));
    stdfs::File::open(scene.path("below/a")).unwrap().set_times(time).unwrap();
    scene.copy("f", "/a/b/f").unwrap();
    assert_eq!(scene.upper(), ["a/", "a/b/", "a/b/f: x"]);
    assert_eq!(mode(scene.path("upper/a")), 0o1777);
    assert_eq!(stdfs::metadata(scene.path("upper/a")).unwrap().mtime(), 1000);
}

#[test]
fn a_directory_s_contents_are_copied_with_modes_links_and_times() {
    let scene = Scene::new();
    scene.file("context/src/a", "1").file("context/src/deep/b", "2").link("context/src/out", "/etc/passwd");
    stdfs::create_dir(scene.path("context/src/empty")).unwrap();
    stdfs::set_permissions(scene.path("context/src/deep"), stdfs::Permissions::from_mode(0o750)).unwrap();
    stdfs::set_permissions(scene.path("context/src/a"), stdfs::Permissions::from_mode(0o4755)).unwrap();
    scene.copy("src", "/app").unwrap();
    let expected = ["app/", "app/a: 1", "app/deep/", "app/deep/b: 2", "app/empty/", "app/out -> /etc/passwd"];
    assert_eq!(scene.upper(), expected);
    assert_eq!(mode(scene.path("upper/app")), 0o755);
    assert_eq!(mode(scene.path("upper/app/deep")), 0o750);
    assert_eq!(mode(scene.path("upper/app/a")), 0o4755);
    let modified = |path: &str| stdfs::metadata(scene.path(path)).unwrap().modified().unwrap();
    assert_eq!(modified("upper/app/a"), modified("context/src/a"));
    assert_eq!(modified("upper/app/deep"), modified("context/src/deep"));
}

#[test]
fn contents_go_through_links_to_directories() {
    let scene = Scene::new();
    scene.file("context/root/lib/x", "1").link("below/lib", "usr/lib").file("below/usr/lib/old", "");
    scene.copy("root", "/").unwrap();
    assert_eq!(scene.upper(), ["usr/", "usr/lib/", "usr/lib/x: 1"]);
}

#[test]
fn a_file_replaces_a_file_and_nothing_replaces_a_directory() {
    let scene = Scene::new();
    scene.file("context/f", "new").file("context/d/x/y", "").file("below/f", "old").file("below/dir/x", "a file");
    scene.copy("f", "/f").unwrap();
    assert_eq!(scene.upper(), ["f: new"]);
    let context = Context::open(&scene.path("context"), Chosen::ByDefinition, None).unwrap();
    let entry = context.resolve(Path::new("f")).unwrap().unwrap();
    let error =
        scene.writer().put(&context, &entry, Path::new(""), "dir".as_ref(), &Attributes::default()).unwrap_err();
    assert_eq!(error.to_string(), "write \"dir\" in the image: a directory is there, which a file cannot replace");
    let error = scene.copy("d", "/dir").unwrap_err();
    assert_eq!(error.to_string(), "write \"dir/x\" in the image: \"dir/x\" is not a directory");
}

#[test]
fn owners_of_a_stage_are_kept_and_those_of_a_context_are_root() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let scene = Scene::new();
    scene.file("context/f", "x");
    std::os::unix::fs::chown(scene.path("context/f"), Some(12), Some(34)).unwrap();
    scene.copy("f", "/f").unwrap();
    let owner = |path: &str| {
        let metadata = stdfs::metadata(scene.path(path)).unwrap();
        (metadata.uid(), metadata.gid())
    };
    assert_eq!(owner("upper/f"), (0, 0));
    let files = Files { view: View::new(vec![scene.path("context")], XattrKind::User), title: "stage".into() };
    let entry = files.resolve(Path::new("f")).unwrap().unwrap();
    let mut writer = scene.writer();
    writer.put(&files, &entry, Path::new(""), "g".as_ref(), &Attributes::default()).unwrap();
    assert_eq!(owner("upper/g"), (12, 34));
}
