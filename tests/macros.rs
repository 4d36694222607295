//! `layers!` gives the value that the builder gives, and its mistakes are shown where they were made.

// What these definitions say is odd on purpose; the macro warns by a use of something deprecated.
#![allow(deprecated, clippy::unwrap_used)]

use std::time::Duration;

use plywood::image::{
    Add, Copy, Embedded, ExposedPorts, HealthCheck, Instruction, MountKind, Run, RunMount, VolumePaths,
};
use plywood::{Base, ImageDefinition, Layers, MountPoint, Port, Stage, dockerfile, layers};

layers! {
    /// The web server.
    #[derive(Debug, Clone)]
    pub struct Web {
        /// How many.
        pub workers: u16,
    }

    ARG DEBIAN = "12";

    FROM "rust:1.95-slim" as build;
    WORKDIR "/src";
    COPY "Cargo.toml" "macros.rs" => "./";
    COPY "ui" => "ui/";
    RUN --mount=type=cache,target="/usr/local/cargo/registry" "cargo build --release";

    FROM "debian:$DEBIAN";
    ENV WORKERS = {self.workers} LOG = "info";
    RUN "apt-get update"
     && "apt-get install -y --no-install-recommends ca-certificates"
     && "rm -rf /var/lib/apt/lists/*";
    COPY --from=build --chmod=0755 "/src/target/release/web" => "/usr/local/bin/";
    COPY << "workers = auto\n" => "/etc/web.toml";
    VOLUME "/var/lib/web" as DATA;
    EXPOSE 8080 as HTTP;
    EXPOSE 53/udp as DNS;
    HEALTHCHECK --interval=5s --retries=3 CMD ["web", "--check"];
    ENTRYPOINT ["web"];
}

#[test]
fn a_declared_type_is_the_builders_value() {
    let by_hand = Layers::new()
        .arg("DEBIAN", "12")
        .from("rust:1.95-slim")
        .stage("build")
        .workdir("/src")
        .copy(["Cargo.toml", "macros.rs"], "./")
        .copy("ui", "ui/")
        .run(Run::shell("cargo build --release").mount(RunMount::cache("/usr/local/cargo/registry")))
        .from("debian:$DEBIAN")
        .envs([("WORKERS", "4"), ("LOG", "info")])
        .run(
            "apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*",
        )
        .instruction(Copy::of("/src/target/release/web").to("/usr/local/bin/").from_stage("build").chmod("0755"))
        .instruction(Copy::inline("workers = auto\n").to("/etc/web.toml"))
        .volume("/var/lib/web")
        .expose(8080)
        .expose("53/udp")
        .health_check(HealthCheck::cmd(["web", "--check"]).interval(Duration::from_secs(5)).retries(3))
        .entrypoint(["web"]);
    assert_eq!(Web { workers: 4 }.layers(), by_hand);
    assert_eq!(Web::HTTP, Port::tcp(8080));
    assert_eq!(Web::DNS, Port::udp(53));
    assert_eq!(Web::DATA, MountPoint::new("/var/lib/web"));
    assert_eq!(Web::build, Stage::new("build"));
}

layers! {
    struct Small;
    FROM scratch;
    COPY << "x" => "/x";
}

static TOOLS: std::sync::LazyLock<Layers> =
    std::sync::LazyLock::new(|| layers! { FROM "alpine:3"; RUN "apk add curl"; });

#[test]
fn every_base_can_be_said() {
    let tag = 3;
    let made = layers! {
        FROM {format!("alpine:{tag}")} as a;
        FROM {Base::host(["sh"])} as b;
        FROM Small as c;
        FROM TOOLS as d;
        FROM --platform="linux/arm64" "debian:12" as e;
        FROM a;
        COPY --from=b "/bin/sh" => "/bin/";
        COPY --from="nginx:1.27" "/etc/nginx" => "/etc/nginx/";
        COPY --from=Small "/x" => "/y";
    };
    let by_hand = Layers::new()
        .from("alpine:3")
        .stage("a")
        .from(Base::host(["sh"]))
        .stage("b")
        .from(Base::definition(Small))
        .stage("c")
        .from(Base::definition(&*TOOLS))
        .stage("d")
        .from("debian:12")
        .platform("linux/arm64")
        .stage("e")
        .from(Base::stage("a"))
        .instruction(Copy::of("/bin/sh").to("/bin/").from_stage("b"))
        .instruction(Copy::of("/etc/nginx").to("/etc/nginx/").from_image("nginx:1.27"))
        .instruction(Copy::of("/x").to("/y").from_definition(Small));
    assert_eq!(made, by_hand);
}

#[test]
fn every_instruction_and_flag_can_be_said() {
    let (port, path, times) = (9090_u16, "/cache", 2_u32);
    let made = layers! {
        FROM "debian:12";
        ARG A = "1" B;
        ARG C = {port};
        ENV ONE = "$A";
        ENV r#type = "x" USER = {port} N = 07;
        LABEL org.opencontainers.image.title = "web" com.example.my-key = 1.0;
        LABEL "k" = "v";
        RUN ["echo", "a b"];
        RUN ["echo", {port}];
        RUN {format!("echo {port}")};
        RUN r"
            set -e
            echo '$HOME'
        ";
        RUN "a; b" && "c";
        RUN --network=none --security=insecure "true";
        RUN --mount=type=bind,from="nginx",source="/etc",target="/x",rw
            --mount=type=secret,id=key,required,mode=0400
            --mount="type=tmpfs,target=/t,size=64m"
            --mount=type=ssh
            --mount=type=cache,dst={path},sharing=locked,id="$A"
            "true";
        COPY --link --parents=true --exclude="*.md" --exclude="*.txt" --chown="1000:1000" "ui" {"macros.rs"} => "/x/";
        ADD --checksum="sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" --unpack=false
            "https://example.com/a.tar" => "/";
        ADD "macros.rs" => "/m.rs";
        WORKDIR "/app";
        WORKDIR {format!("sub{times}")};
        USER 1000;
        USER "app:app";
        EXPOSE 80 53/udp {port};
        EXPOSE 8000-8002;
        VOLUME "/a" {path};
        CMD "run $HOME";
        HEALTHCHECK --start-period=1m30s --start-interval=500ms --timeout={Duration::from_secs(1)} --retries={times}
            CMD "check";
        STOPSIGNAL SIGINT;
        SHELL ["/bin/bash", "-c"];
        ONBUILD RUN "make";
        ONBUILD COPY --chown="a" "." => "/src/";
        ONBUILD ENV A = "b";
        ONBUILD WORKDIR "/x";
    };
    let by_hand = Layers::new()
        .from("debian:12")
        .arg("A", 1)
        .arg_required("B")
        .arg("C", 9090)
        .env("ONE", "$A")
        .envs([("type", "x"), ("USER", "9090"), ("N", "07")])
        .labels([("org.opencontainers.image.title", "web"), ("com.example.my-key", "1.0")])
        .label("k", "v")
        .run(["echo", "a b"])
        .run(["echo", "9090"])
        .run("echo 9090")
        .run("set -e\necho '$HOME'\n")
        .run("{ a; b\n} && c")
        .run(Run::shell("true").network("none").security("insecure"))
        .run(
            Run::shell("true")
                .mount(RunMount::bind("/x").from_image("nginx").source("/etc").writable())
                .mount(RunMount::secret("key").required().mode("0400"))
                .mount(RunMount::tmpfs("/t").size("64m"))
                .mount(RunMount::new(MountKind::Ssh))
                .mount(RunMount::cache("/cache").sharing("locked").id("$A")),
        )
        .instruction(
            Copy::of(["ui", "macros.rs"])
                .to("/x/")
                .link()
                .parents()
                .exclude("*.md")
                .exclude("*.txt")
                .chown("1000:1000"),
        )
        .instruction(
            Add::of("https://example.com/a.tar")
                .to("/")
                .checksum("sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
                .no_unpack(),
        )
        .add("macros.rs", "/m.rs")
        .workdir("/app")
        .workdir("sub2")
        .user(1000)
        .user("app:app")
        .expose([ExposedPorts::from(80), "53/udp".into(), 9090.into()])
        .expose("8000-8002/tcp")
        .volume([VolumePaths::from("/a"), "/cache".into()])
        .cmd("run $HOME")
        .health_check(
            HealthCheck::cmd("check")
                .start_period(Duration::from_secs(90))
                .start_interval(Duration::from_millis(500))
                .timeout(Duration::from_secs(1))
                .retries(2),
        )
        .stop_signal("SIGINT")
        .shell(["/bin/bash", "-c"])
        .on_build(Run::shell("make"))
        .on_build(Copy::of(".").to("/src/").chown("a"))
        .on_build(Instruction::env("A", "b"))
        .on_build(Instruction::workdir("/x"));
    for (made, by_hand) in made.instructions().iter().zip(by_hand.instructions()) {
        assert_eq!(made, by_hand);
    }
    assert_eq!(made, by_hand);
}

#[test]
fn instructions_can_depend_on_the_configuration() {
    let made = layers! {
        FROM "debian:12";
        #[cfg(test)]
        RUN "with tests";
        #[cfg(not(test))]
        RUN "without tests";
        CMD ["x"];
    };
    assert_eq!(made, Layers::new().from("debian:12").run("with tests").cmd(["x"]));
}

macro_rules! tool {
    ($name:literal, $version:expr) => {
        layers! { FROM "debian:12"; ARG VERSION = $version; RUN $name; }
    };
}

#[test]
fn values_may_come_from_another_macro() {
    assert_eq!(tool!("make", 1 + 1), Layers::new().from("debian:12").arg("VERSION", 2).run("make"));
}

#[test]
fn the_context_is_the_package_of_the_caller() {
    assert_eq!(Small.layers().context_dir(), Some(std::path::Path::new(env!("CARGO_MANIFEST_DIR"))));
}

#[test]
fn a_definition_prints_as_a_dockerfile() {
    assert_eq!(
        Web { workers: 4 }.layers().to_string(),
        r#"ARG DEBIAN=12

FROM rust:1.95-slim AS build
WORKDIR /src
COPY Cargo.toml macros.rs ./
COPY ui ui/
RUN --mount=type=cache,target=/usr/local/cargo/registry cargo build --release

FROM debian:$DEBIAN
ENV WORKERS=4 LOG=info
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
COPY --from=build --chmod=0755 /src/target/release/web /usr/local/bin/
COPY <<"EOF" /etc/web.toml
workers = auto
EOF
VOLUME ["/var/lib/web"]
EXPOSE 8080
EXPOSE 53/udp
HEALTHCHECK --interval=5s --retries=3 CMD ["web", "--check"]
ENTRYPOINT ["web"]
"#
    );
}

dockerfile! {
    /// The same from a file.
    struct Api;
    "fixtures/web.Dockerfile";
    EXPOSE 8080 as HTTP;
    EXPOSE 53/udp as DNS;
    VOLUME "/data" as DATA;
}

#[test]
fn a_dockerfile_is_the_builders_value() {
    let by_hand = Layers::new()
        .arg("DEBIAN", 12)
        .from("rust:1.95-slim")
        .stage("build")
        .workdir("/src")
        .copy("macros.rs", "./")
        .run(Run::shell("cargo build --release").mount(RunMount::cache("/usr/local/cargo/registry")))
        .from("debian:$DEBIAN")
        .envs([("LOG", "info"), ("GREETING", "a \"b\" \\$C")])
        .instruction(Copy::of("/src/web").to("/usr/local/bin/").from_stage("build").chmod("0755"))
        .instruction(
            Copy::default().to("/etc/").and_inline("EOF", "workers = auto\n").and_template("b.txt", "log $LOG\n"),
        )
        .run("set -e\nweb --check")
        .volume("/data")
        .expose([ExposedPorts::from(8080), "53/udp".into()])
        .health_check(HealthCheck::cmd(["web", "--check"]).interval(Duration::from_secs(5)))
        .entrypoint(["web"]);
    for (made, by_hand) in Api.layers().instructions().iter().zip(by_hand.instructions()) {
        assert_eq!(made, by_hand);
    }
    assert_eq!(Api.layers(), by_hand);
    assert_eq!(dockerfile!("fixtures/web.Dockerfile"), by_hand);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/web.Dockerfile");
    assert_eq!(plywood::image::Dockerfile::open(path).expect("it is right").layers(), by_hand);
    assert_eq!((Api::HTTP, Api::DNS), (Port::tcp(8080), Port::udp(53)));
    assert_eq!(Api::DATA, MountPoint::new("/data"));
    assert_eq!(Api::build, Stage::new("build"));
}

layers! {
    struct Embedding;
    FROM scratch;
    COPY --embed "fixtures/embedded" => "/app/";
    COPY --embed --chmod=0600 "fixtures/embedded/*.py" "fixtures/embedded/bin" => "/opt/";
}

#[test]
fn embedded_files_are_part_of_the_program() {
    use std::os::unix::fs::PermissionsExt as _;
    let path = |name: &str| format!("{}/fixtures/embedded/{name}", env!("CARGO_MANIFEST_DIR"));
    let mode = |name: &str| std::fs::metadata(path(name)).unwrap().permissions().mode() & 0o7777;
    let content = |name: &str| std::fs::read(path(name)).unwrap();
    let bin = |files: Embedded| {
        files
            .directory("fixtures/embedded/bin", mode("bin"))
            .file("fixtures/embedded/bin/run", mode("bin/run"), content("bin/run"))
            .link("fixtures/embedded/bin/main.py", "../app.py")
    };
    let app = Embedded::new().file("fixtures/embedded/app.py", mode("app.py"), content("app.py"));
    let whole = bin(app.clone()).directory("fixtures/embedded", mode("")).link("fixtures/embedded/entry.py", "app.py");
    // A link that is a source itself is followed.
    let parts = bin(app).file("fixtures/embedded/entry.py", mode("app.py"), content("app.py"));
    let by_hand = Layers::new()
        .from(Base::scratch())
        .instruction(Copy::of("fixtures/embedded").to("/app/").embedded(whole))
        .instruction(
            Copy::of(["fixtures/embedded/*.py", "fixtures/embedded/bin"]).to("/opt/").chmod("0600").embedded(parts),
        );
    assert_eq!(Embedding.layers(), by_hand);
    assert_eq!(mode("bin/run") & 0o111, 0o111);
    assert_eq!(Embedding.layers().sources().unwrap(), [""; 0].map(std::path::PathBuf::from));
    let text = by_hand.to_string();
    assert_eq!(plywood::image::Dockerfile::parse(&text).unwrap().layers(), by_hand, "{text}");
}

#[test]
fn sources_of_a_declared_type_are_files_of_the_package() {
    let file = |name: &str| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let layers = layers! { FROM "debian:12"; COPY "fixtures/embedded" "macros.rs" => "/x/"; };
    let names = ["fixtures/embedded/app.py", "fixtures/embedded/bin/main.py", "fixtures/embedded/bin/run"];
    let mut files: Vec<_> = names.iter().map(|name| file(name)).collect();
    files.extend([file("fixtures/embedded/entry.py"), file("macros.rs")]);
    assert_eq!(layers.sources().unwrap(), files);
    assert_eq!(layers.digest().unwrap(), layers.clone().digest().unwrap());
}

#[test]
fn a_dockerfile_has_ignore_rules_of_its_own() {
    // `ui` is left out for this file alone.
    let files = dockerfile!("fixtures/web.Dockerfile").copy("*", "/x/").sources().unwrap();
    let has = |part: &str| files.iter().any(|file| file.to_string_lossy().contains(part));
    assert!(has("tests/macros.rs") && !has("tests/ui/"), "{files:?}");
    let error = dockerfile!("fixtures/web.Dockerfile").copy("ui", "/x/").sources().unwrap_err().to_string();
    assert!(error.contains("it is excluded by web.Dockerfile.dockerignore, line 2"), "{error}");
}

#[test]
fn the_compiler_runs_again_when_a_file_of_a_definition_changes() {
    // What Cargo looks at: the list that the compiler wrote beside this program.
    let list = std::fs::read_to_string(std::env::current_exe().unwrap().with_extension("d")).unwrap();
    let is_listed = |name: &str| list.lines().any(|line| line.ends_with(&format!("{name}:")));
    for name in ["web.Dockerfile", "web.Dockerfile.dockerignore", "embedded/app.py", "embedded/bin/run"] {
        assert!(is_listed(&format!("tests/fixtures/{name}")), "{name} in {list}");
    }
    // A source that is not embedded is read when the image is built.
    assert!(!is_listed("tests/Cargo.toml"), "{list}");
}
