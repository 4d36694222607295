//! Programs in builds. Each test needs a kernel that lets this process make containers.

use super::*;
use crate::container::NetworkMode;
use crate::image::{Run, RunMount};
use crate::spec::Mount;

/// A root file system with nothing but busybox.
fn busybox(store: &Store) -> Layers {
    std::fs::copy("/bin/busybox", store.context().join("busybox")).unwrap();
    scratch().copy("busybox", "/bin/").run(["/bin/busybox", "--install", "-s", "/bin"])
}

/// Gives no store where busybox or containers are missing, and says so.
fn store() -> Option<Store> {
    let store = Store::new();
    if !Path::new("/bin/busybox").exists() {
        return skip("there is no /bin/busybox");
    }
    match store.build_with(&busybox(&store), store.options()) {
        Ok(_) => Some(store),
        Err(error) if matches!(error.kind(), crate::ErrorKind::Unsupported | crate::ErrorKind::PermissionDenied) => {
            skip(&format!("containers cannot be started here: {error}"))
        }
        Err(error) => panic!("{error:?}"),
    }
}

#[allow(clippy::print_stderr)]
fn skip(why: &str) -> Option<Store> {
    assert!(std::env::var_os("PLYWOOD_TEST_STRICT").is_none(), "{why}");
    eprintln!("skipped: {why}");
    None
}

fn output(built: &Built) -> Vec<String> {
    built
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Output { line, .. } => Some(line.clone()),
            _ => None,
        })
        .collect()
}

#[test]
fn what_a_program_changes_becomes_a_layer() {
    let Some(store) = store() else { return };
    let definition = busybox(&store)
        .run("echo hello; mkdir -p /var/lib/x; echo data > /var/lib/x/f; chmod 750 /var/lib/x; ln -s f /var/lib/x/l")
        .run("rm /var/lib/x/f")
        .run("true");
    let built = store.build(&definition);
    assert_eq!(output(&built), ["hello"]);
    assert_eq!(built.image.layers().len(), 5);
    assert_eq!(built.names("/var/lib/x"), ["l"]);
    assert_eq!(built.view.resolve("/var/lib/x").unwrap().unwrap().mode, 0o750);
    assert_eq!(built.history().last().unwrap(), &("RUN /bin/sh -c true".to_owned(), false));
    let again = store.build(&definition);
    assert_eq!(again.cached(), [true; 5]);
    assert_eq!(again.image.id(), built.image.id());
    store.assert_clean();
}

#[test]
fn no_mount_point_remains_in_a_layer() {
    let Some(store) = store() else { return };
    let extra = tempfile::tempdir().unwrap();
    std::fs::write(extra.path().join("sources"), "from the host").unwrap();
    store.file("given", "context");
    let run = Run::shell("cat /etc/apt/sources /mnt/given /opt/f; touch /cache/kept /tmpfs/gone; echo x >> /etc/hosts")
        .mount(RunMount::bind("/mnt"))
        .mount(RunMount::cache("/cache"))
        .mount(RunMount::tmpfs("/tmpfs"));
    let options = store
        .options()
        .mount(Mount::bind(extra.path(), "/etc/apt").read_only())
        .mount(Mount::bind(extra.path().join("sources"), "/opt/f").read_only());
    let built = store.build_with(&busybox(&store).instruction(run), options).unwrap();
    assert_eq!(output(&built), ["from the hostcontextfrom the host"]);
    assert_eq!(built.names("/"), ["bin"]);
    assert!(built.image.layers().last().unwrap().size() == 0, "the layer is not empty");
    store.assert_clean();
}

#[test]
fn caches_last_and_are_no_part_of_the_image() {
    let Some(store) = store() else { return };
    let definition = |text: &str| {
        let run = Run::shell(format!("echo {text} >> /cache/log; cat /cache/log")).mount(RunMount::cache("/cache"));
        busybox(&store).instruction(run)
    };
    assert_eq!(output(&store.build(&definition("one"))), ["one"]);
    assert_eq!(output(&store.build(&definition("two"))), ["one", "two"]);
    for sharing in ["locked", "private"] {
        let run = Run::shell("echo x > /c/x; ls /c").mount(RunMount::cache("/c").sharing(sharing));
        assert_eq!(output(&store.build(&busybox(&store).instruction(run))), ["x"], "{sharing}");
    }
    store.assert_clean();
}

#[test]
fn bind_mounts_of_stages_are_copies_when_written_to() {
    let Some(store) = store() else { return };
    store.file("src/keep", "1").file("src/skip", "2").file(".dockerignore", "src/skip");
    let run = |mount: RunMount| Run::shell("ls /m; echo more > /m/new; ls /m").mount(mount);
    let context = busybox(&store).instruction(run(RunMount::bind("/m").source("src").writable()));
    assert_eq!(output(&store.build(&context)), ["keep", "keep", "new"]);
    assert!(!store.context().join("src/new").exists());
    let definition = scratch()
        .stage("files")
        .copy("src", "/s/")
        .from(busybox(&store).context(store.context()))
        .instruction(run(RunMount::bind("/m").from_stage("files").source("/s").writable()));
    assert_eq!(output(&store.build(&definition)), ["keep", "keep", "new"]);
    let error = store.refusal(&busybox(&store).instruction(run(RunMount::bind("/m").source("../.."))));
    assert!(error.to_string().contains("out of"), "{error}");
}

#[test]
fn secrets_reach_the_program_and_nothing_else() {
    let Some(store) = store() else { return };
    let secret = store.directory.path().join("secret");
    std::fs::write(&secret, "s3cret").unwrap();
    let run = Run::shell("cat /run/secrets/token; echo $TOKEN")
        .mount(RunMount::secret("token"))
        .mount(RunMount::secret("token").env("TOKEN").target("/t"));
    let definition = busybox(&store).instruction(run);
    let built = store.build_with(&definition, store.options().secret("token", &secret)).unwrap();
    assert_eq!(output(&built), ["s3crets3cret"]);
    assert_eq!(built.names("/"), ["bin"]);
    let required = Run::shell("true").mount(RunMount::secret("other").required());
    let error = store.refusal(&busybox(&store).instruction(required));
    assert_eq!(error.to_string(), "RUN --mount=type=secret: no secret \"other\" was given to this build");
}

#[test]
fn a_failing_program_is_told_with_its_last_lines() {
    let Some(store) = store() else { return };
    let before = store.images.list().unwrap().len();
    let error = store.refusal(&busybox(&store).run("echo one; echo two >&2; echo made > /f; exit 3"));
    assert_eq!(error.kind(), crate::ErrorKind::Failed);
    let message = error.to_string();
    assert!(message.starts_with("RUN /bin/sh -c echo one;"), "{message}");
    assert!(message.contains("exit code 3"), "{message}");
    assert!(message.contains("\n    one") && message.contains("\n    two"), "{message}");
    assert_eq!(store.images.list().unwrap().len(), before);
    store.assert_clean();
    let error = store.refusal(&busybox(&store).run(["/bin/none"]));
    assert_eq!((error.kind(), error.exit_code()), (crate::ErrorKind::NotFound, Some(127)));
    store.assert_clean();
}

#[test]
fn variables_users_and_directories_reach_the_program() {
    let Some(store) = store() else { return };
    let definition = busybox(&store)
        .arg("VERSION", "1")
        .env("MODE", "test")
        .workdir("/work")
        .run("echo $VERSION $MODE $PWD $HOME; id -u; ls /proc/self/fd | wc -l")
        .shell(["/bin/busybox", "ash", "-e", "-c"])
        .run("echo $0 shell");
    let built = store.build_with(&definition, store.options().arg("VERSION", "2")).unwrap();
    let output = output(&built);
    assert_eq!(&output[..2], ["2 test /work /", "0"], "{output:?}");
    assert!(!built.image.config().config.env.iter().any(|entry| entry.starts_with("VERSION")));
    // Another value of an argument is another step.
    assert!(!store.build_with(&definition, store.options().arg("VERSION", "3")).unwrap().cached()[3]);
}

#[test]
fn programs_have_no_network_unless_it_is_granted() {
    let Some(store) = store() else { return };
    let run = |run: Run| busybox(&store).instruction(run);
    let links = "ls /sys/class/net | wc -l; cat /etc/resolv.conf | wc -l";
    let built = store.build(&run(Run::shell("cat /proc/net/dev | wc -l")));
    assert_eq!(output(&built), ["3"]);
    let error = store.refusal(&run(Run::shell("true").network("host")));
    assert_eq!(error.kind(), crate::ErrorKind::PermissionDenied);
    let granted = store.options().network(NetworkMode::Host);
    let built = store.build_with(&run(Run::shell(links).network("host")), granted).unwrap();
    assert_eq!(built.names("/"), ["bin"]);
}

#[test]
fn a_base_of_host_programs_runs() {
    let Some(store) = store() else { return };
    let definition = Layers::from_host(["sh", "cat", "ls"]).run("echo hello > /hello; cat /hello");
    let built = store.build(&definition);
    assert_eq!(output(&built), ["hello"]);
    assert_eq!(built.cached(), [false, false]);
    assert_eq!(store.build(&definition).cached(), [true, true]);
    store.assert_clean();
}
