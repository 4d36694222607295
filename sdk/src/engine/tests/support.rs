//! An engine on a temporary data root with one image: busybox and a few accounts.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use serde_json::{Value, json};

use crate::image::tags::Overwrite;
use crate::spec::{DiffId, Reference};
use crate::{Container, Engine, Image};

const BUSYBOX: &str = "/bin/busybox";
const APPLETS: [&str; 30] = [
    "sh", "true", "false", "cat", "ls", "echo", "env", "pwd", "id", "sleep", "kill", "mount", "stat", "dd", "head",
    "grep", "touch", "mkdir", "hostname", "readlink", "test", "wc", "df", "rm", "seq", "yes", "chown", "chmod", "cp",
    "tr",
];

/// Returns, after saying why, unless containers can be started here.
macro_rules! require_containers {
    () => {
        if let Some(reason) = $crate::engine::tests::support::unmet() {
            assert!(std::env::var_os("PLYWOOD_TEST_STRICT").is_none_or(|it| it != "1"), "{reason}");
            std::io::Write::write_all(&mut std::io::stderr(), format!("skipped: {reason}\n").as_bytes()).unwrap();
            return;
        }
    };
}
pub(super) use require_containers;

pub(crate) fn unmet() -> Option<String> {
    (!Path::new(BUSYBOX).exists()).then(|| format!("{BUSYBOX}, a static busybox, is not installed"))
}

pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// An engine with the image `busybox:latest`.
pub(super) fn engine() -> (Engine, Image) {
    let engine = Engine::temp().unwrap();
    let image = image(&engine, "busybox", json!({ "Cmd": ["sh"], "Env": ["FROM_IMAGE=1"] }));
    (engine, image)
}

/// Stores an image of one layer with this `config`.
pub(super) fn image(engine: &Engine, reference: &str, config: Value) -> Image {
    image_with(engine, reference, config, |_| {})
}

/// The same, with what this puts into the layer too.
pub(super) fn image_with(engine: &Engine, reference: &str, config: Value, more: impl FnOnce(&Path)) -> Image {
    let layers = engine.store().layers();
    let staged = layers.stage(None).unwrap();
    fill(staged.diff());
    more(staged.diff());
    let layer = layers.commit(staged).unwrap();
    publish(engine, reference, &config, &[layer.diff_id().clone()])
}

pub(super) fn publish(engine: &Engine, reference: &str, config: &Value, diff_ids: &[DiffId]) -> Image {
    let json = json!({
        "architecture": "amd64", "os": "linux", "config": config,
        "rootfs": { "type": "layers", "diff_ids": diff_ids }, "history": [{ "created_by": reference }],
    });
    let references = [Reference::parse(reference).unwrap()];
    engine.store().images().publish(json.to_string().as_bytes(), &references, Overwrite::Move).unwrap()
}

fn fill(root: &Path) {
    for name in ["bin", "etc", "srv/data", "tmp"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    fs::copy(BUSYBOX, root.join("bin/busybox")).unwrap();
    for applet in APPLETS {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    let write = |name: &str, text: &str, mode| {
        fs::write(root.join(name), text).unwrap();
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:App:/srv:/bin/sh\n", 0o644);
    write("etc/group", "root:x:0:\napp:x:1000:\nstaff:x:50:app\n", 0o644);
    write("srv/data/seed", "from the image\n", 0o644);
    write("bin/plain", "no program\n", 0o644);
    write("bin/headless", "echo hi\n", 0o755);
    write("bin/lost", "#!/no/such/interpreter\n", 0o755);
}

/// What a shell script prints in a fresh container of `busybox`.
pub(super) fn shell(engine: &Engine, script: &str) -> String {
    let output = Container::of("busybox").cmd(["sh", "-c", script]).output(engine).unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// How many objects of containers there are: their directories, writable layers and journal entries.
pub(super) fn leftovers(engine: &Engine) -> Vec<String> {
    let root = engine.store().root();
    let mut names = Vec::new();
    for directory in
        [root.containers_dir(), root.mounts_dir(), root.own_dir().join("in-flight"), root.own_dir().join("containers")]
    {
        for entry in fs::read_dir(directory).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if !name.starts_with("session-") {
                names.push(name);
            }
        }
    }
    names
}
