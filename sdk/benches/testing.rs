//! What a database for a test costs: a fork of a prepared PostgreSQL, beside the bare server on a copied data directory, and
//! a server that is started and filled.
//!
//! `cargo bench -p plywood --features postgres --bench testing`, as root, with Debian's package `postgresql`. Candidates take
//! turns in one run, and what counts are the ratios of medians. `PLYWOOD_BENCH_ROUNDS` is how often each is measured (default
//! 20; a cold start a quarter of that), `PLYWOOD_BENCH_DIR` where everything lies (default: the temporary directory). No server
//! waits for the disk.
#![allow(missing_docs, missing_debug_implementations, clippy::print_stdout, clippy::unwrap_used)]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use plywood::testing::{Postgres, Service, Template};
use plywood::{Durability, Engine};

const FORKS: usize = 50;
const DATA: &str = "/var/lib/postgresql/data";
const QUERY: &str = "SELECT name FROM rows WHERE id = 4711";
const FILL: &str = "CREATE TABLE rows (id int PRIMARY KEY, name text);
    INSERT INTO rows SELECT n, 'name ' || n FROM generate_series(1, 200000) n";

fn main() {
    let Ok(module) = Postgres::from_host() else {
        println!("PostgreSQL is not installed: nothing is measured");
        return;
    };
    if !rustix::process::geteuid().is_root() {
        println!("the bare server takes another user: nothing is measured");
        return;
    }
    let rounds: usize = std::env::var("PLYWOOD_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let parent = std::env::var_os("PLYWOOD_BENCH_DIR").map_or_else(std::env::temp_dir, Into::into);
    let directory = tempfile::Builder::new().prefix("plywood-bench-").tempdir_in(parent).unwrap();
    std::process::Command::new("chmod").arg("755").arg(directory.path()).status().unwrap();
    let engine = Engine::open_with(directory.path().join("root"), Durability::Fast).unwrap();
    let template = Template::new("rows", module.clone(), |db| answer(db, FILL).map(drop));
    let begun = Instant::now();
    let prepared = template.fork(&engine).unwrap();
    println!("prepared, and forked once: {:.0} ms", millis(begun.elapsed()));
    let bare = Bare::new(directory.path(), &prepared);
    drop(prepared);

    let (mut forked, mut gone, mut copied, mut started, mut cold) = (vec![], vec![], vec![], vec![], vec![]);
    for round in 0..rounds {
        let mut fork = None;
        forked.push(timed(|| answered(fork.insert(template.fork(&engine).unwrap()))));
        gone.push(timed(|| drop(fork)));
        let (copying, running) = bare.answered();
        started.push(running);
        copied.push(copying + running);
        if round % 4 == 0 {
            let mut db = None;
            cold.push(timed(|| {
                let db = db.insert(Service::start(module.clone(), &engine).unwrap());
                answer(db, FILL).unwrap();
                answered(db);
            }));
        }
    }
    println!("{rounds} rounds, medians, until the first query was answered\n");
    let fork = median(&mut forked);
    let rows = [
        ("fork of the template", fork),
        ("bare server, the data directory copied before", median(&mut started)),
        ("bare server, and the copy", median(&mut copied)),
        ("cold: started and filled", median(&mut cold)),
    ];
    for (name, time) in rows {
        println!("{name:<48} {:>8.1} ms   {:.2}", millis(time), fork.as_secs_f64() / time.as_secs_f64());
    }
    println!("{:<48} {:>8.1} ms", "a fork that is dropped is gone in", millis(median(&mut gone)));
    let at_once = timed(|| {
        std::thread::scope(|scope| {
            for _ in 0..FORKS {
                scope.spawn(|| answered(&template.fork(&engine).unwrap()));
            }
        });
    });
    println!(
        "\n{FORKS} forks at once, all answered and gone: {:.0} ms, {:.1} ms each",
        millis(at_once),
        millis(at_once) / 50.0
    );
}

fn answered(db: &Service<Postgres>) {
    assert_eq!(answer(db, QUERY).unwrap(), "name 4711");
}

fn answer(db: &Service<Postgres>, sql: &str) -> std::io::Result<String> {
    query(&db.socket_directory(), sql)
}

/// The bare server, as another user, on copies of a data directory.
struct Bare {
    program: PathBuf,
    data: PathBuf,
    directory: PathBuf,
}

impl Bare {
    fn new(directory: &Path, prepared: &Service<Postgres>) -> Self {
        let (data, directory) = (directory.join("data"), directory.join("bare"));
        let status = prepared.stop(Duration::from_secs(30)).unwrap();
        assert!(status.success());
        [&data, &directory].into_iter().for_each(|path| std::fs::create_dir(path).unwrap());
        prepared.container().copy_out(format!("{DATA}/."), &data).unwrap();
        run(Command::new("chown").args(["-R", "nobody:nogroup"]).args([&data, &directory]));
        run(Command::new("chmod").arg("700").arg(&data));
        let versions = std::fs::read_dir("/usr/lib/postgresql").unwrap().map(|entry| entry.unwrap().path());
        let program = versions.map(|path| path.join("bin/postgres")).filter(|path| path.is_file()).max().unwrap();
        Self { program, data, directory }
    }

    /// How long the copy took, and how long the server until it had answered.
    fn answered(&self) -> (Duration, Duration) {
        let copy = self.directory.join("copy");
        let copying = timed(|| run(Command::new("cp").args(["-a"]).args([&self.data, &copy])));
        let mut server = None;
        let running = timed(|| {
            server = Some(self.start(&copy));
            let deadline = Instant::now() + Duration::from_secs(30);
            let found = loop {
                match query(&self.directory, QUERY) {
                    Ok(found) => break found,
                    Err(error) => assert!(Instant::now() < deadline, "{error}"),
                }
                std::thread::sleep(Duration::from_micros(500));
            };
            assert_eq!(found, "name 4711");
        });
        // Fast, and all of it: a killed one would leave its children to end by themselves.
        let mut server = server.unwrap();
        let pid = rustix::process::Pid::from_child(&server);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        server.wait().unwrap();
        std::fs::remove_dir_all(copy).unwrap();
        (copying, running)
    }

    fn start(&self, data: &Path) -> Child {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]).arg(&self.program).arg("-D").arg(data);
        command.arg("-k").arg(&self.directory).args(["-F", "-c", "listen_addresses="]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }
}

fn run(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}");
}

/// The first value that the server with its socket in this directory finds, or the word for what it did.
fn query(sockets: &Path, sql: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(sockets.join(".s.PGSQL.5432"))?;
    let parameters = b"\0\x03\0\0user\0postgres\0database\0postgres\0\0";
    stream.write_all(&[&(u32::try_from(parameters.len()).unwrap() + 4).to_be_bytes()[..], parameters].concat())?;
    let mut found = String::new();
    let mut asked = false;
    loop {
        let mut head = [0; 5];
        stream.read_exact(&mut head)?;
        let mut body = vec![0; u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize - 4];
        stream.read_exact(&mut body)?;
        match head[0] {
            // A row: the number of columns, the length of the first, and what it is.
            b'D' => found = String::from_utf8_lossy(&body[6..]).into_owned(),
            b'E' => return Err(std::io::Error::other(String::from_utf8_lossy(&body).into_owned())),
            b'Z' if asked => return Ok(found),
            b'Z' => {
                asked = true;
                let length = (u32::try_from(sql.len()).unwrap() + 5).to_be_bytes();
                stream.write_all(&[b"Q", &length[..], sql.as_bytes(), b"\0"].concat())?;
            }
            _ => {}
        }
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
