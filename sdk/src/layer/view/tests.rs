#![allow(clippy::unwrap_used)]

use std::fs as stdfs;
use std::os::unix::fs::symlink;

use super::*;

struct Layers {
    directory: tempfile::TempDir,
}

impl Layers {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    /// A file with content, or with a trailing slash a directory.
    fn put(&self, layer: u32, path: &str, content: &str) -> &Self {
        let path_on_host = self.path(layer).join(path);
        if path.ends_with('/') {
            stdfs::create_dir_all(path_on_host).unwrap();
        } else {
            stdfs::create_dir_all(path_on_host.parent().unwrap()).unwrap();
            stdfs::write(path_on_host, content).unwrap();
        }
        self
    }

    fn link(&self, layer: u32, path: &str, target: &str) -> &Self {
        let path = self.path(layer).join(path);
        stdfs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
        self
    }

    fn hide(&self, layer: u32, path: &str) -> &Self {
        let path = self.path(layer).join(path);
        stdfs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::make_whiteout_at(fs::open_directory(path.parent().unwrap()).unwrap(), path.file_name().unwrap().as_bytes())
            .unwrap();
        self
    }

    fn opaque(&self, layer: u32, path: &str) -> &Self {
        self.put(layer, &format!("{path}/"), "");
        let directory = fs::open_directory(&self.path(layer).join(path)).unwrap();
        XattrKind::User.set_opaque(directory).unwrap();
        self
    }

    fn path(&self, layer: u32) -> PathBuf {
        self.directory.path().join(format!("layer{layer}"))
    }

    /// Layer 1 is the top.
    fn view(&self, layers: u32) -> View {
        View::new((1..=layers).map(|layer| self.path(layer)).collect(), XattrKind::User)
    }
}

#[test]
fn what_archives_say_counts_for_fuse_overlayfs_alone() {
    let layers = Layers::new();
    layers.put(1, "etc/.wh.a", "").put(1, "etc/c", "top").put(1, ".wh..wh.plnk", "");
    layers.put(2, "etc/a", "a").put(2, "etc/b/x", "x").put(2, "d/.wh..wh..opq", "").put(2, "d/new", "new");
    layers.put(3, "etc/.wh.b", "").put(3, "etc/a", "older").put(4, "etc/b/y", "y").put(4, "d/old", "old");
    let view = View::new((1..=4).map(|layer| layers.path(layer)).collect(), XattrKind::UserOrNamed);
    assert_eq!(names(&view, "/etc"), ["b", "c"]);
    assert_eq!(names(&view, "/etc/b"), ["x"], "what is below the one that hides it does not come back");
    assert_eq!(names(&view, "/d"), ["new"]);
    assert_eq!(names(&view, "/"), ["d", "etc"]);
    assert_eq!((text(&view, "/etc/a"), text(&view, "/d/old"), text(&view, "/d/new")), (None, None, Some("new".into())));
    assert!(text(&view, "/etc/.wh.a").is_none());
    let kernels = layers.view(4);
    assert_eq!(text(&kernels, "/etc/a").as_deref(), Some("a"));
    assert_eq!(names(&kernels, "/etc"), [".wh.a", ".wh.b", "a", "b", "c"]);
}

fn names(view: &View, path: &str) -> Vec<String> {
    let node = view.resolve(path).unwrap().unwrap();
    view.read_dir(&node).unwrap().into_iter().map(|node| node.path.rsplit('/').next().unwrap().to_owned()).collect()
}

fn text(view: &View, path: &str) -> Option<String> {
    view.read_capped(path, 1000).unwrap().map(|content| String::from_utf8(content).unwrap())
}

#[test]
fn the_top_layer_decides_and_directories_merge() {
    let layers = Layers::new();
    layers.put(1, "etc/a", "top").put(2, "etc/a", "below").put(2, "etc/b", "b").put(3, "etc/c/d", "d");
    let view = layers.view(3);
    assert_eq!(names(&view, "/etc"), ["a", "b", "c"]);
    assert_eq!(text(&view, "/etc/a").unwrap(), "top");
    assert_eq!(text(&view, "etc/c/d").unwrap(), "d");
    assert_eq!(text(&view, "/etc/none"), None);
    assert_eq!(view.resolve("/etc/c/d").unwrap().unwrap().path, "/etc/c/d");
    assert_eq!(view.root().unwrap().unwrap().path, "/");
}

#[test]
fn whiteouts_files_and_opaque_directories_hide_what_is_below() {
    let layers = Layers::new();
    layers.hide(1, "gone").put(2, "gone/x", "").put(3, "gone/y", "");
    layers.put(1, "now-a-file", "1").put(2, "now-a-file/x", "");
    layers.put(1, "again/new", "").put(2, "again", "a file").put(3, "again/old", "");
    layers.put(1, "o/one", "").opaque(2, "o").put(2, "o/two", "").put(3, "o/three", "");
    let view = layers.view(3);
    assert_eq!(names(&view, "/"), ["again", "now-a-file", "o"]);
    assert_eq!(names(&view, "/again"), ["new"]);
    assert_eq!(names(&view, "/o"), ["one", "two"]);
    for missing in ["/gone", "/gone/y", "/now-a-file/x", "/again/old", "/o/three"] {
        assert!(view.resolve(missing).unwrap().is_none(), "{missing}");
    }
}

#[test]
fn links_lead_through_the_stack_and_never_out_of_it() {
    let layers = Layers::new();
    layers.link(1, "bin", "usr/bin").put(2, "usr/bin/sh", "shell");
    layers.link(1, "etc/passwd", "../../../../../secret").put(2, "secret", "inside");
    layers.link(2, "absolute", "/etc/passwd").link(1, "loop", "loop").link(1, "dangling", "/nowhere");
    stdfs::write(layers.directory.path().join("secret"), "outside").unwrap();
    let view = layers.view(2);
    assert_eq!(text(&view, "/bin/sh").unwrap(), "shell");
    assert_eq!(view.resolve("/bin/sh").unwrap().unwrap().path, "/usr/bin/sh");
    assert_eq!(text(&view, "/etc/passwd").unwrap(), "inside");
    assert_eq!(text(&view, "/absolute").unwrap(), "inside");
    assert_eq!(text(&view, "/bin/../../../secret").unwrap(), "inside");
    assert!(view.resolve("/dangling").unwrap().is_none());
    let link = view.lookup("/bin").unwrap().unwrap();
    assert_eq!(link.kind, NodeKind::Symlink("usr/bin".into()));
    let error = view.resolve("/loop").unwrap_err();
    assert_eq!(error.to_string(), "resolve \"/loop\" in the image: too many symbolic links");
}

#[test]
fn reading_refuses_what_is_too_large_or_not_a_regular_file() {
    let layers = Layers::new();
    layers.put(1, "big", "0123456789").put(1, "dir/", "");
    let base = fs::open_directory(&layers.path(1)).unwrap();
    fs::make_node_at(&base, "pipe", FileKind::Fifo, 0o600, (0, 0)).unwrap();
    let view = layers.view(1);
    assert_eq!(view.read_capped("/big", 10).unwrap().unwrap().len(), 10);
    assert_eq!(view.read_capped("/big", 9).unwrap_err().kind(), ErrorKind::LimitExceeded);
    assert_eq!(view.read_capped("/dir", 9).unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(view.read_capped("/pipe", 9).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn names_that_are_no_utf8_keep_their_bytes() {
    let layers = Layers::new();
    layers.put(1, "d/", "");
    stdfs::write(layers.path(1).join("d").join(OsStr::from_bytes(b"\xff\n")), "odd").unwrap();
    let view = layers.view(1);
    let directory = view.resolve("/d").unwrap().unwrap();
    let node = view.read_dir(&directory).unwrap().pop().unwrap();
    assert_eq!(node.os_name().as_bytes(), b"\xff\n");
    assert_eq!(std::io::read_to_string(node.open().unwrap()).unwrap(), "odd");
    assert_eq!(view.lookup_os(&node.os_path()).unwrap().unwrap().size, 3);
}

#[test]
fn what_is_missing_comes_to_lie_where_dangling_links_lead() {
    let layers = Layers::new();
    layers.link(1, "var/lock", "/run/lock").link(1, "up", "../../new/x").put(2, "run/", "").put(2, "file", "");
    layers.link(2, "round", "round").link(1, "chain", "var/lock/deep");
    let view = layers.view(2);
    for (path, destination) in [
        ("/var/lock", Some("/run/lock")),
        ("/var/lock/a/b", Some("/run/lock/a/b")),
        ("/chain/c", Some("/run/lock/deep/c")),
        ("/up/y", Some("/new/x/y")),
        ("/none/../other", Some("/other")),
        ("/run", Some("/run")),
        ("/", Some("/")),
        ("/file/below", None),
    ] {
        assert_eq!(view.destination(path).unwrap().as_deref(), destination, "{path}");
    }
    assert_eq!(view.destination("/round/x").unwrap_err().kind(), ErrorKind::InvalidArgument);
}
