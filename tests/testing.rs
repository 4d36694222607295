//! Services for tests: modules against real servers with real clients, and templates, whoever prepares them and however that
//! ends.

#![allow(clippy::unwrap_used)]

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lapin::options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use mysql::Conn;
use mysql::prelude::Queryable as _;
use plywood::container::{Definition, Ready};
use plywood::prune::{Kind, Options as Prune};
use plywood::testing::{Generic, MariaDb, Module, Nginx, Postgres, RabbitMq, Redis, Service, Template};
use plywood::{Container, Durability, Engine, ErrorKind};
use postgres::{Client, NoTls};
use support::{engine, sh, victim};

/// Returns from the test, saying what the host lacks, without this package.
macro_rules! from_host {
    ($module:ty) => {
        match <$module>::from_host() {
            Ok(module) => module,
            Err(error) => return support::skip(error),
        }
    };
}

fn client(db: &Service<Postgres>) -> Client {
    Client::connect(&db.url(), NoTls).unwrap()
}

fn count(db: &Service<Postgres>) -> i64 {
    client(db).query_one("SELECT count(*) FROM users", &[]).unwrap().get(0)
}

#[test]
fn postgresql_answers_a_client() {
    let module = from_host!(Postgres);
    let engine = engine();
    let db = Service::start(module.setting("application_name", "plywood"), &engine).unwrap();
    let mut client = client(&db);
    client.batch_execute("CREATE TABLE users (name text); INSERT INTO users VALUES ('ada'), ('grace')").unwrap();
    assert_eq!(count(&db), 2);
    let row = client.query_one("SHOW server_encoding", &[]).unwrap();
    assert_eq!(row.get::<_, String>(0), "UTF8");
    drop(client);
    assert!(db.stop(Duration::from_secs(30)).unwrap().success(), "a fast shutdown is a clean one");
}

fn connect(db: &Service<MariaDb>) -> Conn {
    Conn::new(db.url().as_str()).unwrap()
}

#[test]
fn mariadb_answers_a_client() {
    let module = from_host!(MariaDb);
    let engine = engine();
    let template = Template::new("users", module.setting("max-connections", "77"), |db| {
        let mut client = Conn::new(db.url().as_str())?;
        client.query_drop("CREATE DATABASE app")?;
        client.query_drop("CREATE TABLE app.users (id int PRIMARY KEY, name text)")?;
        client.exec_batch("INSERT INTO app.users VALUES (?, ?)", [(1, "ada"), (2, "grace")])
    });
    let (first, second) = (template.fork(&engine).unwrap(), template.fork(&engine).unwrap());
    let mut client = connect(&first);
    client.exec_drop("DELETE FROM app.users WHERE name = ?", ("ada",)).unwrap();
    assert_eq!(client.affected_rows(), 1);
    let left: Vec<(i32, String)> = client.query("SELECT id, name FROM app.users").unwrap();
    assert_eq!(left, [(2, "grace".to_owned())]);
    let seen: Option<(u32, u32)> =
        connect(&second).query_first("SELECT count(*), @@max_connections FROM app.users").unwrap();
    assert_eq!(seen, Some((2, 77)));
    drop(client);
    assert!(first.stop(Duration::from_secs(60)).unwrap().success(), "a signal to end is a clean shutdown");
    assert!(first.container().logs().read().unwrap().any(|line| line.text.contains("Shutdown complete")));
}

/// Does something on a channel to a broker that confirms what it is sent, and leaves.
fn with_channel<T>(
    broker: &Service<RabbitMq>,
    work: impl AsyncFnOnce(&Channel) -> lapin::Result<T>,
) -> lapin::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let connection = Connection::connect(&broker.url(), ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let done = work(&channel).await?;
        connection.close(200, "OK".into()).await?;
        Ok(done)
    })
}

/// Sends a message that outlives the server, and waits until the server has it.
async fn publish(channel: &Channel, body: &[u8]) -> lapin::Result<()> {
    let properties = BasicProperties::default().with_delivery_mode(2);
    let sent = channel.basic_publish("".into(), "jobs".into(), BasicPublishOptions::default(), body, properties);
    assert!(sent.await?.await?.is_ack());
    Ok(())
}

/// Takes out of the queue what is in it.
async fn take_all(channel: &Channel) -> lapin::Result<Vec<String>> {
    let mut found = Vec::new();
    while let Some(message) = channel.basic_get("jobs".into(), BasicGetOptions { no_ack: true }).await? {
        found.push(String::from_utf8_lossy(&message.data).into_owned());
    }
    Ok(found)
}

#[test]
fn rabbitmq_answers_a_client() {
    let module = from_host!(RabbitMq);
    let engine = engine();
    let template = Template::new("jobs", module.published(), |broker| {
        with_channel(broker, async |channel| {
            let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
            channel.queue_declare("jobs".into(), durable, FieldTable::default()).await?;
            publish(channel, b"first").await
        })
    });
    let (one, other) = (template.fork(&engine).unwrap(), template.fork(&engine).unwrap());
    let taken = with_channel(&one, async |channel| {
        publish(channel, b"second").await?;
        take_all(channel).await
    });
    assert_eq!(taken.unwrap(), ["first", "second"]);
    assert_eq!(with_channel(&other, take_all).unwrap(), ["first"]);
    assert!(one.stop(Duration::from_secs(60)).unwrap().success(), "a signal to end is a clean shutdown");
}

#[test]
fn redis_answers_a_client() {
    let module = from_host!(Redis);
    let engine = engine();
    let cache = Service::start(module, &engine).unwrap();
    let mut connection = redis::Client::open(cache.url()).unwrap().get_connection().unwrap();
    let _: () = redis::cmd("SET").arg("key").arg("value").query(&mut connection).unwrap();
    let value: String = redis::cmd("GET").arg("key").query(&mut connection).unwrap();
    assert_eq!(value, "value");
    assert!(cache.stop(Duration::from_secs(30)).unwrap().success());
}

#[test]
fn nginx_serves_a_directory() {
    let module = from_host!(Nginx);
    let engine = engine();
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("index.html"), "<p>hello</p>").unwrap();
    let get = |web: &Service<Nginx>| {
        let mut stream = web.container().connect(80).unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let (plain, site) = (module.clone(), module.site(directory.path()));
    // Two on the same port.
    let (plain, site) = (Service::start(plain, &engine).unwrap(), Service::start(site, &engine).unwrap());
    let answer = get(&site);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n<p>hello</p>"), "{answer}");
    assert!(answer.contains("Content-Type: text/html"), "{answer}");
    assert!(get(&plain).ends_with("it works\n"));
    for web in [plain, site] {
        assert!(web.stop(Duration::from_secs(30)).unwrap().success());
    }
}

fn users(module: Postgres, prepared: &Arc<AtomicUsize>) -> Template<Postgres> {
    let prepared = Arc::clone(prepared);
    Template::new("users", module, move |db| {
        prepared.fetch_add(1, Ordering::SeqCst);
        Client::connect(&db.url(), NoTls)?.batch_execute(
            "CREATE TABLE users (id int PRIMARY KEY, name text);
             INSERT INTO users SELECT n, 'user ' || n FROM generate_series(1, 1000) n",
        )
    })
}

#[test]
fn complaint_seconds_a_template_is_prepared_once_and_each_fork_is_its_own() {
    let module = from_host!(Postgres);
    let engine = engine();
    let prepared = Arc::default();
    let template = users(module.clone(), &prepared);
    std::thread::scope(|scope| {
        for number in 0..6 {
            let (engine, template) = (&engine, &template);
            scope.spawn(move || {
                let db = template.fork(engine).unwrap();
                client(&db).execute("DELETE FROM users WHERE id <= $1", &[&number]).unwrap();
                assert_eq!(count(&db), i64::from(1000 - number));
            });
        }
    });
    assert_eq!(prepared.load(Ordering::SeqCst), 1);
    // Another value of the same inputs, as another program has it.
    assert_eq!(count(&users(module.clone(), &prepared).fork(&engine).unwrap()), 1000);
    assert_eq!(prepared.load(Ordering::SeqCst), 1);
    assert_eq!(count(&users(module, &prepared).input("2").fork(&engine).unwrap()), 1000);
    assert_eq!(prepared.load(Ordering::SeqCst), 2, "another version is prepared anew");
    let gone = engine.prune_with(&Prune::new().only([Kind::Container])).unwrap();
    assert_eq!(gone.objects().len(), 2, "{gone:?}");
    assert_eq!(count(&template.fork(&engine).unwrap()), 1000);
    assert_eq!(prepared.load(Ordering::SeqCst), 3, "after a prune it is prepared again");
}

/// A service that needs no package of the host: it has something to prepare, and says when it is up.
#[derive(Debug, Default)]
struct Files {
    script: Option<&'static str>,
}

impl Module for Files {
    fn definition(&self, _engine: &Engine) -> plywood::Result<Definition> {
        let serve = "trap 'exit 0' TERM; : > /up; while :; do sleep 0.02; done";
        Ok(Container::of(&support::base()).cmd(["sh", "-c", self.script.unwrap_or(serve)]))
    }

    fn ready(&self) -> Ready {
        Ready::file("/up")
    }
}

fn file(service: &Service<Files>, path: &str) -> String {
    support::text(service.container().exec(["cat", path]).output().unwrap())
}

fn write(service: &Service<Files>, script: &str) {
    assert!(service.container().exec(["sh", "-c", script]).status().unwrap().success());
}

#[test]
fn a_preparation_that_fails_or_panics_gives_the_next_the_same_error_and_poisons_nothing() {
    let engine = engine();
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tries);
    let template = Template::new("broken", Files::default(), move |service| {
        write(service, "echo word > /proc/1/fd/1");
        match counted.fetch_add(1, Ordering::SeqCst) {
            0 => panic!("no table {:?}", "users"),
            _ => Err::<(), _>("not again"),
        }
    });
    let first = template.fork(&engine).unwrap_err();
    assert_eq!(first.kind(), ErrorKind::Failed);
    assert!(first.to_string().starts_with("prepare template \"broken\": it panicked: no table \"users\""), "{first}");
    assert_eq!(template.fork(&engine).unwrap_err().to_string(), first.to_string());
    assert_eq!(tries.load(Ordering::SeqCst), 1);
    assert!(engine.containers().unwrap().is_empty(), "nothing is left of it");
    // The next program tries it again.
    let mended = Template::new("broken", Files::default(), |service| {
        write(service, "echo done > /file");
        Ok::<(), std::io::Error>(())
    });
    assert_eq!(file(&mended.fork(&engine).unwrap(), "/file"), "done\n");
    let refused = Template::new("refused", Files::default(), |_| Err("no such migration")).fork(&engine).unwrap_err();
    assert!(refused.to_string().starts_with("prepare template \"refused\": no such migration"), "{refused}");
}

#[test]
fn a_service_that_has_ended_is_told_at_once_with_its_last_words() {
    let engine = engine();
    let module = Files { script: Some("echo no license; exit 7") };
    let died = Service::start(module, &engine).unwrap_err();
    assert_eq!(died.kind(), ErrorKind::Failed);
    let message = format!("{died:?}");
    assert!(
        message.contains("before it was ready") && message.contains("no license") && message.contains('7'),
        "{message}"
    );
    let never = Generic::new(sh(&support::image(&engine), "sleep 1; echo bye"), 80);
    let died = Service::start(never, &engine).unwrap_err();
    assert!(format!("{died:?}").contains("bye") && died.to_string().contains("waiting for port 80"), "{died:?}");
}

#[test]
fn inputs_that_are_files_count() {
    let engine = engine();
    let directory = tempfile::tempdir().unwrap();
    let migrations = directory.path().join("migrations");
    std::fs::create_dir(&migrations).unwrap();
    std::fs::write(migrations.join("1.sql"), "one").unwrap();
    let source = migrations.clone();
    let template =
        Template::new("files", Files::default(), move |service| service.container().copy_in(source.join("1.sql"), "/"));
    let template = template.files(&migrations);
    assert_eq!(file(&template.fork(&engine).unwrap(), "/1.sql"), "one");
    std::fs::write(migrations.join("1.sql"), "two").unwrap();
    assert_eq!(file(&template.fork(&engine).unwrap(), "/1.sql"), "two");
}

fn slow(root: &Path, prepare: impl Fn(&Service<Files>) + Send + Sync + 'static) -> (Engine, Template<Files>) {
    let engine = Engine::open_with(root, Durability::Fast).unwrap();
    let template = Template::new("slow", Files::default(), move |service| {
        write(service, "echo half > /half");
        prepare(service);
        write(service, "echo whole > /whole");
        Ok::<(), std::io::Error>(())
    });
    (engine, template)
}

#[test]
fn a_program_that_is_killed_while_it_prepares_leaves_the_turn_to_the_next() {
    if let Some(directory) = victim::directory() {
        let (engine, template) = slow(&directory.join("root"), |_| {
            victim::tell("preparing");
            victim::wait();
        });
        let _never = template.fork(&engine);
    }
    let directory = victim::Directory::new();
    let name = "a_program_that_is_killed_while_it_prepares_leaves_the_turn_to_the_next";
    for _ in 0..3 {
        let mut program = victim::Victim::start(name, directory.path());
        assert_eq!(program.hear().as_deref(), Some("preparing"));
        drop(program);
    }
    let (engine, template) = slow(&directory.path().join("root"), |_| {});
    let fork = template.fork(&engine).unwrap();
    assert_eq!(file(&fork, "/whole"), "whole\n");
    drop(fork);
    let left = support::left::names(&engine.path().join("image/plywood/in-flight"));
    assert!(!left.iter().any(|entry| entry.starts_with("template-")), "{left:?}");
}

fn shared(root: &Path) -> Service<Files> {
    let engine = Engine::open_with(root, Durability::Fast).unwrap();
    Service::shared("files", Files::default(), &engine).unwrap()
}

#[test]
fn the_last_one_out_stops_a_shared_service() {
    let directory = victim::Directory::new();
    let root = directory.path().join("root");
    let (one, other) = (shared(&root), shared(&root));
    assert_eq!(one.container().id(), other.container().id());
    write(&one, "echo word > /word");
    drop(one);
    assert_eq!(file(&other, "/word"), "word\n");
    drop(other);
    let engine = Engine::open_with(&root, Durability::Fast).unwrap();
    assert!(engine.containers().unwrap().is_empty());
    assert_eq!(support::left::leftovers(&root, &[]), Vec::<String>::new());
    let fails = Service::shared("fails", Files { script: Some("exit 3") }, &engine).unwrap_err();
    assert_eq!(fails.kind(), ErrorKind::Failed);
    assert!(engine.containers().unwrap().is_empty());
}

#[test]
fn programs_share_a_service_until_the_last_ends_or_is_killed() {
    if let Some(directory) = victim::directory() {
        let service = shared(&directory.join("root"));
        victim::tell(service.container().id());
        victim::wait();
    }
    let directory = victim::Directory::new();
    let root = directory.path().join("root");
    let name = "programs_share_a_service_until_the_last_ends_or_is_killed";
    let mut programs = [(); 3].map(|()| victim::Victim::start(name, directory.path()));
    let ids = programs.each_mut().map(|program| program.hear().unwrap());
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let [first, second, last] = programs;
    drop((first, second));
    // Whoever looks does not end what is in use.
    let engine = Engine::open_with(&root, Durability::Fast).unwrap();
    assert!(engine.container(&ids[0]).unwrap().state().unwrap().is_running());
    drop((engine, last));
    let patience = Instant::now() + Duration::from_secs(20);
    // A child of the killed program may hold its lock for a moment.
    while !Engine::open_with(&root, Durability::Fast).unwrap().containers().unwrap().is_empty() {
        assert!(Instant::now() < patience, "nobody uses it");
    }
}

fn until_idle(root: &Path, idle: Duration) -> Service<Files> {
    let engine = Engine::open_with(root, Durability::Fast).unwrap();
    Service::shared_until_idle("files", Files::default(), idle, &engine).unwrap()
}

/// Waits until the shared container of this name has ended, and its supervisor.
fn wait_for_the_end(engine: &Engine, name: &str) {
    if let Err(error) = engine.container(name).and_then(|container| container.wait()) {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }
    // The supervisor has the lock until all is done.
    std::fs::File::open(engine.path().join("image/plywood/leases").join(name)).unwrap().lock().unwrap();
}

#[test]
fn a_shared_service_ends_when_it_was_idle() {
    let directory = victim::Directory::new();
    let root = directory.path().join("root");
    let short = Duration::from_millis(1);
    let first = until_idle(&root, short);
    let (id, name) = (first.container().id().clone(), first.container().name().to_owned());
    let engine = Engine::open_with(&root, Durability::Fast).unwrap();
    drop(first);
    wait_for_the_end(&engine, &name);
    let (second, third) = (until_idle(&root, short), until_idle(&root, short));
    assert_ne!(second.container().id(), &id);
    assert_eq!(second.container().id(), third.container().id());
    assert_eq!(engine.container(id.as_str()).unwrap_err().kind(), ErrorKind::NotFound);
    drop(second);
    write(&third, "echo word > /word");
    assert_eq!(file(&third, "/word"), "word\n");
    drop(third);
    wait_for_the_end(&engine, &name);
    assert!(engine.containers().unwrap().is_empty());
    drop(engine);
    drop(Engine::open_with(&root, Durability::Fast).unwrap());
    assert_eq!(support::left::leftovers(&root, &[]), Vec::<String>::new());
}

#[test]
fn a_shared_service_ends_when_its_last_program_was_killed() {
    if let Some(directory) = victim::directory() {
        let service = until_idle(&directory.join("root"), Duration::from_millis(1));
        victim::tell(service.container().name());
        victim::wait();
    }
    let directory = victim::Directory::new();
    let root = directory.path().join("root");
    let test = "a_shared_service_ends_when_its_last_program_was_killed";
    let mut program = victim::Victim::start(test, directory.path());
    let name = program.hear().unwrap();
    let engine = Engine::open_with(&root, Durability::Fast).unwrap();
    assert!(engine.container(&name).unwrap().state().unwrap().is_running());
    drop(program);
    // No other program opens the data root.
    wait_for_the_end(&engine, &name);
    assert!(engine.containers().unwrap().is_empty());
}

#[test]
fn a_shared_service_waits_for_the_next_program() {
    if let Some(directory) = victim::directory() {
        let service = until_idle(&directory.join("root"), Duration::from_secs(60 * 60));
        victim::tell(service.container().id());
        victim::wait();
    }
    let directory = victim::Directory::new();
    let root = directory.path().join("root");
    let next = || {
        let mut program = victim::Victim::start("a_shared_service_waits_for_the_next_program", directory.path());
        program.hear().unwrap()
    };
    let id = next();
    assert_eq!(next(), id);
    let service = until_idle(&root, Duration::ZERO);
    assert_eq!(service.container().id().as_str(), id, "the first has decided");
    drop(service);
    let engine = Engine::open_with(&root, Durability::Fast).unwrap();
    let container = engine.container(&id).unwrap();
    assert!(container.state().unwrap().is_running());
    container.kill_and_remove().unwrap();
    drop(Engine::open_with(&root, Durability::Fast).unwrap());
    assert_eq!(support::left::leftovers(&root, &[]), Vec::<String>::new());
}

#[test]
fn programs_at_once_prepare_it_once() {
    if let Some(directory) = victim::directory() {
        let (engine, template) = slow(&directory.join("root"), |_| victim::tell("prepared"));
        assert_eq!(file(&template.fork(&engine).unwrap(), "/whole"), "whole\n");
        victim::tell("forked");
        return;
    }
    let directory = victim::Directory::new();
    let programs: Vec<_> =
        (0..4).map(|_| victim::Victim::start("programs_at_once_prepare_it_once", directory.path())).collect();
    let mut said = Vec::new();
    for mut program in programs {
        said.extend(std::iter::from_fn(|| program.hear()));
    }
    let times = |word: &str| said.iter().filter(|it| *it == word).count();
    assert_eq!((times("prepared"), times("forked")), (1, 4), "{said:?}");
}
