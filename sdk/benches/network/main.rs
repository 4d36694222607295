//! What reaching a container costs, beside plain loopback and Docker's proxy.
//!
//! `cargo bench -p plywood --bench network`. Candidates take turns in one run; what counts are the ratios of medians. The
//! server is a thread of this program in each case: only the way to it differs. Docker's proxy (`docker-proxy`, if it is
//! installed) has it on the loopback interface of the host, so it is spared the bridge that it has in earnest.
//! `PLYWOOD_BENCH_ROUNDS` is how often each is measured (default 9).
#![allow(missing_docs, missing_debug_implementations, clippy::print_stdout, clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use plywood::{Container, Durability, Engine, Layers};

/// Of one stream, in bytes.
const STREAM: usize = 256 << 20;
const PIECE: usize = 256 << 10;

/// Of one measurement.
const ROUND_TRIPS: u32 = 2000;
const CONNECTIONS: u32 = 200;

/// How a connection to the server is made, and what that is called.
type Way<'a> = (&'a str, Box<dyn Fn() -> TcpStream + 'a>);

fn main() {
    let rounds = std::env::var("PLYWOOD_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(9);
    let engine = Engine::temp().unwrap();
    let image = engine.build(&Layers::from_host(["sh", "sleep"])).unwrap();
    let container = Container::of(&image).cmd(["sleep", "1000"]).publish(0, 80).start(&engine).unwrap();
    serve(container.listen(80).unwrap());
    let published = container.addr(80).unwrap();
    let kept = Kept::start();
    serve(kept.container.listen(80).unwrap());
    let of_kept = kept.container.addr(80).unwrap();
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    let loopback = host.local_addr().unwrap();
    serve(host);
    let proxy = Proxy::start(loopback);
    let mut ways: Vec<Way<'_>> = vec![
        ("loopback", Box::new(move || TcpStream::connect(loopback).unwrap())),
        ("plywood, connect()", Box::new(|| container.connect(80).unwrap())),
        ("plywood, published port", Box::new(move || TcpStream::connect(published).unwrap())),
        ("plywood, port of a kept container", Box::new(move || TcpStream::connect(of_kept).unwrap())),
    ];
    if let Some(proxy) = &proxy {
        ways.push(("docker-proxy", Box::new(|| TcpStream::connect(proxy.address).unwrap())));
    }
    println!("{rounds} rounds, medians\n");
    let each = |measure: &dyn Fn(&dyn Fn() -> TcpStream) -> f64| -> Vec<f64> {
        let mut found = vec![Vec::new(); ways.len()];
        for _ in 0..rounds {
            for (way, found) in ways.iter().zip(&mut found) {
                found.push(measure(&*way.1));
            }
        }
        found.into_iter().map(median).collect()
    };
    let throughput = each(&|open| STREAM as f64 / stream(open()).as_secs_f64() / 1e9);
    let round_trip = each(&|open| round_trips(open()).as_secs_f64() * 1e6 / f64::from(ROUND_TRIPS));
    let connection = each(&|open| connections(open).as_secs_f64() * 1e6 / f64::from(CONNECTIONS));
    println!("| way | one stream, GB/s | round trip, µs | new connection with an answer, µs |\n|---|---|---|---|");
    for (number, (name, _)) in ways.iter().enumerate() {
        println!("| {name} | {:.2} | {:.1} | {:.0} |", throughput[number], round_trip[number], connection[number]);
    }
}

/// A container whose port its supervisor forwards; nothing of it is left when this is dropped.
struct Kept {
    engine: Engine,
    container: Container,
    _directory: tempfile::TempDir,
}

impl Kept {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let engine = Engine::open_with(directory.path().join("root"), Durability::Fast).unwrap();
        let image = engine.build(&Layers::from_host(["sh", "sleep"])).unwrap();
        let container = Container::of(&image).cmd(["sleep", "1000"]).keep().publish(0, 80).start(&engine).unwrap();
        Self { engine, container, _directory: directory }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.engine.container(self.container.name()).and_then(Container::kill_and_remove);
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The first byte says what is wanted: everything is read and the end answered, or each byte is sent back.
fn serve(listener: TcpListener) {
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || drop(answer(stream.unwrap())));
        }
    });
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; PIECE];
    stream.read_exact(&mut buffer[..1])?;
    if buffer[0] == b'S' {
        while stream.read(&mut buffer)? > 0 {}
        return stream.write_all(b".");
    }
    loop {
        stream.read_exact(&mut buffer[..1])?;
        stream.write_all(&buffer[..1])?;
    }
}

fn stream(mut stream: TcpStream) -> Duration {
    let piece = vec![7; PIECE];
    stream.write_all(b"S").unwrap();
    let begun = Instant::now();
    for _ in 0..STREAM / PIECE {
        stream.write_all(&piece).unwrap();
    }
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    stream.read_exact(&mut [0]).unwrap();
    begun.elapsed()
}

fn round_trips(mut stream: TcpStream) -> Duration {
    stream.set_nodelay(true).unwrap();
    stream.write_all(b"E").unwrap();
    let begun = Instant::now();
    for _ in 0..ROUND_TRIPS {
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
    begun.elapsed()
}

fn connections(open: &dyn Fn() -> TcpStream) -> Duration {
    let begun = Instant::now();
    for _ in 0..CONNECTIONS {
        let mut stream = open();
        stream.write_all(b"Ex").unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
    begun.elapsed()
}

/// Docker's proxy in front of an address.
struct Proxy {
    child: Child,
    address: SocketAddr,
}

impl Proxy {
    fn start(to: SocketAddr) -> Option<Self> {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let script = format!(
            "exec docker-proxy -proto tcp -host-ip 127.0.0.1 -host-port {} -container-ip 127.0.0.1 -container-port {} 3>&1",
            free.port(),
            to.port()
        );
        let mut child = Command::new("sh").args(["-c", &script]).stdout(Stdio::piped()).spawn().ok()?;
        // It says so once it listens.
        let mut word = [0];
        match child.stdout.take()?.read(&mut word) {
            Ok(1) if word == *b"0" => Some(Self { child, address: free }),
            _ => {
                println!("docker-proxy is not here, or does not start");
                let _ = child.wait();
                None
            }
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
