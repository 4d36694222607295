//! Builds: what each instruction makes, what is cached, and what a failure leaves.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use plywood::build::{Event, Options};
use plywood::image::{Add, Copy, HealthCheck, Instruction, Run, RunMount};
use plywood::{Base, Container, Engine, ErrorKind, Image, ImageDefinition, Layers, Mount, layers};
use support::{Tarball, base, engine, is_root, run, text, victim};

/// Builds with a listener; the image, and the steps with whether each was cached.
fn watched(engine: &Engine, definition: &Layers, options: Options) -> (Image, Vec<(String, bool)>) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&events);
    let options = options.progress(move |event| listener.lock().unwrap().push(event.clone()));
    let image = engine.build_with(definition, &options).unwrap();
    let events = std::mem::take(&mut *events.lock().unwrap());
    let steps: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Step { text, cached, .. } => Some((text.clone(), *cached)),
            _ => None,
        })
        .collect();
    let cached = steps.iter().filter(|(_, cached)| *cached).count();
    assert_eq!(events.last(), Some(&Event::Done { image: image.id().clone(), steps: steps.len(), cached }));
    (image, steps)
}

/// Which steps were executed.
fn executed(engine: &Engine, definition: &Layers) -> Vec<String> {
    let (_, steps) = watched(engine, definition, Options::new());
    steps.into_iter().filter(|(_, cached)| !cached).map(|(text, _)| text).collect()
}

/// A build context with one file.
fn context() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), "content\n").unwrap();
    directory
}

#[test]
fn every_instruction_arrives_in_the_configuration() {
    let engine = engine();
    let definition = base()
        .arg("SIZE", "7")
        .env("NUMBER", "$SIZE")
        .envs([("A", "1"), ("B", "two words")])
        .label("org.example", "yes")
        .user("1000:1000")
        .expose(8080)
        .expose("53/udp")
        .volume("/data")
        .entrypoint(["sh", "-c"])
        .cmd(["echo $NUMBER"])
        .shell(["/bin/sh", "-ec"])
        .stop_signal("SIGUSR1")
        .health_check(HealthCheck::cmd(["true"]).interval(Duration::from_secs(5)).retries(2))
        .on_build(Instruction::env("LATER", "1"));
    let image = engine.build(&definition).unwrap();
    let config = &image.config().config;
    for variable in ["NUMBER=7", "A=1", "B=two words"] {
        assert!(config.env.iter().any(|set| set == variable), "{:?}", config.env);
    }
    assert_eq!(config.labels["org.example"], "yes");
    assert_eq!(config.user, "1000:1000");
    assert!(config.exposed_ports.iter().eq(["53/udp", "8080/tcp"]));
    assert!(config.volumes.iter().eq(["/data"]));
    assert_eq!(config.entrypoint.as_deref(), Some(&["sh".to_owned(), "-c".to_owned()][..]));
    assert_eq!(config.cmd.as_deref(), Some(&["echo $NUMBER".to_owned()][..]));
    assert_eq!(config.shell, ["/bin/sh", "-ec"]);
    assert_eq!(config.stop_signal.as_deref(), Some("SIGUSR1"));
    let check = config.healthcheck.as_ref().unwrap();
    assert_eq!(
        (check.test.join(" "), check.interval, check.retries),
        ("CMD true".to_owned(), Duration::from_secs(5), 2)
    );
    assert_eq!(config.on_build.len(), 1);
    assert_eq!(image.layers().len(), 1, "only the base has files");
    assert!(image.history().len() > 10);
    // The trigger acts in the image that is built on this one, and goes no further.
    engine.tag(&image.id().to_string(), "parent:1").unwrap();
    let child = engine.build(&Layers::new().from("parent:1")).unwrap();
    assert!(child.config().config.env.iter().any(|set| set == "LATER=1"));
    assert!(child.config().config.on_build.is_empty());
}

#[test]
fn each_instruction_with_files_makes_one_layer() {
    let engine = engine();
    let context = context();
    let definition = base()
        .context(context.path())
        .run("echo x > /run-file")
        .copy("file", "/copied")
        .add("file", "/added")
        .workdir("/made/by/workdir")
        .workdir("/tmp")
        .env("NO", "layer");
    let image = engine.build(&definition).unwrap();
    assert_eq!(image.layers().len(), 5, "base, RUN, COPY, ADD, and the WORKDIR that made a directory");
    let made: Vec<_> = image
        .history()
        .iter()
        .filter(|entry| entry.layer().is_some())
        .map(|entry| entry.created_by().split(' ').next().unwrap().to_owned())
        .collect();
    assert_eq!(made[1..], ["RUN", "COPY", "ADD", "WORKDIR"]);
    let script = "cat /run-file /copied /added; stat -c %F /made/by/workdir; pwd";
    assert_eq!(run(&engine, &image, script), "x\ncontent\ncontent\ndirectory\n/tmp\n");
}

#[test]
fn a_run_sees_what_came_before_it() {
    let engine = engine();
    let definition = base()
        .arg("WHO", "nobody")
        .env("GREETING", "hello")
        .workdir("/work")
        .run("echo \"$GREETING $WHO from $(pwd)\" > shell")
        .run(["sh", "-c", "echo \"exec $0 $1\" > exec", "a b", "c"])
        .shell(["/bin/sh", "-xc"])
        .run("echo other 2> trace")
        .run(Run::all(["echo one > all", "echo two >> all"]));
    let image = engine.build_with(&definition, &Options::new().arg("WHO", "world")).unwrap();
    let expected = "hello world from /work\nexec a b c\none\ntwo\n";
    assert_eq!(run(&engine, &image, "cat shell exec all"), expected);
    assert!(!image.config().config.env.iter().any(|set| set.starts_with("WHO=")), "an argument is no variable");
}

#[test]
fn a_run_takes_mounts_that_are_no_part_of_the_image() {
    let engine = engine();
    let context = context();
    let host = tempfile::tempdir().unwrap();
    fs::write(host.path().join("given"), "by the builder\n").unwrap();
    let definition = base()
        .context(context.path())
        .run(Run::shell("cat /ctx/file /host/given > /seen").mount(RunMount::bind("/ctx")))
        .run(Run::shell("echo kept >> /cache/log").mount(RunMount::cache("/cache").id("log")))
        .run(
            Run::shell("cat /cache/log > /log; echo t > /t/f")
                .mount(RunMount::cache("/cache").id("log"))
                .mount(RunMount::tmpfs("/t")),
        );
    let options = Options::new().mount(Mount::bind(host.path(), "/host").read_only());
    let image = engine.build_with(&definition, &options).unwrap();
    assert_eq!(run(&engine, &image, "cat /seen /log"), "content\nby the builder\nkept\n");
    assert_eq!(run(&engine, &image, "ls -d /ctx /host /cache /t 2>/dev/null | cat"), "");
}

#[test]
fn stages_take_files_from_each_other_and_only_the_last_is_the_image() {
    let engine = engine();
    let definition = base()
        .stage("build")
        .run("echo product > /product; echo waste > /waste")
        .from(Base::host(["cat"]))
        .stage("unused")
        .run(["no-such-program"])
        .from(Base::scratch())
        .instruction(Copy::of("/product").to("/out/").from_stage("build").chmod("0600"));
    let image = engine.build(&definition).unwrap();
    assert_eq!(image.layers().len(), 1);
    engine.tag(&image.id().to_string(), "product:1").unwrap();
    let user = base().instruction(Copy::of("/out").to("/from-image").from_image("product:1"));
    let user = engine.build(&user).unwrap();
    assert_eq!(run(&engine, &user, "cd /from-image; cat product; stat -c %a product; ls"), "product\n600\nproduct\n");
    let target = engine.build_with(&definition, &Options::new().target("build")).unwrap();
    assert_eq!(run(&engine, &target, "cat /waste"), "waste\n");
}

layers! {
    /// What the macro tests build on.
    struct Declared {
        word: &'static str,
    }

    FROM {Base::host(support::PROGRAMS)};
    ENV WORD = {self.word};
    RUN "echo $WORD > /word";
    VOLUME "/data" as DATA;
    CMD ["cat", "/word"];
}

#[test]
fn a_declared_image_and_the_builder_make_the_same_image() {
    let engine = engine();
    let declared = Declared { word: "said" };
    let image: Image<Declared> = engine.build(&declared).unwrap();
    let built = base().env("WORD", "said").run("echo $WORD > /word").volume("/data").cmd(["cat", "/word"]);
    assert_eq!(declared.layers(), built);
    assert_eq!(engine.build(&built).unwrap().id(), image.id());
    let volume = engine.volume("typed").unwrap();
    let container = Container::of(&image).mount(volume.at(Declared::DATA));
    assert_eq!(text(container.output(&engine).unwrap()), "said\n");
    assert_eq!(text(Container::of(&declared).output(&engine).unwrap()), "said\n", "it is built when it is needed");
    let on_top = engine.build(&Layers::new().from(Base::definition(&declared)).run("echo more >> /word")).unwrap();
    assert_eq!(text(Container::of(&on_top).output(&engine).unwrap()), "said\nmore\n");
    assert_eq!(on_top.layers()[..2], image.layers()[..2]);
}

#[test]
fn add_unpacks_local_archives() {
    let engine = engine();
    let context = tempfile::tempdir().unwrap();
    let tar = Tarball::new().directory("d/").file("d/file", "packed\n").symlink("link", "d/file").bytes();
    fs::write(context.path().join("a.tar"), tar).unwrap();
    let definition = base()
        .context(context.path())
        .add("a.tar", "/unpacked/")
        .copy("a.tar", "/copied/")
        .instruction(Add::of("a.tar").to("/kept/").no_unpack());
    let image = engine.build(&definition).unwrap();
    let script = "cat /unpacked/d/file /unpacked/link; ls /copied /kept";
    assert_eq!(run(&engine, &image, script), "packed\npacked\n/copied:\na.tar\n\n/kept:\na.tar\n");
}

#[test]
fn an_absolute_link_of_the_image_stays_inside_it_during_copy() {
    let engine = engine();
    let context = context();
    let outside = tempfile::tempdir().unwrap();
    let path = outside.path().to_str().unwrap();
    let definition = base()
        .context(context.path())
        .run(format!("mkdir -p {path} && ln -s {path} /absolute && ln -s ../../../../../../{path} /relative"))
        .copy("file", "/absolute/one")
        .copy("file", "/relative/two");
    let image = engine.build(&definition).unwrap();
    assert_eq!(run(&engine, &image, &format!("ls {path}; cat /absolute/one")), "one\ntwo\ncontent\n");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0, "the host's directory of that name is untouched");
}

#[test]
fn a_second_build_is_all_cached_and_gives_the_same_image() {
    let engine = engine();
    let context = context();
    let definition = base().context(context.path()).run("echo x > /x").copy("file", "/").workdir("/w").cmd(["true"]);
    let (first, steps) = watched(&engine, &definition, Options::new());
    assert_eq!(steps.len(), 4);
    assert!(steps[1..].iter().all(|(_, cached)| !cached), "{steps:?}");
    let (second, steps) = watched(&engine, &definition, Options::new());
    assert_eq!(first, second);
    assert!(steps.iter().all(|(_, cached)| *cached), "{steps:?}");
    let (third, steps) = watched(&engine, &definition, Options::new().no_cache());
    assert!(steps[1..].iter().all(|(_, cached)| !cached), "{steps:?}");
    assert_eq!(third.layers().len(), first.layers().len());
}

#[test]
fn the_cache_looks_at_content_and_never_at_times() {
    let engine = engine();
    let context = tempfile::tempdir().unwrap();
    let of = |name: &str| context.path().join(name);
    fs::create_dir(of("tree")).unwrap();
    fs::write(of("tree/file"), "one").unwrap();
    symlink("file", of("tree/link")).unwrap();
    let definition = base().context(context.path()).copy("tree", "/tree").run("cat /tree/file > /seen");
    assert_eq!(executed(&engine, &definition).len(), 3);
    let none: Vec<String> = Vec::new();

    let file = fs::File::options().write(true).open(of("tree/file")).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1)).unwrap();
    assert_eq!(executed(&engine, &definition), none, "a time");
    fs::write(of("unrelated"), "x").unwrap();
    assert_eq!(executed(&engine, &definition), none, "a file that is not copied");

    let changes: [(&str, &dyn Fn()); 4] = [
        ("bytes", &|| fs::write(of("tree/file"), "two").unwrap()),
        ("a mode", &|| fs::set_permissions(of("tree/file"), fs::Permissions::from_mode(0o700)).unwrap()),
        ("the target of a link", &|| {
            fs::remove_file(of("tree/link")).unwrap();
            symlink("./file", of("tree/link")).unwrap();
        }),
        ("a name", &|| fs::rename(of("tree/link"), of("tree/other")).unwrap()),
    ];
    for (what, change) in changes {
        change();
        let steps = executed(&engine, &definition);
        assert_eq!(steps.len(), 2, "{what}: {steps:?}");
        assert_eq!(executed(&engine, &definition), none, "{what}, a second time");
    }
    fs::write(of("tree/file"), "one").unwrap();
    fs::set_permissions(of("tree/file"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::remove_file(of("tree/other")).unwrap();
    symlink("file", of("tree/link")).unwrap();
    assert_eq!(executed(&engine, &definition), none, "what was there before is found again");
}

#[test]
fn a_changed_instruction_is_executed_with_those_after_it() {
    let engine = engine();
    let of = |word: &str| base().run("echo a > /a").env("WORD", word).run("echo $WORD > /b");
    assert_eq!(executed(&engine, &of("one")).len(), 3);
    let steps = executed(&engine, &of("two"));
    assert!(steps.len() == 1 && steps[0].ends_with("echo $WORD > /b"), "the step above it stays: {steps:?}");
}

#[test]
fn a_failing_program_is_told_with_its_last_words_and_leaves_the_steps_before() {
    let engine = engine();
    let failing = base().run("echo good > /good").run("echo looking; echo 'it broke' >&2; exit 3").run("true");
    let error = engine.build(&failing).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    for words in ["RUN ", "echo looking", "exit code 3", "it broke"] {
        assert!(error.to_string().contains(words), "{words}: {error}");
    }
    assert!(engine.images().unwrap().is_empty());
    assert!(engine.containers().unwrap().is_empty());
    let mended = base().run("echo good > /good").run("echo 'it works' > /works");
    let steps = executed(&engine, &mended);
    assert!(steps.len() == 1 && steps[0].ends_with("echo 'it works' > /works"), "{steps:?}");
}

#[test]
fn a_failing_program_leaves_an_image_on_request() {
    const NAME: &str = "a_failing_program_leaves_an_image_on_request";
    if victim::directory().is_none() {
        return victim::alone_with(NAME, "PLYWOOD_ON_FAIL", "keep");
    }
    let engine = engine();
    let failing = base().env("WORD", "x").run("echo $WORD > /left; exit 3").run("true");
    let error = engine.build(&failing).unwrap_err();
    assert!(error.to_string().contains("exit code 3"), "{error}");
    let left = engine.images().unwrap().remove(0);
    let hint = format!("plywood --root {} run --rm -it --entrypoint sh {}", engine.path().display(), left.id().short());
    assert!(error.hint().unwrap().ends_with(&hint), "{error:?}");
    assert!(left.references().is_empty());
    assert_eq!(run(&engine, &left, "cat /left; echo $WORD"), "x\nx\n");
    // It failed, so nothing is cached.
    assert_eq!(engine.build(&failing).unwrap_err().kind(), ErrorKind::Failed);
    engine.prune().unwrap();
    assert!(engine.images().unwrap().is_empty());
}

#[test]
fn the_output_of_a_run_is_told_line_by_line() {
    let engine = engine();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&lines);
    let options = Options::new().progress(move |event| {
        if let Event::Output { line, .. } = event {
            listener.lock().unwrap().push(line.clone());
        }
    });
    engine.build_with(&base().run("echo one; echo two >&2; printf three"), &options).unwrap();
    let mut lines = lines.lock().unwrap().clone();
    lines.sort_unstable();
    assert_eq!(lines, ["one", "three", "two"]);
}

#[test]
fn a_dockerignore_hides_files_from_copy() {
    let engine = engine();
    let context = context();
    let write = |name: &str, text: &str| {
        let path = context.path().join(name);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
        fs::write(path, text).unwrap();
    };
    write("target/big", "x");
    write("notes.md", "x");
    write("README.md", "x");
    write(".dockerignore", "target\n*.md\n!README.md\n.dockerignore\n");
    let image = engine.build(&base().context(context.path()).copy(".", "/src/")).unwrap();
    assert_eq!(run(&engine, &image, "cd /src; ls -A"), "README.md\nfile\n");
}

#[test]
fn each_program_has_the_limits_of_the_build() {
    let engine = engine();
    let limits =
        || Options::new().memory("32MiB").memory_swap("32MiB").pids_limit(50).cpu_quota(Duration::from_millis(50));
    let show = "cd /sys/fs/cgroup; for f in memory.max memory/memory.limit_in_bytes pids.max pids/pids.max; do \
                [ ! -e $f ] || cat $f; done > /limits";
    let image = match engine.build_with(&base().run(show), &limits()) {
        Ok(image) => image,
        Err(error) => {
            assert!(!is_root(), "{error:?}");
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
            assert!(error.to_string().contains("limit memory") && error.hint().is_some(), "{error:?}");
            return;
        }
    };
    assert_eq!(run(&engine, &image, "cat /limits"), "33554432\n50\n");
    let hungry = base().run("x=x; while :; do x=$x$x; done");
    let error = engine.build_with(&hungry, &limits()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert!(error.to_string().contains("out of memory"), "{error}");
    // They make no difference to what is built.
    let (_, steps) = watched(&engine, &base().run(show), Options::new());
    assert!(steps.iter().all(|(_, cached)| *cached), "{steps:?}");
}

#[test]
fn limits_that_cannot_be_are_refused_before_anything_is_built() {
    let engine = engine();
    for (options, message) in [
        (Options::new().memory("1MiB"), "limit memory to 1MiB: the least is 6MiB"),
        (Options::new().memory("much"), "much"),
        (Options::new().memory_swap("64MiB"), "swap"),
        (Options::new().cpu_period(Duration::from_secs(2)), "a period has 1 ms to 1 s"),
        (Options::new().pids_limit(0), "the least is 1"),
    ] {
        let error = engine.build_with(&base(), &options.progress(|event| panic!("{event}"))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains(message), "{error}");
    }
}

/// Sources that are files when this is compiled.
fn of_files() -> Layers {
    layers! {
        FROM {Base::definition(base())};
        COPY "builds.rs" => "/one";
        COPY "builds.rs" "events.rs" => "/both/";
    }
}

#[test]
fn a_source_is_what_it_is_when_the_program_runs() {
    let engine = engine();
    let context = tempfile::tempdir().unwrap();
    let source = context.path().join("builds.rs");
    fs::write(context.path().join("events.rs"), "events\n").unwrap();
    let seen = || {
        let image = engine.build_with(&of_files(), &Options::new().context(context.path())).unwrap();
        run(&engine, &image, "ls /both; cat /both/*; if [ -d /one ]; then ls /one; else cat /one; fi")
    };
    fs::create_dir(&source).unwrap();
    fs::write(source.join("inner"), "inner\n").unwrap();
    assert_eq!(seen(), "events.rs\ninner\nevents\ninner\ninner\n", "of a directory, what it holds is copied");
    fs::rename(&source, context.path().join("moved")).unwrap();
    symlink("moved/inner", &source).unwrap();
    assert_eq!(seen(), "builds.rs\nevents.rs\ninner\nevents\ninner\n", "a link within the context is followed");
}

#[test]
fn a_source_that_cannot_be_copied_when_the_program_runs_is_an_error_that_says_why() {
    type Make<'a> = &'a dyn Fn(&Path);
    let engine = engine();
    let outside = context();
    let file = outside.path().join("file");
    let refusal = |make: Make<'_>| {
        let context = tempfile::tempdir().unwrap();
        make(&context.path().join("builds.rs"));
        let error = engine.build_with(&of_files(), &Options::new().context(context.path())).unwrap_err();
        let hint = error.hint().unwrap_or_default().to_owned();
        (error.kind(), error.to_string().replace(context.path().to_str().unwrap(), "/ctx"), hint)
    };
    let socket = |path: &Path| drop(std::os::unix::net::UnixListener::bind(path).unwrap());
    let way_out = format!("\"builds.rs\" is a link to {file:?}, which is outside \"/ctx\", the build context");
    let not_there = "not found in the build context \"/ctx\"";
    let dangling = format!("{not_there}: \"builds.rs\" is a link to \"gone\", which is not there");
    let cases: [(Make<'_>, ErrorKind, &str); 4] = [
        (&|_| (), ErrorKind::NotFound, not_there),
        (&|path| symlink("gone", path).unwrap(), ErrorKind::NotFound, &dangling),
        (&socket, ErrorKind::InvalidArgument, "it is a socket, which no archive, and so no image, can hold"),
        (&|path| symlink(&file, path).unwrap(), ErrorKind::InvalidArgument, &way_out),
    ];
    for (make, kind, why) in cases {
        let (found, message, hint) = refusal(make);
        assert_eq!(found, kind, "{message}");
        assert!(message.contains(&format!("COPY \"builds.rs\": {why}")), "{message}");
        assert!(hint.starts_with("the instruction is at ") && hint.contains("builds.rs:"), "{hint}");
    }
}
