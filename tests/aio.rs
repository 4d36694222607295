//! The asynchronous face: on runtimes with one thread and with many, dropped half-way, and without a thread that waits.

#![allow(clippy::unwrap_used)]

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use plywood::aio::{Async, Engine};
use plywood::container::{Action, Ready, Signal, State, Stdio};
use plywood::{Base, Container, ErrorKind, Image, Layers, Timestamp};
use support::{PROGRAMS, image, sh};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;

/// Longer than anything takes that is not stuck.
const PATIENCE: Duration = Duration::from_secs(60);

async fn prepared() -> (Engine, Image) {
    let engine = support::engine();
    let image = engine.aio().blocking(|engine| Ok(image(engine))).await.unwrap();
    (engine.aio(), image)
}

/// The numbers of this program's threads.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

async fn everything() {
    let (engine, image) = prepared().await;
    let output = sh(&image, "echo out; echo err >&2; exit 3").aio().output(&engine).await.unwrap();
    assert_eq!((output.stdout, output.stderr, output.status.code()), (b"out\n".to_vec(), b"err\n".to_vec(), 3));

    let script = "trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.02; done";
    let web = sh(&image, script).name("web").aio().start(&engine).await.unwrap();
    assert_eq!(web.name(), "web");
    assert_eq!(web.state().await.unwrap(), State::Running);
    let mut lines = web.logs().follow().aio().read().await.unwrap();
    assert_eq!(lines.next().await.unwrap().text, "ready");
    let exec = web.exec(["sh", "-c", "echo $A; exit 4"]).env("A", "b").aio().output().await.unwrap();
    assert_eq!((exec.stdout, exec.status.code()), (b"b\n".to_vec(), 4));
    // Nothing happens, so nothing comes, and a future that is dropped loses nothing.
    assert!(timeout(Duration::from_millis(20), web.wait()).await.is_err());
    assert!(timeout(Duration::from_millis(20), lines.next()).await.is_err());
    web.kill(Signal::TERM).await.unwrap();
    assert_eq!(web.wait().await.unwrap().code(), 5);
    assert_eq!(lines.next().await.unwrap().text, "bye");
    assert_eq!(lines.next().await, None);
    assert!(lines.error().is_none());
    assert_eq!(web.stop(Duration::ZERO).await.unwrap().code(), 5);

    // Any handle will do, and a guard goes with its last clone.
    let same = engine.container("web").await.unwrap();
    assert_eq!(same.wait().await.unwrap().code(), 5);
    web.remove().await.unwrap();
    assert_eq!(same.wait().await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(engine.containers().await.unwrap().is_empty());
}

#[tokio::test]
async fn everything_works_on_a_runtime_with_one_thread() {
    timeout(PATIENCE, everything()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_works_on_a_runtime_with_many_threads() {
    timeout(PATIENCE, tokio::spawn(everything())).await.unwrap().unwrap();
}

#[tokio::test]
async fn snapshots_and_their_forks_are_awaited() {
    let (engine, image) = prepared().await;
    let prepared = sh(&image, "echo prepared > /file; sleep 1000").aio().start(&engine).await.unwrap();
    let script = "until test -s /file; do :; done";
    assert!(prepared.exec(["sh", "-c", script]).aio().status().await.unwrap().success());
    assert_eq!(prepared.clone().snapshot().await.unwrap_err().kind(), ErrorKind::InUse, "there is a clone");
    let _status = prepared.stop(Duration::ZERO).await.unwrap();
    let snapshot = prepared.snapshot().await.unwrap();
    let fork = snapshot.fork().await.unwrap();
    let output = fork.exec(["cat", "/file"]).aio().output().await.unwrap();
    assert_eq!(output.stdout, b"prepared\n");
    snapshot.persist("base").await.unwrap();
    fork.kill_and_remove().await.unwrap();
    drop(snapshot);
    engine.snapshot("base").await.unwrap().remove().await.unwrap();
    assert_eq!(engine.snapshot("base").await.unwrap_err().kind(), ErrorKind::NotFound);

    let volume = engine.create_volume("data", [("a".to_owned(), "b".to_owned())].into()).await.unwrap();
    std::fs::write(volume.path().join("file"), "one").unwrap();
    let snapshot = volume.aio().snapshot(&engine).await.unwrap();
    std::fs::write(volume.path().join("file"), "two").unwrap();
    let text = |volume: &plywood::Volume| std::fs::read_to_string(volume.path().join("file")).unwrap();
    assert_eq!(text(&snapshot.fork().await.unwrap()), "one");
    assert_eq!(text(&volume.aio().fork(&engine).await.unwrap()), "two");
    assert_eq!(text(&engine.fork_volume(&volume, "stays").await.unwrap()), "two");
    drop(snapshot);
    engine.remove_volume("stays").await.unwrap();
    let names: Vec<_> = engine.volumes().await.unwrap().iter().map(|it| it.name().to_string()).collect();
    assert_eq!(names, ["data"]);
    assert_eq!(engine.volume_snapshot("data").await.unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[tokio::test]
async fn streams_of_a_process_are_pipes_of_the_runtime() {
    let (engine, image) = prepared().await;
    let cat = sh(&image, "cat; echo end >&2").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let cat = cat.aio().start(&engine).await.unwrap();
    let mut input = cat.take_stdin().unwrap().unwrap();
    let mut output = cat.take_stdout().unwrap().unwrap();
    let mut error = cat.take_stderr().unwrap().unwrap();
    assert!(cat.take_stdin().unwrap().is_none());
    // More than a pipe holds: each side has to wait for the other.
    let sent = vec![b'x'; 1 << 20];
    let expected = sent.clone();
    let writer = tokio::spawn(async move {
        input.write_all(&sent).await.unwrap();
    });
    let mut received = Vec::new();
    timeout(PATIENCE, output.read_to_end(&mut received)).await.unwrap().unwrap();
    writer.await.unwrap();
    assert!(received == expected);
    let mut text = String::new();
    error.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "end\n");
    assert!(cat.wait().await.unwrap().success());
}

#[tokio::test]
async fn a_container_and_its_program_reach_each_other() {
    let engine = support::engine().aio();
    let image = engine.build(&Layers::new().from(Base::host([PROGRAMS.as_slice(), &["bash"]].concat()))).await.unwrap();
    let container = sh(&image, "read -r forever").stdin(Stdio::piped()).aio().start(&engine).await.unwrap();
    let listener = container.listen(0).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    container.wait_ready(Ready::port(port)).await.unwrap();
    let never = Ready::port(9).timeout(Duration::from_millis(20));
    assert_eq!(container.wait_ready(never).await.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(container.wait_healthy(PATIENCE).await.unwrap_err().kind(), ErrorKind::InvalidArgument);
    // The container's process reaches us.
    let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; echo ping >&3; read -r line <&3; echo $line");
    let asks = container.exec(["bash", "-c", &script]).aio();
    let (output, answered) = timeout(PATIENCE, async { tokio::join!(asks.output(), answer(&listener)) }).await.unwrap();
    assert_eq!((output.unwrap().stdout, answered), (b"pong\n".to_vec(), "ping\n".to_owned()));
    // So do we ourselves, in its network.
    let mut stream = container.connect(port).await.unwrap();
    stream.write_all(b"ping\n").await.unwrap();
    assert_eq!(timeout(PATIENCE, answer(&listener)).await.unwrap(), "ping\n");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "pong\n");
    // Dropped, it would go on for as long as a child that another test starts just now has it too.
    rustix::net::shutdown(&listener, rustix::net::Shutdown::Read).unwrap();
    assert_eq!(container.connect(port).await.unwrap_err().kind(), ErrorKind::Unavailable);
    let socket = container.connect_udp(9).await.unwrap();
    assert!(socket.local_addr().unwrap().ip().is_loopback());
    assert_eq!(container.connect_unix("/none").await.unwrap_err().kind(), ErrorKind::NotFound);
}

/// Takes a connection, reads a line, and answers.
async fn answer(listener: &TcpListener) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut line = [0; 5];
    stream.read_exact(&mut line).await.unwrap();
    stream.write_all(b"pong\n").await.unwrap();
    String::from_utf8(line.to_vec()).unwrap()
}

#[tokio::test]
async fn no_thread_waits_for_a_container() {
    const CONTAINERS: usize = 24;
    let (engine, image) = prepared().await;
    let mut running = Vec::new();
    for _ in 0..CONTAINERS {
        running.push(
            sh(&image, "echo up; read -r line; exit 7").stdin(Stdio::piped()).aio().start(&engine).await.unwrap(),
        );
    }
    let mut lines = Vec::new();
    for container in &running {
        let mut followed = container.logs().follow().aio().read().await.unwrap();
        assert_eq!(followed.next().await.unwrap().text, "up");
        lines.push(followed);
    }
    let mut waits: Vec<_> = running.iter().map(|container| Box::pin(container.wait())).collect();
    let mut nexts: Vec<_> = lines.iter_mut().map(|lines| Box::pin(lines.next())).collect();
    let before = threads();
    // All of them wait now, for an end and for a line.
    poll_fn(|context| {
        assert!(waits.iter_mut().all(|wait| wait.as_mut().poll(context).is_pending()));
        assert!(nexts.iter_mut().all(|next| next.as_mut().poll(context).is_pending()));
        Poll::Ready(())
    })
    .await;
    assert!(threads() <= before, "{} threads for {CONTAINERS} containers, {before} before", threads());
    for container in &running {
        drop(container.take_stdin().unwrap().unwrap());
    }
    for (wait, next) in waits.into_iter().zip(nexts) {
        assert_eq!(timeout(PATIENCE, wait).await.unwrap().unwrap().code(), 7);
        assert_eq!(timeout(PATIENCE, next).await.unwrap(), None);
    }
}

#[tokio::test]
async fn what_is_dropped_half_way_leaves_nothing() {
    let (engine, image) = prepared().await;
    let mut events = engine.events().aio().read().await.unwrap();
    // Polled once, and dropped while another thread starts the container.
    for name in ["first", "second", "third"] {
        let definition = sh(&image, "sleep 1000").name(name).aio();
        let mut start = pin!(definition.start(&engine));
        assert!(poll_fn(|context| Poll::Ready(start.as_mut().poll(context).is_pending())).await);
    }
    let mut told = Vec::new();
    while told.iter().filter(|action| **action == Action::Destroy).count() < 3 {
        told.push(timeout(PATIENCE, events.next()).await.unwrap().unwrap().action);
    }
    assert_eq!(told.iter().filter(|action| **action == Action::Start).count(), 3);

    // Dropped while the container runs.
    let forever = sh(&image, "sleep 1000").aio();
    let mut output = Box::pin(forever.output(&engine));
    loop {
        tokio::select! {
            output = &mut output => panic!("{output:?}"),
            event = events.next() => if event.unwrap().action == Action::Start { break },
        }
    }
    drop(output);
    timeout(PATIENCE, async { while events.next().await.unwrap().action != Action::Destroy {} }).await.unwrap();
    assert!(engine.containers().await.unwrap().is_empty());
}

#[test]
fn a_guard_may_be_dropped_in_the_runtime_and_outlive_it() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let engine = support::engine();
    let (dropped, kept) = runtime.block_on(async {
        let image = image(&engine);
        let start = |name: &'static str| {
            let definition = sh(&image, "sleep 1000").name(name).aio();
            let engine = engine.clone();
            async move { definition.start(&engine).await.unwrap() }
        };
        drop(start("one").await);
        (engine.container("one").map(drop).map_err(|error| error.kind()), start("two").await)
    });
    assert_eq!(dropped, Err(ErrorKind::NotFound));
    drop(runtime);
    assert_eq!(engine.container("two").unwrap().state().unwrap(), State::Running);
    drop(kept);
    assert!(engine.containers().unwrap().is_empty());
}

#[tokio::test]
async fn events_are_a_stream_that_may_end_at_a_time() {
    let (engine, image) = prepared().await;
    let mut events = engine.events().aio().read().await.unwrap();
    assert!(timeout(Duration::from_millis(20), events.next()).await.is_err());
    let container = sh(&image, "true").aio().start(&engine).await.unwrap();
    assert!(container.wait().await.unwrap().success());
    let mut actions = Vec::new();
    while actions.len() < 3 {
        actions.push(timeout(PATIENCE, events.next()).await.unwrap().unwrap().action);
    }
    assert_eq!(actions, [Action::Create, Action::Start, Action::Die]);
    let soon = Timestamp::from(std::time::SystemTime::now() + Duration::from_millis(50));
    let mut until = engine.events().until(soon).aio().read().await.unwrap();
    assert_eq!(timeout(PATIENCE, until.next()).await.unwrap(), None);
    assert!(until.error().is_none() && Timestamp::now() >= soon);
}

#[tokio::test]
async fn a_panic_in_blocking_work_is_the_callers() {
    let (engine, _) = prepared().await;
    let work = tokio::spawn(async move { engine.blocking(|_| -> plywood::Result<()> { panic!("seen") }).await });
    let panic = work.await.unwrap_err().into_panic();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"seen"));
}

/// Every future can be moved to another thread.
#[test]
fn futures_are_send() {
    fn is_send<T: Send>(_: &T) {}
    let _check = |engine: &Engine, container: &Async<Container>, mut lines: Pin<&mut plywood::aio::Lines>| {
        is_send(&engine.containers());
        is_send(&container.wait());
        is_send(&Container::of("debian:12").aio().output(engine));
        is_send(&lines.next());
    };
}
