//! What `COPY --embed` finds in a directory, and what it refuses.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use crate::context::PackageFiles;

/// A directory that is removed again.
struct Scene(PathBuf);

impl Scene {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("plywood-{name}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, path: &str, mode: u32) -> PathBuf {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, path.to_str().unwrap()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    /// What is embedded for a source, and what is wrong with it.
    fn embed(&self, source: &str) -> (String, Vec<String>) {
        self.embed_by("COPY", source)
    }

    fn embed_by(&self, keyword: &str, source: &str) -> (String, Vec<String>) {
        let input = format!("#![context({:?})] FROM scratch; {keyword} --embed {source:?} => \"/x/\";", self.0);
        let mut definition = crate::parse::definition(input.parse().unwrap(), false);
        let files = PackageFiles::open(definition.context.as_deref(), None);
        crate::embed::read(&mut definition, files.as_ref());
        let tokens = definition.embedded.iter().map(|(_, tokens)| tokens.to_string().replace(' ', "")).collect();
        (tokens, definition.findings.into_iter().map(|finding| finding.message).collect())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn trees_are_embedded_with_their_modes() {
    let scene = Scene::new("embed");
    scene.file("src/run.sh", 0o755);
    scene.file("src/deep/a.txt", 0o640);
    scene.file("src/b.log", 0o644);
    scene.file("other.txt", 0o600);
    fs::write(scene.0.join(".dockerignore"), "**/*.log\n").unwrap();
    symlink("run.sh", scene.0.join("src/again")).unwrap();
    symlink("/etc/passwd", scene.0.join("src/out")).unwrap();
    symlink("../other.txt", scene.0.join("src/near")).unwrap();
    let (tree, wrong) = scene.embed("src");
    assert_eq!(wrong, [""; 0]);
    // Links in a tree stay links, wherever they lead.
    for part in [
        ".link(\"src/again\",\"run.sh\")",
        ".link(\"src/out\",\"/etc/passwd\")",
        ".file(\"src/run.sh\",0o755,::core::include_bytes!",
        ".file(\"src/deep/a.txt\",0o640,",
        ".directory(\"src/deep\",0o",
    ] {
        assert!(tree.contains(part), "{part} in {tree}");
    }
    assert!(!tree.contains("b.log") && !tree.contains("0o600"), "{tree}");
    assert!(tree.find("src/again") < tree.find("src/run.sh"), "{tree}");
    // One that is a source itself is followed.
    let (tree, wrong) = scene.embed("src/near");
    assert!(wrong.is_empty() && tree.contains(".file(\"src/near\",0o600,") && tree.contains("/other.txt\""), "{tree}");
    let (tree, _) = scene.embed("src/*.sh");
    assert!(tree.contains("src/run.sh") && !tree.contains("again"), "{tree}");
    assert_eq!(scene.embed("src/b.log").1, [""; 0]);
    assert_eq!(scene.embed_by("ADD", "src"), scene.embed("src"));
}

#[test]
fn what_cannot_be_embedded_says_why() {
    let scene = Scene::new("refuse");
    let _listener = UnixListener::bind(scene.0.join("socket")).unwrap();
    symlink("/etc/passwd", scene.0.join("out")).unwrap();
    symlink("nothing", scene.0.join("broken")).unwrap();
    symlink("loop", scene.0.join("loop")).unwrap();
    let secret = scene.file("secret", 0o000);
    for (source, message) in [
        ("socket", "`socket` is a socket, which cannot be embedded"),
        ("out", "`out` leads to `/etc/passwd`, which is outside the build context"),
        ("broken", "`broken` cannot be embedded: No such file or directory (os error 2)"),
        ("loop", "`loop` cannot be embedded: Too many levels of symbolic links (os error 40)"),
    ] {
        assert_eq!(scene.embed(source).1, [message], "{source}");
    }
    // Root reads everything.
    let expected: &[&str] = match fs::File::open(&secret) {
        Ok(_) => &[],
        Err(_) => &["`secret` cannot be embedded: Permission denied (os error 13)"],
    };
    assert_eq!(scene.embed("secret").1, expected);
}

#[test]
fn large_trees_are_refused() {
    let scene = Scene::new("large");
    let large = scene.file("large", 0o644);
    fs::File::options().write(true).open(&large).unwrap().set_len(17 << 20).unwrap();
    assert_eq!(scene.embed("large").1, ["with `large` it is too large: at most 16 MiB are embedded"]);
    fs::create_dir(scene.0.join("many")).unwrap();
    (0..1_001).for_each(|index| drop(scene.file(&format!("many/{index:04}"), 0o644)));
    assert_eq!(scene.embed("many").1, ["`many/0999` is one file too many: at most 1000 are embedded"]);
}
