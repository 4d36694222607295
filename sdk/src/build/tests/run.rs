//! Programs in builds. Each test needs a kernel that lets this process make containers.

use super::*;
use crate::container::NetworkMode;
use crate::image::{ImageDefinition as _, Run, RunMount};
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
fn here_documents_are_read_by_what_their_first_line_names() {
    let Some(store) = store() else { return };
    let file = "FROM scratch\nCOPY busybox /bin/\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\nUSER 1000\n\
        RUN --network=none <<EOF\n#!/bin/awk -f\nBEGIN { print \"it's (awk)\", ARGC }\nEOF\n\
        RUN awk -f /dev/stdin <<EOF\nBEGIN { print \"don’t (\" }\nEOF\n\
        RUN <<EOF\necho $0\nEOF\n\
        RUN #!/bin/false\n";
    let file = crate::image::Dockerfile::parse(file).unwrap();
    let built = store.build(&file.layers().context(store.context()));
    assert_eq!(output(&built), ["it's (awk) 1", "don’t (", "/bin/sh"]);
    assert_eq!(built.names("/"), ["bin"], "the file of the program is no part of the image");
    let (text, _) = &built.history()[3];
    assert_eq!(text, "RUN /bin/sh -c #!/bin/awk -f\nBEGIN { print \"it's (awk)\", ARGC }");
    // What decides about the layer is the program and not where it stands.
    let program = |text: &str| busybox(&store).run(format!("#!/bin/awk -f\nBEGIN {{ {text} }}"));
    assert_eq!(output(&store.build(&program("print 1"))), ["1"]);
    assert_eq!(output(&store.build(&program("print 2"))), ["2"]);
    let error = store.refusal(&program("print \"abc\"; exit 3"));
    assert!(error.to_string().contains("failed (exit code 3)") && error.to_string().ends_with("abc"), "{error}");
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

/// Files below a directory that contain this text.
fn files_with(root: &Path, text: &str) -> Vec<PathBuf> {
    let (mut found, mut pending) = (Vec::new(), vec![root.to_owned()]);
    while let Some(path) = pending.pop() {
        let kind = path.symlink_metadata().unwrap().file_type();
        if kind.is_dir() {
            pending.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if kind.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            if bytes.windows(text.len()).any(|part| part == text.as_bytes()) {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn r27_secrets_reach_the_program_and_nothing_else() {
    let Some(store) = store() else { return };
    let secret = store.directory.path().join("secret");
    std::fs::write(&secret, "s3cret").unwrap();
    let mounted = |script: &str| {
        let run = Run::shell(script).mount(RunMount::secret("token"));
        busybox(&store).instruction(run.mount(RunMount::secret("token").env("TOKEN").target("/t")))
    };
    let options = || store.options().secret("token", &secret);
    let built = store.build_with(&mounted("cat /run/secrets/token; echo $TOKEN"), options()).unwrap();
    assert_eq!(output(&built), ["s3crets3cret"]);
    assert_eq!(built.names("/"), ["bin"]);
    // Nor do a program that fails, its error, or what the options say of themselves tell it.
    let error = store.build_with(&mounted("test -n $TOKEN && exit 3"), options()).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Failed);
    assert!(!format!("{error:?} {error} {:?}", options()).contains("s3cret"), "{error:?}");
    let root = store.images.layers().root().path().to_owned();
    assert!(files_with(&root, "s3cret").is_empty());
    assert_eq!(files_with(store.directory.path(), "s3cret"), [secret], "where it is looked for it is found");
    let required = Run::shell("true").mount(RunMount::secret("other").required());
    let error = store.refusal(&busybox(&store).instruction(required));
    assert_eq!(error.to_string(), "RUN --mount=type=secret: no secret \"other\" was given to this build");
}

#[test]
fn r20_mount_points_that_a_program_swaps_for_links_lead_nowhere() {
    let Some(store) = store() else { return };
    // What a clean-up by path would remove: an empty directory and empty files.
    let canary = tempfile::tempdir().unwrap();
    for name in ["hosts", "resolv.conf", "file"] {
        std::fs::write(canary.path().join(name), "").unwrap();
    }
    std::fs::create_dir(canary.path().join("directory")).unwrap();
    let names = || {
        let names = std::fs::read_dir(canary.path()).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
        names.collect::<std::collections::BTreeSet<_>>()
    };
    let before = names();
    let extra = tempfile::tempdir().unwrap();
    std::fs::write(extra.path().join("file"), "").unwrap();
    let outside = canary.path().display();
    let script = format!("for d in /etc /mnt; do mv $d $d.away; rm -r $d; ln -s {outside} $d; done; echo tried");
    let run = Run::shell(script)
        .mount(RunMount::cache("/mnt/directory"))
        .mount(RunMount::tmpfs("/mnt/directory/deep"))
        .network(NetworkMode::Host.docker_name());
    let options = || store.options().mount(Mount::bind(extra.path().join("file"), "/mnt/file"));
    let definition = busybox(&store).instruction(run);
    let error = store.build_with(&definition, options()).unwrap_err();
    assert!(error.to_string().contains("not granted"), "what a definition wants is not what it gets: {error}");
    let options = options().network(NetworkMode::Host);
    // Directories with mount points are of a layer below, which an overlay does not rename: it copies, or is refused.
    let built = store.build_with(&definition, options).unwrap();
    // Beside what it complains of: the order of two streams is not known.
    assert!(output(&built).iter().any(|line| line == "tried"));
    assert_eq!(names(), before);
    store.assert_clean();
    let weak = Run::shell("grep Seccomp: /proc/self/status").security("insecure");
    let error = store.refusal(&busybox(&store).instruction(weak));
    assert!(error.to_string().contains("security"), "{error}");
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
