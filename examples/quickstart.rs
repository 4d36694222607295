//! The main job in one run: declare an image, build it, run it, share a volume, read logs; no network, no daemon.
//!
//! `cargo run --example quickstart`, as root or as an ordinary user.

use plywood::build::{Event, Options};
use plywood::{Base, Container, Engine, layers};

layers! {
    /// A greeter, based on programs of this host.
    pub struct Greeter;

    FROM {Base::host(["sh", "cat", "ls", "id", "mkdir"])};
    ENV GREETING = "hello";
    RUN "mkdir /app" && "echo built by $(id -un) > /app/built";
    COPY "greet.sh" => "/app/";
    VOLUME "/data" as DATA;
    CMD ["sh", "/app/greet.sh"];
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let engine = Engine::temp()?;
    let image = engine.build(&Greeter)?;
    println!("image {} of {} layers", image.id().short(), image.layers().len());
    for entry in image.history() {
        let size = entry.layer().map_or("-".into(), |layer| layer.size().to_string());
        println!("  {size:>9}  {}", entry.created_by());
    }

    let shared = engine.volume("shared")?;
    let writer = Container::of(&image).mount(shared.at(Greeter::DATA)).name("writer").start(&engine)?;
    println!("writer: {}", writer.wait()?);
    for line in writer.logs().read()? {
        println!("  | {line}");
    }
    let reader = Container::of(&image).mount(shared.at(Greeter::DATA)).cmd(["cat", "/data/note"]).output(&engine)?;
    print!("reader: {}\n  | {}", reader.status, String::from_utf8_lossy(&reader.stdout));

    let again = Options::new().progress(|event| {
        if let Event::Done { steps, cached, .. } = event {
            println!("second build: {cached} of {steps} steps from the cache");
        }
    });
    engine.build_with(&Greeter, &again)?;
    Ok(())
}
