//! The Dockerfile that everybody starts with, as Rust: a Debian base, packages, a program; three containers of it.
//!
//! `cargo run --example dockerfile_as_code -- debian.tar`, where `debian.tar` is a root filesystem made by `mmdebstrap
//! --variant=apt --include=ca-certificates bookworm debian.tar`; for an ordinary user, who cannot make device nodes, with
//! `--skip=output/dev`. Packages come from where this host's apt takes them: its configuration is mounted, read-only, into
//! the `RUN`.

use std::path::Path;
use std::process::Command;

use plywood::build::{Event, Options};
use plywood::container::NetworkMode;
use plywood::doctor::State;
use plywood::image::ImportOptions;
use plywood::{Container, Engine, Mount, layers};

layers! {
    /// An interpreter and a program.
    pub struct App;

    FROM "debian:bookworm";
    RUN "apt-get update" && "apt-get install -y --no-install-recommends curl python3";
    COPY "app.py" => "/app/";
    CMD ["python3", "/app/app.py"];
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(tar) = std::env::args_os().nth(1) else {
        eprintln!("usage: dockerfile_as_code debian.tar (made by `mmdebstrap --variant=apt bookworm debian.tar`)");
        std::process::exit(2);
    };
    // apt switches between users: as an ordinary user it takes subordinate ids.
    let report = plywood::doctor();
    let one_id = report.findings().iter().find(|it| it.subject() == "subordinate ids" && it.state() != State::Ok);
    if let Some(finding) = one_id {
        let (cause, remedy) = (finding.cause().unwrap_or_default(), finding.remedy().unwrap_or_default());
        eprintln!("{}: {cause}; {remedy}, or run this as root", finding.seen());
        std::process::exit(2);
    }
    let engine = Engine::temp()?;
    engine.import_with(Path::new(&tar), &ImportOptions::new().reference("debian:bookworm"))?;

    let mut options = Options::new().network(NetworkMode::Host).progress(|event| {
        if let Event::Step { number, total, text, cached } = event {
            println!("[{number}/{total}] {text}{}", if *cached { " (cached)" } else { "" });
        }
    });
    for file in ["/etc/apt/sources.list", "/etc/apt/sources.list.d", "/etc/apt/apt.conf.d", "/etc/apt/auth.conf.d"] {
        if Path::new(file).exists() {
            options = options.mount(Mount::bind(file, file).read_only());
        }
    }
    let image = engine.build_with(&App, &options)?;
    for entry in image.history().iter().filter(|entry| entry.layer().is_some()) {
        let size = entry.layer().map_or(0, plywood::Layer::size);
        let what = if entry.created_by().is_empty() { entry.comment() } else { entry.created_by() };
        println!("{:>6.1} MB  {what}", size as f64 / 1e6);
    }

    let before = used(engine.path())?;
    let containers = (1..=3)
        .map(|n| {
            Container::of(&image)
                .cmd(["sh", "-c", &format!("echo {n} > /own && python3 /app/app.py && cat /own")])
                .start(&engine)
        })
        .collect::<plywood::Result<Vec<_>>>()?;
    for container in &containers {
        let status = container.wait()?;
        println!("{}: {status}", container.name());
        for line in container.logs().read()? {
            println!("  | {line}");
        }
    }
    println!(
        "three containers of an image of {:.0} MB added {:.1} MB",
        image.size() as f64 / 1e6,
        (used(engine.path())? - before) as f64 / 1e6
    );

    let curl = Container::of(&image).cmd(["curl", "--version"]).output(&engine)?;
    println!("{}", String::from_utf8_lossy(&curl.stdout).lines().next().unwrap_or_default());
    Ok(())
}

/// Whether this process is root, as the owner of its own `/proc` entry tells.
/// What a directory takes on disk, as `du` tells it, in bytes.
fn used(dir: &Path) -> std::io::Result<i64> {
    let output = Command::new("du").args(["-s", "-B1"]).arg(dir).output()?;
    Ok(String::from_utf8_lossy(&output.stdout)
        .split_whitespace()
        .next()
        .and_then(|bytes| bytes.parse().ok())
        .unwrap_or(0))
}
